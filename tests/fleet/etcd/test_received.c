/* Bytes as they come, and the lines in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/received.h"

static struct etcd_received received;

static int clear(void **state)
{
	(void)state;
	etcd_received_clear(&received);
	return 0;
}

static void add(const char *text)
{
	assert_int_equal(etcd_received_add(&received, text, strlen(text)), ETCD_OK);
}

static void assert_line(const char *expected)
{
	size_t length;
	const char *line = etcd_received_line(&received, &length);
	if (expected == NULL) {
		assert_null(line);
		return;
	}
	assert_non_null(line);
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(line, expected, length);
}

static void assert_rest(const char *expected)
{
	size_t length;
	const char *rest = etcd_received_rest(&received, &length);
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(rest, expected, length);
}

static void a_line_in_parts_is_one(void **state)
{
	(void)state;
	assert_line(NULL);
	add("{\"a\"");
	assert_line(NULL);
	add(":1}");
	assert_line(NULL);
	add("\n");
	assert_line("{\"a\":1}");
	assert_line(NULL);
	assert_rest("");
}

static void a_chunk_can_hold_two_lines_and_a_part(void **state)
{
	(void)state;
	add("one\n\ntwo\nthr");
	assert_line("one");
	assert_line("");
	assert_line("two");
	assert_line(NULL);
	assert_rest("thr");
	add("ee\n");
	assert_line("three");
	assert_rest("");
}

static void lines_are_the_same_whatever_the_chunks(void **state)
{
	static const char text[] = "a\nbb\n\ndddd\ne";
	(void)state;
	for (size_t first = 0; first < sizeof(text); first++) {
		etcd_received_clear(&received);
		assert_int_equal(etcd_received_add(&received, text, first), ETCD_OK);
		char got[sizeof(text)] = "";
		const char *line;
		size_t length;
		while ((line = etcd_received_line(&received, &length)) != NULL)
			strncat(strncat(got, line, length), "\n", 2);
		add(text + first);
		while ((line = etcd_received_line(&received, &length)) != NULL)
			strncat(strncat(got, line, length), "\n", 2);
		assert_string_equal(got, "a\nbb\n\ndddd\n");
		assert_rest("e");
	}
}

static void what_is_too_long_is_refused(void **state)
{
	size_t length = 64 * 1024, sum = 0;
	char *bytes = malloc(length);
	(void)state;
	memset(bytes, 'x', length);
	while (etcd_received_add(&received, bytes, length) == ETCD_OK)
		sum += length;
	assert_int_equal(sum, ETCD_ANSWER_MAX);
	assert_int_equal(etcd_received_add(&received, bytes, 1), ETCD_TOO_LARGE);
	assert_int_equal(received.end, ETCD_ANSWER_MAX);
	free(bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_line_in_parts_is_one, clear),
		cmocka_unit_test_teardown(a_chunk_can_hold_two_lines_and_a_part, clear),
		cmocka_unit_test_teardown(lines_are_the_same_whatever_the_chunks, clear),
		cmocka_unit_test_teardown(what_is_too_long_is_refused, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
