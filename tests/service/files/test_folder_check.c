/* What --check says of a tunnels directory: a line for each fault, of the file that has it, and nothing is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/files/folder_check.h"
#include "service/files/folder_pass.h"
#include "service/socket/socket_path.h"
#include "service/worker/protection.h"
#include "tests/failing_heap.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define LINES 300

static char directory[64], lines[LINES][1300];
static size_t count;
static struct lock_queue *locks;
static struct registry *registry;
static struct policy policy;
static const struct socket_roots roots = { .count = 0 };

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "%s/warren-check-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	locks = lock_queue_create();
	registry = registry_create(locks);
	policy = (struct policy){ .protection = protection_create(registry), .roots = &roots };
	return mkdtemp(directory) == NULL || sodium_init() < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	protection_free((struct protection *)(uintptr_t)policy.protection);
	registry_free(registry);
	lock_queue_free(locks);
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static void write_text(const char *name, const char *text)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(file >= 0);
	assert_int_equal(write(file, text, strlen(text)), strlen(text));
	close(file);
}

static void remove_file(const char *name)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(unlink(path), 0);
}

/* With `more` lines of [Interface]. */
static void write_tunnel(const char *name, const char *more)
{
	char text[512];
	snprintf(text, sizeof(text), "[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2\n%s", more);
	write_text(name, text);
}

static void note(void *owner, const char *fault)
{
	(void)owner;
	assert_true(count < LINES);
	snprintf(lines[count++], sizeof(lines[0]), "%s", fault);
}

static void check(const char *credentials)
{
	count = 0;
	folder_check(directory, credentials, &policy, note, NULL);
}

/* The only line is of this file and has this text. */
static void assert_only(const char *name, const char *text)
{
	char start[160];
	check(NULL);
	snprintf(start, sizeof(start), "%s/%s: ", directory, name);
	if (count != 1 || strncmp(lines[0], start, strlen(start)) != 0 || strstr(lines[0], text) == NULL)
		fail_msg("%zu lines, the first: %s", count, count == 0 ? "" : lines[0]);
}

static void sound_files_have_no_line(void **state)
{
	(void)state;
	check(NULL);
	assert_int_equal(count, 0);
	write_tunnel("a.conf", "");
	write_text("b.json", "{\"id\":\"b\",\"spec\":{\"interface\":{\"generate_private_key\":true,\"addresses\":[\"10.2.0.3\"]}}}");
	write_text("README", "of another");
	check(NULL);
	assert_int_equal(count, 0);
}

static void a_fault_has_its_file_and_its_place(void **state)
{
	(void)state;
	write_tunnel("a.conf", "nonsense\n");
	assert_only("a.conf", "/line/4: ");
	write_tunnel("a.conf", "");
	write_text("a.json", "{}");
	assert_only("a.json", "a.conf makes the same tunnel.");
	remove_file("a.json");
	write_text("b.json", "{\"id\":\"c\",\"spec\":{\"interface\":{\"private_key\":\"" KEY "\",\"addresses\":[\"10.2.0.3\"]}}}");
	assert_only("b.json", "/id: The id differs from the name of the file.");
	/* The operator's policy. */
	write_text("b.json",
	           "{\"spec\":{\"interface\":{\"private_key\":\"" KEY "\",\"addresses\":[\"10.2.0.3\"]},\"proxy\":{\"listen\":[\"0.0.0.0:1080\"]}}}");
	assert_only("b.json", "/spec/proxy/listen/0: ");
}

static void more_faults_than_are_kept_are_said(void **state)
{
	char text[16384] = "";
	size_t length = 0;
	(void)state;
	for (unsigned i = 0; i < PROBLEM_FAULT_MAX + 10; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s\"m%u\":1", i == 0 ? "{" : ",", i);
	snprintf(text + length, sizeof(text) - length, "}");
	write_text("a.json", text);
	check(NULL);
	/* The first says how many there are. */
	assert_int_equal(count, PROBLEM_FAULT_MAX + 1);
	assert_null(strstr(lines[0], "/m0"));
	assert_non_null(strstr(lines[1], "/m0"));
}

static void tunnels_that_go_through_each_other_are_told(void **state)
{
	(void)state;
	write_tunnel("a.conf", "# warren: via=b\n");
	/* What is not a file may be of the API. */
	check(NULL);
	assert_int_equal(count, 0);
	write_tunnel("b.conf", "# warren: via=a\n");
	check(NULL);
	assert_int_equal(count, 2);
	assert_non_null(strstr(lines[0], "/a.conf: The way through other tunnels leads back to this one: a, b"));
	assert_non_null(strstr(lines[1], "/b.conf: The way through other tunnels leads back to this one: b, a"));
	write_tunnel("b.conf", "# warren: via=c\n");
	write_tunnel("c.conf", "# warren: via=d\n");
	write_tunnel("d.conf", "# warren: via=e\n");
	check(NULL);
	assert_int_equal(count, 0);
	write_tunnel("e.conf", "");
	assert_only("a.conf", "At most four tunnels can go through each other.");
}

static void secrets_may_be_in_the_credentials(void **state)
{
	char elsewhere[128];
	(void)state;
	write_text("a.json", "{\"spec\":{\"interface\":{\"private_key_file\":\"k\",\"addresses\":[\"10.2.0.3\"]}}}");
	assert_only("a.json", "private_key_file");
	snprintf(elsewhere, sizeof(elsewhere), "%s/sub", directory);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	write_text("sub/k", KEY "\n");
	check(elsewhere);
	assert_int_equal(count, 0);
}

static void a_directory_that_cannot_be_read_is_one_line(void **state)
{
	(void)state;
	count = 0;
	folder_check("/nonexistent/warren", NULL, &policy, note, NULL);
	assert_int_equal(count, 1);
	assert_non_null(strstr(lines[0], "--tunnels-dir '/nonexistent/warren' cannot be read: No such file or directory"));
}

static void a_directory_of_too_many_files_is_said_to_be_one(void **state)
{
	char name[32];
	(void)state;
	int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i <= FOLDER_FILES_MOST; i++) {
		snprintf(name, sizeof(name), "t%u.conf", i);
		int file = openat(folder, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(file >= 0);
		close(file);
	}
	check(NULL);
	assert_int_equal(count, 1);
	assert_non_null(strstr(lines[0], "more than 16384 files"));
	/* One less is read. */
	assert_int_equal(unlinkat(folder, name, 0), 0);
	size_t found;
	struct folder_file *files = folder_pass_list(folder, &found);
	assert_non_null(files);
	assert_int_equal(found, FOLDER_FILES_MOST);
	free(files);
	close(folder);
}

/* F1: what cannot be checked is told, and not passed over. */
static void memory_that_is_out_is_told(void **state)
{
	bool is_done = false;
	(void)state;
	write_tunnel("a.conf", "");
	write_tunnel("b.conf", "nonsense\n");
	for (unsigned allowed = 0; !is_done; allowed++) {
		heap_fails_once_after(allowed);
		check(NULL);
		is_done = heap_refused() == 0;
		heap_works();
		assert_true(count > 0);
	}
	assert_int_equal(count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	log_start(LOG_ERROR, false, "control");
	const struct CMUnitTest tests[] = {
		TEST(sound_files_have_no_line),
		TEST(a_fault_has_its_file_and_its_place),
		TEST(more_faults_than_are_kept_are_said),
		TEST(tunnels_that_go_through_each_other_are_told),
		TEST(secrets_may_be_in_the_credentials),
		TEST(a_directory_that_cannot_be_read_is_one_line),
		TEST(a_directory_of_too_many_files_is_said_to_be_one),
		TEST(memory_that_is_out_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
