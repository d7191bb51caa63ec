/* What a stack knows of the path outside: a size of packets that it drops, found by a stream and remembered for the others. */
#ifndef WARREN_NETSTACK_PATH_H
#define WARREN_NETSTACK_PATH_H

#include "netstack/stack.h"

/* The largest packet for new streams of a family: what they send, and what they ask the far end to send. */
uint16_t path_mtu(const struct netstack *stack, uint8_t family);
/* For this stream nothing passes that is larger than `packet`. The others learn of it, unless one of them shows that it is this far end's
 * matter alone. */
void path_limit(const struct netstack_stream *stream, uint32_t packet, uint64_t now);

#endif
