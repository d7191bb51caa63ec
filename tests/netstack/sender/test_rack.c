/* Loss detection by time: the steps of RFC 8985, section 6.2, and the probe's delay of section 7.2. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/packet/budget.h"
#include "netstack/netstack.h"
#include "netstack/sender/rack.h"

#define MS 1000000ull
#define SIZE 1000

static struct budget budget;
static struct scoreboard board;
static struct rack rack;
static struct rtt rtt;
static uint32_t lost; /* a bit for each segment */

static int start(void **state)
{
	(void)state;
	budget_start(64 << 20);
	scoreboard_init(&board, &budget);
	rack_init(&rack);
	rtt_init(&rtt);
	rtt_sample(&rtt, 100 * MS);
	lost = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	scoreboard_clear(&board);
	return budget_used() == 0 ? 0 : -1;
}

static uint32_t transmit(uint64_t now)
{
	uint64_t place = scoreboard_is_empty(&board) ? 0 : scoreboard_end(scoreboard_at(&board, board.tail - 1));

	assert_true(scoreboard_reserve(&board));
	uint32_t index = scoreboard_append(&board, place, SIZE);
	scoreboard_at(&board, index)->sent_at = now;
	return index;
}

static void transmit_again(uint32_t index, uint64_t now)
{
	scoreboard_lose(&board, index);
	scoreboard_fly(&board, index);
	scoreboard_at(&board, index)->sent_at = now;
	scoreboard_at(&board, index)->flags |= SENT_AGAIN;
}

static void arrive(uint32_t index, uint64_t now)
{
	scoreboard_land(&board, index);
	rack_delivered(&rack, &rtt, scoreboard_at(&board, index), now);
	scoreboard_mark_sacked(&board, index);
}

static void note_lost(void *owner, uint32_t index)
{
	assert_ptr_equal(owner, &lost);
	lost |= 1u << index;
	scoreboard_lose(&board, index);
}

static uint64_t detect(uint64_t window, uint64_t now)
{
	return rack_detect(&rack, &board, window, now, note_lost, &lost);
}

/* Step 5: lost is what was sent before the newest that arrived, a round trip and the window ago. */
static void what_is_late_by_the_window_is_lost(void **state)
{
	(void)state;
	transmit(0);
	transmit(1 * MS);
	transmit(2 * MS);
	transmit(3 * MS);
	arrive(2, 102 * MS); /* its round trip: 100 ms */
	assert_int_equal(detect(25 * MS, 102 * MS), 125 * MS);
	assert_int_equal(lost, 0);
	assert_int_equal(detect(25 * MS, 125 * MS - 1), 125 * MS);
	assert_int_equal(lost, 0);
	assert_int_equal(detect(25 * MS, 125 * MS), 126 * MS);
	assert_int_equal(lost, 1u << 0);
	assert_int_equal(detect(25 * MS, 126 * MS), NETSTACK_NEVER);
	assert_int_equal(lost, 1u << 0 | 1u << 1); /* 3 was sent after the one that arrived */
}

static void nothing_is_lost_before_anything_arrived(void **state)
{
	(void)state;
	transmit(0);
	assert_int_equal(detect(0, 10000 * MS), NETSTACK_NEVER);
	assert_int_equal(lost, 0);
}

/* All of a train has one time, and what is sent again in it may go in any order of place. */
static void a_train_is_lost_in_order_of_sending(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		transmit(0);
	transmit_again(2, 0);
	transmit_again(0, 0);
	arrive(2, 100 * MS);
	assert_int_equal(detect(0, 100 * MS), NETSTACK_NEVER);
	assert_int_equal(lost, 1u << 1 | 1u << 3);
	scoreboard_clear(&board);
	transmit(100 * MS); /* an empty board goes on counting */
	assert_true(scoreboard_is_after(scoreboard_at(&board, board.head)->order, rack.order));
}

/* Step 2: the reference is the segment that was sent last of those that arrived. */
static void an_older_segment_does_not_move_the_reference_back(void **state)
{
	(void)state;
	transmit(0);
	transmit(10 * MS);
	arrive(1, 110 * MS);
	uint32_t order = rack.order;
	arrive(0, 150 * MS);
	assert_int_equal(rack.order, order);
	assert_int_equal(rack.round_trip, 100 * MS);
}

/* Step 2: faster than any round trip, the acknowledgement is of the first sending. */
static void an_early_acknowledgement_of_a_resent_segment_is_ignored(void **state)
{
	(void)state;
	transmit(0);
	transmit(0);
	transmit_again(0, 90 * MS);
	arrive(0, 90 * MS + 100 * MS - 1);
	assert_false(rack.has_sample);
	transmit_again(1, 90 * MS);
	arrive(1, 190 * MS);
	assert_true(rack.has_sample);
	assert_int_equal(rack.round_trip, 100 * MS);
	transmit(200 * MS);
	arrive(2, 250 * MS); /* sent once, it tells of a shorter path */
	assert_int_equal(rack.round_trip, 50 * MS);
}

