/* A rate over the last ten seconds, from what a counter says each second. A flow that began since is divided by its own age. */
#ifndef WARREN_TUNNEL_RATE_H
#define WARREN_TUNNEL_RATE_H

#include <stdint.h>

#define RATE_SECONDS 10

/* Zero is a good start. */
struct rate {
	uint64_t counted;
	uint32_t bytes[RATE_SECONDS]; /* of each second, the latest first */
};

/* So many seconds have passed, at least one, and the counter is at `total` now. Bits a second. */
uint64_t rate_pass(struct rate *rate, uint64_t seconds, uint64_t total);

#endif
