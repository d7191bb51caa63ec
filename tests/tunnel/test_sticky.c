/* Keys that keep their members, on a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/failing_heap.h"
#include "tunnel/pool/sticky.h"

#define TTL 600u
#define OWNER 7

static struct sticky *make(size_t capacity)
{
	static const uint8_t hash_key[STICKY_HASH_KEY] = { 1 };
	struct sticky *sticky = sticky_create(capacity, TTL, hash_key);
	assert_non_null(sticky);
	return sticky;
}

static uint32_t find(const struct sticky *sticky, const char *key, uint64_t now)
{
	return sticky_find(sticky, key, strlen(key), now);
}

static struct sticky_entry *hold(struct sticky *sticky, const char *key, uint32_t member, uint64_t now)
{
	return sticky_hold(sticky, key, strlen(key), OWNER, member, now);
}

static void use(struct sticky *sticky, const char *key, uint32_t member, uint64_t now)
{
	struct sticky_entry *entry = hold(sticky, key, member, now);
	assert_non_null(entry);
	sticky_release(sticky, entry, now);
}

static void use_as(struct sticky *sticky, uint64_t owner, unsigned number, uint64_t now)
{
	char key[32];
	snprintf(key, sizeof(key), "%u-%u", (unsigned)owner, number);
	struct sticky_entry *entry = sticky_hold(sticky, key, strlen(key), owner, 1, now);
	assert_non_null(entry);
	sticky_release(sticky, entry, now);
}

static void test_a_key_keeps_its_member_for_the_ttl(void **state)
{
	(void)state;
	struct sticky *sticky = make(10);
	assert_int_equal(find(sticky, "a", 100), 0);
	struct sticky_entry *first = hold(sticky, "a", 3, 100), *second = hold(sticky, "a", 3, 200);
	assert_ptr_equal(first, second);
	sticky_release(sticky, first, 300);
	/* A connection holds it however long it takes. */
	sticky_tick(sticky, 100000);
	assert_int_equal(find(sticky, "a", 100000), 3);
	sticky_release(sticky, second, 100000);
	assert_int_equal(find(sticky, "a", 100000 + TTL - 1), 3);
	assert_int_equal(find(sticky, "a", 100000 + TTL), 0);
	assert_int_equal(sticky_count(sticky), 1);
	sticky_tick(sticky, 100000 + TTL);
	assert_int_equal(sticky_count(sticky), 0);
	sticky_free(sticky);
}

static void test_a_key_that_moves_keeps_the_new_member(void **state)
{
	(void)state;
	struct sticky *sticky = make(10);
	struct sticky_entry *old = hold(sticky, "a", 3, 100);
	use(sticky, "a", 4, 110);
	assert_int_equal(find(sticky, "a", 110), 4);
	assert_int_equal(sticky_open(sticky, "a", 1), 1);
	sticky_release(sticky, old, 120);
	assert_int_equal(sticky_open(sticky, "a", 1), 0);
	assert_int_equal(sticky_open(sticky, "b", 1), 0);
	assert_int_equal(find(sticky, "a", 120), 4);
	sticky_free(sticky);
}

static void test_a_new_ttl_counts_for_idle_keys(void **state)
{
	(void)state;
	struct sticky *sticky = make(10);
	use(sticky, "a", 3, 100);
	sticky_set_ttl(sticky, 10);
	assert_int_equal(find(sticky, "a", 109), 3);
	assert_int_equal(find(sticky, "a", 110), 0);
	sticky_set_ttl(sticky, 20);
	assert_int_equal(find(sticky, "a", 119), 3);
	sticky_free(sticky);
}

static void test_the_oldest_idle_key_goes(void **state)
{
	(void)state;
	struct sticky *sticky = make(3);
	struct sticky_entry *held = hold(sticky, "held", 1, 0);
	use(sticky, "b", 1, 2);
	use(sticky, "a", 1, 1);
	use(sticky, "b", 1, 3);
	use(sticky, "c", 1, 4);
	assert_int_equal(find(sticky, "a", 4), 0);
	assert_int_equal(find(sticky, "b", 4), 1);
	struct sticky_entry *b = hold(sticky, "b", 1, 5), *c = hold(sticky, "c", 1, 5);
	assert_null(hold(sticky, "d", 1, 6)); /* all have connections */
	sticky_release(sticky, b, 7);
	use(sticky, "d", 1, 8);
	assert_int_equal(find(sticky, "b", 8), 0);
	assert_int_equal(find(sticky, "held", 8), 1);
	sticky_release(sticky, c, 9);
	sticky_release(sticky, held, 9);
	sticky_free(sticky);
}

