/* What a client sent and nobody has used: in order, bounded, and wiped when it is given back (X16). */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/io/intake.h"

static int ends[2];
static struct intake intake;

static int start(void **state)
{
	rig_start(state);
	intake = (struct intake){ .pool = rig.context.blocks };
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
}

static int stop(void **state)
{
	intake_clear(&intake);
	close(ends[0]);
	close(ends[1]);
	return rig_stop(state);
}

static void put(const char *text)
{
	assert_int_equal(send(ends[0], text, strlen(text), 0), (ssize_t)strlen(text));
}

static void nothing_is_held_while_nothing_waits(void **state)
{
	(void)state;
	assert_int_equal(intake_length(&intake), 0);
	assert_int_equal(intake_read(&intake, ends[1]), 0);
	assert_null(intake.block);
	put("GET ");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	put("/ HTTP");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	assert_int_equal(intake_length(&intake), 10);
	assert_memory_equal(intake_bytes(&intake), "GET / HTTP", 10);
	intake_use(&intake, 4);
	assert_int_equal(intake_length(&intake), 6);
	assert_memory_equal(intake_bytes(&intake), "/ HTTP", 6);
	intake_use(&intake, 6);
	assert_null(intake.block);
	shutdown(ends[0], SHUT_WR);
	assert_int_equal(intake_read(&intake, ends[1]), -1);
	assert_null(intake.block);
}

/* The end does not take away what came before it. */
static void the_end_leaves_what_waits(void **state)
{
	(void)state;
	put("rest");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	shutdown(ends[0], SHUT_WR);
	assert_int_equal(intake_read(&intake, ends[1]), -1);
	assert_memory_equal(intake_bytes(&intake), "rest", 4);
}

/* Reads up to `most` bytes in all; each byte tells its place. */
static void fill(size_t *length, size_t most)
{
	while (*length < most) {
		char bytes[1000];
		size_t count = most - *length < sizeof(bytes) ? most - *length : sizeof(bytes), end = intake_length(&intake) + count;
		for (size_t i = 0; i < count; i++)
			bytes[i] = (char)((*length + i) % 251);
		assert_int_equal(send(ends[0], bytes, count, 0), (ssize_t)count);
		*length += count;
		while (intake_length(&intake) < end)
			assert_int_equal(intake_read(&intake, ends[1]), 1);
	}
}

static void check(size_t from, size_t to)
{
	assert_int_equal(intake_length(&intake), to - from);
	for (size_t i = 0; i < to - from; i++)
		if ((unsigned char)intake_bytes(&intake)[i] != (from + i) % 251)
			fail_msg("byte %zu", from + i);
}

/* A full block closes up, then a large one takes over; when that is full, no more is taken (P6). */
static void a_head_grows_to_a_large_block_and_no_further(void **state)
{
	size_t length = 0;
	(void)state;
	fill(&length, 1000);
	size_t small = intake.block->capacity;
	fill(&length, small);
	check(0, small);
	intake_use(&intake, 700);
	/* Room is made by closing up: it stays the small one, and the place that was left is wiped. */
	fill(&length, small + 300);
	assert_int_equal(intake.block->capacity, small);
	check(700, small + 300);
	for (size_t i = intake.block->end; i < small; i++)
		assert_int_equal(intake.block->bytes[i], 0);
	fill(&length, small + 700);
	assert_int_equal(intake.block->capacity, small);
	fill(&length, small + 1700);
	check(700, small + 1700);
	size_t large = intake.block->capacity;
	assert_true(large > small);
	fill(&length, 700 + large);
	check(700, 700 + large);
	put("one more");
	assert_int_equal(intake_read(&intake, ends[1]), -2);
	check(700, 700 + large);
}

/* A head may hold a password, and what follows it is handed on in the same block. */
static void what_was_used_is_wiped_at_once(void **state)
{
	static const uint8_t none[64];
	(void)state;
	put("Proxy-Authorization: Basic c2VjcmV0early");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	intake_use(&intake, 35);
	struct block *block = intake_take(&intake);
	assert_memory_equal(block->bytes, none, 35);
	assert_memory_equal(block->bytes + block->start, "early", 5);
	block_pool_give(rig.context.blocks, block);
}

