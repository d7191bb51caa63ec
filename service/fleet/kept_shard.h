/* A shard of this node: its records are read from etcd, and what is here is made equal to them by mutations. Passes follow one another: a change
 * during one begins another. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_KEPT_SHARD_H
#define WARREN_SERVICE_FLEET_KEPT_SHARD_H

#include "fleet/etcd/etcd_store.h"
#include "fleet/node.h"
#include "fleet/seal.h"
#include "service/change/mutations.h"

struct found_object;

/* Why this node cannot run an object as it is to be. */
struct kept_fault {
	char key[OBJECT_KEY_SIZE];
	char detail[160];
};

/* Borrowed. */
struct kept_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct mutations *mutations;
	struct etcd_store *store;
	const struct fleet_keyring *ring;
	/* Whether nobody runs what was in a class at that revision any more; raises the floor of its handshakes. */
	bool (*has_let_go)(void *owner, const char *class, const char *key, int64_t revision, uint64_t *floor);
	void (*moved)(void *owner); /* a reading or a mutation has ended; from the loop */
	void *owner;
};

struct kept_shard {
	const struct kept_means *means;
	struct kept_shard *next; /* the keeper's */
	char class[FLEET_CLASS_TEXT];
	uint32_t number;
	int64_t epoch;
	uint64_t ts_floor;
	bool is_anew;      /* another node may have had it meanwhile: its tunnels that are here are made anew */
	bool is_lost;      /* not ours any more: it is gone once nothing is under way */
	bool must_read;    /* a pass is to begin */
	bool is_behind;    /* no pass was completed since: what its records have no more may be here */
	bool is_served;    /* a pass was completed since it is ours */
	int64_t applied;   /* the revision of the last one */
	uint64_t retry_at; /* uv_now, of a pass with faults that may pass by; 0: never */
	unsigned retries;  /* in a row */
	/* of the pass */
	struct etcd_job *job; /* while it reads */
	int64_t revision;     /* at which its records were read */
	bool is_applying;
	struct found_object *found; /* in the order of their keys */
	size_t found_count, found_room, found_cursor;
	char (*removed)[OBJECT_KEY_SIZE];
	size_t removed_count, removed_cursor;
	bool lacks_memory;
	bool has_left;             /* what was to go could not */
	bool is_holding;           /* something waits for another node to let it go */
	size_t under_way;          /* mutations */
	struct kept_fault *faults; /* of the last pass */
	size_t fault_count;
	struct kept_fault *new_faults; /* of this one; as many as are found at most */
	size_t new_fault_count;
};

/* NULL when out of memory. */
struct kept_shard *kept_shard_create(const struct kept_means *means, const char *class, uint32_t number);
void kept_shard_free(struct kept_shard *shard); /* nothing is under way */
/* Reads its records. */
void kept_shard_begin(struct kept_shard *shard);
/* The next mutation of its pass; false: there is none to submit now. */
bool kept_shard_step(struct kept_shard *shard);
/* No more is submitted. */
void kept_shard_lose(struct kept_shard *shard);
bool kept_shard_is_busy(const struct kept_shard *shard);
/* Whether a snapshot is of the fleet and of this shard. */
bool kept_shard_has(const struct kept_shard *shard, const struct snapshot *snapshot);
/* Submits a mutation of the fleet's with one operation, which is filled but for its origin. */
void kept_shard_submit(struct mutations *mutations, struct mutation *mutation, void (*done)(struct mutation *mutation, void *owner), void *owner);

#endif
