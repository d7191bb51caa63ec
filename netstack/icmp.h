/* Inside netstack/: incoming ICMP: replies to our pings, and errors about packets that we sent. */
#ifndef WARREN_NETSTACK_ICMP_H
#define WARREN_NETSTACK_ICMP_H

#include "netstack/stack.h"

/* Handles a sound ICMP packet; lwIP answers echo requests. */
void icmp_hear(struct netstack *stack, const struct packet *packet, uint64_t now);

#endif
