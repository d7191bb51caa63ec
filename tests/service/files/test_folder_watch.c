/* Changes in a directory, and of the directory, are told once they have settled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/files/folder_watch.h"

static char root[] = "/tmp/warren-watch-XXXXXX";
static char path[64];
static uv_loop_t loop;
static struct folder_watch watch;
static unsigned changes;

static void on_changed(void *owner)
{
	(void)owner;
	changes++;
	uv_stop(&loop);
}

static void touch(const char *name)
{
	char file[128];
	snprintf(file, sizeof(file), "%s/%s", path, name);
	int descriptor = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(descriptor >= 0);
	close(descriptor);
}

static int set_up(void **state)
{
	(void)state;
	if (path[0] == '\0')
		assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/in", root);
	(void)mkdir(path, 0700);
	changes = 0;
	assert_int_equal(uv_loop_init(&loop), 0);
	return folder_watch_init(&watch, &loop, path, on_changed, NULL) ? 0 : -1;
}

static void close_handle(uv_handle_t *handle, void *owner)
{
	(void)owner;
	uv_close(handle, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	folder_watch_stop(&watch);
	uv_walk(&loop, close_handle, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	folder_watch_clear(&watch);
	return uv_loop_close(&loop);
}

static int remove_root(void **state)
{
	char command[64];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void many_events_are_one_change(void **state)
{
	(void)state;
	assert_true(folder_watch_renew(&watch));
	for (unsigned i = 0; i < 50; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%u", i);
		touch(name);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(changes, 1);
}

static void another_directory_in_its_place_is_a_change(void **state)
{
	char old[80], fresh[80];
	(void)state;
	snprintf(old, sizeof(old), "%s.old", path);
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	assert_int_equal(mkdir(fresh, 0700), 0);
	assert_true(folder_watch_renew(&watch));
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(rename(fresh, path), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(changes, 1);
	/* The new one is watched from now on. */
	assert_true(folder_watch_renew(&watch));
	touch("a");
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(changes, 2);
}

static void what_is_missing_cannot_be_watched_but_its_coming_is_told(void **state)
{
	char old[80];
	(void)state;
	snprintf(old, sizeof(old), "%s.gone", path);
	assert_int_equal(rename(path, old), 0);
	assert_false(folder_watch_renew(&watch));
	assert_int_equal(rename(old, path), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(changes, 1);
}

static void it_can_be_woken(void **state)
{
	(void)state;
	folder_watch_wake(&watch, 60000);
	folder_watch_wake(&watch, 1);
	folder_watch_wake(&watch, 60000);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(changes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_events_are_one_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_directory_in_its_place_is_a_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_missing_cannot_be_watched_but_its_coming_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_can_be_woken, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, remove_root);
}
