/* All tunnels and pools, ordered by key. Readers of any thread take references under a mutex that is held for a look-up or the
 * swap of a pointer and never for anything slow; only the service's thread changes it. */
#ifndef WARREN_SERVICE_REGISTRY_REGISTRY_H
#define WARREN_SERVICE_REGISTRY_REGISTRY_H

#include "service/registry/allowance.h"
#include "service/registry/lock_queue.h"
#include "service/registry/object_key.h"
#include "service/registry/slot.h"
#include "service/registry/snapshot.h"
#include "service/socket/socket_list.h"

struct registry;
struct worker;
struct peer_lookup;

/* The data of a tunnel or a pool for the service's thread. The snapshot holds what others may see. */
struct entry {
	char key[OBJECT_KEY_SIZE];
	const char *id;            /* in the key */
	uint64_t number;           /* of no other tunnel or pool in the daemon's life */
	struct snapshot *snapshot; /* the current one, referenced; changed only by registry_swap */
	struct entry *next_by_key; /* with a key of the same bucket */
	struct entry *next_by_via; /* with an outer tunnel of the same bucket */
	bool is_listed;            /* in the registry */
	struct worker *worker;     /* NULL: none (it failed before) */
	struct slot *slot;         /* its place in the worker's counters */
	unsigned provisionings;    /* how often a worker was given the whole of it */
	uint64_t old_generation;   /* that the worker may still run, since its COMMIT is unanswered; else 0 */
	struct runtime_status *status;
	struct socket_list sockets;
	uint32_t next_socket_id;
	struct message_addresses *addresses; /* of the snapshot's peers, when one of them has a name; else NULL */
	struct peer_lookup *lookups;
	bool lacks_lookup; /* memory was missing for one: peer_lookup_retry */
	uint8_t timestamp_floor[12];
	uint64_t total_bytes;                             /* used, as stored */
	uint64_t recorded_sent, recorded_received;        /* the recorder's: what was counted at its last tick */
	struct allowance dial_rate, relay_rate, udp_rate; /* of the sockets that its worker requests */
	bool is_dirty;                                    /* the two above have changed since they were stored */
	bool is_waiting; /* to be provisioned after the worker has answered others: the worker does not have it yet */
	bool is_unbound; /* found at the start, and its sockets could not be opened yet: registry_bound */
	char *ports;     /* while it is unbound: those of the last run */
};

/* Borrows the locks. NULL when out of memory. */
struct registry *registry_create(const struct lock_queue *locks);
void registry_free(struct registry *registry);

/* Told, on the service's thread and outside of any lock, of each entry that has another snapshot than before. */
struct registry_watcher {
	void (*changed)(void *owner, struct entry *entry); /* or added */
	void (*removed)(void *owner, struct entry *entry);
	void *owner;
};
void registry_watch(struct registry *registry, const struct registry_watcher *watcher); /* one of two at most */
void registry_unwatch(struct registry *registry, const void *owner);                    /* nothing if that does not watch */

struct entry *entry_create(const char *key); /* NULL when out of memory */
/* Closes its sockets and releases its resources. Its look-ups must have ended. */
void entry_free(struct entry *entry);

/* Its handshakes are to be later than that: UNIX time in ms. A worker hears of it with the next runtime that it makes. */
void entry_raise_floor(struct entry *entry, uint64_t wall_ms);
bool entry_floor_is_before(const struct entry *entry, uint64_t wall_ms);

/* Only for the service's thread. */
struct entry *registry_entry(struct registry *registry, const char *key); /* or NULL */
struct entry *registry_pool(struct registry *registry, uint64_t number);  /* the pool of that number, or NULL */
/* The tunnel that one with this spec goes through; NULL: none, or it is gone. */
struct entry *registry_outer(struct registry *registry, const struct spec *spec);
/* Whether a tunnel with this id and spec goes through another, or another through it. */
bool registry_is_chained(struct registry *registry, const char *id, const struct spec *spec);
/* The tunnels that go through the one with this id, whether that is there or not: one after the other, from NULL to NULL. */
struct entry *registry_next_inside(struct registry *registry, const char *id, const struct entry *last);
/* Is another number after each change that may have parted a tunnel from its outer one. */
uint64_t registry_chain_version(const struct registry *registry);
size_t registry_count(const struct registry *registry);
struct entry *registry_at(struct registry *registry, size_t index);
/* Reserves room for that many adds, so that they cannot fail; to be unreserved when they are done or not needed. */
bool registry_reserve(struct registry *registry, size_t more);
void registry_unreserve(struct registry *registry, size_t count);
/* Gives the entry its number, if it has none. */
void registry_number(struct registry *registry, struct entry *entry);
/* For the program that takes this one's place: the last number given, and that none up to it is given again. */
uint64_t registry_last_number(const struct registry *registry);
void registry_skip_numbers(struct registry *registry, uint64_t last);
void registry_add(struct registry *registry, struct entry *entry);
void registry_remove(struct registry *registry, struct entry *entry); /* the entry stays the caller's */
size_t registry_unbound_count(const struct registry *registry);       /* of the entries in it */
void registry_bound(struct registry *registry, struct entry *entry);  /* it is not unbound any more, if it was */
/* An entry has one owner at a time: `turn` is the running claim of who changes it, or NULL for what is done at once while nobody else
 * has or waits for the turn. Everything that changes a snapshot, the sockets or the addresses asserts it here. */
void registry_assert_turn(const struct registry *registry, const struct entry *entry, const struct lock_claim *turn);
/* Takes the reference and returns the old one, to be released outside any lock. The caller has the turn. */
struct snapshot *registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot);

/* Any thread. */
struct snapshot *registry_find(struct registry *registry, const char *key);
/* Takes up to `most` references to the tunnels with this public key; returns the count. */
size_t registry_read_key(struct registry *registry, const struct wireguard_key *key, struct snapshot **snapshots, size_t most);
/* Takes up to `most` references to the tunnels that go through the one with this id, whether that is there or not; returns the count. */
size_t registry_read_inside(struct registry *registry, const char *id, struct snapshot **snapshots, size_t most);
/* Takes up to `most` references to those of the kind with ids greater than `after` ("" for all); returns the count. */
size_t registry_read(struct registry *registry, enum spec_kind kind, const char *after, struct snapshot **snapshots, size_t most);

#endif
