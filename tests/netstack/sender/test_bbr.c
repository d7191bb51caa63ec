/* Congestion control: the states, gains and bounds of BBR version 3 (draft-ietf-ccwg-bbr), on a path of 1 MB/s and 100 ms, so that
 * 100,000 bytes fill it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "netstack/sender/bbr.h"

#define MS 1000000ull
#define SIZE 1000
#define RATE 1e6
#define ROUND_TRIP (100 * MS)
#define HELD 100000
#define CRUISED (11 * HELD / 10)
#define TRAINS (3 * 2 * SIZE) /* what is allowed on top: three trains of two segments */

static struct bbr bbr;
static struct bbr_context context;
static struct rate_sample sample;
static uint64_t round_trip;

static int start(void **state)
{
	(void)state;
	round_trip = ROUND_TRIP;
	context = (struct bbr_context){ .now = 1000 * MS };
	sample = (struct rate_sample){ .round_trip = ROUND_TRIP, .has_delivery = true };
	bbr_init(&bbr, SIZE, ROUND_TRIP, context.now);
	return 0;
}

/* A round trip in which so much arrived at such a rate, and so much is in flight after it. */
static void pass_round(double bandwidth, uint64_t acknowledged, uint64_t in_flight)
{
	sample.prior_delivered = context.delivered;
	sample.acknowledged = sample.delivered = acknowledged;
	sample.bandwidth = bandwidth;
	context.delivered += acknowledged;
	context.in_flight = in_flight;
	context.now += round_trip;
	bbr_update(&bbr, &sample, &context);
}

/* More of the round that goes on: what arrives was sent before it began. */
static void pass_part(double bandwidth, uint64_t acknowledged, uint64_t in_flight)
{
	sample.prior_delivered = 0;
	sample.acknowledged = acknowledged;
	sample.bandwidth = bandwidth;
	context.delivered += acknowledged;
	context.in_flight = in_flight;
	context.now += MS;
	bbr_update(&bbr, &sample, &context);
	assert_false(bbr.round_start);
}

static void fill(uint64_t in_flight)
{
	for (int i = 0; i < 3; i++)
		pass_round(RATE, HELD, 2 * HELD);
	assert_false(bbr.filled);
	pass_round(RATE, HELD, in_flight);
	assert_true(bbr.filled);
}

static void cruise(void)
{
	fill(HELD);
	assert_int_equal(bbr.state, BBR_CRUISE);
}

static void keep_cruising(void)
{
	bbr.state = BBR_CRUISE;
	bbr.phase_at = context.now;
	bbr.rounds_since_probe = 0;
}

/* Up to the time at which it probes again. */
static void refill(void)
{
	cruise();
	while (bbr.state == BBR_CRUISE)
		pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_REFILL);
}

static void probe_up(void)
{
	refill();
	pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_UP);
}

/* --- the startup --- */

/* 5.6.4.1: ten segments (RFC 6928), paced over the round trip, or over a millisecond where none is known. */
static void it_begins_with_ten_segments(void **state)
{
	(void)state;
	assert_int_equal(bbr.window, 10 * SIZE);
	assert_int_equal(bbr.state, BBR_STARTUP);
	assert_float_equal(bbr.pacing_rate, 2.77 * 10 * SIZE / 0.1, 1);
	bbr_init(&bbr, SIZE, 0, 0);
	assert_float_equal(bbr.pacing_rate, 2.77 * 10 * SIZE / 0.001, 1);
	assert_int_equal(bbr_inflight(&bbr, 1) - TRAINS / 6000 * 3 * 27700, 10 * SIZE); /* nothing known: a first window */
}

/* A SYN that was sent twice gives no sample: the first window leaves at once, and what follows at the pace of what is known then. */
static void a_late_first_sample_slows_the_start(void **state)
{
	(void)state;
	bbr_init(&bbr, SIZE, 0, 0);
	assert_true(bbr.pacing_rate > 10e6);
	sample.has_delivery = false;
	sample.acknowledged = SIZE;
	bbr_update(&bbr, &sample, &context);
	assert_float_equal(bbr.pacing_rate, 2.77 * 10 * SIZE / 0.1, 1);
}

/* 5.3.1: each byte that arrives makes room for two. */
static void the_startup_doubles_each_round(void **state)
{
	uint64_t window = 10 * SIZE;

	(void)state;
	for (double bandwidth = 1e5; bandwidth < 1e6; bandwidth *= 2, window *= 2) {
		assert_int_equal(bbr.window, window);
		pass_round(bandwidth, window, window);
		assert_int_equal(bbr.state, BBR_STARTUP);
	}
	assert_false(bbr.filled);
}

/* 5.6.4.2: twice what the path holds is enough, and the first window may leave in any case. */
static void the_startup_grows_to_twice_what_the_path_holds(void **state)
{
	(void)state;
	pass_round(1e5, 10000, 10000);
	pass_round(1e5, 20000, 20000);
	assert_int_equal(bbr.window, 40000); /* more than twice 10,000 and the trains */
	pass_round(1e5, 40000, 40000);
	assert_int_equal(bbr.window, 40000);
	assert_float_equal(bbr.window_gain, 2, 0.001);
	start(state);
	pass_round(1e4, 1000, 1000);
	assert_int_equal(bbr.window, 11 * SIZE);
}

