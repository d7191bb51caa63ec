/* Inside netstack/: packets that are not TCP's: a header in front, and fragments where the MTU asks for them. */
#ifndef WARREN_NETSTACK_DATAGRAM_H
#define WARREN_NETSTACK_DATAGRAM_H

#include "netstack/stack.h"

/* Sends `parts`, `length` bytes behind an IP header. false: no room now (of fragments, some may have left). */
bool datagram_send(struct netstack *stack, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol,
                   const struct iovec *parts, size_t count, size_t length);

#endif
