/* The sending half of a connection: acceptability (RFC 5961, 5.2), the window (RFC 9293, 3.10.7.4), timeouts (RFC 6298, 5), SACK (RFC 2018,
 * 5 and 8; RFC 2883; RFC 8985), a peer without it (RFC 5681, 3.2; RFC 6582), and the invariants of sender.h after every step. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "netstack/netstack.h"
#include "tests/netstack/dice.h"
#include "tests/netstack/sender/line.h"

#define ROUND_TRIP (100 * MS)

static struct line line;
static struct sender *const sender = &line.sender;

static int start(void **state)
{
	(void)state;
	line_start(&line, true, ROUND_TRIP);
	return 0;
}

static int start_without_sack(void **state)
{
	(void)state;
	line_start(&line, false, ROUND_TRIP);
	return 0;
}

static int end(void **state)
{
	(void)state;
	line_end(&line);
	return 0;
}

static void send_now(size_t length)
{
	line_write(&line, length);
	line_update(&line);
	line_forget(&line);
}

static void sack(uint64_t place, uint64_t left, uint64_t right)
{
	line_acknowledge(&line, place, 1, &(struct range){ left, right });
}

static void acknowledge(uint64_t place)
{
	line_acknowledge(&line, place, 0, NULL);
}

/* --- writing --- */

static void no_more_is_taken_than_the_limit(void **state)
{
	static uint8_t bytes[20000];

	(void)state;
	sender->limit = 10000;
	assert_int_equal(sender_room(sender), 10000);
	assert_int_equal(sender_write(sender, bytes, 6000), 6000);
	assert_int_equal(line.budget.used >= 6000, 1);
	assert_int_equal(sender_write(sender, bytes + 6000, 14000), 4000);
	assert_int_equal(sender_write(sender, bytes, 1), 0);
	assert_int_equal(sender_room(sender), 0);
	sender->limit = 5000; /* less than is there already */
	assert_int_equal(sender_room(sender), 0);
	sender->limit = 1 << 20;
	budget_charge(&line.budget, LINE_LIMIT);
	assert_int_equal(sender_room(sender), BUDGET_LEAST - 10000);
	budget_release(&line.budget, LINE_LIMIT);
}

static void nothing_is_taken_after_the_end(void **state)
{
	(void)state;
	sender_finish(sender);
	assert_int_equal(sender_write(sender, "x", 1), 0);
	assert_true(sender_has_unsent(sender));
	assert_false(sender_is_done(sender));
	line_update(&line);
	assert_false(sender_has_unsent(sender));
	acknowledge(0);
	assert_false(sender_is_done(sender));
	acknowledge(1);
	assert_true(sender_is_done(sender));
	assert_int_equal(sender_deadline(sender), NETSTACK_NEVER);
}

/* --- acknowledgements --- */

static bool hear(uint32_t acknowledgement, uint32_t sequence, uint16_t window)
{
	const struct segment segment = { .acknowledgement = acknowledgement, .sequence = sequence, .window = window, .flags = SEGMENT_ACK };
	return sender_heard(sender, &segment, 0, line.now);
}

static void what_was_not_sent_cannot_be_acknowledged(void **state)
{
	const struct {
		int64_t place;
		bool is_accepted;
	} cases[] = { { 3001, false },           { 1 << 30, false }, { 1000, true }, { 0, true }, { -1000, true }, { 1000 - (1 << 30), true },
		      { 999 - (1 << 30), false } };

	(void)state;
	send_now(3000);
	acknowledge(1000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(hear(LINE_FIRST + (uint32_t)cases[i].place, 0, 8192), cases[i].is_accepted);
		assert_int_equal(sender->acknowledged, 1000);
	}
	line_update(&line);
	acknowledge(3000);
	assert_int_equal(sender->acknowledged, 3000);
	assert_int_equal(line.budget.used, 0);
}