/* 5.3.1.2: three rounds in which the bandwidth grew by less than a quarter. */
static void three_rounds_without_growth_fill_the_pipe(void **state)
{
	(void)state;
	pass_round(RATE, HELD, 2 * HELD);
	pass_round(1.24 * RATE, HELD, 2 * HELD);
	pass_round(1.24 * RATE, HELD, 2 * HELD);
	pass_round(1.25 * RATE, HELD, 2 * HELD); /* just enough: the count begins anew */
	pass_round(1.25 * RATE, HELD, 2 * HELD);
	pass_round(1.25 * RATE, HELD, 2 * HELD);
	assert_false(bbr.filled);
	pass_round(1.25 * RATE, HELD, 2 * HELD);
	assert_true(bbr.filled);
	assert_int_equal(bbr.state, BBR_DRAIN);
	assert_float_equal(bbr.pacing_gain, 0.35, 0.001);
}

static void rounds_of_a_limited_application_do_not_count(void **state)
{
	(void)state;
	sample.is_limited = true;
	for (int i = 0; i < 10; i++)
		pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_STARTUP);
	sample.is_limited = false;
	fill(2 * HELD);
}

static void only_whole_rounds_count(void **state)
{
	(void)state;
	pass_round(RATE, HELD, 2 * HELD);
	for (int i = 0; i < 10; i++)
		pass_part(RATE, SIZE, 2 * HELD);
	assert_false(bbr.filled);
}

/* Two such rounds, when more than 2 % were lost; and the bound of the long term is what the path held. */
static void loss_ends_the_startup_sooner(void **state)
{
	const struct {
		uint64_t lost;
		bool filled;
	} cases[] = { { 3000, false }, { 2 * 2040, false }, { 10000, true } }; /* three segments; 2 % of two rounds' worth; enough */

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		pass_round(RATE, 2 * HELD, 3 * HELD);
		sample.newly_lost = cases[i].lost;
		pass_round(RATE, 2 * HELD, 3 * HELD);
		assert_false(bbr.filled);
		pass_round(RATE, 2 * HELD, 3 * HELD);
		assert_int_equal(bbr.filled, cases[i].filled);
		assert_int_equal(bbr.inflight_high == UINT64_MAX, !cases[i].filled);
		if (cases[i].filled)
			assert_int_equal(bbr.inflight_high, 2 * HELD); /* what a round delivered is more than the product */
	}
}

/* 5.3.2. */
static void the_queue_is_drained_before_probing_begins(void **state)
{
	(void)state;
	fill(2 * HELD);
	assert_int_equal(bbr.state, BBR_DRAIN);
	pass_round(RATE, 1000, HELD + TRAINS + 1);
	assert_int_equal(bbr.state, BBR_DRAIN);
	pass_round(RATE, 1000, HELD + TRAINS);
	assert_int_not_equal(bbr.state, BBR_DRAIN);
}

/* --- the cycle --- */

static void it_cruises_at_the_bandwidth(void **state)
{
	(void)state;
	cruise();
	pass_round(RATE, HELD, HELD);
	assert_float_equal(bbr.pacing_rate, 0.99 * RATE, 1);   /* 5.6.2: a hundredth less, so that queues run off */
	assert_int_equal(bbr.window, CRUISED + TRAINS + HELD); /* a round's acknowledgements come in one lump here */
}

