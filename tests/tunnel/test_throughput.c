#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tunnel/throughput.h"

static void a_steady_flow_has_its_rate_from_the_first_second_on(void **state)
{
	struct throughput rate = { 0 };
	(void)state;
	for (uint64_t i = 1; i < 40; i++)
		assert_int_equal(throughput_pass(&rate, 1, i * 1000000), 8000000);
}

/* A page each three seconds: what was 0 or three times the truth by turns is near it all the time. */
static void bursts_are_smoothed(void **state)
{
	struct throughput rate = { 0 };
	uint64_t total = 0;
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		total += i % 3 == 0 ? 3000000 : 0;
		uint64_t now = throughput_pass(&rate, 1, total);
		if (i >= 10)
			assert_in_range(now, 8000000, 14000000);
	}
}

static void silence_is_nothing_after_ten_seconds(void **state)
{
	struct throughput rate = { 0 };
	(void)state;
	throughput_pass(&rate, 1, 1000);
	for (unsigned i = 0; i < 9; i++)
		assert_int_not_equal(throughput_pass(&rate, 1, 1000), 0);
	assert_int_equal(throughput_pass(&rate, 1, 1000), 0);
	assert_int_equal(throughput_pass(&rate, 1000000, 2000), 8000); /* after a rest: of its own second */
	assert_int_equal(throughput_pass(&rate, 1000000, 2000), 0);
}

static void more_than_fits_is_cut(void **state)
{
	struct throughput rate = { 0 };
	(void)state;
	assert_int_equal(throughput_pass(&rate, 1, UINT64_MAX), 8ull * UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_flow_has_its_rate_from_the_first_second_on),
		cmocka_unit_test(bursts_are_smoothed),
		cmocka_unit_test(silence_is_nothing_after_ten_seconds),
		cmocka_unit_test(more_than_fits_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
