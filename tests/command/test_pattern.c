#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "command/pattern.h"

static void patterns_are_told_from_ids(void **state)
{
	(void)state;
	assert_false(pattern_is("ams-1._"));
	assert_true(pattern_is("ams-*"));
	assert_true(pattern_is("ams-?"));
	assert_true(pattern_is("[ab]"));
}

static void a_pattern_matches_the_whole_id(void **state)
{
	(void)state;
	assert_true(pattern_matches("*", "ams-1"));
	assert_true(pattern_matches("ams-*", "ams-1.x"));
	assert_true(pattern_matches("[ab]?", "a1"));
	assert_false(pattern_matches("ams-*", "x-ams-1"));
	assert_false(pattern_matches("ams-?", "ams-12"));
	assert_false(pattern_matches("[", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(patterns_are_told_from_ids), cmocka_unit_test(a_pattern_matches_the_whole_id) };
	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
