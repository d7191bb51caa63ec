#include "tunnel/throughput.h"

#include <assert.h>
#include <string.h>

uint64_t throughput_pass(struct throughput *rate, uint64_t seconds, uint64_t total)
{
	uint64_t fresh = total - rate->counted, sum = 0, age = 0;
	size_t steps = seconds < THROUGHPUT_SECONDS ? (size_t)seconds : THROUGHPUT_SECONDS;
	assert(steps > 0);
	rate->counted = total;
	memmove(&rate->bytes[steps], rate->bytes, (THROUGHPUT_SECONDS - steps) * sizeof(rate->bytes[0]));
	/* The counter is not read while nothing flows, so everything belongs to the last second. */
	memset(rate->bytes, 0, steps * sizeof(rate->bytes[0]));
	rate->bytes[0] = fresh < UINT32_MAX ? (uint32_t)fresh : UINT32_MAX;
	for (size_t i = 0; i < THROUGHPUT_SECONDS; i++) {
		sum += rate->bytes[i];
		if (rate->bytes[i] != 0)
			age = i + 1;
	}
	return age == 0 ? 0 : sum * 8 / age;
}
