/* What etcd does with keys, leases and history, as one store: revisions, transactions, leases that a leader change starts anew, compaction, a full
 * database. Which requests reach it, and when, is the network's affair (world.h). */
#ifndef WARREN_TESTS_FLEET_ETCD_MODEL_H
#define WARREN_TESTS_FLEET_ETCD_MODEL_H

#include "fleet/fleet_request.h"

#define MODEL_KEYS 1024
#define MODEL_LEASES 256
#define MODEL_HISTORY 8192 /* events; older ones are compacted */

struct model_kv {
	char key[FLEET_KEY_TEXT];
	char *value; /* owned; NULL in an event: deleted */
	int64_t revision, lease;
};

struct model_lease {
	int64_t id;
	uint64_t ttl, ends_at;
};

struct etcd_model {
	uint64_t cluster;
	int64_t revision, compacted;
	struct model_kv keys[MODEL_KEYS];
	size_t key_count;
	struct model_kv history[MODEL_HISTORY]; /* a ring */
	uint64_t history_first, history_end;
	struct model_lease leases[MODEL_LEASES];
	size_t lease_count;
	int64_t next_lease;
	bool is_full;          /* NOSPACE: no puts, no grants */
	uint64_t shard_writes; /* puts of `p/shard/` and `p/leader` */
};

void etcd_model_init(struct etcd_model *model, uint64_t cluster);
void etcd_model_clear(struct etcd_model *model);
const struct model_kv *etcd_model_find(const struct etcd_model *model, const char *key); /* NULL: none */
/* Each fills in the reply's result and revision as etcd would. */
void etcd_model_txn(struct etcd_model *model, const struct fleet_txn *txn, struct fleet_reply *reply);
void etcd_model_grant(struct etcd_model *model, uint64_t ttl_s, uint64_t now, struct fleet_reply *reply);
void etcd_model_keepalive(struct etcd_model *model, int64_t lease, uint64_t now, struct fleet_reply *reply);
/* Writes one key, in a transaction of its own. */
void etcd_model_put(struct etcd_model *model, const char *key, const char *value);
/* Leases that have ended take their keys along. */
void etcd_model_expire(struct etcd_model *model, uint64_t now);
void etcd_model_revoke(struct etcd_model *model, int64_t lease);
/* What a new leader does: all leases have their whole time again. */
void etcd_model_promote(struct etcd_model *model, uint64_t now);
void etcd_model_compact(struct etcd_model *model); /* up to the present */

#endif
