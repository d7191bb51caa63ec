/* Loss detection by time, RACK-TLP (RFC 8985): a segment sent at least a reordering window before one that arrived is lost. */
#ifndef WARREN_NETSTACK_SENDER_RACK_H
#define WARREN_NETSTACK_SENDER_RACK_H

#include <stdbool.h>
#include <stdint.h>

#include "netstack/sender/rtt.h"
#include "netstack/sender/scoreboard.h"

struct rack {
	bool has_sample;
	bool saw_reordering;
	uint32_t order; /* of the most recently sent segment that arrived */
	uint64_t round_trip;
	uint64_t highest;         /* end of the highest segment that arrived */
	uint64_t duplicate_round; /* DSACKs before this place was acknowledged count once */
	unsigned multiplier;      /* of the reordering window, in quarters of a round trip */
	unsigned persistence;     /* recoveries until the multiplier is reset */
};

void rack_init(struct rack *rack);
void rack_delivered(struct rack *rack, const struct rtt *rtt, const struct sent *sent, uint64_t now);
/* A DSACK arrived: widen the reordering window. */
void rack_duplicate(struct rack *rack, uint64_t acknowledged, uint64_t next);
void rack_recovered(struct rack *rack);
uint64_t rack_window(const struct rack *rack, const struct rtt *rtt, bool in_recovery, bool has_three);
/* Calls `lost` for each segment that is lost by now. Returns when to check again, or NETSTACK_NEVER. */
uint64_t rack_detect(const struct rack *rack, struct scoreboard *board, uint64_t window, uint64_t now, void (*lost)(void *owner, uint32_t index),
                     void *owner);
/* The delay from the newest segment to a tail loss probe. */
uint64_t rack_probe_delay(const struct rtt *rtt, bool is_alone);

#endif
