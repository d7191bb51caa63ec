/* Datagrams that wait for their destination. */
#include "tests/tunnel/rig.h"

#include <string.h>

#include "tunnel/proxy/backlog.h"

static struct {
	uint16_t port;
	char text[16];
	size_t length;
} seen[4];
static size_t seen_count;

static void see(void *owner, uint16_t port, const uint8_t *bytes, size_t length)
{
	assert_ptr_equal(owner, &seen);
	if (seen_count < 4 && length < sizeof(seen[0].text)) {
		seen[seen_count].port = port;
		seen[seen_count].length = length;
		memcpy(seen[seen_count].text, bytes, length);
	}
	seen_count++;
}

static uint64_t dropped(enum counters_drop why)
{
	return counter_read(&rig.tunnel.counters->dropped[why]);
}

static void test_all_come_in_order(void **state)
{
	(void)state;
	struct block *backlog = NULL;
	seen_count = 0;
	backlog_hold(&backlog, &rig.tunnel, 53, (const uint8_t *)"one", 3);
	backlog_hold(&backlog, &rig.tunnel, 54, (const uint8_t *)"", 0);
	backlog_hold(&backlog, &rig.tunnel, 55, (const uint8_t *)"three", 5);
	backlog_release(&backlog, &rig.tunnel, see, &seen);
	assert_null(backlog);
	assert_int_equal(seen_count, 3);
	assert_int_equal(seen[0].port, 53);
	assert_memory_equal(seen[0].text, "one", 3);
	assert_int_equal(seen[1].port, 54);
	assert_int_equal(seen[1].length, 0);
	assert_int_equal(seen[2].port, 55);
	assert_memory_equal(seen[2].text, "three", 5);
	backlog_release(&backlog, &rig.tunnel, see, &seen);
	assert_int_equal(seen_count, 3);
}

/* As the first one or a later one: what is just too long for a small block, and what just fits a large one. */
static void test_any_size_is_held(void **state)
{
	(void)state;
	static const uint8_t bytes[65500];
	static const size_t sizes[] = { 4060, 4061, 4092, 4093, 65500 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct block *backlog = NULL;
		seen_count = 0;
		backlog_hold(&backlog, &rig.tunnel, 1, bytes, sizes[i]);
		backlog_release(&backlog, &rig.tunnel, see, &seen);
		assert_int_equal(seen_count, 1);
	}
	struct block *backlog = NULL;
	seen_count = 0;
	backlog_hold(&backlog, &rig.tunnel, 53, (const uint8_t *)"one", 3);
	backlog_hold(&backlog, &rig.tunnel, 54, bytes, 5000);
	backlog_release(&backlog, &rig.tunnel, see, &seen);
	assert_int_equal(seen_count, 2);
	assert_memory_equal(seen[0].text, "one", 3);
	assert_int_equal(dropped(COUNTERS_DROP_OVERFLOW), 0);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
}

/* P6: one block is all, and what has no room is counted. */
static void test_a_full_one_drops(void **state)
{
	(void)state;
	static const uint8_t bytes[UINT16_MAX];
	struct block *backlog = NULL;
	seen_count = 0;
	backlog_hold(&backlog, &rig.tunnel, 1, bytes, sizeof(bytes));
	assert_int_equal(dropped(COUNTERS_DROP_OVERFLOW), 1);
	for (int i = 0; i < 100; i++)
		backlog_hold(&backlog, &rig.tunnel, 1, bytes, 1000);
	backlog_release(&backlog, &rig.tunnel, see, &seen);
	assert_in_range(seen_count, 1, 65);
	assert_int_equal(dropped(COUNTERS_DROP_OVERFLOW), 101 - seen_count);
}

static void test_a_refused_one_counts_each(void **state)
{
	(void)state;
	struct block *backlog = NULL;
	backlog_hold(&backlog, &rig.tunnel, 53, (const uint8_t *)"one", 3);
	backlog_hold(&backlog, &rig.tunnel, 53, (const uint8_t *)"two", 3);
	backlog_refuse(&backlog, &rig.tunnel);
	assert_null(backlog);
	assert_int_equal(dropped(COUNTERS_DROP_REFUSED), 2);
	backlog_refuse(&backlog, &rig.tunnel);
	assert_int_equal(dropped(COUNTERS_DROP_REFUSED), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_all_come_in_order),
		TEST(test_any_size_is_held),
		TEST(test_a_full_one_drops),
		TEST(test_a_refused_one_counts_each),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
