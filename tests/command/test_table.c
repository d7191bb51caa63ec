#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "command/table.h"
#include "command/terminal_text.h"

static char *written(struct table *table, struct table_style style)
{
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);
	table_write(table, to, &style);
	fclose(to);
	table_free(table);
	return text;
}

static struct table *sample(void)
{
	struct table *table = table_create("ID|>N|TEXT");
	static const char *const cells[] = { "a", "1", "one", "longer-name", "100", "\xc3\xa9\xe6\x97\xa5" /* é, and a wide character */,
		                             "c", "",  NULL };
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		table_add(table, TABLE_PLAIN, cells[i]);
	return table;
}

static void columns_are_aligned_by_what_is_seen(void **state)
{
	(void)state;
	char *text = written(sample(), (struct table_style){ 0 });
	assert_string_equal(text, "ID             N  TEXT\n"
	                          "a              1  one\n"
	                          "longer-name  100  \xc3\xa9\xe6\x97\xa5\n"
	                          "c              -  -\n");
	free(text);
	struct table *wide = table_create("T|U");
	table_add(wide, TABLE_PLAIN, "\xe6\x97\xa5\xe6\x9c\xac");
	table_add(wide, TABLE_PLAIN, "x");
	text = written(wide, (struct table_style){ 0 });
	assert_string_equal(text, "T     U\n\xe6\x97\xa5\xe6\x9c\xac  x\n");
	free(text);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
	(void)state;
	for (size_t width = 1; width < 40; width++) {
		char *text = written(sample(), (struct table_style){ .width = width }), *rest = text;
		for (char *line; (line = strsep(&rest, "\n")) != NULL;)
			if (terminal_text_width(line) > width)
				fail_msg("%zu columns: '%s'", width, line);
		free(text);
	}
	char *text = written(sample(), (struct table_style){ .width = 16, .rows = 2 });
	assert_string_equal(text, "ID          N\na           1\nlonger-\xe2\x80\xa6  100\n");
	free(text);
}

static void colours_do_not_count_as_columns(void **state)
{
	(void)state;
	struct table *table = table_create("A|B");
	table_add(table, TABLE_GOOD, "up");
	table_add(table, TABLE_PLAIN, "x");
	char *text = written(table, (struct table_style){ .has_colour = true });
	assert_string_equal(text, "\033[2mA\033[0m   \033[2mB\033[0m\n\033[32mup\033[0m  x\n");
	free(text);
}

static void a_cell_never_acts_on_the_terminal(void **state)
{
	(void)state;
	struct table *table = table_create("|");
	table_add(table, TABLE_PLAIN, "\033]0;title\007\n");
	table_add(table, TABLE_PLAIN, "y");
	char *text = written(table, (struct table_style){ 0 });
	assert_string_equal(text, "\\x1b]0;title\\x07\\x0a  y\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned_by_what_is_seen),
		cmocka_unit_test(no_line_is_wider_than_the_terminal),
		cmocka_unit_test(colours_do_not_count_as_columns),
		cmocka_unit_test(a_cell_never_acts_on_the_terminal),
	};
	terminal_text_begin();
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
