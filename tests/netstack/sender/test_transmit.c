/* What leaves a sender, and when: windows (RFC 1122, 4.2.3.4; RFC 9293, 3.8.6), pacing, probes (RFC 8985, 7.3). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/netstack.h"
#include "netstack/sender/transmit.h"
#include "tests/failing_heap.h"
#include "tests/netstack/sender/line.h"

#define ROUND_TRIP (100 * MS)
#define PSH SEGMENT_PSH
#define FIN SEGMENT_FIN

static struct line line;
static struct sender *const sender = &line.sender;

static int start(void **state)
{
	(void)state;
	line_start(&line, true, ROUND_TRIP);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	line_end(&line);
	return 0;
}

/* --- windows --- */

static void segments_fit_the_peers_window(void **state)
{
	const struct {
		size_t written;
		bool has_fin;
		uint64_t window, window_max;
		size_t count;
		struct emitted wanted[4];
	} cases[] = {
		{ 2500, false, 1 << 20, 1 << 20, 3, { { 0, 1000, 0 }, { 1000, 1000, 0 }, { 2000, 500, PSH } } },
		{ 2500, true, 1 << 20, 1 << 20, 3, { { 0, 1000, 0 }, { 1000, 1000, 0 }, { 2000, 500, PSH | FIN } } },
		{ 2000, true, 1 << 20, 1 << 20, 2, { { 0, 1000, 0 }, { 1000, 1000, PSH | FIN } } },
		{ 0, true, 1 << 20, 1 << 20, 1, { { 0, 0, FIN } } },
		{ 0, true, 0, 1 << 20, 1, { { 0, 0, FIN } } }, /* a FIN needs no window */
		{ 0, false, 1 << 20, 1 << 20, 0, { { 0 } } },
		{ 2500, true, 2500, 1 << 20, 4, { { 0, 1000, 0 }, { 1000, 1000, 0 }, { 2000, 500, PSH }, { 2500, 0, FIN } } },
		{ 2500, false, 2500, 1 << 20, 3, { { 0, 1000, 0 }, { 1000, 1000, 0 }, { 2000, 500, PSH } } },
		{ 2500, false, 2000, 1 << 20, 2, { { 0, 1000, 0 }, { 1000, 1000, 0 } } },
		{ 2500, false, 1999, 1 << 20, 1, { { 0, 1000, 0 } } }, /* the rest would be a small segment */
		{ 2500, false, 999, 1998, 1, { { 0, 999, 0 } } },      /* half of the largest window that it had */
		{ 2500, false, 999, 2000, 0, { { 0 } } },
		{ 2500, false, 0, 1000, 0, { { 0 } } },
		{ 2500, false, 1999, 1998, 1, { { 0, 1000, 0 } } }, /* half of it, but the first is on its way */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		sender->window_end = cases[i].window;
		sender->window_max = cases[i].window_max;
		if (cases[i].written > 0)
			line_write(&line, cases[i].written);
		if (cases[i].has_fin)
			sender_finish(sender);
		line_update(&line);
		line_expect(&line, cases[i].count, cases[i].wanted);
		assert_int_equal(end(state), 0);
	}
}

static void no_more_flies_than_the_congestion_window(void **state)
{
	(void)state;
	line_write(&line, 10000);
	sender->bbr.window = 3001;
	line_update(&line);
	assert_int_equal(line.count, 4); /* a byte of room is room for a segment */
	assert_true(sender->is_window_limited);
	assert_int_equal(sender->rate.limited_until, 0);
	end(state);
	start(state);
	line_write(&line, 10000);
	sender->bbr.window = 3000;
	line_update(&line);
	assert_int_equal(line.count, 3);
}

/* --- the closed window --- */

