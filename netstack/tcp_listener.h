/* Inside netstack/: a listening port. */
#ifndef WARREN_NETSTACK_TCP_LISTENER_H
#define WARREN_NETSTACK_TCP_LISTENER_H

#include "netstack/stack.h"

struct tcp_pcb;

struct netstack_listener {
	struct netstack *stack;
	struct netstack_listener *next;
	struct tcp_pcb *pcb;
	void (*accept)(void *owner, struct netstack_stream *stream);
	void *owner;
};

void tcp_listener_free_all(struct netstack *stack);

#endif
