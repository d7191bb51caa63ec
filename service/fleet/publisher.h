/* Tells the other nodes how the tunnels and pools of this node's shards are (published.h), and which it cannot run: looks every second, and
 * writes what differs from what it wrote last, a few shards at a time. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_PUBLISHER_H
#define WARREN_SERVICE_FLEET_PUBLISHER_H

#include <uv.h>

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "service/fleet/keeper.h"
#include "service/registry/registry.h"

struct publisher;

/* Borrowed. */
struct publisher_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct etcd_store *store;
	const struct fleet_node *node;
	const struct keeper *keeper;
	const char *name; /* of this node */
	/* All was written as it was at that time: CLOCK_BOOTTIME in ms. From the loop. */
	void (*told)(void *owner, uint64_t at);
	void *owner;
};

struct publisher *publisher_create(const struct publisher_means *means); /* NULL when out of memory */
/* Before its store is freed. The loop must run once more. NULL is allowed. */
void publisher_free(struct publisher *publisher);
/* Looks now. */
void publisher_look(struct publisher *publisher);

#endif