/* 5.3.3.6: two to three seconds after it went down. */
static void it_probes_again_after_two_to_three_seconds(void **state)
{
	const struct {
		uint32_t random;
		uint64_t wait;
	} cases[] = { { 0, 2000 * MS }, { 2 * 999999999u, 2999 * MS + 999999 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		context.random = cases[i].random;
		fill(2 * HELD);
		bbr.inflight_high = HELD; /* so that going down takes a while */
		pass_round(RATE, 1000, HELD);
		assert_int_equal(bbr.state, BBR_DOWN);
		uint64_t since = context.now;
		pass_round(RATE, 1000, HELD / 2);
		assert_int_equal(bbr.state, BBR_CRUISE);
		context.now = since + cases[i].wait - 1 - ROUND_TRIP;
		pass_round(RATE, 1000, HELD / 2);
		assert_int_equal(bbr.state, BBR_CRUISE);
		context.now = since + cases[i].wait - ROUND_TRIP;
		pass_round(RATE, 1000, HELD / 2);
		assert_int_equal(bbr.state, BBR_REFILL);
	}
}

/* 5.3.3.6: as often as Reno would lose, which with few segments in flight is sooner. */
static void a_small_window_probes_after_as_many_rounds(void **state)
{
	unsigned rounds = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		pass_round(1e5, 10000, 10000);
	assert_int_equal(bbr.state, BBR_CRUISE);
	for (; bbr.state == BBR_CRUISE; rounds++)
		pass_round(1e5, 10000, 10000);
	assert_int_equal(rounds, 10); /* 10,000 bytes fill this path */
}

static void a_short_path_probes_after_sixty_three_rounds(void **state)
{
	unsigned rounds = 0;

	(void)state;
	round_trip = sample.round_trip = 10 * MS;
	bbr_init(&bbr, SIZE, round_trip, context.now);
	for (int i = 0; i < 4; i++)
		pass_round(10 * RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_CRUISE);
	for (; bbr.state == BBR_CRUISE; rounds++)
		pass_round(10 * RATE, HELD, HELD);
	assert_int_equal(rounds, 63); /* of 100 segments */
	start(state);
	round_trip = sample.round_trip = 10 * MS;
	bbr_init(&bbr, SIZE, round_trip, context.now);
	context.random = 1; /* one round less, so that flows do not probe together */
	for (int i = 0; i < 4; i++)
		pass_round(10 * RATE, HELD, HELD);
	for (rounds = 0; bbr.state == BBR_CRUISE; rounds++)
		pass_round(10 * RATE, HELD, HELD);
	assert_int_equal(rounds, 62);
}

/* 5.3.3.3: the bound leaves room for others, 15 % of it. */
static void it_goes_down_until_there_is_headroom(void **state)
{
	(void)state;
	fill(2 * HELD);
	bbr.inflight_high = HELD;
	pass_round(RATE, 1000, 85001);
	assert_int_equal(bbr.state, BBR_DOWN);
	assert_float_equal(bbr.pacing_gain, 0.9, 0.001);
	assert_true(bbr.window <= HELD);
	pass_round(RATE, 1000, 85000);
	assert_int_equal(bbr.state, BBR_CRUISE);
	assert_int_equal(bbr.window, 85000);
}

/* 5.3.3.3: a segment of room at least, and four segments to send with. */
static void small_bounds_leave_a_segment_of_room(void **state)
{
	const uint64_t cases[][2] = { { 20, 17 }, { 6, 5 }, { 5, 4 }, { 4, 4 }, { 1, 4 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		cruise();
		bbr.inflight_high = cases[i][0] * SIZE;
		sample.in_flight_at_send = 0;
		pass_round(RATE, SIZE, SIZE);
		assert_int_equal(bbr.state, BBR_CRUISE);
		assert_int_equal(bbr.window, cases[i][1] * SIZE);
	}
}

static void it_refills_for_a_round_and_goes_up(void **state)
{
	(void)state;
	refill();
	assert_float_equal(bbr.pacing_gain, 1, 0.001);
	assert_false(bbr.samples_probe);
	pass_part(RATE, SIZE, HELD);
	assert_int_equal(bbr.state, BBR_REFILL);
	pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_UP);
	assert_true(bbr.samples_probe);
	assert_float_equal(bbr.pacing_rate, 1.25 * 0.99 * RATE, 1);
	assert_float_equal(bbr.window_gain, 2.25, 0.001);
}

/* A round with 1.25 times what the path holds in flight, and no more bandwidth: the path is full. */
static void a_full_path_ends_the_probing(void **state)
{
	(void)state;
	probe_up();
	sample.prior_in_flight = (uint64_t)(1.25 * HELD) + TRAINS;
	pass_round(RATE, HELD, (uint64_t)(1.25 * HELD));
	assert_int_equal(bbr.state, BBR_UP); /* a round trip has to pass */
	pass_round(RATE, HELD, (uint64_t)(1.25 * HELD));
	assert_int_equal(bbr.state, BBR_DOWN);
	assert_int_equal(bbr.steady_from, context.delivered); /* losses of what was sent before are the probing's */
	pass_part(RATE, SIZE, HELD + TRAINS + 1);
	assert_int_equal(bbr.state, BBR_DOWN); /* until the queue is gone */
	pass_part(RATE, SIZE, HELD + TRAINS);
	assert_int_equal(bbr.state, BBR_CRUISE);
}

/* For a round after that, acknowledgements are still of the probe. */
static void losses_are_the_probes_for_a_round_more(void **state)
{
	(void)state;
	probe_up();
	sample.prior_in_flight = 10 * HELD;
	pass_round(RATE, HELD, 2 * HELD);
	pass_round(RATE, HELD, 2 * HELD);
	assert_int_equal(bbr.state, BBR_DOWN);
	uint64_t since = bbr.phase_at;
	pass_part(RATE, SIZE, 2 * HELD);
	assert_true(bbr.samples_probe);
	bbr_lost(&bbr, 150000, 4000, false, &context);
	assert_int_equal(bbr.inflight_high, 150000);
	assert_int_equal(bbr.phase_at, since); /* it is down already */
	bbr.samples_probe = true;
	pass_round(RATE, HELD, 2 * HELD);
	assert_false(bbr.samples_probe);
}

static void bandwidth_that_grows_is_followed(void **state)
{
	double bandwidth = RATE;

	(void)state;
	probe_up();
	for (int i = 0; i < 6; i++) {
		bandwidth *= 1.26;
		sample.prior_in_flight = 10 * HELD;
		pass_round(bandwidth, HELD, 2 * HELD);
		assert_int_equal(bbr.state, BBR_UP);
	}
	assert_float_equal(bbr_bandwidth(&bbr), bandwidth, 1);
	pass_round(bandwidth, HELD, 2 * HELD); /* no more than before */
	assert_int_equal(bbr.state, BBR_DOWN);
}

/* 5.5.10.2: more than 2 % lost while probing is the bound: what was in flight, not less than 0.7 of the target. */
static void loss_while_probing_is_a_bound(void **state)
{
	const struct {
		uint64_t in_flight, lost;
		bool limited;
		uint64_t high; /* UINT64_MAX: none */
		enum bbr_state state;
	} cases[] = {
		{ 150000, 3000, false, UINT64_MAX, BBR_UP },                                               /* 2 % */
		{ 150000, 3001, false, 150000, BBR_DOWN },   { 20000, 3000, false, UINT64_MAX, BBR_UP },   /* three segments may get lost */
		{ 20000, 3001, false, 70000, BBR_DOWN },     { 150000, 4000, true, UINT64_MAX, BBR_DOWN }, /* the application's doing, so no bound */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		probe_up();
		bbr_lost(&bbr, cases[i].in_flight, cases[i].lost, cases[i].limited, &context);
		assert_int_equal(bbr.inflight_high, cases[i].high);
		assert_int_equal(bbr.state, cases[i].state);
		bbr_lost(&bbr, 10 * HELD, 9 * HELD, false, &context); /* a probe counts once */
		if (cases[i].state == BBR_DOWN)
			assert_int_equal(bbr.inflight_high, cases[i].high);
	}
}

/* What the window held back was no target. */
static void the_target_is_within_the_window(void **state)
{
	(void)state;
	probe_up();
	bbr.window = 50000;
	bbr_lost(&bbr, 20000, 4000, false, &context);
	assert_int_equal(bbr.inflight_high, 35000);
}

/* 5.5.10.3: while it accelerates, losses are judged by the probe alone. */
static void a_probe_does_not_lower_the_short_term_bounds(void **state)
{
	(void)state;
	probe_up();
	sample.newly_lost = 10000;
	pass_round(RATE, HELD, HELD);
	pass_round(RATE, HELD, HELD); /* and two lossy rounds end the startup only */
	assert_int_equal(bbr.state, BBR_UP);
	assert_true(isinf(bbr.bandwidth_low));
	assert_int_equal(bbr.inflight_low, UINT64_MAX);
	assert_int_equal(bbr.cruise_lost, 0);
}

static void loss_while_not_probing_is_no_bound(void **state)
{
	(void)state;
	cruise();
	bbr_lost(&bbr, HELD, HELD, false, &context);
	assert_int_equal(bbr.inflight_high, UINT64_MAX);
	assert_int_equal(bbr.state, BBR_CRUISE);
}

/* 5.3.3.5.1: by one segment in the first round, then by twice as many each, as far as the window is used. */
static void the_bound_rises_faster_each_round(void **state)
{
	(void)state;
	cruise();
	bbr.up_rounds = 7; /* of the last cycle */
	bbr.up_acknowledged = 7777;
	while (bbr.state != BBR_REFILL)
		pass_round(RATE, HELD, HELD);
	uint64_t high = bbr.inflight_high = bbr.window;
	pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_UP);
	assert_int_equal(bbr.up_acknowledged, 0);
	assert_int_equal(bbr.up_count, high);
	context.is_window_limited = true;
	double bandwidth = RATE;
	for (uint64_t rise = 2; rise <= 16; rise *= 2) {
		bbr.window = high = bbr.inflight_high;
		bandwidth *= 1.26; /* so that it goes on */
		pass_round(bandwidth, 2 * bbr.up_count + 5, HELD);
		assert_int_equal(bbr.inflight_high, high + 2 * SIZE);
		assert_int_equal(bbr.up_acknowledged, 5);
		assert_int_equal(bbr.up_count, high / rise);
		bbr.up_acknowledged = 0;
	}
	start(state);
	probe_up();
	high = bbr.inflight_high = bbr.window;
	pass_round(RATE, 10 * HELD, HELD); /* the application did not use it */
	assert_int_equal(bbr.inflight_high, high);
	context.is_window_limited = true;
	bbr.window = high - 1; /* nor is the window at the bound */
	pass_part(RATE, 10 * HELD, HELD);
	assert_int_equal(bbr.inflight_high, high);
}

