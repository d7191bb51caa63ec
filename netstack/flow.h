/* Inside netstack/: UDP. */
#ifndef WARREN_NETSTACK_FLOW_H
#define WARREN_NETSTACK_FLOW_H

#include "netstack/stack.h"

/* Delivers a sound UDP packet. false: no flow has this port. */
bool flow_input(struct netstack *stack, const struct packet *packet);
/* An ICMP error says that a datagram sent from `local` did not reach `to`. */
void flow_unreachable(struct netstack *stack, const struct netstack_endpoint *local, const struct netstack_endpoint *to);
void flow_free_all(struct netstack *stack);

#endif
