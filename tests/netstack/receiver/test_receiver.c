/* The receiving half of a connection: order (RFC 9293, 3.10.7.4), acknowledgements (RFC 5681, 4.2; RFC 9293, 3.8.6.3), SACK (RFC 2018, 4;
 * RFC 2883) and the window (RFC 9293, 3.8.6). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/packet/budget.h"
#include "netstack/netstack.h"
#include "netstack/receiver/receiver.h"
#include "tests/failing_heap.h"
#include "tests/netstack/dice.h"

#define LIMIT ((size_t)64 << 20)
#define MS 1000000ull
#define FIRST 0xffffff00u /* the numbers wrap soon */
#define WINDOW 65536
#define PARTS 4

static struct budget budget;
static struct retired retired;
static struct receiver receiver;
static uint8_t bytes[200000];
static struct iovec parts[PARTS];
static size_t length; /* what the last take gave */

static void begin(uint64_t window, uint8_t scale, bool has_sack)
{
	receiver_init(&receiver, FIRST, scale, has_sack, window, 50 * MS, &budget, &retired);
}

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	budget = (struct budget){ 0 };
	retired = (struct retired){ .budget = &budget };
	begin(WINDOW, 7, true);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)dice(256);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	receiver_clear(&receiver);
	retired_free_all(&retired);
	return budget_used() == 0 ? 0 : -1;
}

static size_t take_flagged(uint64_t place, size_t size, uint8_t flags, uint64_t now)
{
	const struct segment segment = {
		.sequence = FIRST + (uint32_t)place, .payload = bytes + place, .length = size, .flags = SEGMENT_ACK | flags
	};
	uint64_t before = receiver.next;
	size_t count = receiver_take(&receiver, &segment, parts, PARTS, &length, now);

	assert_int_equal(receiver.next, before + length);
	for (size_t i = 0; i < count; before += parts[i++].iov_len)
		assert_memory_equal(parts[i].iov_base, bytes + before, parts[i].iov_len);
	assert_int_equal(before, receiver.next);
	return count;
}

static size_t take(uint64_t place, size_t size)
{
	return take_flagged(place, size, 0, 1000 * MS);
}

static void end_quick(void)
{
	for (int i = 0; i < 16; i++)
		receiver_acknowledged(&receiver);
}

static void expect_blocks(size_t count, const struct range *wanted)
{
	struct range blocks[RECEIVER_SACK_MAX];

	assert_int_equal(receiver_sack(&receiver, blocks), count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(blocks[i].left, wanted[i].left);
		assert_int_equal(blocks[i].right, wanted[i].right);
	}
}

/* --- order --- */

