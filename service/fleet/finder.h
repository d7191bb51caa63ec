/* Reads of the fleet's tunnels and pools, whichever node runs them: from their records in etcd, linearizable. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_FINDER_H
#define WARREN_SERVICE_FLEET_FINDER_H

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "fleet/seal.h"
#include "service/change/mutation.h"

#define FINDER_MOST 20000 /* objects of a list, which is gathered in memory */

struct finder;

/* Borrowed. */
struct finder_means {
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	const struct fleet_node *node;
};

struct finder *finder_create(const struct finder_means *means); /* NULL when out of memory */
/* Before its store is freed. NULL is allowed. */
void finder_free(struct finder *finder);
/* A MUTATION_LOOK_UP, taken until `done`, which is told from the loop or from within. Of all, what is here is among `found`, too. */
void finder_begin(struct finder *finder, struct mutation *mutation);
/* Gathers all that the fleet has and the caller may see, what is here included, into `found`. `gathered` is told instead of `done`, and the problem
 * may say why there is nothing. */
void finder_gather(struct finder *finder, struct mutation *mutation, void (*gathered)(struct mutation *mutation, void *owner), void *owner);
/* Says of a snapshot that nobody else has yet which node runs it. False when out of memory. */
bool finder_name_node(const struct fleet_node *node, struct snapshot *snapshot);
/* Answers all that is under way. */
void finder_end(struct finder *finder);

#endif
