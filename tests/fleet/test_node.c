/* A node's life, request by request and event by event. */
#include <stdio.h>
#include <string.h>

#include "tests/fleet/bench_node.h"

static void validity_counts_from_the_sending_of_what_came_back(void **state)
{
	(void)state;
	become_valid();
	uint64_t since = now;
	assert_int_equal(fleet_node_deadline(node), since + 10500);
	now = since + 3000;
	beat(30);
	now = since + 5000;
	assert_int_equal(fleet_node_deadline(node), since + 10500);
	read_back(since + 3000, 30);
	assert_int_equal(fleet_node_deadline(node), since + 13500);
}

static void it_lapses_and_is_valid_again(void **state)
{
	(void)state;
	become_valid();
	uint64_t since = now;
	now = since + 10499;
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
	now = since + 10500;
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_LAPSED);
	assert_false(fleet_node_may_place(node, now));
	read_back(since + 9000, 30);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
}

static void anothers_heartbeat_gives_no_time(void **state)
{
	(void)state;
	become_valid();
	uint64_t deadline = fleet_node_deadline(node);
	/* From the future: a clock that is not ours wrote it. */
	read_back(now + 100000, 30);
	assert_int_equal(fleet_node_deadline(node), deadline);
	event_of("p/node/me", "{\"t\":1000000,\"boot\":\"b-2\"}", 31, LEASE + 1);
	assert_int_equal(fleet_node_deadline(node), 0);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_EVICTED);
}

static void a_heartbeat_counts_once_the_workers_are_silent(void **state)
{
	(void)state;
	become_valid();
	uint64_t since = now;
	event_of("p/shard/any/7", "{\"n\":\"me\"}", 25, 0);
	confirm_all();
	event_of("p/shard/any/7", "{\"n\":\"\",\"f\":\"me\"}", 30, 0);
	now = since + 3000;
	read_back(since + 3000, 40);
	assert_int_equal(fleet_node_deadline(node), since + 10500);
	/* Not replaced by the next one, or a worker that is always late would end it. */
	now = since + 6000;
	read_back(since + 6000, 41);
	confirm_all();
	expect(FLEET_HEARTBEAT);
	assert_int_equal(fleet_node_deadline(node), since + 13500);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":41"));
}

static void a_says_what_is_carried_out(void **state)
{
	(void)state;
	become_valid();
	event_of("p/shard/any/7", "{\"n\":\"me\"}", 25, 0);
	event_of("p/shard/any/8", "{\"n\":\"a\"}", 26, 0);
	now += 3000;
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":20"));
	reply(FLEET_HEARTBEAT, FLEET_DONE, 27);
	confirm_all();
	/* At once: somebody waits for it. */
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":26"));
}

/* An earlier process may have left tunnels behind that run. */
static void nothing_counts_before_the_workers_have_confirmed_once(void **state)
{
	(void)state;
	join();
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 15);
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":0"));
	read_back(now, 20);
	assert_int_equal(fleet_node_deadline(node), 0);
	confirm_all();
	expect(FLEET_WATCH);
	assert_int_equal(fleet_node_deadline(node), now + 10500);
}

static void after_leaving_nothing_revives_it(void **state)
{
	struct fleet_change change;
	(void)state;
	become_valid();
	event_of("p/shard/any/7", "{\"n\":\"me\"}", 25, 0);
	confirm_all();
	now += 3000;
	expect(FLEET_HEARTBEAT);
	fleet_node_leave(node);
	assert_int_equal(fleet_node_deadline(node), 0);
	read_back(now, 30);
	assert_int_equal(fleet_node_deadline(node), 0);
	assert_true(fleet_node_next_change(node, &change));
	assert_int_equal(change.epoch, 0);
	reply(FLEET_HEARTBEAT, FLEET_DONE, 30);
	/* Not yet silent, it says that it wants to be emptied. */
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"drain\":true,\"bye\":false"));
	reply(FLEET_HEARTBEAT, FLEET_DONE, 31);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_LEAVING);
	fleet_node_say_bye(node);
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"bye\":true"));
	reply(FLEET_HEARTBEAT, FLEET_DONE, 32);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_LEFT);
	expect_nothing();
	assert_true(fleet_node_wake(node, now) == FLEET_NEVER);
}

/* ---- The name ---- */

static void refuse_join(const char *value, int64_t revision, int64_t lease)
{
	struct fleet_reply answer = { .kind = FLEET_JOIN, .result = FLEET_REFUSED, .revision = revision, .cluster = CLUSTER };
	if (value != NULL)
		answer.found = (struct fleet_kv){ "p/node/me", value, strlen(value), revision, lease, false, 0 };
	fleet_node_reply(node, &answer, now);
}

