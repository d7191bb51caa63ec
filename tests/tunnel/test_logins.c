#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tunnel/io/loop.h"
#include "tunnel/logins.h"

#define START (1000 * LOOP_SECOND)

static void test_X8_refusals_are_told_later_each_time(void **state)
{
	(void)state;
	struct logins *logins = NULL;
	uint64_t now = START;
	assert_int_equal(logins_wait(NULL, 1, now), 0);
	logins_forget(NULL, 1);
	for (unsigned i = 0; i < 7; i++) {
		uint64_t at = logins_refuse(&logins, 1, now);
		assert_int_equal(at, now + (100 * LOOP_MILLISECOND << (i < 4 ? i : 4)));
		assert_int_equal(logins_wait(logins, 1, now), 0);
		now = at;
	}
	uint64_t at = logins_refuse(&logins, 1, now);
	assert_int_equal(logins_wait(logins, 1, now), at); /* the eighth in a row */
	assert_int_equal(logins_wait(logins, 1, at), 0);
	assert_int_equal(logins_wait(logins, 2, now), 0);
	assert_int_equal(logins_refuse(&logins, 2, now), now + 100 * LOOP_MILLISECOND);
	logins_forget(logins, 1);
	assert_int_equal(logins_wait(logins, 1, now), 0);
	assert_int_equal(logins_refuse(&logins, 1, now), now + 100 * LOOP_MILLISECOND);
	free(logins);
}

static void test_a_minute_of_peace_forgets(void **state)
{
	(void)state;
	struct logins *logins = NULL;
	for (unsigned i = 0; i < 10; i++)
		logins_refuse(&logins, 1, START);
	assert_int_equal(logins_refuse(&logins, 1, START + 60 * LOOP_SECOND - 1), START + 60 * LOOP_SECOND - 1 + 1600 * LOOP_MILLISECOND);
	assert_int_equal(logins_refuse(&logins, 1, START + 120 * LOOP_SECOND), START + 120 * LOOP_SECOND + 100 * LOOP_MILLISECOND);
	free(logins);
}

static void test_the_table_is_bounded_and_the_oldest_goes(void **state)
{
	(void)state;
	struct logins *logins = NULL;
	for (uint64_t source = 0; source < 1024; source++)
		logins_refuse(&logins, source, START + source);
	logins_refuse(&logins, 0, START + 1024); /* it is the youngest now */
	logins_refuse(&logins, 5000, START + 1025);
	assert_int_equal(logins_refuse(&logins, 0, START + 1026), START + 1026 + 400 * LOOP_MILLISECOND);
	assert_int_equal(logins_refuse(&logins, 2, START + 1027), START + 1027 + 200 * LOOP_MILLISECOND);
	assert_int_equal(logins_refuse(&logins, 1, START + 1028), START + 1028 + 100 * LOOP_MILLISECOND); /* gone */
	free(logins);
}

/* X8: who guesses from many addresses gains no guess at any. */
static void test_many_sources_do_not_wash_each_other_out(void **state)
{
	(void)state;
	struct logins *logins = NULL;
	for (unsigned i = 0; i < 8; i++)
		for (uint64_t source = 0; source < 1000; source++)
			logins_refuse(&logins, source, START + i);
	for (uint64_t source = 0; source < 1000; source += 2)
		logins_forget(logins, source);
	for (uint64_t source = 0; source < 1000; source++)
		assert_int_equal(logins_wait(logins, source, START + 8), source % 2 == 0 ? 0 : START + 7 + 1600 * LOOP_MILLISECOND);
	free(logins);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_X8_refusals_are_told_later_each_time),
		cmocka_unit_test(test_a_minute_of_peace_forgets),
		cmocka_unit_test(test_the_table_is_bounded_and_the_oldest_goes),
		cmocka_unit_test(test_many_sources_do_not_wash_each_other_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
