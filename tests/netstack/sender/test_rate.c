/* Delivery rate samples, worked out from the draft's definition: what arrived since the segment was sent, over the longer of the
 * time in which that was sent and the time in which it was acknowledged. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/sender/rate.h"

#define MS 1000000ull
#define SIZE 1000
#define SEGMENTS 20

static struct rate rate;
static struct rate_sample sample;
static struct sent segments[SEGMENTS];
static uint32_t order;
static uint64_t in_flight;

static int start(void **state)
{
	(void)state;
	rate = (struct rate){ 0 };
	sample = (struct rate_sample){ 0 };
	order = 0;
	in_flight = 0;
	for (size_t i = 0; i < SEGMENTS; i++)
		segments[i] = (struct sent){ .length = SIZE };
	return 0;
}

static void transmit(size_t index, uint64_t now)
{
	segments[index].order = ++order;
	rate_sent(&rate, &segments[index], in_flight, now);
	in_flight += SIZE;
}

static void arrive(size_t index, uint64_t now)
{
	rate_open(&sample, in_flight);
	rate_delivered(&rate, &sample, &segments[index], now);
	in_flight -= SIZE;
}

static void close_sample(uint64_t now)
{
	rate_close(&rate, &sample, UINT64_MAX, now);
}

/* Two segments sent at 0 and heard of at 100 ms: 2,000 bytes in 100 ms. */
static void a_flight_gives_its_bytes_over_a_round_trip(void **state)
{
	(void)state;
	transmit(0, 50 * MS);
	transmit(1, 50 * MS);
	arrive(0, 150 * MS);
	arrive(1, 150 * MS);
	close_sample(150 * MS);
	assert_int_equal(sample.bandwidth, 20000);
	assert_int_equal(sample.delivered, 2000);
	assert_int_equal(sample.acknowledged, 2000);
	assert_int_equal(sample.prior_in_flight, 2000);
	assert_int_equal(sample.in_flight_at_send, 2000);
	assert_int_equal(sample.round_trip, 100 * MS);
	assert_false(sample.is_limited || sample.was_sent_again);
}

/* A steady flow of a segment each 10 ms: acknowledgements that come in one lump do not make it look faster. */
static void compressed_acknowledgements_do_not_feign_a_faster_path(void **state)
{
	(void)state;
	for (size_t i = 0; i <= 10; i++)
		transmit(i, i * 10 * MS);
	arrive(0, 105 * MS);
	close_sample(105 * MS);
	for (size_t i = 11; i < 20; i++)
		transmit(i, i * 10 * MS);
	/* 19 was sent at 190 ms, when segment 0, sent at 0, had been heard of last; 19 segments are heard of 90 ms after that. */
	for (size_t i = 1; i < 20; i++)
		arrive(i, 195 * MS);
	close_sample(195 * MS);
	assert_int_equal(sample.send_elapsed, 190 * MS);
	assert_int_equal(sample.delivered, 19000);
	assert_int_equal(sample.bandwidth, 100000);
}

/* The flow was sent in a burst and came at the path's pace. */
static void a_burst_is_measured_by_its_acknowledgements(void **state)
{
	(void)state;
	for (size_t i = 0; i < 10; i++)
		transmit(i, 0);
	for (size_t i = 0; i < 10; i++) {
		arrive(i, (100 + 10 * i) * MS);
		close_sample((100 + 10 * i) * MS);
	}
	assert_int_equal(sample.send_elapsed, 0);
	assert_float_equal(sample.bandwidth, 10000 / 0.190, 1);
	assert_int_equal(sample.round_trip, 190 * MS);
}

/* Both times count from what was heard of last when the segment left: that one's sending, and its acknowledgement. */
static void the_times_count_from_what_was_heard_of_last(void **state)
{
	(void)state;
	transmit(0, 0);
	transmit(1, 40 * MS);
	transmit(2, 50 * MS);
	arrive(0, 100 * MS);
	arrive(1, 140 * MS);
	close_sample(140 * MS);
	transmit(3, 150 * MS);
	arrive(2, 340 * MS);
	arrive(3, 340 * MS);
	close_sample(340 * MS);
	assert_int_equal(sample.send_elapsed, 110 * MS);
	assert_int_equal(sample.bandwidth, 10000); /* 2,000 bytes in the 200 ms since the acknowledgement of 1 */
}

/* The numbers of the order wrap. */
static void a_sample_begins_at_any_number_of_the_order(void **state)
{
	(void)state;
	order = UINT32_MAX / 2 + 1;
	transmit(0, 0);
	arrive(0, 100 * MS);
	close_sample(100 * MS);
	assert_true(sample.has_delivery);
}

