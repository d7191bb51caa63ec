#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "command/member.h"

static void paths_lead_to_members_or_to_nothing(void **state)
{
	(void)state;
	json_t *json =
	    json_loads("{\"a\":{\"b\":\"text\",\"n\":3,\"t\":true},\"l\":[\"x\",1,\"y\"],\"k\":{\"p\":\"q\",\"r\":2,\"s\":\"\"}}", 0, NULL);
	assert_string_equal(member_text(json, "a.b"), "text");
	assert_string_equal(member_text(json, "a.n"), "");
	assert_string_equal(member_text(json, "a.b.c"), "");
	assert_string_equal(member_text(NULL, "a"), "");
	assert_true(member_number(json, "a.n", -1) == 3);
	assert_true(member_number(json, "a.b", -1) == -1);
	assert_true(member_is_true(json, "a.t"));
	assert_false(member_is_true(json, "a.n"));
	assert_null(member_at(json, "0123456789012345678901234567890123456789012345678901234567890123456789"));
	char *list = member_join(json, "l"), *pairs = member_join_pairs(json, "k"), *none = member_join(json, "a.b");
	assert_string_equal(list, "x, y");
	assert_string_equal(pairs, "p=q, s=");
	assert_string_equal(none, "");
	free(list);
	free(pairs);
	free(none);
	json_decref(json);
}

static void numbers_are_written_as_they_came(void **state)
{
	(void)state;
	json_t *json = json_loads("[0.061,2.351,12,1e300,{\"a\":0.1},null,\"a \\\"b\\\"\"]", 0, NULL);
	static const char *const lines[] = { "0.061", "2.351", "12", "1e300", "{\"a\":0.1}", "null", "a \"b\"" };
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *line = member_line(json_array_get(json, i));
		assert_string_equal(line, lines[i]);
		free(line);
	}
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(paths_lead_to_members_or_to_nothing),
		                            cmocka_unit_test(numbers_are_written_as_they_came) };
	return cmocka_run_group_tests_name("member", tests, NULL, NULL);
}
