/* Decides which worker a tunnel is on: one that goes through another is on that one's. When a worker dies, its tunnels lose their connections anyway,
 * so those beyond its share move to workers that have fewer, where they are built at once. */
#ifndef WARREN_SERVICE_WORKER_PLACEMENT_H
#define WARREN_SERVICE_WORKER_PLACEMENT_H

#include "service/registry/slot_table.h"
#include "service/socket/socket_list.h"
#include "service/worker/mover.h"
#include "service/worker/supervisor.h"

/* Whether what a tunnel needs was found. */
enum placement { PLACEMENT_DONE, PLACEMENT_USED_UP, PLACEMENT_NO_MEMORY };

/* Borrowed. */
struct placement_means {
	struct supervisor *supervisor;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct mover *mover;
};

/* The worker that has the tunnel which this one goes through, or others through that one, or through this one; NULL: it may be anywhere. */
struct worker *placement_near(struct registry *registry, const char *id, const struct spec *spec);
/* Gives the entry a slot there, or (NULL) on the worker with the fewest tunnels; false if there is no room. */
bool placement_choose(struct supervisor *supervisor, struct worker *near, struct entry *entry);
/* Takes the place back from one that no worker was told of, so that another is chosen when it is to run. */
void placement_leave(struct entry *entry);
/* What a snapshot that nobody sees yet needs in a worker, and of the names of its peers: slots on the entry's worker, which is chosen when there is
 * none, and `addresses` (malloc'ed). What `previous` (or NULL), which the entry runs, has is kept. The bound addresses are those of `sockets`. */
enum placement placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous, struct snapshot *snapshot,
                                 const struct socket_list *sockets, struct message_addresses **addresses);
/* Tunnels that go through each other stay together, where they are. */
void placement_move_surplus(const struct placement_means *means, struct worker *dead);

#endif
