/* What a node knows of the fleet: nodes, shards and the placer, as a list and a watch of `p/` told it, and nothing that a reply to a write told it.
 * No clock; times are the caller's.
 *
 * Bounded: 1,024 nodes, 1,024 classes, 65,536 shards. What exceeds a bound is not known here, so that nobody serves it, and is counted. */
#ifndef WARREN_FLEET_VIEW_H
#define WARREN_FLEET_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/record.h"
#include "fleet/rule.h"

#define FLEET_NODES_MAX 1024
#define FLEET_CLASSES_MAX 1024
#define FLEET_SHARDS_MAX 65536
#define FLEET_ME 0        /* the node whose view this is */
#define FLEET_NOBODY (-1) /* no node */

enum fleet_view_error { FLEET_VIEW_OK = 0, FLEET_VIEW_NO_MEMORY = -1, FLEET_VIEW_WENT_BACK = -2 };

/* A key and its value as etcd sends them, without the fleet's prefix. */
struct fleet_kv {
	const char *key;
	const char *value; /* `length` bytes */
	size_t length;
	int64_t revision; /* mod_revision */
	int64_t lease;    /* 0: none */
	bool is_deleted;  /* an event that deletes the key, at `revision` */
	int64_t created;  /* create_revision: differs when the key was deleted and put again */
};

struct fleet_view_node {
	char name[FLEET_NAME];
	uint64_t hash;    /* fleet_hash of the name */
	int64_t revision; /* of its key; 0: it has none */
	int64_t lease;
	struct fleet_heartbeat heartbeat; /* the last one, even when the key has vanished */
	uint64_t wall;                    /* the latest time of day that anyone of the name has told, in ms */
	uint64_t heard_at;                /* when that was received, or when we first knew of the name */
};

struct fleet_view_class {
	char text[FLEET_CLASS_TEXT];
	struct fleet_class class;
	uint32_t *places; /* [fleet_class_shard_count]: index in `shards` plus 1; 0: none */
};

struct fleet_view_shard {
	uint32_t class;  /* index */
	uint32_t number; /* in its class */
	int owner, from; /* nodes */
	int64_t epoch;   /* revision of the owner's record; 0: there is none */
	uint64_t ts_floor;
	uint64_t received_at; /* when that record was; 0: there has never been one */
	bool is_beyond;       /* it names a node that exceeds the bound */
	int64_t changed;      /* revision of the count's record; 0: there is none */
	uint32_t count;       /* tunnels */
	bool is_touched;      /* in the queue */
};

struct fleet_view {
	struct fleet_view_node *nodes;
	size_t node_count;
	struct fleet_view_class *classes;
	size_t class_count;
	struct fleet_view_shard *shards;
	size_t shard_count;
	uint32_t *touched; /* shards that have changed since they were taken (fleet_view_take) */
	size_t touched_first, touched_count;
	int leader; /* a node, or FLEET_NOBODY */
	int64_t leader_revision;
	int64_t tokens;       /* revision of p/tokens, which differs when the fleet's tokens must be read again; 0: there is none */
	int64_t lost, gained; /* the newest revisions at which FLEET_ME lost and gained shards */
	uint64_t generation;  /* differs when something has changed that placement depends on */
	uint64_t beyond;      /* records that exceeded a bound */
};

/* `name` becomes FLEET_ME. False when out of memory. */
bool fleet_view_init(struct fleet_view *view, const char *name, uint64_t now) __attribute__((warn_unused_result));
void fleet_view_clear(struct fleet_view *view);
/* Applies one record of a list or one event of a watch. Older ones than what is known, which a watch repeats when it is opened anew, change nothing.
 * Returns a fleet_view_error; after FLEET_VIEW_NO_MEMORY the record is not applied. */
int fleet_view_apply(struct fleet_view *view, const struct fleet_kv *kv, uint64_t now);
/* Puts a complete list of `revision` in place of what was known. Takes the contents of `list` on success. FLEET_VIEW_WENT_BACK: an epoch is lower
 * than the known one, so etcd was restored from a copy, and nothing has changed. All shards are touched. A list does not tell when a heartbeat was
 * written: every node counts as heard of when it was made. */
int fleet_view_replace(struct fleet_view *view, struct fleet_view *list, int64_t revision, uint64_t now);
/* NULL: there is no record of it. */
const struct fleet_view_shard *fleet_view_find(const struct fleet_view *view, const char *class, uint32_t number);
/* The next shard that was touched, each once; NULL: none. */
const struct fleet_view_shard *fleet_view_take(struct fleet_view *view);
/* Touches the shards that FLEET_ME owns. */
void fleet_view_touch_own(struct fleet_view *view);
/* Whether no other node may still run what has left a shard at that revision: who has the shard, or must let it go, has settled since, has said that
 * it goes, or has been silent for so long that it runs nothing. */
bool fleet_view_has_let_go(const struct fleet_view *view, const struct fleet_view_shard *shard, int64_t revision, const struct fleet_rule *rule,
                           uint64_t now);
/* No handshake of what has left the shard was later: UNIX time in ms. */
uint64_t fleet_view_floor(const struct fleet_view *view, const struct fleet_view_shard *shard, const struct fleet_rule *rule);
/* How old what a node has told of its tunnels is at most, in ms; UINT64_MAX: not known. */
uint64_t fleet_view_age(const struct fleet_view *view, int node, uint64_t now);
/* Every node counts as heard of now. */
void fleet_view_forgive(struct fleet_view *view, uint64_t now);
/* Whether a shard's record names FLEET_ME. */
bool fleet_view_names_me(const struct fleet_view *view);

#endif
