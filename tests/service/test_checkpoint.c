/* What is stored without being asked for: the use of total_bytes, and the handshake floor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "tests/service/bench_service.h"
#include "tests/service/failing_vfs.h"
#include "tests/service/fake_worker.h"

static uint64_t used(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	uint64_t bytes = counter_read(&snapshot->counters->total_bytes_used);
	snapshot_release(snapshot);
	return bytes;
}

/* If the disk was full when a checkpoint was due, the used quota is not lost: it is written when there is room. */
static void one_that_could_not_be_written_is_written_later(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, "limit-a", bench_document(NULL)), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "limit-a", "{'spec':{'limits':{'total_bytes':1000000}}}"), PROBLEM_NONE);
	failing_vfs_fail(FAILING_WRITE, 1, 13 /* SQLITE_FULL */);
	/* The fake worker uses 500 bytes more and says that the limit is reached. */
	assert_int_equal(bench_code(&own_bench, OPERATION_RECONNECT, "limit-a", NULL), PROBLEM_NONE);
	struct timespec pause = { .tv_nsec = 2000000 };
	for (int i = 0; i < 2500 && !failing_vfs_has_failed(); i++)
		nanosleep(&pause, NULL);
	assert_true(failing_vfs_has_failed());
	uint64_t before = used("limit-a");
	assert_true(before >= 500);
	bench_stop(&own_bench);
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	/* The new worker continues from the count that it gets. */
	for (int i = 0; i < 2500 && used("limit-a") < before; i++)
		nanosleep(&pause, NULL);
	assert_true(used("limit-a") >= before);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	failing_vfs_make_default();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_that_could_not_be_written_is_written_later, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
