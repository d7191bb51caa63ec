#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/state_path.h"

static int set_up(void **state)
{
	(void)state;
	return unsetenv("STATE_DIRECTORY") + setenv("XDG_STATE_HOME", "/xdg", 1) + setenv("HOME", "/home/u", 1);
}

static void expect(const char *expected)
{
	char path[64];
	assert_true(state_path_default(path, sizeof(path)));
	assert_string_equal(path, expected);
}

static void the_first_that_applies_is_taken(void **state)
{
	(void)state;
	bool is_root = geteuid() == 0;
	expect(is_root ? "/var/lib/warren" : "/xdg/warren");
	unsetenv("XDG_STATE_HOME");
	expect(is_root ? "/var/lib/warren" : "/home/u/.local/state/warren");
	setenv("STATE_DIRECTORY", "/one:/two", 1);
	expect("/one");
}

static void a_path_without_room_is_none(void **state)
{
	(void)state;
	char path[8] = "old";
	setenv("STATE_DIRECTORY", "/longer-than-seven", 1);
	assert_false(state_path_default(path, sizeof(path)));
	assert_string_equal(path, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_first_that_applies_is_taken, set_up),
		cmocka_unit_test_setup(a_path_without_room_is_none, set_up),
	};
	return cmocka_run_group_tests_name("state_path", tests, NULL, NULL);
}