/* Growth cannot show while the bound holds it back. */
static void a_bounded_probe_goes_on(void **state)
{
	(void)state;
	probe_up();
	context.is_window_limited = true;
	bbr.inflight_high = bbr.window;
	for (int i = 0; i < 5; i++) {
		pass_round(RATE, SIZE, HELD);
		assert_int_equal(bbr.state, BBR_UP);
	}
	context.is_window_limited = false;
	for (int i = 0; i < 3; i++)
		pass_round(RATE, SIZE, HELD);
	assert_int_equal(bbr.state, BBR_DOWN); /* three rounds without growth */
}

static void what_flew_without_loss_raises_the_bound(void **state)
{
	(void)state;
	cruise();
	bbr.inflight_high = HELD;
	sample.in_flight_at_send = HELD + 5000;
	sample.lost = 5000;
	pass_round(RATE, 1000, HELD / 2);
	assert_int_equal(bbr.inflight_high, HELD);
	sample.lost = 0;
	pass_round(RATE, 1000, HELD / 2);
	assert_int_equal(bbr.inflight_high, HELD + 5000);
}

/* 5.5.7: the most of this cycle and the last. */
static void the_bandwidth_is_the_most_of_two_cycles(void **state)
{
	(void)state;
	fill(2 * HELD);
	assert_float_equal(bbr_bandwidth(&bbr), RATE, 1);
	unsigned cycles = 0;
	for (int i = 0; i < 2000 && bbr_bandwidth(&bbr) > 0.6 * RATE; i++) {
		enum bbr_state before = bbr.state;
		sample.prior_in_flight = 2 * HELD;
		pass_round(RATE / 2, HELD / 2, HELD / 4);
		cycles += before == BBR_UP && bbr.state == BBR_DOWN;
	}
	assert_float_equal(bbr_bandwidth(&bbr), RATE / 2, 1);
	assert_int_equal(cycles, 1);
}

static void a_limited_sample_counts_only_when_it_is_more(void **state)
{
	(void)state;
	cruise();
	sample.is_limited = true;
	pass_round(RATE / 2, 1000, 1000);
	assert_float_equal(bbr_bandwidth(&bbr), RATE, 1);
	pass_round(RATE * 2, 1000, 1000);
	assert_float_equal(bbr_bandwidth(&bbr), RATE * 2, 1);
	bbr.bandwidth_max[0] = RATE;
	bbr.bandwidth_max[1] = 0;
	pass_part(RATE / 2, 1000, 1000);
	assert_true(bbr.bandwidth_max[1] <= 0);
	bbr.bandwidth_max[1] = RATE / 2; /* nor does it end a cycle of the filter */
	bbr.ack_phase = BBR_ACKS_PROBE_STOPPING;
	pass_round(RATE / 2, 1000, 1000);
	assert_float_equal(bbr.bandwidth_max[0], RATE, 1);
}

