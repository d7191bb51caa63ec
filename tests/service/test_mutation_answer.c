/* The end of a mutation: what is answered, when, and with wait=up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/registry/status.h"
#include "tests/service/bench_mutations.h"

#define SPEC(more) "{'spec':{" more "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

static struct mutation *wait_for_it(const char *json, unsigned seconds)
{
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", json);
	mutation->wait_up = true;
	mutation->timeout = seconds;
	bench_mutations_start(mutation);
	for (int i = 0; i < 100 && changes.answered == 0 && mutation->state != MUTATION_SUSPENDED; i++) {
		(void)bench_worker_answer(MESSAGE_STATUS_OK, "");
		bench_mutations_until_stored();
	}
	return mutation;
}

static void set_state(enum tunnel_state to)
{
	counter_set(&slot_tunnel(registry_entry(bench.registry, "a")->slot)->state, to);
}

static void what_was_done_is_answered(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_do(OPERATION_PUT, "a", SPEC(""));
	assert_int_equal(mutation->operations[0].applied, APPLIED_CREATED);
	assert_int_equal(mutation->operations[0].snapshot->generation, 1);
	mutation_free(mutation);
	mutation = bench_mutations_do(OPERATION_PUT, "a", SPEC(""));
	assert_int_equal(mutation->operations[0].applied, APPLIED_UNCHANGED);
	mutation_free(mutation);
	mutation = bench_mutations_do(OPERATION_PATCH, "a", "{'labels':{'k':'v'}}");
	assert_int_equal(mutation->operations[0].applied, APPLIED_IN_PLACE);
	assert_int_equal(mutation->operations[0].snapshot->generation, 2);
	mutation_free(mutation);
	/* A DELETE shows what there was. */
	mutation = bench_mutations_do(OPERATION_DELETE, "a", NULL);
	assert_int_equal(mutation->operations[0].snapshot->generation, 2);
	mutation_free(mutation);
}

static void who_waits_is_answered_by_the_handshake(void **state)
{
	(void)state;
	struct mutation *mutation = wait_for_it(SPEC(""), 60);
	assert_int_equal(mutation->state, MUTATION_SUSPENDED);
	/* The turn is given up meanwhile. */
	assert_true(lock_queue_is_free(bench.locks, "a"));
	set_state(TUNNEL_HANDSHAKING);
	mutations_check_suspended_of(changes.mutations, "a");
	mutations_check_suspended(changes.mutations);
	assert_int_equal(changes.answered, 0);
	set_state(TUNNEL_UP);
	mutations_check_suspended_of(changes.mutations, "b");
	mutations_check_suspended_of(changes.mutations, "a");
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

static void who_waits_in_vain_is_told_why(void **state)
{
	(void)state;
	struct mutation *mutation = wait_for_it(SPEC(""), 0);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_HANDSHAKE_TIMEOUT);
	assert_non_null(strstr(mutation->operations[0].problem.detail, "the peer has not answered"));
	assert_non_null(mutation->operations[0].snapshot);
	mutation_free(mutation);
	changes.answered = 0;
	mutation = wait_for_it(SPEC("'labels':{},"), 60);
	mutation_free(mutation);
	changes.answered = 0;
	mutation = wait_for_it(SPEC("'limits':{'connections':9},"), 60);
	set_state(TUNNEL_HANDSHAKING);
	status_set_obstacle(registry_entry(bench.registry, "a")->status, "the name x does not resolve");
	mutation->deadline = 0;
	mutations_check_suspended(changes.mutations);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_HANDSHAKE_TIMEOUT);
	assert_non_null(strstr(mutation->operations[0].problem.detail, "the name x does not resolve"));
	mutation_free(mutation);
}

static void a_disabled_tunnel_is_not_waited_for(void **state)
{
	(void)state;
	struct mutation *mutation = wait_for_it(SPEC("'enabled':false,"), 60);
	set_state(TUNNEL_DISABLED);
	mutations_check_suspended(changes.mutations);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_HANDSHAKE_TIMEOUT);
	assert_non_null(strstr(mutation->operations[0].problem.detail, "it is disabled"));
	mutation_free(mutation);
}

static void who_waits_for_a_tunnel_that_is_deleted_is_told(void **state)
{
	(void)state;
	struct mutation *mutation = wait_for_it(SPEC(""), 60);
	struct mutation *deletion = bench_mutations_make(OPERATION_DELETE, "a", NULL);
	bench_mutations_start(deletion);
	for (int i = 0; i < 100 && changes.answered == 0; i++) {
		(void)bench_worker_answer(MESSAGE_STATUS_OK, "");
		bench_mutations_until_stored();
	}
	mutation_free(deletion);
	mutations_check_suspended(changes.mutations);
	assert_int_equal(changes.answered, 2);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NOT_FOUND);
	mutation_free(mutation);
}

static void at_the_end_nobody_waits(void **state)
{
	(void)state;
	struct mutation *mutation = wait_for_it(SPEC(""), 60);
	mutations_stop(changes.mutations);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	assert_non_null(strstr(mutation->problem.detail, "The change was made"));
	assert_non_null(registry_entry(bench.registry, "a"));
	mutation_free(mutation);
}

static void a_change_that_is_stored_after_the_end_does_not_wait(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", SPEC(""));
	mutation->wait_up = true;
	mutation->timeout = 60;
	bench_mutations_start(mutation);
	mutations_stop(changes.mutations);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	assert_non_null(strstr(mutation->problem.detail, "The change was made"));
	mutation_free(mutation);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_done_is_answered),
		TEST(who_waits_is_answered_by_the_handshake),
		TEST(who_waits_in_vain_is_told_why),
		TEST(a_disabled_tunnel_is_not_waited_for),
		TEST(who_waits_for_a_tunnel_that_is_deleted_is_told),
		TEST(at_the_end_nobody_waits),
		TEST(a_change_that_is_stored_after_the_end_does_not_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
