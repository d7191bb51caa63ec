/* Text that cannot be guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "service/spec/random_text.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

static void test_every_length(void **state)
{
	(void)state;
	char text[64], other[64];
	for (size_t bytes = 0; bytes <= RANDOM_TEXT_BYTES_MAX; bytes++) {
		random_text(text, sizeof(text), bytes);
		assert_int_equal(strlen(text), (bytes * 4 + 2) / 3);
		assert_int_equal(strspn(text, LETTERS), strlen(text));
		random_text(other, sizeof(other), bytes);
		if (bytes >= 16)
			assert_string_not_equal(text, other);
	}
}

/* 32,000 characters of 64: each is there some 500 times. */
static void test_all_letters_are_used(void **state)
{
	(void)state;
	char text[64];
	unsigned seen[256] = { 0 };
	for (int i = 0; i < 1000; i++) {
		random_text(text, sizeof(text), 24);
		for (const char *c = text; *c != '\0'; c++)
			seen[(unsigned char)*c]++;
	}
	for (const char *c = LETTERS; *c != '\0'; c++)
		assert_in_range(seen[(unsigned char)*c], 250, 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_all_letters_are_used),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
