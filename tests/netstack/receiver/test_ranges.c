/* A sorted set of half-open ranges that do not touch each other. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "netstack/packet/budget.h"
#include "netstack/receiver/ranges.h"
#include "tests/failing_heap.h"
#include "tests/netstack/dice.h"

#define LIMIT ((size_t)64 << 20)

static struct budget budget;
static struct ranges ranges;

static int start(void **state)
{
	(void)state;
	budget_start(LIMIT);
	budget = (struct budget){ 0 };
	ranges = (struct ranges){ .budget = &budget };
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	ranges_clear(&ranges);
	return budget_used() == 0 ? 0 : -1;
}

static void expect(size_t count, const struct range *wanted)
{
	assert_int_equal(ranges.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(ranges.first[i].left, wanted[i].left);
		assert_int_equal(ranges.first[i].right, wanted[i].right);
	}
}

static void fill(void)
{
	struct range merged;

	for (uint64_t left = 10; left < 60; left += 20)
		assert_int_equal(ranges_add(&ranges, (struct range){ left, left + 10 }, &merged), RANGES_ADDED);
}

/* To 10-20, 30-40 and 50-60. */
static void an_added_range_joins_what_it_touches(void **state)
{
	const struct {
		struct range added;
		enum ranges_outcome outcome;
		struct range merged;
		size_t count;
		struct range wanted[4];
	} cases[] = {
		{ { 0, 5 }, RANGES_ADDED, { 0, 5 }, 4, { { 0, 5 }, { 10, 20 }, { 30, 40 }, { 50, 60 } } },
		{ { 70, 80 }, RANGES_ADDED, { 70, 80 }, 4, { { 10, 20 }, { 30, 40 }, { 50, 60 }, { 70, 80 } } },
		{ { 22, 28 }, RANGES_ADDED, { 22, 28 }, 4, { { 10, 20 }, { 22, 28 }, { 30, 40 }, { 50, 60 } } },
		{ { 5, 10 }, RANGES_ADDED, { 5, 20 }, 3, { { 5, 20 }, { 30, 40 }, { 50, 60 } } },
		{ { 20, 25 }, RANGES_ADDED, { 10, 25 }, 3, { { 10, 25 }, { 30, 40 }, { 50, 60 } } },
		{ { 20, 30 }, RANGES_ADDED, { 10, 40 }, 2, { { 10, 40 }, { 50, 60 } } },
		{ { 15, 55 }, RANGES_ADDED, { 10, 60 }, 1, { { 10, 60 } } },
		{ { 5, 100 }, RANGES_ADDED, { 5, 100 }, 1, { { 5, 100 } } },
		{ { 35, 45 }, RANGES_ADDED, { 30, 45 }, 3, { { 10, 20 }, { 30, 45 }, { 50, 60 } } },
		{ { 30, 40 }, RANGES_KNOWN, { 30, 40 }, 3, { { 10, 20 }, { 30, 40 }, { 50, 60 } } },
		{ { 32, 38 }, RANGES_KNOWN, { 30, 40 }, 3, { { 10, 20 }, { 30, 40 }, { 50, 60 } } },
		{ { 50, 51 }, RANGES_KNOWN, { 50, 60 }, 3, { { 10, 20 }, { 30, 40 }, { 50, 60 } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct range merged;
		start(state);
		fill();
		assert_int_equal(ranges_add(&ranges, cases[i].added, &merged), cases[i].outcome);
		assert_int_equal(merged.left, cases[i].merged.left);
		assert_int_equal(merged.right, cases[i].merged.right);
		expect(cases[i].count, cases[i].wanted);
		ranges_clear(&ranges);
	}
}

static void a_place_finds_the_range_that_ends_there_or_behind(void **state)
{
	const size_t cases[][2] = { { 0, 0 }, { 10, 0 }, { 20, 0 }, { 21, 1 }, { 40, 1 }, { 41, 2 }, { 60, 2 }, { 61, 3 } };

	(void)state;
	assert_int_equal(ranges_find(&ranges, 5), 0);
	fill();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(ranges_find(&ranges, cases[i][0]), cases[i][1]);
}

static void a_range_is_contained_in_one_only(void **state)
{
	struct range in;

	(void)state;
	assert_false(ranges_contain(&ranges, (struct range){ 0, 1 }, &in));
	fill();
	assert_true(ranges_contain(&ranges, (struct range){ 30, 40 }, &in));
	assert_int_equal(in.left, 30);
	assert_int_equal(in.right, 40);
	assert_false(ranges_contain(&ranges, (struct range){ 29, 40 }, &in));
	assert_false(ranges_contain(&ranges, (struct range){ 30, 41 }, &in));
	assert_false(ranges_contain(&ranges, (struct range){ 15, 35 }, &in));
	assert_false(ranges_contain(&ranges, (struct range){ 55, 65 }, &in));
}

static void trimming_forgets_what_lies_before(void **state)
{
	(void)state;
	fill();
	ranges_trim(&ranges, 5);
	expect(3, (const struct range[]){ { 10, 20 }, { 30, 40 }, { 50, 60 } });
	ranges_trim(&ranges, 20);
	expect(2, (const struct range[]){ { 30, 40 }, { 50, 60 } });
	ranges_trim(&ranges, 55);
	expect(1, (const struct range[]){ { 55, 60 } });
	ranges_trim(&ranges, 60);
	expect(0, NULL);
	assert_int_equal(budget.used, 0);
}

/* P6: a peer that sends every second byte. */
static void there_are_no_more_than_the_most(void **state)
{
	struct range merged;

	(void)state;
	for (uint64_t i = 0; i < RANGES_MAX; i++)
		assert_int_equal(ranges_add(&ranges, (struct range){ 2 * i, 2 * i + 1 }, &merged), RANGES_ADDED);
	assert_int_equal(ranges_add(&ranges, (struct range){ 100000, 100001 }, &merged), RANGES_FULL);
	assert_int_equal(ranges.count, RANGES_MAX);
	assert_int_equal(ranges_add(&ranges, (struct range){ 1, 2 }, &merged), RANGES_ADDED); /* what joins takes no room */
	assert_int_equal(ranges.count, RANGES_MAX - 1);
}

/* F1 and P6: nothing changes. */
static void without_memory_nothing_changes(void **state)
{
	struct range merged;

	(void)state;
	heap_fails_after(0);
	assert_int_equal(ranges_add(&ranges, (struct range){ 0, 1 }, &merged), RANGES_FULL);
	heap_works();
	expect(0, NULL);
	for (uint64_t i = 0; i < 16; i++)
		assert_int_equal(ranges_add(&ranges, (struct range){ 2 * i, 2 * i + 1 }, &merged), RANGES_ADDED);
	heap_fails_after(0);
	assert_int_equal(ranges_add(&ranges, (struct range){ 40, 41 }, &merged), RANGES_FULL);
	heap_works();
	budget_charge(&budget, LIMIT);
	assert_int_equal(ranges_add(&ranges, (struct range){ 40, 41 }, &merged), RANGES_FULL);
	assert_int_equal(ranges.count, 16);
	ranges_trim(&ranges, 31);
	assert_int_equal(ranges_add(&ranges, (struct range){ 40, 41 }, &merged), RANGES_ADDED); /* the first room is each stream's */
	budget_release(&budget, LIMIT);
}

/* A window that moves on, with never more than a few holes, takes no more memory. */
static void the_room_of_the_front_is_used_again(void **state)
{
	struct range merged;

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		assert_int_equal(ranges_add(&ranges, (struct range){ 2 * i, 2 * i + 1 }, &merged), RANGES_ADDED);
		if (i >= 5)
			ranges_trim(&ranges, 2 * (i - 5) + 1);
		assert_true(ranges.capacity <= 16);
	}
	expect(5, (const struct range[]){ { 19990, 19991 }, { 19992, 19993 }, { 19994, 19995 }, { 19996, 19997 }, { 19998, 19999 } });
}

static void ranges_are_like_a_bitmap(void **state)
{
	static uint8_t map[3000];

	for (int run = 0; run < 50; run++) {
		uint64_t from = 0;
		start(state);
		memset(map, 0, sizeof(map));
		for (int round = 0; round < 300; round++) {
			struct range added = { from + dice(2900), 0 }, merged;
			added.right = added.left + 1 + dice(60);
			if (added.right > sizeof(map))
				break;
			bool known = memchr(map + added.left, 0, added.right - added.left) == NULL;
			assert_int_equal(ranges_add(&ranges, added, &merged), known ? RANGES_KNOWN : RANGES_ADDED);
			assert_true(merged.left <= added.left && merged.right >= added.right);
			memset(map + added.left, 1, added.right - added.left);
			if (dice(20) == 0) {
				from += dice(40);
				ranges_trim(&ranges, from);
				memset(map, 0, from);
			}
			size_t at = 0;
			for (size_t i = 0; i < ranges.count; i++) {
				assert_true(ranges.first[i].left >= at && ranges.first[i].left < ranges.first[i].right);
				while (at < ranges.first[i].left)
					assert_int_equal(map[at++], 0);
				while (at < ranges.first[i].right)
					assert_int_equal(map[at++], 1);
				assert_int_equal(map[at], 0);
			}
			if (from + 2960 > sizeof(map))
				break;
		}
		ranges_clear(&ranges);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_added_range_joins_what_it_touches, start, end),
		cmocka_unit_test_setup_teardown(a_place_finds_the_range_that_ends_there_or_behind, start, end),
		cmocka_unit_test_setup_teardown(a_range_is_contained_in_one_only, start, end),
		cmocka_unit_test_setup_teardown(trimming_forgets_what_lies_before, start, end),
		cmocka_unit_test_setup_teardown(there_are_no_more_than_the_most, start, end),
		cmocka_unit_test_setup_teardown(without_memory_nothing_changes, start, end),
		cmocka_unit_test_setup_teardown(the_room_of_the_front_is_used_again, start, end),
		cmocka_unit_test_setup_teardown(ranges_are_like_a_bitmap, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
