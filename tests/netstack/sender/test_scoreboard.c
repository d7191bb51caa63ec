/* What was sent and is not yet acknowledged: the order of the lists, the three sums, and the walk over what was SACKed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/packet/budget.h"
#include "netstack/sender/scoreboard.h"
#include "tests/failing_heap.h"
#include "tests/netstack/dice.h"

#define LIMIT ((size_t)64 << 20)
#define SIZE 100

static struct budget budget;
static struct scoreboard board;

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	budget = (struct budget){ 0 };
	scoreboard_init(&board, &budget);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	scoreboard_clear(&board);
	return budget_used() == 0 ? 0 : -1;
}

/* Every segment is in one of the three sums and, unless SACKed, in one list. */
static void check_board(void)
{
	uint64_t flying = 0, missing = 0, sacked = 0, last = 0, first = 0;
	uint32_t count = 0;

	for (uint32_t i = board.head; i != board.tail; i++) {
		const struct sent *sent = scoreboard_at(&board, i);
		count += !(sent->flags & SENT_SACKED);
		sacked += sent->flags & SENT_SACKED ? sent->length : 0;
		assert_true(sent->start >= last);
		first = i == board.head ? sent->start : first;
		last = scoreboard_end(sent);
	}
	for (uint32_t i = board.flying.oldest; i != SCOREBOARD_NONE; i = scoreboard_at(&board, i)->newer, count--)
		flying += scoreboard_at(&board, i)->length;
	for (uint32_t i = board.missing.oldest; i != SCOREBOARD_NONE; i = scoreboard_at(&board, i)->newer, count--)
		missing += scoreboard_at(&board, i)->length;
	assert_int_equal(count, 0);
	assert_int_equal(flying, board.in_flight);
	assert_int_equal(missing, board.lost);
	assert_int_equal(sacked, board.sacked);
	assert_int_equal(flying + missing + sacked, last - first); /* each test appends without gaps */
}

static void append(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t place = scoreboard_is_empty(&board) ? 0 : scoreboard_end(scoreboard_at(&board, board.tail - 1));
		assert_true(scoreboard_reserve(&board));
		scoreboard_append(&board, place, SIZE);
	}
}

static void sack(uint32_t index)
{
	scoreboard_land(&board, index);
	scoreboard_mark_sacked(&board, index);
}

static void pop(void)
{
	if (!(scoreboard_at(&board, board.head)->flags & SENT_SACKED))
		scoreboard_land(&board, board.head);
	scoreboard_pop(&board);
}

/* Places of a list, oldest first, in units of SIZE. */
static void expect_list(const struct sent_list *list, size_t count, const uint32_t *places)
{
	uint32_t index = list->oldest, last = SCOREBOARD_NONE;

	for (size_t i = 0; i < count; i++) {
		assert_int_not_equal(index, SCOREBOARD_NONE);
		assert_int_equal(scoreboard_at(&board, index)->start, places[i] * SIZE);
		assert_int_equal(scoreboard_at(&board, index)->older, last);
		last = index;
		index = scoreboard_at(&board, index)->newer;
	}
	assert_int_equal(index, SCOREBOARD_NONE);
	assert_int_equal(list->newest, last);
}

/* RFC 8985, 6.2: the walk is in order of sending. */
static void the_lists_are_in_order_of_sending_and_of_losing(void **state)
{
	(void)state;
	append(5);
	expect_list(&board.flying, 5, (const uint32_t[]){ 0, 1, 2, 3, 4 });
	scoreboard_lose(&board, 3);
	scoreboard_lose(&board, 0);
	scoreboard_lose(&board, 4);
	expect_list(&board.flying, 2, (const uint32_t[]){ 1, 2 });
	expect_list(&board.missing, 3, (const uint32_t[]){ 3, 0, 4 });
	scoreboard_fly(&board, 0);
	scoreboard_fly(&board, 1); /* sent again while it flies: the probe of RFC 8985, 7.3 */
	expect_list(&board.flying, 3, (const uint32_t[]){ 2, 0, 1 });
	expect_list(&board.missing, 2, (const uint32_t[]){ 3, 4 });
	assert_true(scoreboard_is_after(scoreboard_at(&board, 1)->order, scoreboard_at(&board, 0)->order));
	assert_true(scoreboard_is_after(scoreboard_at(&board, 0)->order, scoreboard_at(&board, 2)->order));
	check_board();
}

