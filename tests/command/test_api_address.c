#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/api_address.h"

static char failure[256];

static int set_up(void **state)
{
	(void)state;
	static const char *const names[] = { "WARREN_UNIX_SOCKET", "WARREN_STATE_DIR", "STATE_DIRECTORY", "XDG_STATE_HOME" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
	return 0;
}

static void expect(const char *socket, const char *state_dir)
{
	struct api_address address;
	assert_true(api_address_find(&address, NULL, NULL, failure));
	assert_string_equal(address.socket, socket);
	assert_string_equal(address.state_dir, state_dir);
}

static void the_socket_is_where_warrend_has_it(void **state)
{
	(void)state;
	setenv("HOME", "/home/u", 1);
	setenv("XDG_STATE_HOME", "/xdg", 1);
	if (geteuid() == 0)
		expect("/var/lib/warren/api.sock", "/var/lib/warren");
	else
		expect("/xdg/warren/api.sock", "/xdg/warren");
	setenv("STATE_DIRECTORY", "/one:/two", 1);
	expect("/one/api.sock", "/one");
	setenv("WARREN_STATE_DIR", "/three", 1);
	expect("/three/api.sock", "/three");
	setenv("WARREN_UNIX_SOCKET", "/four/sock", 1);
	expect("/four/sock", "/four");
	struct api_address address;
	assert_true(api_address_find(&address, "five", NULL, failure));
	assert_string_equal(address.socket, "five");
	assert_string_equal(address.state_dir, ".");
}

static void what_is_wrong_is_told(void **state)
{
	(void)state;
	struct api_address address;
	char path[200];
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_false(api_address_find(&address, "/a", "http://b", failure));
	assert_false(api_address_find(&address, NULL, "b:8470", failure));
	assert_false(api_address_find(&address, path, NULL, failure));
	assert_non_null(strstr(failure, "107"));
}

/* What api_address_explain says to one who may not use the path. */
static void expect_advice(const char *path, const char *advice, bool is_said)
{
	struct api_address address = { 0 };
	char text[1024] = "";
	FILE *kept = tmpfile();
	int before = dup(STDERR_FILENO);
	assert_non_null(kept);
	snprintf(address.socket, sizeof(address.socket), "%s", path);
	dup2(fileno(kept), STDERR_FILENO);
	api_address_explain(&address, EACCES);
	fflush(stderr);
	dup2(before, STDERR_FILENO);
	close(before);
	rewind(kept);
	(void)!fread(text, 1, sizeof(text) - 1, kept);
	fclose(kept);
	assert_int_equal(strstr(text, advice) != NULL, is_said);
}

static void advice_names_root_once(void **state)
{
	(void)state;
	char path[] = "/tmp/address-XXXXXX";
	int file = mkstemp(path);
	assert_true(file >= 0);
	expect_advice("/", "Run it as root (sudo)", true);
	assert_int_equal(fchmod(file, 0660), 0);
	expect_advice(path, "run it as root (sudo)", geteuid() == 0);
	expect_advice(path, "run it as that user or as root (sudo)", geteuid() != 0);
	close(file);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_socket_is_where_warrend_has_it, set_up),
		cmocka_unit_test_setup(what_is_wrong_is_told, set_up),
		cmocka_unit_test(advice_names_root_once),
	};
	return cmocka_run_group_tests_name("api_address", tests, NULL, NULL);
}
