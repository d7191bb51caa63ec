#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tunnel/io/poison.h"
#include "tunnel/io/block_pool.h"

static void test_blocks_come_back_empty(void **state)
{
	(void)state;
	struct block_pool *pool = block_pool_create();
	struct block *small = block_pool_take(pool, false), *large = block_pool_take(pool, true);
	assert_true(small->capacity < large->capacity);
	assert_int_equal(block_pool_in_use(pool), 4096 + 65536);
	small->start = 5;
	small->end = 10;
	block_pool_give(pool, small);
	struct block *again = block_pool_take(pool, false);
	assert_ptr_equal(again, small);
	assert_int_equal(again->start, 0);
	assert_int_equal(again->end, 0);
	again->next = large;
	block_pool_give_all(pool, again);
	assert_int_equal(block_pool_in_use(pool), 0);
	block_pool_give(pool, NULL);
	block_pool_free(pool);
}

static void test_a_block_grows_from_nothing_to_small_to_large(void **state)
{
	(void)state;
	struct block_pool *pool = block_pool_create();
	struct block *small = block_pool_grow(pool, NULL);
	assert_false(block_is_large(small));
	memcpy(small->bytes, "used, kept", 10);
	small->start = 6;
	small->end = 10;
	struct block *large = block_pool_grow(pool, small);
	assert_true(block_is_large(large));
	assert_int_equal(block_pool_in_use(pool), 65536);
	assert_int_equal(large->start, 6);
	assert_int_equal(large->end, 10);
	assert_memory_equal(large->bytes, "used, kept", 10);
	assert_null(block_pool_grow(pool, large));
	assert_int_equal(large->end, 10);
	block_pool_give(pool, large);
	assert_int_equal(block_pool_in_use(pool), 0);
	block_pool_free(pool);
}

/* P6: what a burst needed is freed when nobody has needed it for a while, and what is in turn is kept. */
static void test_blocks_that_nobody_needs_are_freed(void **state)
{
	(void)state;
	struct block_pool *pool = block_pool_create();
	struct block *burst = NULL;
	for (int i = 0; i < 5; i++) {
		struct block *block = block_pool_take(pool, true);
		block->next = burst;
		burst = block;
	}
	assert_int_equal(block_pool_trim(pool), 0);
	block_pool_give_all(pool, burst);
	assert_int_equal(block_pool_trim(pool), 0);
	struct block *one = block_pool_take(pool, true), *two = block_pool_take(pool, true);
	block_pool_give(pool, one);
	block_pool_give(pool, two);
	assert_int_equal(block_pool_trim(pool), 3 * 65536);
	assert_int_equal(block_pool_trim(pool), 2 * 65536);
	assert_int_equal(block_pool_trim(pool), 0);
	block_pool_free(pool);
}

/* P2: a pointer that was kept too long is reported, instead of reading what the block holds for another tunnel. */
static void test_the_bytes_of_a_free_block_are_nobodys(void **state)
{
	(void)state;
#ifdef POISON_WATCHED
	struct block_pool *pool = block_pool_create();
	struct block *block = block_pool_take(pool, true);
	assert_false(__asan_address_is_poisoned(block->bytes));
	block_pool_give(pool, block);
	assert_true(__asan_address_is_poisoned(block->bytes));
	assert_true(__asan_address_is_poisoned(block->bytes + block->capacity - 1));
	assert_ptr_equal(block_pool_take(pool, true), block);
	assert_false(__asan_address_is_poisoned(block->bytes));
	assert_false(__asan_address_is_poisoned(block->bytes + block->capacity - 1));
	block_pool_give(pool, block);
	block_pool_free(pool);
#else
	print_message("skipped: free blocks are poisoned under AddressSanitizer alone\n");
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks_come_back_empty),
		cmocka_unit_test(test_a_block_grows_from_nothing_to_small_to_large),
		cmocka_unit_test(test_blocks_that_nobody_needs_are_freed),
		cmocka_unit_test(test_the_bytes_of_a_free_block_are_nobodys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
