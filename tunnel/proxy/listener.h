/* A tunnel's host sockets, for its proxy and its outbound forwards. */
#ifndef WARREN_TUNNEL_PROXY_LISTENER_H
#define WARREN_TUNNEL_PROXY_LISTENER_H

#include "ipc/message.h"
#include "tunnel/io/loop.h"

struct forward_udp;
struct tunnel;

struct listener {
	struct listener *next;
	struct tunnel *tunnel;
	uint32_t id;
	enum message_socket_kind kind; /* PROXY or FORWARD */
	uint16_t index;                /* in spec.listen or spec.forwards */
	struct poller *poller;         /* a listening stream socket; NULL for a UDP forward, whose socket forward.c owns */
	struct forward_udp *udp;       /* of a UDP forward */
	struct deadline pause;         /* after an accept that failed for lack of descriptors */
};

/* Takes the descriptor, also on failure. NULL when out of memory. Nothing is accepted before it is started. */
struct listener *listener_create(struct tunnel *tunnel, const struct message_socket *socket, int descriptor);
/* Links it into tunnel->listeners and starts accepting; clients of a pool whose members are not known yet wait in the queue. Cannot fail. */
void listener_start(struct listener *listener);
/* The pool's members are known: its listeners, which were started before, accept from now on. */
void listener_open_all(struct tunnel *front);
void listener_free(struct listener *listener);

#endif
