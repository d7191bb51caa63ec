#include "tests/fleet/bench_node.h"

#include <stdio.h>
#include <string.h>

struct fleet_node *node;
uint64_t now;
struct fleet_request request;

int begin(void **state)
{
	static const struct fleet_node_config config = {
		.name = "me", .boot = "b-1", .address = "", .capacity = 10, .rule = { 12000, 1500 }, .seed = 1
	};
	(void)state;
	now = 1000000;
	node = fleet_node_create(&config, now);
	assert_non_null(node);
	return 0;
}

int end(void **state)
{
	(void)state;
	fleet_node_free(node);
	return 0;
}

void expect(enum fleet_request_kind kind)
{
	assert_true(fleet_node_next(node, &request, 0, now));
	assert_int_equal(request.kind, kind);
}

void expect_nothing(void)
{
	assert_false(fleet_node_next(node, &request, 0, now));
}

void reply(enum fleet_request_kind kind, enum fleet_result result, int64_t revision)
{
	struct fleet_reply answer = {
		.kind = kind, .result = result, .lease = LEASE, .revision = revision, .cluster = result == FLEET_UNKNOWN ? 0 : CLUSTER
	};
	fleet_node_reply(node, &answer, now);
}

void event_of(const char *key, const char *value, int64_t revision, int64_t lease)
{
	struct fleet_kv kv = { key, value, value == NULL ? 0 : strlen(value), revision, lease, value == NULL, 0 };
	fleet_node_watch_event(node, &kv, now);
	fleet_node_watch_progress(node, revision, now);
}

void read_back(uint64_t t, int64_t revision)
{
	char value[64];
	snprintf(value, sizeof(value), "{\"t\":%llu,\"boot\":\"b-1\"}", (unsigned long long)t);
	event_of("p/node/me", value, revision, LEASE);
}

void confirm_all(void)
{
	struct fleet_change change;
	while (fleet_node_next_change(node, &change))
		;
	fleet_node_silent(node, fleet_node_applied(node));
	fleet_node_running(node, fleet_node_applied(node));
}

void join(void)
{
	expect(FLEET_GRANT);
	reply(FLEET_GRANT, FLEET_DONE, 0);
	expect(FLEET_JOIN);
	reply(FLEET_JOIN, FLEET_DONE, 10);
}

void become_valid(void)
{
	join();
	expect(FLEET_LIST);
	reply(FLEET_LIST, FLEET_DONE, 15);
	confirm_all();
	expect(FLEET_HEARTBEAT);
	expect(FLEET_WATCH);
	assert_int_equal(request.revision, 16);
	fleet_node_watch_created(node, 15, CLUSTER);
	reply(FLEET_HEARTBEAT, FLEET_DONE, 20);
	read_back(now, 20);
	confirm_all();
	expect_nothing();
	assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
}

void beat(int64_t revision)
{
	expect(FLEET_HEARTBEAT);
	reply(FLEET_HEARTBEAT, FLEET_DONE, revision);
}
