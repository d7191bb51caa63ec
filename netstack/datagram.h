/* Inside netstack/: sends packets other than TCP: prepends the IP header, and fragments where the MTU requires it. */
#ifndef WARREN_NETSTACK_DATAGRAM_H
#define WARREN_NETSTACK_DATAGRAM_H

#include "netstack/stack.h"

/* Sends `parts`, `length` bytes, behind an IP header. false: no room now (some of the fragments may have been sent). */
bool datagram_send(struct netstack *stack, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol,
                   const struct iovec *parts, size_t count, size_t length);

#endif