/* RFC 9293, 3.8.6.1: first after a timeout, then in growing intervals; the probe takes nothing of the stream. */
static void a_closed_window_is_asked_for(void **state)
{
	const uint64_t waits[] = { 300, 600, 1200, 2400, 4800, 9600, 10000, 10000, 10000 };
	uint64_t since;

	(void)state;
	line_write(&line, 5000);
	sender->window_end = 0;
	line_update(&line);
	line_expect(&line, 0, NULL);
	uint64_t due = sender->deadlines[SENDER_PERSIST];
	line.now += 100 * MS;
	line_update(&line);
	assert_int_equal(sender->deadlines[SENDER_PERSIST], due); /* it runs already */
	line.now -= 100 * MS;
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		since = line.now;
		line_run_timer(&line);
		assert_int_equal(line.now - since, waits[i] * MS);
		line_expect(&line, 1, (const struct emitted[]){ { UINT64_MAX, 0, 0 } }); /* the byte before the window */
		line_forget(&line);
	}
	line_acknowledge(&line, 0, 0, NULL); /* it opens */
	assert_int_equal(line.count, 5);
	assert_int_equal(sender->deadlines[SENDER_PERSIST], NETSTACK_NEVER);
	assert_int_equal(sender->rtt.backoff, 0);
}

/* A window too small for a segment is used when it stays so. */
static void a_small_window_is_used_after_a_while(void **state)
{
	(void)state;
	line_write(&line, 5000);
	sender->window_end = 300;
	line_update(&line);
	line_expect(&line, 0, NULL);
	line_run_timer(&line);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 300, 0 } });
	assert_int_equal(sender->next, 300);
}

/* --- pacing --- */

static void a_segment_waits_for_its_time(void **state)
{
	(void)state;
	sender->bbr.pacing_rate = 1e5; /* 10 ms a segment */
	line_write(&line, 3000);
	line_update(&line);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, 0 } });
	assert_int_equal(sender->deadlines[SENDER_PACE], line.now + 10 * MS);
	line_forget(&line);
	line.now += 10 * MS - 1;
	line_update(&line);
	assert_int_equal(line.count, 0);
	line_run_timer(&line);
	line_expect(&line, 1, (const struct emitted[]){ { 1000, 1000, 0 } });
}

/* Headers count: 60 bytes a packet, of which a full segment has its share already. */
static void a_small_segment_takes_its_share_of_the_path(void **state)
{
	(void)state;
	sender->bbr.pacing_rate = 1e5;
	line_write(&line, 470);
	line_update(&line);
	assert_int_equal(sender->next_send, line.now + 5 * MS); /* 530 of 1,060 */
}

/* Bytes that leave at once, at so many a second. */
static size_t train_on(uint64_t round_trip, double rate)
{
	line_start(&line, true, round_trip);
	sender->bbr.pacing_rate = rate;
	line_write(&line, 200000);
	line_update(&line);
	size_t sent = sender->next;
	line_end(&line);
	return sent;
}

static void trains_are_long_where_the_path_is_short(void **state)
{
	assert_in_range(train_on(100000, 1e7), 60000, 66000);
	assert_in_range(train_on(1100000, 1e7), 15000, 17000);
	assert_in_range(train_on(10000000, 1e7), 5000, 7000);
	assert_in_range(train_on(0, 1e7), 5000, 7000);      /* not known yet */
	assert_in_range(train_on(100000, 1e5), 1000, 2500); /* ten milliseconds are enough */
	start(state);
}

/* A timer that came late is made up for, up to half a round trip of 40 to 100 ms; a pause up to 2 ms. */
static void a_late_timer_is_made_up_for(void **state)
{
	const struct {
		uint64_t round_trip;
		bool was_waiting;
		uint64_t late, credit;
	} cases[] = {
		{ 10, true, 19, 19 },   { 10, true, 500, 20 }, { 60, true, 500, 30 },
		{ 500, true, 500, 50 }, { 60, false, 500, 2 }, { 60, false, 1, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		line_start(&line, true, cases[i].round_trip * MS);
		sender->bbr.pacing_rate = 1e6;
		line_write(&line, cases[i].was_waiting ? 100000 : 1000);
		line_update(&line);
		uint64_t due = sender->next_send;
		assert_int_equal(sender->deadlines[SENDER_PACE] != NETSTACK_NEVER, cases[i].was_waiting);
		line.now = due + cases[i].late * MS;
		line_forget(&line);
		sender->bbr.pacing_rate = 1e15; /* so that next_send shows what it began with */
		sender->bbr.window = 0;         /* nothing leaves */
		sender->rate.limited_until = 0;
		transmit_pump(sender, line.now);
		assert_int_equal(line.now - sender->next_send, cases[i].credit * MS);
		sender->bbr.window = 1;
		assert_int_equal(end(state), 0);
	}
	start(state);
}

/* What comes after a longer delay than is made up for says nothing about the path. */
static void what_a_late_timer_lost_limits_the_samples(void **state)
{
	(void)state;
	sender->bbr.pacing_rate = 1e5;
	line_write(&line, 100000);
	line_update(&line);
	line.now = sender->deadlines[SENDER_PACE] + 40 * MS;
	sender_expire(sender, line.now);
	assert_int_equal(sender->rate.limited_until, 0);
	line.now = sender->deadlines[SENDER_PACE] + 60 * MS;
	sender_expire(sender, line.now);
	assert_int_not_equal(sender->rate.limited_until, 0);
	end(state);
	start(state);
	line.now += 500 * MS; /* a pause is none, when the path is full after it */
	sender->bbr.window = 3000;
	line_write(&line, 100000);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 0);
}

