/* A gap in what came that is not filled, though the far end answers: what is missing may be larger than what the path carries. Pure. */
#ifndef WARREN_NETSTACK_RECEIVER_GAP_H
#define WARREN_NETSTACK_RECEIVER_GAP_H

#include <stdbool.h>
#include <stdint.h>

struct gap {
	uint64_t deadline; /* NETSTACK_NEVER: no gap, or all is known about it */
	uint64_t place;    /* where it begins */
	uint64_t asked_at; /* the far end was asked whether it is there, 0: not yet */
};

enum gap_step {
	GAP_WAIT,
	GAP_ASK,   /* the far end, now */
	GAP_JUDGE, /* it had the time to answer and to fill the gap */
};

void gap_init(struct gap *gap); /* and when it is filled */
/* There is one at `place`. */
void gap_open(struct gap *gap, uint64_t place, uint64_t now);
/* When its deadline has come: `place` is where the gap begins now. */
enum gap_step gap_expire(struct gap *gap, uint64_t place, uint64_t now);

#endif
