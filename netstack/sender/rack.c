#include "netstack/sender/rack.h"

#include "netstack/packet/netstack_types.h"

#define MS 1000000ull
#define MULTIPLIER_MAX 20
#define PERSISTENCE 16         /* RFC 8985, 6.2, step 4 */
#define ALONE_DELAY (200 * MS) /* WCDelAckT: a lone segment's acknowledgement may be delayed */

void rack_init(struct rack *rack)
{
	*rack = (struct rack){ .multiplier = 1 };
}

void rack_delivered(struct rack *rack, const struct rtt *rtt, const struct sent *sent, uint64_t now)
{
	uint64_t round_trip = now - sent->sent_at;
	uint64_t end = scoreboard_end(sent);
	bool again = (sent->flags & SENT_AGAIN) != 0;

	if (end > rack->highest)
		rack->highest = end;
	else if (end < rack->highest && !again)
		rack->saw_reordering = true;
	if (again && round_trip < rtt->minimum) /* the acknowledgement is of the first sending */
		return;
	if (!rack->has_sample || scoreboard_is_after(sent->order, rack->order)) {
		rack->has_sample = true;
		rack->order = sent->order;
		rack->round_trip = round_trip;
	}
}

void rack_duplicate(struct rack *rack, uint64_t acknowledged, uint64_t next)
{
	rack->persistence = PERSISTENCE;
	if (acknowledged < rack->duplicate_round)
		return;
	rack->duplicate_round = next;
	if (rack->multiplier < MULTIPLIER_MAX)
		rack->multiplier++;
}

void rack_recovered(struct rack *rack)
{
	if (rack->persistence > 0 && --rack->persistence == 0)
		rack->multiplier = 1;
}

uint64_t rack_window(const struct rack *rack, const struct rtt *rtt, bool in_recovery, bool has_three)
{
	if (!rack->saw_reordering && (in_recovery || has_three))
		return 0;
	uint64_t base = rtt->minimum == RTT_UNKNOWN ? rtt->smoothed : rtt->minimum;
	uint64_t window = base / 4 * rack->multiplier;
	return window < rtt->smoothed ? window : rtt->smoothed;
}

uint64_t rack_detect(const struct rack *rack, struct scoreboard *board, uint64_t window, uint64_t now, void (*lost)(void *owner, uint32_t index),
                     void *owner)
{
	if (!rack->has_sample)
		return NETSTACK_NEVER;
	/* Each iteration takes one out of flight or ends the walk. A lost segment moves to another list, so its link is read before. */
	for (uint32_t i = board->flying.oldest; i != SCOREBOARD_NONE;) {
		const struct sent *sent = scoreboard_at(board, i);
		uint32_t newer = sent->newer;
		if (!scoreboard_is_after(rack->order, sent->order))
			break;
		uint64_t due = sent->sent_at + rack->round_trip + window;
		if (due > now)
			return due;
		lost(owner, i);
		i = newer;
	}
	return NETSTACK_NEVER;
}

uint64_t rack_probe_delay(const struct rtt *rtt, bool is_alone)
{
	return 2 * rtt->smoothed + 2 * MS + (is_alone ? ALONE_DELAY : 0);
}
