/* Conditions: the gauge and the message follow the truth, and the message comes once for each change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tunnel/condition.h"

static struct {
	uint16_t limit, refused;
	unsigned told;
	struct message_condition last;
} seen;

uint16_t netstack_path_limit(const struct netstack *stack, uint64_t now)
{
	(void)stack;
	(void)now;
	return seen.limit;
}

uint16_t netstack_path_refused(const struct netstack *stack)
{
	(void)stack;
	return seen.refused;
}

static void hear(struct context *context, enum message_type type, struct message_writer *writer)
{
	struct message_reader reader = { .bytes = writer->bytes, .left = writer->length };
	(void)context;
	assert_int_equal(type, MESSAGE_CONDITION);
	assert_true(message_decode_condition(&reader, &seen.last));
	assert_int_equal(seen.last.slot, 3);
	assert_int_equal(seen.last.generation, 7);
	seen.told++;
	message_writer_clear(writer);
}

static struct context context = { .send = hear };
static struct counters_tunnel counters;

static struct tunnel tunnel_of(void)
{
	counters_clear_tunnel(&counters);
	seen.told = seen.limit = seen.refused = 0;
	return (struct tunnel){ .context = &context, .counters = &counters, .slot = 3, .generation = 7 };
}

static void a_narrow_path_is_told_when_it_changes(void **state)
{
	struct tunnel tunnel = tunnel_of();
	(void)state;
	assert_false(condition_tick(&tunnel, 1));
	assert_int_equal(seen.told, 0);
	seen.limit = 1380;
	seen.refused = 1420;
	assert_true(condition_tick(&tunnel, 2));
	assert_true(condition_tick(&tunnel, 3));
	assert_int_equal(seen.told, 1);
	assert_int_equal(seen.last.type, MESSAGE_CONDITION_MTU);
	assert_int_equal(seen.last.value, 1420u << 16 | 1380);
	assert_int_equal(counter_read(&counters.conditions[MESSAGE_CONDITION_MTU]), 1420u << 16 | 1380);
	assert_int_equal(counter_read(&counters.conditions[MESSAGE_CONDITION_KEY]), 0);
	seen.limit = 0;
	assert_false(condition_tick(&tunnel, 4));
	assert_int_equal(seen.told, 2);
	assert_int_equal(seen.last.value, 0);
	assert_int_equal(counter_read(&counters.conditions[MESSAGE_CONDITION_MTU]), 0);
}

/* It lasts for half a minute from the last sign, and is told at its begin and its end. */
static void a_taken_key_is_told_until_there_is_no_sign_of_it(void **state)
{
	struct tunnel tunnel = tunnel_of();
	uint64_t now = 1000 * LOOP_SECOND;
	(void)state;
	condition_note_key_taken(&tunnel, now);
	assert_int_equal(seen.told, 1);
	assert_int_equal(seen.last.type, MESSAGE_CONDITION_KEY);
	assert_int_equal(seen.last.value, 1);
	now += 29 * LOOP_SECOND;
	assert_true(condition_tick(&tunnel, now));
	condition_note_key_taken(&tunnel, now);
	now += 30 * LOOP_SECOND - 1;
	assert_true(condition_tick(&tunnel, now));
	assert_int_equal(seen.told, 1);
	assert_int_equal(counter_read(&counters.conditions[MESSAGE_CONDITION_KEY]), 1);
	assert_false(condition_tick(&tunnel, now + 1));
	assert_int_equal(seen.told, 2);
	assert_int_equal(seen.last.value, 0);
	assert_int_equal(counter_read(&counters.conditions[MESSAGE_CONDITION_KEY]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_narrow_path_is_told_when_it_changes),
		cmocka_unit_test(a_taken_key_is_told_until_there_is_no_sign_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