/* SND.WL1 and SND.WL2: a segment that was overtaken does not tell the window. */
static void the_newest_segment_tells_the_window(void **state)
{
	const struct {
		uint32_t place, sequence;
		uint16_t window;
		uint64_t end;
	} cases[] = {
		{ 0, 100, 5000, 5000 },                                       /* the first */
		{ 1000, 99, 9000, 5000 },                                     /* sent before */
		{ 1000, 100, 9000, 10000 },                                   /* of the same place, later */
		{ 1000, 100, 8000, 9000 },                                    /* a window that shrinks */
		{ 1000, 101, 100, 1100 },   { 2000, 0x80000101, 9000, 1100 }, /* half the numbers away is before */
	};

	(void)state;
	send_now(3000);
	sender->window_max = sender->window_end = 0;
	sender->window_sequence = 200; /* of nobody yet */
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_true(hear(LINE_FIRST + cases[i].place, cases[i].sequence, cases[i].window));
		assert_int_equal(sender->window_end, cases[i].end);
	}
	assert_int_equal(sender->window_max, 9000);
	line_update(&line);
	acknowledge(1000);
	uint64_t end_before = sender->window_end;
	assert_true(hear(LINE_FIRST, 0x1000, 100)); /* an acknowledgement of the past tells nothing */
	assert_int_equal(sender->window_end, end_before);
	line_update(&line);
}

/* RFC 6298, 3: what was sent again gives no sample (Karn). */
static void round_trips_are_measured_once_sent(void **state)
{
	(void)state;
	send_now(2000);
	line.now += 200 * MS;
	acknowledge(1000);
	assert_int_equal(sender->rtt.smoothed, 100 * MS + 100 * MS / 8);
	line_run_timer(&line); /* the segment left is sent again */
	uint64_t smoothed = sender->rtt.smoothed;
	line.now += 500 * MS;
	acknowledge(2000);
	assert_int_equal(sender->rtt.smoothed, smoothed);
}

/* --- the retransmission timeout (RFC 6298, 5) --- */

static void the_timeout_runs_while_something_is_outstanding(void **state)
{
	(void)state;
	assert_int_equal(sender_deadline(sender), NETSTACK_NEVER);
	send_now(2000);
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], line.now + 300 * MS);
	line.now += 50 * MS;
	send_now(1000); /* 5.1: it runs already */
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], line.now + 250 * MS);
	line.now += 50 * MS;
	acknowledge(1000); /* 5.3 */
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], line.now + rtt_timeout(&sender->rtt));
	acknowledge(3000); /* 5.2 */
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], NETSTACK_NEVER);
}

static void expire_timeout(void)
{
	line.now = sender->deadlines[SENDER_TIMEOUT];
	sender->deadlines[SENDER_PROBE] = NETSTACK_NEVER;
	sender_expire(sender, line.now);
	line_check(&line);
}

/* 5.4 to 5.6: the first segment again, with twice the time, and one segment alone. */
static void a_timeout_sends_the_first_segment_again(void **state)
{
	(void)state;
	send_now(5000);
	for (uint64_t wait = 600; wait <= 2400; wait *= 2) {
		line_forget(&line);
		expire_timeout();
		line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, 0 } });
		assert_int_equal(sender->deadlines[SENDER_TIMEOUT] - line.now, (wait < 2000 ? wait : 2000) * MS);
		assert_int_equal(sender->phase, SENDER_LOSS);
	}
	line_forget(&line);
	line.now += 100 * MS;
	acknowledge(1000);
	assert_int_equal(sender->rtt.backoff, 0);
	assert_int_equal(line.emitted[0].place, 1000); /* the others follow in their order */
	acknowledge(4999);
	assert_int_equal(sender->phase, SENDER_LOSS);
	acknowledge(5000);
	assert_int_equal(sender->phase, SENDER_OPEN);
}

/* What was sent less than a round trip ago may still arrive (RFC 8985, 6.3). */
static void a_timeout_spares_what_was_just_sent(void **state)
{
	(void)state;
	send_now(2000);
	line.now += 100 * MS;
	acknowledge(1000); /* the round trip is known to RACK */
	uint64_t due = sender->deadlines[SENDER_TIMEOUT];
	line.now = due - 10 * MS;
	send_now(1000);
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], due);
	expire_timeout();
	assert_int_equal(sender->board.lost, 0); /* the first is on its way again (RFC 6298, 5.4) */
	assert_true(scoreboard_at(&sender->board, sender->board.head)->flags & SENT_AGAIN);
	assert_false(scoreboard_at(&sender->board, sender->board.tail - 1)->flags & (SENT_AGAIN | SENT_LOST));
}

