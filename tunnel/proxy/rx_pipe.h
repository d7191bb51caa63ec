/* Bytes of a stream on their way to a client's socket. The stream lends pieces of the packets that hold them. They are gathered and written
 * with one call before the packets' memory is reused; bytes that the client does not take are copied. The receive window bounds the copies,
 * since the owner opens it only for bytes that have gone to the client, as these functions report. */
#ifndef WARREN_TUNNEL_PROXY_RX_PIPE_H
#define WARREN_TUNNEL_PROXY_RX_PIPE_H

#include <sys/uio.h>

#include "tunnel/io/loop.h"
#include "tunnel/io/block_pool.h"

struct tunnel;

#define RX_PIPE_PARTS 250 /* borrowed pieces written with one call; per byte a third of a megabyte costs a third less than 64 KB */

/* Embedded by value. The blocks are written first, then the parts. */
struct rx_pipe {
	struct tunnel *tunnel;
	struct poller *client; /* borrowed; NULL: none yet, all bytes are kept */
	struct block *first, *last;
	size_t kept;       /* bytes in them */
	size_t own;        /* bytes at the front that are not the stream's */
	size_t stands_for; /* bytes of the stream that those represent */
	size_t added;      /* bytes queued among the stream's that are not its own, and not yet subtracted from what was reported */
	bool waiting;      /* the client accepts no more now, or the rate limit forbids it */
	bool broken;       /* the client is gone, limits.total_bytes is used up, or out of memory: end both sides */
	struct deadline throttle;
	size_t part_count;
	struct block *parts; /* holds them as iovecs, while there are some */
};

void rx_pipe_init(struct rx_pipe *rx, struct tunnel *tunnel, struct poller *client);
void rx_pipe_clear(struct rx_pipe *rx);
/* Moves a pipe that has begun. `to` needs no rx_pipe_init. */
void rx_pipe_move(struct rx_pipe *to, struct rx_pipe *from);
/* Queues a copy of our own bytes; only while no bytes of the stream wait. They represent `stands_for` bytes of the stream, 0 for a reply of ours:
 * those count as taken when the client has taken all of our own. */
void rx_pipe_put_own(struct rx_pipe *rx, const void *bytes, size_t length, size_t stands_for);
/* Queues a copy of bytes of the stream. */
void rx_pipe_put(struct rx_pipe *rx, const void *bytes, size_t length);
/* Queues a copy of our own bytes behind everything that waits. */
void rx_pipe_add(struct rx_pipe *rx, const void *bytes, size_t length);
/* Takes bytes of the stream that stay valid until the stack is settled: gathers them for rx_pipe_flush, or handles them at once if it is due.
 * Each of these three returns how many bytes of the stream the client has taken. */
size_t rx_pipe_show(struct rx_pipe *rx, const struct iovec *parts, size_t count) __attribute__((warn_unused_result));
/* Writes as much as possible, and keeps copies of the rest. */
size_t rx_pipe_flush(struct rx_pipe *rx) __attribute__((warn_unused_result));
/* The client is writable again. */
size_t rx_pipe_go_on(struct rx_pipe *rx) __attribute__((warn_unused_result));
bool rx_pipe_is_empty(const struct rx_pipe *rx);

#endif
