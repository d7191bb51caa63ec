/* How large the receive window should be. It follows what arrives in a round trip, bytes behind a hole included: counting only what
 * the owner took, as others do, starves a path that loses. It grows only while the owner keeps up. */
#ifndef WARREN_NETSTACK_RECEIVER_WINDOW_H
#define WARREN_NETSTACK_RECEIVER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
	uint64_t size;
	uint64_t most;       /* the connection's scale allows no more */
	uint64_t round_trip; /* 0: unknown */
	bool is_measuring;   /* a window's worth of bytes takes a round trip at least */
	uint64_t measured_from;
	uint64_t measured_until; /* place in the stream */
	uint64_t counted_from;
	uint64_t arrived; /* bytes since then */
	uint64_t space;   /* bytes of the round trip before */
};

void window_init(struct window *window, uint64_t size, uint64_t most, uint64_t round_trip);
void window_arrived(struct window *window, uint64_t bytes);
/* `next`: place up to which all has come; `unread`: bytes that the owner holds; `held`: from `next` to the highest byte that came. */
void window_adjust(struct window *window, uint64_t next, uint64_t unread, uint64_t held, uint64_t share, uint64_t now);

#endif
