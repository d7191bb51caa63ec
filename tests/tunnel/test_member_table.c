/* Members in slots, found by number and by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/pool/member_table.h"

static void put(struct member_table *table, uint32_t number, const char *id)
{
	struct pool_member member = { .number = number };
	size_t slot = member_table_find(table, number);
	snprintf(member.id, sizeof(member.id), "%s", id);
	if (slot == MEMBER_TABLE_NONE)
		slot = member_table_find_free(table);
	if (slot == MEMBER_TABLE_NONE) {
		assert_true(member_table_grow(table));
		slot = member_table_find_free(table);
	}
	assert_true(member_table_put(table, slot, &member) >= 0);
	table->slots[slot].is_listed = true;
}

static void check(const struct member_table *table, uint32_t number, const char *id, bool is_there)
{
	size_t slot = member_table_find(table, number);
	assert_int_equal(slot != MEMBER_TABLE_NONE, is_there);
	assert_int_equal(member_table_find_id(table, id, strlen(id)), slot);
	if (is_there)
		assert_string_equal(table->slots[slot].member.id, id);
}

static void test_members_are_found_while_others_come_and_go(void **state)
{
	(void)state;
	struct member_table table = { .hash_key = { 1 } };
	char id[16];
	check(&table, 1, "t1", false);
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 1; i <= 200; i++) {
			snprintf(id, sizeof(id), "t%u", 100 * round + i);
			put(&table, 100 * round + i, id);
		}
		for (size_t i = 0; i < table.capacity; i++)
			table.slots[i].is_listed = table.slots[i].member.number > 100 * round + 100;
		member_table_remove_unlisted(&table);
		for (uint32_t number = 1; number <= 100 * round + 300; number++) {
			snprintf(id, sizeof(id), "t%u", number);
			check(&table, number, id, number > 100 * round + 100 && number <= 100 * round + 200);
		}
	}
	assert_int_equal(table.capacity, 256);
	member_table_clear(&table);
}

static void test_a_new_id_takes_the_place_of_the_old_one(void **state)
{
	(void)state;
	struct member_table table = { .hash_key = { 1 } };
	put(&table, 1, "a");
	put(&table, 2, "b");
	put(&table, 1, "c");
	check(&table, 1, "c", true);
	check(&table, 2, "b", true);
	assert_int_equal(member_table_find_id(&table, "a", 1), MEMBER_TABLE_NONE);
	assert_int_equal(member_table_find(&table, 0), MEMBER_TABLE_NONE);
	member_table_clear(&table);
}

/* Sums of hashes stand for sets of labels, so their parts must not be exchangeable. */
static void test_hashes_of_labels_are_of_pairs(void **state)
{
	(void)state;
	const struct member_table table = { .hash_key = { 1 } };
	uint64_t straight = member_table_hash_label(&table, "a", 1, "x", 1) + member_table_hash_label(&table, "b", 1, "y", 1);
	uint64_t crossed = member_table_hash_label(&table, "a", 1, "y", 1) + member_table_hash_label(&table, "b", 1, "x", 1);
	assert_true(straight != crossed);
	assert_true(member_table_hash_label(&table, "ab", 2, "c", 1) != member_table_hash_label(&table, "a", 1, "bc", 2));
	assert_true(member_table_hash_label(&table, "a", 1, "b", 1) != member_table_hash_label(&table, "b", 1, "a", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members_are_found_while_others_come_and_go),
		cmocka_unit_test(test_a_new_id_takes_the_place_of_the_old_one),
		cmocka_unit_test(test_hashes_of_labels_are_of_pairs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
