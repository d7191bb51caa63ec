/* One pass over a directory of files: what is made, changed and deleted, in which order, and what a fault leaves as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "service/files/folder_pass.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/failing_vfs.h"

#define TURNS_MOST 100000 /* against a hang */

static char directory[64];
static struct folder_pass pass;
static struct fault_list *faults;
static unsigned finished;

static void on_finished(void *owner)
{
	(void)owner;
	finished++;
}

static int set_up(void **state)
{
	snprintf(directory, sizeof(directory), "%s/warren-pass-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(directory) == NULL)
		return -1;
	failing_vfs_make_default();
	bench_mutations_set_up(state);
	faults = fault_list_create();
	finished = 0;
	const struct folder_pass_means means = { .loop = &bench.loop,
		                                 .registry = bench.registry,
		                                 .mutations = changes.mutations,
		                                 .faults = faults,
		                                 .path = directory,
		                                 .credentials = directory,
		                                 .finished = on_finished };
	folder_pass_init(&pass, &means);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	folder_pass_clear(&pass);
	fault_list_free(faults);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
	return bench_mutations_tear_down(state);
}

static void write_tunnel(const char *name, const char *more)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file, "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.2.0.2\n%s", more);
	fclose(file);
}

static void remove_file(const char *name)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(unlink(path), 0);
}

static void start(void)
{
	finished = 0;
	folder_pass_start(&pass);
}

static void finish(void)
{
	for (int i = 0; i < TURNS_MOST && finished == 0; i++) {
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		bench_mutations_finish();
	}
	assert_int_equal(finished, 1);
}

static void run(void)
{
	start();
	finish();
}

static struct entry *find(const char *id)
{
	return registry_entry(bench.registry, id);
}

static void what_has_a_file_is_there_and_what_has_none_any_more_is_not(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "api", "{'spec':{'interface':{'generate_private_key':true,'addresses':['10.2.0.2']}}}"));
	write_tunnel("a.conf", "");
	write_tunnel("b.conf", "");
	run();
	assert_int_equal(pass.changed, 2);
	assert_int_equal(find("a")->snapshot->origin, SNAPSHOT_OF_FILE);
	run();
	assert_int_equal(pass.changed, 0);
	remove_file("a.conf");
	write_tunnel("b.conf", "MTU = 1300\n");
	run();
	assert_int_equal(pass.changed, 2);
	assert_null(find("a"));
	assert_int_equal(find("b")->snapshot->generation, 2);
	/* It is not a file's. */
	assert_non_null(find("api"));
	assert_int_equal(fault_list_count(faults), 0);
	assert_false(pass.may_pass_by);
}

static void a_fault_leaves_the_tunnel_and_is_told_at_it(void **state)
{
	char detail[STATUS_SOURCE_FAULT_SIZE];
	int64_t at, again;
	(void)state;
	write_tunnel("a.conf", "");
	run();
	write_tunnel("a.conf", "nonsense\n");
	write_tunnel("a.json", "");
	run();
	assert_int_equal(fault_list_count(faults), 2);
	assert_int_equal(find("a")->snapshot->generation, 1);
	assert_true(status_get_source_fault(find("a")->status, detail, &at));
	assert_non_null(strstr(detail, "/line/4"));
	run();
	assert_true(status_get_source_fault(find("a")->status, detail, &again));
	assert_int_equal(again, at);
	remove_file("a.json");
	write_tunnel("a.conf", "");
	run();
	assert_false(status_get_source_fault(find("a")->status, detail, &at));
	assert_int_equal(fault_list_count(faults), 0);
}

static void a_directory_that_cannot_be_read_deletes_nothing(void **state)
{
	char moved[80], command[192];
	(void)state;
	write_tunnel("a.conf", "");
	run();
	snprintf(moved, sizeof(moved), "%s-moved", directory);
	assert_int_equal(rename(directory, moved), 0);
	run();
	assert_true(pass.is_unreadable);
	assert_int_equal(fault_list_count(faults), 1);
	assert_non_null(find("a"));
	snprintf(command, sizeof(command), "mv %s %s", moved, directory);
	assert_int_equal(system(command), 0);
	run();
	assert_false(pass.is_unreadable);
	assert_int_equal(fault_list_count(faults), 0);
}

/* The outer one's file comes later by its name. */
static void tunnels_come_after_those_that_they_go_through(void **state)
{
	(void)state;
	write_tunnel("a.conf", "# warren: via = b\n");
	write_tunnel("b.conf", "# warren: via = c\n");
	write_tunnel("c.conf", "");
	run();
	assert_int_equal(fault_list_count(faults), 0);
	assert_int_equal(pass.changed, 3);
	assert_string_equal(find("a")->snapshot->spec.via, "b");
	assert_false(folder_pass_awaits(&pass, "b"));
}