/* RFC 1122, 4.2.3.5: five minutes without an answer; any acknowledgement is one. */
static void it_gives_up_after_five_minutes_without_an_answer(void **state)
{
	(void)state;
	send_now(1000);
	expire_timeout();
	uint64_t since = line.now;
	while (line.now + 2000 * MS <= since + 300000 * MS) {
		expire_timeout();
		assert_false(sender->has_given_up);
	}
	acknowledge(0); /* it lives */
	since = 0;
	while (!sender->has_given_up) {
		expire_timeout();
		since = since == 0 ? line.now : since;
	}
	assert_in_range(line.now - since, 300000 * MS, 303000 * MS);
}

/* The path is back: at once, but only when it was waited for. */
static void a_kick_tries_at_once(void **state)
{
	(void)state;
	send_now(1000);
	sender_kick(sender, line.now);
	assert_int_equal(line.count, 0);
	for (int i = 0; i < 4; i++)
		expire_timeout();
	line_forget(&line);
	line.now += 10 * MS;
	sender_kick(sender, line.now);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, SEGMENT_PSH } });
	assert_true(sender->deadlines[SENDER_TIMEOUT] <= line.now + 600 * MS); /* the time begins small again */
	end(state);
	start(state);
	sender->window_end = 0;
	line_write(&line, 1000);
	line_update(&line);
	line_run_timer(&line);
	line_forget(&line);
	sender_kick(sender, line.now);
	assert_int_equal(line.count, 1); /* asks for the window */
}

/* --- SACK --- */

/* RFC 8985, 6.2 step 4, where nothing was reordered so far: three segments that arrived. */
static void a_hole_below_three_segments_is_lost(void **state)
{
	(void)state;
	send_now(6000);
	line.now += 100 * MS;
	sack(0, 1000, 2000);
	sack(0, 1000, 3000);
	assert_int_equal(line.count, 0);
	assert_int_equal(sender->deadlines[SENDER_REORDER], line.now + 25 * MS);
	assert_int_equal(sender->deadlines[SENDER_PROBE], NETSTACK_NEVER); /* what arrived tells more than a probe (RFC 8985, 7.2) */
	sack(0, 1000, 4000);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, 0 } });
	assert_int_equal(sender->phase, SENDER_RECOVERY);
	assert_int_equal(sender->recovery_point, 6000);
	assert_int_equal(sender->rate.lost, 1000);
	sack(0, 1000, 4000); /* it is told again */
	assert_int_equal(line.count, 1);
	assert_int_equal(sender->board.sacked, 3000);
	acknowledge(4000);
	assert_int_equal(sender->phase, SENDER_RECOVERY);
	assert_int_equal(sender->deadlines[SENDER_PROBE], NETSTACK_NEVER);
	sender->rack.persistence = 1;
	sender->rack.multiplier = 3;
	acknowledge(6000);
	assert_int_equal(sender->phase, SENDER_OPEN);
	assert_int_equal(sender->rack.multiplier, 1); /* RACK knows that it is over */
}

/* The congestion control hears of losses: as a bound while it probes, and in the sample, but for what a timeout swallowed. */
static void the_model_hears_of_losses(void **state)
{
	(void)state;
	send_now(9000);
	sender->bbr.samples_probe = true;
	sender->is_window_limited = true;
	line.now += 100 * MS;
	sack(0, 5000, 9000);
	assert_int_not_equal(sender->bbr.inflight_high, UINT64_MAX);
	assert_int_equal(sender->sample.newly_lost, 5000);
	assert_false(sender->is_window_limited);
	end(state);
	start(state);
	send_now(9000);
	uint64_t window = sender->bbr.window;
	expire_timeout();
	assert_int_equal(sender->sample.newly_lost, 0);
	assert_true(sender->bbr.window < window);
	line.now += 100 * MS;
	acknowledge(9000);
	assert_false(sender->bbr.in_recovery);
	assert_true(sender->bbr.window >= window);
}

static void a_hole_is_lost_when_it_is_late(void **state)
{
	(void)state;
	send_now(3000);
	line.now += 100 * MS;
	sack(0, 1000, 2000);
	assert_int_equal(sender_deadline(sender), line.now + 25 * MS); /* a quarter of the round trip */
	line_run_timer(&line);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, 0 } });
	assert_int_equal(sender->phase, SENDER_RECOVERY);
}

