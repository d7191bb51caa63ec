/* Placement: bounded, no move that need not be, whatever nodes come, go, are left, or have labels, pins and capacities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fleet/class.h"
#include "fleet/fleet_placement.h"

#define NODES 12
#define CLASSES 3
#define SHARDS 3000

static struct fleet_placement_node nodes[NODES];
static struct fleet_placement_shard shards[SHARDS];
static bool admits[CLASSES * NODES];
static struct fleet_placement world;

static void make_world(size_t node_count, size_t shard_count, uint32_t weight)
{
	world = (struct fleet_placement){ nodes, node_count, shards, shard_count, admits, 1, true };
	for (size_t i = 0; i < NODES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%zu", i);
		nodes[i] = (struct fleet_placement_node){ .hash = fleet_hash(name), .capacity = 10000, .is_taker = true };
	}
	for (size_t i = 0; i < shard_count; i++)
		shards[i] = (struct fleet_placement_shard){ .hash = fleet_placement_hash("any", (uint32_t)i),
			                                    .weight = weight,
			                                    .owner = FLEET_PLACEMENT_NOBODY };
	memset(admits, true, sizeof(admits));
}

/* Carries the plan out; returns how many shards moved. One that nobody can have stays as it is. */
static size_t carry_out(void)
{
	size_t moved = 0;
	assert_true(fleet_placement_plan(&world));
	for (size_t i = 0; i < world.shard_count; i++) {
		if (shards[i].to == FLEET_PLACEMENT_NOBODY)
			continue;
		moved += shards[i].to != shards[i].owner;
		shards[i].owner = shards[i].to;
	}
	return moved;
}

static uint64_t load(int node)
{
	uint64_t weight = 0;
	for (size_t i = 0; i < world.shard_count; i++)
		weight += shards[i].owner == node ? shards[i].weight : 0;
	return weight;
}

static void take_away(int node)
{
	nodes[node].is_taker = false;
	nodes[node].is_dead = true;
}

static void loads_are_bounded(void **state)
{
	(void)state;
	make_world(10, SHARDS, 3);
	assert_int_equal(carry_out(), SHARDS);
	for (int node = 0; node < 10; node++)
		assert_in_range(load(node), 500, 990);
	assert_int_equal(carry_out(), 0);
}

static void a_dead_nodes_shards_move_and_no_others(void **state)
{
	static int before[SHARDS];
	(void)state;
	make_world(10, SHARDS, 3);
	carry_out();
	uint64_t its = load(4) / 3;
	for (size_t i = 0; i < SHARDS; i++)
		before[i] = shards[i].owner;
	take_away(4);
	assert_int_equal(carry_out(), its);
	for (size_t i = 0; i < SHARDS; i++)
		assert_true(before[i] == 4 ? shards[i].owner != 4 : shards[i].owner == before[i]);
	for (int node = 0; node < 10; node++)
		assert_in_range(load(node), node == 4 ? 0 : 500, 1100);
	assert_int_equal(carry_out(), 0);
}

static void who_joins_gets_what_it_is_preferred_for_and_nothing_else_moves(void **state)
{
	(void)state;
	make_world(9, SHARDS, 3);
	carry_out();
	world.node_count = 10;
	size_t moved = carry_out();
	/* One goes elsewhere, of a node that is over the bound without it. */
	assert_in_range(3 * moved - load(9), 0, 3);
	assert_in_range(load(9), 700, 900);
	assert_int_equal(carry_out(), 0);
}

/* Until it is dead, its shards are where they are, and the others are not dealt anew meanwhile. */
static void a_silent_node_moves_nothing(void **state)
{
	(void)state;
	make_world(3, 300, 3);
	carry_out();
	nodes[1].is_taker = false;
	assert_int_equal(carry_out(), 0);
	/* Nor does one that is over the bound give anything away. */
	for (size_t i = 0; i < 300; i++)
		shards[i].weight = shards[i].owner == 0 ? 9 : 1;
	world.is_calm = false;
	assert_int_equal(carry_out(), 0);
	world.is_calm = true;
	assert_true(carry_out() > 0);
}

static void a_node_that_is_left_ends_empty(void **state)
{
	(void)state;
	make_world(3, 300, 3);
	carry_out();
	uint64_t its = load(1) / 3;
	nodes[1].is_left = true;
	nodes[1].is_taker = false;
	assert_int_equal(carry_out(), its);
	assert_int_equal(load(1), 0);
	/* The last one keeps what nobody else can take. */
	nodes[0] = nodes[2] = nodes[1];
	assert_int_equal(carry_out(), 0);
}