/* With 0 to 2,000 received and the window to 65,536. */
static void only_new_bytes_of_the_window_are_taken(void **state)
{
	const struct {
		uint64_t place;
		size_t size, taken;
	} cases[] = {
		{ 2000, 500, 500 },     /* the next ones */
		{ 1500, 1000, 500 },    /* known ones before them */
		{ 1000, 1000, 0 },      /* all known */
		{ 0, 1500, 0 },         /* known */
		{ 2001, 500, 0 },       /* behind a hole */
		{ 70000, 500, 0 },      /* behind the window */
		{ 2000, 70000, 63536 }, /* more than the window */
		{ 1999, 1, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		start(state);
		assert_int_equal(take(0, 2000), 1);
		assert_int_equal(take(cases[i].place, cases[i].size), cases[i].taken > 0);
		assert_int_equal(length, cases[i].taken);
		assert_int_equal(end(state), 0);
	}
}

static void a_hole_that_is_filled_gives_all_that_follows(void **state)
{
	(void)state;
	take(1000, 1000);
	take(3000, 1000);
	assert_int_equal(receiver.next, 0);
	assert_int_equal(receiver.window.arrived, 2000); /* they count for the window's size */
	assert_int_equal(take(0, 1000), 2);
	assert_int_equal(length, 2000);
	assert_int_equal(take(1500, 1500), 2); /* half of it known */
	assert_int_equal(length, 2000);
	assert_int_equal(receiver.held.count, 0);
	assert_int_equal(receiver.pages.count, 0);
}

/* What does not fit into the parts waits, and is given in the same order. */
static void what_does_not_fit_is_taken_afterwards(void **state)
{
	(void)state;
	begin(200000, 7, true);
	for (uint64_t place = 60000; place > 0; place -= 1000)
		take(place, 1000);
	assert_int_equal(
	    receiver_take(&receiver, &(struct segment){ .sequence = FIRST, .payload = bytes, .length = 1000 }, parts, 2, &length, 1000 * MS), 2);
	assert_int_equal(length, PAGES_SIZE);
	uint64_t at = length;
	for (size_t count; (count = receiver_take_held(&receiver, parts, 1, &length)) > 0; at += length) {
		assert_int_equal(count, 1);
		assert_memory_equal(parts[0].iov_base, bytes + at, length);
	}
	assert_int_equal(length, 0);
	assert_int_equal(at, 61000);
	assert_int_equal(receiver.next, 61000);
}

static void the_end_comes_with_its_fin(void **state)
{
	(void)state;
	assert_int_equal(take_flagged(0, 1000, SEGMENT_FIN, 0), 1);
	assert_true(receiver_is_at_end(&receiver));
	assert_int_equal(take(1000, 100), 0); /* nothing counts behind it */
	assert_int_equal(receiver.next, 1000);
	assert_int_equal(take_flagged(1000, 0, SEGMENT_FIN, 0), 0); /* again */
	assert_true(receiver_is_at_end(&receiver));
	assert_true(receiver.must_acknowledge);
}

static void a_fin_ahead_of_its_data_waits(void **state)
{
	(void)state;
	assert_int_equal(take_flagged(3000, 0, SEGMENT_FIN, 0), 0);
	assert_false(receiver_is_at_end(&receiver));
	take_flagged(2500, 0, SEGMENT_FIN, 0); /* another: the first counts */
	take(2000, 2000);                      /* a thousand of it behind the end */
	assert_int_equal(take(0, 2000), 2);
	assert_int_equal(length, 3000);
	assert_true(receiver_is_at_end(&receiver));
}

static void a_fin_counts_neither_before_held_data_nor_behind_the_window(void **state)
{
	(void)state;
	take(2000, 1000);
	take_flagged(2500, 0, SEGMENT_FIN, 0);
	assert_false(receiver.has_end);
	take_flagged(WINDOW, 1, SEGMENT_FIN, 0);
	assert_false(receiver.has_end);
	take_flagged(WINDOW + 1, 0, SEGMENT_FIN, 0);
	assert_false(receiver.has_end);
	take(0, 2000);
	take_flagged(2999, 0, SEGMENT_FIN, 0); /* before what is acknowledged */
	assert_false(receiver.has_end);
	take_flagged(3000, 0, SEGMENT_FIN, 0);
	assert_true(receiver_is_at_end(&receiver));
}

/* --- acknowledging --- */

/* RFC 5681, 4.2: every second full segment, and within 25 ms. */
static void every_second_segment_is_acknowledged(void **state)
{
	(void)state;
	take(0, 1000);
	end_quick();
	take_flagged(1000, 1000, 0, 5 * MS);
	assert_false(receiver_settle(&receiver, 5 * MS));
	assert_int_equal(receiver.deadline, 30 * MS);
	take_flagged(2000, 999, 0, 10 * MS);
	assert_false(receiver_settle(&receiver, 10 * MS));
	assert_int_equal(receiver.deadline, 30 * MS); /* of the first */
	take_flagged(2999, 1, 0, 11 * MS);
	assert_true(receiver_settle(&receiver, 11 * MS));
	receiver_acknowledged(&receiver);
	assert_int_equal(receiver.deadline, NETSTACK_NEVER);
	assert_false(receiver_settle(&receiver, 12 * MS));
}

static void a_delayed_acknowledgement_is_due_at_its_time(void **state)
{
	(void)state;
	end_quick();
	take_flagged(0, 1000, 0, 5 * MS);
	receiver_expire(&receiver, 30 * MS - 1);
	assert_false(receiver.must_acknowledge);
	assert_true(receiver_settle(&receiver, 30 * MS));
	assert_int_equal(receiver.deadline, NETSTACK_NEVER);
}

static void the_first_sixteen_are_not_delayed(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 20; i++) {
		take_flagged(i * 10, 10, 0, 1000 * MS);
		assert_int_equal(receiver_settle(&receiver, 1000 * MS), i < 16);
		receiver_acknowledged(&receiver);
	}
}

