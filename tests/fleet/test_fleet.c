/* A fleet under the faults that it must survive, one by one, in a simulation (world.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fleet/faults.h"

static struct world world;

static int begin(void **state)
{
	(void)state;
	world_init(&world, 1, 3, 24);
	world.shows = getenv("SHOW") != NULL;
	world_begin(&world);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_clear(&world);
	return 0;
}

/* ---- What is looked at ---- */

static int servers[WORLD_SHARDS];
static int64_t epochs[WORLD_SHARDS];

static void remember(void)
{
	world.longest_pause = 0;
	for (size_t i = 0; i < world.shard_count; i++) {
		servers[i] = world_server(&world, i);
		epochs[i] = world.shards[i].acted_epoch;
	}
}

/* Nothing was written about a shard since, so that nothing has moved, not even back and forth. `node` may have lost and got what it had. */
static void assert_no_moves_but_of(int node)
{
	for (size_t i = 0; i < world.shard_count; i++)
		if (servers[i] != node)
			assert_int_equal(world.shards[i].acted_epoch, epochs[i]);
}

static void assert_no_violation(void)
{
	if (world.violations > 0)
		print_error("%s\n", world.first_violation);
	assert_int_equal(world.violations, 0);
}

static size_t placer(void)
{
	int node = world_placer(&world);
	assert_true(node >= 0);
	return (size_t)node;
}

static size_t other(void)
{
	return (placer() + 1) % 3;
}

static enum fleet_node_state state_of(size_t node)
{
	const struct machine *machine = &world.machines[node];
	return fleet_node_state(machine->node, (uint64_t)((int64_t)world.now + machine->offset + (int64_t)world.now * machine->slew_ppm / 1000000));
}

/* All is as it should be: served by one each, at rest, balanced. */
static void assert_rest(void)
{
	assert_true(world_settle(&world, 90000));
	for (size_t i = 0; i < 3; i++)
		assert_in_range(world_load(&world, i), 4, 13);
	assert_no_violation();
}

/* ---- Nodes ---- */

static void a_fleet_begins_and_is_balanced(void **state)
{
	(void)state;
	assert_rest();
}

static void kill_and_see(size_t node)
{
	remember();
	world_kill(&world, node);
	world_run(&world, 14500);
	assert_true(world_is_served(&world));
	assert_int_equal(world_load(&world, node), 0);
	assert_no_moves_but_of((int)node);
	world_start(&world, node);
	assert_rest();
}

static void a_killed_nodes_shards_are_served_in_time(void **state)
{
	(void)state;
	kill_and_see(other());
}

static void a_killed_placers_shards_are_served_in_time(void **state)
{
	(void)state;
	kill_and_see(placer());
}

static void a_node_that_restarts_at_once_has_its_shards_at_once(void **state)
{
	(void)state;
	size_t node = other();
	remember();
	world_kill(&world, node);
	world_start(&world, node);
	world_run(&world, 2000);
	assert_true(world_is_served(&world));
	assert_no_moves_but_of(-1);
	assert_in_range(world.longest_pause, 0, 1000);
	assert_rest();
}

static void a_node_that_ends_gives_its_shards_away_at_once(void **state)
{
	(void)state;
	size_t node = other();
	remember();
	world_leave(&world, node);
	world_run(&world, 3000);
	assert_false(world.machines[node].is_up);
	assert_true(world_is_served(&world));
	assert_no_moves_but_of((int)node);
	assert_in_range(world.longest_pause, 0, 1500);
	world_start(&world, node);
	assert_rest();
}

static void a_placer_that_ends_gives_its_shards_away_at_once(void **state)
{
	(void)state;
	size_t node = placer();
	remember();
	world_leave(&world, node);
	world_run(&world, 3000);
	assert_true(world_is_served(&world));
	assert_in_range(world.longest_pause, 0, 2500);
	world_start(&world, node);
	assert_rest();
}

