/* Writes of tunnels and pools in a fleet: one transaction each, planned on what is there, and answered with what is known of them. etcd is the
 * test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/runner.h"
#include "ipc/log.h"
#include "service/fleet/object_record.h"
#include "service/fleet/write_job.h"
#include "service/fleet/writer.h"
#include "service/registry/registry.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define TUNNEL(address, more) "{'spec':{'interface':{'private_key':'" KEY "','addresses':['" address "']}" more "}}"
#define TURNS_MOST 5000 /* of a millisecond, against a hang only */

static struct fleet_keyring ring = { .count = 1 };
static struct fleet_node *node;
static struct keeper *keeper;
static struct finder *finder;
static struct writer *writer;
static unsigned answered;

static void on_told(void *owner, int64_t revision)
{
	(void)owner, (void)revision;
}

static int set_up(void **state)
{
	const struct fleet_node_config config = { .name = "me", .boot = "b", .address = "", .capacity = 10, .rule = FLEET_RULE_DEFAULT };
	bench_mutations_set_up(state);
	fake_store_reset();
	fake_store.revision = 100;
	changes.policy.is_in_fleet = true;
	answered = 0;
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
	const struct finder_means finding = { .ring = &ring, .node = node };
	finder = finder_create(&finding);
	const struct writer_means means = { .finder = finder,
		                            .loop = &bench.loop,
		                            .registry = bench.registry,
		                            .mutations = changes.mutations,
		                            .keeper = keeper,
		                            .ring = &ring,
		                            .node = node };
	writer = writer_create(&means);
	return writer == NULL;
}

static int tear_down(void **state)
{
	finder_free(finder);
	writer_free(writer);
	keeper_free(keeper);
	fleet_node_free(node);
	fake_store_reset();
	return bench_mutations_tear_down(state);
}

static void place(const char *id, const char *class, enum fleet_key_kind kind, char text[FLEET_KEY_TEXT])
{
	struct fleet_class read;
	struct fleet_key key = { .kind = kind };
	assert_int_equal(fleet_class_read(&read, class), FLEET_CLASS_OK);
	snprintf(key.name, sizeof(key.name), "%s", id);
	snprintf(key.class, sizeof(key.class), "%s", class);
	key.shard = fleet_class_shard_of(&read, id);
	fleet_class_clear(&read);
	fleet_key_write(&key, text);
}

static const struct fake_record *record(const char *id, enum fleet_key_kind kind)
{
	char key[FLEET_KEY_TEXT];
	place(id, "any", kind, key);
	return fake_store_find(key);
}

static void assert_count(const char *id, const char *value)
{
	assert_string_equal(record(id, FLEET_KEY_CHANGED)->value, value);
}

/* What a watch would tell. */
static void give(const char *id, const char *class, const char *owner)
{
	char key[FLEET_KEY_TEXT], value[128];
	place(id, class, FLEET_KEY_SHARD, key);
	snprintf(value, sizeof(value), "{\"n\":\"%s\",\"f\":\"\",\"ts_floor\":1}", owner);
	const struct fleet_kv kv = { .key = key, .value = value, .length = strlen(value), .revision = ++fake_store.revision };
	assert_int_equal(fleet_view_apply((struct fleet_view *)(uintptr_t)fleet_node_view(node), &kv, etcd_runner_now()), FLEET_VIEW_OK);
}

static void on_answered(struct mutation *mutation, void *owner)
{
	(void)mutation, (void)owner;
	answered++;
}

static struct mutation *begin(struct mutation *mutation)
{
	mutation->done = on_answered;
	assert_true(writer_takes(mutation));
	writer_begin(writer, mutation);
	return mutation;
}

static void turn(void)
{
	fake_store_answer();
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	bench_mutations_finish();
}

static struct mutation *finish(struct mutation *mutation)
{
	for (int i = 0; i < TURNS_MOST && answered == 0; i++) {
		turn();
		if (answered == 0)
			uv_sleep(1);
	}
	assert_int_equal(answered, 1);
	answered = 0;
	return mutation;
}

/* Of a tunnel that another node has. */
static struct mutation *edit(enum operation_kind kind, const char *id, const char *json)
{
	give(id, "any", "other");
	return finish(begin(bench_mutations_make(kind, id, json)));
}

static enum problem_code code_of(struct mutation *mutation)
{
	enum problem_code code = bench_mutations_code(mutation);
	mutation_free(mutation);
	return code;
}

static enum problem_code code(enum operation_kind kind, const char *id, const char *json)
{
	return code_of(edit(kind, id, json));
}

/* ---- Tests ---- */