/* RFC 5681, 4.2: at once, what is out of order and what fills a hole. */
static void holes_are_told_at_once(void **state)
{
	(void)state;
	end_quick();
	take(1000, 10);
	assert_true(receiver.must_acknowledge);
	receiver_acknowledged(&receiver);
	take(0, 10); /* a hole is left */
	assert_true(receiver.must_acknowledge);
	receiver_acknowledged(&receiver);
	take(0, 10); /* known */
	assert_true(receiver.must_acknowledge);
	receiver_acknowledged(&receiver);
	take(WINDOW + 10, 10); /* behind the window */
	assert_true(receiver.must_acknowledge);
}

/* A peer without SACK counts them: one for each segment, up to a bound. */
static void a_peer_without_sack_gets_one_for_each_segment(void **state)
{
	struct range blocks[RECEIVER_SACK_MAX];

	(void)state;
	begin(WINDOW, 7, false);
	for (uint64_t i = 1; i <= 20; i++) {
		take(2000 * i, 1000);
		assert_int_equal(receiver.repeats, i < 8 ? i : 8);
	}
	assert_int_equal(receiver_sack(&receiver, blocks), 0);
	receiver_acknowledged(&receiver);
	assert_int_equal(receiver.repeats, 0);
	receiver_clear(&receiver);
	begin(WINDOW, 7, true);
	take(2000, 1000);
	assert_int_equal(receiver.repeats, 0);
}

/* A keepalive (RFC 9293, 3.8.4) and a probe of the window are answered; two sides that answer each other's answers stop. */
static void probes_are_answered_ten_times_a_second(void **state)
{
	(void)state;
	take(0, 1000);
	receiver_acknowledged(&receiver);
	take_flagged(999, 0, 0, 1000 * MS);
	assert_true(receiver.must_acknowledge);
	receiver_acknowledged(&receiver);
	take_flagged(999, 0, 0, 1100 * MS - 1);
	assert_false(receiver.must_acknowledge);
	take_flagged(999, 0, 0, 1100 * MS);
	assert_true(receiver.must_acknowledge);
	receiver_acknowledged(&receiver);
	take_flagged(1000, 0, 0, 2000 * MS); /* an acknowledgement in order is none */
	assert_false(receiver.must_acknowledge);
}

/* A keepalive before anything was sent lies before the stream, and so does its byte, where it has one. */
static void what_lies_before_the_stream_is_only_answered(void **state)
{
	(void)state;
	for (size_t size = 0; size < 2; size++) {
		const struct segment segment = { .sequence = FIRST - 1, .payload = bytes, .length = size, .flags = SEGMENT_ACK };
		assert_int_equal(receiver_take(&receiver, &segment, parts, PARTS, &length, (1 + size) * 1000 * MS), 0);
		assert_int_equal(length, 0);
		assert_true(receiver.must_acknowledge);
		receiver_acknowledged(&receiver);
	}
	const struct segment segment = { .sequence = FIRST - 1, .payload = bytes, .length = 1, .flags = SEGMENT_ACK };
	receiver_take(&receiver, &segment, parts, PARTS, &length, 2050 * MS);
	assert_false(receiver.must_acknowledge); /* not more than ten times a second either */
	assert_int_equal(receiver.next, 0);
	expect_blocks(0, NULL);
}

/* --- SACK --- */

/* RFC 2018, 4: the block of the segment that came last is first, then those that were told last. */
static void the_newest_block_is_first(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 5; i++)
		take(2000 * i, 1000);
	expect_blocks(4, (const struct range[]){ { 10000, 11000 }, { 8000, 9000 }, { 6000, 7000 }, { 4000, 5000 } });
	take(5000, 1000); /* joins two */
	expect_blocks(4, (const struct range[]){ { 4000, 7000 }, { 10000, 11000 }, { 8000, 9000 }, { 2000, 3000 } });
	take(0, 2000); /* acknowledges one */
	expect_blocks(3, (const struct range[]){ { 4000, 7000 }, { 10000, 11000 }, { 8000, 9000 } });
	take(3000, 8000);
	expect_blocks(0, NULL);
}