static void begin_to_join(void)
{
	expect(FLEET_GRANT);
	reply(FLEET_GRANT, FLEET_DONE, 0);
	expect(FLEET_JOIN);
	assert_int_equal(request.txn->compares[0].value, 0);
}

static void an_earlier_process_of_this_boot_is_replaced_at_once(void **state)
{
	(void)state;
	begin_to_join();
	refuse_join("{\"t\":1,\"boot\":\"b-1\"}", 9, 3);
	expect(FLEET_JOIN);
	assert_int_equal(request.txn->compares[0].value, 9);
	reply(FLEET_JOIN, FLEET_DONE, 10);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_JOINED);
}

static void another_machine_with_the_name_must_be_silent_first(void **state)
{
	(void)state;
	begin_to_join();
	uint64_t since = now;
	for (int64_t revision = 9; revision < 12; revision++, now += 3000) {
		refuse_join("{\"t\":1,\"boot\":\"b-2\"}", revision, 3);
		since = now;
		expect_nothing();
		now += 500;
		expect(FLEET_JOIN);
		assert_int_equal(request.txn->compares[0].value, 0);
	}
	now = since + 13499;
	refuse_join("{\"t\":1,\"boot\":\"b-2\"}", 11, 3);
	now += 500;
	expect(FLEET_JOIN);
	assert_int_equal(request.txn->compares[0].value, 0);
	refuse_join("{\"t\":1,\"boot\":\"b-2\"}", 11, 3);
	expect(FLEET_JOIN);
	assert_int_equal(request.txn->compares[0].value, 11);
}

/* Its clock may be behind, and peers compare with what the earlier one has sent. */
static void who_takes_a_name_over_is_later_than_its_last_holder(void **state)
{
	struct fleet_change change;
	(void)state;
	begin_to_join();
	refuse_join("{\"t\":1,\"boot\":\"b-1\",\"wall\":5000}", 9, 3);
	expect(FLEET_JOIN);
	reply(FLEET_JOIN, FLEET_DONE, 10);
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 15);
	event_of("p/shard/any/7", "{\"n\":\"me\",\"ts_floor\":700}", 20, 0);
	assert_true(fleet_node_next_change(node, &change));
	assert_int_equal(change.ts_floor, 5000 + 13500);
}

static void one_that_said_bye_is_replaced_at_once(void **state)
{
	(void)state;
	begin_to_join();
	refuse_join("{\"t\":1,\"boot\":\"b-2\",\"bye\":true}", 9, 3);
	expect(FLEET_JOIN);
	assert_int_equal(request.txn->compares[0].value, 9);
}

static void a_join_that_seemed_to_fail_may_have_been_done(void **state)
{
	(void)state;
	begin_to_join();
	reply(FLEET_JOIN, FLEET_UNKNOWN, 0);
	now = fleet_node_wake(node, now);
	expect(FLEET_JOIN);
	refuse_join("{\"t\":1,\"boot\":\"b-1\"}", 9, LEASE);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_JOINED);
}

/* The key may have vanished early: another holder of the name may be valid still. */
static void a_name_without_a_key_waits_if_shards_name_it(void **state)
{
	static const char value[] = "{\"n\":\"me\"}", own[] = "{\"t\":1000000,\"boot\":\"b-1\"}";
	(void)state;
	join();
	expect(FLEET_LIST);
	fleet_node_listed(node, &(struct fleet_kv){ "p/node/me", own, strlen(own), 10, LEASE, false, 0 }, now);
	fleet_node_listed(node, &(struct fleet_kv){ "p/shard/any/7", value, strlen(value), 4, 0, false, 0 }, now);
	reply(FLEET_LIST, FLEET_DONE, 15);
	struct fleet_change change;
	assert_true(fleet_node_next_change(node, &change));
	assert_int_equal(change.ts_floor, FLEET_CLOCKS_APART);
	confirm_all();
	assert_int_equal(fleet_node_deadline(node), 0);
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":0"));
	reply(FLEET_HEARTBEAT, FLEET_DONE, 16);
	now += 13499;
	read_back(now - 10, 17);
	assert_int_equal(fleet_node_deadline(node), 0);
	now += 1;
	expect(FLEET_HEARTBEAT);
	assert_non_null(strstr(request.txn->puts[0].value, "\"a\":17"));
	assert_int_equal(fleet_node_deadline(node), now - 11 + 10500);
}

/* ---- Evicted ---- */

