/* What other nodes run is read from its records, as far as the caller may see it. etcd is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/fleet/finder.h"
#include "service/fleet/object_record.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"
#include "tests/service/quoted_json.h"

#define TUNNEL(labels)                                                                                                                               \
	"{'labels':{" labels "},'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

static struct fleet_keyring ring = { .count = 1 };
static struct fleet_node *node;
static struct finder *finder;
static unsigned answered;

static int set_up(void **state)
{
	const struct fleet_node_config config = {
		.name = "me", .boot = "b", .address = "", .version = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT
	};
	bench_mutations_set_up(state);
	fake_store_reset();
	node = fleet_node_create(&config, 0);
	const struct finder_means means = { .ring = &ring, .node = node };
	finder = finder_create(&means);
	answered = 0;
	return node == NULL || finder == NULL;
}

static int tear_down(void **state)
{
	finder_free(finder);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void store(const char *id, const char *text, const char *owner)
{
	struct candidate candidate;
	struct fleet_key key;
	char name[FLEET_KEY_TEXT], *value, shard[128];
	json_t *document = quoted_json(text);
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	size_t count = candidate.label_count;
	candidate.label_count = 0;
	struct snapshot *snapshot = snapshot_make(id, &candidate.labels, count, &candidate.spec, NULL, NULL, NULL, 1000);
	assert_int_equal(object_record_write(&value, &ring, snapshot), OBJECT_RECORD_OK);
	assert_true(object_record_place(&key, SPEC_TUNNEL, id, NULL));
	fleet_key_write(&key, name);
	fake_store_put(name, value);
	key.kind = FLEET_KEY_ID;
	fleet_key_write(&key, name);
	fake_store_put(name, "{\"class\":\"any\"}");
	key.kind = FLEET_KEY_SHARD;
	fleet_key_write(&key, name);
	snprintf(shard, sizeof(shard), "{\"n\":\"%s\",\"f\":\"\",\"ts_floor\":1}", owner);
	const struct fleet_kv kv = { .key = name, .value = shard, .length = strlen(shard), .revision = fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, 0), FLEET_VIEW_OK);
	free(value);
	snapshot_release(snapshot);
	candidate_clear(&candidate);
	json_decref(document);
}

static void on_answered(struct mutation *mutation, void *owner)
{
	(void)mutation, (void)owner;
	answered++;
}

static struct mutation *look_up(const char *id)
{
	struct mutation *mutation = mutation_create(MUTATION_LOOK_UP, 0);
	mutation->done = on_answered;
	snprintf(mutation->wanted, sizeof(mutation->wanted), "%s", id);
	finder_begin(finder, mutation);
	return mutation;
}

static struct mutation *answer(struct mutation *mutation)
{
	while (answered == 0)
		assert_true(fake_store_answer() > 0);
	answered = 0;
	return mutation;
}

static void one_is_found_with_its_node(void **state)
{
	(void)state;
	store("a", TUNNEL("'x':'y'"), "ams-2");
	struct mutation *mutation = answer(look_up("a"));
	struct snapshot_status status;
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->found_count, 1);
	assert_string_equal(mutation->found[0]->elsewhere->node, "ams-2");
	assert_string_equal(mutation->found[0]->labels_json, "{\"x\":\"y\"}");
	snapshot_status(mutation->found[0], &status);
	assert_string_equal(status.reason, "its node has not told of it yet");
	mutation_free(mutation);
	mutation = answer(look_up("b"));
	assert_int_equal(mutation->problem.code, PROBLEM_NOT_FOUND);
	mutation_free(mutation);
	/* Etcd is not asked for what is no id: it could be another's key. */
	static const char *const none[] = { "+a", "a/", "../t/any", "A" };
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		mutation = answer(look_up(none[i]));
		assert_int_equal(mutation->problem.code, PROBLEM_NOT_FOUND);
		mutation_free(mutation);
	}
	assert_int_equal(fake_store_waiting(), 0);
}

