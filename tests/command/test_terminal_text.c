#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "command/terminal_text.h"

static void what_acts_on_a_terminal_is_shown_as_its_code(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "plain text", "plain text" },
		{ "caf\xc3\xa9 \xe6\x97\xa5", "caf\xc3\xa9 \xe6\x97\xa5" },
		{ "\033[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f" },
		{ "\xc2\x9b", "\\u009b" }, /* CSI of C1 */
		{ "a\xe2\x80\xae"
		  "b",
		  "a\\u202eb" },               /* right-to-left override */
		{ "\xe2\x80\x8b", "\\u200b" }, /* no width */
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
		{ "\xf4\x8f\xbf\xbf", "\\U0010ffff" },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *clean = terminal_text_clean(cases[i][0]);
		assert_string_equal(clean, cases[i][1]);
		free(clean);
	}
}

static void no_byte_acts_on_a_terminal(void **state)
{
	(void)state;
	for (int first = 1; first < 256; first++)
		for (int second = 1; second < 256; second++) {
			char text[3] = { (char)first, (char)second, '\0' }, *clean = terminal_text_clean(text);
			for (const char *c = clean; *c != '\0'; c++)
				assert_false((unsigned char)*c < 0x20 || *c == 0x7f || ((unsigned char)*c == 0xc2 && (unsigned char)c[1] < 0xa0));
			free(clean);
		}
}

static void json_keeps_its_meaning(void **state)
{
	(void)state;
	static const char json[] = "{\n\t\"a\": \"\xc2\x9b\xe2\x80\xae\xf4\x8f\xbf\xbf caf\xc3\xa9\"}\n";
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);
	terminal_text_write_json(to, json, strlen(json));
	fclose(to);
	assert_string_equal(text, "{\n\t\"a\": \"\\u009b\\u202e\\udbff\\udfff caf\xc3\xa9\"}\n");
	json_t *before = json_loads(json, 0, NULL), *after = json_loads(text, 0, NULL);
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
	free(text);
}

static void widths_are_columns(void **state)
{
	(void)state;
	size_t used;
	assert_int_equal(terminal_text_width("abc"), 3);
	assert_int_equal(terminal_text_width("\xe6\x97\xa5\xe6\x9c\xac"), 4);
	assert_int_equal(terminal_text_width("e\xcc\x81"), 1); /* a combining accent */
	assert_int_equal(terminal_text_fit("\xe6\x97\xa5\xe6\x9c\xac", 3, &used), 3);
	assert_int_equal(used, 2);
	assert_int_equal(terminal_text_fit("abc", 0, &used), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_acts_on_a_terminal_is_shown_as_its_code),
		cmocka_unit_test(no_byte_acts_on_a_terminal),
		cmocka_unit_test(json_keeps_its_meaning),
		cmocka_unit_test(widths_are_columns),
	};
	terminal_text_begin();
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
