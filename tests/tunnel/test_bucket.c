/* Rate limits, on a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/bucket.h"
#include "tunnel/io/loop.h"

static void test_no_limit_lets_all_pass(void **state)
{
	(void)state;
	struct bucket bucket = { 0 };
	uint64_t again = 0;
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, 5 * LOOP_SECOND, &again), SIZE_MAX);
	bucket_spend(&bucket, 1 << 30);
	assert_int_equal(bucket_allowance(&bucket, 7, 5 * LOOP_SECOND, &again), 7);
	assert_int_equal(again, 0);
}

/* Whoever asks when told to, and takes all that it may, has the rate to the byte, whatever the rate. */
static void test_the_rate_is_exact(void **state)
{
	(void)state;
	static const uint64_t rates[] = { 8, 800, 1000, 64000, 999999, 10000000, 1000000000, 400000000000, 1000000000000 };
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct bucket bucket = { 0 };
		uint64_t start = 3 * LOOP_SECOND, now = start, passed = 0, again = 0;
		/* Long enough that every rate passes some sixteenths of its bucket. */
		uint64_t end = start + (rates[i] < 64000 ? 100000 * LOOP_SECOND : 5 * LOOP_SECOND);
		bucket_set_limit(&bucket, rates[i], now);
		while (now < end) {
			size_t allowed = bucket_allowance(&bucket, SIZE_MAX, now, &again);
			bucket_spend(&bucket, allowed);
			passed += allowed;
			assert_true(allowed > 0 || again > now);
			now = allowed > 0 ? now + LOOP_MILLISECOND : again;
		}
		/* The last sixteenth and the last millisecond may not have been fetched yet. */
		uint64_t depth = rates[i] / 80 < 65536 ? 65536 : rates[i] / 80, left = depth / 16 + rates[i] / 8000 + 1;
		uint64_t due = (uint64_t)((double)(now - start) / 8e9 * (double)rates[i]);
		assert_in_range(passed, due > left ? due - left : 0, due + 1);
	}
}

static void test_small_pieces_wait_for_a_sixteenth(void **state)
{
	(void)state;
	struct bucket bucket = { 0 };
	uint64_t again = 0;
	bucket_set_limit(&bucket, 8000, 0);
	assert_int_equal(bucket_allowance(&bucket, 10, 4095 * LOOP_MILLISECOND, &again), 0);
	assert_int_equal(again, 4097 * LOOP_MILLISECOND);
	assert_int_equal(bucket_allowance(&bucket, 10, again, &again), 10);
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, 4097 * LOOP_MILLISECOND, &again), 4097);
}

/* A tunnel that was idle for a year has no more than a bucket's worth at once. */
static void test_what_is_saved_is_bounded(void **state)
{
	(void)state;
	static const struct {
		uint64_t rate, depth;
	} cases[] = { { 8, 65536 }, { 5242880, 65536 }, { 80000000, 1000000 }, { 1000000000000, 12500000000 } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bucket bucket = { 0 };
		uint64_t again = 0, year = 365 * 86400 * LOOP_SECOND;
		bucket_set_limit(&bucket, cases[i].rate, 0);
		assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, year, &again), cases[i].depth);
		bucket_spend(&bucket, SIZE_MAX); /* more than there is leaves nothing */
		assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, year, &again), 0);
	}
}

static void test_another_limit_begins_empty(void **state)
{
	(void)state;
	struct bucket bucket = { 0 };
	uint64_t again = 0;
	bucket_set_limit(&bucket, 80000000, 0);
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, LOOP_SECOND, &again), 1000000);
	bucket_set_limit(&bucket, 80000000, LOOP_SECOND);
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, LOOP_SECOND, &again), 1000000);
	bucket_set_limit(&bucket, 40000000, LOOP_SECOND);
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, LOOP_SECOND, &again), 0);
	bucket_set_limit(&bucket, 0, LOOP_SECOND);
	assert_int_equal(bucket_allowance(&bucket, SIZE_MAX, LOOP_SECOND, &again), SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit_lets_all_pass),
		cmocka_unit_test(test_the_rate_is_exact),
		cmocka_unit_test(test_small_pieces_wait_for_a_sixteenth),
		cmocka_unit_test(test_what_is_saved_is_bounded),
		cmocka_unit_test(test_another_limit_begins_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