/* --- what is sent again --- */

static void what_is_lost_goes_first(void **state)
{
	(void)state;
	line_write(&line, 3000);
	line_update(&line);
	line_write(&line, 1000);
	scoreboard_lose(&sender->board, 1);
	scoreboard_lose(&sender->board, 0);
	line_forget(&line);
	transmit_pump(sender, line.now);
	line_expect(&line, 3, (const struct emitted[]){ { 1000, 1000, 0 }, { 0, 1000, 0 }, { 3000, 1000, PSH } });
	assert_true(scoreboard_at(&sender->board, 0)->flags & SENT_AGAIN);
	assert_int_equal(sender->board.lost, 0);
}

/* On a path that takes smaller packets now, in several; and without what was acknowledged of it. */
static void a_large_segment_is_sent_again_in_pieces(void **state)
{
	(void)state;
	line_write(&line, 1000);
	sender_finish(sender);
	line_update(&line);
	sender_shrink(sender, 400);
	line_forget(&line);
	line_acknowledge(&line, 150, 0, NULL);
	scoreboard_lose(&sender->board, 0);
	transmit_pump(sender, line.now);
	line_expect(&line, 3, (const struct emitted[]){ { 150, 400, 0 }, { 550, 400, 0 }, { 950, 50, PSH | FIN } });
}

/* --- what is in the way --- */

static void a_refused_packet_was_not_sent(void **state)
{
	(void)state;
	line_write(&line, 3000);
	line_update(&line);
	scoreboard_lose(&sender->board, 1);
	line_write(&line, 1000);
	line_forget(&line);
	line.is_refusing = true;
	transmit_pump(sender, line.now);
	assert_true(sender->is_blocked);
	assert_int_equal(sender->next, 3000);
	assert_int_equal(sender->board.lost, 1000);
	assert_false(scoreboard_at(&sender->board, 1)->flags & SENT_AGAIN);
	line.is_refusing = false;
	line_update(&line);
	line_expect(&line, 2, (const struct emitted[]){ { 1000, 1000, 0 }, { 3000, 1000, PSH } });
}

/* F1. */
static void without_memory_it_tries_again_soon(void **state)
{
	(void)state;
	line_write(&line, 3000);
	heap_fails_after(0);
	line_update(&line);
	heap_works();
	assert_int_equal(line.count, 0);
	assert_int_equal(sender->deadlines[SENDER_PACE], line.now + 10 * MS);
	line_run_timer(&line);
	assert_int_equal(line.count, 3);
}

/* --- the application's pauses --- */

static void an_application_that_has_no_more_limits_the_samples(void **state)
{
	(void)state;
	line_write(&line, 3000);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 3000); /* until all of it has arrived */
	end(state);
	start(state);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 1); /* 0 would be none */
	end(state);
	start(state);
	sender->limit = 3500;
	line_write(&line, 3000);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 0); /* it had no room for a segment more */
	end(state);
	start(state);
	sender->bbr.window = 3000;
	line_write(&line, 3000);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 0); /* the path was full */
}

static void a_closed_window_limits_the_samples(void **state)
{
	(void)state;
	sender->window_end = 2000;
	line_write(&line, 3000);
	line_update(&line);
	assert_int_equal(sender->rate.limited_until, 2000);
	assert_int_equal(sender->deadlines[SENDER_PERSIST], NETSTACK_NEVER); /* the acknowledgements tell it */
}

