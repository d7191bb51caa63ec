/* Answers about names, kept for their time, in bounded memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>

#include "netstack/name_cache.h"
#include "netstack/packet/random.h"
#include "tests/failing_heap.h"

#define SECOND 1000000000ull
#define MOST 256

static struct name_cache cache;

static int start(void **state)
{
	static const uint8_t seed[32];

	(void)state;
	random_start(seed);
	cache = (struct name_cache){ 0 };
	return 0;
}

static int end(void **state)
{
	(void)state;
	heap_works();
	name_cache_clear(&cache);
	return cache.entries == NULL ? 0 : -1;
}

static void put(const char *name, uint8_t family, uint32_t ttl, size_t count, uint64_t now)
{
	const struct dns_answer answer = { .ttl = ttl, .count = count };
	name_cache_put(&cache, name, family, &answer, now);
}

static void an_answer_is_kept_for_its_time(void **state)
{
	(void)state;
	put("a.test", AF_INET, 60, 3, 5 * SECOND);
	assert_int_equal(name_cache_get(&cache, "a.test", AF_INET, 65 * SECOND - 1)->count, 3);
	assert_null(name_cache_get(&cache, "a.test", AF_INET, 65 * SECOND));
	put("b.test", AF_INET, 0, 1, 0); /* RFC 1035, 3.2.1: not to be kept */
	assert_null(name_cache_get(&cache, "b.test", AF_INET, 0));
}

static void families_and_names_are_told_apart(void **state)
{
	(void)state;
	put("a.test", AF_INET, 60, 4, 0);
	assert_null(name_cache_get(&cache, "a.test", AF_INET6, 1));
	assert_null(name_cache_get(&cache, "b.test", AF_INET, 1));
	assert_null(name_cache_get(&cache, "a.tes", AF_INET, 1));
	put("a.test", AF_INET6, 60, 6, 0);
	assert_int_equal(name_cache_get(&cache, "a.test", AF_INET, 1)->count, 4);
	assert_int_equal(name_cache_get(&cache, "a.test", AF_INET6, 1)->count, 6);
}

static void a_newer_answer_takes_the_place_of_the_old(void **state)
{
	(void)state;
	put("a.test", AF_INET, 60, 1, 0);
	put("a.test", AF_INET, 30, 2, 50 * SECOND);
	assert_int_equal(name_cache_get(&cache, "a.test", AF_INET, 70 * SECOND)->count, 2);
	assert_null(name_cache_get(&cache, "a.test", AF_INET, 80 * SECOND));
	assert_int_equal(cache.count, 1);
}

/* P6: beyond the most, what expires first makes room. */
static void a_full_cache_forgets_what_expires_first(void **state)
{
	char name[32];

	(void)state;
	for (uint32_t i = 0; i < MOST; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		put(name, AF_INET, i == 100 ? 10 : 100 + i, 1, 0);
	}
	put("fresh.test", AF_INET, 60, 2, 0);
	assert_int_equal(cache.count, MOST);
	assert_null(name_cache_get(&cache, "n100.test", AF_INET, 1));
	assert_int_equal(name_cache_get(&cache, "fresh.test", AF_INET, 1)->count, 2);
	put("newer.test", AF_INET, 600, 3, 0);
	assert_null(name_cache_get(&cache, "fresh.test", AF_INET, 1)); /* it was the next */
	assert_non_null(name_cache_get(&cache, "n0.test", AF_INET, 1));
	assert_non_null(name_cache_get(&cache, "n255.test", AF_INET, 1));
}

/* F1: it is not kept, or in the place of another. */
static void without_memory_it_is_not_kept(void **state)
{
	char name[32];

	(void)state;
	for (unsigned allowed = 0; allowed < 2; allowed++) {
		heap_fails_after(allowed);
		put("a.test", AF_INET, 60, 1, 0);
		heap_works();
		assert_null(name_cache_get(&cache, "a.test", AF_INET, 1));
	}
	for (uint32_t i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		put(name, AF_INET, 100 + i, 1, 0);
	}
	heap_fails_after(1); /* the name, but no larger table */
	put("a.test", AF_INET, 60, 1, 0);
	heap_works();
	assert_non_null(name_cache_get(&cache, "a.test", AF_INET, 1));
	assert_null(name_cache_get(&cache, "n0.test", AF_INET, 1));
	assert_int_equal(cache.count, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_is_kept_for_its_time, start, end),
		cmocka_unit_test_setup_teardown(families_and_names_are_told_apart, start, end),
		cmocka_unit_test_setup_teardown(a_newer_answer_takes_the_place_of_the_old, start, end),
		cmocka_unit_test_setup_teardown(a_full_cache_forgets_what_expires_first, start, end),
		cmocka_unit_test_setup_teardown(without_memory_it_is_not_kept, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