static void a_lease_that_is_gone_evicts(void **state)
{
	(void)state;
	become_valid();
	now += 12000;
	read_back(now - 100, 30);
	expect(FLEET_HEARTBEAT);
	expect(FLEET_KEEPALIVE);
	reply(FLEET_KEEPALIVE, FLEET_NO_LEASE, 0);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_EVICTED);
	assert_int_equal(fleet_node_deadline(node), 0);
	expect(FLEET_GRANT);
	struct fleet_reply answer = { .kind = FLEET_GRANT, .result = FLEET_DONE, .lease = LEASE + 1, .cluster = CLUSTER };
	fleet_node_reply(node, &answer, now);
	expect(FLEET_JOIN);
	reply(FLEET_JOIN, FLEET_DONE, 31);
	/* An answer that was for the earlier lease says nothing about this one. */
	reply(FLEET_HEARTBEAT, FLEET_REFUSED, 32);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_JOINED);
	/* The watch went on: nothing has to be listed, and nobody else had the name. */
	event_of("p/node/me", "{\"t\":1000000,\"boot\":\"b-1\"}", 31, LEASE + 1);
	assert_int_equal(fleet_node_deadline(node), 1000000 + 10500);
}

static void a_heartbeat_that_is_refused_evicts(void **state)
{
	(void)state;
	become_valid();
	now += 3000;
	expect(FLEET_HEARTBEAT);
	reply(FLEET_HEARTBEAT, FLEET_REFUSED, 30);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_EVICTED);
}

/* The watch did not go on while it had no key: somebody else may have had the name meanwhile. */
static void a_gap_in_what_it_knows_of_its_name_makes_it_wait(void **state)
{
	static const char value[] = "{\"n\":\"me\"}", own[] = "{\"t\":1000000,\"boot\":\"b-1\"}";
	(void)state;
	become_valid();
	event_of("p/shard/any/7", value, 25, 0);
	confirm_all();
	expect(FLEET_HEARTBEAT);
	reply(FLEET_HEARTBEAT, FLEET_REFUSED, 30);
	fleet_node_watch_ended(node, true, now);
	expect(FLEET_GRANT);
	reply(FLEET_GRANT, FLEET_DONE, 0);
	expect(FLEET_JOIN);
	reply(FLEET_JOIN, FLEET_DONE, 40);
	expect(FLEET_LIST);
	fleet_node_listed(node, &(struct fleet_kv){ "p/node/me", own, strlen(own), 40, LEASE, false, 0 }, now);
	fleet_node_listed(node, &(struct fleet_kv){ "p/shard/any/7", value, strlen(value), 25, 0, false, 0 }, now);
	reply(FLEET_LIST, FLEET_DONE, 41);
	confirm_all();
	now += 13000;
	read_back(now, 50);
	assert_int_equal(fleet_node_deadline(node), 0);
	now += 500;
	expect(FLEET_HEARTBEAT);
	assert_true(fleet_node_deadline(node) > now);
}

/* ---- The watch ---- */

static void a_stream_that_stands_still_is_opened_elsewhere(void **state)
{
	(void)state;
	become_valid();
	now += 3000;
	beat(30);
	now += 1499;
	expect_nothing();
	assert_int_equal(fleet_node_wake(node, now), now + 1);
	now += 1;
	expect(FLEET_WATCH);
	assert_true(request.is_elsewhere);
	assert_int_equal(request.revision, 21);
}

static void events_count_when_their_revision_is_whole(void **state)
{
	struct fleet_kv kv = { "p/shard/any/7", "{\"n\":\"me\"}", 10, 30, 0, false, 0 };
	(void)state;
	become_valid();
	fleet_node_watch_event(node, &kv, now);
	assert_int_equal(fleet_node_applied(node), 20);
	fleet_node_watch_ended(node, false, now);
	now = fleet_node_wake(node, now);
	expect(FLEET_WATCH);
	assert_int_equal(request.revision, 21);
}

static void a_compacted_watch_lists_anew(void **state)
{
	(void)state;
	become_valid();
	fleet_node_watch_ended(node, true, now);
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 50);
	confirm_all();
	assert_int_equal(fleet_node_applied(node), 50);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
}

static void a_member_that_lags_is_no_other_etcd(void **state)
{
	(void)state;
	become_valid();
	fleet_node_watch_created(node, 12, CLUSTER);
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 20);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
}

static void an_etcd_that_went_back_leads_astray(void **state)
{
	(void)state;
	become_valid();
	fleet_node_watch_created(node, 12, CLUSTER);
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 12);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_ASTRAY);
	now += 3000;
	expect_nothing();
	assert_true(fleet_node_deadline(node) > now);
}