static void a_flight_after_a_pause_restarts_the_model(void **state)
{
	(void)state;
	line_write(&line, 1000);
	line_update(&line);
	assert_false(sender->bbr.idle_restart); /* the first flight */
	line_write(&line, 1000);
	line_update(&line);
	assert_false(sender->bbr.idle_restart); /* the last one still flies */
	line_acknowledge(&line, 2000, 0, NULL);
	sender->rate.limited_until = 3000;
	sender->bbr.idle_restart = false;
	line_update(&line);
	assert_false(sender->bbr.idle_restart); /* nothing leaves yet */
	line_write(&line, 1000);
	line_update(&line);
	assert_true(sender->bbr.idle_restart);
}

/* --- the tail loss probe --- */

static void a_probe_is_new_data_or_the_last_segment(void **state)
{
	(void)state;
	line_write(&line, 2000);
	line_update(&line);
	line_forget(&line);
	transmit_probe(sender, line.now);
	line_expect(&line, 1, (const struct emitted[]){ { 1000, 1000, PSH } });
	assert_int_equal(sender->probe_end, 2000);
	assert_int_equal(scoreboard_at(&sender->board, 1)->in_flight, 2000); /* it counts once */
	line_write(&line, 500);
	line_forget(&line);
	transmit_probe(sender, line.now);
	line_expect(&line, 1, (const struct emitted[]){ { 2000, 500, PSH } });
	assert_int_equal(sender->probe_end, 2500);
	line_write(&line, 500);
	sender->window_end = 2500; /* there is no room for it */
	line_forget(&line);
	transmit_probe(sender, line.now);
	line_expect(&line, 1, (const struct emitted[]){ { 2000, 500, 0 } });
}

static void a_probe_sends_nothing_that_arrived_or_is_lost(void **state)
{
	(void)state;
	line_write(&line, 2000);
	line_update(&line);
	scoreboard_lose(&sender->board, 1);
	line_forget(&line);
	transmit_probe(sender, line.now);
	assert_int_equal(line.count, 0);
	scoreboard_land(&sender->board, 1);
	scoreboard_mark_sacked(&sender->board, 1);
	transmit_probe(sender, line.now);
	assert_int_equal(line.count, 0);
	end(state);
	start(state);
	transmit_probe(sender, line.now); /* nothing is there */
	assert_int_equal(line.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segments_fit_the_peers_window, start, end),
		cmocka_unit_test_setup_teardown(no_more_flies_than_the_congestion_window, start, end),
		cmocka_unit_test_setup_teardown(a_closed_window_is_asked_for, start, end),
		cmocka_unit_test_setup_teardown(a_small_window_is_used_after_a_while, start, end),
		cmocka_unit_test_setup_teardown(a_segment_waits_for_its_time, start, end),
		cmocka_unit_test_setup_teardown(a_small_segment_takes_its_share_of_the_path, start, end),
		cmocka_unit_test_setup_teardown(trains_are_long_where_the_path_is_short, start, end),
		cmocka_unit_test_setup_teardown(a_late_timer_is_made_up_for, start, end),
		cmocka_unit_test_setup_teardown(what_a_late_timer_lost_limits_the_samples, start, end),
		cmocka_unit_test_setup_teardown(what_is_lost_goes_first, start, end),
		cmocka_unit_test_setup_teardown(a_large_segment_is_sent_again_in_pieces, start, end),
		cmocka_unit_test_setup_teardown(a_refused_packet_was_not_sent, start, end),
		cmocka_unit_test_setup_teardown(without_memory_it_tries_again_soon, start, end),
		cmocka_unit_test_setup_teardown(an_application_that_has_no_more_limits_the_samples, start, end),
		cmocka_unit_test_setup_teardown(a_closed_window_limits_the_samples, start, end),
		cmocka_unit_test_setup_teardown(a_flight_after_a_pause_restarts_the_model, start, end),
		cmocka_unit_test_setup_teardown(a_probe_is_new_data_or_the_last_segment, start, end),
		cmocka_unit_test_setup_teardown(a_probe_sends_nothing_that_arrived_or_is_lost, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
