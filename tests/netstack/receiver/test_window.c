/* How large the receive window should be: at least what two round trips bring, while the owner keeps up and memory is there. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/receiver/window.h"

#define MS 1000000ull
#define KB 1024ull
#define FIRST (64 * KB)
#define MOST (16384 * KB)

static struct window window;
static uint64_t next, now;

static int start(void **state)
{
	(void)state;
	window_init(&window, FIRST, MOST, 100 * MS);
	next = 0;
	now = 1000 * MS;
	window_adjust(&window, 0, 0, 0, MOST, now);
	return 0;
}

/* A round trip in which so many bytes come, of which the owner leaves `unread`. */
static void receive(uint64_t bytes, uint64_t unread, uint64_t held, uint64_t share)
{
	window_arrived(&window, bytes);
	next += bytes - held;
	now += 100 * MS;
	window_adjust(&window, next, unread, held, share, now);
}

static void a_window_begins_within_the_scale(void **state)
{
	(void)state;
	assert_int_equal(window.size, FIRST);
	window_init(&window, FIRST, 60000, 0);
	assert_int_equal(window.size, 60000);
}

static void it_holds_what_two_round_trips_bring(void **state)
{
	(void)state;
	for (uint64_t bytes = 50 * KB; bytes < 4096 * KB; bytes *= 2) {
		receive(bytes, 0, 0, MOST);
		assert_true(window.size >= 2 * bytes || window.size == 960 * KB);
	}
	assert_true(window.size > 960 * KB);
}

/* Growth of a hundredth: hardly more than the two round trips and sixteen segments of slack. */
static void it_holds_little_more_than_that(void **state)
{
	(void)state;
	receive(100 * KB, 0, 0, FIRST);
	receive(101 * KB, 0, 0, MOST);
	assert_in_range(window.size, 202 * KB, 202 * KB + 16 * 1460 + 6 * KB);
}

static void a_flow_that_doubles_gets_room_for_the_next_doublings(void **state)
{
	(void)state;
	receive(100 * KB, 0, 0, FIRST);
	receive(200 * KB, 0, 0, MOST);
	assert_true(window.size > 800 * KB);
}

/* A flow that comes back to what it was is none that grows. */
static void a_dip_is_not_followed_by_growth(void **state)
{
	(void)state;
	receive(100 * KB, 0, 0, 300 * KB);
	receive(50 * KB, 0, 0, MOST);
	receive(100 * KB, 0, 0, MOST);
	assert_int_equal(window.size, 300 * KB);
}

/* A sender that does not grow needs no larger window. */
static void it_does_not_grow_with_a_steady_flow(void **state)
{
	(void)state;
	receive(100 * KB, 0, 0, MOST);
	uint64_t size = window.size;
	for (int i = 0; i < 50; i++)
		receive(100 * KB, 0, 0, MOST);
	assert_int_equal(window.size, size);
}

/* What was offered is not taken back (RFC 9293, 3.8.6), so the size never falls. */
static void it_never_shrinks(void **state)
{
	(void)state;
	receive(200 * KB, 0, 0, MOST);
	uint64_t size = window.size;
	receive(10, 0, 0, 1);
	receive(400 * KB, 0, 0, 1);
	assert_int_equal(window.size, size);
}

static void it_grows_only_while_the_owner_keeps_up(void **state)
{
	(void)state;
	receive(200 * KB, FIRST / 4 + 1, 0, MOST);
	assert_int_equal(window.size, FIRST);
	receive(400 * KB, FIRST / 4, 0, MOST);
	assert_true(window.size > FIRST);
}

/* An owner that takes nothing looks quick while the socket behind it fills. */
static void an_untried_owner_gets_less_than_a_megabyte(void **state)
{
	(void)state;
	receive(380 * KB, 0, 0, MOST);
	assert_int_equal(window.size, 960 * KB);
	receive(2048 * KB, 0, 0, MOST); /* it has taken 384 KB by then */
	assert_true(window.size >= 4096 * KB);
}

static void it_stays_within_the_share_and_the_scale(void **state)
{
	(void)state;
	receive(200 * KB, 0, 0, 100 * KB);
	assert_int_equal(window.size, 100 * KB);
	for (uint64_t bytes = 1024 * KB; bytes < 4 * MOST; bytes *= 2)
		receive(bytes, 0, 0, 10 * MOST);
	assert_int_equal(window.size, MOST);
}

/* Bytes behind a hole count, or else a path that loses would starve. */
static void what_is_behind_a_hole_counts(void **state)
{
	(void)state;
	receive(40 * KB, 0, 0, MOST);
	uint64_t without = window.size;
	start(state);
	receive(40 * KB, 0, 30 * KB, MOST);
	assert_int_equal(window.size, without + 30 * KB);
}

/* Less than a round trip is no round trip: its bytes are counted with what follows. */
static void it_looks_once_a_round_trip(void **state)
{
	(void)state;
	window_arrived(&window, 50 * KB);
	window_adjust(&window, 50 * KB, 0, 0, MOST, now + 100 * MS - 1);
	assert_int_equal(window.size, FIRST);
	window_arrived(&window, 50 * KB);
	window_adjust(&window, 100 * KB, 0, 0, MOST, now + 100 * MS);
	assert_true(window.size >= 200 * KB);
}

/* A window's worth of bytes takes a round trip at least: with none from the handshake, and with one that was too long. */
static void the_round_trip_is_measured_by_the_window(void **state)
{
	const struct {
		uint64_t known, taken, wanted;
	} cases[] = { { 0, 80, 80 }, { 100, 80, 80 }, { 100, 150, 100 }, { 100, 0, 100 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		window_init(&window, FIRST, MOST, cases[i].known * MS);
		window_adjust(&window, 5, 0, 0, MOST, 1000 * MS);
		window_adjust(&window, 5 + FIRST - 1, 0, 0, MOST, 1000 * MS);
		assert_int_equal(window.round_trip, cases[i].known * MS);
		window_adjust(&window, 5 + FIRST, 0, 0, MOST, (1000 + cases[i].taken) * MS);
		assert_int_equal(window.round_trip, cases[i].wanted * MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_window_begins_within_the_scale, start),
		cmocka_unit_test_setup(it_holds_what_two_round_trips_bring, start),
		cmocka_unit_test_setup(it_holds_little_more_than_that, start),
		cmocka_unit_test_setup(a_flow_that_doubles_gets_room_for_the_next_doublings, start),
		cmocka_unit_test_setup(a_dip_is_not_followed_by_growth, start),
		cmocka_unit_test_setup(it_does_not_grow_with_a_steady_flow, start),
		cmocka_unit_test_setup(it_never_shrinks, start),
		cmocka_unit_test_setup(it_grows_only_while_the_owner_keeps_up, start),
		cmocka_unit_test_setup(an_untried_owner_gets_less_than_a_megabyte, start),
		cmocka_unit_test_setup(it_stays_within_the_share_and_the_scale, start),
		cmocka_unit_test_setup(what_is_behind_a_hole_counts, start),
		cmocka_unit_test_setup(it_looks_once_a_round_trip, start),
		cmocka_unit_test_setup(the_round_trip_is_measured_by_the_window, start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