static void a_new_tunnel_is_a_record_an_id_and_one_more(void **state)
{
	(void)state;
	struct mutation *mutation = edit(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", ""));
	const struct operation *operation = &mutation->operations[0];
	assert_int_equal(operation->problem.code, PROBLEM_NONE);
	assert_int_equal(operation->applied, APPLIED_CREATED);
	assert_int_equal(operation->snapshot->origin, SNAPSHOT_OF_FLEET);
	assert_int_equal(operation->snapshot->revision, fake_store.revision);
	assert_int_equal(record("a", FLEET_KEY_OBJECT)->revision, fake_store.revision);
	assert_string_equal(record("a", FLEET_KEY_ID)->value, "{\"class\":\"any\"}");
	assert_count("a", "{\"count\":1}");
	mutation_free(mutation);
	assert_null(registry_entry(bench.registry, "a")); /* it is another node's */
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_TUNNEL_EXISTS);
}

static void a_tunnel_without_an_id_gets_one(void **state)
{
	(void)state;
	struct mutation *mutation = begin(bench_mutations_make(OPERATION_CREATE, "", TUNNEL("10.2.0.2", "")));
	give(mutation->operations[0].id, "any", "other");
	finish(mutation);
	assert_int_equal(mutation->operations[0].id[0], 't');
	assert_non_null(record(mutation->operations[0].id, FLEET_KEY_OBJECT));
	mutation_free(mutation);
	assert_int_equal(code(OPERATION_PUT, "-", TUNNEL("10.2.0.2", "")), PROBLEM_VALIDATION_FAILED);
}

static void a_change_keeps_what_it_does_not_say(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	int64_t before = fake_store.revision;
	struct mutation *mutation = edit(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}");
	const struct snapshot *after = mutation->operations[0].snapshot;
	assert_int_equal(mutation->operations[0].applied, APPLIED_IN_PLACE);
	assert_true(after->spec.has_private_key && after->generation == 2 && after->revision > (uint64_t)before);
	assert_string_equal(after->labels_json, "{\"x\":\"y\"}");
	assert_true(after->updated_at > after->created_at);
	mutation_free(mutation);
	assert_count("a", "{\"count\":1}");
	assert_int_equal(record("a", FLEET_KEY_CHANGED)->revision, fake_store.revision); /* its owner is told */
	before = record("a", FLEET_KEY_OBJECT)->revision;
	assert_int_equal(code(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	assert_int_equal(record("a", FLEET_KEY_OBJECT)->revision, before); /* nothing to write */
}

static void a_deleted_tunnel_leaves_a_count(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_null(record("a", FLEET_KEY_OBJECT));
	assert_null(record("a", FLEET_KEY_ID));
	assert_count("a", "{\"count\":0}");
	assert_int_equal(code(OPERATION_DELETE, "a", NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(code(OPERATION_PATCH, "a", "{}"), PROBLEM_NOT_FOUND);
}

static enum problem_code patch_if(const char *tag)
{
	struct mutation *mutation = bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'enabled':false}}");
	mutation->operations[0].if_match = strdup(tag);
	return code_of(finish(begin(mutation)));
}

static void a_precondition_is_the_record_s_revision(void **state)
{
	char tag[32];
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	snprintf(tag, sizeof(tag), "\"%lld\"", (long long)record("a", FLEET_KEY_OBJECT)->revision);
	assert_int_equal(patch_if("\"1\""), PROBLEM_PRECONDITION_FAILED);
	assert_int_equal(patch_if(tag), PROBLEM_NONE);
	assert_int_equal(patch_if(tag), PROBLEM_PRECONDITION_FAILED);
}

static void answer_jobs(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(fake_store_answer(), 1);
}

/* Another node writes the same tunnel between what was read here and what is written: neither change is lost. */
static void a_change_that_came_between_is_planned_on(void **state)
{
	char key[FLEET_KEY_TEXT];
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	char *first = strdup(record("a", FLEET_KEY_OBJECT)->value);
	assert_int_equal(code(OPERATION_PATCH, "a", "{'labels':{'theirs':'1'}}"), PROBLEM_NONE);
	char *theirs = strdup(record("a", FLEET_KEY_OBJECT)->value);
	place("a", "any", FLEET_KEY_OBJECT, key);
	fake_store_put(key, first);
	struct mutation *mutation = begin(bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'ours':'2'}}"));
	answer_jobs(3); /* the id, the record, the count */
	fake_store_put(key, theirs);
	finish(mutation);
	assert_string_equal(mutation->operations[0].snapshot->labels_json, "{\"ours\":\"2\",\"theirs\":\"1\"}");
	mutation_free(mutation);
	free(first);
	free(theirs);
}

static void check_failure(unsigned answers, enum etcd_error error, bool is_done, const char *told)
{
	struct mutation *mutation = begin(bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'enabled':false}}"));
	answer_jobs(answers);
	fake_store_fail(error, is_done);
	finish(mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_FLEET_UNAVAILABLE);
	assert_non_null(strstr(mutation->operations[0].problem.detail, told));
	assert_null(mutation->operations[0].snapshot);
	mutation_free(mutation);
}

