/* Bytes on their way from a client's socket into a stream. They are read into blocks, which the stack sends without a copy: a block
 * lives until all of it is acknowledged. Nothing is read while the stream has no room, so the window bounds what a connection holds. */
#ifndef WARREN_TUNNEL_UPWARD_H
#define WARREN_TUNNEL_UPWARD_H

#include <sys/types.h>

#include "netstack/netstack.h"
#include "tunnel/loop.h"
#include "tunnel/pool.h"

struct tunnel;

/* Embedded by value. Invariant: blocks before `writing` are with the stream whole, those behind it not at all. */
struct upward {
	struct tunnel *tunnel;
	struct poller *client; /* borrowed */
	struct block *first, *writing, *last;
	uint32_t offered;         /* end of what the stream took of `writing` */
	bool read_full;           /* the last read filled its block: the next one is large */
	struct deadline throttle; /* the rate limit lets the client be read again */
};

enum { UPWARD_END = 0, UPWARD_LATER = -1, UPWARD_BROKEN = -2 };

void upward_init(struct upward *upward, struct tunnel *tunnel, struct poller *client);
/* Gives the blocks back: the stream must be gone, or be done with them. */
void upward_clear(struct upward *upward);
/* A place for an upward that has begun. `from` is as after upward_init then. */
void upward_move(struct upward *to, struct upward *from);
/* One read of the client, into the end of the last block: how many bytes came, or one of the above. With UPWARD_LATER for want of room
 * the client is no longer watched; upward_go_on watches it again. The bytes are not offered yet: the caller may look at them first. */
ssize_t upward_read(struct upward *upward, struct netstack_stream *stream);
/* The bytes of the last read. */
static inline char *upward_last(const struct upward *upward, size_t length)
{
	return (char *)upward->last->bytes + upward->last->end - length;
}
/* Takes back bytes of the last read that are not for the stream, and were not offered. */
void upward_shorten(struct upward *upward, size_t length);
/* Appends a copy. False when out of memory. */
bool upward_put(struct upward *upward, const void *bytes, size_t length) __attribute__((warn_unused_result));
/* Appends a block that holds bytes. */
void upward_put_block(struct upward *upward, struct block *block);
/* Offers what waits to the stream, and counts it. False when some of it must wait on. */
bool upward_offer(struct upward *upward, struct netstack_stream *stream);
/* The stream's `acknowledged`; what waits is offered. */
void upward_acknowledged(struct upward *upward, struct netstack_stream *stream, size_t bytes);
/* Watches the client again when there is room and no throttle. */
void upward_go_on(struct upward *upward, struct netstack_stream *stream);
/* Bytes that no stream has taken. */
bool upward_is_waiting(const struct upward *upward);

#endif
