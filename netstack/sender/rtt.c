#include "netstack/sender/rtt.h"

#define MS 1000000ull
#define FIRST_TIMEOUT (1000 * MS)
/* RFC 6298 requires a second; 200 ms is what common stacks use. */
#define MARGIN_MIN (200 * MS)
/* The limit of doubling: after an outage traffic must flow again within 2 s. One packet in 2 s floods nobody. */
#define TIMEOUT_MAX (2000 * MS)

void rtt_init(struct rtt *rtt)
{
	*rtt = (struct rtt){ .minimum = RTT_UNKNOWN };
}

void rtt_sample(struct rtt *rtt, uint64_t sample)
{
	if (sample == 0)
		sample = 1; /* a mean of 0 stands for no sample */
	if (sample < rtt->minimum)
		rtt->minimum = sample;
	if (rtt->smoothed == 0) {
		rtt->smoothed = sample;
		rtt->variation = sample / 2;
		return;
	}
	uint64_t difference = sample > rtt->smoothed ? sample - rtt->smoothed : rtt->smoothed - sample;
	rtt->variation = (3 * rtt->variation + difference) / 4;
	rtt->smoothed = (7 * rtt->smoothed + sample) / 8;
}

uint64_t rtt_timeout(const struct rtt *rtt)
{
	uint64_t margin = 4 * rtt->variation;

	if (margin < MARGIN_MIN)
		margin = MARGIN_MIN;
	uint64_t timeout = rtt->smoothed > 0 ? rtt->smoothed + margin : FIRST_TIMEOUT;
	/* After a long loss of acknowledgements one late sample makes the variation large; doubling that would silence the sender. */
	uint64_t most = rtt->smoothed + MARGIN_MIN > TIMEOUT_MAX ? rtt->smoothed + MARGIN_MIN : TIMEOUT_MAX;
	unsigned shift = rtt->backoff < 8 ? rtt->backoff : 8;
	return timeout << shift < most ? timeout << shift : most;
}