/* X16 */
static void what_is_given_back_is_wiped(void **state)
{
	static const uint8_t none[64];
	(void)state;
	put("Proxy-Authorization: Basic c2VjcmV0");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	struct block *block = intake.block;
	intake_use(&intake, 35);
	struct block *again = block_pool_take(rig.context.blocks, false);
	assert_ptr_equal(again, block); /* the pool gives the same one */
	assert_memory_equal(again->bytes, none, 35);
	block_pool_give(rig.context.blocks, again);
	/* What nobody has used as well. */
	put("Proxy-Authorization: Basic c2VjcmV0");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	intake_clear(&intake);
	again = block_pool_take(rig.context.blocks, false);
	assert_memory_equal(again->bytes, none, 35);
	block_pool_give(rig.context.blocks, again);
}

static void what_is_put_is_a_copy_that_can_be_taken(void **state)
{
	char text[] = "later";
	(void)state;
	assert_null(intake_take(&intake));
	assert_true(intake_put(&intake, text, 5));
	memset(text, 'x', 5);
	assert_memory_equal(intake_bytes(&intake), "later", 5);
	struct block *block = intake_take(&intake);
	assert_int_equal(block->end - block->start, 5);
	assert_int_equal(intake_length(&intake), 0);
	size_t capacity = block->capacity;
	block_pool_give(rig.context.blocks, block);
	char *large = calloc(1, capacity + 1);
	assert_false(intake_put(&intake, large, capacity + 1));
	assert_int_equal(intake_length(&intake), 0);
	assert_true(intake_put(&intake, large, capacity));
	free(large);
}

/* A read that brings nothing changes nothing. */
static void what_comes_later_is_kept_as_well(void **state)
{
	(void)state;
	intake_keep(&intake);
	assert_int_equal(intake_read(&intake, ends[1]), 0);
	put("hello");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	intake_use(&intake, 5);
	intake_rewind(&intake);
	assert_int_equal(intake_length(&intake), 5);
	assert_memory_equal(intake_bytes(&intake), "hello", 5);
}

/* A client of a pool is read again from its first byte when another member is tried. */
static void used_bytes_are_kept_until_they_are_forgotten(void **state)
{
	(void)state;
	put("hello password");
	assert_int_equal(intake_read(&intake, ends[1]), 1);
	intake_keep(&intake);
	intake_use(&intake, 6);
	intake_use(&intake, 8);
	assert_int_equal(intake_length(&intake), 0);
	assert_int_equal(intake_read(&intake, ends[1]), 0); /* nothing more: what is kept stays */
	intake_rewind(&intake);
	assert_int_equal(intake_length(&intake), 14);
	assert_memory_equal(intake_bytes(&intake), "hello password", 14);
	intake_keep(&intake);
	intake_use(&intake, 14);
	const uint8_t *bytes = intake.block->bytes;
	struct block *block = intake.block;
	intake_forget(&intake);
	assert_null(intake.block);
	struct block *again = block_pool_take(rig.context.blocks, false); /* the same: it was wiped */
	assert_ptr_equal(again, block);
	for (size_t i = 0; i < 14; i++)
		assert_int_equal(bytes[i], 0);
	block_pool_give(rig.context.blocks, again);
}

/* Kept bytes move with the others, and count against the room. */
static void what_is_kept_survives_a_larger_block(void **state)
{
	(void)state;
	size_t length = 0;
	fill(&length, 4000);
	intake_keep(&intake);
	intake_use(&intake, 3000);
	fill(&length, 60000);
	assert_int_equal(intake_length(&intake), 57000);
	intake_rewind(&intake);
	assert_int_equal(intake_length(&intake), 60000);
	for (size_t i = 0; i < length; i++)
		assert_int_equal((uint8_t)intake_bytes(&intake)[i], i % 251);
	intake_keep(&intake);
	intake_use(&intake, 59000);
	struct block *block = intake_take(&intake); /* the rest only */
	assert_int_equal(block->end - block->start, 1000);
	assert_int_equal(block->bytes[0], 0);
	assert_int_equal(block->bytes[10000], 0);
	block_pool_give(rig.context.blocks, block);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_held_while_nothing_waits),
		TEST(the_end_leaves_what_waits),
		TEST(a_head_grows_to_a_large_block_and_no_further),
		TEST(what_was_used_is_wiped_at_once),
		TEST(what_is_given_back_is_wiped),
		TEST(what_is_put_is_a_copy_that_can_be_taken),
		TEST(what_comes_later_is_kept_as_well),
		TEST(used_bytes_are_kept_until_they_are_forgotten),
		TEST(what_is_kept_survives_a_larger_block),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