/* One shard at a time, each new owner serving before the next goes. */
static void drain_and_see(size_t node)
{
	size_t load = world_load(&world, node);
	uint64_t end_at = world.now + 60000;
	remember();
	fleet_node_drain(world.machines[node].node, true);
	while (world_load(&world, node) > 0) {
		size_t paused = 0;
		world_run(&world, 10);
		assert_true(world.now < end_at);
		for (size_t i = 0; i < world.shard_count; i++)
			paused += world_server(&world, i) < 0;
		assert_in_range(paused, 0, 1);
		assert_in_range(load - world_load(&world, node), 0, 1);
		load = world_load(&world, node);
	}
	assert_no_moves_but_of((int)node);
	assert_in_range(world.longest_pause, 0, 2500);
	assert_true(world_settle(&world, 60000));
	assert_int_equal(world_load(&world, node), 0);
	assert_no_violation();
	fleet_node_drain(world.machines[node].node, false);
	assert_rest();
}

static void a_drained_node_ends_empty(void **state)
{
	(void)state;
	drain_and_see(other());
}

static void a_drained_placer_ends_empty(void **state)
{
	(void)state;
	drain_and_see(placer());
}

static void a_stop_that_is_short_moves_nothing(void **state)
{
	static const uint64_t times[] = { 1000, 5000, 9000, 9000 };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		remember();
		world_freeze(&world, i % 2 == 0 ? placer() : other(), true, true, times[i]);
		world_run(&world, times[i] + 2000);
		assert_no_moves_but_of(-1);
		assert_rest();
	}
}

/* When it goes on, the deadline is over before its first packet (world.c lets a worker act before it reads anything). */
static void a_stop_that_is_long_moves_its_shards_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t node = i % 2 == 0 ? placer() : other();
		uint64_t ms = i < 2 ? 20000 : 12000;
		remember();
		world_freeze(&world, node, true, true, ms);
		world_run(&world, 14500);
		assert_true(world_is_served(&world));
		/* After 12 s it is back when the last of them has just moved, and some move again. */
		if (ms == 20000)
			assert_no_moves_but_of((int)node);
		world_run(&world, 5500);
		assert_rest();
	}
}

static void a_control_process_that_stands_still_stops_its_worker(void **state)
{
	(void)state;
	size_t node = other();
	world_freeze(&world, node, true, false, 20000);
	world_run(&world, 10600);
	assert_int_equal(world_load(&world, node), 0);
	world_run(&world, 3900);
	assert_true(world_is_served(&world));
	world_run(&world, 6000);
	assert_rest();
}

static void a_worker_that_stands_still_is_replaced(void **state)
{
	(void)state;
	remember();
	world_freeze(&world, other(), false, true, 60000);
	world_run(&world, 6000);
	assert_true(world_is_served(&world));
	assert_no_moves_but_of(-1);
	assert_rest();
}

/* Nobody replaces it. It has not confirmed that it let go, so that no heartbeat after the release gives it time; when it goes on, it serves nothing
 * of what others have. */
static void a_worker_that_sleeps_through_a_release_wakes_too_late(void **state)
{
	(void)state;
	size_t node = other();
	world.supervises = false;
	fleet_node_drain(world.machines[node].node, true);
	world_run(&world, 30);
	world_freeze(&world, node, false, true, 40000);
	world_excuse(&world, 40000);
	world_run(&world, 45000);
	assert_no_violation();
	fleet_node_drain(world.machines[node].node, false);
	assert_rest();
}

/* ---- Names ---- */

static void a_copied_disk_waits_while_the_first_one_lives(void **state)
{
	(void)state;
	size_t node = other(), copy = world_copy(&world, node);
	remember();
	world_start(&world, copy);
	world_run(&world, 60000);
	assert_int_equal(state_of(copy), FLEET_NODE_STARTING);
	assert_no_moves_but_of(-1);
	assert_int_equal(world.longest_pause, 0);
	/* It takes over the name when the first one is silent. */
	world_kill(&world, node);
	world_run(&world, 16000);
	assert_int_equal(state_of(copy), FLEET_NODE_VALID);
	assert_no_violation();
}

