/* Bytes that came out of order: what was stored at a place is read there, and memory follows the places and not the pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "netstack/packet/budget.h"
#include "netstack/receiver/pages.h"
#include "tests/failing_heap.h"
#include "tests/netstack/dice.h"

#define LIMIT ((size_t)64 << 20)

static struct budget budget;
static struct retired retired;
static struct pages pages;
static uint8_t bytes[4 * PAGES_SIZE];

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	budget = (struct budget){ 0 };
	retired = (struct retired){ .budget = &budget };
	pages = (struct pages){ .budget = &budget };
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)dice(256);
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	pages_clear(&pages, &retired);
	retired_free_all(&retired);
	return budget_used() == 0 ? 0 : -1;
}

static void expect_bytes(uint64_t place, const uint8_t *wanted, size_t length)
{
	while (length > 0) {
		struct iovec part;
		size_t gathered;
		assert_int_equal(pages_gather(&pages, place, length, &part, 1, &gathered), 1);
		assert_in_range(gathered, 1, length);
		assert_int_equal(part.iov_len, gathered);
		assert_memory_equal(part.iov_base, wanted, gathered);
		place += gathered;
		wanted += gathered;
		length -= gathered;
	}
}

static void bytes_lie_where_they_were_stored(void **state)
{
	const uint64_t places[] = { 0, 1, PAGES_SIZE - 1, PAGES_SIZE, 3 * PAGES_SIZE - 7 };
	const size_t lengths[] = { 1, 2, PAGES_SIZE, PAGES_SIZE + 1, 2 * PAGES_SIZE + 5 };

	for (size_t i = 0; i < 5; i++) {
		for (size_t k = 0; k < 5; k++) {
			start(state);
			assert_true(pages_store(&pages, 0, places[i], bytes, lengths[k]));
			expect_bytes(places[i], bytes, lengths[k]);
			uint64_t last = (places[i] + lengths[k] - 1) / PAGES_SIZE;
			assert_int_equal(pages.count, last - places[i] / PAGES_SIZE + 1);
			assert_int_equal(end(state), 0);
		}
	}
}

/* P6: single bytes in a page take the page once. */
static void memory_follows_the_places(void **state)
{
	(void)state;
	for (uint64_t place = 5; place < PAGES_SIZE; place += 2)
		assert_true(pages_store(&pages, 0, place, bytes + place, 1));
	assert_int_equal(pages.count, 1);
	assert_in_range(budget.used, PAGES_SIZE, PAGES_SIZE + 64);
	assert_true(pages_store(&pages, 0, 15 * PAGES_SIZE, bytes, PAGES_SIZE));
	assert_int_equal(pages.size, 16); /* the table's first size holds sixteen whole pages */
}

static void gathering_stops_at_the_parts_there_are(void **state)
{
	struct iovec parts[4];
	size_t gathered;

	(void)state;
	assert_true(pages_store(&pages, 0, 100, bytes, 3 * PAGES_SIZE));
	assert_int_equal(pages_gather(&pages, 100, 3 * PAGES_SIZE, parts, 2, &gathered), 2);
	assert_int_equal(gathered, PAGES_SIZE - 100 + PAGES_SIZE);
	assert_int_equal(pages_gather(&pages, 100, 3 * PAGES_SIZE, parts, 4, &gathered), 4);
	assert_int_equal(gathered, 3 * PAGES_SIZE);
	assert_int_equal(parts[3].iov_len, 100);
	assert_int_equal(pages_gather(&pages, 100, 0, parts, 4, &gathered), 0);
	assert_int_equal(gathered, 0);
}

/* The owner reads what was gathered until the retired are freed. */
static void released_pages_can_still_be_read(void **state)
{
	struct iovec part;
	size_t gathered;

	(void)state;
	assert_true(pages_store(&pages, 0, 0, bytes, 2 * PAGES_SIZE));
	assert_int_equal(pages_gather(&pages, 0, PAGES_SIZE, &part, 1, &gathered), 1);
	size_t used = budget.used;
	pages_release(&pages, PAGES_SIZE - 1, &retired);
	assert_int_equal(pages.count, 2); /* a byte of the first is still needed */
	pages_release(&pages, PAGES_SIZE, &retired);
	assert_int_equal(pages.count, 1);
	assert_memory_equal(part.iov_base, bytes, PAGES_SIZE);
	assert_int_equal(budget.used, used);
	retired_free_all(&retired);
	assert_true(budget.used <= used - PAGES_SIZE);
	expect_bytes(PAGES_SIZE, bytes + PAGES_SIZE, PAGES_SIZE);
}

