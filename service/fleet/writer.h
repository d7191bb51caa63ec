/* Writes of tunnels and pools in a fleet: whichever node takes one puts it into etcd, and it is answered when its record is there; if this node runs
 * the object, when that is done, too. What this node has of its own (of the time before the fleet, or of a file) is changed here alone. Service's
 * thread, unless a function says otherwise. */
#ifndef WARREN_SERVICE_FLEET_WRITER_H
#define WARREN_SERVICE_FLEET_WRITER_H

#include <uv.h>

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "service/change/mutations.h"
#include "service/fleet/finder.h"
#include "service/fleet/keeper.h"

struct writer;

/* Borrowed. */
struct writer_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	struct etcd_store *store;
	struct keeper *keeper;
	struct finder *finder;
	const struct fleet_keyring *ring;
	const struct fleet_node *node;
};

struct writer *writer_create(const struct writer_means *means); /* NULL when out of memory */
/* Before its store and its keeper are freed. The loop must run once more. NULL is allowed. */
void writer_free(struct writer *writer);
/* Answers what is under way: a write that etcd has not answered may have been done. */
void writer_end(struct writer *writer);
/* Whether a mutation is about objects that a fleet may have. Any thread. */
bool writer_takes(const struct mutation *mutation);
/* Takes the mutation until `done`, which is told from the loop or from within. */
void writer_begin(struct writer *writer, struct mutation *mutation);

#endif
