/* The time of day, for what people and other programs read. */
#ifndef WARREN_SERVICE_REGISTRY_WALL_CLOCK_H
#define WARREN_SERVICE_REGISTRY_WALL_CLOCK_H

#include <stdint.h>
#include <time.h>

/* UNIX time in milliseconds. Any thread. */
static inline int64_t wall_clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
