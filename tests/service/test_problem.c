/* Problems: a name, a status and a title for each code, and faults up to a limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/spec/problem.h"

static void each_code_has_a_name_a_status_and_a_title_of_its_own(void **state)
{
	(void)state;
	for (int code = PROBLEM_NONE + 1; code < PROBLEM_CODE_COUNT; code++) {
		assert_true(strlen(problem_code_name((enum problem_code)code)) > 0);
		assert_true(strlen(problem_code_title((enum problem_code)code)) > 0);
		assert_in_range(problem_code_status((enum problem_code)code), 400, 599);
		for (int other = PROBLEM_NONE + 1; other < code; other++)
			assert_string_not_equal(problem_code_name((enum problem_code)code), problem_code_name((enum problem_code)other));
	}
}

static void a_fault_makes_it_a_failed_validation_unless_it_is_something(void **state)
{
	struct problem problem;
	(void)state;
	problem_init(&problem);
	problem_add(&problem, "/a", "required", "%s", "Needed.");
	assert_int_equal(problem.code, PROBLEM_VALIDATION_FAILED);
	problem_clear(&problem);
	assert_int_equal(problem.code, PROBLEM_NONE);
	problem_set(&problem, PROBLEM_LISTENER_IN_USE, "Port %d is in use.", 5);
	problem_add(&problem, "/listen/0", "in_use", "Here.");
	assert_int_equal(problem.code, PROBLEM_LISTENER_IN_USE);
	assert_string_equal(problem.detail, "Port 5 is in use.");
	assert_string_equal(problem.faults[0].pointer, "/listen/0");
	problem_clear(&problem);
}

static void faults_past_the_limit_are_said_and_not_kept(void **state)
{
	struct problem problem;
	(void)state;
	problem_init(&problem);
	for (size_t i = 0; i < PROBLEM_FAULT_MAX; i++)
		problem_add(&problem, "/a", "required", "%zu", i);
	assert_null(strstr(problem.detail, "256"));
	problem_add(&problem, "/b", "required", "one too many");
	assert_int_equal(problem.fault_count, PROBLEM_FAULT_MAX);
	assert_non_null(strstr(problem.detail, "256"));
	assert_string_equal(problem.faults[PROBLEM_FAULT_MAX - 1].detail, "255");
	problem_clear(&problem);
	assert_int_equal(problem.fault_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_code_has_a_name_a_status_and_a_title_of_its_own),
		cmocka_unit_test(a_fault_makes_it_a_failed_validation_unless_it_is_something),
		cmocka_unit_test(faults_past_the_limit_are_said_and_not_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
