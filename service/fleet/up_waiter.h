/* Answers of a fleet that are to come when a tunnel is up (`wait=up`): here as the registry has it, elsewhere as its node tells. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_UP_WAITER_H
#define WARREN_SERVICE_FLEET_UP_WAITER_H

#include <uv.h>

#include "service/change/mutation.h"
#include "service/fleet/finder.h"

struct up_waiter;

/* Borrowed. */
struct up_waiter_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct finder *finder;
};

struct up_waiter *up_waiter_create(const struct up_waiter_means *means); /* NULL when out of memory */
/* The loop must run once more. NULL is allowed. */
void up_waiter_free(struct up_waiter *waiter);
/* Whether the answer of a mutation that is done is to wait. */
bool up_waiter_wants(const struct mutation *mutation);
/* Takes the mutation until `done`, which is told from the loop, or from within when memory is out. */
void up_waiter_add(struct up_waiter *waiter, struct mutation *mutation);
/* Answers all: what they asked for is done, and is not up yet. */
void up_waiter_end(struct up_waiter *waiter);

#endif