/* --- losses while nothing is probed --- */

/* 5.5.10.3: a round that loses too much bounds bandwidth and window to 0.7, not below what arrived. */
static void a_lossy_round_lowers_the_short_term_bounds(void **state)
{
	(void)state;
	cruise();
	pass_round(RATE, HELD, HELD);
	uint64_t window = bbr.window;
	sample.newly_lost = 5000;
	sample.round_trip = ROUND_TRIP * 3 / 2;
	pass_round(RATE / 2, HELD / 2, HELD);
	assert_float_equal(bbr.bandwidth_low, RATE, 1); /* what arrived in the round before is more than 0.7 */
	pass_round(RATE / 2, HELD / 2, HELD);
	assert_float_equal(bbr.bandwidth_low, 0.7 * RATE, 1);
	assert_float_equal(bbr_bandwidth(&bbr), 0.7 * RATE, 1);
	assert_in_range(bbr.inflight_low, (uint64_t)(0.48 * (double)window), (uint64_t)(0.7 * (double)window));
	assert_true(bbr.window <= bbr.inflight_low);
	for (int i = 0; i < 6; i++)
		pass_round(RATE / 2, HELD / 2, HELD);
	assert_float_equal(bbr.bandwidth_low, RATE / 2, 1);
	assert_int_equal(bbr.inflight_low, HELD / 2);
	sample.newly_lost = 0;
	while (bbr.state == BBR_CRUISE)
		pass_round(RATE / 2, HELD / 2, HELD);
	assert_int_equal(bbr.state, BBR_REFILL); /* 5.3.3.4: the bounds are forgotten */
	assert_true(isinf(bbr.bandwidth_low));
	assert_int_equal(bbr.inflight_low, UINT64_MAX);
}

/* A round is judged when it is over, by the most that arrived in it. */
static void losses_are_judged_by_the_round(void **state)
{
	(void)state;
	cruise();
	pass_round(RATE, HELD, HELD);
	sample.newly_lost = 50000;
	sample.delivered = 3 * HELD;
	pass_part(RATE, HELD, HELD);
	assert_true(isinf(bbr.bandwidth_low));
	assert_true(bbr.noise <= 0);
	sample.newly_lost = 0;
	pass_round(RATE / 2, HELD / 2, HELD);
	assert_float_equal(bbr.bandwidth_low, RATE, 1);
	assert_int_equal(bbr.inflight_low, 3 * HELD);
}

static void two_in_a_hundred_may_get_lost(void **state)
{
	(void)state;
	cruise();
	sample.newly_lost = 2 * HELD / 98;
	pass_round(RATE, 10 * HELD, HELD); /* of ten times that */
	pass_round(RATE, 10 * HELD, HELD);
	assert_true(isinf(bbr.bandwidth_low));
}

/* The path's own loss is learnt while cruising, slowly, and 2 % above it and its spread are congestion. */
static void a_lossy_path_is_no_congestion(void **state)
{
	(void)state;
	cruise();
	sample.newly_lost = 16000; /* 8 % */
	for (int i = 0; i < 40; i++) {
		keep_cruising();
		bbr.bandwidth_low = INFINITY;
		pass_round(RATE, 2 * HELD - 16000, HELD);
	}
	assert_float_equal(bbr.noise, 0.08, 0.005);
	assert_true(isinf(bbr.bandwidth_low));
	keep_cruising();
	sample.newly_lost = 40000;
	pass_round(RATE, 2 * HELD - 40000, HELD);
	assert_false(isinf(bbr.bandwidth_low));
	for (int i = 0; i < 200; i++) {
		keep_cruising();
		pass_round(RATE, 2 * HELD - 40000 * 2, HELD);
	}
	assert_float_equal(bbr.noise, 0.2, 0.0001); /* and no more, however much is lost */
}

static void the_noise_falls_faster_than_it_rises(void **state)
{
	(void)state;
	cruise();
	bbr.cruise_lost = bbr.cruise_delivered = 0;
	sample.newly_lost = 40000;
	pass_round(RATE, 160000, HELD);
	assert_float_equal(bbr.noise, 0.25 * 0.2, 0.0001);
	sample.newly_lost = 0;
	pass_round(RATE, 199999, HELD); /* less than 200 segments say nothing */
	assert_float_equal(bbr.noise, 0.25 * 0.2, 0.0001);
	pass_round(RATE, 1, HELD);
	assert_float_equal(bbr.noise, 0.5 * 0.25 * 0.2, 0.0001);
}

/* Where losses come in bursts, some rounds have none and others many times the mean. */
static void a_round_of_bursts_is_no_congestion(void **state)
{
	(void)state;
	cruise();
	for (int i = 0; i < 48; i++) {
		keep_cruising();
		if (i < 24)
			bbr.bandwidth_low = INFINITY; /* it is learnt */
		sample.newly_lost = i % 4 == 3 ? 10000 : 0;
		pass_round(RATE, 2 * HELD - sample.newly_lost, HELD); /* each fourth loses 5 % */
	}
	assert_true(isinf(bbr.bandwidth_low));
	sample.newly_lost = 60000; /* 30 % are too many all the same */
	pass_round(RATE, 2 * HELD - 60000, HELD);
	assert_false(isinf(bbr.bandwidth_low));
}

/* While others fill the queue it overflows, which is no property of the path. */
static void losses_with_a_queue_are_no_noise(void **state)
{
	(void)state;
	cruise();
	sample.newly_lost = 4000;
	sample.round_trip = ROUND_TRIP + ROUND_TRIP / 3;
	for (int i = 0; i < 20; i++) {
		keep_cruising();
		pass_round(RATE, 2 * HELD - 4000, HELD);
	}
	assert_true(bbr.noise <= 0 && bbr.noise_spread <= 0);
}

