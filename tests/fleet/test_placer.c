/* The placer: what its transactions compare and write, and when. */
#include <stdio.h>
#include <string.h>

#include "fleet/placer.h"
#include "tests/fleet/bench_node.h"

static struct fleet_placer *placer;

/* A node that is valid and places. */
static int begin_to_place(void **state)
{
	static const struct fleet_rule rule = { 12000, 1500 };
	begin(state);
	become_valid();
	placer = fleet_placer_create(node, &rule, 1);
	assert_non_null(placer);
	event_of("p/leader", "{\"n\":\"me\"}", 21, LEASE);
	return 0;
}

static int end_placing(void **state)
{
	fleet_placer_free(placer);
	return end(state);
}

static void expect_of_placer(enum fleet_request_kind kind)
{
	assert_true(fleet_placer_next(placer, &request, 5000, now));
	assert_int_equal(request.kind, kind);
}

static void expect_nothing_of_placer(void)
{
	assert_false(fleet_placer_next(placer, &request, 5000, now));
}

static void reply_to_placer(enum fleet_request_kind kind, enum fleet_result result, int64_t revision)
{
	fleet_placer_reply(placer, &(struct fleet_reply){ .kind = kind, .result = result, .revision = revision, .cluster = CLUSTER }, now);
}

/* A node that is heard of at this revision, having applied everything before. */
static void hear_of(const char *name, const char *members, int64_t revision)
{
	char key[64], value[256];
	snprintf(key, sizeof(key), "p/node/%s", name);
	snprintf(value, sizeof(value), "{\"t\":1,\"a\":%lld,\"capacity\":10%s}", (long long)revision - 1, members);
	event_of(key, value, revision, 9);
}

/* Our own heartbeat, without capacity, so that shards go to others. */
static void hear_of_me(int64_t revision)
{
	char value[128];
	snprintf(value, sizeof(value), "{\"t\":%llu,\"a\":%lld,\"boot\":\"b-1\"}", (unsigned long long)now, (long long)revision - 1);
	event_of("p/node/me", value, revision, LEASE);
}

static void expect_compare(const char *key, int64_t value)
{
	for (size_t i = 0; i < request.txn->compare_count; i++)
		if (strcmp(request.txn->compares[i].key, key) == 0) {
			assert_int_equal(request.txn->compares[i].target, FLEET_MOD_REVISION);
			assert_int_equal(request.txn->compares[i].value, value);
			return;
		}
	fail_msg("%s is not compared", key);
}

static void expect_put(const char *key, const char *value)
{
	for (size_t i = 0; i < request.txn->put_count; i++)
		if (strcmp(request.txn->puts[i].key, key) == 0) {
			assert_string_equal(request.txn->puts[i].value, value);
			return;
		}
	fail_msg("%s is not written", key);
}

static void who_finds_no_placer_becomes_it(void **state)
{
	(void)state;
	event_of("p/leader", NULL, 22, 0);
	expect_of_placer(FLEET_LEAD);
	expect_compare("p/leader", 0);
	assert_string_equal(request.txn->compares[1].key, "p/node/me");
	assert_int_equal(request.txn->compares[1].target, FLEET_LEASE);
	assert_int_equal(request.txn->compares[1].value, LEASE);
	assert_int_equal(request.txn->puts[0].lease, LEASE);
	/* The watch tells whether it is. */
	reply_to_placer(FLEET_LEAD, FLEET_DONE, 23);
	expect_nothing_of_placer();
	event_of("p/leader", "{\"n\":\"me\"}", 23, LEASE);
	event_of("p/changed/any/7", "{\"count\":1}", 24, 0);
	hear_of("a", "", 25);
	expect_of_placer(FLEET_PLACE);
}

static void a_silent_placer_is_replaced_after_7_s(void **state)
{
	(void)state;
	hear_of("a", "", 22);
	event_of("p/leader", "{\"n\":\"a\"}", 23, 9);
	now += 6999;
	read_back(now, 24);
	expect_nothing_of_placer();
	now += 1;
	expect_of_placer(FLEET_LEAD);
	expect_compare("p/leader", 23);
}

