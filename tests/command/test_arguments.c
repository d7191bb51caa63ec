#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "command/arguments.h"

static const struct arguments_option own[] = { { "label", "K=V", "" }, { "all", NULL, "" }, { 0 } };
static const struct arguments_option common[] = { { "json", NULL, "" }, { "socket", "PATH", "" }, { "help", NULL, "" }, { 0 } };
static const struct arguments_option *const tables[2] = { own, common };
static char failure[ARGUMENTS_FAILURE_MAX];

static void options_and_words_mix(void **state)
{
	(void)state;
	const char *argv[] = { "warren", "ls", "--label", "a=b", "x", "--label=c=d=e", "--json", "-", "--", "--all", NULL };
	struct arguments arguments = { 0 };
	size_t cursor = 0;
	assert_true(arguments_read(&arguments, tables, argv, 2, failure));
	assert_int_equal(arguments.word_count, 3);
	assert_string_equal(arguments.words[0], "x");
	assert_string_equal(arguments.words[1], "-");
	assert_string_equal(arguments.words[2], "--all");
	assert_true(arguments_has(&arguments, "json"));
	assert_false(arguments_has(&arguments, "all"));
	assert_string_equal(arguments_next(&arguments, "label", &cursor), "a=b");
	assert_string_equal(arguments_next(&arguments, "label", &cursor), "c=d=e");
	assert_null(arguments_next(&arguments, "label", &cursor));
	assert_string_equal(arguments_value(&arguments, "label"), "c=d=e");
	assert_null(arguments_value(&arguments, "socket"));
	arguments_clear(&arguments);
}

static void what_is_wrong_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *word, *says;
	} cases[] = { { "--nonsense", "no option '--nonsense'" },
		      { "--nonsense=3", "no option '--nonsense'" },
		      { "--json=yes", "takes no value" },
		      { "--label", "needs a value: --label K=V" },
		      { "-x", "no option '-x'" },
		      { "--lab=a", "no option '--lab'" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = { "warren", cases[i].word, NULL };
		struct arguments arguments = { 0 };
		assert_false(arguments_read(&arguments, tables, argv, 1, failure));
		if (strstr(failure, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].word, failure);
		arguments_clear(&arguments);
	}
}

static void numbers_are_whole_and_not_negative(void **state)
{
	(void)state;
	static const struct {
		const char *given;
		long long number;
	} cases[] = { { "--label=0", 0 },   { "--label=123456789012345678", 123456789012345678 },
		      { "--label=", -1 },   { "--label=1234567890123456789", -1 },
		      { "--label=-1", -1 }, { "--label= 1", -1 },
		      { "--label=1s", -1 }, { "--json", -1 } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = { "warren", cases[i].given, NULL };
		struct arguments arguments = { 0 };
		assert_true(arguments_read(&arguments, tables, argv, 1, failure));
		assert_int_equal(arguments_number(&arguments, "label"), cases[i].number);
		arguments_clear(&arguments);
	}
}

static void the_short_form_of_help_is_known(void **state)
{
	(void)state;
	const char *argv[] = { "warren", "-h", NULL };
	struct arguments arguments = { 0 };
	assert_true(arguments_read(&arguments, tables, argv, 1, failure));
	assert_true(arguments_has(&arguments, "help"));
	arguments_clear(&arguments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_words_mix),
		cmocka_unit_test(what_is_wrong_is_told),
		cmocka_unit_test(numbers_are_whole_and_not_negative),
		cmocka_unit_test(the_short_form_of_help_is_known),
	};
	return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
