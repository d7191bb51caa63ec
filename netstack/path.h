/* The packet size that the outer path silently drops, found by streams and remembered: for the far end where it was found, and for all once
 * two far ends have shown it. One far end alone may have a rule of its own, which says nothing of the tunnel. */
#ifndef WARREN_NETSTACK_PATH_H
#define WARREN_NETSTACK_PATH_H

#include "netstack/stack.h"

/* The largest packet for new streams with this far end, in both directions. The port does not matter. */
uint16_t path_mtu(const struct netstack *stack, const struct netstack_endpoint *remote);
/* Packets larger than `packet` do not pass for this stream. The other streams with its far end adopt the limit. Those with others do so when
 * it was found with two far ends, unless a stream with a third one shows that larger packets pass. */
void path_limit(const struct netstack_stream *stream, uint32_t packet, uint64_t now);

#endif
