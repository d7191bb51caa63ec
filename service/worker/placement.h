/* Decides which worker a tunnel is on. When a worker dies, its tunnels lose their connections anyway, so those beyond its share move to workers
 * that have fewer, where they are built at once. */
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

/* Gives the entry a slot on the worker with the fewest tunnels; false if none has room. */
bool placement_choose(struct supervisor *supervisor, struct entry *entry);
void placement_move_surplus(const struct placement_means *means, struct worker *dead);

#endif
