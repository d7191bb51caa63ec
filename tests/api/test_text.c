/* The text writer: escaped strings are always valid JSON, and numbers and times have the correct format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "api/text.h"

static void expect(struct text *text, const char *wanted)
{
	assert_false(text->failed);
	text_put_char(text, '\0');
	assert_string_equal(text->bytes, wanted);
	text_clear(text);
}

static void strings_are_escaped(void **state)
{
	(void)state;
	struct text text;
	text_init(&text);
	text_put_json(&text, "plain \"quoted\" back\\slash\n\r\t\x01 \x7f");
	expect(&text, "\"plain \\\"quoted\\\" back\\\\slash\\n\\r\\t\\u0001 \\u007f\"");
	text_put_json(&text, NULL);
	expect(&text, "null");
	text_put_json(&text, "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x87");
	expect(&text, "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x87\"");
}

static void bad_utf8_is_replaced(void **state)
{
	(void)state;
	static const char *const bad[] = { "\x80", "\xc3",    "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		                           "\xff", "\xe2\x82" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct text text;
		text_init(&text);
		text_put_char(&text, '[');
		text_put_json(&text, bad[i]);
		text_put_char(&text, ']');
		json_t *parsed = json_loadb(text.bytes, text.length, 0, NULL);
		assert_non_null(parsed);
		json_decref(parsed);
		text_clear(&text);
	}
}

/* Every pair of bytes, as a string, is read back by a JSON parser. */
static void any_bytes_make_valid_json(void **state)
{
	(void)state;
	for (unsigned pair = 0x0101; pair <= 0xffff; pair++) {
		char string[3] = { (char)(pair >> 8), (char)pair, '\0' };
		struct text text;
		text_init(&text);
		text_put_char(&text, '[');
		text_put_json(&text, string);
		text_put_char(&text, ']');
		json_t *parsed = json_loadb(text.bytes, text.length, 0, NULL);
		if (parsed == NULL)
			fail_msg("%02x %02x", pair >> 8, pair & 0xff);
		json_decref(parsed);
		text_clear(&text);
	}
}

static void numbers_are_exact(void **state)
{
	(void)state;
	struct text text;
	text_init(&text);
	text_put_u64(&text, UINT64_MAX);
	expect(&text, "18446744073709551615");
	static const struct {
		uint64_t value;
		const char *written;
	} milli[] = { { 0, "0" }, { 1, "0.001" }, { 10, "0.01" }, { 100, "0.1" }, { 12300, "12.3" }, { 1000, "1" }, { 1234567, "1234.567" } };
	for (size_t i = 0; i < sizeof(milli) / sizeof(milli[0]); i++) {
		text_put_milli(&text, milli[i].value);
		expect(&text, milli[i].written);
	}
}

static void times_are_rfc3339(void **state)
{
	(void)state;
	struct text text;
	text_init(&text);
	text_put_json_time(&text, 1700000000007);
	expect(&text, "\"2023-11-14T22:13:20.007Z\"");
	text_put_json_time(&text, 0);
	expect(&text, "null");
}

static void labels_are_escaped(void **state)
{
	(void)state;
	struct text text;
	text_init(&text);
	text_put_label(&text, "unix:/a\"b\\c\nd");
	expect(&text, "unix:/a\\\"b\\\\c\\nd");
}

static void it_grows(void **state)
{
	(void)state;
	struct text text;
	text_init(&text);
	for (unsigned i = 0; i < 100000; i++)
		text_printf(&text, "%05u,", i);
	assert_int_equal(text.length, 600000);
	assert_memory_equal(text.bytes + 599994, "99999,", 6);
	text_clear(&text);
	assert_null(text_reserve(&text, SIZE_MAX));
	assert_true(text.failed);
	text_put(&text, "ignored");
	assert_int_equal(text.length, 0);
	text_clear(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(bad_utf8_is_replaced),
		cmocka_unit_test(any_bytes_make_valid_json),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(times_are_rfc3339),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(it_grows),
	};
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