/* RFC 2883, 4: the duplicate first, then the block that holds it. */
static void a_duplicate_is_told_once_and_first(void **state)
{
	(void)state;
	take(0, 1000);
	take(2000, 3000);
	take(3000, 500);
	expect_blocks(2, (const struct range[]){ { 3000, 3500 }, { 2000, 5000 } });
	receiver_acknowledged(&receiver);
	expect_blocks(1, (const struct range[]){ { 2000, 5000 } });
	take(200, 300); /* below the acknowledgement */
	expect_blocks(2, (const struct range[]){ { 200, 500 }, { 2000, 5000 } });
}

/* RFC 2883, 4: a duplicate is what came twice, and not what the window had no room for. */
static void a_duplicate_ends_where_the_window_does(void **state)
{
	(void)state;
	begin(1024, 0, true);
	take(0, 1024);
	take(1000, 100);
	expect_blocks(1, (const struct range[]){ { 1000, 1024 } });
}

/* RFC 9293, 3.4: the FIN has a number of its own. */
static void a_held_fin_is_told_with_its_data(void **state)
{
	(void)state;
	take(1000, 1000);
	take_flagged(3000, 1000, SEGMENT_FIN, 0);
	expect_blocks(2, (const struct range[]){ { 3000, 4001 }, { 1000, 2000 } });
}

/* --- the window --- */

/* RFC 9293, 3.8.6: the edge never moves back; it moves with what the owner takes. */
static void the_edge_follows_what_the_owner_takes(void **state)
{
	(void)state;
	assert_int_equal(receiver_offer(&receiver), WINDOW >> 7);
	take(0, 1000);
	assert_int_equal(receiver_offer(&receiver), (WINDOW - 1000) >> 7);
	assert_int_equal(receiver.edge, WINDOW);
	receiver_consume(&receiver, 900);
	receiver_offer(&receiver);
	assert_int_equal(receiver.edge, 1000 + (900 + WINDOW - 1000) / 128 * 128); /* as the scale can say it */
	receiver_consume(&receiver, 100);
	assert_int_equal(receiver_offer(&receiver), WINDOW >> 7);
	receiver_consume(&receiver, 1000); /* no more than there is */
	assert_int_equal(receiver.consumed, 1000);
	uint64_t edge = receiver.edge;
	budget_charge(&budget, LIMIT);
	assert_int_equal(receiver_offer(&receiver), WINDOW >> 7);
	assert_int_equal(receiver.edge, edge);
	budget_release(&budget, LIMIT);
}

static void an_offer_has_sixteen_bits(void **state)
{
	(void)state;
	begin(1000000, 0, true);
	assert_int_equal(receiver_offer(&receiver), 65535);
	begin(1000000, 4, true);
	assert_int_equal(receiver_offer(&receiver), 1000000 >> 4);
}

/* RFC 9293, 3.8.6.2.2: no silly windows. A quarter of it, or that it was closed, is worth a packet. */
static void a_window_that_opens_is_told_when_it_is_worth_it(void **state)
{
	(void)state;
	take(0, 40960);
	receiver_offer(&receiver);
	end_quick();
	receiver_consume(&receiver, WINDOW / 4 - 128);
	assert_false(receiver_settle(&receiver, 1000 * MS));
	receiver_consume(&receiver, 128);
	assert_true(receiver_settle(&receiver, 1000 * MS));
}

static void a_megabyte_of_a_large_window_is_worth_a_packet(void **state)
{
	(void)state;
	begin(16 << 20, 9, true);
	receiver.next = 8 << 20;
	budget_charge(&budget, 8 << 20);
	receiver_offer(&receiver);
	receiver_consume(&receiver, (1 << 20) - 512);
	assert_false(receiver_settle(&receiver, 1000 * MS));
	receiver_consume(&receiver, 512);
	assert_true(receiver_settle(&receiver, 1000 * MS));
}

static void a_closed_window_opens_at_two_segments(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < WINDOW / 1024; i++)
		take(i * 1024, 1024);
	assert_int_equal(receiver_offer(&receiver), 0);
	end_quick();
	receiver_consume(&receiver, 2 * 1024 - 1);
	assert_false(receiver_settle(&receiver, 1000 * MS));
	receiver_consume(&receiver, 1);
	assert_true(receiver_settle(&receiver, 1000 * MS));
}

