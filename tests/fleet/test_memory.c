/* Every allocation of a node and its placer fails once: nothing is served that was not told, and later all is as it would have been. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "fleet/placer.h"
#include "service/spec/json_reader.h"
#include "tests/failing_heap.h"

#define LEASE 500

static struct fleet_node *node;
static struct fleet_placer *placer;
static uint64_t now;
static int64_t revision;
static char own[FLEET_VALUE_TEXT]; /* its key, as etcd has it */
static bool has_shard;

static struct fleet_kv kv_of(const char *key, const char *value, int64_t at, int64_t lease)
{
	return (struct fleet_kv){ key, value, strlen(value), at, lease, false, 0 };
}

static void list(void)
{
	struct fleet_kv kvs[] = {
		kv_of("p/changed/any/7", "{\"count\":3}", 2, 0),
		kv_of("p/changed/region=eu/8", "{\"count\":3}", 3, 0),
		kv_of("p/leader", "{\"n\":\"a\"}", 4, 7),
		kv_of("p/node/a", "{\"t\":1,\"a\":3,\"boot\":\"b-2\",\"labels\":{\"region\":\"eu\"}}", 5, 7),
		kv_of("p/shard/region=eu/8", "{\"n\":\"a\",\"ts_floor\":5}", 6, 0),
		kv_of("p/node/me", own, revision, LEASE),
	};
	for (size_t i = 0; i < sizeof(kvs) / sizeof(kvs[0]); i++)
		fleet_node_listed(node, &kvs[i], now);
}

static void tell(const char *key, const char *value, int64_t lease)
{
	struct fleet_kv kv = kv_of(key, value, ++revision, lease);
	fleet_node_watch_event(node, &kv, now);
	fleet_node_watch_progress(node, revision, now);
}

/* An etcd that does whatever is asked, and tells it at once. */
static void do_for_node(const struct fleet_request *request)
{
	struct fleet_reply reply = { .kind = request->kind, .result = FLEET_DONE, .lease = LEASE, .cluster = 1 };
	bool is_heartbeat = request->kind == FLEET_HEARTBEAT;
	if (request->kind == FLEET_WATCH) {
		fleet_node_watch_created(node, revision, 1);
		return;
	}
	if (request->kind == FLEET_JOIN || is_heartbeat)
		strcpy(own, request->txn->puts[0].value);
	reply.revision = revision += request->kind == FLEET_JOIN;
	if (request->kind == FLEET_LIST)
		list();
	if (is_heartbeat)
		reply.revision = revision + 1;
	fleet_node_reply(node, &reply, now);
	if (is_heartbeat)
		tell("p/node/me", own, LEASE);
}

static void do_for_placer(const struct fleet_request *request)
{
	struct fleet_reply reply = {
		.kind = request->kind, .result = FLEET_DONE, .revision = revision + (int64_t)request->txn->put_count, .cluster = 1
	};
	struct fleet_txn txn = *request->txn;
	fleet_placer_reply(placer, &reply, now);
	for (size_t i = 0; i < txn.put_count; i++)
		tell(txn.puts[i].key, txn.puts[i].value, txn.puts[i].lease);
}

static void take_changes(void)
{
	struct fleet_change change;
	while (fleet_node_next_change(node, &change))
		if (strcmp(change.class, "any") == 0)
			has_shard = change.epoch != 0;
	fleet_node_silent(node, fleet_node_applied(node));
	fleet_node_running(node, fleet_node_applied(node));
}

static void live(uint64_t ms)
{
	struct fleet_request request;
	for (uint64_t end = now + ms; now < end; now += 100) {
		for (size_t i = 0; i < 20 && fleet_node_next(node, &request, 1000, now); i++)
			do_for_node(&request);
		for (size_t i = 0; i < 20 && fleet_placer_next(placer, &request, 1000, now); i++)
			do_for_placer(&request);
		take_changes();
	}
}

/* Joins, takes over as the placer, and gives itself a shard. False: it could not be made. */
static bool live_with_a_heap_that_fails_after(unsigned allowed)
{
	static char region[] = "region", us[] = "us";
	struct spec_label label = { region, us };
	const struct fleet_node_config config = { "me", "b-1", "", "", 10, &label, 1, FLEET_RULE_DEFAULT, 1 };
	now = 1000000;
	revision = 10;
	has_shard = false;
	heap_fails_once_after(allowed);
	node = fleet_node_create(&config, now);
	placer = node == NULL ? NULL : fleet_placer_create(node, &config.rule, 1);
	if (placer == NULL)
		return false;
	live(40000);
	return true;
}

static void it_recovers_from_each_allocation_that_fails(void **state)
{
	unsigned made = 0, refused = 1;
	(void)state;
	json_reader_start();
	for (unsigned allowed = 0; refused > 0; allowed++) {
		bool is_made = live_with_a_heap_that_fails_after(allowed);
		refused = heap_refused();
		heap_works();
		made += is_made;
		if (is_made) {
			live(20000);
			assert_int_equal(fleet_node_state(node, now), FLEET_NODE_VALID);
			assert_int_equal(fleet_node_view(node)->leader, FLEET_ME);
			assert_true(has_shard);
		}
		fleet_placer_free(placer);
		fleet_node_free(node);
	}
	assert_true(made > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(it_recovers_from_each_allocation_that_fails) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
