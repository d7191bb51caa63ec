/* The host sockets of one tunnel: those that its spec needs, and those that it has. Main thread only. */
#ifndef WARREN_SERVICE_SOCKET_SOCKET_LIST_H
#define WARREN_SERVICE_SOCKET_SOCKET_LIST_H

#include <jansson.h>

#include "ipc/message.h"
#include "service/socket/host_socket.h"
#include "service/spec/problem.h"

struct socket_entry {
	uint32_t id; /* unique within the tunnel; identifies it to the worker */
	enum message_socket_kind kind;
	uint16_t index;             /* in spec.listen or spec.forwards */
	bool is_fresh;              /* the worker does not have it yet */
	struct host_socket *socket; /* referenced; NULL while it is not open */
};

struct socket_list {
	struct socket_entry *list;
	size_t count;
};

/* Sockets that others give up in the same change: they can be handed over, or can share their port. */
struct socket_pool {
	struct host_socket **list; /* borrowed */
	size_t count;
	struct host_socket **shared; /* referenced; they share their port during this change */
	size_t shared_count;
};

struct socket_request {
	const struct spec *spec;
	const struct socket_roots *roots;
	const json_t *ports; /* chosen earlier ({"udp", "listen", "forwards"}), or NULL */
	bool is_trial;       /* sockets of the pool stay as they are: an address that is in use by one of them stays without a socket */
	bool insists;        /* it is a fault if an earlier chosen port is in use */
	uint32_t *next_id;
	const char *pointer; /* of the tunnel within the request */
};

/* Lists what the spec needs, without sockets; false when out of memory. */
bool socket_list_want(struct socket_list *list, const struct spec *spec);
/* Takes over the sockets of `old` whose address is unchanged; with `must_be_there` only those that clients find. */
void socket_list_keep(struct socket_list *list, const struct spec *spec, const struct socket_list *old, bool must_be_there);
/* Whether clients find them all. */
bool socket_list_is_there(const struct socket_list *list);
/* Hands over or opens the rest. All faults go to `problem`: listener_in_use, validation_failed or out_of_resources. */
bool socket_list_open(struct socket_list *list, const struct socket_request *request, struct socket_pool *pool, struct problem *problem);
void socket_list_clear(struct socket_list *list);
bool socket_list_has(const struct socket_list *list, const struct host_socket *socket);
uint16_t socket_list_udp_port(const struct socket_list *list);
struct socket_entry *socket_list_udp(const struct socket_list *list); /* or NULL */
/* The bound addresses of the proxy's listeners, in order, malloc'ed with each string; false when out of memory. */
bool socket_list_format(const struct socket_list *list, char ***listen, size_t *count);
/* The bound addresses of the forwards by their index in the spec, malloc'ed with each string; NULL for those without a host socket, and for
 * the list when there are none at all; false when out of memory. */
bool socket_list_format_forwards(const struct socket_list *list, size_t forward_count, char ***forwards);
/* For the program that takes this one's place. False: it cannot be read, or out of memory; what was read is in the list. */
void socket_list_save(const struct socket_list *list, struct handover *handover);
bool socket_list_load(struct socket_list *list, const struct spec *spec, struct handover *handover);
/* The ports, in the form of `ports` of a later request, malloc'ed. */
char *socket_list_ports(const struct socket_list *list);

bool socket_pool_add(struct socket_pool *pool, struct host_socket *socket);
void socket_pool_clear(struct socket_pool *pool);

#endif