/* P5: nothing is acknowledged that is not written, and nothing is denied that may be. */
static void without_etcd_it_is_told_what_is_known(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	give("a", "any", "other");
	for (unsigned answers = 0; answers < 3; answers++)
		check_failure(answers, ETCD_TIMED_OUT, false, "nothing was changed");
	check_failure(3, ETCD_NO_SPACE, false, "nothing was changed");
	check_failure(3, ETCD_TIMED_OUT, false, "may have been made");
	check_failure(3, ETCD_UNREACHABLE, true, "may have been made");
	assert_non_null(strstr(record("a", FLEET_KEY_OBJECT)->value, "\"enabled\":false"));
}

static struct mutation *batch_of_an_action_and_a_change(void)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 2);
	mutation->scope = ~0u;
	mutation->operations[0].kind = OPERATION_RECONNECT;
	strcpy(mutation->operations[0].id, "a");
	operation_delete(&mutation->operations[1], SPEC_TUNNEL, "a");
	return mutation;
}

static void what_is_wrong_is_not_written(void **state)
{
	int64_t before;
	(void)state;
	give("a", "any", "other");
	before = fake_store.revision;
	assert_int_equal(code_of(finish(begin(bench_mutations_make(OPERATION_CREATE, "a", "{'spec':{}}")))), PROBLEM_VALIDATION_FAILED);
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", ""));
	mutation->dry_run = true;
	finish(begin(mutation));
	assert_int_equal(mutation->operations[0].applied, APPLIED_CREATED);
	assert_int_equal(code_of(mutation), PROBLEM_NONE);
	mutation = batch_of_an_action_and_a_change();
	assert_int_equal(code_of(finish(begin(mutation))), PROBLEM_INVALID_REQUEST);
	assert_int_equal(fake_store.revision, before);
}

static void assert_fault(struct mutation *mutation, const char *pointer)
{
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->operations[0].problem.fault_count, 1);
	assert_string_equal(mutation->operations[0].problem.faults[0].pointer, pointer);
	mutation_free(mutation);
}

static void the_rules_of_a_fleet_hold(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", ",'placement':{'on_isolation':'stop'}")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_PATCH, "a", "{'spec':{'placement':{'on_isolation':'keep'}}}"), PROBLEM_NONE);
	assert_fault(edit(OPERATION_CREATE, "b", "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2'],'via':'a'}}}"),
	             "/spec/placement/node");
	struct mutation *pool = bench_mutations_make(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['a']}}}");
	pool->operations[0].object = SPEC_POOL;
	assert_fault(finish(begin(pool)), "/spec/placement/node");
	pool = bench_mutations_make(OPERATION_CREATE, "a", "{'spec':{'members':{'tunnels':['a']},'placement':{'node':'ams-1'}}}");
	pool->operations[0].object = SPEC_POOL;
	give("a", "@ams-1", "ams-1");
	assert_int_equal(code_of(finish(begin(pool))), PROBLEM_NONE);
	assert_string_equal(fake_store_find("id/+a")->value, "{\"class\":\"@ams-1\"}");
	assert_non_null(record("a", FLEET_KEY_ID)); /* the tunnel's */
}

