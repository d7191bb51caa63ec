#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ipc/object_id.h"

static void a_name_becomes_an_id(void **state)
{
	static const char *const cases[][2] = {
		{ "ams-1", "ams-1" },  { "a.b_c-d", "a.b_c-d" }, { "wg-NL-FREE-3", "wg-nl-free-3" }, { "NL Free#3", "nl-free-3" },
		{ "a -- b", "a---b" }, { "--1", "1" },           { "Z\xc3\xbcrich 2", "z-rich-2" },  { "mullvad (Madrid)", "mullvad-madrid-" },
		{ "a\xff\xfe", "a-" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char id[OBJECT_ID_SIZE];
		assert_true(object_id_from_name(id, cases[i][0], strlen(cases[i][0])));
		assert_string_equal(id, cases[i][1]);
	}
}

static void a_long_name_is_cut(void **state)
{
	char id[OBJECT_ID_SIZE], name[200];
	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(object_id_from_name(id, name, sizeof(name)));
	assert_int_equal(strlen(id), 63);
}

static void a_name_without_letter_or_digit_gives_none(void **state)
{
	char id[OBJECT_ID_SIZE] = "old";
	(void)state;
	assert_false(object_id_from_name(id, "\xc3\xa9 -", 4));
	assert_string_equal(id, "");
	assert_false(object_id_from_name(id, "", 0));
}

static void an_id_begins_with_a_letter_or_digit_and_has_63_characters_at_most(void **state)
{
	static const char *const good[] = { "a", "0", "a.b_c-d", "ams-1" }, *const bad[] = { "", ".a", "_a", "-a", "A", "a b", "a/b", "\xc3\xa9" };
	char longest[OBJECT_ID_SIZE + 1];
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(object_id_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(object_id_is_valid(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[OBJECT_ID_SIZE] = '\0';
	assert_false(object_id_is_valid(longest));
	longest[OBJECT_ID_SIZE - 1] = '\0';
	assert_true(object_id_is_valid(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_becomes_an_id),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(a_name_without_letter_or_digit_gives_none),
		cmocka_unit_test(an_id_begins_with_a_letter_or_digit_and_has_63_characters_at_most),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
