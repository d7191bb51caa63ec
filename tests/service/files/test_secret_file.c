/* Secrets are read from below their directories, and from nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "service/files/secret_file.h"

static char root[] = "/tmp/warren-secret-XXXXXX";
static struct secret_places places;

static void write_file(const char *path, const char *bytes, size_t length)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, length, file), length);
	fclose(file);
}

static void write_text(const char *path, const char *text)
{
	write_file(path, text, strlen(text));
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(chdir(root), 0);
	assert_int_equal(mkdir("in", 0700) | mkdir("in/sub", 0700) | mkdir("cred", 0700) | mkdir("in/..data", 0700), 0);
	write_text("outside", "leaked");
	write_text("in/..data/key", " \tthe key\r\n\n");
	write_text("in/sub/deep", "deep");
	write_text("cred/password", "word");
	write_text("cred/key", "not this one");
	write_text("in/empty", " \n");
	write_file("in/nul", "a\0b", 3);
	assert_int_equal(symlink("..data/key", "in/key"), 0);
	assert_int_equal(symlink("../outside", "in/up"), 0);
	assert_int_equal(symlink(root, "in/absolute"), 0);
	assert_int_equal(symlink("/proc/self/fd", "in/magic"), 0);
	assert_int_equal(mkfifo("in/fifo", 0600), 0);
	places.directory = open("in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	places.credentials = open("cred", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return places.directory < 0 || places.credentials < 0;
}

static int tear_down(void **state)
{
	char command[64];
	(void)state;
	close(places.directory);
	close(places.credentials);
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return chdir("/") | system(command);
}

static void assert_secret(const char *path, const char *secret)
{
	char text[SECRET_FILE_MOST + 1];
	const char *fault = secret_file_read(&places, path, text);
	if (fault != NULL)
		fail_msg("%s: %s", path, fault);
	assert_string_equal(text, secret);
}

static void a_secret_is_without_white_space_around_it(void **state)
{
	(void)state;
	assert_secret("..data/key", "the key");
	assert_secret("sub/deep", "deep");
	assert_secret("sub//deep", "deep");
}

static void a_link_may_lead_elsewhere_in_the_same_directory(void **state)
{
	(void)state;
	if (syscall(SYS_openat2, -1, "", NULL, 0) == -1 && errno == ENOSYS) {
		print_message("skipped: without openat2 (Linux 5.6) no link is followed\n");
		skip();
	}
	assert_secret("key", "the key");
}

static void credentials_are_looked_at_last(void **state)
{
	(void)state;
	assert_secret("password", "word");
}

static void nothing_leads_outside(void **state)
{
	static const char *const paths[] = {
		"",     "/etc/hostname", "..",    "../outside", "sub/../../outside", "sub/..", "up", "absolute/outside", "magic/0", ".", "sub",
		"fifo", "missing",       "empty", "nul"
	};
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char text[SECRET_FILE_MOST + 1] = "x";
		if (secret_file_read(&places, paths[i], text) == NULL)
			fail_msg("%s was read", paths[i]);
		assert_string_equal(text, "");
	}
}

static void a_secret_has_at_most_4096_bytes(void **state)
{
	char bytes[SECRET_FILE_MOST + 1], text[SECRET_FILE_MOST + 1];
	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	write_file("in/long", bytes, SECRET_FILE_MOST);
	assert_null(secret_file_read(&places, "long", text));
	assert_int_equal(strlen(text), SECRET_FILE_MOST);
	write_file("in/long", bytes, SECRET_FILE_MOST + 1);
	assert_non_null(secret_file_read(&places, "long", text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_without_white_space_around_it),
		cmocka_unit_test(a_link_may_lead_elsewhere_in_the_same_directory),
		cmocka_unit_test(credentials_are_looked_at_last),
		cmocka_unit_test(nothing_leads_outside),
		cmocka_unit_test(a_secret_has_at_most_4096_bytes),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