static void an_epoch_that_went_back_leads_astray(void **state)
{
	static const char value[] = "{\"n\":\"a\"}";
	(void)state;
	become_valid();
	event_of("p/shard/any/7", "{\"n\":\"me\"}", 25, 0);
	confirm_all();
	fleet_node_watch_ended(node, true, now);
	expect(FLEET_HEARTBEAT);
	expect(FLEET_LIST);
	fleet_node_listed(node, &(struct fleet_kv){ "p/shard/any/7", value, strlen(value), 3, 0, false, 0 }, now);
	reply(FLEET_LIST, FLEET_DONE, 90);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_ASTRAY);
}

static void another_cluster_leads_astray(void **state)
{
	(void)state;
	become_valid();
	fleet_node_watch_created(node, 50, CLUSTER + 1);
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_ASTRAY);
}

/* ---- Back-off and muteness ---- */

/* Longer than ttl / 4 it would lapse between two tries. */
static void back_off_is_bounded(void **state)
{
	(void)state;
	become_valid();
	now += 3000;
	for (size_t i = 0; i < 30; i++) {
		expect(FLEET_HEARTBEAT);
		reply(FLEET_HEARTBEAT, FLEET_UNKNOWN, 0);
		uint64_t wake = fleet_node_wake(node, now);
		assert_in_range(wake - now, 50, 3000);
		now = wake;
		/* It still hears itself by what had been done all the same. */
		read_back(now - 1, 30 + (int64_t)i);
	}
}

static void a_mute_node_asks_before_it_tells(void **state)
{
	(void)state;
	become_valid();
	now += 3000;
	expect(FLEET_HEARTBEAT);
	reply(FLEET_HEARTBEAT, FLEET_UNKNOWN, 0);
	now += 4000;
	expect(FLEET_KEEPALIVE);
	reply(FLEET_KEEPALIVE, FLEET_UNKNOWN, 0);
	now += 3000;
	expect(FLEET_KEEPALIVE);
	reply(FLEET_KEEPALIVE, FLEET_DONE, 0);
	expect(FLEET_HEARTBEAT);
	reply(FLEET_HEARTBEAT, FLEET_DONE, 40);
	/* Acknowledged, but the watch does not tell it: no further one. */
	now += 60000;
	expect(FLEET_KEEPALIVE);
	reply(FLEET_KEEPALIVE, FLEET_DONE, 0);
	expect(FLEET_WATCH);
	expect_nothing();
	read_back(now - 60000, 40);
	expect(FLEET_HEARTBEAT);
}

static void labels_that_do_not_fit_are_refused(void **state)
{
	static char key[] = "k", value[256];
	struct spec_label labels[64];
	struct fleet_node_config config = {
		.name = "me", .boot = "b", .address = "", .labels = labels, .label_count = 64, .rule = FLEET_RULE_DEFAULT
	};
	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	for (size_t i = 0; i < 64; i++)
		labels[i] = (struct spec_label){ key, value };
	/* One key, so that only one of them is written. */
	struct fleet_node *small = fleet_node_create(&config, 0);
	assert_non_null(small);
	fleet_node_free(small);
	char keys[64][4];
	for (size_t i = 0; i < 64; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%zu", i);
		labels[i].key = keys[i];
	}
	assert_null(fleet_node_create(&config, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(validity_counts_from_the_sending_of_what_came_back),
		TEST(it_lapses_and_is_valid_again),
		TEST(anothers_heartbeat_gives_no_time),
		TEST(a_heartbeat_counts_once_the_workers_are_silent),
		TEST(a_says_what_is_carried_out),
		TEST(nothing_counts_before_the_workers_have_confirmed_once),
		TEST(after_leaving_nothing_revives_it),
		TEST(an_earlier_process_of_this_boot_is_replaced_at_once),
		TEST(another_machine_with_the_name_must_be_silent_first),
		TEST(who_takes_a_name_over_is_later_than_its_last_holder),
		TEST(one_that_said_bye_is_replaced_at_once),
		TEST(a_join_that_seemed_to_fail_may_have_been_done),
		TEST(a_name_without_a_key_waits_if_shards_name_it),
		TEST(a_lease_that_is_gone_evicts),
		TEST(a_heartbeat_that_is_refused_evicts),
		TEST(a_gap_in_what_it_knows_of_its_name_makes_it_wait),
		TEST(a_stream_that_stands_still_is_opened_elsewhere),
		TEST(events_count_when_their_revision_is_whole),
		TEST(a_compacted_watch_lists_anew),
		TEST(a_member_that_lags_is_no_other_etcd),
		TEST(an_etcd_that_went_back_leads_astray),
		TEST(an_epoch_that_went_back_leads_astray),
		TEST(another_cluster_leads_astray),
		TEST(back_off_is_bounded),
		TEST(a_mute_node_asks_before_it_tells),
		TEST(labels_that_do_not_fit_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