static void a_new_shard_is_given_away(void **state)
{
	(void)state;
	hear_of_me(22);
	hear_of("a", "", 23);
	expect_nothing_of_placer();
	event_of("p/changed/any/7", "{\"count\":1}", 24, 0);
	now += 100;
	expect_of_placer(FLEET_PLACE);
	expect_compare("p/leader", 21);
	expect_compare("p/shard/any/7", 0);
	expect_put("p/shard/any/7", "{\"n\":\"a\",\"f\":\"\",\"ts_floor\":0}");
	assert_int_equal(request.txn->puts[0].lease, 0);
}

/* Of a dead node: fenced by its last heartbeat, and later than all that it may have sent. */
static void a_dead_nodes_shard_is_given_away_after_ttl_and_margin(void **state)
{
	(void)state;
	hear_of("b", ",\"wall\":70000", 22);
	event_of("p/shard/any/7", "{\"n\":\"b\",\"ts_floor\":60000}", 23, 0);
	uint64_t since = now;
	for (now = since + 3000; now < since + 13500; now += 3000) {
		hear_of_me(24 + (int64_t)(now - since));
		hear_of("a", "", 25 + (int64_t)(now - since));
		expect_nothing_of_placer();
	}
	/* Its key has vanished meanwhile, which is no reason. */
	event_of("p/node/b", NULL, 20000, 0);
	now = since + 13400;
	expect_nothing_of_placer();
	now = since + 13500;
	expect_of_placer(FLEET_PLACE);
	expect_compare("p/leader", 21);
	expect_compare("p/shard/any/7", 23);
	expect_compare("p/node/b", 0);
	expect_put("p/shard/any/7", "{\"n\":\"a\",\"f\":\"\",\"ts_floor\":83500}");
}

static void who_said_bye_is_dead_at_once(void **state)
{
	(void)state;
	hear_of_me(22);
	hear_of("a", "", 23);
	event_of("p/shard/any/7", "{\"n\":\"b\"}", 24, 0);
	hear_of("b", ",\"bye\":true", 25);
	expect_of_placer(FLEET_PLACE);
	expect_compare("p/node/b", 25);
}

static void give_two_shards_to_a_node_that_is_drained(void)
{
	hear_of_me(22);
	hear_of("a", "", 23);
	hear_of("b", "", 24);
	event_of("p/shard/any/7", "{\"n\":\"b\",\"ts_floor\":90000}", 25, 0);
	event_of("p/shard/any/8", "{\"n\":\"b\"}", 26, 0);
	hear_of("b", ",\"drain\":true", 30);
	expect_of_placer(FLEET_PLACE);
	assert_int_equal(request.txn->put_count, 1);
	expect_compare("p/shard/any/7", 25);
	expect_put("p/shard/any/7", "{\"n\":\"\",\"f\":\"b\",\"ts_floor\":90000}");
	reply_to_placer(FLEET_PLACE, FLEET_DONE, 31);
	event_of("p/shard/any/7", "{\"n\":\"\",\"f\":\"b\",\"ts_floor\":90000}", 31, 0);
	now += 100;
	expect_nothing_of_placer();
}

/* Released, let go, given, served; then the next. */
static void a_drained_nodes_shards_go_one_after_the_other(void **state)
{
	(void)state;
	give_two_shards_to_a_node_that_is_drained();
	hear_of("b", ",\"drain\":true,\"wall\":70000", 40);
	now += 100;
	expect_of_placer(FLEET_PLACE);
	assert_int_equal(request.txn->put_count, 1);
	expect_compare("p/shard/any/7", 31);
	expect_put("p/shard/any/7", "{\"n\":\"a\",\"f\":\"\",\"ts_floor\":103500}");
	reply_to_placer(FLEET_PLACE, FLEET_DONE, 41);
	event_of("p/shard/any/7", "{\"n\":\"a\",\"ts_floor\":103500}", 41, 0);
	now += 100;
	expect_nothing_of_placer();
	hear_of("a", "", 42);
	now += 100;
	expect_of_placer(FLEET_PLACE);
	expect_put("p/shard/any/8", "{\"n\":\"\",\"f\":\"b\",\"ts_floor\":0}");
}

