/* Writes the packets of an open stream. */
#ifndef WARREN_NETSTACK_SEGMENT_H
#define WARREN_NETSTACK_SEGMENT_H

#include "netstack/stream.h"

/* The parts of the headers that never change. */
void segment_prepare(struct netstack_stream *stream);
/* The sender's env.emit. */
bool segment_emit(void *stream, uint64_t place, const struct iovec *parts, size_t count, size_t length, uint8_t flags);
/* An acknowledgement alone, with what was selectively received. false: no room now. */
bool segment_acknowledge(struct netstack_stream *stream);
/* What the next segment acknowledges. */
uint32_t segment_acknowledgement(const struct netstack_stream *stream);

#endif
