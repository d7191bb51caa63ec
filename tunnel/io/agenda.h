/* A loop's pending work: deadlines, the earliest first, and deferred calls in order of request. It has no clock and no descriptor. It is the
 * first member of struct loop, and its file implements loop.h's functions for both. */
#ifndef WARREN_TUNNEL_IO_AGENDA_H
#define WARREN_TUNNEL_IO_AGENDA_H

#include "tunnel/io/loop.h"

struct agenda {
	struct deadline **heap; /* from index 1, the earliest first */
	size_t count, capacity;
	struct deferred_list deferred;
};

/* False when out of memory. */
bool agenda_init(struct agenda *agenda);
void agenda_clear(struct agenda *agenda);
/* The time of the earliest deadline; LOOP_NEVER if there is none. */
uint64_t agenda_next(const struct agenda *agenda);
/* Runs the deadlines that are due by `now`, the earliest first, including those that become due meanwhile. True if there was any. */
bool agenda_run_due(struct agenda *agenda, uint64_t now);

#endif
