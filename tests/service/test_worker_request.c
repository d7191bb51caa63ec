/* Answers of a worker that is not trusted: one counts when its number, slot and generation are those of a request that waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/worker/worker_process.h"

static struct worker worker;

static int set_up(void **state)
{
	(void)state;
	worker = (struct worker){ .index = 0 };
	worker.last = &worker.first;
	return 0;
}

struct answered {
	unsigned count;
	struct reply reply;
};

static void on_reply(void *owner, const struct reply *reply)
{
	struct answered *answered = owner;
	answered->count++;
	answered->reply = *reply;
}

static void answer(uint64_t number, uint32_t slot, uint64_t generation)
{
	const struct reply reply = { .type = MESSAGE_DONE, .ack = { .request = number, .slot = slot, .generation = generation } };
	worker_answer(&worker, &reply, number, slot, generation);
}

static void an_answer_counts_once_and_for_its_own_request(void **state)
{
	struct answered one = { 0 }, two = { 0 };
	(void)state;
	uint64_t first = worker_expect(&worker, 5, 9, on_reply, &one), second = worker_expect(&worker, 6, 1, on_reply, &two);
	assert_int_not_equal(first, 0);
	assert_int_not_equal(first, second);
	answer(first, 6, 9);
	answer(first, 5, 8);
	answer(second + 1, 5, 9);
	answer(0, 5, 9);
	assert_int_equal(one.count + two.count, 0);
	answer(second, 6, 1);
	assert_int_equal(two.count, 1);
	assert_int_equal(two.reply.ack.slot, 6);
	answer(second, 6, 1);
	assert_int_equal(two.count, 1);
	answer(first, 5, 9);
	assert_int_equal(one.count, 1);
	assert_false(one.reply.gone);
}

static void one_that_is_forgotten_is_not_answered(void **state)
{
	struct answered one = { 0 };
	(void)state;
	uint64_t number = worker_expect(&worker, 5, 9, on_reply, &one);
	worker_forget(&worker, number);
	worker_forget(&worker, number);
	answer(number, 5, 9);
	worker_answer_gone(&worker);
	assert_int_equal(one.count, 0);
	/* The end of the list is where it was. */
	number = worker_expect(&worker, 5, 9, on_reply, &one);
	answer(number, 5, 9);
	assert_int_equal(one.count, 1);
}

static void a_death_answers_all_that_wait(void **state)
{
	struct answered answered[3] = { { 0 } };
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(worker_expect(&worker, i, 1, on_reply, &answered[i]), 0);
	worker_answer_gone(&worker);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(answered[i].count, 1);
		assert_true(answered[i].reply.gone);
	}
	assert_null(worker.first);
}

static unsigned ticks_until_it_owes(void)
{
	unsigned ticks = 0;
	while (!worker_owes(&worker))
		ticks++;
	return ticks;
}

static void an_answer_is_due_in_ten_seconds_or_as_much_later_as_was_said(void **state)
{
	struct answered one = { 0 };
	(void)state;
	assert_false(worker_owes(&worker));
	uint64_t number = worker_expect(&worker, 1, 1, on_reply, &one);
	assert_int_equal(ticks_until_it_owes(), WORKER_OWING_TICKS);
	worker_forget(&worker, number);
	assert_false(worker_owes(&worker));
	number = worker_expect_late(&worker, 1, 1, 5 * WORKER_TICK_MS, on_reply, &one);
	assert_int_equal(ticks_until_it_owes(), WORKER_OWING_TICKS + 5);
	worker_forget(&worker, number);
}

static void removals_are_counted_while_they_wait(void **state)
{
	struct answered one = { 0 };
	(void)state;
	uint64_t first = worker_expect_removal(&worker, 1, 1, on_reply, &one), second = worker_expect_removal(&worker, 2, 1, on_reply, &one);
	assert_int_equal(worker.removals, 2);
	answer(first, 1, 1);
	assert_int_equal(worker.removals, 1);
	worker_forget(&worker, second);
	assert_int_equal(worker.removals, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_counts_once_and_for_its_own_request, set_up),
		cmocka_unit_test_setup(one_that_is_forgotten_is_not_answered, set_up),
		cmocka_unit_test_setup(a_death_answers_all_that_wait, set_up),
		cmocka_unit_test_setup(an_answer_is_due_in_ten_seconds_or_as_much_later_as_was_said, set_up),
		cmocka_unit_test_setup(removals_are_counted_while_they_wait, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