static void after_the_end_no_window_is_told(void **state)
{
	(void)state;
	take_flagged(0, 60000, SEGMENT_FIN, 1000 * MS);
	receiver_offer(&receiver);
	end_quick();
	receiver_consume(&receiver, 60000);
	assert_false(receiver_settle(&receiver, 1000 * MS));
}

/* --- memory --- */

/* F1: what cannot be stored is not told, and comes again. */
static void without_memory_nothing_is_told(void **state)
{
	const unsigned allowed[] = { 0, 1, 1 }; /* the table of pages; a page; with the table there, the range */

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		heap_fails_after(allowed[i]);
		take(2000, 1000);
		heap_works();
		expect_blocks(0, NULL);
		assert_true(receiver.must_acknowledge);
	}
	take(2000, 1000);
	expect_blocks(1, (const struct range[]){ { 2000, 3000 } });
}

/* P6: unread and held bytes count, and all come back. */
static void what_is_unread_counts_in_the_budget(void **state)
{
	(void)state;
	take(0, 1000);
	assert_int_equal(budget.used, 1000);
	receiver_consume(&receiver, 400);
	assert_int_equal(budget.used, 600);
	take(2000, 1000);
	assert_in_range(budget.used, 600 + PAGES_SIZE, 600 + PAGES_SIZE + 1000);
	receiver_clear(&receiver);
	retired_free_all(&retired);
	assert_int_equal(budget.used, 0);
}

/* --- all of it --- */

/* Pieces of any size in any order come out as the stream, once. */
static void a_receiver_puts_pieces_in_order(void **state)
{
	for (int run = 0; run < 60; run++) {
		size_t at = 0;
		bool ended = false;
		begin(60000 + dice(100000), 7, true);
		for (unsigned round = 0; !ended; round++) {
			size_t from = at > 3000 ? at - dice(3000) : 0, size = dice(run % 2 ? 3000 : 30);
			from += dice(run % 3 ? 60000 : 5000);
			if (from > sizeof(bytes) || dice(50) == 0)
				from = at;
			if (from + size > sizeof(bytes))
				size = sizeof(bytes) - from;
			size_t count = take_flagged(from, size, from + size == sizeof(bytes) ? SEGMENT_FIN : 0, round);
			at += length;
			receiver_consume(&receiver, length);
			while (count > 0 && (count = receiver_take_held(&receiver, parts, PARTS, &length)) > 0) {
				for (size_t i = 0; i < count; at += parts[i++].iov_len)
					assert_memory_equal(parts[i].iov_base, bytes + at, parts[i].iov_len);
				receiver_consume(&receiver, length);
			}
			assert_int_equal(at, receiver.next);
			if (receiver_settle(&receiver, round * 1000)) {
				struct range blocks[RECEIVER_SACK_MAX];
				receiver_offer(&receiver);
				size_t sacked = receiver_sack(&receiver, blocks);
				for (size_t i = receiver.doubled.right > 0; i < sacked; i++)
					assert_true(blocks[i].left > receiver.next && blocks[i].right > blocks[i].left);
				receiver_acknowledged(&receiver);
			}
			retired_free_all(&retired);
			ended = receiver_is_at_end(&receiver);
		}
		assert_int_equal(at, sizeof(bytes));
		assert_int_equal(end(state), 0);
	}
}

/* --- what is sent but does not arrive --- */

static void claim(uint64_t place, uint64_t now)
{
	const struct segment segment = { .sequence = FIRST + (uint32_t)place, .flags = SEGMENT_ACK };

	assert_int_equal(receiver_take(&receiver, &segment, parts, PARTS, &length, now), 0);
}

