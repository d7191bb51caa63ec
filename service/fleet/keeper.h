/* Keeps this node's tunnels and pools equal to what etcd says of its shards. What is of the fleet and in none of its shards ends here; whatever is of
 * this node's own stays. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_KEEPER_H
#define WARREN_SERVICE_FLEET_KEEPER_H

#include <uv.h>

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "fleet/seal.h"

struct keeper;
struct mutations;
struct registry;

/* Borrowed. */
struct keeper_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	const struct fleet_node *node;
	/* Every change up to a revision is carried out: what was lost is gone from the workers; what was gained is served, as far as this node can.
	 * From the loop, never from within a function of this header. */
	void (*silent)(void *owner, int64_t revision);
	void (*running)(void *owner, int64_t revision);
	/* Every shard of ours is as its records were at a revision, and what left them is here no more (fleet_node_settled). */
	void (*settled)(void *owner, int64_t revision);
	void *owner;
};

struct keeper *keeper_create(const struct keeper_means *means); /* NULL when out of memory */
/* Before its store is freed. The loop must run once more, until no mutation is under way. NULL is allowed. */
void keeper_free(struct keeper *keeper);
/* Changes nothing any more. */
void keeper_stop(struct keeper *keeper);

/* What this node cannot run as it is to be, and where it belongs: a malloc'ed array, whose texts are borrowed until the loop goes on. NULL when out
 * of memory. */
struct keeper_fault {
	const char *class;
	uint32_t number;
	const char *key, *detail;
};
struct keeper_fault *keeper_faults(const struct keeper *keeper, size_t *count);
/* Whether a shard of ours is as its records were at that revision, as far as this node can. */
bool keeper_has_applied(const struct keeper *keeper, const char *class, uint32_t number, int64_t revision);

/* Whether no node, this one included, runs what was in a class at that revision any more. `floor`, if it is not NULL, is raised above its handshakes.
 */
bool keeper_has_let_go(struct keeper *keeper, const char *class, const char *key, int64_t revision, uint64_t *floor);

/* A shard is ours or no more, or its tunnels must be read again. */
void keeper_change(struct keeper *keeper, const struct fleet_change *change);
/* Every change up to the revision has been given; `silent` and `running` answer. Before the first `silent`, whatever is of the fleet and in no shard
 * of ours is ended, too. */
void keeper_applied(struct keeper *keeper, int64_t revision);

#endif