/* Step 3. */
static void reordering_is_a_late_segment_that_was_sent_once(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		transmit(0);
	arrive(0, 100 * MS);
	arrive(1, 100 * MS);
	arrive(3, 100 * MS);
	assert_false(rack.saw_reordering); /* a hole, so far */
	transmit_again(2, 100 * MS);
	arrive(2, 200 * MS);
	assert_false(rack.saw_reordering); /* the hole was a loss */
	transmit(200 * MS);
	transmit(200 * MS);
	arrive(5, 300 * MS);
	arrive(4, 301 * MS);
	assert_true(rack.saw_reordering);
}

/* Step 4: min(multiplier * min_RTT / 4, SRTT); none while there was no reordering, in recovery or after three segments. */
static void the_window_is_the_rfcs(void **state)
{
	const struct {
		bool saw_reordering, in_recovery, has_three;
		unsigned multiplier;
		uint64_t minimum, smoothed, window;
	} cases[] = {
		{ false, false, false, 1, 100 * MS, 120 * MS, 25 * MS },    { false, true, false, 1, 100 * MS, 120 * MS, 0 },
		{ false, false, true, 1, 100 * MS, 120 * MS, 0 },           { true, true, false, 1, 100 * MS, 120 * MS, 25 * MS },
		{ true, false, true, 1, 100 * MS, 120 * MS, 25 * MS },      { true, true, true, 4, 100 * MS, 120 * MS, 100 * MS },
		{ true, true, true, 5, 100 * MS, 120 * MS, 120 * MS },      { false, false, false, 20, 100 * MS, 120 * MS, 120 * MS },
		{ false, false, false, 1, RTT_UNKNOWN, 120 * MS, 30 * MS }, { false, false, false, 1, RTT_UNKNOWN, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct rack one = { .saw_reordering = cases[i].saw_reordering, .multiplier = cases[i].multiplier };
		const struct rtt path = { .minimum = cases[i].minimum, .smoothed = cases[i].smoothed };
		assert_int_equal(rack_window(&one, &path, cases[i].in_recovery, cases[i].has_three), cases[i].window);
	}
}

/* Step 4: a DSACK widens the window once a round trip, and sixteen recoveries without one narrow it. */
static void duplicates_widen_the_window_for_sixteen_recoveries(void **state)
{
	(void)state;
	assert_int_equal(rack.multiplier, 1);
	rack_duplicate(&rack, 0, 10000);
	rack_duplicate(&rack, 0, 11000);
	rack_duplicate(&rack, 9999, 12000);
	assert_int_equal(rack.multiplier, 2); /* one round: until what was sent then, 10000, is acknowledged */
	rack_duplicate(&rack, 10000, 20000);
	assert_int_equal(rack.multiplier, 3);
	for (int i = 0; i < 15; i++)
		rack_recovered(&rack);
	assert_int_equal(rack.multiplier, 3);
	rack_recovered(&rack);
	assert_int_equal(rack.multiplier, 1);
	rack_recovered(&rack);
	assert_int_equal(rack.multiplier, 1);
}

static void duplicates_without_end_do_not_widen_it_without_end(void **state)
{
	(void)state;
	for (uint64_t place = 0; place < 1000; place++)
		rack_duplicate(&rack, place, place + 1);
	assert_int_equal(rack.multiplier, 20);
}

/* Section 7.2: two round trips, and for a lone segment the time that its acknowledgement may be delayed. */
static void a_probe_waits_for_two_round_trips(void **state)
{
	(void)state;
	assert_int_equal(rack_probe_delay(&rtt, false), 202 * MS);
	assert_int_equal(rack_probe_delay(&rtt, true), 402 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_late_by_the_window_is_lost, start, end),
		cmocka_unit_test_setup_teardown(nothing_is_lost_before_anything_arrived, start, end),
		cmocka_unit_test_setup_teardown(a_train_is_lost_in_order_of_sending, start, end),
		cmocka_unit_test_setup_teardown(an_older_segment_does_not_move_the_reference_back, start, end),
		cmocka_unit_test_setup_teardown(an_early_acknowledgement_of_a_resent_segment_is_ignored, start, end),
		cmocka_unit_test_setup_teardown(reordering_is_a_late_segment_that_was_sent_once, start, end),
		cmocka_unit_test_setup_teardown(the_window_is_the_rfcs, start, end),
		cmocka_unit_test_setup_teardown(duplicates_widen_the_window_for_sixteen_recoveries, start, end),
		cmocka_unit_test_setup_teardown(duplicates_without_end_do_not_widen_it_without_end, start, end),
		cmocka_unit_test_setup_teardown(a_probe_waits_for_two_round_trips, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
