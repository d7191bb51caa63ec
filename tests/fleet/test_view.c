/* The view: what records and events make of it, in any order and number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fleet/view.h"

static struct fleet_view view;

static int begin(void **state)
{
	(void)state;
	assert_true(fleet_view_init(&view, "me", 100));
	return 0;
}

static int end(void **state)
{
	(void)state;
	fleet_view_clear(&view);
	return 0;
}

static void put_into(struct fleet_view *to, const char *key, const char *value, int64_t revision)
{
	struct fleet_kv kv = { key, value, value == NULL ? 0 : strlen(value), revision, 0, value == NULL, 0 };
	assert_int_equal(fleet_view_apply(to, &kv, 1000 + (uint64_t)revision), FLEET_VIEW_OK);
}

static void put(const char *key, const char *value, int64_t revision)
{
	put_into(&view, key, value, revision);
}

static void what_a_node_tells_ages_by_its_clock_and_by_ours(void **state)
{
	(void)state;
	put("p/node/a", "{\"t\":50000}", 4);
	assert_true(fleet_view_age(&view, 1, 1004) == UINT64_MAX); /* it has told nothing */
	put("p/node/a", "{\"t\":50000,\"told\":49300}", 5);
	assert_int_equal(fleet_view_age(&view, 1, 1005), 700);
	assert_int_equal(fleet_view_age(&view, 1, 4005), 3700);
	assert_true(fleet_view_age(&view, 1, 1004) == UINT64_MAX);
	put("p/node/a", "{\"t\":50000,\"told\":50001}", 6);
	assert_true(fleet_view_age(&view, 1, 2000) == UINT64_MAX);
}

static bool has_let_go(int64_t revision, uint64_t now)
{
	return fleet_view_has_let_go(&view, &view.shards[0], revision, &FLEET_RULE_DEFAULT, now);
}

static void a_node_has_let_go_when_it_says_so_or_cannot_run_it_any_more(void **state)
{
	(void)state;
	put("p/shard/any/7", "{\"n\":\"me\"}", 3);
	assert_true(has_let_go(5, 1003)); /* of this node others know nothing */
	put("p/shard/any/7", "{\"n\":\"a\"}", 4);
	assert_false(has_let_go(5, 1004));
	put("p/node/a", "{\"t\":1,\"c\":4}", 6);
	assert_false(has_let_go(5, 1006));
	put("p/node/a", "{\"t\":2,\"c\":5}", 7);
	assert_true(has_let_go(5, 1007));
	assert_false(has_let_go(6, 1007));
	assert_false(has_let_go(6, 1007 + 13499));
	assert_true(has_let_go(6, 1007 + 13500));
	put("p/node/a", "{\"t\":3,\"c\":5,\"bye\":true}", 8);
	assert_true(has_let_go(6, 1008));
	put("p/node/b", "{\"t\":3,\"c\":5}", 9);
	put("p/shard/any/7", "{\"n\":\"a\",\"f\":\"b\"}", 10);
	assert_false(has_let_go(6, 1010)); /* who must let it go first, too */
	put("p/shard/any/7", "{}", 11);
	assert_true(has_let_go(6, 1011));
}

static void what_has_left_a_shard_has_sent_no_later_than_its_floor(void **state)
{
	(void)state;
	put("p/shard/any/7", "{\"n\":\"a\",\"f\":\"b\",\"ts_floor\":9}", 4);
	put("p/node/a", "{\"t\":1,\"wall\":70000}", 5);
	put("p/node/b", "{\"t\":1,\"wall\":60000}", 6);
	assert_int_equal(fleet_view_floor(&view, &view.shards[0], &FLEET_RULE_DEFAULT), 70000 + 13500);
	put("p/shard/any/7", "{\"ts_floor\":9}", 7);
	assert_int_equal(fleet_view_floor(&view, &view.shards[0], &FLEET_RULE_DEFAULT), 9);
}

static void tokens_are_told_by_their_newest_change(void **state)
{
	(void)state;
	assert_int_equal(view.tokens, 0);
	put("p/tokens", "{}", 5);
	put("p/tokens", NULL, 7);
	put("p/tokens", "{}", 6);
	assert_int_equal(view.tokens, 7);
}

static void a_shard_has_the_owner_of_its_newest_record(void **state)
{
	(void)state;
	put("p/shard/any/7", "{\"n\":\"a\",\"ts_floor\":9}", 5);
	put("p/changed/any/7", "{\"count\":3}", 6);
	assert_int_equal(view.shard_count, 1);
	const struct fleet_view_shard *shard = &view.shards[0];
	assert_string_equal(view.nodes[shard->owner].name, "a");
	assert_int_equal(shard->epoch, 5);
	assert_int_equal(shard->ts_floor, 9);
	assert_int_equal(shard->received_at, 1005);
	assert_int_equal(shard->count, 3);
	assert_int_equal(shard->changed, 6);
	put("p/shard/any/7", "{\"f\":\"a\"}", 8);
	assert_int_equal(shard->owner, FLEET_NOBODY);
	assert_string_equal(view.nodes[shard->from].name, "a");
}