/* --- the round trip --- */

/* 5.3.4: after five seconds in which a queue stood, half the window for 200 ms and a round. */
static void a_standing_queue_is_let_off_for_a_moment(void **state)
{
	(void)state;
	cruise();
	sample.round_trip = 2 * ROUND_TRIP;
	while (context.now < bbr.probe_rtt_min_at + 5000 * MS)
		pass_round(RATE, HELD, HELD);
	assert_int_not_equal(bbr.state, BBR_PROBE_RTT);
	pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_PROBE_RTT);
	assert_int_equal(bbr.window, HELD / 2);
	sample.round_trip = ROUND_TRIP;
	pass_round(RATE, HELD / 2, HELD / 2 + 1);
	assert_int_equal(bbr.probe_rtt_done, 0); /* too much is in flight yet */
	bbr.bandwidth_low = RATE;
	pass_round(RATE / 2, HELD / 2, HELD / 2);
	pass_round(RATE / 2, HELD / 2, HELD / 2);
	pass_round(RATE / 2, HELD / 2, HELD / 2);
	assert_int_equal(bbr.state, BBR_PROBE_RTT); /* just 200 ms */
	pass_round(RATE / 2, HELD / 2, HELD / 2);
	assert_int_equal(bbr.state, BBR_CRUISE);
	assert_true(bbr.window >= 2 * HELD);
	assert_true(isinf(bbr.bandwidth_low));
	uint64_t since = context.now;
	sample.round_trip = 2 * ROUND_TRIP;
	while (bbr.state != BBR_PROBE_RTT)
		pass_round(RATE, HELD, HELD);
	assert_true(context.now - since > 5000 * MS); /* and not at once again */
}

static void a_pause_for_the_round_trip_lasts_a_round(void **state)
{
	(void)state;
	cruise();
	bbr.state = BBR_PROBE_RTT;
	bbr.probe_rtt_done = 0;
	bbr.bandwidth_max[1] = RATE / 2;
	bbr.ack_phase = BBR_ACKS_PROBE_STOPPING;
	bbr.inflight_high = 40000;
	pass_round(RATE / 2, HELD / 2, HELD / 2);
	assert_float_equal(bbr_bandwidth(&bbr), RATE, 1); /* it measures no bandwidth */
	assert_int_equal(bbr.window, 34000);              /* and keeps its headroom */
	assert_int_equal(bbr.probe_rtt_done, context.now + 200 * MS);
	sample.prior_delivered = 0; /* acknowledgements of what was sent before the pause */
	sample.acknowledged = 1000;
	context.now += 500 * MS;
	bbr_update(&bbr, &sample, &context);
	assert_int_equal(bbr.state, BBR_PROBE_RTT);
	pass_round(RATE, HELD / 2, HELD / 2);
	assert_int_equal(bbr.state, BBR_CRUISE);
}

static void without_a_queue_there_is_no_pause(void **state)
{
	(void)state;
	cruise();
	sample.round_trip = ROUND_TRIP + ROUND_TRIP / 5; /* a fifth of it queues on the mean */
	for (int i = 0; i < 200; i++) {
		pass_round(RATE, HELD, HELD);
		assert_int_not_equal(bbr.state, BBR_PROBE_RTT);
	}
	assert_int_equal(bbr.min_rtt, ROUND_TRIP);
}

/* Each look is at the five seconds since the last one. */
static void a_queue_is_seen_five_seconds_after_it_formed(void **state)
{
	(void)state;
	cruise();
	while (context.now <= 6000 * MS)
		pass_round(RATE, HELD, HELD);
	uint64_t since = bbr.probe_rtt_min_at;
	assert_int_equal(since, context.now);
	sample.round_trip = ROUND_TRIP + 3 * ROUND_TRIP / 10;
	while (bbr.state != BBR_PROBE_RTT)
		pass_round(RATE, HELD, HELD);
	assert_int_equal(context.now, since + 5000 * MS + ROUND_TRIP);
}

static void a_pause_before_the_pipe_was_full_ends_in_the_startup(void **state)
{
	(void)state;
	pass_round(RATE, HELD, HELD);
	bbr.state = BBR_PROBE_RTT;
	bbr.pacing_gain = 1;
	bbr.prior_window = bbr.window;
	bbr.probe_rtt_done = context.now;
	pass_round(RATE, HELD, HELD);
	assert_int_equal(bbr.state, BBR_STARTUP);
	assert_float_equal(bbr.pacing_gain, 2.77, 0.001);
}

static void a_small_window_is_not_halved_below_four_segments(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		pass_round(5e4, 5000, 5000);
	sample.round_trip = 2 * ROUND_TRIP;
	while (bbr.state != BBR_PROBE_RTT)
		pass_round(5e4, 5000, 5000);
	assert_int_equal(bbr.window, 4 * SIZE);
}

/* 5.5.8: ten seconds. */
static void a_longer_path_is_believed_after_ten_seconds(void **state)
{
	(void)state;
	cruise();
	uint64_t since = bbr.min_rtt_at;
	sample.round_trip = ROUND_TRIP * 3;
	while (context.now + ROUND_TRIP <= since + 10000 * MS) {
		pass_round(RATE, 1000, 1000);
		assert_int_equal(bbr.min_rtt, ROUND_TRIP);
	}
	pass_round(RATE, 1000, 1000);
	assert_int_equal(bbr.min_rtt, ROUND_TRIP * 3);
	sample.round_trip = ROUND_TRIP * 2;
	pass_round(RATE, 1000, 1000);
	assert_int_equal(bbr.min_rtt, ROUND_TRIP * 2);
}

