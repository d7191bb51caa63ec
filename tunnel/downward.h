/* Bytes of a stream on their way to a client's socket. The stream shows pieces of the packets it lies in; they are gathered, written by
 * one call before the packets' memory is used again, and what the client does not take is copied. The receive window bounds the
 * copies, since it opens only when bytes have gone to the client: the owner does that with what these functions return. */
#ifndef WARREN_TUNNEL_DOWNWARD_H
#define WARREN_TUNNEL_DOWNWARD_H

#include <sys/uio.h>

#include "tunnel/loop.h"
#include "tunnel/pool.h"

struct tunnel;

#define DOWNWARD_PARTS 250 /* borrowed pieces that are written by one call: a third of a megabyte costs a third less than 64 KB */

/* Embedded by value. Order of what is to be written: the blocks, then the parts. */
struct downward {
	struct tunnel *tunnel;
	struct poller *client; /* borrowed; NULL: there is none yet, everything is kept */
	struct block *first, *last;
	size_t kept;       /* bytes in them */
	size_t own;        /* bytes at the front that are not the stream's */
	size_t stands_for; /* bytes of the stream that these were made from */
	size_t added;      /* bytes among the stream's that are not its own, and have not been taken from what was reported */
	bool waiting;      /* the client takes no more now, or may not by the rate limit */
	bool broken;       /* the client is gone, or memory ran out: end both sides */
	struct deadline throttle;
	size_t part_count;
	struct block *parts; /* holds them as iovecs, while there are some */
};

void downward_init(struct downward *downward, struct tunnel *tunnel, struct poller *client);
void downward_clear(struct downward *downward);
/* A place for a downward that has begun. `to` needs no downward_init. */
void downward_move(struct downward *to, struct downward *from);
/* Bytes of our own, copied; only while nothing of the stream waits. `stands_for` bytes of the stream were read to make them, 0 for a
 * reply of ours: the client has taken those when it has taken all of our own. */
void downward_put_own(struct downward *downward, const void *bytes, size_t length, size_t stands_for);
/* Bytes of the stream, copied. */
void downward_put(struct downward *downward, const void *bytes, size_t length);
/* Bytes of our own behind all that waits, copied. */
void downward_add(struct downward *downward, const void *bytes, size_t length);
/* Bytes of the stream that stay valid until the stack is settled: gathered for downward_flush, or dealt with at once when that is now.
 * Each of these three returns how many bytes of the stream the client has taken by it. */
size_t downward_show(struct downward *downward, const struct iovec *parts, size_t count) __attribute__((warn_unused_result));
/* Writes all it can, and keeps copies of the rest. */
size_t downward_flush(struct downward *downward) __attribute__((warn_unused_result));
/* The client is writable again. */
size_t downward_go_on(struct downward *downward) __attribute__((warn_unused_result));
bool downward_is_empty(const struct downward *downward);

#endif