static void shares_follow_capacity(void **state)
{
	(void)state;
	make_world(3, SHARDS, 3);
	nodes[0].capacity = 20000;
	nodes[1].capacity = 10000;
	nodes[2].capacity = 5000;
	carry_out();
	assert_in_range(load(0), 4000, 5658);
	assert_in_range(load(1), 2000, 2829);
	assert_in_range(load(2), 1100, 1415);
	assert_int_equal(carry_out(), 0);
}

static void beyond_the_capacity_all_are_filled_alike(void **state)
{
	(void)state;
	make_world(3, 300, 10);
	for (int node = 0; node < 3; node++)
		nodes[node].capacity = 500;
	carry_out();
	for (int node = 0; node < 3; node++)
		assert_in_range(load(node), 990, 1010);
	assert_int_equal(carry_out(), 0);
}

static void a_class_stays_on_its_nodes(void **state)
{
	(void)state;
	make_world(4, 900, 1);
	world.class_count = 3;
	for (size_t i = 0; i < 900; i++)
		shards[i].class = (uint32_t)(i % 3);
	for (size_t node = 0; node < 4; node++) {
		admits[4 + node] = node >= 2; /* labels */
		admits[8 + node] = node == 3; /* a pin */
	}
	carry_out();
	for (size_t i = 0; i < 900; i++)
		assert_true(admits[shards[i].class * 4 + (size_t)shards[i].owner]);
	/* A label is taken away: what needs it leaves. */
	admits[4 + 2] = false;
	carry_out();
	for (size_t i = 1; i < 900; i += 3)
		assert_int_equal(shards[i].owner, 3);
	/* The pin's node is dead: nobody else may have it. */
	take_away(3);
	assert_true(fleet_placement_plan(&world));
	for (size_t i = 0; i < 900; i++)
		assert_true((shards[i].to == FLEET_PLACEMENT_NOBODY) == (shards[i].class != 0));
}

static uint64_t dice;

static uint64_t roll(uint64_t below)
{
	dice += 0x9e3779b97f4a7c15U;
	return fleet_hash_mix(dice) % below;
}

static void change_something(void)
{
	size_t node = roll(NODES);
	switch (roll(5)) {
	case 0: nodes[node].is_dead = !nodes[node].is_dead; break;
	case 1: nodes[node].is_left = !nodes[node].is_left; break;
	case 2: nodes[node].capacity = (uint32_t)(100 + roll(5000)); break;
	case 3: admits[roll(CLASSES) * NODES + node] ^= true; break;
	case 4:
		for (size_t i = 0; i < 100; i++)
			shards[roll(world.shard_count)].weight = (uint32_t)roll(30);
		break;
	}
	nodes[node].is_taker = !nodes[node].is_dead && !nodes[node].is_left;
}

/* A plan that is carried out must be followed by none, or shards would move for ever. A few plans until then are allowed. */
static void there_is_always_an_end(void **state)
{
	(void)state;
	dice = 1;
	make_world(NODES, 500, 5);
	world.class_count = CLASSES;
	for (size_t i = 0; i < 500; i++)
		shards[i].class = (uint32_t)roll(CLASSES);
	for (size_t round = 0; round < 400; round++) {
		size_t plans = 0;
		change_something();
		for (size_t i = 0; i < 500; i++)
			if (shards[i].owner != FLEET_PLACEMENT_NOBODY && nodes[shards[i].owner].is_dead && roll(2) == 0)
				shards[i].owner = FLEET_PLACEMENT_NOBODY;
		while (carry_out() > 0)
			assert_true(++plans < 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_are_bounded),
		cmocka_unit_test(a_dead_nodes_shards_move_and_no_others),
		cmocka_unit_test(who_joins_gets_what_it_is_preferred_for_and_nothing_else_moves),
		cmocka_unit_test(a_silent_node_moves_nothing),
		cmocka_unit_test(a_node_that_is_left_ends_empty),
		cmocka_unit_test(shares_follow_capacity),
		cmocka_unit_test(beyond_the_capacity_all_are_filled_alike),
		cmocka_unit_test(a_class_stays_on_its_nodes),
		cmocka_unit_test(there_is_always_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