/* --- timeouts and pauses --- */

/* 5.6.4.4: one segment, and what was known when recovery is over. */
static void a_timeout_is_survived_by_the_window(void **state)
{
	(void)state;
	cruise();
	uint64_t window = bbr.window;
	bbr_timeout(&bbr, context.delivered);
	assert_int_equal(bbr.window, SIZE);
	bbr_timeout(&bbr, context.delivered); /* another one does not forget it */
	bbr_recovered(&bbr);
	assert_int_equal(bbr.window, window);
	bbr.window = 5 * SIZE;
	bbr_recovered(&bbr); /* it was over */
	assert_int_equal(bbr.window, 5 * SIZE);
	bbr_timeout(&bbr, context.delivered); /* what is known now is less */
	assert_int_equal(bbr.steady_from, context.delivered + 1);
	bbr_recovered(&bbr);
	assert_int_equal(bbr.window, 5 * SIZE);
}

/* The window before the timeout is what is known, whatever pause comes between (BBRSaveCwnd). */
static void a_timeout_and_a_pause_do_not_forget_the_window(void **state)
{
	(void)state;
	cruise();
	sample.round_trip = 2 * ROUND_TRIP; /* a queue stands */
	for (int i = 0; i < 15; i++)
		pass_round(RATE, HELD, HELD);
	bbr_timeout(&bbr, context.delivered);
	context.now += 10000 * MS;
	sample.round_trip = 0; /* of a segment that was sent again */
	pass_round(0, SIZE, 0);
	assert_int_equal(bbr.state, BBR_PROBE_RTT);
	bbr_recovered(&bbr);
	sample.round_trip = ROUND_TRIP;
	while (bbr.state == BBR_PROBE_RTT)
		pass_round(RATE, SIZE, SIZE);
	assert_true(bbr.window >= 2 * HELD);

	start(state);
	cruise();
	pass_round(RATE, HELD, HELD);
	bbr.state = BBR_PROBE_RTT;
	uint64_t window = bbr.prior_window = bbr.window;
	pass_round(RATE, HELD / 2, HELD);
	assert_int_equal(bbr.window, HELD / 2);
	bbr_timeout(&bbr, context.delivered); /* during the pause */
	bbr_recovered(&bbr);
	assert_int_equal(bbr.window, window);
}

static void after_a_pause_it_goes_on_at_the_bandwidth(void **state)
{
	(void)state;
	probe_up();
	bbr.round_trip_sum = bbr.round_trips = 0;
	context.now += 20000 * MS;
	bbr_restart(&bbr, context.now);
	assert_float_equal(bbr.pacing_rate, 0.99 * RATE, 1);
	sample.round_trip = 2 * ROUND_TRIP;
	pass_round(RATE, HELD, HELD);
	assert_int_not_equal(bbr.state, BBR_PROBE_RTT); /* the pause was one for the round trip, too */
	assert_false(bbr.idle_restart);
	start(state);
	double rate = bbr.pacing_rate;
	bbr_restart(&bbr, context.now); /* in the startup nothing is known */
	assert_float_equal(bbr.pacing_rate, rate, 1);
}

/* --- window and pacing --- */

/* A segment each millisecond. */
static void flow(unsigned milliseconds)
{
	for (unsigned i = 0; i < milliseconds; i++) {
		sample.prior_delivered = context.delivered - HELD;
		sample.acknowledged = SIZE;
		sample.delivered = HELD;
		context.delivered += SIZE;
		context.now += MS;
		bbr_update(&bbr, &sample, &context);
		assert_int_equal(bbr.state, BBR_CRUISE);
	}
}

/* 5.5.9: what comes in one lump is room on top, for five to ten rounds. */
static void acknowledgements_in_lumps_get_room(void **state)
{
	(void)state;
	context.random = 2 * 999999999u; /* three seconds to the next probe */
	cruise();
	context.now += 2 * ROUND_TRIP; /* the lumps of the startup are over */
	flow(1200);
	assert_int_equal(bbr.window, CRUISED + TRAINS + SIZE);
	sample.acknowledged = 30000;
	context.delivered += 30000;
	bbr_update(&bbr, &sample, &context);
	assert_int_equal(bbr.window, CRUISED + TRAINS + 31000);
	context.now += 40 * MS;
	flow(490);
	assert_int_equal(bbr.window, CRUISED + TRAINS + 31000);
	flow(700);
	uint64_t window = CRUISED + TRAINS + SIZE;
	assert_int_equal(bbr.window, window);
	sample.acknowledged = 10 * HELD; /* a lump is no more than was in flight */
	context.delivered += 10 * HELD;
	bbr_update(&bbr, &sample, &context);
	assert_int_equal(bbr.window, CRUISED + TRAINS + window);
}

/* 5.6.4.6. */
static void the_window_is_four_segments_at_least(void **state)
{
	(void)state;
	cruise();
	bbr.inflight_low = 10;
	pass_round(RATE, SIZE, SIZE);
	assert_int_equal(bbr.window, 4 * SIZE);
	start(state);
	cruise();
	bbr.inflight_high = 10;
	pass_round(RATE, SIZE, SIZE);
	assert_int_equal(bbr.window, 4 * SIZE);
	bbr_timeout(&bbr, context.delivered);
	pass_round(RATE, SIZE, SIZE);
	assert_int_equal(bbr.window, 4 * SIZE);
}

