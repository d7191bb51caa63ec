/* PREPARING: what a worker refuses, and a worker that dies meanwhile. */
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

#define TUNNEL "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

static struct mutation *make_three(void)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 3);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->atomic = true;
	for (size_t i = 0; i < 3; i++) {
		mutation->operations[i].kind = OPERATION_CREATE;
		snprintf(mutation->operations[i].id, sizeof(mutation->operations[i].id), "%c", (char)('a' + i));
		mutation->operations[i].document = quoted_json(TUNNEL);
	}
	return mutation;
}

static unsigned sent(enum message_type wanted)
{
	unsigned count = 0;
	for (enum message_type type = bench_worker_next(); type != 0; type = bench_worker_next())
		count += type == wanted;
	return count;
}

/* The others of the batch are forgotten; the worker keeps nothing of what it refused itself. */
static void one_refusal_aborts_all(void **state)
{
	(void)state;
	struct mutation *mutation = make_three();
	bench_mutations_start(mutation);
	assert_int_equal(sent(MESSAGE_PREPARE), 3);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_true(bench_worker_answer(MESSAGE_STATUS_INVALID, "two addresses of one family"));
	assert_int_equal(changes.answered, 0);
	assert_true(bench_worker_answer(MESSAGE_STATUS_NO_MEMORY, "out of memory"));
	assert_int_equal(changes.answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(mutation->failed_operation, 1);
	assert_string_equal(mutation->problem.faults[0].code, "cannot_run");
	assert_non_null(strstr(mutation->problem.faults[0].detail, "two addresses of one family"));
	assert_int_equal(sent(MESSAGE_ABORT), 1);
	assert_int_equal(registry_count(bench.registry), 0);
	mutation_free(mutation);
}

static void what_a_worker_lacks_is_no_fault_of_the_request(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
	bench_mutations_start(mutation);
	assert_true(bench_worker_answer(MESSAGE_STATUS_NO_MEMORY, "no locked memory"));
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_OUT_OF_RESOURCES);
	assert_non_null(strstr(mutation->operations[0].problem.detail, "no locked memory"));
	mutation_free(mutation);
}

static void a_worker_that_dies_is_waited_for_once(void **state)
{
	(void)state;
	struct mutation *mutation = make_three();
	bench_mutations_start(mutation);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	bench.worker.state = WORKER_DYING;
	worker_answer_gone(&bench.worker);
	assert_int_equal(mutation->state, MUTATION_WAITING_FOR_WORKER);
	mutations_check_workers(changes.mutations);
	assert_int_equal(mutation->state, MUTATION_WAITING_FOR_WORKER);
	(void)sent(MESSAGE_PREPARE);
	bench.worker.state = WORKER_READY;
	bench.worker.incarnation++;
	mutations_check_workers(changes.mutations);
	assert_int_equal(mutation->state, MUTATION_PREPARING);
	assert_int_equal(sent(MESSAGE_PREPARE), 3);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(registry_count(bench.registry), 3);
	mutation_free(mutation);
}

/* P7: a change that kills workers does not go on to harm the tunnels beside it. */
static void a_change_that_kills_workers_is_given_up(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
	bench_mutations_start(mutation);
	bench_mutations_replace_worker();
	assert_int_equal(changes.answered, 0);
	bench_mutations_replace_worker();
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	mutation_free(mutation);
}

static void a_worker_is_not_waited_for_for_ever(void **state)
{
	(void)state;
	bench.worker.state = WORKER_STARTING;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
	bench_mutations_start(mutation);
	mutations_check_workers(changes.mutations);
	assert_int_equal(mutation->state, MUTATION_WAITING_FOR_WORKER);
	mutation->deadline = 0;
	mutations_check_workers(changes.mutations);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	assert_int_equal(bench_worker_next(), 0);
	mutation_free(mutation);
	bench.worker.state = WORKER_READY;
}

static void nor_at_the_end(void **state)
{
	(void)state;
	bench.worker.state = WORKER_STARTING;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", TUNNEL);
	bench_mutations_start(mutation);
	mutations_stop(changes.mutations);
	mutations_check_workers(changes.mutations);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	mutation_free(mutation);
	bench.worker.state = WORKER_READY;
}

/* What is not sent yet when the worker dies is not sent to the next process with half of a batch. */
static void a_death_between_two_turns_is_noticed(void **state)
{
	(void)state;
	const size_t count = 2 * MUTATIONS_TURN_WORK;
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->atomic = true;
	for (size_t i = 0; i < count; i++) {
		mutation->operations[i].kind = OPERATION_CREATE;
		snprintf(mutation->operations[i].id, sizeof(mutation->operations[i].id), "t%zu", i);
		mutation->operations[i].document = quoted_json(TUNNEL);
	}
	bench_mutations_start(mutation);
	bench_mutations_until_asked(1);
	assert_int_equal(mutation->state, MUTATION_PREPARING);
	assert_true(mutation->cursor < mutation->delta_count);
	bench.worker.state = WORKER_DYING;
	bench_mutations_turn();
	bench.worker.state = WORKER_READY;
	bench_mutations_replace_worker();
	bench_mutations_until_asked((unsigned)count);
	assert_int_equal(sent(MESSAGE_PREPARE), count);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(registry_count(bench.registry), count);
	mutation_free(mutation);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_refusal_aborts_all),
		TEST(what_a_worker_lacks_is_no_fault_of_the_request),
		TEST(a_worker_that_dies_is_waited_for_once),
		TEST(a_change_that_kills_workers_is_given_up),
		TEST(a_worker_is_not_waited_for_for_ever),
		TEST(nor_at_the_end),
		TEST(a_death_between_two_turns_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
