#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/registry/allowance.h"

static unsigned take_all(struct allowance *allowance, uint64_t now_ms)
{
	unsigned taken = 0;
	while (taken < 1000 && allowance_take(allowance, 100, 5, now_ms))
		taken++;
	return taken;
}

static void a_burst_comes_back_at_the_rate(void **state)
{
	struct allowance allowance = { 0 };
	(void)state;
	assert_int_equal(take_all(&allowance, 1000), 5);
	assert_int_equal(take_all(&allowance, 1009), 0);
	assert_int_equal(take_all(&allowance, 1010), 1);
	assert_int_equal(take_all(&allowance, 1035), 2);
	assert_int_equal(take_all(&allowance, 1040), 1);
	assert_int_equal(take_all(&allowance, 900000), 5);
}

static void a_clock_that_starts_at_zero_has_the_whole_burst(void **state)
{
	struct allowance allowance = { 0 };
	(void)state;
	assert_int_equal(take_all(&allowance, 0), 5);
}

static void what_is_given_back_can_be_taken_again(void **state)
{
	struct allowance allowance = { 0 };
	(void)state;
	allowance_return(&allowance, 10);
	for (int i = 0; i < 5; i++)
		assert_true(allowance_take(&allowance, 10, 5, 1000));
	assert_false(allowance_take(&allowance, 10, 5, 1000));
	allowance_return(&allowance, 10);
	assert_true(allowance_take(&allowance, 10, 5, 1000));
	assert_false(allowance_take(&allowance, 10, 5, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_comes_back_at_the_rate),
		cmocka_unit_test(a_clock_that_starts_at_zero_has_the_whole_burst),
		cmocka_unit_test(what_is_given_back_can_be_taken_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
