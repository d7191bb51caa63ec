/* A group of the host's whose members may write over the unix socket (--socket-group). */
#ifndef WARREN_API_SOCKET_GROUP_H
#define WARREN_API_SOCKET_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

#define SOCKET_GROUP_NONE ((gid_t)-1)

/* Finds a group by its name or number, and joins it if this process is root's, which may give a file only to a group of its own once it has dropped
 * its capabilities. Before the process is confined. False with one line for the user. */
bool api_socket_group_enter(const char *name, gid_t *group, char failure[512]);
/* Lets the members of the group connect to the socket of this path, which is of mode 0600 before; false with errno. */
bool api_socket_group_open(const char *path, gid_t group);
/* Whether the process at the other end of a unix socket is a member, by its own or its supplementary groups when it connected. */
bool api_socket_group_has_peer(int descriptor, gid_t group);

#endif
