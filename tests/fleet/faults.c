#include "tests/fleet/faults.h"

#include <assert.h>
#include <stdio.h>

static const char *const names[] = { "kill",   "restart", "freeze",  "freeze_control", "freeze_worker", "leave",      "drain",
	                             "cut",    "deafen",  "stall",   "member_kill",    "member_stop",   "member_cut", "leader_wakes",
	                             "quorum", "revoke",  "compact", "full",           "slow",          "copy",       "storm" };
_Static_assert(sizeof(names) / sizeof(names[0]) == FAULTS, "a name for each fault");

const char *fault_name(enum fault fault)
{
	return names[fault];
}

static uint64_t some_time(struct world *world)
{
	static const uint64_t times[] = { 1000, 4000, 9000, 10500, 12000, 13400, 15000, 20000, 25000 };
	return times[world_roll(world, sizeof(times) / sizeof(times[0]))] + world_roll(world, 700);
}

static void kill_and_start(struct world *world, size_t node, uint64_t ms)
{
	world_kill(world, node);
	world_run(world, ms);
	world_start(world, node);
}

static void leave_and_start(struct world *world, size_t node, uint64_t ms)
{
	world_leave(world, node);
	world_run(world, 3000 + ms / 3);
	world_kill(world, node);
	world_start(world, node);
}

static void drain(struct world *world, size_t node, uint64_t ms)
{
	fleet_node_drain(world->machines[node].node, true);
	world_run(world, ms);
	fleet_node_drain(world->machines[node].node, false);
}

static void lose_quorum(struct world *world, unsigned member, uint64_t ms)
{
	world_excuse(world, ms + 2000);
	world_kill_member(world, member, ms);
	world_stop_member(world, (member + 1) % WORLD_MEMBERS, ms);
	world_run(world, ms);
}

static void wake_leader(struct world *world, uint64_t ms)
{
	world_stop_member(world, world->leader, ms);
	world_run(world, ms);
	world_revoke_leases(world, 90);
}

static void compact(struct world *world, size_t node, uint64_t ms)
{
	world_cut(world, node, ms);
	world_run(world, ms - ms / 4);
	etcd_model_compact(&world->etcd);
	world_run(world, ms / 4);
}

static void fill_up(struct world *world, uint64_t ms)
{
	world_excuse(world, ms);
	world->etcd.is_full = true;
	world_run(world, ms);
	world->etcd.is_full = false;
}

static void slow_down(struct world *world, uint64_t ms)
{
	world_excuse(world, ms + 3000);
	world->slow_until = world->now + ms;
	world_run(world, ms);
}

/* Nothing tells the copy that the first one lives: it is valid, and its key is gone. Two with a name are more than one fault, so pauses are excused.
 */
static void start_copy(struct world *world, size_t node, uint64_t ms)
{
	size_t copy = world->machine_count == WORLD_MACHINES ? WORLD_MACHINES - 1 : world_copy(world, node);
	world_excuse(world, ms + 60000);
	/* Were it ahead, nobody could know of it after restarts of all that heard of it (docs/fleet.md, «What is left open»). */
	world->machines[copy].wall_offset = world->machines[node].wall_offset;
	if (world_roll(world, 2) == 0)
		world_cut(world, node, 1 + world_roll(world, ms));
	etcd_model_revoke(&world->etcd, fleet_node_lease(world->machines[node].node));
	world_start(world, copy);
	world_run(world, ms);
	world_kill(world, copy);
	world_run(world, 20000);
	world->machine_count--;
}

static void apply(struct world *world, enum fault fault, size_t node, unsigned member, uint64_t ms);

/* However many come at once, no two serve. That all are served cannot be asked. */
static void storm(struct world *world)
{
	uint64_t faults = 3 + world_roll(world, 5);
	for (uint64_t i = 0; i < faults; i++) {
		world_excuse(world, 120000);
		apply(world, (enum fault)world_roll(world, FAULT_STORM), world_roll(world, world->machine_count),
		      (unsigned)world_roll(world, WORLD_MEMBERS), some_time(world));
		world_run(world, world_roll(world, 6000));
	}
	/* The longest is over. */
	world_run(world, 26000);
	world_excuse(world, 30000);
}

static void apply(struct world *world, enum fault fault, size_t node, unsigned member, uint64_t ms)
{
	switch (fault) {
	case FAULT_KILL: kill_and_start(world, node, ms); break;
	case FAULT_RESTART: kill_and_start(world, node, 0); break;
	case FAULT_FREEZE: world_freeze(world, node, true, true, ms); break;
	case FAULT_FREEZE_CONTROL: world_freeze(world, node, true, false, ms); break;
	case FAULT_FREEZE_WORKER: world_freeze(world, node, false, true, ms); break;
	case FAULT_LEAVE: leave_and_start(world, node, ms); break;
	case FAULT_DRAIN: drain(world, node, ms); break;
	case FAULT_CUT: world_cut(world, node, ms); break;
	case FAULT_DEAFEN: world_deafen(world, node, ms); break;
	case FAULT_STALL: world_stall(world, node, ms); break;
	case FAULT_MEMBER_KILL: world_kill_member(world, member, ms); break;
	case FAULT_MEMBER_STOP: world_stop_member(world, member, ms); break;
	case FAULT_MEMBER_CUT: world_cut_member(world, member, ms); break;
	case FAULT_LEADER_WAKES: wake_leader(world, ms); break;
	case FAULT_QUORUM: lose_quorum(world, member, ms); break;
	case FAULT_REVOKE: world_revoke_leases(world, 100); break;
	case FAULT_COMPACT: compact(world, node, ms); break;
	case FAULT_FULL: fill_up(world, ms); break;
	case FAULT_SLOW: slow_down(world, ms); break;
	case FAULT_COPY: start_copy(world, node, ms); break;
	case FAULT_STORM: storm(world); break;
	case FAULTS: assert(false); break;
	}
}

void fault_happen(struct world *world, enum fault fault)
{
	size_t node = world_roll(world, world->machine_count);
	unsigned member = (unsigned)world_roll(world, WORLD_MEMBERS);
	uint64_t ms = some_time(world);
	/* Half of the time it is the one that matters most. */
	if (world_roll(world, 2) == 0) {
		int placer = world_placer(world);
		node = placer < 0 ? node : (size_t)placer;
		member = world->leader;
	}
	world_run(world, world_roll(world, 3000));
	uint64_t begin = world->now;
	if (world->shows)
		printf("%9.3f fault %s, n%zu, member %u, %llu ms\n", (double)world->now / 1000, fault_name(fault), node, member,
		       (unsigned long long)ms);
	apply(world, fault, node, member, ms);
	if (world->now < begin + ms)
		world_run(world, begin + ms - world->now);
	if (!world_settle(world, 180000)) {
		world->violations++;
		snprintf(world->first_violation, sizeof(world->first_violation), "at %.3f: no rest after %s", (double)world->now / 1000,
		         fault_name(fault));
	}
	world->excused_until = world->now;
}