/* Blocks of nothing, of what was acknowledged, of what was not sent, and inverted ones. */
static void blocks_that_cannot_be_are_ignored(void **state)
{
	const struct range cases[] = { { 2000, 2000 }, { 3000, 2000 }, { 3000, 500 }, { 4000, 6000 }, { 1000, 2000 }, { 500, 1500 }, { 2001, 2999 } };

	(void)state;
	send_now(5000);
	acknowledge(1000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		line_acknowledge(&line, 1000, 1, &cases[i]);
		assert_int_equal(sender->board.sacked, 0);
		assert_int_equal(line.count, 0);              /* nothing is sent again for them */
		assert_int_equal(sender->rack.multiplier, 1); /* nor are they duplicates */
	}
	line_acknowledge(&line, 1000, 2, (const struct range[]){ { 4000, 6000 }, { 4000, 6000 } });
	assert_int_equal(sender->rack.multiplier, 1); /* what was not sent did not come twice */
	sack(1000, 2001, 4999);                       /* of a segment that is not whole there is none */
	assert_int_equal(sender->board.sacked, 1000);
	assert_true(scoreboard_at(&sender->board, sender->board.head + 2)->flags & SENT_SACKED);
}

/* Blocks come newest first; read in order of place they do not look reordered. */
static void blocks_in_any_order_are_no_reordering(void **state)
{
	(void)state;
	send_now(9000);
	line.now += 100 * MS;
	line_acknowledge(&line, 0, 3, (const struct range[]){ { 7000, 8000 }, { 5000, 6000 }, { 2000, 3000 } });
	assert_false(sender->rack.saw_reordering);
	assert_int_equal(sender->board.sacked, 3000);
	assert_int_equal(line.count, 5); /* all holes below the newest */
}

/* RFC 2883, 4: the first block is a duplicate's when it is acknowledged, or lies within the second. */
static void duplicates_widen_the_reordering_window(void **state)
{
	const struct {
		size_t count;
		struct range blocks[2];
		unsigned multiplier;
		uint64_t sacked;
	} cases[] = {
		{ 1, { { 0, 1000 } }, 2, 0 },
		{ 1, { { 3000, 4000 } }, 1, 1000 },
		{ 2, { { 3000, 4000 }, { 3000, 5000 } }, 2, 2000 },
		{ 2, { { 4000, 5000 }, { 3000, 5000 } }, 2, 2000 },
		{ 2, { { 4000, 5000 }, { 2000, 3000 } }, 1, 2000 },
		{ 2, { { 3000, 5000 }, { 4000, 5000 } }, 1, 2000 },
		{ 2, { { 3000, 4000 }, { 0, 1000 } }, 1, 1000 }, /* only the first may be one */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		line_start(&line, true, ROUND_TRIP);
		send_now(9000);
		acknowledge(1000);
		line_acknowledge(&line, 1000, cases[i].count, cases[i].blocks);
		assert_int_equal(sender->rack.multiplier, cases[i].multiplier);
		assert_int_equal(sender->board.sacked, cases[i].sacked);
		assert_int_equal(end(state), 0);
	}
	start(state);
}

/* Twice the acknowledgement of a full segment was lost, and then its first bytes arrive again, in a small one. */
static void a_duplicate_shows_a_lost_acknowledgement(void **state)
{
	(void)state;
	black_hole_init(&sender->hole, AF_INET);
	send_now(3000);
	expire_timeout();
	expire_timeout();
	assert_int_equal(sender->segment, 536);
	sack(1000, 0, 536);
	assert_int_equal(sender->segment, LINE_SIZE);
	assert_false(sender->hole.is_watched);
}

/* RFC 2018, 8: an acknowledgement that stops at a SACKed segment says that it was thrown away. */
static void what_was_thrown_away_is_sent_again(void **state)
{
	(void)state;
	send_now(4000);
	line.now += 100 * MS;
	sack(0, 1000, 3000);
	acknowledge(1000);
	assert_int_equal(sender->board.sacked, 0);
	line_expect(&line, 2, (const struct emitted[]){ { 1000, 1000, 0 }, { 2000, 1000, 0 } });
}

static void without_the_option_blocks_are_ignored(void **state)
{
	(void)state;
	send_now(4000);
	sack(0, 1000, 4000);
	assert_int_equal(sender->board.sacked, 0);
}

/* --- a peer without SACK --- */

