/* Answers of a worker that is not trusted: one counts when its number, slot and generation are those of a request that waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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
	struct worker_reply reply;
};

static void on_reply(void *owner, const struct worker_reply *reply)
{
	struct answered *answered = owner;
	answered->count++;
	answered->reply = *reply;
}

static uint64_t expect(struct worker_request *request, uint32_t slot, uint64_t generation, struct answered *owner)
{
	*request = (struct worker_request){ .slot = slot, .generation = generation, .reply = MESSAGE_DONE, .handler = on_reply, .owner = owner };
	worker_expect(&worker, request);
	return request->number;
}

static void answer(uint64_t number, uint32_t slot, uint64_t generation)
{
	const struct worker_reply reply = { .type = MESSAGE_DONE, .ack = { .request = number, .slot = slot, .generation = generation } };
	assert_true(worker_answer(&worker, &reply, number, slot, generation));
}

static void an_answer_counts_once_and_for_its_own_request(void **state)
{
	struct answered one = { 0 }, two = { 0 };
	(void)state;
	struct worker_request requests[2];
	uint64_t first = expect(&requests[0], 5, 9, &one), second = expect(&requests[1], 6, 1, &two);
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
	struct worker_request request;
	uint64_t number = expect(&request, 5, 9, &one);
	worker_forget(&worker, &request);
	worker_forget(&worker, &request);
	answer(number, 5, 9);
	worker_answer_gone(&worker);
	assert_int_equal(one.count, 0);
	/* The end of the list is where it was. */
	number = expect(&request, 5, 9, &one);
	answer(number, 5, 9);
	assert_int_equal(one.count, 1);
}

static void a_death_answers_all_that_wait(void **state)
{
	struct answered answered[3] = { { 0 } };
	(void)state;
	struct worker_request requests[3];
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(expect(&requests[i], i, 1, &answered[i]), 0);
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
	struct worker_request request;
	(void)expect(&request, 1, 1, &one);
	assert_int_equal(ticks_until_it_owes(), WORKER_OWING_TICKS);
	worker_forget(&worker, &request);
	assert_false(worker_owes(&worker));
	request.patience_ms = 5 * WORKER_TICK_MS;
	worker_expect(&worker, &request);
	assert_int_equal(ticks_until_it_owes(), WORKER_OWING_TICKS + 5);
	worker_forget(&worker, &request);
}

/* Sixteen tunnels of 4,096 peers take a slow machine longer than ten seconds: each is waited for as long as those before it may take. */
static void what_is_behind_many_peers_is_due_later(void **state)
{
	enum { TUNNELS = 16, PEERS = 4096, TICKS = PEERS * WORKER_PEER_MS / WORKER_TICK_MS };
	struct answered one = { 0 };
	struct worker_request requests[TUNNELS], other, removal = { .reply = MESSAGE_DONE, .is_removal = true, .handler = on_reply, .owner = &one };
	uint64_t numbers[TUNNELS];
	(void)state;
	for (unsigned i = 0; i < TUNNELS; i++) {
		requests[i] = (struct worker_request){ .slot = i, .reply = MESSAGE_DONE, .peers = PEERS, .handler = on_reply, .owner = &one };
		worker_expect(&worker, &requests[i]);
		numbers[i] = requests[i].number;
	}
	worker_expect(&worker, &removal);
	assert_int_equal(removal.ticks_left, WORKER_OWING_TICKS);
	worker_forget(&worker, &removal);
	(void)expect(&other, 99, 1, &one);
	for (unsigned i = 0; i < TUNNELS; i++) {
		/* Not yet, or in the last moment. */
		for (unsigned tick = 0; tick < TICKS; tick++)
			assert_false(worker_owes(&worker));
		answer(numbers[i], i, 0);
	}
	assert_in_range(ticks_until_it_owes(), WORKER_OWING_TICKS, WORKER_OWING_TICKS + TUNNELS); /* parts of ticks */
	worker_answer_gone(&worker);
	/* What was answered is no reason to wait any more. */
	(void)expect(&other, 99, 1, &one);
	assert_int_equal(ticks_until_it_owes(), WORKER_OWING_TICKS);
	worker_forget(&worker, &other);
}

static void one_of_another_type_breaks_the_protocol(void **state)
{
	struct answered one = { 0 };
	struct worker_request request;
	(void)state;
	uint64_t number = expect(&request, 5, 9, &one);
	const struct worker_reply wrong = { .type = MESSAGE_PREPARED };
	assert_false(worker_answer(&worker, &wrong, number, 5, 9));
	/* What is nobody's is no fault, whatever it is. */
	assert_true(worker_answer(&worker, &wrong, number, 5, 8));
	assert_true(worker_answer(&worker, &wrong, 0, 5, 9));
	assert_int_equal(one.count, 0);
	worker_answer_gone(&worker);
	assert_true(one.count == 1 && one.reply.gone);
}

static void removals_are_counted_while_they_wait(void **state)
{
	struct answered one = { 0 };
	(void)state;
	struct worker_request requests[2];
	for (unsigned i = 0; i < 2; i++) {
		requests[i] = (struct worker_request){
			.slot = 1 + i, .generation = 1, .reply = MESSAGE_DONE, .is_removal = true, .handler = on_reply, .owner = &one
		};
		worker_expect(&worker, &requests[i]);
	}
	assert_int_equal(worker.removals, 2);
	answer(requests[0].number, 1, 1);
	assert_int_equal(worker.removals, 1);
	worker_forget(&worker, &requests[1]);
	assert_int_equal(worker.removals, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_counts_once_and_for_its_own_request, set_up),
		cmocka_unit_test_setup(one_that_is_forgotten_is_not_answered, set_up),
		cmocka_unit_test_setup(a_death_answers_all_that_wait, set_up),
		cmocka_unit_test_setup(an_answer_is_due_in_ten_seconds_or_as_much_later_as_was_said, set_up),
		cmocka_unit_test_setup(what_is_behind_many_peers_is_due_later, set_up),
		cmocka_unit_test_setup(one_of_another_type_breaks_the_protocol, set_up),
		cmocka_unit_test_setup(removals_are_counted_while_they_wait, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