static void an_order_is_after_across_the_wrap(void **state)
{
	(void)state;
	assert_true(scoreboard_is_after(1, 0));
	assert_false(scoreboard_is_after(0, 0));
	assert_false(scoreboard_is_after(0, 1));
	assert_true(scoreboard_is_after(0, UINT32_MAX));
	assert_false(scoreboard_is_after(UINT32_MAX, 0));
}

static void places_are_found_at_the_next_segment(void **state)
{
	const struct {
		uint64_t place;
		uint32_t ahead; /* of the head */
	} cases[] = { { 0, 0 }, { 299, 0 }, { 300, 0 }, { 301, 1 }, { 400, 1 }, { 401, 2 }, { 899, 6 }, { 900, 6 }, { 901, 7 }, { 5000, 7 } };

	(void)state;
	append(10);
	for (int i = 0; i < 3; i++)
		pop();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(scoreboard_find(&board, cases[i].place), board.head + cases[i].ahead);
}

static void a_walk_skips_what_was_sacked(void **state)
{
	(void)state;
	append(12);
	assert_int_equal(scoreboard_skip(&board, 0), 0);
	for (uint32_t i = 2; i < 6; i++)
		sack(i);
	assert_int_equal(scoreboard_skip(&board, 1), 1);
	assert_int_equal(scoreboard_skip(&board, 2), 6);
	sack(6); /* the run grows, and joins the next one */
	sack(8);
	sack(7);
	assert_int_equal(scoreboard_skip(&board, 2), 9);
	assert_int_equal(scoreboard_skip(&board, 5), 9);
	for (uint32_t i = 9; i < 12; i++)
		sack(i);
	assert_int_equal(scoreboard_skip(&board, 2), board.tail);
	assert_int_equal(scoreboard_skip(&board, board.tail), board.tail);
	append(1);
	assert_int_equal(scoreboard_skip(&board, 4), 12);
	check_board();
}

/* A block that is told again and again costs little: each walk shortens the way for the next. */
static void a_long_run_is_skipped_in_few_steps(void **state)
{
	unsigned steps = 0;

	(void)state;
	append(4096);
	for (uint32_t i = 0; i < 4095; i++)
		sack(i);
	for (int i = 0; i < 13; i++)
		scoreboard_skip(&board, 0);
	for (uint32_t i = 0; i != 4095; i = scoreboard_at(&board, i)->skip)
		steps++;
	assert_true(steps <= 2);
}

static void the_highest_sacked_place_is_known(void **state)
{
	(void)state;
	append(5);
	sack(3);
	assert_int_equal(board.top_sacked, 400);
	sack(1);
	assert_int_equal(board.top_sacked, 400);
}

/* RFC 2018, 8. */
static void reneging_loses_what_was_sacked(void **state)
{
	(void)state;
	append(6);
	sack(4);
	sack(1);
	scoreboard_lose(&board, 5);
	scoreboard_renege(&board);
	expect_list(&board.flying, 3, (const uint32_t[]){ 0, 2, 3 });
	expect_list(&board.missing, 3, (const uint32_t[]){ 5, 1, 4 });
	assert_int_equal(board.sacked, 0);
	assert_int_equal(board.top_sacked, 0);
	assert_int_equal(scoreboard_skip(&board, 1), 1);
	check_board();
}

static void an_empty_board_holds_no_memory_and_goes_on_counting(void **state)
{
	(void)state;
	append(2);
	assert_true(budget.used > 0);
	sack(0);
	pop();
	pop();
	assert_true(scoreboard_is_empty(&board));
	assert_int_equal(budget.used, 0);
	assert_int_equal(board.in_flight + board.sacked + board.lost, 0);
	append(1);
	assert_int_equal(scoreboard_at(&board, board.head)->order, 3);
}

