#include "netstack/receiver/gap.h"

#include "netstack/packet/netstack_types.h"

#define MS 1000000ull
/* A sender repeats the first hole after 200 ms or a few round trips, then at doubling intervals: four times before we probe. */
#define PATIENCE (3000 * MS)
/* A far end whose path was down doubles its timeout meanwhile (RFC 6298, 5.5): one that is heard after 3 s, and began with a second at most, repeats
 * its data within 2 * 3 + 1. */
#define ANSWER_TIME (PATIENCE + 1000 * MS)

void gap_init(struct gap *gap)
{
	*gap = (struct gap){ .deadline = NETSTACK_NEVER };
}

void gap_open(struct gap *gap, uint64_t place, uint64_t now)
{
	*gap = (struct gap){ .deadline = now + PATIENCE, .place = place };
}

enum gap_step gap_expire(struct gap *gap, uint64_t place, bool is_missing, uint64_t now)
{
	if (gap->deadline > now)
		return GAP_WAIT;
	if (gap->place != place) {
		gap_init(gap);
		if (is_missing)
			gap_open(gap, place, now);
		return GAP_WAIT;
	}
	if (gap->asked_at == 0) {
		gap->asked_at = now;
		gap->deadline = now + ANSWER_TIME;
		return GAP_ASK;
	}
	gap->deadline = NETSTACK_NEVER;
	return GAP_JUDGE;
}
