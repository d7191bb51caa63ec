/* Watches a gap in the received data. If the far end answers but does not fill it, the missing packet may be larger than the path carries. Pure. */
#ifndef WARREN_NETSTACK_RECEIVER_GAP_H
#define WARREN_NETSTACK_RECEIVER_GAP_H

#include <stdint.h>

struct gap {
	uint64_t deadline; /* NETSTACK_NEVER: no gap, or it has been judged */
	uint64_t place;    /* where it begins */
	uint64_t asked_at; /* when the far end was probed, 0: not yet */
};

enum gap_step {
	GAP_WAIT,
	GAP_ASK,   /* probe the far end now */
	GAP_JUDGE, /* the far end had time to answer and to fill the gap */
};

void gap_init(struct gap *gap); /* also called when the gap is filled */
/* A gap begins at `place`. */
void gap_open(struct gap *gap, uint64_t place, uint64_t now);
/* At the deadline; `place` is where the gap begins now. */
enum gap_step gap_expire(struct gap *gap, uint64_t place, uint64_t now);

#endif
