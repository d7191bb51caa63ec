/* A rate averaged over the last ten seconds, from a counter read each second. A younger flow is averaged over its own age. */
#ifndef WARREN_TUNNEL_THROUGHPUT_H
#define WARREN_TUNNEL_THROUGHPUT_H

#include <stdint.h>

#define THROUGHPUT_SECONDS 10

/* Starts as all zeros. */
struct throughput {
	uint64_t counted;
	uint32_t bytes[THROUGHPUT_SECONDS]; /* per second, the latest first */
};

/* `seconds` have passed, at least one, and the counter is now at `total`. Returns bit/s. */
uint64_t throughput_pass(struct throughput *rate, uint64_t seconds, uint64_t total);

#endif
