/* The longest key of a label at a place in a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/pool/label_keys.h"

static size_t find(const struct label_keys *keys, const char *text)
{
	return label_keys_find(keys, text, strlen(text));
}

static void test_the_longest_key_before_a_dash_is_found(void **state)
{
	(void)state;
	static const char *const given[] = { "geo-country", "geo", "a", "geo-country-code", "z/1", "geo", "country", "ab" };
	struct label_keys keys = { 0 };
	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		assert_true(label_keys_hold(&keys, given[i]));
	assert_int_equal(keys.count, 7);
	assert_int_equal(find(&keys, "geo-us"), 3);
	assert_int_equal(find(&keys, "geo-country-us"), 11);
	assert_int_equal(find(&keys, "geo-country-code-us"), 16);
	assert_int_equal(find(&keys, "geo-country-cod-us"), 11);
	assert_int_equal(find(&keys, "geo-countryx-us"), 3);
	assert_int_equal(find(&keys, "geo-"), 3);
	assert_int_equal(find(&keys, "a-"), 1);
	assert_int_equal(find(&keys, "ab-"), 2);
	assert_int_equal(find(&keys, "z/1-x"), 3);
	label_keys_clear(&keys);
}

static void test_a_part_of_a_key_is_none(void **state)
{
	(void)state;
	static const char *const given[] = { "geo", "country" };
	static const char *const texts[] = { "", "-", "ge-x", "geo", "geox-y", "Geo-x", "x-geo-y", "\xff-\xff", "countr-y", "country" };
	struct label_keys keys = { 0 };
	assert_int_equal(find(&keys, "geo-x"), 0);
	assert_true(label_keys_hold(&keys, given[0]));
	assert_true(label_keys_hold(&keys, given[1]));
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(find(&keys, texts[i]), 0);
	assert_int_equal(label_keys_find(&keys, "geo-x", 3), 0);
	label_keys_clear(&keys);
}

static void test_a_key_stays_with_its_last_label(void **state)
{
	(void)state;
	struct label_keys keys = { 0 };
	assert_true(label_keys_hold(&keys, "b"));
	assert_true(label_keys_hold(&keys, "a"));
	assert_true(label_keys_hold(&keys, "b"));
	label_keys_release(&keys, "b");
	assert_int_equal(find(&keys, "b-"), 1);
	label_keys_release(&keys, "b");
	assert_int_equal(find(&keys, "b-"), 0);
	assert_int_equal(find(&keys, "a-"), 1);
	label_keys_release(&keys, "a");
	assert_int_equal(keys.count, 0);
	label_keys_clear(&keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_longest_key_before_a_dash_is_found),
		cmocka_unit_test(test_a_part_of_a_key_is_none),
		cmocka_unit_test(test_a_key_stays_with_its_last_label),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
