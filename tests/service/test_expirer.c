/* Tunnels that end at a time (spec.expires_at). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/wall_clock.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define SPEC "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']},'expires_at':'%s'}}"

static enum problem_code put(const char *id, int64_t expires_at)
{
	char written[WALL_CLOCK_TEXT_MAX], document[256];
	wall_clock_format(written, expires_at);
	snprintf(document, sizeof(document), SPEC, written);
	return bench_code(&own_bench, OPERATION_PUT, id, document);
}

static bool is_enabled(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	bool is = snapshot->spec.enabled;
	snapshot_release(snapshot);
	return is;
}

static void wait_disabled(const char *id)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	for (int i = 0; i < 2000 && is_enabled(id); i++)
		nanosleep(&pause, NULL);
	assert_false(is_enabled(id));
}

/* Time itself is what these tests are about. */
static void let_pass_until(int64_t time)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	while (wall_clock_ms() <= time)
		nanosleep(&pause, NULL);
}

static void a_tunnel_is_disabled_at_its_time(void **state)
{
	(void)state;
	const int64_t end = wall_clock_ms() + 300;
	assert_int_equal(put("b", wall_clock_ms() + 3600000), PROBLEM_NONE);
	assert_int_equal(put("a", end), PROBLEM_NONE);
	/* On a busy machine its time can have come before the look. */
	assert_true(is_enabled("a") || wall_clock_ms() >= end);
	wait_disabled("a");
	assert_true(wall_clock_ms() >= end);
	assert_true(is_enabled("b"));
	/* Its event is there, or comes at once. */
	uint64_t id, after = 0;
	enum event_type type = EVENT_TYPE_COUNT;
	struct timespec pause = { .tv_nsec = 10000000 };
	for (int i = 0; i < 2000 && type != EVENT_TUNNEL_EXPIRED; i++) {
		char *json = NULL;
		if (events_next(service_events(own_bench.service), after, &id, &type, &json) == EVENTS_GOT)
			after = id;
		else
			nanosleep(&pause, NULL);
		if (type == EVENT_TUNNEL_EXPIRED)
			assert_non_null(strstr(json, "\"reason\":\"expired\""));
		free(json);
	}
	assert_int_equal(type, EVENT_TUNNEL_EXPIRED);
}

static void what_has_expired_is_not_enabled_again_before_its_time_is_changed(void **state)
{
	(void)state;
	assert_int_equal(put("a", wall_clock_ms() - 1000), PROBLEM_NONE);
	assert_false(is_enabled("a"));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", "{'spec':{'enabled':true}}"), PROBLEM_NONE);
	assert_false(is_enabled("a"));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "a", "{'spec':{'enabled':true,'expires_at':null}}"), PROBLEM_NONE);
	assert_true(is_enabled("a"));
}

static void one_that_expires_while_the_daemon_is_down_comes_back_disabled(void **state)
{
	(void)state;
	const int64_t end = wall_clock_ms() + 300;
	assert_int_equal(put("a", end), PROBLEM_NONE);
	bench_stop(&own_bench);
	let_pass_until(end);
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	assert_false(is_enabled("a"));
}

static void what_is_no_time_is_refused(void **state)
{
	(void)state;
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "a",
	                            "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']},'expires_at':'tomorrow'}}"),
	                 PROBLEM_VALIDATION_FAILED);
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_tunnel_is_disabled_at_its_time, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(what_has_expired_is_not_enabled_again_before_its_time_is_changed, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_that_expires_while_the_daemon_is_down_comes_back_disabled, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_time_is_refused, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
