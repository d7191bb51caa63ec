/* Seals anew, with the ring's first key, every record that an older key of the ring has sealed: tunnels, pools and tokens. The node that places does
 * so, in passes, while it has more than one key; so an old key can go when it says that nothing is left. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_RESEALER_H
#define WARREN_SERVICE_FLEET_RESEALER_H

#include <uv.h>

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "fleet/seal.h"

struct resealer;

/* Borrowed. */
struct resealer_means {
	uv_loop_t *loop;
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	const struct fleet_node *node;
};

struct resealer *resealer_create(const struct resealer_means *means); /* NULL when out of memory */
/* Before its store is freed. The loop must run once more. NULL is allowed. */
void resealer_free(struct resealer *resealer);
/* Begins a pass, if this node places and has an old key. */
void resealer_look(struct resealer *resealer);

#endif
