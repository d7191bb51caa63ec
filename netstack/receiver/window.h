/* Sizes the receive window. It follows the bytes that arrive per round trip, including those behind a hole: counting only what the owner has
 * consumed, as other stacks do, starves a lossy path. It grows only while the owner keeps up. */
#ifndef WARREN_NETSTACK_RECEIVER_WINDOW_H
#define WARREN_NETSTACK_RECEIVER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
	uint64_t size;
	uint64_t most;       /* the limit set by the connection's window scale */
	uint64_t round_trip; /* 0: unknown */
	bool is_measuring;   /* the time for a window's worth of bytes, which is at least a round trip */
	uint64_t measured_from;
	uint64_t measured_until; /* place in the stream */
	uint64_t counted_from;
	uint64_t arrived; /* bytes since then */
	uint64_t space;   /* bytes in the previous round trip */
};

void window_init(struct window *window, uint64_t size, uint64_t most, uint64_t round_trip);
void window_arrived(struct window *window, uint64_t bytes);
/* `next`: everything before this place has arrived; `unread`: bytes not yet consumed; `held`: from `next` to the highest byte that arrived. */
void window_adjust(struct window *window, uint64_t next, uint64_t unread, uint64_t held, uint64_t share, uint64_t now);

#endif
