/* How often something may happen: so many a second, and a burst. What is embedded starts as zero, with the whole burst. */
#ifndef WARREN_SERVICE_REGISTRY_ALLOWANCE_H
#define WARREN_SERVICE_REGISTRY_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	uint64_t whole_at; /* ns: when the burst is whole again */
};

/* Takes one, when there is one. */
bool allowance_take(struct allowance *allowance, unsigned per_second, unsigned burst, uint64_t now_ms) __attribute__((warn_unused_result));

#endif
