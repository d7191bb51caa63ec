/* The replay window (RFC 6479): the counters that were already received. */
#ifndef WARREN_TUNNEL_WIREGUARD_REPLAY_H
#define WARREN_TUNNEL_WIREGUARD_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

enum {
	WIREGUARD_REPLAY_BITS = 8192,
	/* One word is always cleared for the next counters, so this many of the bits are usable. */
	WIREGUARD_REPLAY_WINDOW = WIREGUARD_REPLAY_BITS - 64,
};

/* Embedded in a session. Starts as all zeros. `next` is one more than the highest counter seen. The first 64 counters have their word here:
 * most sessions of an idle tunnel see no more, and the ring is sixteen times a session's size. */
struct wireguard_replay {
	uint64_t next;
	uint64_t first;
	uint64_t *ring; /* NULL until a counter is over 63 */
};

void wireguard_replay_clear(struct wireguard_replay *replay);
/* Whether `counter`, which is below the limit of 2^64 - 2^13 - 1, is new; it is then recorded. If there is no memory for the ring, it counts as
 * seen. Only for authenticated packets: a forged counter must not move the window (W10). */
bool wireguard_replay_accept(struct wireguard_replay *replay, uint64_t counter) __attribute__((warn_unused_result));

#endif
