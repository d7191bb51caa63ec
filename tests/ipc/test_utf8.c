#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "ipc/utf8.h"

/* RFC 3629, 3, for values of up to 32 bits, whether allowed or not. */
static size_t encode(uint32_t value, size_t length, char *out)
{
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0, 0xf8 };
	if (length == 1) {
		out[0] = (char)value;
		return 1;
	}
	for (size_t i = length - 1; i > 0; i--, value >>= 6)
		out[i] = (char)(0x80 | (value & 0x3f));
	out[0] = (char)(first[length] | value);
	return length;
}

static size_t shortest(uint32_t value)
{
	return value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : value < 0x200000 ? 4 : 5;
}

/* Each value in each length that can hold it: the shortest alone is right, and surrogates and what is over U+10FFFF have none. */
static void each_value_has_one_form(void **state)
{
	char text[8];
	(void)state;
	for (uint32_t value = 0; value < 0x220000; value++) {
		bool has_form = (value < 0xd800 || value > 0xdfff) && value <= 0x10ffff;
		for (size_t length = shortest(value); length <= 5; length++) {
			encode(value, length, text);
			size_t expected = has_form && length == shortest(value) ? length : 0;
			if (utf8_length(text, length) != expected)
				fail_msg("U+%04X in %zu bytes", value, length);
		}
	}
}

static void what_is_cut_or_broken_is_none(void **state)
{
	static const char *const texts[] = { "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x90\x87" };
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t length = strlen(texts[i]);
		assert_int_equal(utf8_length(texts[i], length + 1), length);
		for (size_t left = 1; left < length; left++)
			assert_int_equal(utf8_length(texts[i], left), 0);
		for (size_t at = 1; at < length; at++) {
			char broken[5];
			memcpy(broken, texts[i], length + 1);
			broken[at] = 'a';
			assert_int_equal(utf8_length(broken, length), 0);
			broken[at] = (char)0xc3;
			assert_int_equal(utf8_length(broken, length), 0);
		}
	}
	for (int byte = 0x80; byte < 0xc2; byte++)
		assert_int_equal(utf8_length((char[]){ (char)byte, (char)0x80, (char)0x80, (char)0x80 }, 4), 0);
	assert_int_equal(utf8_length("", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_value_has_one_form),
		cmocka_unit_test(what_is_cut_or_broken_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
