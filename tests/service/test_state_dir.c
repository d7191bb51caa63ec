/* The state directory: made private, locked for one daemon, and refused when it is somebody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/store/state_dir.h"

static char folder[40], path[64];
static char failure[512];

static int set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/warren-state-dir-XXXXXX");
	failure[0] = '\0';
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/state", folder);
	return 0;
}

static int tear_down(void **state)
{
	char command[64];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void it_is_made_private_with_a_place_for_sockets(void **state)
{
	struct state_dir dir = { .lock = -1 };
	struct stat info;
	char sockets[80];
	(void)state;
	assert_true(state_dir_open(&dir, path, failure));
	assert_string_equal(dir.path, path);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	snprintf(sockets, sizeof(sockets), "%s/sockets", path);
	assert_int_equal(stat(sockets, &info), 0);
	assert_true(S_ISDIR(info.st_mode));
	state_dir_close(&dir);
}

/* flock is of an open file, so that one process can try it twice. */
static void it_is_of_one_daemon_at_a_time(void **state)
{
	struct state_dir first = { .lock = -1 }, second = { .lock = -1 };
	(void)state;
	assert_true(state_dir_open(&first, path, failure));
	assert_false(state_dir_open(&second, path, failure));
	assert_true(strlen(failure) > 0);
	state_dir_close(&second);
	state_dir_close(&first);
	first.lock = -1;
	assert_true(state_dir_open(&first, path, failure));
	state_dir_close(&first);
}

static void what_is_no_directory_is_refused(void **state)
{
	struct state_dir dir = { .lock = -1 };
	(void)state;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_false(state_dir_open(&dir, path, failure));
	assert_non_null(strstr(failure, path));
	state_dir_close(&dir);
}

static void assert_refused(const char *name, const char *word)
{
	struct state_dir dir = { .lock = -1 };
	assert_false(state_dir_open(&dir, name, failure));
	if (strstr(failure, word) == NULL)
		fail_msg("«%s» is not in «%s»", word, failure);
	assert_int_equal(dir.lock, -1);
}

static void names_that_cannot_be_are_refused(void **state)
{
	char long_name[4001];
	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	assert_refused("", "empty");
	assert_refused(long_name, "too long");
	assert_refused("/proc/self/nothing/here", "cannot create");
	assert_refused("/dev/null", "/dev/null");
}

static void slashes_at_the_end_are_left_out(void **state)
{
	struct state_dir dir;
	char name[80];
	(void)state;
	snprintf(name, sizeof(name), "%s///", path);
	assert_true(state_dir_open(&dir, name, failure));
	assert_string_equal(dir.path, path);
	state_dir_close(&dir);
}

static void what_is_of_another_user_is_refused(void **state)
{
	(void)state;
	if (geteuid() != 0)
		return;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_refused(path, "belongs to another user");
}

/* systemd makes it with 0755. */
static void one_that_is_open_to_others_is_closed(void **state)
{
	struct state_dir dir;
	struct stat info;
	(void)state;
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(chmod(path, 0755), 0);
	assert_true(state_dir_open(&dir, path, failure));
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0700);
	state_dir_close(&dir);
}

static void a_lock_that_leads_elsewhere_is_refused(void **state)
{
	char name[80];
	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(name, sizeof(name), "%s/lock", path);
	assert_int_equal(symlink("/tmp/elsewhere", name), 0);
	assert_refused(path, "cannot open");
}

static void a_check_changes_nothing(void **state)
{
	struct state_dir dir;
	struct stat info;
	char deep[80];
	(void)state;
	snprintf(deep, sizeof(deep), "%s/a/b", path);
	assert_true(state_dir_check(deep, failure));
	assert_int_equal(stat(path, &info), -1);
	assert_true(state_dir_open(&dir, path, failure));
	/* In use, which a check does not mind. */
	assert_true(state_dir_check(path, failure));
	state_dir_close(&dir);
	assert_true(state_dir_check(path, failure));
	snprintf(deep, sizeof(deep), "%s/lock", path);
	assert_false(state_dir_check(deep, failure));
	assert_non_null(strstr(failure, "is not a directory"));
	assert_int_equal(unlink(deep), 0);
	assert_int_equal(symlink("/tmp/elsewhere", deep), 0);
	assert_false(state_dir_check(path, failure));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_made_private_with_a_place_for_sockets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(it_is_of_one_daemon_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_directory_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_that_cannot_be_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(slashes_at_the_end_are_left_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_of_another_user_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_open_to_others_is_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_lock_that_leads_elsewhere_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_check_changes_nothing, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