/* As its node tells it, and not as an earlier one did. */
static void it_is_as_its_node_tells(void **state)
{
	static const char told[] = "{\"node\":\"%s\",\"objects\":{\"a\":{\"state\":\"up\",\"reason\":\"\",\"since\":7,\"generation\":3,"
				   "\"healthy\":true,\"health_since\":8,\"listen\":[\"127.0.0.1:9\"]},\"none\":7}}";
	struct fleet_key key;
	char name[FLEET_KEY_TEXT], value[512];
	(void)state;
	store("a", TUNNEL(""), "ams-2");
	assert_true(object_record_place(&key, SPEC_TUNNEL, "a", NULL));
	key.kind = FLEET_KEY_STATUS;
	fleet_key_write(&key, name);
	for (int i = 0; i < 4; i++) {
		struct snapshot_status status;
		struct snapshot_health health;
		snprintf(value, sizeof(value), told, i < 2 ? "ams-2" : "ams-1");
		fake_store_put(name, i < 3 ? value : "nonsense");
		struct mutation *mutation = answer(look_up(i % 2 == 0 ? "a" : ""));
		assert_int_equal(mutation->found_count, 1);
		snapshot_status(mutation->found[0], &status);
		snapshot_health(mutation->found[0], &health);
		assert_int_equal(status.state, i < 2 ? TUNNEL_UP : TUNNEL_STARTING);
		assert_int_equal(health.health == TUNNEL_HEALTHY, i < 2);
		assert_int_equal(mutation->found[0]->listen_count, i < 2);
		assert_true(i >= 2 || mutation->found[0]->elsewhere->age == UINT64_MAX); /* no heartbeat says when */
		assert_true(i >= 2 || (status.since == 7 && status.observed_generation == 3 && health.since == 8));
		mutation_free(mutation);
	}
}

/* What is here, too: it may be another's by the time the list is written. */
static void all_are_found_wherever_they_run(void **state)
{
	(void)state;
	store("a", TUNNEL(""), "ams-2");
	store("b", TUNNEL(""), "");
	store("here", TUNNEL(""), "me");
	mutation_free(bench_mutations_do(OPERATION_CREATE, "here", TUNNEL("")));
	struct mutation *mutation = answer(look_up(""));
	assert_int_equal(mutation->found_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(mutation->found[i]->elsewhere->node, ((const char *[]){ "ams-2", "", "me" })[i]);
	mutation_free(mutation);
}

/* P2: a token that is bound to labels learns of nothing else. */
static void what_the_caller_may_not_see_is_not_there(void **state)
{
	(void)state;
	store("ours", TUNNEL("'team':'a'"), "ams-2");
	store("theirs", TUNNEL("'team':'b'"), "ams-2");
	const struct spec_label label = { (char[]){ "team" }, (char[]){ "a" } };
	struct access *access = access_create(&label, 1);
	static const struct {
		const char *id;
		size_t count;
	} cases[] = { { "", 1 }, { "ours", 1 }, { "theirs", 0 } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mutation *mutation = mutation_create(MUTATION_LOOK_UP, 0);
		mutation->access = access_reference(access);
		mutation->done = on_answered;
		snprintf(mutation->wanted, sizeof(mutation->wanted), "%s", cases[i].id);
		finder_begin(finder, mutation);
		answer(mutation);
		assert_int_equal(mutation->found_count, cases[i].count);
		assert_int_equal(mutation->problem.code, cases[i].count == 1 ? PROBLEM_NONE : PROBLEM_NOT_FOUND);
		mutation_free(mutation);
	}
	access_release(access);
}

static void without_etcd_it_is_said(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct mutation *mutation = look_up(i == 0 ? "" : "a");
		fake_store_fail(ETCD_UNREACHABLE, false);
		assert_int_equal(answered, 1);
		assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
		mutation_free(mutation);
		answered = 0;
	}
	struct mutation *mutation = look_up("a");
	finder_end(finder);
	assert_int_equal(answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_WORKER_UNAVAILABLE);
	mutation_free(mutation);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_is_found_with_its_node, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_as_its_node_tells, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_are_found_wherever_they_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_caller_may_not_see_is_not_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_etcd_it_is_said, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