/* RFC 5681, 3.2, and RFC 6582, 3.2: three duplicates, and in recovery each acknowledgement of a part. */
static void three_duplicates_send_the_first_again(void **state)
{
	(void)state;
	send_now(6000);
	line.now += 100 * MS;
	line.window = 1 << 19;
	acknowledge(0); /* changes the window, so it is none */
	acknowledge(0);
	acknowledge(0);
	assert_int_equal(line.count, 0);
	acknowledge(0);
	line_expect(&line, 1, (const struct emitted[]){ { 0, 1000, 0 } });
	assert_int_equal(sender->phase, SENDER_RECOVERY);
	acknowledge(0);
	acknowledge(0);
	assert_int_equal(line.count, 1);
	line_forget(&line);
	line.now += 10 * MS; /* too soon for time to tell */
	acknowledge(2000);
	line_expect(&line, 1, (const struct emitted[]){ { 2000, 1000, 0 } });
	acknowledge(6000);
	assert_int_equal(sender->phase, SENDER_OPEN);
	send_now(3000);
	acknowledge(6000);
	acknowledge(6000);
	acknowledge(7000);
	acknowledge(7000); /* the count begins anew */
	acknowledge(7000);
	assert_int_equal(sender->duplicates, 2);
}

static void data_and_windows_are_no_duplicates(void **state)
{
	(void)state;
	send_now(6000);
	line.window = 1 << 19;
	acknowledge(0);
	for (uint16_t i = 0; i < 5; i++) {
		const struct segment segment = {
			.acknowledgement = LINE_FIRST, .window = (uint16_t)(line.window >> 7), .length = 100, .flags = SEGMENT_ACK
		};
		assert_true(sender_heard(sender, &segment, 7, line.now));
		line.window += 128; /* it opens */
		acknowledge(0);
	}
	assert_int_equal(sender->duplicates, 0);
	assert_int_equal(line.count, 0);
}

/* --- the tail loss probe (RFC 8985, 7.2) --- */

static void the_last_segment_is_probed_for(void **state)
{
	(void)state;
	send_now(3000);
	assert_int_equal(sender->deadlines[SENDER_PROBE], line.now + 202 * MS);
	line_run_timer(&line);
	line_expect(&line, 1, (const struct emitted[]){ { 2000, 1000, SEGMENT_PSH } });
	assert_int_equal(sender->deadlines[SENDER_PROBE], NETSTACK_NEVER); /* one at a time */
	assert_int_equal(sender->deadlines[SENDER_TIMEOUT], line.now + 300 * MS);
	assert_int_equal(sender->phase, SENDER_OPEN);
	line.now += 100 * MS;
	line_forget(&line);
	sack(0, 2000, 3000); /* it arrived, so the others are lost */
	line_expect(&line, 2, (const struct emitted[]){ { 0, 1000, 0 }, { 1000, 1000, 0 } });
	acknowledge(3000);
	assert_int_equal(sender->probe_end, 0);
}

/* Its acknowledgement may be delayed by 200 ms, which is after the timeout here. */
static void a_lone_segment_waits_for_the_timeout(void **state)
{
	(void)state;
	send_now(1000);
	assert_int_equal(sender->deadlines[SENDER_PROBE], NETSTACK_NEVER);
	assert_int_equal(sender_deadline(sender), line.now + 300 * MS);
}

/* --- sizes --- */

static void segments_only_shrink(void **state)
{
	(void)state;
	sender_shrink(sender, 2000);
	assert_int_equal(sender->segment, 1000);
	sender_shrink(sender, 600);
	assert_int_equal(sender->bbr.segment, 600);
	send_now(0 + 1200);
	assert_int_equal(scoreboard_at(&sender->board, 0)->length, 600);
}

static void the_buffer_follows_the_path(void **state)
{
	(void)state;
	send_now(5000);
	line.now += 100 * MS;
	acknowledge(1000);
	uint64_t held = bbr_inflight(&sender->bbr, 1) > sender->bbr.window ? bbr_inflight(&sender->bbr, 1) : sender->bbr.window;
	assert_int_equal(sender->limit, 2 * held > BUDGET_FLOOR ? 2 * held : BUDGET_FLOOR);
	sender->bbr.window = 10 << 20;
	sender->bbr.filled = false;
	acknowledge(2000);
	assert_in_range(sender->limit, 20 << 20, 21 << 20);
	sender->phase = SENDER_RECOVERY;
	sender->recovery_point = 5000;
	acknowledge(3000);
	assert_int_equal(sender->limit, budget_share(&line.budget)); /* four times that is more than there is */
}

