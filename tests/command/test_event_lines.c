#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "command/event_lines.h"

static char seen[256];

static bool on_line(void *owner, const char *line, size_t length)
{
	(void)owner;
	assert_int_equal(strlen(line), length);
	strcat(seen, line);
	strcat(seen, "|");
	return strcmp(line, "end") != 0;
}

static void lines_are_cut_wherever_the_pieces_are(void **state)
{
	(void)state;
	static const char text[] = "one\n\ntwo\nthree\n";
	for (size_t piece = 1; piece <= strlen(text); piece++) {
		struct event_lines lines = { .on_line = on_line };
		*seen = '\0';
		for (size_t at = 0; at < strlen(text); at += piece) {
			size_t left = strlen(text) - at;
			assert_true(event_lines_feed(&lines, text + at, left < piece ? left : piece));
		}
		assert_string_equal(seen, "one||two|three|");
		event_lines_clear(&lines);
	}
}

static void the_reader_ends_the_stream(void **state)
{
	(void)state;
	struct event_lines lines = { .on_line = on_line };
	*seen = '\0';
	assert_false(event_lines_feed(&lines, "a\nend\nb\n", 8));
	assert_string_equal(seen, "a|end|");
	event_lines_clear(&lines);
}

static void a_line_without_an_end_is_not_kept_for_ever(void **state)
{
	(void)state;
	struct event_lines lines = { .on_line = on_line };
	char *block = calloc(1, 1 << 16);
	memset(block, 'x', 1 << 16);
	size_t count = 0;
	while (count < 100 && event_lines_feed(&lines, block, 1 << 16))
		count++;
	assert_int_equal(count, 16);
	event_lines_clear(&lines);
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_wherever_the_pieces_are),
		cmocka_unit_test(the_reader_ends_the_stream),
		cmocka_unit_test(a_line_without_an_end_is_not_kept_for_ever),
	};
	return cmocka_run_group_tests_name("event_lines", tests, NULL, NULL);
}
