/* Which worker a tunnel is on. When a worker has died its tunnels have lost their connections anyway: those that are more than its share go
 * to workers that have fewer, where they are built at once. */
#ifndef WARREN_SERVICE_WORKER_PLACEMENT_H
#define WARREN_SERVICE_WORKER_PLACEMENT_H

#include "service/registry/slot_table.h"
#include "service/worker/provisioner.h"
#include "service/worker/supervisor.h"

/* Borrowed. */
struct placement_means {
	struct supervisor *supervisor;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct provisioner *provisioner;
};

/* Gives the entry a slot on the worker with the fewest tunnels; false when none has room. */
bool placement_choose(struct supervisor *supervisor, struct entry *entry);
void placement_move_surplus(const struct placement_means *means, struct worker *dead);

#endif