/* As after terabytes: indices start low again, with all links and skips. */
static void indices_start_again_before_they_wrap(void **state)
{
	(void)state;
	append(1);
	pop();
	board.head = board.tail = (1u << 31) - 3;
	append(6); /* the fourth finds the tail at 2^31 */
	assert_true(board.tail < 1u << 31);
	expect_list(&board.flying, 6, (const uint32_t[]){ 0, 1, 2, 3, 4, 5 });
	scoreboard_clear(&board);

	board.head = board.tail = (1u << 31) - 5;
	append(5);
	uint32_t first = board.head;
	sack(first + 1);
	sack(first + 2);
	scoreboard_lose(&board, first + 4);
	assert_int_equal(scoreboard_skip(&board, first + 1), first + 3);
	append(1);
	assert_true(board.head < first);
	expect_list(&board.flying, 3, (const uint32_t[]){ 0, 3, 5 });
	expect_list(&board.missing, 1, (const uint32_t[]){ 4 });
	assert_int_equal(scoreboard_skip(&board, board.head + 1), board.head + 3);
	check_board();
}

/* F1 and P6: a board that cannot grow stays as it is. */
static void a_board_that_cannot_grow_stays_as_it_is(void **state)
{
	(void)state;
	heap_fails_after(0);
	assert_false(scoreboard_reserve(&board));
	heap_works();
	append(16);
	heap_fails_after(0);
	assert_false(scoreboard_reserve(&board));
	heap_works();
	budget_charge(&budget, LIMIT);
	assert_false(scoreboard_reserve(&board));
	check_board();
	pop();
	assert_true(scoreboard_reserve(&board)); /* a place came free */
	for (int i = 0; i < 15; i++)
		pop();
	assert_true(scoreboard_reserve(&board)); /* the first ring is each stream's */
	budget_release(&budget, LIMIT);
}

/* Any order of steps. */
static void a_board_keeps_its_sums(void **state)
{
	uint64_t next = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		if (scoreboard_is_empty(&board) || dice(3) == 0) {
			uint32_t length = 1 + dice(1400);
			if (round == 10000) {
				while (!scoreboard_is_empty(&board))
					pop();
				board.head = board.tail = 3u << 30;
			}
			assert_true(scoreboard_reserve(&board));
			scoreboard_append(&board, next, length);
			next += length;
			continue;
		}
		uint32_t index = board.head + dice(board.tail - board.head);
		struct sent *sent = scoreboard_at(&board, index);
		if (sent->flags & SENT_SACKED) {
			uint32_t after = scoreboard_skip(&board, index);
			assert_true(after == board.tail || !(scoreboard_at(&board, after)->flags & SENT_SACKED));
		} else if (dice(3) == 0) {
			sack(index);
		} else if (sent->flags & SENT_LOST || dice(2)) {
			scoreboard_fly(&board, index);
		} else {
			scoreboard_lose(&board, index);
		}
		if (dice(4) == 0)
			pop();
		if (dice(500) == 0 && !scoreboard_is_empty(&board))
			scoreboard_renege(&board);
		check_board();
	}
	assert_true(board.tail < 1u << 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_lists_are_in_order_of_sending_and_of_losing, start, end),
		cmocka_unit_test_setup_teardown(an_order_is_after_across_the_wrap, start, end),
		cmocka_unit_test_setup_teardown(places_are_found_at_the_next_segment, start, end),
		cmocka_unit_test_setup_teardown(a_walk_skips_what_was_sacked, start, end),
		cmocka_unit_test_setup_teardown(a_long_run_is_skipped_in_few_steps, start, end),
		cmocka_unit_test_setup_teardown(the_highest_sacked_place_is_known, start, end),
		cmocka_unit_test_setup_teardown(reneging_loses_what_was_sacked, start, end),
		cmocka_unit_test_setup_teardown(an_empty_board_holds_no_memory_and_goes_on_counting, start, end),
		cmocka_unit_test_setup_teardown(indices_start_again_before_they_wrap, start, end),
		cmocka_unit_test_setup_teardown(a_board_that_cannot_grow_stays_as_it_is, start, end),
		cmocka_unit_test_setup_teardown(a_board_keeps_its_sums, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
