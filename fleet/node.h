/* A node's life in the fleet: what it asks of etcd, until when it is valid, and which shards are its own. No I/O, no clock, no thread: events and
 * times go in, requests and changes come out. One thread.
 *
 * The states, and what they allow. «Silent» means: nothing is sent for a tunnel whose policy is `stop`.
 *
 * - starting: no key of its own yet. Silent. A key of its name from another boot is another machine, until that has been silent for ttl + margin.
 *   On the same boot a file lock has proved the earlier process dead.
 * - joined: its key is written; it lists, watches, and waits for its first heartbeat to come back. Silent.
 * - valid: serves the shards that it owns, until fleet_node_deadline.
 * - lapsed: the deadline has passed. Silent at once, whoever is stuck: workers compare the deadline themselves. A heartbeat that comes back makes it
 *   valid again, every change before it already applied.
 * - evicted: the lease is gone, or the key is another's. Silent; it joins anew, and its watch goes on.
 * - leaving: silent for good, whatever comes back. It says so first as `drain`, and as `bye` when its workers are silent.
 * - left: `bye` is written. Nothing more is asked.
 * - astray: what answers is not the etcd that it knew (another cluster, or one that went back). It asks nothing more, changes nothing, and lapses.
 *   Somebody must decide.
 *
 * A heartbeat counts once it is read back AND the workers have confirmed that they are silent for every shard lost up to its revision
 * (fleet_node_silent). Otherwise a worker that stands still would find a fresh deadline and an old list of its shards when it goes on.
 *
 * A node that writes heartbeats and hears none would serve nothing and never be silent, so that nobody takes its shards. So a node that has not heard
 * itself for a while (fleet_rule_blind) is mute: it writes a heartbeat only when etcd has answered something since the last one, and when no
 * heartbeat that etcd has acknowledged is still to come back.
 *
 * A name may have two holders for a while: a lease can vanish early, and a copied disk join in its place. So a node that joined where it found no
 * key, while shards name it, waits ttl + margin before it is valid, and says `a` = 0 until then. */
#ifndef WARREN_FLEET_NODE_H
#define WARREN_FLEET_NODE_H

#include "fleet/fleet_request.h"
#include "fleet/rule.h"

enum fleet_node_state {
	FLEET_NODE_STARTING,
	FLEET_NODE_JOINED,
	FLEET_NODE_VALID,
	FLEET_NODE_LAPSED,
	FLEET_NODE_EVICTED,
	FLEET_NODE_LEAVING,
	FLEET_NODE_LEFT,
	FLEET_NODE_ASTRAY,
	FLEET_NODE_STATES
};

struct fleet_node_config {
	const char *name, *boot, *address, *version; /* copied; the version may be NULL */
	uint32_t capacity;
	const struct spec_label *labels; /* copied; sorted by key */
	size_t label_count;
	struct fleet_rule rule;
	uint64_t seed; /* of its back-off; random */
};

/* What has changed about a shard: it is ours or no more, or its tunnels must be read again. */
struct fleet_change {
	const char *class; /* borrowed until the next event */
	uint32_t shard;
	int64_t epoch;     /* 0: it is not ours; tunnels of it must be silent */
	uint64_t ts_floor; /* ms: no handshake may have an earlier timestamp */
	int64_t changed;   /* a revision; differs when its tunnels must be read again */
};

struct fleet_node;

/* NULL when out of memory, or when the heartbeat does not fit into FLEET_VALUE_TEXT. */
struct fleet_node *fleet_node_create(const struct fleet_node_config *config, uint64_t now);
void fleet_node_free(struct fleet_node *node);                  /* NULL is allowed */
const char *fleet_node_state_name(enum fleet_node_state state); /* "valid" */

/* ---- Asked for ---- */
void fleet_node_drain(struct fleet_node *node, bool is_draining);
void fleet_node_leave(struct fleet_node *node);
/* After fleet_node_leave, when the workers serve nothing any more, whatever their policy. */
void fleet_node_say_bye(struct fleet_node *node);

/* ---- Of etcd ---- */
/* The next request, until it returns false. To be called after every event and at fleet_node_wake. `wall` is the time of day in ms. */
bool fleet_node_next(struct fleet_node *node, struct fleet_request *request, uint64_t wall, uint64_t now);
/* When fleet_node_next must be called next, if nothing happens before; FLEET_NEVER. */
uint64_t fleet_node_wake(const struct fleet_node *node, uint64_t now);
void fleet_node_reply(struct fleet_node *node, const struct fleet_reply *reply, uint64_t now);
void fleet_node_listed(struct fleet_node *node, const struct fleet_kv *kv, uint64_t now);
/* The watch's stream. An answer may come in fragments: fleet_node_watch_progress when the last one is read, with the revision of its last event,
 * because only then is every event of that revision here. (The header of an answer that catches up is ahead of its events.) */
void fleet_node_watch_created(struct fleet_node *node, int64_t revision, uint64_t cluster);
void fleet_node_watch_event(struct fleet_node *node, const struct fleet_kv *kv, uint64_t now);
void fleet_node_watch_progress(struct fleet_node *node, int64_t revision, uint64_t now);
void fleet_node_watch_ended(struct fleet_node *node, bool is_compacted, uint64_t now);

/* ---- To the workers ---- */
/* Until when they may send; 0: not at all. To be stored in shared memory whenever something has happened. */
uint64_t fleet_node_deadline(const struct fleet_node *node);
/* The next change. False: there is none, and fleet_node_applied is the revision that all changes so far lead to. */
bool fleet_node_next_change(struct fleet_node *node, struct fleet_change *change);
int64_t fleet_node_applied(const struct fleet_node *node);
/* The workers have carried out every change up to a revision: what was lost is silent; what was gained is served. */
void fleet_node_silent(struct fleet_node *node, int64_t revision);
void fleet_node_running(struct fleet_node *node, int64_t revision);

/* Its shards are as their records were at that revision; its next heartbeat says so. */
void fleet_node_settled(struct fleet_node *node, int64_t revision);
/* How its tunnels were at that time is written for the others; its next heartbeat says so. */
void fleet_node_told(struct fleet_node *node, uint64_t at);

/* ---- What is ---- */
enum fleet_node_state fleet_node_state(const struct fleet_node *node, uint64_t now);
const struct fleet_view *fleet_node_view(const struct fleet_node *node);
int64_t fleet_node_lease(const struct fleet_node *node); /* 0: none */
/* Whether it may judge others: valid, staying, and not blind. */
bool fleet_node_may_place(const struct fleet_node *node, uint64_t now);

#endif
