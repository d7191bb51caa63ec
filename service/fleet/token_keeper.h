/* Keeps this node's tokens equal to the fleet's: reads all of them when one has changed, and says when it has. A node that is cut off goes on with
 * those that it knew. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_TOKEN_KEEPER_H
#define WARREN_SERVICE_FLEET_TOKEN_KEEPER_H

#include <uv.h>

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "fleet/seal.h"
#include "service/store/token_table.h"

struct token_keeper;

/* Borrowed. */
struct token_keeper_means {
	uv_loop_t *loop;
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	const struct fleet_node *node;
	struct token_table *tokens;
	struct store *disk;
	void (*looked)(void *owner); /* a reading is over, whether or not it could be done; from the loop */
	void *owner;
};

struct token_keeper *token_keeper_create(const struct token_keeper_means *means); /* NULL when out of memory */
/* Before its store is freed. The loop must run once more. NULL is allowed. */
void token_keeper_free(struct token_keeper *keeper);
/* Something has happened in the fleet: reads them if p/tokens has changed, and the first time. */
void token_keeper_look(struct token_keeper *keeper);
/* Reads them now. */
void token_keeper_read(struct token_keeper *keeper);
/* The revision at which they were read last; 0: they have not been. */
int64_t token_keeper_revision(const struct token_keeper *keeper);

#endif
