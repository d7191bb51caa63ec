#include "tunnel/wireguard/timings.h"

/* REKEY_ATTEMPT_TIME / REKEY_TIMEOUT (paper, 6.1): an initiation is repeated this often and once more before it is given up, as in the kernel. */
#define ATTEMPTS (90 / 5)

const struct wireguard_timings wireguard_timings_default = {
	.rekey_after = { 120, 120 },
	.rekey_timeout = { 5, 5 },
	.reject_after = { 180, 180 },
	.keepalive_timeout = { 10, 10 },
	.attempts = { ATTEMPTS, ATTEMPTS },
};

static void take(struct obfuscation_range *range, const struct obfuscation_range *configured)
{
	if (configured->high > 0)
		*range = *configured;
}

struct wireguard_timings wireguard_timings_of(const struct obfuscation *config)
{
	struct wireguard_timings timings = wireguard_timings_default;

	if (config == NULL)
		return timings;
	take(&timings.rekey_after, &config->rekey_after);
	take(&timings.rekey_timeout, &config->rekey_timeout);
	take(&timings.reject_after, &config->reject_after);
	take(&timings.keepalive_timeout, &config->keepalive_timeout);
	take(&timings.attempts, &config->attempts);
	return timings;
}
