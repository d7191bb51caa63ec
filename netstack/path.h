/* The packet size that a stack's outer path drops, found by one stream and remembered for the others. */
#ifndef WARREN_NETSTACK_PATH_H
#define WARREN_NETSTACK_PATH_H

#include "netstack/stack.h"

/* The largest packet for new streams of a family, in both directions. */
uint16_t path_mtu(const struct netstack *stack, uint8_t family);
/* Packets larger than `packet` do not pass for this stream. The other streams adopt the limit, unless one of them shows that only this far end
 * is affected. */
void path_limit(const struct netstack_stream *stream, uint32_t packet, uint64_t now);

#endif
