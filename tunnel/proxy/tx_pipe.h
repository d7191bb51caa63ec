/* Bytes on their way from a client's socket into a stream. They are read into blocks, which the stack sends without a copy; a block lives until
 * all of it is acknowledged. Nothing is read while the stream has no room, so the window bounds the memory of a connection. */
#ifndef WARREN_TUNNEL_PROXY_TX_PIPE_H
#define WARREN_TUNNEL_PROXY_TX_PIPE_H

#include <sys/types.h>

#include "netstack/netstack.h"
#include "tunnel/io/loop.h"
#include "tunnel/io/block_pool.h"

struct connection;

/* Of one read. The kernel acknowledges to the client once a read, and its sender then runs in our time: with four blocks, once for 256 KB. */
#define TX_PIPE_BLOCKS 4

/* Embedded by value. Invariant: the stream has taken all of the blocks before `writing`, and nothing of those behind it. */
struct tx_pipe {
	struct connection *connection; /* of which its bytes are counted */
	struct tunnel *tunnel;
	struct poller *client; /* borrowed */
	struct block *first, *writing, *last;
	uint32_t offered;         /* end of the bytes of `writing` that the stream has taken */
	bool read_full;           /* the last read filled its block, so the next block is large */
	struct deadline throttle; /* when the rate limit permits reading again */
};

/* USED_UP: the client has bytes that limits.total_bytes does not permit. */
enum { TX_PIPE_END = 0, TX_PIPE_LATER = -1, TX_PIPE_BROKEN = -2, TX_PIPE_USED_UP = -3 };

void tx_pipe_init(struct tx_pipe *tx, struct connection *connection, struct poller *client);
/* Frees the blocks; the stream must be gone, or no longer use them. */
void tx_pipe_clear(struct tx_pipe *tx);
/* Moves a pipe that has begun. `from` is then as after tx_pipe_init. */
void tx_pipe_move(struct tx_pipe *to, struct tx_pipe *from);
/* Reads the client once, into the end of the last block and, if reads fill them, into up to `blocks` in all. Returns the number of bytes, or one of
 * the above. After TX_PIPE_LATER for lack of room the client is no longer watched; tx_pipe_go_on watches it again. The bytes are not offered yet, so
 * the caller may inspect them first. */
ssize_t tx_pipe_read(struct tx_pipe *tx, struct netstack_stream *stream, size_t blocks);
/* The bytes of the last read into one block. */
static inline char *tx_pipe_last(const struct tx_pipe *tx, size_t length)
{
	return (char *)tx->last->bytes + tx->last->end - length;
}
/* Removes bytes of the last read that are not for the stream and were not offered. */
void tx_pipe_shorten(struct tx_pipe *tx, size_t length);
/* Appends a copy. False when out of memory. */
bool tx_pipe_put(struct tx_pipe *tx, const void *bytes, size_t length) __attribute__((warn_unused_result));
/* Appends a block that holds bytes. */
void tx_pipe_put_block(struct tx_pipe *tx, struct block *block);
/* Offers the waiting bytes to the stream and counts them. False if some must keep waiting. */
bool tx_pipe_offer(struct tx_pipe *tx, struct netstack_stream *stream);
/* Handles the stream's `acknowledged`, and offers waiting bytes. */
void tx_pipe_acknowledged(struct tx_pipe *tx, struct netstack_stream *stream, size_t bytes);
/* Watches the client again if there is room and no throttle. */
void tx_pipe_go_on(struct tx_pipe *tx, struct netstack_stream *stream);
/* The number of bytes that no stream has taken. */
bool tx_pipe_is_waiting(const struct tx_pipe *tx);

#endif
