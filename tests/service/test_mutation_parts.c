/* Mutations whose operations are each for itself: one after another, or side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/store/scope.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define TUNNEL "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

static struct mutation *make_sequence(size_t count, const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	for (size_t i = 0; i < count; i++) {
		mutation->operations[i].kind = OPERATION_CREATE;
		snprintf(mutation->operations[i].id, sizeof(mutation->operations[i].id), "t%05zu", i);
		mutation->operations[i].document = quoted_json(json);
	}
	return mutation;
}

static void each_begins_when_the_one_before_is_done(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(3, TUNNEL);
	bench_mutations_start(mutation);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(registry_count(bench.registry), i);
		assert_int_equal(mutation->cursor, i);
		assert_true(bench_worker_answer(MESSAGE_STATUS_OK, "")); /* PREPARE */
		bench_mutations_until_stored();
		assert_true(bench_worker_answer(MESSAGE_STATUS_OK, "")); /* COMMIT */
	}
	assert_int_equal(changes.answered, 1);
	assert_int_equal(registry_count(bench.registry), 3);
	mutation_free(mutation);
}

static void one_that_fails_stops_no_other(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(4, TUNNEL);
	snprintf(mutation->operations[1].id, sizeof(mutation->operations[1].id), "t00000");
	mutation->operations[2].kind = OPERATION_DELETE;
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	static const enum problem_code wanted[] = { PROBLEM_NONE, PROBLEM_TUNNEL_EXISTS, PROBLEM_NOT_FOUND, PROBLEM_NONE };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(mutation->operations[i].problem.code, wanted[i]);
	mutation_free(mutation);
}

/* The stack does not grow with their number. */
static void thousands_that_fail_at_once(void **state)
{
	(void)state;
	const size_t count = 20000;
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	for (size_t i = 0; i < count; i++) {
		mutation->operations[i].kind = OPERATION_DELETE;
		snprintf(mutation->operations[i].id, sizeof(mutation->operations[i].id), "nobody");
	}
	bench_mutations_start(mutation);
	bench_mutations_finish();
	for (size_t i = 0; i < count; i++)
		assert_int_equal(mutation->operations[i].problem.code, PROBLEM_NOT_FOUND);
	mutation_free(mutation);
}

static void an_empty_sequence_is_done(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(0, NULL);
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
}

static void at_the_end_the_rest_is_refused(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(3, TUNNEL);
	bench_mutations_start(mutation);
	mutations_stop(changes.mutations);
	bench_mutations_finish();
	assert_int_equal(changes.answered, 1);
	static const enum problem_code wanted[] = { PROBLEM_NONE, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_WORKER_UNAVAILABLE };
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(mutation->operations[i].problem.code, wanted[i]);
	mutation_free(mutation);
}

static void memory_that_is_missing_for_a_part_fails_that_part(void **state)
{
	(void)state;
	unsigned number = 0;
	for (bool is_over = false; !is_over; number++) {
		struct mutation *tried = make_sequence(2, TUNNEL);
		heap_fails_once_after(number);
		bench_mutations_start(tried);
		bench_mutations_finish();
		is_over = heap_refused() == 0;
		heap_works();
		for (size_t i = 0; i < 2; i++) {
			enum problem_code code = tried->operations[i].problem.code;
			bool is_there = registry_entry(bench.registry, tried->operations[i].id) != NULL;
			assert_true(code == PROBLEM_NONE || code == PROBLEM_OUT_OF_RESOURCES);
			assert_true(is_there == (code == PROBLEM_NONE && tried->problem.code == PROBLEM_NONE));
		}
		mutation_free(tried);
		struct mutation *all = mutation_create(MUTATION_DELETE_WHERE, 0);
		bench_mutations_start(all);
		bench_mutations_finish();
		mutation_free(all);
		assert_int_equal(registry_count(bench.registry), 0);
	}
	assert_true(number > 20);
}

static void deletes_go_side_by_side(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(5, TUNNEL);
	bench_mutations_start(mutation);
	bench_mutations_finish();
	mutation_free(mutation);
	mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	bench_mutations_start(mutation);
	bench_mutations_until_asked(5);
	/* All wait for the worker at the same time. */
	unsigned waiting = 0;
	for (const struct worker_request *request = bench.worker.first; request != NULL; request = request->next)
		waiting++;
	assert_int_equal(waiting, 5);
	bench_mutations_finish();
	assert_int_equal(mutation->deleted, 5);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
}

/* Somebody else was faster: that is no fault. */
static void what_is_gone_already_is_not_counted(void **state)
{
	(void)state;
	struct mutation *mutation = make_sequence(2, TUNNEL);
	bench_mutations_start(mutation);
	bench_mutations_finish();
	mutation_free(mutation);
	struct mutation *one = bench_mutations_make(OPERATION_DELETE, "t00001", NULL);
	mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	bench_mutations_start(one);
	bench_mutations_start(mutation);
	bench_mutations_finish();
	assert_int_equal(mutation->deleted, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(one);
	mutation_free(mutation);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_begins_when_the_one_before_is_done),
		TEST(one_that_fails_stops_no_other),
		TEST(thousands_that_fail_at_once),
		TEST(an_empty_sequence_is_done),
		TEST(at_the_end_the_rest_is_refused),
		TEST(memory_that_is_missing_for_a_part_fails_that_part),
		TEST(deletes_go_side_by_side),
		TEST(what_is_gone_already_is_not_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
