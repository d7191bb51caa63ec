/* Sockets of this host that are opened for tunnels: listeners and UDP sockets. The control process keeps each as long as a tunnel has
 * it, so that a worker that is replaced gets the same one. Main thread only. */
#ifndef WARREN_SERVICE_SOCKET_HOST_SOCKET_H
#define WARREN_SERVICE_SOCKET_HOST_SOCKET_H

#include <sys/stat.h>

#include "ipc/spec.h"
#include "service/socket/socket_path.h"

enum host_socket_kind { HOST_SOCKET_WIREGUARD, HOST_SOCKET_TCP, HOST_SOCKET_UDP, HOST_SOCKET_UNIX };

/* Where a unix socket lies: its file is removed by its directory, whatever that is called by then. */
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
	bool v6_only;                   /* as its place wants it, see host_socket_open */
	union wireguard_endpoint bound; /* TCP, UDP and WIREGUARD (the port alone counts there) */
	struct unix_place *place;       /* UNIX */
};

/* Each gives NULL and an errno when it cannot be opened. [::] is for IPv4 too, as with most programs, unless `v6_only` says that IPv4 has that
 * port elsewhere; other places do not care. A port of 0 takes `preferred` when that is free (0: none); with `insists`,
 * a preferred port that is taken is EADDRINUSE. With `beside` it is bound in spite of sockets of ours that share their port. */
struct host_socket *host_socket_open(const struct socket_roots *roots, const struct spec_place *place, enum spec_transport transport,
                                     uint16_t preferred, bool insists, bool v6_only, bool beside, int *error);
/* For IPv6 and IPv4 at once, or for IPv4 where the host has no IPv6. */
struct host_socket *host_socket_open_wireguard(uint16_t port, uint16_t preferred, bool insists, bool beside, int *error);
struct host_socket *host_socket_reference(struct host_socket *socket);
void host_socket_release(struct host_socket *socket);        /* NULL is allowed */
int host_socket_duplicate(const struct host_socket *socket); /* a descriptor to give away, or -1 */
uint16_t host_socket_port(const struct host_socket *socket);
/* "127.0.0.1:40123" or "unix:/path", malloc'ed. */
char *host_socket_format(const struct host_socket *socket);

/* Serves the place already (a place with port 0 is served by any port; a unix socket while its file is there). */
bool host_socket_serves(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport);
/* Is in the way of the place: the same port on an address that covers it or is covered. */
bool host_socket_overlaps(const struct host_socket *socket, const struct spec_place *place, enum spec_transport transport);
/* While it is on, a socket that is opened `beside` may be bound to its port; it serves meanwhile, and closing it makes way. */
void host_socket_share(struct host_socket *socket, bool on);

/* A UDP socket with a port of its own on a local address, or -1 with errno. */
int host_socket_relay(const union wireguard_endpoint *local);
/* A connection that is under way (or done), or -1 with errno. */
int host_socket_dial(const union wireguard_endpoint *target, enum spec_transport transport);
/* `file` is of socket_path_open, and stays the caller's. EACCES when it is a socket of this process, whatever its name. */
int host_socket_dial_unix(int file);
/* Whether packets to it would come back to this host. */
bool host_socket_is_local(const union wireguard_endpoint *address);

#endif