/* A watch that is opened anew repeats what came in the answer that broke off. */
static void a_repeated_event_takes_nothing_back(void **state)
{
	(void)state;
	put("p/shard/any/7", "{\"n\":\"me\"}", 5);
	put("p/shard/any/7", "{\"n\":\"a\"}", 6);
	put("p/node/a", "{\"t\":2}", 8);
	put("p/leader", "{\"n\":\"a\"}", 9);
	put("p/shard/any/7", "{\"n\":\"me\"}", 5);
	put("p/node/a", "{\"t\":1}", 7);
	put("p/leader", "{\"n\":\"me\"}", 3);
	assert_string_equal(view.nodes[view.shards[0].owner].name, "a");
	assert_int_equal(view.nodes[view.shards[0].owner].heartbeat.t, 2);
	assert_int_equal(view.nodes[view.shards[0].owner].heard_at, 1008);
	assert_string_equal(view.nodes[view.leader].name, "a");
}

static void a_record_that_cannot_be_read_names_nobody(void **state)
{
	(void)state;
	put("p/shard/any/7", "{\"n\":\"me\"}", 5);
	put("p/shard/any/7", "garbage", 6);
	assert_int_equal(view.shards[0].owner, FLEET_NOBODY);
	assert_int_equal(view.shards[0].epoch, 6);
	assert_int_equal(view.lost, 6);
	/* Who sends no heartbeat is silent. */
	put("p/node/a", "{\"t\":2}", 7);
	put("p/node/a", "garbage", 8);
	assert_int_equal(view.nodes[1].heard_at, 1007);
	assert_int_equal(view.nodes[1].revision, 8);
}

static void what_is_not_ours_is_passed_over(void **state)
{
	(void)state;
	put("p/shard/A B/7", "{\"n\":\"me\"}", 5);
	put("p/shard/@x/64", "{\"n\":\"me\"}", 5);
	put("t/any/7/t-1", "{}", 5);
	put("id/t-1", "{\"class\":\"any\"}", 5);
	put("x", "", 5);
	assert_int_equal(view.shard_count, 0);
	assert_int_equal(view.node_count, 1);
}

static void a_node_that_vanished_keeps_what_it_said(void **state)
{
	(void)state;
	put("p/node/a", "{\"t\":2,\"wall\":77}", 7);
	put("p/node/a", NULL, 8);
	assert_int_equal(view.nodes[1].revision, 0);
	assert_int_equal(view.nodes[1].heartbeat.wall, 77);
	assert_int_equal(view.nodes[1].heard_at, 1007);
}

static void each_touched_shard_is_taken_once(void **state)
{
	(void)state;
	put("p/shard/any/1", "{\"n\":\"me\"}", 5);
	put("p/changed/any/1", "{\"count\":1}", 6);
	put("p/shard/any/2", "{\"n\":\"a\"}", 7);
	assert_int_equal(fleet_view_take(&view)->number, 1);
	assert_int_equal(fleet_view_take(&view)->number, 2);
	assert_null(fleet_view_take(&view));
	fleet_view_touch_own(&view);
	assert_int_equal(fleet_view_take(&view)->number, 1);
	assert_null(fleet_view_take(&view));
}

static void a_list_takes_the_place_of_all_that_was(void **state)
{
	struct fleet_view list;
	(void)state;
	put("p/shard/any/1", "{\"n\":\"me\"}", 5);
	put("p/shard/any/2", "{\"n\":\"me\"}", 6);
	put("p/node/a", "{\"t\":2,\"wall\":77}", 7);
	while (fleet_view_take(&view) != NULL)
		;
	assert_true(fleet_view_init(&list, "me", 9000));
	put_into(&list, "p/shard/any/2", "{\"n\":\"me\"}", 6);
	put_into(&list, "p/shard/any/3", "{\"n\":\"a\"}", 9);
	assert_int_equal(fleet_view_replace(&view, &list, 12, 9500), FLEET_VIEW_OK);
	assert_int_equal(view.lost, 12);
	/* Shards that are no more are told, too. */
	size_t count = 0;
	for (const struct fleet_view_shard *shard; (shard = fleet_view_take(&view)) != NULL; count++) {
		assert_int_equal(shard->owner == FLEET_ME, shard->number == 2);
		/* The placer waits for who had it. */
		if (shard->number == 1)
			assert_int_equal(shard->received_at, 9500);
	}
	assert_int_equal(count, 3);
	assert_int_equal(view.nodes[1].heartbeat.wall, 77);
}

