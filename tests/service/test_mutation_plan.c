/* LOCKING and PLANNING: whose turn it is, and what each tunnel is to become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/store/scope.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define TUNNEL "'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}"

struct wanted {
	enum operation_kind kind;
	const char *id, *json;
};

static struct mutation *make_batch(const struct wanted *operations, size_t count)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->atomic = true;
	for (size_t i = 0; i < count; i++) {
		struct operation *operation = &mutation->operations[i];
		operation->kind = operations[i].kind;
		snprintf(operation->id, sizeof(operation->id), "%s", operations[i].id);
		operation->document = operations[i].json == NULL ? NULL : quoted_json(operations[i].json);
	}
	return mutation;
}

static unsigned prepares(void)
{
	unsigned count = 0;
	for (enum message_type type = bench_worker_next(); type != 0; type = bench_worker_next())
		count += type == MESSAGE_PREPARE;
	return count;
}

static void changes_of_one_tunnel_wait_for_each_other(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", "{" TUNNEL "}"));
	(void)prepares();
	struct mutation *first = bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1350}}}");
	struct mutation *second = bench_mutations_make(OPERATION_DELETE, "a", NULL);
	struct mutation *other = bench_mutations_make(OPERATION_CREATE, "b", "{" TUNNEL "}");
	bench_mutations_start(first);
	bench_mutations_start(second);
	bench_mutations_start(other);
	assert_int_equal(first->state, MUTATION_PREPARING);
	assert_int_equal(second->state, MUTATION_LOCKING);
	assert_int_equal(other->state, MUTATION_PREPARING);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(first), PROBLEM_NONE);
	assert_int_equal(bench_mutations_code(second), PROBLEM_NONE);
	assert_int_equal(second->operations[0].snapshot->spec.mtu, 1350);
	assert_int_equal(bench_mutations_code(other), PROBLEM_NONE);
	mutation_free(first);
	mutation_free(second);
	mutation_free(other);
}

static void several_operations_on_a_tunnel_are_one_change_of_it(void **state)
{
	static const struct wanted operations[] = {
		{ OPERATION_CREATE, "a", "{" TUNNEL "}" },
		{ OPERATION_CREATE, "b", "{" TUNNEL "}" },
		{ OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1350}}}" },
		{ OPERATION_PATCH, "a", "{'labels':{'k':'v'}}" },
		{ OPERATION_DELETE, "b", NULL },
	};
	(void)state;
	struct mutation *mutation = make_batch(operations, 5);
	bench_mutations_start(mutation);
	assert_int_equal(mutation->delta_count, 2);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(prepares(), 1);
	assert_int_equal(registry_count(bench.registry), 1);
	const struct snapshot *snapshot = registry_entry(bench.registry, "a")->snapshot;
	assert_int_equal(snapshot->generation, 1);
	assert_int_equal(snapshot->spec.mtu, 1350);
	assert_string_equal(snapshot->labels_json, "{\"k\":\"v\"}");
	mutation_free(mutation);
}

static void the_first_fault_of_an_atomic_batch_is_its_answer(void **state)
{
	static const struct wanted operations[] = {
		{ OPERATION_CREATE, "a", "{" TUNNEL "}" },
		{ OPERATION_PATCH, "nobody", "{}" },
		{ OPERATION_CREATE, "b", "{'spec':{}}" },
	};
	(void)state;
	struct mutation *mutation = make_batch(operations, 3);
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_NOT_FOUND);
	assert_int_equal(mutation->failed_operation, 1);
	assert_int_equal(registry_count(bench.registry), 0);
	assert_int_equal(prepares(), 0);
	mutation_free(mutation);
}

static void a_whole_state_tells_all_its_faults(void **state)
{
	(void)state;
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->document = quoted_json("{'tunnels':[{'id':'a'," TUNNEL "},{" TUNNEL "},{'id':'a'," TUNNEL "},{'id':'b','spec':{'more':1}}]}");
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	static const char *const pointers[] = { "/tunnels/1/id", "/tunnels/2/id", "/tunnels/3/spec/more" };
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		bool is_there = false;
		for (size_t k = 0; k < mutation->problem.fault_count; k++)
			is_there = is_there || strcmp(mutation->problem.faults[k].pointer, pointers[i]) == 0;
		assert_true(is_there);
	}
	assert_int_equal(registry_count(bench.registry), 0);
	mutation_free(mutation);
}

/* It runs alone: what was submitted before is done first, and what came later is on top of it. */
static void a_whole_state_waits_for_all_and_all_for_it(void **state)
{
	(void)state;
	struct mutation *before = bench_mutations_make(OPERATION_CREATE, "x", "{" TUNNEL "}");
	struct mutation *whole = mutation_create(MUTATION_STATE, 0);
	struct mutation *after = bench_mutations_make(OPERATION_CREATE, "y", "{" TUNNEL "}");
	whole->scope = scope_with_included(SCOPE_ADMIN);
	whole->document = quoted_json("{'tunnels':[{'id':'a'," TUNNEL "}]}");
	bench_mutations_start(before);
	bench_mutations_start(whole);
	bench_mutations_start(after);
	assert_int_equal(whole->state, MUTATION_LOCKING);
	assert_int_equal(after->state, MUTATION_LOCKING);
	bench_mutations_finish();
	assert_int_equal(whole->deleted, 1);
	assert_int_equal(registry_count(bench.registry), 2);
	assert_non_null(registry_entry(bench.registry, "a"));
	assert_non_null(registry_entry(bench.registry, "y"));
	mutation_free(before);
	mutation_free(whole);
	mutation_free(after);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(changes_of_one_tunnel_wait_for_each_other),        TEST(several_operations_on_a_tunnel_are_one_change_of_it),
		TEST(the_first_fault_of_an_atomic_batch_is_its_answer), TEST(a_whole_state_tells_all_its_faults),
		TEST(a_whole_state_waits_for_all_and_all_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
