/* The bytes that are written and not yet acknowledged: each place gives back the byte that was written there, and nothing is copied
 * before queue_own. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "netstack/packet/budget.h"
#include "netstack/sender/queue.h"
#include "tests/failing_heap.h"
#include "tests/netstack/dice.h"

#define LIMIT ((size_t)64 << 20)

static struct budget budget;
static struct queue queue;
static uint8_t bytes[100000];

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	queue = (struct queue){ .budget = &budget };
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)dice(256);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	queue_clear(&queue);
	return budget_used() == 0 ? 0 : -1;
}

/* Places 0 to `count` - 1, each a chunk of its own: every second byte of `bytes`. */
static void append_apart(size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_true(queue_append(&queue, bytes + 2 * i, 1));
}

static void expect_apart(size_t from, size_t until)
{
	for (size_t place = from; place < until; place++) {
		struct iovec part;
		size_t gathered;
		assert_int_equal(queue_gather(&queue, place, 1, &part, 1, &gathered), 1);
		assert_int_equal(gathered, 1);
		assert_int_equal(*(uint8_t *)part.iov_base, bytes[2 * place]);
	}
}

static void neighbours_in_memory_are_one_part(void **state)
{
	struct iovec parts[4];
	size_t gathered;

	(void)state;
	assert_true(queue_append(&queue, bytes, 100));
	assert_true(queue_append(&queue, bytes + 100, 50));
	assert_true(queue_append(&queue, bytes + 151, 10)); /* a byte further */
	assert_int_equal(queue.end, 160);
	assert_int_equal(queue_gather(&queue, 0, 160, parts, 4, &gathered), 2);
	assert_ptr_equal(parts[0].iov_base, bytes);
	assert_int_equal(parts[0].iov_len, 150);
	assert_ptr_equal(parts[1].iov_base, bytes + 151);
	assert_int_equal(parts[1].iov_len, 10);
	assert_int_equal(gathered, 160);
}

static void gathering_gives_no_more_than_was_asked_for(void **state)
{
	struct iovec parts[4];
	size_t gathered = 1;

	(void)state;
	assert_int_equal(queue_gather(&queue, 0, 0, parts, 4, &gathered), 0);
	assert_int_equal(gathered, 0);
	append_apart(10);
	assert_int_equal(queue_gather(&queue, 2, 8, parts, 4, &gathered), 4);
	assert_int_equal(gathered, 4);
	assert_int_equal(queue_gather(&queue, 2, 3, parts, 4, &gathered), 3);
	assert_int_equal(gathered, 3);
	assert_ptr_equal(parts[2].iov_base, bytes + 8);
}

static void what_is_released_makes_room(void **state)
{
	(void)state;
	assert_true(queue_append(&queue, bytes, 100));
	queue_release(&queue, 40);
	assert_int_equal(queue.start, 40);
	struct iovec part;
	size_t gathered;
	assert_int_equal(queue_gather(&queue, 40, 60, &part, 1, &gathered), 1);
	assert_ptr_equal(part.iov_base, bytes + 40);
	assert_true(budget.used > 0);
	queue_release(&queue, 100);
	assert_int_equal(budget.used, 0);
	assert_int_equal(queue.start, 100);
	assert_true(queue_append(&queue, bytes, 7)); /* places go on */
	assert_int_equal(queue.end, 107);
}

/* The ring of chunks wraps and grows while it is used from any place. */
static void chunks_are_found_wherever_they_lie(void **state)
{
	size_t appended = 0;

	(void)state;
	for (size_t released = 0; released < 300; released++) {
		for (; appended < released + 6 + released / 4; appended++)
			assert_true(queue_append(&queue, bytes + 2 * appended, 1));
		expect_apart(released, appended);
		expect_apart(released, released + 1);
		queue_release(&queue, released + 1);
	}
}

/* What was looked at last may have been released since. */
static void a_hint_before_the_start_is_no_hint(void **state)
{
	(void)state;
	append_apart(8);
	expect_apart(1, 2);
	queue_release(&queue, 5);
	expect_apart(5, 8);
	expect_apart(7, 8);
	expect_apart(5, 6);
}

