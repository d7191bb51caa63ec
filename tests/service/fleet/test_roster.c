/* The fleet's nodes for other threads, and what is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/roster.h"
#include "service/registry/events.h"
#include "service/spec/json_reader.h"

#define CLUSTER 77
#define LEASE 500

static const struct fleet_rule rule = { .ttl = 12000, .margin = 1500 };
static struct fleet_node *node;
static struct events *events;
static struct roster *roster;
static uint64_t now, last_event;

static void tell(const char *key, const char *value, int64_t revision)
{
	const struct fleet_kv kv = { key, value, value == NULL ? 0 : strlen(value), revision, LEASE, value == NULL, 0 };
	fleet_node_watch_event(node, &kv, now);
	fleet_node_watch_progress(node, revision, now);
}

static void answer(enum fleet_request_kind kind, int64_t revision)
{
	struct fleet_request request;
	const struct fleet_reply reply = { .kind = kind, .result = FLEET_DONE, .lease = LEASE, .revision = revision, .cluster = CLUSTER };
	assert_true(fleet_node_next(node, &request, 0, now));
	assert_int_equal(request.kind, kind);
	fleet_node_reply(node, &reply, now);
}

static void update(void)
{
	roster_update(roster, node, &rule, now);
}

/* The next event, of that type and with that text. */
static void expect(enum event_type type, const char *text)
{
	enum event_type found;
	char *json;
	assert_int_equal(events_next(events, last_event, &last_event, &found, &json), EVENTS_GOT);
	assert_int_equal(found, type);
	if (strstr(json, text) == NULL)
		fail_msg("no %s in %s", text, json);
	free(json);
}

static void expect_no_event(void)
{
	assert_int_equal(events_last_id(events), last_event);
}

static int begin(void **state)
{
	const struct fleet_node_config config = {
		.name = "me", .boot = "b-1", .address = "https://192.0.2.1:8470", .version = "0.1.0", .capacity = 100, .rule = rule
	};
	(void)state;
	log_start(LOG_ERROR, false, "control");
	json_reader_start();
	now = 1000000;
	last_event = 0;
	events = events_create(64, 0);
	roster = roster_create(events);
	node = fleet_node_create(&config, now);
	answer(FLEET_GRANT, 0);
	answer(FLEET_JOIN, 10);
	answer(FLEET_LIST, 15);
	fleet_node_silent(node, 15);
	return 0;
}

static int end(void **state)
{
	(void)state;
	fleet_node_free(node);
	roster_free(roster);
	events_free(events);
	return 0;
}

static void hear_myself(int64_t revision)
{
	char value[160];
	snprintf(value, sizeof(value), "{\"t\":%llu,\"boot\":\"b-1\",\"capacity\":100,\"address\":\"https://192.0.2.1:8470\",\"version\":\"0.1.0\"}",
	         (unsigned long long)now);
	tell("p/node/me", value, revision);
}