/* This node has the shard: the answer is what it was without a fleet. */
static void what_this_node_runs_is_answered_when_it_runs(void **state)
{
	char class[] = "any";
	struct fleet_class any = { .node = "" };
	(void)state;
	give("a", "any", "me");
	struct mutation *mutation = begin(bench_mutations_make(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", ",'proxy':{'listen':['127.0.0.1:0']}")));
	for (int i = 0; i < 50; i++)
		turn();
	assert_int_equal(answered, 0);
	assert_non_null(record("a", FLEET_KEY_OBJECT));
	const struct fleet_change change = { .class = class, .shard = fleet_class_shard_of(&any, "a"), .epoch = 5 };
	keeper_change(keeper, &change);
	keeper_applied(keeper, fake_store.revision);
	finish(mutation);
	assert_int_equal(mutation->operations[0].snapshot->listen_count, 1);
	assert_ptr_equal(mutation->operations[0].snapshot, registry_entry(bench.registry, "a")->snapshot);
	mutation_free(mutation);
	mutation = begin(bench_mutations_make(OPERATION_DELETE, "a", NULL));
	for (int i = 0; i < 10; i++)
		turn();
	keeper_change(keeper, &change);
	keeper_applied(keeper, fake_store.revision);
	finish(mutation);
	assert_null(registry_entry(bench.registry, "a"));
	mutation_free(mutation);
}

static struct mutation *batch(size_t count, bool atomic)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->atomic = atomic;
	mutation->scope = ~0u;
	for (size_t i = 0; i < count; i++) {
		struct operation *operation = &mutation->operations[i];
		char text[256];
		operation->kind = OPERATION_CREATE;
		snprintf(operation->id, sizeof(operation->id), "t%zu", i);
		snprintf(text, sizeof(text), "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.%zu']}}}", i + 2);
		operation->document = quoted_json(text);
		if (i < 4)
			give(operation->id, "any", "other");
	}
	return mutation;
}

static void an_atomic_batch_is_one_transaction(void **state)
{
	(void)state;
	struct mutation *mutation = finish(begin(batch(4, true)));
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(mutation->operations[i].snapshot->revision, fake_store.revision);
		assert_int_equal(record(mutation->operations[i].id, FLEET_KEY_OBJECT)->revision, fake_store.revision);
	}
	mutation_free(mutation);
	mutation = batch(4, true);
	int64_t before = fake_store.revision;
	json_decref(mutation->operations[2].document);
	mutation->operations[2].kind = OPERATION_PATCH;
	mutation->operations[2].document = quoted_json("{'spec':7}");
	mutation->operations[0].kind = mutation->operations[1].kind = OPERATION_PUT;
	finish(begin(mutation));
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->failed_operation, 2);
	assert_null(mutation->operations[0].snapshot);
	assert_int_equal(fake_store.revision, before);
	mutation_free(mutation);
	mutation = batch(2, true);
	memcpy(mutation->operations[1].id, "t0", 3);
	mutation->operations[0].kind = mutation->operations[1].kind = OPERATION_DELETE;
	assert_int_equal(code_of(finish(begin(mutation))), PROBLEM_INVALID_REQUEST);
	assert_int_equal(code_of(finish(begin(batch(33, true)))), PROBLEM_INVALID_REQUEST);
	assert_non_null(record("t0", FLEET_KEY_OBJECT));
}

/* The longest keys that there are: what a client writes is no programmer's error. */
static void the_largest_atomic_batch_fits(void **state)
{
	char value[201], text[512];
	(void)state;
	memset(value, 'v', 200);
	value[200] = '\0';
	struct mutation *mutation = batch(WRITE_JOB_MOST, true);
	for (size_t i = 0; i < WRITE_JOB_MOST; i++) {
		struct operation *operation = &mutation->operations[i];
		json_decref(operation->document);
		snprintf(operation->id, sizeof(operation->id), "%063zu", i);
		snprintf(text, sizeof(text),
		         "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.%zu']},'placement':{'labels':{'%.40s':'%.200s'}}}}",
		         i + 2, value, value);
		operation->document = quoted_json(text);
	}
	int64_t before = fake_store.revision;
	begin(mutation);
	while (fake_store.revision == before)
		assert_true(fake_store_answer() > 0);
	writer_end(writer); /* nobody runs them */
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(answered, 1);
	mutation_free(mutation);
}

static void each_of_a_batch_is_for_itself(void **state)
{
	(void)state;
	struct mutation *mutation = batch(3, false);
	json_decref(mutation->operations[1].document);
	mutation->operations[1].document = quoted_json("{'spec':7}");
	finish(begin(mutation));
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[1].problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->operations[2].problem.code, PROBLEM_NONE);
	assert_non_null(record("t0", FLEET_KEY_OBJECT));
	assert_null(record("t1", FLEET_KEY_OBJECT));
	assert_non_null(record("t2", FLEET_KEY_OBJECT));
	mutation_free(mutation);
	/* etcd goes away: what was done is told as done. */
	mutation = batch(3, false);
	for (size_t i = 0; i < 3; i++)
		mutation->operations[i].kind = OPERATION_DELETE;
	begin(mutation);
	answer_jobs(4);
	fake_store_fail(ETCD_TIMED_OUT, false);
	finish(mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->operations[1].problem.code, PROBLEM_FLEET_UNAVAILABLE);
	assert_int_equal(mutation->operations[2].problem.code, PROBLEM_FLEET_UNAVAILABLE);
	mutation_free(mutation);
}

static void what_is_this_node_s_own_is_changed_here(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "own", TUNNEL("10.2.0.2", "")));
	int64_t before = fake_store.revision;
	assert_int_equal(code_of(finish(begin(bench_mutations_make(OPERATION_PATCH, "own", "{'labels':{'a':'b'}}")))), PROBLEM_NONE);
	assert_string_equal(registry_entry(bench.registry, "own")->snapshot->labels_json, "{\"a\":\"b\"}");
	assert_int_equal(fake_store.revision, before);
}