/* --- all of it --- */

/* A far end that gets each packet by chance, and tells what it has. */
struct far_end {
	struct ranges held;
	uint64_t next;
	uint64_t all; /* with the FIN */
};

static void receive(struct far_end *far, double loss)
{
	struct range merged;

	for (size_t i = 0; i < line.count; i++) {
		const struct emitted *packet = &line.emitted[i];
		uint64_t right = packet->place + packet->length + (packet->flags & SEGMENT_FIN ? 1 : 0);
		if (dice(1000) < loss * 1000 || packet->place > far->all || right <= packet->place)
			continue;
		ranges_add(&far->held, (struct range){ packet->place, right }, &merged);
		if (merged.left <= far->next && merged.right > far->next)
			far->next = merged.right;
	}
	ranges_trim(&far->held, far->next);
	line_forget(&line);
}

static void tell(const struct far_end *far)
{
	struct range blocks[3];
	size_t count = 0;

	for (; sender->has_sack && count < far->held.count && count < 3; count++)
		blocks[count] = far->held.first[count];
	line_acknowledge(&line, far->next, count, blocks);
}

static void run_over_a_lossy_path(bool has_sack, double loss)
{
	struct far_end far = { .held.budget = &line.budget, .all = 300001 };

	line_start(&line, has_sack, ROUND_TRIP);
	sender->bbr.pacing_rate = 1e6;
	sender->bbr.window = 10000;
	line_write(&line, 300000);
	sender_finish(sender);
	line_update(&line);
	for (unsigned steps = 0; !sender_is_done(sender); steps++) {
		assert_true(steps < 20000);
		uint64_t due = sender_deadline(sender);
		uint64_t arrival = line.now + ROUND_TRIP;
		if (line.count > 0 && arrival <= due) {
			line.now = arrival;
			receive(&far, loss);
			if (dice(1000) >= loss * 1000)
				tell(&far);
		} else {
			line_run_timer(&line);
		}
		assert_false(sender->has_given_up);
	}
	assert_int_equal(far.next, 300001);
	ranges_clear(&far.held);
	line_end(&line);
}

static void everything_arrives_over_a_lossy_path(void **state)
{
	(void)state;
	for (int run = 0; run < 10; run++) {
		run_over_a_lossy_path(true, 0);
		run_over_a_lossy_path(true, 0.05);
		run_over_a_lossy_path(true, 0.3);
		run_over_a_lossy_path(false, 0.02);
		run_over_a_lossy_path(false, 0.2);
	}
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, start, end)
#define WITHOUT(name) cmocka_unit_test_setup_teardown(name, start_without_sack, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(no_more_is_taken_than_the_limit),
		WITH(nothing_is_taken_after_the_end),
		WITH(what_was_not_sent_cannot_be_acknowledged),
		WITH(the_newest_segment_tells_the_window),
		WITH(round_trips_are_measured_once_sent),
		WITH(the_timeout_runs_while_something_is_outstanding),
		WITH(a_timeout_sends_the_first_segment_again),
		WITH(a_timeout_spares_what_was_just_sent),
		WITH(it_gives_up_after_five_minutes_without_an_answer),
		WITH(a_kick_tries_at_once),
		WITH(a_hole_below_three_segments_is_lost),
		WITH(the_model_hears_of_losses),
		WITH(a_hole_is_lost_when_it_is_late),
		WITH(blocks_that_cannot_be_are_ignored),
		WITH(blocks_in_any_order_are_no_reordering),
		WITH(duplicates_widen_the_reordering_window),
		WITH(a_duplicate_shows_a_lost_acknowledgement),
		WITH(what_was_thrown_away_is_sent_again),
		WITHOUT(without_the_option_blocks_are_ignored),
		WITHOUT(three_duplicates_send_the_first_again),
		WITHOUT(data_and_windows_are_no_duplicates),
		WITH(the_last_segment_is_probed_for),
		WITH(a_lone_segment_waits_for_the_timeout),
		WITH(segments_only_shrink),
		WITH(the_buffer_follows_the_path),
		cmocka_unit_test(everything_arrives_over_a_lossy_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
