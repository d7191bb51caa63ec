/* What a loop still has to do: deadlines, the earliest first, and deferred calls, in the order in which they were asked for. It has no clock
 * and no descriptor. It is the first member of each struct loop, and its file has loop.h's functions for both. */
#ifndef WARREN_TUNNEL_IO_AGENDA_H
#define WARREN_TUNNEL_IO_AGENDA_H

#include "tunnel/io/loop.h"

struct agenda {
	struct deadline **heap; /* from index 1, the earliest first */
	size_t count, capacity;
	struct deferred *first, **last;
};

/* False when out of memory. */
bool agenda_init(struct agenda *agenda);
void agenda_clear(struct agenda *agenda);
/* When the earliest deadline is due; LOOP_NEVER when there is none. */
uint64_t agenda_next(const struct agenda *agenda);
/* Calls what is due by `now`, the earliest first, also what becomes due meanwhile. True when there was any. */
bool agenda_run_due(struct agenda *agenda, uint64_t now);

#endif
