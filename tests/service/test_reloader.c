/* Reloads: one after the other, what was taken, what is wrong, and too many at once. The folder is replaced: the test says when it is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "service/files/folder.h"
#include "service/reloader.h"
#include "tests/service/bench_worker.h"

static struct reloader *reloader;
static unsigned answered;
static void *order[32];
static void (*folder_done)(void *owner);
static void *folder_owner;
static unsigned passes;
static bool has_faults, takes_reload;

bool __wrap_folder_reload(struct folder *folder, void (*done)(void *owner), void *owner);
bool __wrap_folder_reload(struct folder *folder, void (*done)(void *owner), void *owner)
{
	(void)folder;
	folder_done = done;
	folder_owner = owner;
	passes += takes_reload;
	return takes_reload;
}

json_t *__wrap_folder_faults(struct folder *folder);
json_t *__wrap_folder_faults(struct folder *folder)
{
	(void)folder;
	return has_faults ? json_pack("[{s:s,s:s}]", "file", "a.conf", "detail", "What is wrong.") : json_array();
}

static void reload(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed)
{
	assert_ptr_equal(owner, &answered);
	problem_add(problem, "/listen", "restart_needed", "Wrong.");
	json_array_append_new(reloaded, json_string("tls"));
	json_array_append_new(restart_needed, json_string("workers"));
}

static void on_done(void *mutation)
{
	order[answered++] = mutation;
}

static void make(bool has_folder, bool has_options)
{
	const struct reloader_means means = { .supervisor = &bench.supervisor,
		                              .folder = has_folder ? (struct folder *)&passes : NULL,
		                              .reload = has_options ? reload : NULL,
		                              .owner = &answered };
	reloader = reloader_create(&means);
	assert_non_null(reloader);
	answered = passes = 0;
	has_faults = false;
	takes_reload = true;
}

static int tear_down(void **state)
{
	reloader_free(reloader);
	return bench_worker_tear_down(state);
}

static size_t length(const struct mutation *mutation, const char *name)
{
	return json_array_size(json_object_get(mutation->reloaded, name));
}

static void what_is_at_hand_is_answered_at_once(void **state)
{
	(void)state;
	make(false, true);
	struct mutation *mutation = mutation_create(MUTATION_RELOAD, 0);
	reloader_run(reloader, mutation, on_done);
	assert_int_equal(answered, 1);
	assert_int_equal(length(mutation, "reloaded"), 1);
	assert_int_equal(length(mutation, "restart_needed"), 1);
	assert_int_equal(mutation->problem.fault_count, 1);
	/* Workers log as this process does. */
	assert_int_equal(bench_worker_next(), MESSAGE_LOG_LEVEL);
	mutation_free(mutation);
}

static void files_take_their_time_and_reloads_wait_for_each_other(void **state)
{
	struct mutation *list[17];
	(void)state;
	make(true, false);
	for (size_t i = 0; i < 17; i++) {
		list[i] = mutation_create(MUTATION_RELOAD, 0);
		reloader_run(reloader, list[i], on_done);
	}
	/* One is too many. */
	assert_int_equal(answered, 1);
	assert_ptr_equal(order[0], list[16]);
	assert_int_equal(list[16]->problem.code, PROBLEM_TOO_MANY_REQUESTS);
	assert_int_equal(passes, 1);
	has_faults = true;
	folder_done(folder_owner);
	assert_int_equal(answered, 2);
	assert_ptr_equal(order[1], list[0]);
	assert_int_equal(list[0]->problem.fault_count, 1);
	assert_string_equal(list[0]->problem.faults[0].pointer, "/tunnels_dir/a.conf");
	assert_int_equal(length(list[0], "reloaded"), 1);
	/* The next has a pass of its own: it may see what the first did not. */
	assert_int_equal(passes, 2);
	has_faults = false;
	/* Nobody can have a pass now: it is answered with what is known. */
	takes_reload = false;
	folder_done(folder_owner);
	assert_int_equal(answered, 17);
	for (size_t i = 0; i < 17; i++) {
		assert_int_equal(list[i]->problem.code, i == 0 ? PROBLEM_VALIDATION_FAILED : i == 16 ? PROBLEM_TOO_MANY_REQUESTS : PROBLEM_NONE);
		mutation_free(list[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_worker_set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(what_is_at_hand_is_answered_at_once), TEST(files_take_their_time_and_reloads_wait_for_each_other) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
