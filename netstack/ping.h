/* Inside netstack/: our echo requests. */
#ifndef WARREN_NETSTACK_PING_H
#define WARREN_NETSTACK_PING_H

#include "netstack/stack.h"

/* An echo reply, from the ICMP header on. */
void ping_reply(struct netstack *stack, const struct packet *packet, uint64_t now);
void ping_free_all(struct netstack *stack);

#endif
