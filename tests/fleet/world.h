/* A fleet as a deterministic simulation: etcd's three members and its store, a network, and machines, each with a clock of its own, a control process
 * (fleet/node.h, fleet/placer.h) and a worker that serves shards only while its deadline permits. One seed gives one course of events.
 *
 * A referee sees every act of every worker, at each moment at which one can begin, and counts as a violation
 *
 * - an act under an older epoch than one under which the shard was served already,
 * - a moment at which two workers may serve one shard,
 * - a handshake of a new owner with a timestamp before the last one of the old owner, which peers drop,
 * - a shard that nobody serves for ttl + margin + 1 s, unless etcd was unable to help (world_excuse). */
#ifndef WARREN_TESTS_FLEET_WORLD_H
#define WARREN_TESTS_FLEET_WORLD_H

#include "fleet/placer.h"
#include "tests/fleet/etcd_model.h"

#define WORLD_MACHINES 6
#define WORLD_SHARDS 64
#define WORLD_MEMBERS 3
#define WORLD_EVENTS 16384

struct world_event;

struct world_shard {
	char class[32];
	uint32_t number;
	int64_t acted_epoch; /* the newest under which it was served */
	uint64_t served_at;
	uint64_t timestamp; /* the newest of a handshake, by its owner's time of day */
	bool is_exempt;     /* of the referee's third rule: its only node may be down */
};

struct worker {
	int64_t epochs[WORLD_SHARDS]; /* 0: not served */
	uint64_t frozen_until, frozen_since;
	uint64_t life;
	uint64_t told_until; /* messages to it arrive in order */
};

struct machine {
	char name[16], boot[16];
	bool is_up;
	uint64_t life;  /* events of an earlier one are dropped */
	int64_t offset; /* ms, of its clock */
	int slew_ppm;
	int64_t wall_offset;
	struct fleet_rule rule; /* what it believes */
	uint32_t capacity;
	char region[8];

	struct fleet_node *node;
	struct fleet_placer *placer;
	enum fleet_node_state state; /* as it was shown last */
	uint64_t deadline;           /* by its own clock, in shared memory */
	int64_t owned[WORLD_SHARDS];
	uint64_t floors[WORLD_SHARDS]; /* ts_floor */
	unsigned confirmations_due;
	uint64_t frozen_until; /* the control process */
	uint64_t wake_at;
	struct worker worker;

	/* Its client. */
	unsigned member;
	uint64_t sequence[FLEET_REQUEST_KINDS];
	uint64_t cut_until, deaf_until, stalled_until;
	bool is_stream_open, is_stream_due;
	uint64_t stream;      /* messages of an earlier one are dropped */
	uint64_t stream_next; /* place in the history */
	unsigned stream_member;
};

struct member {
	uint64_t down_until, stopped_until, cut_until;
};

struct world {
	uint64_t now; /* true ms */
	uint64_t dice, next_sequence;
	struct etcd_model etcd;
	struct member members[WORLD_MEMBERS];
	unsigned leader;
	uint64_t elected_at; /* no quorum's work before */
	uint64_t no_quorum_since;
	uint64_t slow_until; /* the network */
	struct machine machines[WORLD_MACHINES];
	size_t machine_count;
	struct world_shard shards[WORLD_SHARDS];
	size_t shard_count;
	struct world_event *events; /* a heap */
	size_t event_count;
	bool keeps;      /* policy: workers ignore the deadline */
	bool supervises; /* a worker that stands still for 5 s is replaced */
	bool shows;      /* prints what happens */

	uint64_t excused_until;
	uint64_t violations, acts, takeovers, longest_pause;
	char first_violation[256];
};

/* `machines` nodes and `shards` shards of the class `any`, nothing started; free with world_clear. */
void world_init(struct world *world, uint64_t seed, size_t machines, size_t shards);
void world_clear(struct world *world);
/* Adds a shard, with tunnels. */
void world_add_shard(struct world *world, const char *class, uint32_t number, uint32_t count);
uint64_t world_roll(struct world *world, uint64_t below);
void world_run(struct world *world, uint64_t ms);
/* Starts all, and runs until everything is served and at rest. */
void world_begin(struct world *world);

/* What happens to machines. */
void world_start(struct world *world, size_t machine);
void world_kill(struct world *world, size_t machine); /* -9, workers too */
void world_freeze(struct world *world, size_t machine, bool control, bool worker, uint64_t ms);
void world_leave(struct world *world, size_t machine); /* SIGTERM: it ends when it has left */
void world_cut(struct world *world, size_t machine, uint64_t ms);
void world_deafen(struct world *world, size_t machine, uint64_t ms); /* its requests arrive, and nothing comes back */
void world_stall(struct world *world, size_t machine, uint64_t ms);  /* its watches stand still; its requests do not */
/* Another machine with the name of one, and a boot of its own; not started. Returns its number. */
size_t world_copy(struct world *world, size_t machine);

/* What happens to etcd. */
void world_kill_member(struct world *world, unsigned member, uint64_t ms);
void world_stop_member(struct world *world, unsigned member, uint64_t ms);
void world_cut_member(struct world *world, unsigned member, uint64_t ms);
void world_revoke_leases(struct world *world, unsigned percent);
/* Until `ms` from now, or longer if it does already, the referee excuses pauses; after that one may last ttl + margin + 1 s. */
void world_excuse(struct world *world, uint64_t ms);

/* What is. */
bool world_is_served(const struct world *world);           /* every shard, by exactly one worker, now */
int world_server(const struct world *world, size_t shard); /* the machine, or -1 */
size_t world_load(const struct world *world, size_t machine);
int world_placer(const struct world *world); /* the machine that leads, or -1 */
/* Runs until everything is served and nothing is written but heartbeats for 5 s. False: not within `ms`. */
bool world_settle(struct world *world, uint64_t ms);

#endif
