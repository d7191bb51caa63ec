/* The deltas of a mutation are found by key, and tell what each tunnel becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/mutation_deltas.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"

#define TUNNEL "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

enum { MANY = 100 };

/* Its operations delete t0, t1 …; nothing is done. */
static struct mutation *make(size_t count)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->all = changes.mutations;
	for (size_t i = 0; i < count; i++) {
		char id[32];
		snprintf(id, sizeof(id), "t%zu", i);
		operation_delete(&mutation->operations[i], SPEC_TUNNEL, id);
		operation_name(&mutation->operations[i]);
	}
	return mutation;
}

/* A mutation that runs does this in its turns. */
static void end(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++)
		delta_clear(&mutation->deltas[i]);
	free(mutation->deltas);
	free(mutation->index);
	mutation_free(mutation);
}

static void each_is_found_by_its_key(void **state)
{
	struct mutation *mutation = make(MANY);
	(void)state;
	assert_null(mutation_find_delta(mutation, mutation->operations[0].key));
	assert_true(mutation_make_deltas(mutation));
	assert_null(mutation_find_delta(mutation, mutation->operations[0].key));
	for (size_t i = 0; i < MANY; i++)
		assert_string_equal(mutation_take_delta(mutation, mutation->operations[i].key)->key, mutation->operations[i].key);
	assert_int_equal(mutation->delta_count, MANY);
	for (size_t i = 0; i < MANY; i++) {
		struct delta *delta = mutation_find_delta(mutation, mutation->operations[i].key);
		assert_ptr_equal(delta, &mutation->deltas[i]);
		assert_ptr_equal(mutation_take_delta(mutation, mutation->operations[i].key), delta);
	}
	assert_int_equal(mutation->delta_count, MANY);
	end(mutation);
}

static void a_tunnel_is_what_the_mutation_makes_of_it(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "t0", TUNNEL));
	struct mutation *mutation = make(2);
	assert_true(mutation_make_deltas(mutation));
	assert_null(mutation_find_tunnel(mutation, "t1"));
	assert_string_equal(mutation_find_tunnel(mutation, "t0")->id, "t0");
	struct delta *delta = mutation_take_delta(mutation, mutation->operations[0].key);
	assert_ptr_equal(delta->before, delta->after);
	assert_ptr_equal(mutation_find_tunnel(mutation, "t0"), delta->after);
	snapshot_release(delta->after);
	delta->after = NULL;
	assert_null(mutation_find_tunnel(mutation, "t0"));
	end(mutation);
}

static void the_last_operation_of_a_tunnel_is_to_blame(void **state)
{
	struct mutation *mutation = make(3);
	(void)state;
	memcpy(mutation->operations[2].key, mutation->operations[0].key, sizeof(mutation->operations[2].key));
	assert_true(mutation_make_deltas(mutation));
	mutation_blame(mutation, mutation_take_delta(mutation, mutation->operations[0].key));
	assert_int_equal(mutation->failed_operation, 2);
	end(mutation);
}

static void without_memory_the_problem_says_so(void **state)
{
	(void)state;
	for (unsigned at = 1; at <= 2; at++) {
		struct mutation *mutation = make(1);
		heap_fails_once_after(at - 1);
		assert_false(mutation_make_deltas(mutation));
		heap_works();
		assert_int_equal(mutation->problem.code, PROBLEM_OUT_OF_RESOURCES);
		end(mutation);
	}
}

int main(void)
{
#define BENCH(test) cmocka_unit_test_setup_teardown(test, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		BENCH(each_is_found_by_its_key),
		BENCH(a_tunnel_is_what_the_mutation_makes_of_it),
		BENCH(the_last_operation_of_a_tunnel_is_to_blame),
		BENCH(without_memory_the_problem_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
