/* Lines reach their file whatever happens to it, and whoever writes one never waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/store/line_writer.h"

#define GUARD_MS 20000 /* against a hang only */

static char directory[64], path[128], failure[512];
static char content[4 << 20];

static int set_up(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/warren-lines-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log", directory);
	umask(077);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *read_all(const char *file)
{
	int descriptor = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t length = descriptor < 0 ? 0 : read(descriptor, content, sizeof(content) - 1);
	content[length < 0 ? 0 : length] = '\0';
	if (descriptor >= 0)
		close(descriptor);
	return content;
}

static void wait_for(const char *file, const char *text)
{
	int64_t start = now_ms();
	while (strcmp(read_all(file), text) != 0 && now_ms() - start < GUARD_MS)
		poll(NULL, 0, 2);
	assert_string_equal(read_all(file), text);
}

static struct line_writer *create(const char *to)
{
	struct line_writer *writer = line_writer_create(to, failure);
	assert_non_null(writer);
	return writer;
}

static void put(struct line_writer *writer, const char *line)
{
	line_writer_put(writer, line, strlen(line));
}

static void lines_are_appended_to_a_file_that_others_may_read(void **state)
{
	struct stat info;
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct line_writer *writer = create(path);
		put(writer, i == 0 ? "one" : "three");
		put(writer, i == 0 ? "two" : "");
		line_writer_free(writer);
	}
	assert_string_equal(read_all(path), "one\ntwo\nthree\n\n");
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0640);
}

static void the_mode_of_a_file_that_is_there_is_kept(void **state)
{
	struct stat info;
	(void)state;
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	line_writer_free(create(path));
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
}

static void a_file_that_is_renamed_or_removed_is_made_again(void **state)
{
	char old[160];
	(void)state;
	snprintf(old, sizeof(old), "%s.1", path);
	struct line_writer *writer = create(path);
	put(writer, "one");
	wait_for(path, "one\n");
	assert_int_equal(rename(path, old), 0);
	put(writer, "two");
	wait_for(path, "two\n");
	assert_int_equal(unlink(path), 0);
	put(writer, "three");
	wait_for(path, "three\n");
	line_writer_reopen(writer);
	put(writer, "four");
	wait_for(path, "three\nfour\n");
	wait_for(old, "one\n");
	line_writer_free(writer);
}

static void a_directory_that_is_gone_is_waited_for(void **state)
{
	char away[128];
	(void)state;
	snprintf(away, sizeof(away), "%s.away", directory);
	struct line_writer *writer = create(path);
	put(writer, "one");
	wait_for(path, "one\n");
	assert_int_equal(rename(directory, away), 0);
	put(writer, "two");
	poll(NULL, 0, 20); /* so that it fails once */
	assert_int_equal(rename(away, directory), 0);
	wait_for(path, "one\ntwo\n");
	line_writer_free(writer);
}

/* The reader comes late and goes again. */
static void a_fifo_waits_for_its_reader(void **state)
{
	enum { LINES = 3000, LENGTH = 48 };
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(mkfifo(path, 0600), 0);
	int64_t start = now_ms();
	struct line_writer *writer = create(path);
	for (int i = 0; i < LINES; i++)
		put(writer, "a line of some length, so that the pipe is full");
	int reader = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(reader >= 0);
	for (size_t got = 0; got < LINES * LENGTH;) {
		ssize_t some = read(reader, content, 5000);
		assert_true(some > 0 && now_ms() - start < GUARD_MS);
		got += (size_t)some;
	}
	close(reader);
	assert_int_equal(line_writer_dropped(writer), 0);
	put(writer, "to nobody");
	start = now_ms();
	line_writer_free(writer);
	assert_in_range(now_ms() - start, 0, GUARD_MS);
}

static void a_full_disk_costs_lines_and_no_time(void **state)
{
	static char line[1000];
	(void)state;
	memset(line, 'x', sizeof(line));
	struct line_writer *writer = create("/dev/full");
	int64_t start = now_ms();
	for (int i = 0; i < 3000; i++)
		line_writer_put(writer, line, sizeof(line));
	assert_in_range(now_ms() - start, 0, 500);
	uint64_t dropped = line_writer_dropped(writer);
	assert_in_range(dropped, 3000 - (1 << 20) / 1001 - 10, 3000 - (1 << 20) / 1001 + 1);
	line_writer_free(writer);
}

/* A ring: what goes in comes out, whole and in order, at every place. */
static void lines_of_every_length_come_out_whole(void **state)
{
	static char expected[4 << 20];
	char line[LINE_WRITER_LINE_MAX];
	size_t length = 0;
	(void)state;
	srand(5);
	struct line_writer *writer = create(path);
	for (int i = 0; i < 1500; i++) {
		size_t n = (size_t)rand() % LINE_WRITER_LINE_MAX;
		memset(line, 'a' + i % 26, n);
		int64_t start = now_ms();
		uint64_t before = line_writer_dropped(writer);
		line_writer_put(writer, line, n);
		while (line_writer_dropped(writer) != before && now_ms() - start < GUARD_MS) {
			before = line_writer_dropped(writer);
			poll(NULL, 0, 1);
			line_writer_put(writer, line, n);
		}
		memcpy(expected + length, line, n);
		length += n;
		expected[length++] = '\n';
	}
	expected[length] = '\0';
	line_writer_free(writer);
	assert_true(strcmp(read_all(path), expected) == 0);
}

static void the_standard_output_is_a_file_too(void **state)
{
	(void)state;
	fflush(stdout);
	int before = dup(STDOUT_FILENO), file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	dup2(file, STDOUT_FILENO);
	struct line_writer *writer = create("-");
	put(writer, "here");
	line_writer_free(writer);
	dup2(before, STDOUT_FILENO);
	close(before);
	close(file);
	assert_string_equal(read_all(path), "here\n");
}

static void what_cannot_be_opened_is_told(void **state)
{
	char missing[160];
	(void)state;
	snprintf(missing, sizeof(missing), "%s/no/log", directory);
	assert_null(line_writer_create(missing, failure));
	assert_non_null(strstr(failure, "No such file or directory"));
	assert_false(line_writer_check(missing, failure));
	assert_non_null(strstr(failure, "No such file or directory"));
	assert_null(line_writer_create(directory, failure));
	assert_non_null(strstr(failure, "Is a directory"));
	failure[0] = '\0';
	assert_false(line_writer_check(directory, failure));
	assert_non_null(strstr(failure, "Is a directory"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	log_start(LOG_ERROR, false, "test");
	const struct CMUnitTest tests[] = {
		TEST(lines_are_appended_to_a_file_that_others_may_read),
		TEST(the_mode_of_a_file_that_is_there_is_kept),
		TEST(a_file_that_is_renamed_or_removed_is_made_again),
		TEST(a_directory_that_is_gone_is_waited_for),
		TEST(a_fifo_waits_for_its_reader),
		TEST(a_full_disk_costs_lines_and_no_time),
		TEST(lines_of_every_length_come_out_whole),
		TEST(the_standard_output_is_a_file_too),
		TEST(what_cannot_be_opened_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
