/* Decides which worker a tunnel is on. When a worker dies, its tunnels lose their connections anyway, so those beyond its share move to workers
 * that have fewer, where they are built at once. */
#ifndef WARREN_SERVICE_WORKER_PLACEMENT_H
#define WARREN_SERVICE_WORKER_PLACEMENT_H

#include "service/registry/slot_table.h"
#include "service/socket/socket_list.h"
#include "service/worker/provisioner.h"
#include "service/worker/supervisor.h"

/* Whether what a tunnel needs was found. */
enum placement { PLACEMENT_DONE, PLACEMENT_USED_UP, PLACEMENT_NO_MEMORY };

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
/* What a snapshot that nobody sees yet needs in a worker, and of the names of its peers: slots on the entry's worker, which is chosen when there is
 * none, and `addresses` (malloc'ed). What `previous` (or NULL), which the entry runs, has is kept. The bound addresses are those of `sockets`. */
enum placement placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous, struct snapshot *snapshot,
                                 const struct socket_list *sockets, struct message_addresses **addresses);
void placement_move_surplus(const struct placement_means *means, struct worker *dead);

#endif