/* Its window is 65,536. */
static void an_empty_segment_ahead_shows_what_was_sent(void **state)
{
	(void)state;
	take(0, 100);
	claim(100, 1000 * MS);
	claim(50, 1000 * MS);
	claim(70000, 1000 * MS);
	assert_false(receiver_lacks_data(&receiver));
	assert_int_equal(receiver.gap.deadline, NETSTACK_NEVER);
	claim(1500, 1000 * MS);
	assert_true(receiver_lacks_data(&receiver));
	assert_int_equal(receiver.gap.deadline, 4000 * MS);
	assert_true(receiver_lacks_large(&receiver, 1399));
	assert_false(receiver_lacks_large(&receiver, 1400));
	/* The same one again does not begin anew. */
	claim(1500, 2000 * MS);
	assert_int_equal(receiver.gap.deadline, 4000 * MS);
	/* What is held bounds the gap. */
	take(1000, 100);
	assert_false(receiver_lacks_large(&receiver, 1000));
	take(100, 1400);
	assert_false(receiver_lacks_data(&receiver));
}

static void a_large_segment_disproves_it(void **state)
{
	(void)state;
	take(0, 1380);
	claim(9000, 1000 * MS);
	assert_false(receiver_lacks_large(&receiver, 1240));
}

static void an_answer_is_expected_until_some_of_it_is_here(void **state)
{
	(void)state;
	take(0, 100);
	receiver_ask(&receiver);
	receiver_expect(&receiver, 2000 * MS);
	assert_int_equal(receiver.gap.deadline, 5000 * MS);
	start(state);
	receiver_ask(&receiver);
	take(0, 100);
	receiver_expect(&receiver, 2000 * MS);
	assert_int_equal(receiver.gap.deadline, NETSTACK_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_new_bytes_of_the_window_are_taken, start, end),
		cmocka_unit_test_setup_teardown(a_hole_that_is_filled_gives_all_that_follows, start, end),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_taken_afterwards, start, end),
		cmocka_unit_test_setup_teardown(the_end_comes_with_its_fin, start, end),
		cmocka_unit_test_setup_teardown(a_fin_ahead_of_its_data_waits, start, end),
		cmocka_unit_test_setup_teardown(a_fin_counts_neither_before_held_data_nor_behind_the_window, start, end),
		cmocka_unit_test_setup_teardown(every_second_segment_is_acknowledged, start, end),
		cmocka_unit_test_setup_teardown(a_delayed_acknowledgement_is_due_at_its_time, start, end),
		cmocka_unit_test_setup_teardown(the_first_sixteen_are_not_delayed, start, end),
		cmocka_unit_test_setup_teardown(holes_are_told_at_once, start, end),
		cmocka_unit_test_setup_teardown(a_peer_without_sack_gets_one_for_each_segment, start, end),
		cmocka_unit_test_setup_teardown(probes_are_answered_ten_times_a_second, start, end),
		cmocka_unit_test_setup_teardown(what_lies_before_the_stream_is_only_answered, start, end),
		cmocka_unit_test_setup_teardown(the_newest_block_is_first, start, end),
		cmocka_unit_test_setup_teardown(a_duplicate_is_told_once_and_first, start, end),
		cmocka_unit_test_setup_teardown(a_duplicate_ends_where_the_window_does, start, end),
		cmocka_unit_test_setup_teardown(a_held_fin_is_told_with_its_data, start, end),
		cmocka_unit_test_setup_teardown(the_edge_follows_what_the_owner_takes, start, end),
		cmocka_unit_test_setup_teardown(an_offer_has_sixteen_bits, start, end),
		cmocka_unit_test_setup_teardown(a_window_that_opens_is_told_when_it_is_worth_it, start, end),
		cmocka_unit_test_setup_teardown(a_megabyte_of_a_large_window_is_worth_a_packet, start, end),
		cmocka_unit_test_setup_teardown(a_closed_window_opens_at_two_segments, start, end),
		cmocka_unit_test_setup_teardown(after_the_end_no_window_is_told, start, end),
		cmocka_unit_test_setup_teardown(without_memory_nothing_is_told, start, end),
		cmocka_unit_test_setup_teardown(what_is_unread_counts_in_the_budget, start, end),
		cmocka_unit_test_setup_teardown(a_receiver_puts_pieces_in_order, start, end),
		cmocka_unit_test_setup_teardown(an_empty_segment_ahead_shows_what_was_sent, start, end),
		cmocka_unit_test_setup_teardown(a_large_segment_disproves_it, start, end),
		cmocka_unit_test_setup_teardown(an_answer_is_expected_until_some_of_it_is_here, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
