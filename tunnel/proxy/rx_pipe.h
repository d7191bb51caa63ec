/* Bytes of a stream on their way to a client's socket. The stream shows pieces of the packets it lies in; they are gathered, written by
 * one call before the packets' memory is used again, and what the client does not take is copied. The receive window bounds the
 * copies, since it opens only when bytes have gone to the client: the owner does that with what these functions return. */
#ifndef WARREN_TUNNEL_PROXY_RX_PIPE_H
#define WARREN_TUNNEL_PROXY_RX_PIPE_H

#include <sys/uio.h>

#include "tunnel/io/loop.h"
#include "tunnel/io/pool.h"

struct tunnel;

#define RX_PIPE_PARTS 250 /* borrowed pieces that are written by one call: a third of a megabyte costs a third less than 64 KB */

/* Embedded by value. Order of what is to be written: the blocks, then the parts. */
struct rx_pipe {
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

void rx_pipe_init(struct rx_pipe *downward, struct tunnel *tunnel, struct poller *client);
void rx_pipe_clear(struct rx_pipe *downward);
/* A place for a downward that has begun. `to` needs no rx_pipe_init. */
void rx_pipe_move(struct rx_pipe *to, struct rx_pipe *from);
/* Bytes of our own, copied; only while nothing of the stream waits. `stands_for` bytes of the stream were read to make them, 0 for a
 * reply of ours: the client has taken those when it has taken all of our own. */
void rx_pipe_put_own(struct rx_pipe *downward, const void *bytes, size_t length, size_t stands_for);
/* Bytes of the stream, copied. */
void rx_pipe_put(struct rx_pipe *downward, const void *bytes, size_t length);
/* Bytes of our own behind all that waits, copied. */
void rx_pipe_add(struct rx_pipe *downward, const void *bytes, size_t length);
/* Bytes of the stream that stay valid until the stack is settled: gathered for rx_pipe_flush, or dealt with at once when that is now.
 * Each of these three returns how many bytes of the stream the client has taken by it. */
size_t rx_pipe_show(struct rx_pipe *downward, const struct iovec *parts, size_t count) __attribute__((warn_unused_result));
/* Writes all it can, and keeps copies of the rest. */
size_t rx_pipe_flush(struct rx_pipe *downward) __attribute__((warn_unused_result));
/* The client is writable again. */
size_t rx_pipe_go_on(struct rx_pipe *downward) __attribute__((warn_unused_result));
bool rx_pipe_is_empty(const struct rx_pipe *downward);

#endif