static void an_epoch_that_went_back_is_another_etcds(void **state)
{
	struct fleet_view list;
	(void)state;
	put("p/shard/any/1", "{\"n\":\"me\"}", 500);
	assert_true(fleet_view_init(&list, "me", 9000));
	put_into(&list, "p/shard/any/1", "{\"n\":\"a\"}", 20);
	assert_int_equal(fleet_view_replace(&view, &list, 1000, 9500), FLEET_VIEW_WENT_BACK);
	assert_int_equal(view.shards[0].owner, FLEET_ME);
	fleet_view_clear(&list);
}

static void entries_of_nodes_that_are_gone_are_used_again(void **state)
{
	char key[64];
	(void)state;
	put("p/shard/any/1", "{\"n\":\"n0\"}", 1);
	for (int i = 0; i < 3 * FLEET_NODES_MAX; i++) {
		snprintf(key, sizeof(key), "p/node/n%d", i);
		put(key, "{\"t\":1,\"labels\":{\"k\":\"v\"}}", 2 * i + 2);
		put(key, NULL, 2 * i + 3);
	}
	assert_int_equal(view.node_count, FLEET_NODES_MAX);
	assert_int_equal(view.beyond, 0);
	assert_string_equal(view.nodes[view.shards[0].owner].name, "n0");
	assert_string_equal(view.nodes[FLEET_ME].name, "me");
}

/* A node that we have no entry for may be alive: its shard is not nobody's. */
static void what_exceeds_a_bound_is_counted_and_left_alone(void **state)
{
	char key[64], value[64];
	(void)state;
	for (int i = 0; i < FLEET_NODES_MAX + 5; i++) {
		snprintf(key, sizeof(key), "p/node/n%d", i);
		put(key, "{\"t\":1}", i + 2);
	}
	assert_int_equal(view.beyond, 6);
	snprintf(value, sizeof(value), "{\"n\":\"n%d\"}", FLEET_NODES_MAX + 3);
	put("p/shard/any/1", value, 9000);
	assert_true(view.shards[0].is_beyond);
	for (int i = 0; i < FLEET_CLASSES_MAX + 5; i++) {
		snprintf(key, sizeof(key), "p/shard/@c%d/1", i);
		put(key, "{}", 10000 + i);
	}
	assert_int_equal(view.class_count, FLEET_CLASSES_MAX);
	assert_int_equal(view.beyond, 6 + 1 + 6);
}

static void there_are_at_most_65536_shards(void **state)
{
	char key[64];
	(void)state;
	for (int class = 0; class < 17; class ++)
		for (int i = 0; i < FLEET_CLASS_SHARDS; i++) {
			snprintf(key, sizeof(key), "p/shard/k=%d/%d", class, i);
			put(key, "{}", 1 + class * FLEET_CLASS_SHARDS + i);
		}
	assert_int_equal(view.shard_count, FLEET_SHARDS_MAX);
	assert_int_equal(view.beyond, FLEET_CLASS_SHARDS);
}

static void generations_change_with_what_placement_depends_on(void **state)
{
	(void)state;
	put("p/node/a", "{\"t\":1,\"capacity\":5,\"labels\":{\"k\":\"v\"}}", 2);
	uint64_t generation = view.generation;
	put("p/node/a", "{\"t\":2,\"a\":9,\"capacity\":5,\"labels\":{\"k\":\"v\"}}", 3);
	assert_int_equal(view.generation, generation);
	put("p/node/a", "{\"t\":3,\"capacity\":5,\"labels\":{\"k\":\"w\"}}", 4);
	assert_int_not_equal(view.generation, generation);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_a_node_tells_ages_by_its_clock_and_by_ours),
		TEST(a_node_has_let_go_when_it_says_so_or_cannot_run_it_any_more),
		TEST(what_has_left_a_shard_has_sent_no_later_than_its_floor),
		TEST(tokens_are_told_by_their_newest_change),
		TEST(a_shard_has_the_owner_of_its_newest_record),
		TEST(a_repeated_event_takes_nothing_back),
		TEST(a_record_that_cannot_be_read_names_nobody),
		TEST(what_is_not_ours_is_passed_over),
		TEST(a_node_that_vanished_keeps_what_it_said),
		TEST(each_touched_shard_is_taken_once),
		TEST(a_list_takes_the_place_of_all_that_was),
		TEST(an_epoch_that_went_back_is_another_etcds),
		TEST(entries_of_nodes_that_are_gone_are_used_again),
		TEST(what_exceeds_a_bound_is_counted_and_left_alone),
		TEST(there_are_at_most_65536_shards),
		TEST(generations_change_with_what_placement_depends_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