static void an_owned_queue_borrows_nothing(void **state)
{
	uint8_t before[64];

	(void)state;
	assert_true(queue_own(&queue)); /* nothing to own */
	assert_null(queue.owned);
	append_apart(20);
	queue_release(&queue, 3);
	for (size_t i = 3; i < 20; i++)
		before[i - 3] = bytes[2 * i];
	assert_true(queue_own(&queue));
	const uint8_t *owned = queue.owned;
	memset(bytes, 0, sizeof(bytes));
	struct iovec part;
	size_t gathered;
	assert_int_equal(queue_gather(&queue, 3, 17, &part, 1, &gathered), 1);
	assert_int_equal(gathered, 17);
	assert_memory_equal(part.iov_base, before, 17);
	assert_true(queue_own(&queue)); /* it is already */
	assert_ptr_equal(queue.owned, owned);
	queue_release(&queue, 10);
	assert_int_equal(queue_gather(&queue, 10, 10, &part, 1, &gathered), 1);
	assert_memory_equal(part.iov_base, before + 7, 10);
	queue_release(&queue, 20);
	assert_null(queue.owned);
}

/* F1: nothing was taken, and what was there is there. */
static void without_memory_nothing_is_taken(void **state)
{
	(void)state;
	heap_fails_after(0);
	assert_false(queue_append(&queue, bytes, 1));
	heap_works();
	assert_int_equal(queue.end, 0);
	append_apart(8);
	heap_fails_after(0);
	assert_false(queue_append(&queue, bytes + 16, 1));
	assert_true(queue_append(&queue, bytes + 15, 1)); /* a neighbour takes no chunk */
	assert_false(queue_own(&queue));
	heap_works();
	assert_int_equal(queue.end, 9);
	assert_null(queue.owned);
	expect_apart(0, 8);
}

/* P6: the first ring is each stream's, a larger one needs room in the budget. */
static void a_spent_budget_grows_nothing(void **state)
{
	(void)state;
	budget_charge(&budget, LIMIT);
	append_apart(8);
	assert_false(queue_append(&queue, bytes + 16, 1));
	assert_int_equal(queue.end, 8);
	budget_release(&budget, LIMIT);
	assert_true(queue_append(&queue, bytes + 16, 1));
	expect_apart(0, 9);
}

/* Any order of appending, gathering and releasing. */
static void a_queue_gives_back_its_bytes(void **state)
{
	static uint8_t apart[200000];

	(void)state;
	for (int round = 0; round < 20000 && queue.end + 3000 < sizeof(bytes); round++) {
		if (dice(2)) {
			assert_true(queue_append(&queue, bytes + queue.end, 1 + dice(dice(2) ? 10 : 2000)));
			if (dice(2)) { /* not beside the one before: no merging */
				apart[2 * queue.end] = bytes[queue.end];
				assert_true(queue_append(&queue, apart + 2 * queue.end, 1));
			}
		}
		if (queue.end > queue.start) {
			struct iovec parts[8];
			size_t gathered, place = queue.start + dice((uint32_t)(queue.end - queue.start));
			size_t length = 1 + dice((uint32_t)(queue.end - place));
			size_t count = queue_gather(&queue, place, length, parts, 8, &gathered), at = place;
			assert_true(gathered == length || count == 8);
			for (size_t i = 0; i < count; at += parts[i++].iov_len)
				assert_memory_equal(parts[i].iov_base, bytes + at, parts[i].iov_len);
			assert_int_equal(at - place, gathered);
		}
		if (dice(3) == 0)
			queue_release(&queue, queue.start + dice((uint32_t)(queue.end - queue.start) + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(neighbours_in_memory_are_one_part, start, end),
		cmocka_unit_test_setup_teardown(gathering_gives_no_more_than_was_asked_for, start, end),
		cmocka_unit_test_setup_teardown(what_is_released_makes_room, start, end),
		cmocka_unit_test_setup_teardown(chunks_are_found_wherever_they_lie, start, end),
		cmocka_unit_test_setup_teardown(a_hint_before_the_start_is_no_hint, start, end),
		cmocka_unit_test_setup_teardown(an_owned_queue_borrows_nothing, start, end),
		cmocka_unit_test_setup_teardown(without_memory_nothing_is_taken, start, end),
		cmocka_unit_test_setup_teardown(a_spent_budget_grows_nothing, start, end),
		cmocka_unit_test_setup_teardown(a_queue_gives_back_its_bytes, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
