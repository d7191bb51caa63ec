/* The daemon ends while mutations are in progress: each is answered once, and what was stored is told as done. The service asserts at its end
 * that none is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

static _Atomic unsigned answers;
static enum problem_code code;

static void on_answer(struct mutation *mutation, void *owner)
{
	(void)owner;
	code = mutation->problem.code;
	mutation_free(mutation);
	answers++;
}

static void submit(struct mutation *mutation)
{
	answers = 0;
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->done = on_answer;
	service_submit(own_bench.service, access_whole(), mutation);
}

static void patch(struct operation *operation, unsigned connections)
{
	char document[96];
	snprintf(document, sizeof(document), "{'spec':{'limits':{'connections':%u}}}", connections);
	operation->kind = OPERATION_PATCH;
	snprintf(operation->id, sizeof(operation->id), "slow-a");
	operation->document = quoted_json(document);
}

/* The worker takes a while, so that the change is stored after the daemon was told to end. */
static void one_that_waits_for_its_tunnel_is_answered(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "slow-a", bench_document(NULL)), PROBLEM_NONE);
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	patch(&mutation->operations[0], 7);
	mutation->wait_up = true;
	mutation->timeout = 300;
	submit(mutation);
	/* What is submitted later is answered: so the first one has begun. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "other", bench_document(NULL)), PROBLEM_NONE);
	bench_stop(&own_bench);
	assert_int_equal(answers, 1);
	assert_int_equal(code, PROBLEM_WORKER_UNAVAILABLE);
}

/* Each part is a transaction of its own, and some need the disk alone. */
static void a_sequence_is_answered_whole(void **state)
{
	(void)state;
	enum { PATCHES = 10, DELETES = 7 };
	char id[64];
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "slow-a", bench_document(NULL)), PROBLEM_NONE);
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, PATCHES + DELETES);
	for (unsigned i = 0; i < PATCHES; i++)
		patch(&mutation->operations[i], i + 1);
	for (unsigned i = 0; i < DELETES; i++) {
		struct operation *operation = &mutation->operations[PATCHES + i];
		snprintf(id, sizeof(id), "gone-%u", i);
		assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
		operation->kind = OPERATION_DELETE;
		memcpy(operation->id, id, sizeof(operation->id));
	}
	submit(mutation);
	/* What is submitted later is answered: so the first one has begun. */
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "other", bench_document(NULL)), PROBLEM_NONE);
	bench_stop(&own_bench);
	assert_int_equal(answers, 1);
}

int main(int argc, char **argv)
{
	int result;
	if (fake_worker_runs(argc, argv, &result))
		return result;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_waits_for_its_tunnel_is_answered, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_sequence_is_answered_whole, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
