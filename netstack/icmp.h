/* Inside netstack/: what ICMP tells: answers to our pings, and errors about what we sent. */
#ifndef WARREN_NETSTACK_ICMP_H
#define WARREN_NETSTACK_ICMP_H

#include "netstack/stack.h"

/* Takes a sound ICMP packet; an echo request goes to lwIP, which answers it. */
void icmp_hear(struct netstack *stack, const struct packet *packet, uint64_t now);

#endif