static void who_does_not_let_go_is_waited_for_ttl_and_margin(void **state)
{
	(void)state;
	give_two_shards_to_a_node_that_is_drained();
	uint64_t since = now - 100;
	for (int64_t i = 0; i < 4; i++) {
		now += 3000;
		hear_of_me(50 + 10 * i);
		hear_of("a", "", 51 + 10 * i);
		/* It writes, and has not applied the release. */
		event_of("p/node/b", "{\"t\":1,\"a\":30,\"capacity\":10,\"drain\":true}", 52 + 10 * i, 9);
		expect_nothing_of_placer();
	}
	now = since + 13500;
	expect_of_placer(FLEET_PLACE);
	expect_compare("p/shard/any/7", 31);
}

/* A record that was deleted, or that cannot be read, does not tell who serves. */
static void a_shard_whose_owner_is_not_known_waits(void **state)
{
	(void)state;
	hear_of_me(22);
	hear_of("a", "", 23);
	event_of("p/shard/any/7", "{\"n\":\"b\"}", 24, 0);
	event_of("p/shard/any/7", NULL, 25, 0);
	uint64_t since = now;
	for (int64_t i = 0; i < 4; i++) {
		now += 3000;
		hear_of_me(50 + 10 * i);
		hear_of("a", "", 51 + 10 * i);
		expect_nothing_of_placer();
	}
	now = since + 13500;
	expect_of_placer(FLEET_PLACE);
	expect_compare("p/shard/any/7", 0);
}

/* etcd takes 128 comparisons and 128 puts. */
static void a_transaction_is_bounded(void **state)
{
	char key[64];
	(void)state;
	hear_of_me(22);
	hear_of("a", "", 23);
	for (int64_t i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "p/changed/any/%lld", (long long)i);
		event_of(key, "{\"count\":1}", 30 + i, 0);
	}
	expect_of_placer(FLEET_PLACE);
	assert_in_range(request.txn->put_count, 120, 127);
	assert_in_range(request.txn->compare_count, 121, 128);
}

static void who_is_refused_waits(void **state)
{
	(void)state;
	hear_of_me(22);
	hear_of("a", "", 23);
	event_of("p/changed/any/7", "{\"count\":1}", 24, 0);
	expect_of_placer(FLEET_PLACE);
	reply_to_placer(FLEET_PLACE, FLEET_REFUSED, 25);
	expect_nothing_of_placer();
	uint64_t wake = fleet_placer_wake(placer, now);
	assert_in_range(wake - now, 300, 800);
	now = wake;
	expect_of_placer(FLEET_PLACE);
}

static void who_is_not_valid_does_nothing(void **state)
{
	(void)state;
	hear_of("a", "", 23);
	event_of("p/changed/any/7", "{\"count\":1}", 24, 0);
	now += 7000;
	expect_nothing_of_placer();
	assert_true(fleet_placer_wake(placer, now) == FLEET_NEVER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_to_place, end_placing)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_finds_no_placer_becomes_it),
		TEST(a_silent_placer_is_replaced_after_7_s),
		TEST(a_new_shard_is_given_away),
		TEST(a_dead_nodes_shard_is_given_away_after_ttl_and_margin),
		TEST(who_said_bye_is_dead_at_once),
		TEST(a_drained_nodes_shards_go_one_after_the_other),
		TEST(who_does_not_let_go_is_waited_for_ttl_and_margin),
		TEST(a_shard_whose_owner_is_not_known_waits),
		TEST(a_transaction_is_bounded),
		TEST(who_is_refused_waits),
		TEST(who_is_not_valid_does_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
