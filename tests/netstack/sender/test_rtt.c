/* The round trip's mean and the retransmission timeout, by the arithmetic of RFC 6298. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/sender/rtt.h"

#define MS 1000000ull

/* Sections 2.2 and 2.3 with alpha 1/8, beta 1/4 and K 4, and a margin of 200 ms at least. */
static void samples_make_the_mean_that_the_rfc_asks_for(void **state)
{
	const struct {
		uint64_t sample, smoothed, variation, timeout;
	} cases[] = {
		{ 100000000, 100000000, 50000000, 300000000 }, /* R, R/2, R + 4 R/2 */
		{ 200000000, 112500000, 62500000, 362500000 }, /* the variation comes first, from the old mean */
		{ 50000000, 104687500, 62500000, 354687500 },  /* a sample below the mean counts the same */
		{ 104687500, 104687500, 46875000, 304687500 }, /* (4 times 46.875 is less than the least margin) */
	};
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rtt_sample(&rtt, cases[i].sample);
		assert_int_equal(rtt.smoothed, cases[i].smoothed);
		assert_int_equal(rtt.variation, cases[i].variation);
		assert_int_equal(rtt_timeout(&rtt), cases[i].timeout);
	}
}

/* Section 2.1. */
static void a_second_is_waited_before_the_first_sample(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	assert_int_equal(rtt.minimum, RTT_UNKNOWN);
	assert_int_equal(rtt_timeout(&rtt), 1000 * MS);
}

static void the_minimum_is_the_least_sample(void **state)
{
	const uint64_t samples[][2] = { { 90, 90 }, { 40, 40 }, { 70, 40 }, { 39, 39 }, { 1000, 39 } };
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		rtt_sample(&rtt, samples[i][0]);
		assert_int_equal(rtt.minimum, samples[i][1]);
	}
}

/* Section 5.5: doubled with each timeout, up to 2 s, or a round trip and the least margin where that is more. */
static void the_timeout_doubles_up_to_its_bound(void **state)
{
	const struct {
		uint64_t sample; /* 0: none */
		unsigned backoff;
		uint64_t timeout;
	} cases[] = {
		{ 10 * MS, 0, 210 * MS },    { 10 * MS, 1, 420 * MS },    { 10 * MS, 2, 840 * MS },
		{ 10 * MS, 3, 1680 * MS },   { 10 * MS, 4, 2000 * MS },   { 10 * MS, 1000, 2000 * MS },
		{ 0, 1, 2000 * MS },         { 0, 9, 2000 * MS },         { 1800 * MS, 0, 2000 * MS }, /* 1.8 s + 4 * 0.9 s */
		{ 1801 * MS, 0, 2001 * MS }, { 3000 * MS, 0, 3200 * MS }, { 3000 * MS, 7, 3200 * MS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct rtt rtt;
		rtt_init(&rtt);
		if (cases[i].sample > 0)
			rtt_sample(&rtt, cases[i].sample);
		rtt.backoff = cases[i].backoff;
		assert_int_equal(rtt_timeout(&rtt), cases[i].timeout);
	}
}

/* Zero is the mark of no sample, so samples must not lead the mean there. */
static void the_shortest_samples_are_still_samples(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt);
	for (int i = 0; i < 3; i++) {
		rtt_sample(&rtt, 0);
		assert_true(rtt.smoothed > 0);
		assert_in_range(rtt_timeout(&rtt), 200 * MS, 201 * MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_make_the_mean_that_the_rfc_asks_for),
		cmocka_unit_test(a_second_is_waited_before_the_first_sample),
		cmocka_unit_test(the_minimum_is_the_least_sample),
		cmocka_unit_test(the_timeout_doubles_up_to_its_bound),
		cmocka_unit_test(the_shortest_samples_are_still_samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
