/* A node tells how its shards' tunnels are, once for each difference. etcd is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/fleet/object_record.h"
#include "service/fleet/published.h"
#include "service/fleet/publisher.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"

static struct fleet_node *node;
static struct fleet_keyring ring = { .count = 1 };
static struct keeper *keeper;
static struct publisher *publisher;
static uv_loop_t still; /* the publisher's: its timer never looks, only the test does */

static unsigned written; /* times that all was */
static uint64_t written_at;

static void on_written(void *owner, uint64_t at)
{
	(void)owner;
	written++;
	written_at = at;
}

static void on_told(void *owner, int64_t revision)
{
	(void)owner, (void)revision;
}

static int set_up(void **state)
{
	const struct fleet_node_config config = { .name = "me", .boot = "b", .address = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT };
	bench_mutations_set_up(state);
	fake_store_reset();
	node = fleet_node_create(&config, 0);
	const struct keeper_means keeping = { .loop = &bench.loop,
		                              .registry = bench.registry,
		                              .mutations = changes.mutations,
		                              .ring = &ring,
		                              .silent = on_told,
		                              .running = on_told,
		                              .settled = on_told,
		                              .node = node };
	keeper = keeper_create(&keeping);
	const struct publisher_means means = {
		.keeper = keeper, .loop = &still, .registry = bench.registry, .node = node, .name = "me", .told = on_written
	};
	uv_loop_init(&still);
	written = 0;
	publisher = publisher_create(&means);
	return node == NULL || publisher == NULL;
}

static int tear_down(void **state)
{
	publisher_free(publisher);
	uv_run(&still, UV_RUN_DEFAULT);
	uv_loop_close(&still);
	keeper_free(keeper);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void place(const char *id, enum fleet_key_kind kind, char text[FLEET_KEY_TEXT])
{
	struct fleet_key key;
	assert_true(object_record_place(&key, SPEC_TUNNEL, id, NULL));
	key.kind = kind;
	fleet_key_write(&key, text);
}

static void give(const char *id, const char *owner)
{
	char key[FLEET_KEY_TEXT], value[128];
	place(id, FLEET_KEY_SHARD, key);
	snprintf(value, sizeof(value), "{\"n\":\"%s\",\"f\":\"\",\"ts_floor\":1}", owner);
	const struct fleet_kv kv = { .key = key, .value = value, .length = strlen(value), .revision = ++fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, 0), FLEET_VIEW_OK);
}

static void put(const char *id, enum snapshot_origin origin, unsigned address)
{
	char text[256];
	snprintf(text, sizeof(text),
	         "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.%u']}}}", address);
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, id, text);
	mutation->operations[0].origin = origin;
	if (origin == SNAPSHOT_OF_FLEET)
		mutation->operations[0].stamp =
		    (struct operation_stamp){ .revision = 100 + address, .generation = 1, .created_at = 1, .updated_at = 1 };
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

static size_t look(void)
{
	publisher_look(publisher);
	return fake_store_answer();
}

static const struct fake_record *told_of(const char *id)
{
	char key[FLEET_KEY_TEXT];
	place(id, FLEET_KEY_STATUS, key);
	return fake_store_find(key);
}

static void what_differs_is_told_once(void **state)
{
	(void)state;
	give("a", "me");
	put("a", SNAPSHOT_OF_FLEET, 2);
	assert_int_equal(look(), 1);
	json_t *value = json_loads(told_of("a")->value, 0, NULL), *objects = published_objects(value, "me");
	const json_t *told = json_object_get(objects, "a");
	assert_null(published_objects(value, "other"));
	assert_string_equal(json_string_value(json_object_get(told, "state")), "starting");
	json_decref(value);
	assert_int_equal(written, 1);
	uint64_t before = written_at;
	assert_true(before != 0);
	assert_int_equal(look(), 0);
	assert_int_equal(written, 2); /* nothing differs: that is news, too */
	assert_true(written_at >= before);
	put("a", SNAPSHOT_OF_FLEET, 3);
	publisher_look(publisher);
	assert_int_equal(written, 2); /* not before etcd has it */
	assert_int_equal(fake_store_answer(), 1);
	assert_int_equal(written, 3);
	assert_int_equal(look(), 0);
}

static void a_write_that_fails_is_made_again(void **state)
{
	(void)state;
	give("a", "me");
	put("a", SNAPSHOT_OF_FLEET, 2);
	publisher_look(publisher);
	publisher_look(publisher); /* one at a time */
	assert_int_equal(fake_store_waiting(), 1);
	fake_store_fail(ETCD_TIMED_OUT, false);
	assert_int_equal(written, 0);
	assert_int_equal(look(), 1);
	assert_non_null(told_of("a"));
}

static void only_what_is_the_fleet_s_and_ours_is_told(void **state)
{
	(void)state;
	give("a", "other");
	give("own", "me");
	put("a", SNAPSHOT_OF_FLEET, 2);
	put("own", SNAPSHOT_OF_API, 3);
	assert_int_equal(look(), 0);
	give("a", "me");
	assert_int_equal(look(), 1);
	/* It goes, another tells of it, and it comes back. */
	give("a", "other");
	assert_int_equal(look(), 0);
	give("a", "me");
	assert_int_equal(look(), 1);
}

/* A record that nobody can read. */
static void what_this_node_cannot_run_has_failed(void **state)
{
	struct fleet_class any = { .node = "" };
	char key[FLEET_KEY_TEXT];
	(void)state;
	give("a", "me");
	place("a", FLEET_KEY_OBJECT, key);
	fake_store_put(key, "{}");
	const struct fleet_change change = { .class = "any", .shard = fleet_class_shard_of(&any, "a"), .epoch = 5 };
	keeper_change(keeper, &change);
	keeper_applied(keeper, fake_store.revision);
	for (int i = 0; i < 10; i++) {
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		fake_store_answer();
	}
	assert_int_equal(look(), 1);
	json_t *value = json_loads(told_of("a")->value, 0, NULL);
	const json_t *told = json_object_get(published_objects(value, "me"), "a");
	assert_string_equal(json_string_value(json_object_get(told, "state")), "failed");
	assert_string_equal(json_string_value(json_object_get(told, "reason")), object_record_explain(OBJECT_RECORD_FORGED));
	json_decref(value);
	assert_int_equal(look(), 0);
}

static void many_shards_are_told_one_after_the_other(void **state)
{
	char id[16];
	size_t writes = 0;
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		snprintf(id, sizeof(id), "t%u", i);
		give(id, "me");
		put(id, SNAPSHOT_OF_FLEET, i + 2);
	}
	for (size_t count = look(); count > 0; count = fake_store_answer())
		writes += count;
	assert_int_equal(writes, 2);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(id, sizeof(id), "t%u", i);
		assert_non_null(told_of(id));
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_differs_is_told_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_write_that_fails_is_made_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_what_is_the_fleet_s_and_ours_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_this_node_cannot_run_has_failed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_shards_are_told_one_after_the_other, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
