/* A rate limit: so many a second, and a burst. Embedded by value; starts as all zeros, with the whole burst available. */
#ifndef WARREN_SERVICE_REGISTRY_ALLOWANCE_H
#define WARREN_SERVICE_REGISTRY_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	uint64_t whole_at; /* ns: when the whole burst is available again */
};

/* Takes one, if available. */
bool allowance_take(struct allowance *allowance, unsigned per_second, unsigned burst, uint64_t now_ms) __attribute__((warn_unused_result));
/* Gives one back. */
void allowance_return(struct allowance *allowance, unsigned per_second);

#endif
