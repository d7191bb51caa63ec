/* Writes the packets of an open stream. */
#ifndef WARREN_NETSTACK_SEGMENT_H
#define WARREN_NETSTACK_SEGMENT_H

#include "netstack/stream.h"

/* Fills in the constant parts of the headers. */
void segment_prepare(struct netstack_stream *stream);
/* Implements the sender's env.emit. */
bool segment_emit(void *stream, uint64_t place, const struct iovec *parts, size_t count, size_t length, uint8_t flags);
/* Sends a pure acknowledgement, with SACK blocks. false: no room now. */
bool segment_acknowledge(struct netstack_stream *stream);
/* The acknowledgement number of the next segment. */
uint32_t segment_acknowledgement(const struct netstack_stream *stream);

#endif