/* Its key vanished early, and the copy finds none: it must not serve what the first one may still serve. */
static void a_copied_disk_waits_when_the_firsts_key_has_vanished(void **state)
{
	(void)state;
	size_t node = other(), copy = world_copy(&world, node);
	world_cut(&world, node, 30000);
	etcd_model_revoke(&world.etcd, fleet_node_lease(world.machines[node].node));
	world_start(&world, copy);
	world_run(&world, 13000);
	assert_int_equal(state_of(copy), FLEET_NODE_JOINED);
	world_run(&world, 3000);
	assert_int_equal(state_of(copy), FLEET_NODE_VALID);
	world_run(&world, 30000);
	assert_no_violation();
}

/* A whole fleet that was off: its keys are gone, its shards still named. */
static void a_fleet_that_was_off_has_its_owners_again(void **state)
{
	(void)state;
	remember();
	for (size_t i = 0; i < 3; i++)
		world_kill(&world, i);
	world_excuse(&world, 120000 + 20000);
	world_run(&world, 120000);
	for (size_t i = 0; i < 3; i++)
		world_start(&world, i);
	world_run(&world, 20000);
	assert_true(world_is_served(&world));
	assert_no_moves_but_of(-1);
	assert_rest();
}

/* ---- The network of one node ---- */

static void cut_and_see(uint64_t ms, bool is_moved, void (*cut)(struct world *, size_t, uint64_t))
{
	size_t node = ms % 2000 == 0 ? placer() : other();
	remember();
	cut(&world, node, ms);
	world_run(&world, ms);
	if (!is_moved)
		assert_no_moves_but_of(-1);
	assert_no_moves_but_of((int)node);
	assert_true(world_is_served(&world) || !is_moved);
	assert_rest();
}

static void a_node_that_is_cut_off_briefly_keeps_its_shards(void **state)
{
	(void)state;
	cut_and_see(4000, false, world_cut);
	cut_and_see(9000, false, world_cut);
}

static void a_node_that_is_cut_off_for_long_loses_its_shards(void **state)
{
	(void)state;
	cut_and_see(25000, true, world_cut);
	cut_and_see(26000, true, world_cut);
}

/* Without the rule of the mute node it would be heard of for ever and serve nothing. */
static void a_node_that_hears_nothing_loses_its_shards(void **state)
{
	(void)state;
	cut_and_see(30001, true, world_stall);
	cut_and_see(30000, true, world_stall);
	cut_and_see(30001, true, world_deafen);
	cut_and_see(30000, true, world_deafen);
}

/* ---- Members of etcd ---- */

static void a_member_that_fails_pauses_nothing(void **state)
{
	static void (*const faults[])(struct world *, unsigned, uint64_t) = { world_kill_member, world_stop_member, world_cut_member };
	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		remember();
		faults[i / 2](&world, i % 2 == 0 ? world.leader : (world.leader + 1) % WORLD_MEMBERS, 25000);
		world_run(&world, 40000);
		assert_no_moves_but_of(-1);
		assert_int_equal(world.longest_pause, 0);
		assert_rest();
	}
}

static void lose_quorum(uint64_t ms)
{
	world_kill_member(&world, 0, ms);
	world_kill_member(&world, 1, ms);
	world_excuse(&world, ms + 3000);
	world_run(&world, ms);
}

static void a_short_loss_of_the_quorum_moves_nothing(void **state)
{
	(void)state;
	remember();
	lose_quorum(5000);
	world_run(&world, 10000);
	assert_in_range(world.longest_pause, 0, 2000);
	assert_no_moves_but_of(-1);
	assert_rest();
}

