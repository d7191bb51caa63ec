/* Unix sockets of tunnels in the file system. Their directories may belong to others, who may rename and link in them at any moment: a path is
 * walked once, from a directory that the operator allows, without following a link, and what was found is used by its descriptor. */
#ifndef WARREN_SERVICE_SOCKET_SOCKET_PATH_H
#define WARREN_SERVICE_SOCKET_SOCKET_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define SOCKET_PATH_SIZE sizeof(((struct sockaddr_un *)NULL)->sun_path)

/* The directories below which they lie. Borrowed; a link to such a directory, or in the way to it, is the operator's and is followed. */
struct socket_roots {
	char *const *list;
	size_t count;
};

/* The directory of `path` (O_PATH), and the last component, which points into `path`. -1 with an errno: EACCES when it lies below none of the
 * roots without a link. */
int socket_path_directory(const struct socket_roots *roots, const char *path, const char **name);
/* The socket itself (O_PATH). -1 with an errno: ECONNREFUSED when it is a link or no socket. */
int socket_path_open(const struct socket_roots *roots, const char *path);
/* How bind and connect name what lies in a directory, or (NULL) the descriptor itself. False when the name is too long. */
bool socket_path_address(int descriptor, const char *name, struct sockaddr_un *address);

#endif