/* A pause before a flight is not part of it: the clocks start anew when nothing is in flight. */
static void a_pause_does_not_count(void **state)
{
	(void)state;
	transmit(0, 0);
	arrive(0, 100 * MS);
	close_sample(100 * MS);
	transmit(1, 5000 * MS);
	transmit(2, 5000 * MS);
	arrive(1, 5100 * MS);
	arrive(2, 5100 * MS);
	close_sample(5100 * MS);
	assert_int_equal(sample.bandwidth, 20000);
	assert_int_equal(sample.delivered, 2000);
}

static void the_segment_sent_last_makes_the_sample(void **state)
{
	(void)state;
	transmit(0, 0);
	transmit(1, 10 * MS);
	transmit(0, 20 * MS); /* again: the newest now */
	segments[0].flags |= SENT_AGAIN;
	arrive(0, 100 * MS);
	arrive(1, 100 * MS);
	close_sample(100 * MS);
	assert_true(sample.was_sent_again);
	assert_int_equal(sample.send_elapsed, 20 * MS);
	assert_int_equal(sample.round_trip, 0); /* Karn: which sending arrived is unknown */

	transmit(2, 200 * MS);
	transmit(3, 210 * MS);
	arrive(3, 300 * MS);
	arrive(2, 300 * MS);
	close_sample(300 * MS);
	assert_int_equal(sample.round_trip, 90 * MS);
	assert_false(sample.was_sent_again);
}

/* Acknowledged sooner than any round trip so far: of an earlier sending, so it tells no rate. */
static void less_than_a_round_trip_gives_no_rate(void **state)
{
	const struct {
		uint64_t minimum;
		bool has_rate;
	} cases[] = { { 100 * MS, true }, { 100 * MS + 1, false }, { UINT64_MAX, true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		transmit(0, 0);
		arrive(0, 100 * MS);
		rate_close(&rate, &sample, cases[i].minimum, 100 * MS);
		assert_int_equal(sample.bandwidth > 0, cases[i].has_rate);
	}
}

static void no_time_gives_no_rate(void **state)
{
	(void)state;
	transmit(0, 5 * MS);
	arrive(0, 5 * MS);
	close_sample(5 * MS);
	assert_true(sample.bandwidth <= 0);
}

/* Segments sent while the application had no more are marked, until all that flew then has arrived. */
static void a_limited_sender_is_marked_until_it_is_past(void **state)
{
	(void)state;
	transmit(0, 0);
	rate.limited_until = rate.delivered + in_flight;
	transmit(1, 10 * MS);
	arrive(0, 100 * MS);
	close_sample(100 * MS);
	assert_false(sample.is_limited);
	assert_int_equal(rate.limited_until, 1000); /* delivered is not above it yet */
	transmit(2, 100 * MS);
	arrive(1, 110 * MS);
	close_sample(110 * MS);
	assert_true(sample.is_limited);
	assert_int_equal(rate.limited_until, 0);
	transmit(2, 120 * MS); /* sent again, it is of the new time */
	arrive(2, 220 * MS);
	close_sample(220 * MS);
	assert_false(sample.is_limited);
}

static void losses_count_from_the_sending_on(void **state)
{
	(void)state;
	rate.lost = 5000;
	transmit(0, 0);
	rate.lost += 700;
	arrive(0, 100 * MS);
	close_sample(100 * MS);
	assert_int_equal(sample.lost, 700);
}

/* Losses that a timer found between two acknowledgements belong to the sample that was open. */
static void an_open_sample_stays_until_it_is_closed(void **state)
{
	(void)state;
	transmit(0, 0);
	rate_open(&sample, 1000);
	sample.newly_lost = 300;
	rate_open(&sample, 0);
	assert_int_equal(sample.newly_lost, 300);
	assert_int_equal(sample.prior_in_flight, 1000);
	close_sample(50 * MS);
	assert_false(sample.is_open || sample.has_delivery);
	assert_true(sample.bandwidth <= 0);
	rate_open(&sample, 2000);
	assert_int_equal(sample.newly_lost, 0);
	assert_int_equal(sample.prior_in_flight, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_flight_gives_its_bytes_over_a_round_trip, start),
		cmocka_unit_test_setup(compressed_acknowledgements_do_not_feign_a_faster_path, start),
		cmocka_unit_test_setup(a_burst_is_measured_by_its_acknowledgements, start),
		cmocka_unit_test_setup(the_times_count_from_what_was_heard_of_last, start),
		cmocka_unit_test_setup(a_sample_begins_at_any_number_of_the_order, start),
		cmocka_unit_test_setup(a_pause_does_not_count, start),
		cmocka_unit_test_setup(the_segment_sent_last_makes_the_sample, start),
		cmocka_unit_test_setup(less_than_a_round_trip_gives_no_rate, start),
		cmocka_unit_test_setup(no_time_gives_no_rate, start),
		cmocka_unit_test_setup(a_limited_sender_is_marked_until_it_is_past, start),
		cmocka_unit_test_setup(losses_count_from_the_sending_on, start),
		cmocka_unit_test_setup(an_open_sample_stays_until_it_is_closed, start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
