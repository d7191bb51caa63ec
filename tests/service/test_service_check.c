/* What --check finds of a state directory, a store, an access log and files; it makes and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/service_check.h"
#include "tests/failing_heap.h"

static char directory[64], lines[16][1300];
static size_t count;
static struct service_options options;

static int set_up(void **state)
{
	(void)state;
	count = 0;
	options = (struct service_options){ .workers = 1 };
	snprintf(directory, sizeof(directory), "%s/warren-check-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(options.state_dir, sizeof(options.state_dir), "%s/state", directory);
	return sodium_init() < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void note(void *owner, const char *fault)
{
	(void)owner;
	assert_true(count < 16);
	snprintf(lines[count++], sizeof(lines[0]), "%s", fault);
}

static void check(void)
{
	count = 0;
	service_check(&options, note, NULL);
}

static void write_text(const char *name, const char *text)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	fputs(text, file);
	fclose(file);
}

static void a_first_start_has_no_fault_and_leaves_nothing(void **state)
{
	struct stat info;
	(void)state;
	check();
	assert_int_equal(count, 0);
	assert_int_not_equal(stat(options.state_dir, &info), 0);
}

static void each_part_is_told(void **state)
{
	char allowed[] = "/tmp", *list[] = { allowed };
	(void)state;
	assert_int_equal(mkdir(options.state_dir, 0700), 0);
	write_text("state/state.db", "this is no database, but as long as one would be: .....................................................");
	snprintf(options.access_log, sizeof(options.access_log), "%s/none/access.log", directory);
	snprintf(options.tunnels_dir, sizeof(options.tunnels_dir), "%s/files", directory);
	assert_int_equal(mkdir(options.tunnels_dir, 0700), 0);
	write_text("files/a.conf", "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.2.0.2\nnonsense\n");
	options.allow_socket = list;
	options.allow_socket_count = 1;
	check();
	assert_int_equal(count, 3);
	assert_non_null(strstr(lines[0], "state.db"));
	assert_non_null(strstr(lines[1], "access.log"));
	assert_non_null(strstr(lines[2], "files/a.conf: /line/4"));
	/* Where the sockets of tunnels may be is as in the service. */
	write_text("files/a.conf", "");
	write_text("files/a.json", "{\"spec\":{\"interface\":{\"generate_private_key\":true,\"addresses\":[\"10.2.0.2\"]},"
	                           "\"proxy\":{\"listen\":[\"unix:/tmp/warren-a.sock\",\"unix:/var/a.sock\"]}}}");
	char path[192];
	snprintf(path, sizeof(path), "%s/files/a.conf", directory);
	assert_int_equal(unlink(path), 0);
	check();
	assert_int_equal(count, 3);
	assert_non_null(strstr(lines[2], "/spec/proxy/listen/1: "));
}

static void a_state_directory_that_is_none_is_told_alone(void **state)
{
	(void)state;
	write_text("state", "a file");
	check();
	assert_int_equal(count, 1);
	assert_non_null(strstr(lines[0], options.state_dir));
}

static void files_are_checked_with_their_credentials(void **state)
{
	(void)state;
	snprintf(options.tunnels_dir, sizeof(options.tunnels_dir), "%s/files", directory);
	snprintf(options.credentials_dir, sizeof(options.credentials_dir), "%s/secrets", directory);
	assert_int_equal(mkdir(options.tunnels_dir, 0700), 0);
	assert_int_equal(mkdir(options.credentials_dir, 0700), 0);
	write_text("files/a.json", "{\"spec\":{\"interface\":{\"private_key_file\":\"k\",\"addresses\":[\"10.2.0.2\"]}}}");
	check();
	assert_int_equal(count, 1);
	write_text("secrets/k", "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=");
	check();
	assert_int_equal(count, 0);
}

/* F1: files that are not checked are told. */
static void memory_that_is_out_is_told(void **state)
{
	bool is_done = false;
	(void)state;
	snprintf(options.tunnels_dir, sizeof(options.tunnels_dir), "%s/files", directory);
	assert_int_equal(mkdir(options.tunnels_dir, 0700), 0);
	write_text("files/a.conf", "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.2.0.2\n");
	for (unsigned allowed = 0; !is_done; allowed++) {
		heap_fails_after(allowed);
		check();
		is_done = heap_refused() == 0;
		heap_works();
		assert_int_equal(count > 0, !is_done);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	log_start(LOG_ERROR, false, "control");
	const struct CMUnitTest tests[] = {
		TEST(a_first_start_has_no_fault_and_leaves_nothing),
		TEST(each_part_is_told),
		TEST(a_state_directory_that_is_none_is_told_alone),
		TEST(files_are_checked_with_their_credentials),
		TEST(memory_that_is_out_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
