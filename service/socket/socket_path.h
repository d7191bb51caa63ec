/* Unix sockets of tunnels in the file system. Their directories may belong to others, who may rename and link in them at any moment: a path is
 * walked once, from a directory that the operator allows, without following a link, and what was found is used by its descriptor. */
#ifndef WARREN_SERVICE_SOCKET_SOCKET_PATH_H
#define WARREN_SERVICE_SOCKET_SOCKET_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* The permitted directories. Borrowed. Links in the path to such a directory belong to the operator and are followed. */
struct socket_roots {
	char *const *list;
	size_t count;
};

/* The directory of `path` (O_PATH), and the last component, which points into `path`. -1 with an errno: EACCES when it lies below none of the
 * roots without a link. */
int socket_path_directory(const struct socket_roots *roots, const char *path, const char **name);
/* Opens the socket itself (O_PATH). -1 with an errno: ECONNREFUSED if it is a link or not a socket. */
int socket_path_open(const struct socket_roots *roots, const char *path);
/* Makes the address with which bind and connect name a file in a directory, or (NULL) the descriptor itself. False if the name is too long. */
bool socket_path_address(int descriptor, const char *name, struct sockaddr_un *address);

#endif