static void a_long_loss_of_the_quorum_silences_and_moves_nothing(void **state)
{
	(void)state;
	remember();
	lose_quorum(40000);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(world_load(&world, i), 0);
		assert_int_equal(state_of(i), FLEET_NODE_LAPSED);
	}
	world_run(&world, 8000);
	assert_true(world_is_served(&world));
	world_run(&world, 30000);
	assert_no_moves_but_of(-1);
	assert_rest();
}

static void with_the_policy_keep_a_loss_of_the_quorum_stops_nothing(void **state)
{
	(void)state;
	world.keeps = true;
	remember();
	lose_quorum(40000);
	assert_true(world_is_served(&world));
	assert_int_equal(world.longest_pause, 0);
	world_run(&world, 30000);
	assert_no_moves_but_of(-1);
	assert_rest();
}

/* Two serve while one is isolated; whoever has the lower epoch yields when it sees the other. */
static void with_the_policy_keep_twins_end_when_the_cut_is_healed(void **state)
{
	(void)state;
	size_t node = other();
	world.keeps = true;
	world_cut(&world, node, 40000);
	world_run(&world, 39000);
	assert_true(world_load(&world, node) > 0);
	assert_false(world_is_served(&world));
	assert_int_equal(state_of(node), FLEET_NODE_LAPSED);
	world_run(&world, 5000);
	assert_true(world_is_served(&world));
	assert_rest();
}

/* ---- Leases, history, room ---- */

static void leases_that_vanish_move_nothing(void **state)
{
	(void)state;
	remember();
	world_revoke_leases(&world, 100);
	world_run(&world, 20000);
	assert_no_moves_but_of(-1);
	assert_in_range(world.longest_pause, 0, 200);
	assert_rest();
}

/* A frozen leader that wakes may revoke live leases (fixed in etcd after 3.4.23). */
static void a_leader_that_wakes_moves_nothing(void **state)
{
	(void)state;
	remember();
	world_stop_member(&world, world.leader, 20000);
	world_run(&world, 20000);
	world_revoke_leases(&world, 97);
	world_run(&world, 20000);
	assert_no_moves_but_of(-1);
	assert_in_range(world.longest_pause, 0, 1000);
	assert_rest();
}

static void a_history_that_is_compacted_is_listed_anew(void **state)
{
	static const uint64_t times[] = { 8000, 25000 };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t node = other();
		remember();
		world_cut(&world, node, times[i]);
		world_run(&world, times[i] - 500);
		etcd_model_compact(&world.etcd);
		assert_no_moves_but_of(times[i] > 13500 ? (int)node : -1);
		assert_rest();
	}
}

static void a_full_etcd_silences_and_moves_nothing(void **state)
{
	(void)state;
	remember();
	world.etcd.is_full = true;
	world_excuse(&world, 60000);
	world_run(&world, 60000);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(world_load(&world, i), 0);
	world.etcd.is_full = false;
	world_run(&world, 10000);
	assert_true(world_is_served(&world));
	assert_no_moves_but_of(-1);
	assert_rest();
}

static void wipe(uint64_t cluster)
{
	etcd_model_clear(&world.etcd);
	etcd_model_init(&world.etcd, cluster);
	for (size_t i = 0; i < 3; i++) {
		world.machines[i].is_stream_open = false;
		world_cut(&world, i, 100);
	}
}

/* What runs by policy keeps running, nobody takes the empty store for the truth, and nothing is written into it. */
static void a_wiped_etcd_changes_nothing(void **state)
{
	(void)state;
	for (uint64_t cluster = 77; cluster <= 78; cluster++) {
		world.keeps = true;
		remember();
		wipe(cluster);
		world_excuse(&world, 60000);
		world_run(&world, 60000);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(state_of(i), FLEET_NODE_ASTRAY);
		assert_true(world_is_served(&world));
		assert_no_moves_but_of(-1);
		assert_int_equal(world.etcd.shard_writes, 0);
		end(NULL);
		begin(NULL);
	}
}

