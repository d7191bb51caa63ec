/* Reads and writes any records of the fleet, beside what the core asks (fleet/etcd/etcd_client.h) and over connections of its own, so that none
 * delays a heartbeat. What exceeds ETCD_CALLS waits, in order. Nothing is tried again.
 *
 * All on the loop's thread. Nothing blocks. Everything told is from the loop, and never from within a function of this header. */
#ifndef WARREN_FLEET_ETCD_ETCD_STORE_H
#define WARREN_FLEET_ETCD_ETCD_STORE_H

#include "fleet/etcd/gateway.h"
#include "fleet/txn.h"

struct etcd_store;
struct etcd_job; /* a read or a write that is under way or waits */

struct etcd_store_listener {
	void *owner;
	/* A record of a read, its key without the prefix. Valid during the call; a byte 0 is behind the value. NULL for a write. */
	void (*record)(void *owner, const struct fleet_kv *kv);
	/* It is over, and the job gone. `has_succeeded`: of a write, whether its comparisons held. `revision`: at which all records were read, or the
	 * write was done; 0 after an error. */
	void (*done)(void *owner, enum etcd_error error, bool has_succeeded, int64_t revision);
};

/* NULL when out of memory. */
struct etcd_store *etcd_store_create(uv_loop_t *loop, const struct etcd_client_config *config);
/* Ends all jobs and tells nothing more. The loop must run once more. Not from within a listener. NULL is allowed. */
void etcd_store_free(struct etcd_store *store);

/* Each returns NULL when out of memory, and then nothing comes back. */
/* The record of a key, or those of all keys that begin with a text that ends with a slash: linearizable, and all of one revision. */
struct etcd_job *etcd_store_read(struct etcd_store *store, const char *key, const struct etcd_store_listener *listener);
/* The transaction is read before this returns. After an error it may have been done, or be done later, unless etcd_error_is_refusal. */
struct etcd_job *etcd_store_write(struct etcd_store *store, const struct fleet_txn *txn, const struct etcd_store_listener *listener);
/* Nothing more is told. From within a listener too; not from within `done`. */
void etcd_store_cancel(struct etcd_job *job);

#endif
