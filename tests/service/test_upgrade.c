/* The way to an upgrade: a check that fails, one that succeeds, and what is not quiet in time. A failure leaves everything as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/upgrade.h"
#include "tests/service/bench_mutations.h"

#define TURNS_MOST 1000000 /* against a hang */

static struct upgrade *upgrade;
static struct broker *broker;
static unsigned quiet;
static uint64_t seen;
static const char *check[4];

static void on_quiet(void *owner)
{
	(void)owner;
	quiet++;
}

static int set_up(void **state)
{
	bench_mutations_set_up(state);
	const struct broker_means brokering = { .loop = &bench.loop, .registry = bench.registry, .locks = bench.locks, .slots = bench.slots };
	broker = broker_create(&brokering, 1);
	const struct upgrade_means means = { .loop = &bench.loop,
		                             .check = check,
		                             .mutations = changes.mutations,
		                             .supervisor = &bench.supervisor,
		                             .broker = broker,
		                             .events = bench.events,
		                             .quiet = on_quiet };
	upgrade = upgrade_create(&means);
	quiet = 0;
	seen = events_last_id(bench.events);
	return broker != NULL && upgrade != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	upgrade_stop(upgrade);
	int result = bench_mutations_tear_down(state);
	upgrade_free(upgrade);
	broker_free(broker);
	return result;
}

static void use_shell(const char *script)
{
	check[0] = "/bin/sh";
	check[1] = "-c";
	check[2] = script;
	check[3] = NULL;
}

/* Until it is quiet, or has failed; the text of that event, to be freed, or NULL. */
static char *run(void)
{
	enum event_type type;
	char *json = NULL;
	unsigned before = quiet;
	upgrade_start(upgrade);
	for (int i = 0; i < TURNS_MOST && quiet == before && events_last_id(bench.events) == seen; i++) {
		/* What the worker does not read would wake the loop all the time. */
		while (bench_worker_next() != 0)
			continue;
		uv_run(&bench.loop, UV_RUN_ONCE);
	}
	if (events_next(bench.events, seen, &seen, &type, &json) == EVENTS_GOT)
		assert_int_equal(type, EVENT_DAEMON_UPGRADE_FAILED);
	return json;
}

static void assert_fails(const char *why)
{
	char *json = run();
	assert_non_null(json);
	if (strstr(json, why) == NULL)
		fail_msg("%s", json);
	free(json);
	assert_int_equal(quiet, 0);
	assert_false(bench.supervisor.is_paused);
	assert_false(mutations_are_stopping(changes.mutations));
}

static void a_check_that_fails_is_the_reason(void **state)
{
	(void)state;
	use_shell("echo 'a bad \"option\"'; echo more; exit 1");
	/* Only what goes to the error output is the report. */
	assert_fails("the program's check ended with status 1");
	use_shell("echo 'a bad \"option\"' >&2; echo more >&2; exit 1");
	assert_fails("the program's check says: a bad \\\"option\\\"\"");
	use_shell("exit 3");
	assert_fails("the program's check ended with status 3");
	use_shell("kill -9 $$");
	assert_fails("the program's check ended with signal 9");
}

static void a_program_that_is_none_is_said_to_be_none(void **state)
{
	char path[128];
	(void)state;
	check[0] = "/nonexistent/warrend";
	check[1] = NULL;
	assert_fails("/nonexistent/warrend cannot be started: ");
	snprintf(path, sizeof(path), "%s/program", changes.directory);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	check[0] = path;
	assert_fails("it must be an executable program for this machine");
}

static void a_check_that_succeeds_makes_it_quiet(void **state)
{
	(void)state;
	use_shell("exit 0");
	char *json = run();
	assert_null(json);
	assert_int_equal(quiet, 1);
	assert_true(bench.supervisor.is_paused);
	assert_true(mutations_are_stopping(changes.mutations));
	/* The next program could not be started. */
	upgrade_fail(upgrade, "why");
	assert_false(bench.supervisor.is_paused);
	assert_false(mutations_are_stopping(changes.mutations));
	assert_int_equal(events_last_id(bench.events), seen + 1);
	seen++;
	/* And again. */
	json = run();
	assert_null(json);
	assert_int_equal(quiet, 2);
}

static void a_change_that_does_not_end_ends_the_upgrade(void **state)
{
	(void)state;
	struct mutation *mutation =
	    bench_mutations_make(OPERATION_CREATE, "a", "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']}}}");
	bench_mutations_start(mutation);
	bench_mutations_until_asked(1);
	use_shell("exit 0");
	assert_fails("try again");
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
}

/* The daemon ends meanwhile: nothing is told. */
static void one_that_is_stopped_is_forgotten(void **state)
{
	(void)state;
	use_shell("exec sleep 1000");
	upgrade_start(upgrade);
	upgrade_start(upgrade); /* it is under way: nothing more */
	upgrade_stop(upgrade);
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	assert_int_equal(events_last_id(bench.events), seen);
	assert_int_equal(quiet, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_check_that_fails_is_the_reason),     TEST(a_program_that_is_none_is_said_to_be_none),
		TEST(a_check_that_succeeds_makes_it_quiet), TEST(a_change_that_does_not_end_ends_the_upgrade),
		TEST(one_that_is_stopped_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