static void test_a_flood_throws_out_its_own_keys(void **state)
{
	(void)state;
	struct sticky *sticky = make(1000);
	for (unsigned i = 0; i < 100; i++)
		use_as(sticky, 1 + i % 4, i, i);
	for (unsigned i = 0; i < 20000; i++)
		use_as(sticky, 99, i, 100 + i / 100);
	assert_int_equal(sticky_count(sticky), 1000);
	for (unsigned i = 0; i < 100; i++) {
		char key[32];
		snprintf(key, sizeof(key), "%u-%u", 1 + i % 4, i);
		assert_int_equal(find(sticky, key, 300), 1);
	}
	sticky_free(sticky);
}

static void test_memory_is_bounded_by_bytes_too(void **state)
{
	(void)state;
	enum { CAPACITY = 2000 };
	struct sticky *sticky = make(CAPACITY);
	char key[STICKY_KEY_MAX + 1];
	for (unsigned i = 0; i < 3 * CAPACITY; i++) {
		snprintf(key, sizeof(key), "%0*u", STICKY_KEY_MAX, i);
		use(sticky, key, 1, i / 100);
		assert_true(sticky_bytes(sticky) <= CAPACITY * STICKY_BYTES + 4096);
	}
	assert_in_range(sticky_count(sticky), CAPACITY / 3, CAPACITY);
	assert_int_equal(find(sticky, key, 60), 1);
	sticky_free(sticky);
}

/* 100,000 keys of 40 bytes take less than 200 each. */
static void test_usual_keys_all_fit(void **state)
{
	(void)state;
	enum { CAPACITY = 100000 };
	struct sticky *sticky = make(CAPACITY);
	for (unsigned i = 0; i < CAPACITY; i++) {
		char key[64];
		snprintf(key, sizeof(key), "%040u", i);
		use(sticky, key, 1, i / 1000);
	}
	assert_int_equal(sticky_count(sticky), CAPACITY);
	assert_true(sticky_bytes(sticky) / CAPACITY < STICKY_BYTES);
	sticky_free(sticky);
}

static void test_forgotten_keys_choose_anew(void **state)
{
	(void)state;
	struct sticky *sticky = make(10);
	struct sticky_entry *held = hold(sticky, "a", 3, 0), *other = hold(sticky, "b", 3, 0);
	use(sticky, "c", 3, 0);
	assert_true(sticky_forget(sticky, "a", 1, 1));
	assert_false(sticky_forget(sticky, "a", 1, 1));
	assert_int_equal(find(sticky, "a", 1), 0);
	struct sticky_entry *again = hold(sticky, "a", 4, 2);
	assert_ptr_not_equal(again, held);
	sticky_release(sticky, held, 3);
	assert_int_equal(find(sticky, "a", 3), 4);
	assert_int_equal(sticky_forget_all(sticky, 4), 3);
	assert_int_equal(sticky_count(sticky), 0);
	sticky_release(sticky, again, 5);
	assert_int_equal(sticky_forget_all(sticky, 5), 0);
	sticky_release(sticky, other, 5);
	use(sticky, "d", 1, 6);
	assert_false(sticky_forget(sticky, "d", 1, 6 + TTL)); /* it had expired */
	sticky_free(sticky);
}

/* One note, as «key=member@expiry». */
static void check_note(struct sticky *sticky, uint64_t now, const char *expected)
{
	struct sticky_note taken;
	char text[64] = "";
	if (sticky_take_notes(sticky, &taken, 1, now) == 1)
		snprintf(text, sizeof(text), "%.*s=%u@%llu", (int)taken.key_length, taken.key, taken.member, (unsigned long long)taken.expires_at);
	assert_string_equal(text, expected);
}

static void test_notes_tell_what_is_to_be_stored(void **state)
{
	(void)state;
	struct sticky *sticky = make(2);
	use(sticky, "a", 3, 1000);
	struct sticky_entry *b = hold(sticky, "b", 4, 1000);
	check_note(sticky, 1001, "a=3@1600");
	check_note(sticky, 1001, "b=4@1601");
	check_note(sticky, 1001, "");
	/* Prolonged only when a quarter of the ttl has passed. */
	use(sticky, "a", 3, 1149);
	sticky_tick(sticky, 1149);
	check_note(sticky, 1149, "");
	use(sticky, "a", 3, 1150);
	check_note(sticky, 1150, "a=3@1750");
	/* One that is held is prolonged by the tick. */
	sticky_tick(sticky, 1150);
	check_note(sticky, 1150, "b=4@1750");
	/* Moved. */
	use(sticky, "a", 5, 1151);
	check_note(sticky, 1152, "a=5@1751");
	/* Thrown out; an entry that was never stored goes without a note. */
	use(sticky, "c", 1, 1153);
	use(sticky, "d", 1, 1154);
	check_note(sticky, 1155, "a=0@0");
	check_note(sticky, 1155, "d=1@1754");
	check_note(sticky, 1155, "");
	/* Forgotten: whoever asked for it deletes the stored one. */
	sticky_forget(sticky, "d", 1, 1156);
	check_note(sticky, 1156, "");
	sticky_release(sticky, b, 1157);
	check_note(sticky, 1157, "");
	sticky_set_ttl(sticky, 100);
	check_note(sticky, 1158, "b=4@1257");
	sticky_free(sticky);
}