static struct mutation *delete_where(bool is_dry)
{
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->selectors = calloc(1, sizeof(*mutation->selectors));
	mutation->selector_count = 1;
	mutation->scope = ~0u;
	mutation->dry_run = is_dry;
	assert_int_equal(selector_parse("x=y", &mutation->selectors[0]), 0);
	return begin(mutation);
}

static void all_with_a_label_are_deleted_wherever_they_run(void **state)
{
	char key[FLEET_KEY_TEXT];
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "b", TUNNEL("10.2.0.3", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "c", TUNNEL("10.2.0.4", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_PATCH, "c", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	struct mutation *mutation = finish(delete_where(true));
	assert_int_equal(mutation->deleted, 2);
	mutation_free(mutation);
	assert_non_null(record("a", FLEET_KEY_OBJECT));
	/* Another deletes one of them between the list and its turn. */
	mutation = delete_where(false);
	answer_jobs(1);
	place("c", "any", FLEET_KEY_OBJECT, key);
	fake_store_delete(key);
	finish(mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	assert_null(record("a", FLEET_KEY_OBJECT));
	assert_non_null(record("b", FLEET_KEY_OBJECT));
	mutation = delete_where(false);
	fake_store_fail(ETCD_UNREACHABLE, false);
	finish(mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
	mutation_free(mutation);
}

/* ---- Moves ---- */

static char *former_of(const char *id, const char *class)
{
	struct object_record read;
	char key[FLEET_KEY_TEXT];
	place(id, class, FLEET_KEY_OBJECT, key);
	const struct fake_record *stored = fake_store_find(key);
	assert_non_null(stored);
	const struct fleet_kv kv = { .key = key, .value = stored->value, .length = strlen(stored->value), .revision = stored->revision };
	assert_int_equal(object_record_read(&read, &ring, &kv), OBJECT_RECORD_OK);
	char *former = read.former == NULL ? strdup("") : strdup(read.former);
	object_record_clear(&read);
	return former;
}

static void assert_former(const char *id, const char *class, const char *expected)
{
	char *former = former_of(id, class);
	assert_string_equal(former, expected);
	free(former);
}

static enum problem_code move_to(const char *id, const char *from, const char *node_name)
{
	char text[128], class[80];
	snprintf(class, sizeof(class), "@%s", node_name);
	snprintf(text, sizeof(text), "{'spec':{'placement':{'node':'%s'}}}", node_name);
	give(id, from, "other");
	give(id, class, node_name);
	return code_of(finish(begin(bench_mutations_make(OPERATION_PATCH, id, text))));
}

static void a_tunnel_moves_in_one_transaction_and_says_where_it_was(void **state)
{
	char key[FLEET_KEY_TEXT];
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	assert_former("a", "any", "");
	assert_int_equal(move_to("a", "any", "ams-1"), PROBLEM_NONE);
	assert_null(record("a", FLEET_KEY_OBJECT));
	assert_string_equal(record("a", FLEET_KEY_ID)->value, "{\"class\":\"@ams-1\"}");
	assert_count("a", "{\"count\":0}");
	place("a", "@ams-1", FLEET_KEY_CHANGED, key);
	assert_string_equal(fake_store_find(key)->value, "{\"count\":1}");
	assert_true(fake_store_find(key)->revision == record("a", FLEET_KEY_CHANGED)->revision);
	assert_former("a", "@ams-1", "any");
	/* Another change while that node has not let go, and on it goes. */
	assert_int_equal(code_of(finish(begin(bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}")))), PROBLEM_NONE);
	assert_former("a", "@ams-1", "any");
	assert_int_equal(move_to("a", "any", "ams-2"), PROBLEM_NONE);
	assert_former("a", "@ams-2", "any @ams-1");
	/* Back: what it left first is where it is. */
	assert_int_equal(move_to("a", "any", "ams-1"), PROBLEM_NONE);
	assert_former("a", "@ams-1", "any @ams-1 @ams-2");
	assert_int_equal(code_of(finish(begin(bench_mutations_make(OPERATION_DELETE, "a", NULL)))), PROBLEM_NONE);
	place("a", "@ams-1", FLEET_KEY_OBJECT, key);
	assert_null(fake_store_find(key));
	assert_null(record("a", FLEET_KEY_ID));
}

static void one_that_is_on_its_way_all_the_time_is_refused(void **state)
{
	char name[8];
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	for (int i = 0; i < OBJECT_PLAN_FORMER; i++) {
		snprintf(name, sizeof(name), "n-%d", i);
		assert_int_equal(move_to("a", "any", name), PROBLEM_NONE);
	}
	int64_t before = fake_store.revision;
	assert_int_equal(move_to("a", "any", "n-9"), PROBLEM_FLEET_UNAVAILABLE);
	assert_true(record("a", FLEET_KEY_CHANGED)->revision < before);
	/* All have let go of all: nothing is left to be named. */
	for (int i = 0; i < OBJECT_PLAN_FORMER; i++) {
		snprintf(name, sizeof(name), "@n-%d", i);
		give("a", name, "");
	}
	give("a", "any", "");
	assert_int_equal(code_of(finish(begin(bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}")))), PROBLEM_NONE);
	assert_former("a", "@n-7", "");
}

static void what_moves_between_two_reads_is_found(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	struct mutation *move = bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'placement':{'node':'ams-1'}}}");
	give("a", "@ams-1", "ams-1");
	struct mutation *late = bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'x':'y'}}");
	begin(late);
	answer_jobs(1); /* it knows the class */
	char before[FLEET_KEY_TEXT], after[FLEET_KEY_TEXT], id[FLEET_KEY_TEXT];
	place("a", "any", FLEET_KEY_OBJECT, before);
	place("a", "@ams-1", FLEET_KEY_OBJECT, after);
	place("a", "any", FLEET_KEY_ID, id);
	(void)after;
	fake_store_delete(before);
	fake_store_delete(id);
	finish(late);
	assert_int_equal(late->operations[0].problem.code, PROBLEM_NOT_FOUND); /* it was deleted: twice it is not there */
	mutation_free(late);
	mutation_free(move);
}

static void an_atomic_batch_of_moves_is_half_as_large(void **state)
{
	(void)state;
	for (size_t count = WRITE_JOB_MOVES; count <= WRITE_JOB_MOVES + 1; count++) {
		struct mutation *made = batch(count, true);
		finish(begin(made));
		assert_int_equal(made->problem.code, count == WRITE_JOB_MOVES ? PROBLEM_NONE : PROBLEM_TUNNEL_EXISTS);
		mutation_free(made);
		struct mutation *moves = batch(count, true);
		for (size_t i = 0; i < count; i++) {
			moves->operations[i].kind = i < WRITE_JOB_MOVES ? OPERATION_PATCH : OPERATION_CREATE;
			if (i < WRITE_JOB_MOVES)
				json_decref(moves->operations[i].document);
			if (i < WRITE_JOB_MOVES)
				moves->operations[i].document = quoted_json(count == WRITE_JOB_MOVES ? "{'spec':{'placement':{'node':'ams-1'}}}"
				                                                                     : "{'spec':{'placement':{'node':'ams-2'}}}");
			give(moves->operations[i].id, "@ams-1", "other");
			give(moves->operations[i].id, "@ams-2", "other");
			give(moves->operations[i].id, "any", "other");
		}
		finish(begin(moves));
		assert_int_equal(moves->problem.code, count == WRITE_JOB_MOVES ? PROBLEM_NONE : PROBLEM_INVALID_REQUEST);
		mutation_free(moves);
	}
}

/* ---- wait=up ---- */

static struct mutation *waiting(enum operation_kind kind, const char *json, unsigned timeout)
{
	struct mutation *mutation = bench_mutations_make(kind, "a", json);
	mutation->wait_up = true;
	mutation->timeout = timeout;
	give("a", "any", "other");
	return begin(mutation);
}

static void tell(const char *state, unsigned generation)
{
	char key[FLEET_KEY_TEXT], value[256];
	place("a", "any", FLEET_KEY_STATUS, key);
	snprintf(value, sizeof(value),
	         "{\"node\":\"other\",\"objects\":{\"a\":{\"state\":\"%s\",\"reason\":\"told\",\"since\":1,\"generation\":%u,\"healthy\":null}}}",
	         state, generation);
	fake_store_put(key, value);
}

/* So many of the waiter's looks, of which none answers. */
static void expect_patience(void)
{
	for (int i = 0; i < 600; i++) {
		turn();
		uv_sleep(1);
	}
	assert_int_equal(answered, 0);
}

static void an_answer_waits_until_its_node_tells_that_it_is_up(void **state)
{
	(void)state;
	struct mutation *mutation = waiting(OPERATION_CREATE, TUNNEL("10.2.0.2", ""), 60);
	expect_patience();
	tell("handshaking", 1);
	expect_patience();
	tell("up", 1);
	finish(mutation);
	struct snapshot_status status;
	snapshot_status(mutation->operations[0].snapshot, &status);
	assert_int_equal(status.state, TUNNEL_UP);
	assert_int_equal(code_of(mutation), PROBLEM_NONE);
	/* What it was before the change does not count. */
	mutation = waiting(OPERATION_PATCH, "{'spec':{'interface':{'mtu':1300}}}", 60);
	expect_patience();
	tell("up", 2);
	assert_int_equal(code_of(finish(mutation)), PROBLEM_NONE);
}

static void an_answer_waits_no_longer_than_it_is_to(void **state)
{
	(void)state;
	tell("handshaking", 1);
	struct mutation *mutation = finish(waiting(OPERATION_CREATE, TUNNEL("10.2.0.2", ""), 1));
	assert_non_null(strstr(mutation->operations[0].problem.detail, "told"));
	assert_int_equal(code_of(mutation), PROBLEM_HANDSHAKE_TIMEOUT);
	/* etcd goes away meanwhile: it exists, and that is all. */
	mutation = waiting(OPERATION_PATCH, "{'spec':{'interface':{'mtu':1300}}}", 1);
	for (int i = 0; i < 5; i++)
		turn();
	for (int i = 0; i < TURNS_MOST && answered == 0; i++) {
		fake_store_fail(ETCD_UNREACHABLE, false);
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		uv_sleep(1);
	}
	assert_int_equal(answered, 1);
	answered = 0;
	assert_int_equal(code_of(mutation), PROBLEM_HANDSHAKE_TIMEOUT);
	/* A disabled one will not be up. */
	tell("disabled", 3);
	assert_int_equal(code_of(finish(waiting(OPERATION_PATCH, "{'spec':{'enabled':false}}", 3600))), PROBLEM_HANDSHAKE_TIMEOUT);
}

static void who_waits_is_told_of_a_deletion_and_of_the_end(void **state)
{
	char key[FLEET_KEY_TEXT];
	(void)state;
	struct mutation *mutation = waiting(OPERATION_CREATE, TUNNEL("10.2.0.2", ""), 60);
	for (int i = 0; i < 5; i++)
		turn();
	place("a", "any", FLEET_KEY_OBJECT, key);
	fake_store_delete(key);
	place("a", "any", FLEET_KEY_ID, key);
	fake_store_delete(key);
	assert_int_equal(code_of(finish(mutation)), PROBLEM_NOT_FOUND);
	mutation = waiting(OPERATION_CREATE, TUNNEL("10.2.0.2", ""), 60);
	for (int i = 0; i < 4; i++)
		turn();
	uv_sleep(300);
	uv_run(&bench.loop, UV_RUN_NOWAIT); /* it asks, and is not answered */
	writer_end(writer);
	assert_int_equal(answered, 1);
	assert_int_equal(code_of(mutation), PROBLEM_WORKER_UNAVAILABLE);
	fake_store_answer();
	fake_store_answer();
}

/* ---- A whole state ---- */

static struct mutation *put_state(const char *text, bool is_dry)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->document = quoted_json(text);
	mutation->scope = ~0u;
	mutation->dry_run = is_dry;
	return begin(mutation);
}

#define ELEMENT(id, address) "{'id':'" id "','spec':{'interface':{'private_key':'" KEY "','addresses':['" address "']}}}"

static void assert_counted(const struct mutation *mutation, size_t created, size_t changed, size_t unchanged, size_t deleted)
{
	assert_int_equal(mutation->created, created);
	assert_int_equal(mutation->changed, changed);
	assert_int_equal(mutation->unchanged, unchanged);
	assert_int_equal(mutation->deleted, deleted);
}

static void a_state_is_what_the_fleet_has_afterwards(void **state)
{
	static const char text[] = "{'tunnels':[" ELEMENT("b", "10.2.0.3") "," ELEMENT("c", "10.2.0.4") "," ELEMENT("d", "10.2.0.5") "]}";
	(void)state;
	for (char id[] = "a"; id[0] <= 'd'; id[0]++)
		give(id, "any", "other");
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "b", TUNNEL("10.2.0.3", "")), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "c", TUNNEL("10.2.0.9", "")), PROBLEM_NONE);
	mutation_free(bench_mutations_do(OPERATION_CREATE, "own", TUNNEL("10.2.0.2", "")));
	int64_t before = fake_store.revision;
	struct mutation *mutation = finish(put_state(text, true));
	assert_counted(mutation, 1, 1, 1, 1);
	mutation_free(mutation);
	assert_int_equal(fake_store.revision, before);
	mutation = finish(put_state(text, false));
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_counted(mutation, 1, 1, 1, 1);
	mutation_free(mutation);
	assert_null(record("a", FLEET_KEY_OBJECT));
	assert_non_null(strstr(record("c", FLEET_KEY_OBJECT)->value, "10.2.0.4"));
	assert_non_null(record("d", FLEET_KEY_OBJECT));
	assert_non_null(registry_entry(bench.registry, "own")); /* of this node, and not of the fleet */
	mutation = finish(put_state(text, false));
	assert_counted(mutation, 0, 0, 3, 0);
	mutation_free(mutation);
}

static void a_state_with_faults_changes_nothing(void **state)
{
	static const struct {
		const char *text, *pointer;
	} cases[] = {
		{ "{'tunnels':[" ELEMENT("b", "10.2.0.3") ",{'id':'c','spec':{'mtu':7}}]}", "/tunnels/1/spec/mtu" },
		{ "{'tunnels':[" ELEMENT("b", "10.2.0.3") "," ELEMENT("b", "10.2.0.3") "]}", "/tunnels/1/id" },
		{ "{'tunnels':[" ELEMENT("b", "10.2.0.3") "," ELEMENT("own", "10.2.0.3") "]}", "/tunnels/1" },
		{ "{}", "/tunnels" },
		{ "7", "" },
	};
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")), PROBLEM_NONE);
	mutation_free(bench_mutations_do(OPERATION_CREATE, "own", TUNNEL("10.2.0.2", "")));
	int64_t before = fake_store.revision;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mutation *mutation = finish(put_state(cases[i].text, false));
		assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
		assert_string_equal(mutation->problem.faults[0].pointer, cases[i].pointer);
		mutation_free(mutation);
	}
	assert_int_equal(fake_store.revision, before);
}

/* Each object is a transaction of its own: what could not be done is told, and what could be is done. */
static void a_state_tells_of_each_object_that_it_could_not_make(void **state)
{
	static const char text[] =
	    "{'tunnels':[" ELEMENT("b", "10.2.0.3") "],'pools':[{'id':'p','spec':{'members':{'tunnels':['b']}}},{'id':'q','spec':{'members':"
						    "{'tunnels':['b']},'placement':{'node':'ams-1'}}}]}";
	(void)state;
	give("b", "any", "other");
	give("q", "@ams-1", "ams-1");
	struct mutation *mutation = finish(put_state(text, false));
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->problem.fault_count, 1);
	assert_string_equal(mutation->problem.faults[0].pointer, "/pools/0/spec/placement/node");
	assert_non_null(strstr(mutation->problem.detail, "1 of 3"));
	mutation_free(mutation);
	assert_non_null(record("b", FLEET_KEY_OBJECT));
	assert_non_null(fake_store_find("id/+q"));
	/* Without `pools` those stay; etcd goes away before the last. */
	mutation = put_state("{'tunnels':[]}", false);
	answer_jobs(4);
	fake_store_fail(ETCD_TIMED_OUT, false);
	finish(mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_FLEET_UNAVAILABLE);
	assert_string_equal(mutation->problem.faults[0].pointer, "");
	assert_non_null(strstr(mutation->problem.faults[0].detail, "tunnel b: "));
	mutation_free(mutation);
	assert_non_null(fake_store_find("id/+q"));
	/* Others delete it first: it is as it is to be. */
	char key[FLEET_KEY_TEXT];
	mutation = put_state("{'tunnels':[]}", false);
	answer_jobs(1);
	place("b", "any", FLEET_KEY_OBJECT, key);
	fake_store_delete(key);
	finish(mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_counted(mutation, 0, 0, 0, 0);
	mutation_free(mutation);
}

static void what_is_under_way_at_the_end_is_answered(void **state)
{
	static const struct {
		unsigned answers;
		enum problem_code code;
	} cases[] = { { 0, PROBLEM_WORKER_UNAVAILABLE }, { 2, PROBLEM_FLEET_UNAVAILABLE }, { 3, PROBLEM_NONE } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mutation *mutation = begin(bench_mutations_make(OPERATION_CREATE, "a", TUNNEL("10.2.0.2", "")));
		answer_jobs(cases[i].answers);
		writer_free(writer);
		writer = NULL;
		assert_int_equal(answered, 1);
		assert_int_equal(code_of(mutation), cases[i].code);
		tear_down(state);
		set_up(state);
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	log_start(LOG_ERROR + 1, false, "control");
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_new_tunnel_is_a_record_an_id_and_one_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_without_an_id_gets_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_keeps_what_it_does_not_say, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_deleted_tunnel_leaves_a_count, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_precondition_is_the_record_s_revision, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_that_came_between_is_planned_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_etcd_it_is_told_what_is_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_not_written, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_rules_of_a_fleet_hold, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_moves_in_one_transaction_and_says_where_it_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_on_its_way_all_the_time_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_moves_between_two_reads_is_found, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_atomic_batch_of_moves_is_half_as_large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_waits_until_its_node_tells_that_it_is_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_waits_no_longer_than_it_is_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_waits_is_told_of_a_deletion_and_of_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_state_is_what_the_fleet_has_afterwards, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_state_with_faults_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_state_tells_of_each_object_that_it_could_not_make, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_this_node_runs_is_answered_when_it_runs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_atomic_batch_is_one_transaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_atomic_batch_fits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_of_a_batch_is_for_itself, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_this_node_s_own_is_changed_here, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_with_a_label_are_deleted_wherever_they_run, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_under_way_at_the_end_is_answered, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
