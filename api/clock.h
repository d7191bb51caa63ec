/* The API's clock: monotonic, for deadlines and durations. */
#ifndef WARREN_API_CLOCK_H
#define WARREN_API_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t api_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static inline uint64_t api_clock_ms(void)
{
	return api_clock_us() / 1000u;
}

#endif
