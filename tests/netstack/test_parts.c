/* The pure parts, against naive models. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/budget.h"
#include "netstack/packet/checksum.h"
#include "netstack/netstack.h"
#include "netstack/packet/packet.h"
#include "netstack/receiver/ranges.h"
#include "netstack/sender/queue.h"
#include "netstack/sender/scoreboard.h"
#include "netstack/timer_heap.h"
#include "tests/netstack/dice.h"

/* --- checksum --- */

static uint16_t slow_sum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void sums_like_the_rfc(void **state)
{
	static uint8_t bytes[70000];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)dice(256);
	for (int i = 0; i < 3000; i++) {
		size_t length = i < 300 ? (size_t)i : dice(65000), offset = dice(64);
		uint16_t sum = checksum_fold(checksum_add(0, bytes + offset, length));
		assert_int_equal(packet_read16((uint8_t *)&sum), slow_sum(bytes + offset, length));
		size_t one = dice((uint32_t)length + 1), two = dice((uint32_t)(length - one) + 1);
		struct iovec parts[3] = { { bytes + offset, one },
			                  { bytes + offset + one, two },
			                  { bytes + offset + one + two, length - one - two } };
		assert_int_equal(checksum_fold(checksum_add_parts(0, parts, 3)), sum);
	}
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(checksum_fold(checksum_add(0, bytes, 65534)), 0xffff);
}

/* --- timers --- */

struct alarm {
	struct timer timer;
	struct timer_heap *timers;
	unsigned runs;
	uint64_t again;
};

static void ring(struct timer *timer, uint64_t now)
{
	struct alarm *alarm = (struct alarm *)timer;

	alarm->runs++;
	if (alarm->again != 0)
		timer_heap_set(alarm->timers, timer, now - alarm->again);
}

static void timers_run_in_order(void **state)
{
	static struct alarm alarms[500];
	uint64_t at[500];
	struct timer_heap timers = { 0 };

	(void)state;
	for (size_t i = 0; i < 500; i++) {
		assert_int_equal(timer_heap_add(&timers, &alarms[i].timer, ring), 0);
		at[i] = NETSTACK_NEVER;
	}
	for (int round = 0; round < 20000; round++) {
		size_t i = dice(500);
		uint64_t now = (uint64_t)round * 10, least = NETSTACK_NEVER;
		at[i] = dice(5) == 0 ? NETSTACK_NEVER : now + dice(3000);
		timer_heap_set(&timers, &alarms[i].timer, at[i]);
		timer_heap_run(&timers, now);
		for (size_t k = 0; k < 500; k++) {
			if (at[k] <= now)
				at[k] = NETSTACK_NEVER;
			assert_int_equal(alarms[k].timer.at, at[k]);
			if (at[k] < least)
				least = at[k];
		}
		assert_int_equal(timer_heap_next(&timers), least);
	}
	alarms[7].timers = &timers; /* one that wants to run in the past runs once a call */
	alarms[7].again = 1;
	alarms[7].runs = 0;
	timer_heap_set(&timers, &alarms[7].timer, 1);
	timer_heap_run(&timers, 1000000);
	assert_int_equal(alarms[7].runs, 1);
	for (size_t i = 0; i < 500; i++)
		timer_heap_remove(&timers, &alarms[i].timer);
	assert_int_equal(timers.count, 0);
	timer_heap_clear(&timers);
}

/* --- the budget --- */

static void a_window_shrinks_with_the_budget(void **state)
{
	struct budget one = { 0 };

	(void)state;
	budget_start(12 << 20);
	assert_int_equal(budget_share(&one), 6 << 20);
	budget_charge(&one, 4 << 20);
	assert_int_equal(budget_share(&one), 2 << 20); /* 8 MB are free, of which it may hold as much as it leaves */
	budget_charge(&one, 2 << 20);
	assert_true(budget_is_spent(&one));
	assert_int_equal(budget_share(&one), BUDGET_LEAST);
	budget_release(&one, 1);
	assert_int_equal(budget_share(&one), BUDGET_FLOOR);
	budget_release(&one, (6 << 20) - 1);
	assert_int_equal(budget_used(), 0);
}

/* P7: a stack whose streams hold all that they may leaves the others their windows. */
static void a_stack_cannot_spend_what_is_left_for_others(void **state)
{
	struct budget stacks[4] = { 0 };

	(void)state;
	budget_start(100 << 20);
	for (int i = 0; i < 4; i++) {
		assert_false(budget_is_spent(&stacks[i]));
		while (!budget_is_spent(&stacks[i]))
			budget_charge(&stacks[i], 1 << 20);
	}
	assert_int_equal(stacks[0].used, 50 << 20);
	assert_int_equal(stacks[1].used, 25 << 20);
	assert_in_range(stacks[3].used, 5 << 20, 7 << 20);
	/* as they give back, all come to the same */
	for (int round = 0; round < 1000; round++) {
		struct budget *stack = &stacks[dice(4)];
		if (budget_is_spent(stack))
			budget_release(stack, 1 << 20);
		else
			budget_charge(stack, 1 << 20);
	}
	for (int i = 0; i < 4; i++)
		assert_in_range(stacks[i].used, 17 << 20, 23 << 20);
	assert_true(budget_used() < 100 << 20);
	for (int i = 0; i < 4; i++)
		budget_release(&stacks[i], stacks[i].used);
}

/* P6: what a far end can make grow is counted, be it by single bytes. */
static void records_count_in_the_budget(void **state)
{
	static uint8_t bytes[4000];
	struct budget one = { 0 };
	struct scoreboard board;
	struct queue queue = { .budget = &one };
	struct ranges ranges = { .budget = &one };
	struct range merged;

	(void)state;
	budget_start(64 << 20);
	scoreboard_init(&board, &one);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(scoreboard_reserve(&board));
		scoreboard_append(&board, i, 1);
	}
	assert_int_equal(one.used, 1024 * sizeof(struct sent));
	for (size_t i = 0; i < 1000; i++)
		assert_true(queue_append(&queue, bytes + 2 * i, 1));
	assert_in_range(one.used - 1024 * sizeof(struct sent), 1000 * 16, 1024 * 32);
	size_t before = one.used;
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(ranges_add(&ranges, (struct range){ 2 * i, 2 * i + 1 }, &merged), RANGES_ADDED);
	assert_int_equal(one.used - before, 1024 * sizeof(struct range));
	budget_charge(&one, 64 << 20); /* spent: they stay as they are */
	for (uint32_t i = 1000; i < 1024; i++) {
		assert_true(scoreboard_reserve(&board));
		scoreboard_append(&board, i, 1);
	}
	assert_false(scoreboard_reserve(&board));
	budget_release(&one, 64 << 20);
	scoreboard_clear(&board);
	queue_clear(&queue);
	ranges_clear(&ranges);
	assert_int_equal(one.used, 0);
}

/* Each test has the same budget, and gives all of it back. */
static int start_budget(void **state)
{
	(void)state;
	budget_start(64 << 20);
	return 0;
}

static int check_budget(void **state)
{
	(void)state;
	return budget_used() == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sums_like_the_rfc, start_budget, check_budget),
		cmocka_unit_test_setup_teardown(timers_run_in_order, start_budget, check_budget),
		cmocka_unit_test_setup_teardown(a_window_shrinks_with_the_budget, start_budget, check_budget),
		cmocka_unit_test_setup_teardown(a_stack_cannot_spend_what_is_left_for_others, start_budget, check_budget),
		cmocka_unit_test_setup_teardown(records_count_in_the_budget, start_budget, check_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