/* Holes leave pages out, and the table grows to any place of a window with all that it holds. */
static void far_places_keep_the_near_ones(void **state)
{
	const uint64_t base = 1000000ull * PAGES_SIZE;

	(void)state;
	assert_true(pages_store(&pages, base + 5, base + 10, bytes, 100));
	assert_true(pages_store(&pages, base + 5, base + 16 * PAGES_SIZE, bytes + 100, 100));
	assert_true(pages_store(&pages, base + 5, base + 200 * PAGES_SIZE, bytes + 200, 100));
	assert_int_equal(pages.count, 3);
	expect_bytes(base + 10, bytes, 100);
	expect_bytes(base + 16 * PAGES_SIZE, bytes + 100, 100);
	expect_bytes(base + 200 * PAGES_SIZE, bytes + 200, 100);
	pages_release(&pages, base + 100 * PAGES_SIZE, &retired);
	assert_int_equal(pages.count, 1);
	expect_bytes(base + 200 * PAGES_SIZE, bytes + 200, 100);
	pages_release(&pages, base + 300 * PAGES_SIZE, &retired);
	assert_int_equal(pages.count, 0);
	assert_true(pages_store(&pages, base + 300 * PAGES_SIZE, base + 301 * PAGES_SIZE, bytes, 100));
	expect_bytes(base + 301 * PAGES_SIZE, bytes, 100);
	assert_true(pages_store(&pages, base + 300 * PAGES_SIZE, base + 456 * PAGES_SIZE, bytes, 100)); /* where 200 was in the ring */
	assert_int_equal(pages.count, 2);
}

static void nothing_takes_no_memory(void **state)
{
	(void)state;
	assert_true(pages_store(&pages, 0, 100, bytes, 0));
	assert_int_equal(pages.size, 0);
	assert_int_equal(budget.used, 0);
}

/* F1: each allocation fails once; what was stored before is there. */
static void without_memory_the_rest_stays(void **state)
{
	(void)state;
	for (unsigned allowed = 0; allowed < 2; allowed++) { /* the table, the page */
		heap_fails_after(allowed);
		assert_false(pages_store(&pages, 0, 0, bytes, 10));
		heap_works();
	}
	assert_true(pages_store(&pages, 0, 0, bytes, 10));
	heap_fails_after(0);
	assert_false(pages_store(&pages, 0, 100 * PAGES_SIZE, bytes, 10)); /* a larger table */
	heap_works();
	expect_bytes(0, bytes, 10);
}

/* P6: when the budget is spent, a stream still has one page for the first hole. */
static void a_spent_budget_leaves_a_page(void **state)
{
	(void)state;
	budget_charge(&budget, LIMIT);
	assert_true(pages_store(&pages, 0, 100, bytes, 1000));
	assert_false(pages_store(&pages, 0, PAGES_SIZE, bytes, 1000));
	expect_bytes(100, bytes, 1000);
	budget_release(&budget, LIMIT);
	assert_true(pages_store(&pages, 0, PAGES_SIZE, bytes, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_lie_where_they_were_stored, start, end),
		cmocka_unit_test_setup_teardown(memory_follows_the_places, start, end),
		cmocka_unit_test_setup_teardown(gathering_stops_at_the_parts_there_are, start, end),
		cmocka_unit_test_setup_teardown(released_pages_can_still_be_read, start, end),
		cmocka_unit_test_setup_teardown(far_places_keep_the_near_ones, start, end),
		cmocka_unit_test_setup_teardown(nothing_takes_no_memory, start, end),
		cmocka_unit_test_setup_teardown(without_memory_the_rest_stays, start, end),
		cmocka_unit_test_setup_teardown(a_spent_budget_leaves_a_page, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