static void a_circle_ends_as_a_fault(void **state)
{
	(void)state;
	write_tunnel("a.conf", "# warren: via = b\n");
	write_tunnel("b.conf", "# warren: via = a\n");
	run();
	assert_int_equal(fault_list_count(faults), 2);
	assert_null(find("a"));
	assert_true(folder_pass_awaits(&pass, "a"));
	assert_true(folder_pass_awaits(&pass, "b"));
	assert_false(folder_pass_awaits(&pass, "c"));
}

/* Later it is tried again: the disk may work then. */
static void a_delete_that_the_disk_refuses_is_tried_again(void **state)
{
	(void)state;
	write_tunnel("a.conf", "");
	run();
	remove_file("a.conf");
	failing_vfs_fail(FAILING_SYNC, 1, SQLITE_IOERR_FSYNC);
	run();
	assert_true(failing_vfs_has_failed());
	failing_vfs_fail(FAILING_SYNC, 0, 0);
	assert_non_null(find("a"));
	assert_true(pass.may_pass_by);
	assert_int_equal(pass.changed, 0);
	run();
	assert_null(find("a"));
	assert_false(pass.may_pass_by);
}

static void a_pass_that_is_stopped_submits_no_more(void **state)
{
	char name[32];
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "t%u.conf", i);
		write_tunnel(name, "");
	}
	start();
	uv_run(&bench.loop, UV_RUN_NOWAIT);
	folder_pass_stop(&pass);
	finish();
	assert_true(pass.changed < 100);
	assert_false(pass.is_running);
}

static void only_the_first_faults_are_told(void **state)
{
	char text[512], small[16];
	struct problem problem;
	(void)state;
	problem_init(&problem);
	problem_set(&problem, PROBLEM_INTERNAL, "what it is");
	folder_pass_describe(&problem, text, sizeof(text));
	assert_string_equal(text, "what it is");
	problem_clear(&problem);
	problem_add(&problem, "", "a", "One.");
	problem_add(&problem, "/b", "b", "Two.");
	problem_add(&problem, "/c", "c", "Three.");
	folder_pass_describe(&problem, text, sizeof(text));
	assert_string_equal(text, "One. /b: Two. /c: Three.");
	problem_add(&problem, "/d", "d", "Four.");
	problem_add(&problem, "/e", "e", "Five.");
	folder_pass_describe(&problem, text, sizeof(text));
	assert_string_equal(text, "One. /b: Two. /c: Three. (and 2 more)");
	folder_pass_describe(&problem, small, sizeof(small));
	assert_string_equal(small, "One. /b: Two. /");
	problem_clear(&problem);
}

static void assert_no_line_is_blamed(void)
{
	json_t *list = fault_list_to_json(faults);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *detail = json_string_value(json_object_get(json_array_get(list, i), "detail"));
		if (strstr(detail, "/line/") != NULL)
			fail_msg("%s", detail);
	}
	json_decref(list);
}

/* F1: whatever lacks memory, a tunnel whose file is there is not deleted, and the next pass mends what this one lacked. */
static void memory_that_is_out_deletes_nothing(void **state)
{
	bool is_done = false;
	(void)state;
	write_tunnel("a.conf", "");
	run();
	for (unsigned allowed = 0; !is_done; allowed++) {
		write_tunnel("a.conf", allowed % 2 == 0 ? "MTU = 1300\n" : "MTU = 1400\n");
		heap_fails_once_after(allowed);
		start();
		uv_run(&bench.loop, UV_RUN_NOWAIT);
		is_done = heap_refused() == 0;
		heap_works();
		finish();
		assert_non_null(find("a"));
		assert_no_line_is_blamed();
		run();
		assert_int_equal(find("a")->snapshot->spec.mtu, allowed % 2 == 0 ? 1300 : 1400);
		assert_int_equal(fault_list_count(faults), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_has_a_file_is_there_and_what_has_none_any_more_is_not),
		TEST(a_fault_leaves_the_tunnel_and_is_told_at_it),
		TEST(a_directory_that_cannot_be_read_deletes_nothing),
		TEST(tunnels_come_after_those_that_they_go_through),
		TEST(a_circle_ends_as_a_fault),
		TEST(a_delete_that_the_disk_refuses_is_tried_again),
		TEST(a_pass_that_is_stopped_submits_no_more),
		cmocka_unit_test(only_the_first_faults_are_told),
		TEST(memory_that_is_out_deletes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
