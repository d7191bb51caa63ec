/* Sockets of this host that are opened for tunnels: listeners and UDP sockets. The control process keeps each as long as a tunnel has
 * it, so that a worker that is replaced gets the same one. Main thread only. */
#ifndef WARREN_SERVICE_SOCKET_HOST_SOCKET_H
#define WARREN_SERVICE_SOCKET_HOST_SOCKET_H

#include <sys/stat.h>

#include "ipc/handover.h"
#include "ipc/spec.h"
#include "service/socket/socket_path.h"

enum host_socket_kind { HOST_SOCKET_WIREGUARD, HOST_SOCKET_TCP, HOST_SOCKET_UDP, HOST_SOCKET_UNIX };

/* Where a unix socket lies: its file is removed through its directory's descriptor, even if the directory was renamed. */
struct unix_place {
	int directory; /* O_PATH */
	dev_t device;
	ino_t inode;
	const char *name; /* in `path` */
	char path[SOCKET_PATH_SIZE];
};

struct host_socket {
	unsigned references;
	enum host_socket_kind kind;
	int descriptor;
	bool is_shared;
	bool v6_only;                   /* as requested, see host_socket_open */
	union wireguard_endpoint bound; /* TCP, UDP and WIREGUARD (the port alone counts there) */
	struct unix_place *place;       /* UNIX */
};

/* Each gives NULL and an errno when it cannot be opened. [::] is for IPv4 too, as with most programs, unless `v6_only` says that IPv4 has that
 * port elsewhere; other places do not care. A port of 0 takes `preferred` when that is free (0: none); with `insists`,
 * a preferred port that is taken is EADDRINUSE. With `beside` it is bound in spite of sockets of ours that share their port. */
struct host_socket *host_socket_open(const struct socket_roots *roots, const struct spec_place *place, enum spec_transport transport,
                                     uint16_t preferred, bool insists, bool v6_only, bool beside, int *error);
/* Opens one for IPv6 and IPv4, or for IPv4 if the host has no IPv6. */
struct host_socket *host_socket_open_wireguard(uint16_t port, uint16_t preferred, bool insists, bool beside, int *error);
struct host_socket *host_socket_reference(struct host_socket *socket);
void host_socket_release(struct host_socket *socket);        /* NULL is allowed */
int host_socket_duplicate(const struct host_socket *socket); /* a descriptor to give away, or -1 */
/* For the program that takes this one's place. NULL: it cannot be read, or out of memory. */
void host_socket_save(const struct host_socket *socket, struct handover *handover);
struct host_socket *host_socket_load(struct handover *handover);
uint16_t host_socket_port(const struct host_socket *socket);
/* "127.0.0.1:40123" or "unix:/path", malloc'ed. */
char *host_socket_format(const struct host_socket *socket);

/* Whether clients find it: a unix socket's file may have been removed or replaced. */
bool host_socket_is_there(const struct host_socket *socket);
/* Whether it already serves the place (port 0 is served by any port; a unix socket must still have its file, unless its directory is gone). */
bool host_socket_serves(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport);
/* Whether it conflicts with the place: the same port on an address that covers it or is covered. */
bool host_socket_overlaps(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport);
/* While this is on, a socket opened with `beside` can be bound to its port. It serves meanwhile, until it is closed. */
void host_socket_share(struct host_socket *socket, bool on);

/* Opens a UDP socket with a new port on a local address, or returns -1 with errno. */
int host_socket_relay(const union wireguard_endpoint *local);
/* Starts a connection, which may complete later; -1 with errno. */
int host_socket_dial(const union wireguard_endpoint *target, enum spec_transport transport);
/* `file` comes from socket_path_open and stays the caller's. EACCES if it is a socket of this process, whatever its name. */
int host_socket_dial_unix(int file);
/* Whether packets to it would come back to this host. */
bool host_socket_is_local(const union wireguard_endpoint *address);

#endif