/* With a shorter ttl a key ends before the store's copy of it does, also when that is not renewed in time. */
static void test_the_store_is_told_what_it_would_keep_for_longer(void **state)
{
	(void)state;
	struct sticky *sticky = make(2);
	use(sticky, "a", 3, 1000);
	check_note(sticky, 1000, "a=3@1600");
	sticky_set_ttl(sticky, 100);
	assert_int_equal(find(sticky, "a", 1100), 0);
	sticky_tick(sticky, 1100);
	check_note(sticky, 1100, "a=0@0");
	use(sticky, "b", 4, 1100);
	check_note(sticky, 1100, "b=4@1200");
	sticky_tick(sticky, 1200);
	check_note(sticky, 1200, "");
	sticky_free(sticky);
}

static void test_deletions_to_be_told_are_bounded(void **state)
{
	(void)state;
	enum { CAPACITY = 3000, ALL = 2 * CAPACITY };
	struct sticky *sticky = make(CAPACITY);
	static struct sticky_note notes[ALL];
	for (unsigned i = 0; i < CAPACITY; i++)
		use_as(sticky, 1, i, 1);
	assert_int_equal(sticky_take_notes(sticky, notes, ALL, 1), CAPACITY);
	for (unsigned i = CAPACITY; i < ALL; i++)
		use_as(sticky, 1, i, 2);
	assert_int_equal(sticky_take_notes(sticky, notes, ALL, 2), CAPACITY + 1024);
	sticky_free(sticky);
}

static void test_stored_keys_are_loaded(void **state)
{
	(void)state;
	struct sticky *sticky = make(10);
	/* The clock began after the last connection ended. */
	sticky_load(sticky, "a", 1, 3, 30, 20);
	sticky_load(sticky, "b", 1, 4, 20, 20);
	sticky_load(sticky, "c", 1, 5, 100000, 20); /* of a longer ttl */
	use(sticky, "d", 6, 20);
	sticky_load(sticky, "d", 1, 7, 500, 20);
	assert_int_equal(find(sticky, "a", 29), 3);
	assert_int_equal(find(sticky, "a", 30), 0);
	assert_int_equal(find(sticky, "b", 20), 0);
	assert_int_equal(find(sticky, "c", 19 + TTL), 5);
	assert_int_equal(find(sticky, "c", 20 + TTL), 0);
	assert_int_equal(find(sticky, "d", 20), 6);
	sticky_tick(sticky, 30);
	assert_int_equal(sticky_count(sticky), 2);
	check_note(sticky, 30, "d=6@620");
	check_note(sticky, 30, "");
	sticky_free(sticky);
}

static void test_loading_in_any_order_expires_all(void **state)
{
	(void)state;
	struct sticky *sticky = make(10000);
	for (unsigned i = 0; i < 10000; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%u", i);
		sticky_load(sticky, key, strlen(key), 1, 1 + i * 7919u % TTL, 0);
	}
	assert_int_equal(sticky_count(sticky), 10000);
	for (unsigned i = 0; i < 3; i++)
		sticky_tick(sticky, TTL);
	assert_int_equal(sticky_count(sticky), 0);
	sticky_free(sticky);
}

/* A key that cannot be kept is not; a table that cannot grow serves on. */
static void test_without_memory_keys_are_not_kept(void **state)
{
	(void)state;
	struct sticky *sticky = make(1000);
	heap_fails_after(0);
	assert_null(hold(sticky, "a", 1, 0));
	sticky_release(sticky, NULL, 0);
	heap_works();
	assert_int_equal(sticky_count(sticky), 0);
	for (unsigned i = 0; i < 100; i++) {
		heap_fails_once_after(1);
		use_as(sticky, 1, i, 0);
		heap_works();
	}
	assert_int_equal(sticky_count(sticky), 100);
	assert_int_equal(find(sticky, "1-77", 0), 1);
	sticky_free(sticky);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_keeps_its_member_for_the_ttl),
		cmocka_unit_test(test_a_key_that_moves_keeps_the_new_member),
		cmocka_unit_test(test_a_new_ttl_counts_for_idle_keys),
		cmocka_unit_test(test_the_oldest_idle_key_goes),
		cmocka_unit_test(test_a_flood_throws_out_its_own_keys),
		cmocka_unit_test(test_memory_is_bounded_by_bytes_too),
		cmocka_unit_test(test_usual_keys_all_fit),
		cmocka_unit_test(test_forgotten_keys_choose_anew),
		cmocka_unit_test(test_notes_tell_what_is_to_be_stored),
		cmocka_unit_test(test_the_store_is_told_what_it_would_keep_for_longer),
		cmocka_unit_test(test_deletions_to_be_told_are_bounded),
		cmocka_unit_test(test_stored_keys_are_loaded),
		cmocka_unit_test(test_loading_in_any_order_expires_all),
		cmocka_unit_test(test_without_memory_keys_are_not_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