/* ---- Many, and the referee itself ---- */

static void random_faults_violate_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		end(NULL);
		world_init(&world, seed, 4, 24);
		world_begin(&world);
		for (size_t i = 0; i < 40; i++)
			fault_happen(&world, (enum fault)world_roll(&world, FAULTS));
		assert_no_violation();
	}
}

/* A node that believes to be valid for 20 s, while the others move its shards after 13.5 s: were this not seen, the referee would be blind. */
static void a_broken_margin_is_seen(void **state)
{
	(void)state;
	end(NULL);
	world_init(&world, 1, 3, 24);
	world.machines[0].rule = (struct fleet_rule){ .ttl = 21500, .margin = 1500 };
	world_begin(&world);
	world_cut(&world, 0, 30000);
	world_run(&world, 30000);
	assert_in_range(world.violations, 100, 100000);
}

static void a_broken_margin_is_seen_by_random_faults(void **state)
{
	(void)state;
	end(NULL);
	world_init(&world, 1, 3, 24);
	world.machines[0].rule = (struct fleet_rule){ .ttl = 21500, .margin = 1500 };
	world_begin(&world);
	for (size_t i = 0; i < 100 && world.violations == 0; i++)
		fault_happen(&world, (enum fault)world_roll(&world, FAULTS));
	assert_true(world.violations > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_fleet_begins_and_is_balanced, begin, end),
		cmocka_unit_test_setup_teardown(a_killed_nodes_shards_are_served_in_time, begin, end),
		cmocka_unit_test_setup_teardown(a_killed_placers_shards_are_served_in_time, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_restarts_at_once_has_its_shards_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_ends_gives_its_shards_away_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_placer_that_ends_gives_its_shards_away_at_once, begin, end),
		cmocka_unit_test_setup_teardown(a_drained_node_ends_empty, begin, end),
		cmocka_unit_test_setup_teardown(a_drained_placer_ends_empty, begin, end),
		cmocka_unit_test_setup_teardown(a_stop_that_is_short_moves_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_stop_that_is_long_moves_its_shards_alone, begin, end),
		cmocka_unit_test_setup_teardown(a_control_process_that_stands_still_stops_its_worker, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_that_stands_still_is_replaced, begin, end),
		cmocka_unit_test_setup_teardown(a_worker_that_sleeps_through_a_release_wakes_too_late, begin, end),
		cmocka_unit_test_setup_teardown(a_copied_disk_waits_while_the_first_one_lives, begin, end),
		cmocka_unit_test_setup_teardown(a_copied_disk_waits_when_the_firsts_key_has_vanished, begin, end),
		cmocka_unit_test_setup_teardown(a_fleet_that_was_off_has_its_owners_again, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_is_cut_off_briefly_keeps_its_shards, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_is_cut_off_for_long_loses_its_shards, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_hears_nothing_loses_its_shards, begin, end),
		cmocka_unit_test_setup_teardown(a_member_that_fails_pauses_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_short_loss_of_the_quorum_moves_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_long_loss_of_the_quorum_silences_and_moves_nothing, begin, end),
		cmocka_unit_test_setup_teardown(with_the_policy_keep_a_loss_of_the_quorum_stops_nothing, begin, end),
		cmocka_unit_test_setup_teardown(with_the_policy_keep_twins_end_when_the_cut_is_healed, begin, end),
		cmocka_unit_test_setup_teardown(leases_that_vanish_move_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_leader_that_wakes_moves_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_history_that_is_compacted_is_listed_anew, begin, end),
		cmocka_unit_test_setup_teardown(a_full_etcd_silences_and_moves_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_wiped_etcd_changes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(random_faults_violate_nothing, begin, end),
		cmocka_unit_test_setup_teardown(a_broken_margin_is_seen, begin, end),
		cmocka_unit_test_setup_teardown(a_broken_margin_is_seen_by_random_faults, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