static void nodes_come_are_drained_and_are_lost(void **state)
{
	struct roster_summary summary;
	size_t count;
	(void)state;
	hear_myself(20);
	tell("p/node/a", "{\"t\":5,\"a\":20,\"capacity\":50,\"labels\":{\"region\":\"eu\"},\"address\":\"https://192.0.2.2:8470\"}", 21);
	tell("p/shard/any/7", "{\"n\":\"a\"}", 22);
	tell("p/changed/any/7", "{\"count\":3}", 23);
	tell("p/changed/any/8", "{\"count\":2}", 24);
	update();
	expect(EVENT_NODE_STATE, "\"node\":\"a\",\"state\":\"ready\"");
	expect(EVENT_NODE_STATE, "\"node\":\"me\",\"state\":\"ready\"");
	expect(EVENT_FLEET_CONNECTED, "\"state\":\"valid\"");
	struct roster_node *nodes = roster_nodes(roster, &count);
	assert_int_equal(count, 2);
	assert_string_equal(nodes[0].id, "a");
	assert_string_equal(nodes[0].labels, "{\"region\":\"eu\"}");
	assert_string_equal(nodes[0].api, "https://192.0.2.2:8470");
	assert_int_equal(nodes[0].tunnels, 3);
	assert_int_equal(nodes[0].expires_in, 13500);
	assert_true(nodes[1].is_self && !nodes[0].is_self);
	assert_string_equal(nodes[1].version, "0.1.0");
	roster_nodes_free(nodes, count);
	roster_summary(roster, &summary);
	assert_true(summary.is_connected);
	assert_int_equal(summary.lease_ms, 10500);
	assert_int_equal(summary.tunnels[ROSTER_READY], 3);
	assert_int_equal(summary.unplaced, 2);
	update();
	expect_no_event();
	tell("p/node/a", "{\"t\":6,\"a\":20,\"capacity\":50,\"drain\":true}", 25);
	update();
	expect(EVENT_NODE_STATE, "\"node\":\"a\",\"state\":\"draining\"");
	tell("p/node/a", NULL, 26);
	update();
	/* Its key does not decide. */
	expect_no_event();
	for (int64_t i = 0; i < 3; i++) {
		now += 4500;
		hear_myself(27 + i);
		update();
	}
	expect(EVENT_NODE_STATE, "\"node\":\"a\",\"state\":\"lost\"");
	roster_summary(roster, &summary);
	assert_int_equal(summary.tunnels[ROSTER_LOST], 3);
}

/* It starts without etcd, or shards name one that nobody has heard. */
static void of_whom_nothing_is_known_is_lost_without_a_word(void **state)
{
	size_t count;
	(void)state;
	tell("p/shard/any/7", "{\"n\":\"a\"}", 20);
	tell("p/changed/any/7", "{\"count\":3}", 21);
	update();
	expect_no_event();
	struct roster_node *nodes = roster_nodes(roster, &count);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(nodes[i].state == ROSTER_LOST && nodes[i].expires_in == 0);
	roster_nodes_free(nodes, count);
	hear_myself(22);
	update();
	expect(EVENT_NODE_STATE, "\"node\":\"me\",\"state\":\"ready\"");
}

static void a_node_that_is_cut_off_says_so_once(void **state)
{
	struct roster_summary summary;
	(void)state;
	hear_myself(20);
	update();
	expect(EVENT_NODE_STATE, "\"node\":\"me\"");
	expect(EVENT_FLEET_CONNECTED, "");
	now += 10500;
	update();
	expect(EVENT_FLEET_ISOLATED, "\"state\":\"lapsed\"");
	roster_summary(roster, &summary);
	assert_false(summary.is_connected);
	assert_int_equal(summary.lease_ms, 0);
	update();
	expect_no_event();
	hear_myself(21);
	update();
	expect(EVENT_FLEET_CONNECTED, "");
}

static void a_database_that_fills_is_told_once(void **state)
{
	struct roster_summary summary;
	(void)state;
	hear_myself(20);
	update();
	expect(EVENT_NODE_STATE, "\"node\":\"me\"");
	expect(EVENT_FLEET_CONNECTED, "");
	roster_take_fill(roster, 80, 100);
	expect_no_event();
	roster_take_fill(roster, 81, 100);
	expect(EVENT_FLEET_NEARLY_FULL, "\"bytes\":81,\"quota\":100");
	roster_take_fill(roster, 99, 100);
	roster_take_fill(roster, 75, 100); /* not enough to be well */
	roster_take_fill(roster, 90, 100);
	expect_no_event();
	update();
	roster_summary(roster, &summary);
	assert_true(summary.etcd_bytes == 90 && summary.etcd_quota == 100);
	roster_take_fill(roster, 74, 100);
	roster_take_fill(roster, 90, 100);
	expect(EVENT_FLEET_NEARLY_FULL, "\"bytes\":90");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nodes_come_are_drained_and_are_lost, begin, end),
		cmocka_unit_test_setup_teardown(of_whom_nothing_is_known_is_lost_without_a_word, begin, end),
		cmocka_unit_test_setup_teardown(a_node_that_is_cut_off_says_so_once, begin, end),
		cmocka_unit_test_setup_teardown(a_database_that_fills_is_told_once, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
