/* Whichever allocation fails (F1): a record is whole or is not written, a write is done, not done, or told to be unknown, and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/fleet/finder.h"
#include "service/fleet/object_plan.h"
#include "service/fleet/writer.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/candidate.h"
#include "service/spec/json_reader.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/fleet/fake_store.h"
#include "tests/service/quoted_json.h"

#define TUNNEL_MEMBERS                                                                                                                               \
	"'labels':{'a':'b'},'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']},"            \
	"'proxy':{'users':[{'username':'u','password':'p'}]}}"
#define TUNNEL "{" TUNNEL_MEMBERS "}"

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
	changes.policy.is_in_fleet = true;
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
	const struct writer_means writing = { .loop = &bench.loop,
		                              .registry = bench.registry,
		                              .mutations = changes.mutations,
		                              .keeper = keeper,
		                              .finder = finder,
		                              .ring = &ring,
		                              .node = node };
	writer = writer_create(&writing);
	answered = 0;
	return 0;
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

static void on_answered(struct mutation *mutation, void *owner)
{
	(void)mutation, (void)owner;
	answered++;
}

/* Of an object that nobody runs, so that the answer comes at the end. */
static enum problem_code run(struct mutation *mutation, unsigned allowed, bool *is_over)
{
	answered = 0;
	mutation->done = on_answered;
	heap_fails_once_after(allowed);
	if (mutation->kind == MUTATION_LOOK_UP)
		finder_begin(finder, mutation);
	else
		writer_begin(writer, mutation);
	while (fake_store_answer() > 0)
		continue;
	*is_over = heap_refused() == 0;
	heap_works();
	writer_end(writer);
	assert_int_equal(answered, 1);
	enum problem_code code = bench_mutations_code(mutation);
	mutation_free(mutation);
	return code;
}

static const struct fake_record *record(const char *id)
{
	struct fleet_key key;
	char text[FLEET_KEY_TEXT];
	assert_true(object_record_place(&key, SPEC_TUNNEL, id, NULL));
	fleet_key_write(&key, text);
	return fake_store_find(text);
}

static void assert_whole(const struct fake_record *stored)
{
	struct fleet_key key;
	char text[FLEET_KEY_TEXT];
	int error;
	assert_non_null(stored);
	assert_true(object_record_place(&key, SPEC_TUNNEL, "a", NULL));
	fleet_key_write(&key, text);
	const struct fleet_kv kv = { .key = text, .value = stored->value, .length = strlen(stored->value), .revision = stored->revision };
	struct snapshot *snapshot = object_plan_read(&ring, &kv, &error);
	assert_non_null(snapshot);
	assert_true(snapshot->spec.has_private_key);
	assert_string_equal(snapshot->spec.users[0].password, "p");
	assert_string_equal(snapshot->labels_json, "{\"a\":\"b\"}");
	snapshot_release(snapshot);
}

/* The answer is true: what failed has left nothing, what was done is whole. */
static void a_write_is_whole_or_none(void **state)
{
	bool is_over = false;
	unsigned failures = 0;
	(void)state;
	for (unsigned allowed = 0; !is_over; allowed++) {
		struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
		enum problem_code code = run(mutation, allowed, &is_over);
		assert_true(code == PROBLEM_NONE || code == PROBLEM_OUT_OF_RESOURCES || code == PROBLEM_FLEET_UNAVAILABLE ||
		            code == PROBLEM_INTERNAL);
		assert_int_equal(record("a") != NULL, code == PROBLEM_NONE);
		failures += code != PROBLEM_NONE;
		if (code != PROBLEM_NONE)
			continue;
		assert_whole(record("a"));
		mutation = bench_mutations_make(OPERATION_DELETE, "a", NULL);
		bool ignored;
		assert_int_equal(run(mutation, 1000000, &ignored), PROBLEM_NONE);
	}
	assert_true(failures > 20);
}

/* Each of the two is at one place, whole. */
static void a_move_is_made_or_is_not(void **state)
{
	bool is_over = false, ignored;
	unsigned failures = 0;
	(void)state;
	for (unsigned allowed = 0; !is_over; allowed++) {
		assert_int_equal(run(bench_mutations_make(OPERATION_PUT, "a", TUNNEL), 1000000, &ignored), PROBLEM_NONE);
		struct mutation *move = bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'placement':{'node':'ams-1'}}}");
		enum problem_code code = run(move, allowed, &is_over);
		assert_int_equal(record("a") == NULL, code == PROBLEM_NONE);
		failures += code != PROBLEM_NONE;
		assert_int_equal(run(bench_mutations_make(OPERATION_DELETE, "a", NULL), 1000000, &ignored), PROBLEM_NONE);
	}
	assert_true(failures > 20);
}

/* What the answer says is done. */
static void a_state_is_as_it_is_told(void **state)
{
	bool is_over = false, ignored;
	unsigned failures = 0;
	(void)state;
	for (unsigned allowed = 0; !is_over; allowed++) {
		assert_int_equal(run(bench_mutations_make(OPERATION_PUT, "b", TUNNEL), 1000000, &ignored), PROBLEM_NONE);
		struct mutation *put = mutation_create(MUTATION_STATE, 0);
		put->document = quoted_json("{'tunnels':[{'id':'a'," TUNNEL_MEMBERS "}]}");
		put->scope = ~0u;
		enum problem_code code = run(put, allowed, &is_over);
		if (code == PROBLEM_NONE)
			assert_true(record("a") != NULL && record("b") == NULL);
		failures += code != PROBLEM_NONE;
		for (const char *id = "a"; id != NULL; id = *id == 'a' ? "b" : NULL)
			if (record(id) != NULL)
				assert_int_equal(run(bench_mutations_make(OPERATION_DELETE, id, NULL), 1000000, &ignored), PROBLEM_NONE);
	}
	assert_true(failures > 20);
}

static void a_read_finds_all_or_says_why_not(void **state)
{
	bool is_over = false;
	(void)state;
	struct mutation *made = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
	assert_int_equal(run(made, 1000000, &is_over), PROBLEM_NONE);
	for (int one = 0; one < 2; one++) {
		is_over = false;
		for (unsigned allowed = 0; !is_over; allowed++) {
			struct mutation *mutation = mutation_create(MUTATION_LOOK_UP, 0);
			if (one)
				strcpy(mutation->wanted, "a");
			mutation->references++;
			enum problem_code code = run(mutation, allowed, &is_over);
			assert_int_not_equal(code, PROBLEM_NOT_FOUND);
			assert_true(code != PROBLEM_NONE || mutation->found_count == 1);
			mutation_free(mutation);
		}
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	json_reader_start();
	log_start(LOG_ERROR + 1, false, "control");
	memset(&ring.keys[0], 5, sizeof(ring.keys[0]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_write_is_whole_or_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_move_is_made_or_is_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_state_is_as_it_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_finds_all_or_says_why_not, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