/* 5.6.2: before the pipe is full the pace never falls. */
static void the_startup_does_not_slow_down(void **state)
{
	(void)state;
	pass_round(RATE, HELD, HELD);
	assert_float_equal(bbr.pacing_rate, 2.77 * 0.99 * RATE, 1);
	bbr.bandwidth_max[1] = RATE / 2;
	pass_round(RATE / 2, HELD, HELD);
	assert_float_equal(bbr.pacing_rate, 2.77 * 0.99 * RATE, 1);
}

static void a_train_is_a_millisecond_within_its_bounds(void **state)
{
	const struct {
		double pace;
		uint64_t trains;
	} cases[] = { { 1e5, 3 * 2 * SIZE }, { 1e7, 3 * 10000 }, { 1e9, 3 * 65536 } };

	(void)state;
	cruise();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bbr.pacing_rate = cases[i].pace;
		assert_int_equal(bbr_inflight(&bbr, 0.5), HELD / 2 + cases[i].trains);
	}
}

static void a_batch_without_delivery_begins_no_round(void **state)
{
	(void)state;
	cruise();
	uint64_t rounds = bbr.rounds;
	sample.has_delivery = false;
	pass_round(0, 0, HELD);
	assert_int_equal(bbr.rounds, rounds);
	assert_false(bbr.round_start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_begins_with_ten_segments, start),
		cmocka_unit_test_setup(a_late_first_sample_slows_the_start, start),
		cmocka_unit_test_setup(the_startup_doubles_each_round, start),
		cmocka_unit_test_setup(the_startup_grows_to_twice_what_the_path_holds, start),
		cmocka_unit_test_setup(three_rounds_without_growth_fill_the_pipe, start),
		cmocka_unit_test_setup(rounds_of_a_limited_application_do_not_count, start),
		cmocka_unit_test_setup(only_whole_rounds_count, start),
		cmocka_unit_test_setup(loss_ends_the_startup_sooner, start),
		cmocka_unit_test_setup(the_queue_is_drained_before_probing_begins, start),
		cmocka_unit_test_setup(it_cruises_at_the_bandwidth, start),
		cmocka_unit_test_setup(it_probes_again_after_two_to_three_seconds, start),
		cmocka_unit_test_setup(a_small_window_probes_after_as_many_rounds, start),
		cmocka_unit_test_setup(a_short_path_probes_after_sixty_three_rounds, start),
		cmocka_unit_test_setup(it_goes_down_until_there_is_headroom, start),
		cmocka_unit_test_setup(small_bounds_leave_a_segment_of_room, start),
		cmocka_unit_test_setup(it_refills_for_a_round_and_goes_up, start),
		cmocka_unit_test_setup(a_full_path_ends_the_probing, start),
		cmocka_unit_test_setup(losses_are_the_probes_for_a_round_more, start),
		cmocka_unit_test_setup(bandwidth_that_grows_is_followed, start),
		cmocka_unit_test_setup(loss_while_probing_is_a_bound, start),
		cmocka_unit_test_setup(the_target_is_within_the_window, start),
		cmocka_unit_test_setup(a_probe_does_not_lower_the_short_term_bounds, start),
		cmocka_unit_test_setup(loss_while_not_probing_is_no_bound, start),
		cmocka_unit_test_setup(the_bound_rises_faster_each_round, start),
		cmocka_unit_test_setup(a_bounded_probe_goes_on, start),
		cmocka_unit_test_setup(what_flew_without_loss_raises_the_bound, start),
		cmocka_unit_test_setup(the_bandwidth_is_the_most_of_two_cycles, start),
		cmocka_unit_test_setup(a_limited_sample_counts_only_when_it_is_more, start),
		cmocka_unit_test_setup(a_lossy_round_lowers_the_short_term_bounds, start),
		cmocka_unit_test_setup(losses_are_judged_by_the_round, start),
		cmocka_unit_test_setup(two_in_a_hundred_may_get_lost, start),
		cmocka_unit_test_setup(a_lossy_path_is_no_congestion, start),
		cmocka_unit_test_setup(the_noise_falls_faster_than_it_rises, start),
		cmocka_unit_test_setup(a_round_of_bursts_is_no_congestion, start),
		cmocka_unit_test_setup(losses_with_a_queue_are_no_noise, start),
		cmocka_unit_test_setup(a_standing_queue_is_let_off_for_a_moment, start),
		cmocka_unit_test_setup(a_pause_for_the_round_trip_lasts_a_round, start),
		cmocka_unit_test_setup(without_a_queue_there_is_no_pause, start),
		cmocka_unit_test_setup(a_queue_is_seen_five_seconds_after_it_formed, start),
		cmocka_unit_test_setup(a_pause_before_the_pipe_was_full_ends_in_the_startup, start),
		cmocka_unit_test_setup(a_small_window_is_not_halved_below_four_segments, start),
		cmocka_unit_test_setup(a_longer_path_is_believed_after_ten_seconds, start),
		cmocka_unit_test_setup(a_timeout_is_survived_by_the_window, start),
		cmocka_unit_test_setup(a_timeout_and_a_pause_do_not_forget_the_window, start),
		cmocka_unit_test_setup(after_a_pause_it_goes_on_at_the_bandwidth, start),
		cmocka_unit_test_setup(acknowledgements_in_lumps_get_room, start),
		cmocka_unit_test_setup(the_window_is_four_segments_at_least, start),
		cmocka_unit_test_setup(the_startup_does_not_slow_down, start),
		cmocka_unit_test_setup(a_train_is_a_millisecond_within_its_bounds, start),
		cmocka_unit_test_setup(a_batch_without_delivery_begins_no_round, start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
