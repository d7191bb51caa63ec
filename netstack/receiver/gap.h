/* Watches for data that was sent but does not arrive: a gap in the received data, or an answer to what we sent. If the far end answers when
 * probed but the data does not come, the missing packet may be larger than the path carries. Pure. */
#ifndef WARREN_NETSTACK_RECEIVER_GAP_H
#define WARREN_NETSTACK_RECEIVER_GAP_H

#include <stdbool.h>
#include <stdint.h>

struct gap {
	uint64_t deadline; /* NETSTACK_NEVER: nothing is watched, or it has been judged */
	uint64_t place;    /* where the missing data begins */
	uint64_t asked_at; /* when the far end was probed, 0: not yet */
};

enum gap_step {
	GAP_WAIT,
	GAP_ASK,   /* probe the far end now */
	GAP_JUDGE, /* the far end had time to answer and to send the data again */
};

void gap_init(struct gap *gap); /* also called when the gap is filled */
/* What is, or may be, missing begins at `place`. */
void gap_open(struct gap *gap, uint64_t place, uint64_t now);
/* At the deadline. Everything before `place` has arrived by now; `is_missing`: data behind it was sent for certain. */
enum gap_step gap_expire(struct gap *gap, uint64_t place, bool is_missing, uint64_t now);

#endif
