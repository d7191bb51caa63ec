/* Slots in the memory that a worker shares, and whom a message about one is of (P2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/registry/slot_table.h"

static struct slots *slots;

static int set_up(void **state)
{
	struct counters *counters;
	int descriptor = counters_create(&counters);
	(void)state;
	slots = descriptor < 0 ? NULL : slots_create(counters, descriptor, 1);
	return slots == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	slots_free(slots);
	return 0;
}

/* The numbers of a snapshot that is still read never become those of another tunnel. */
static void a_slot_that_is_read_is_not_given_away(void **state)
{
	(void)state;
	struct slot *first = slot_take_tunnel(slots);
	struct slot *reader = slot_reference(first);
	counter_add(&slot_tunnel(first)->bytes_sent, 7);
	slot_leave(first);
	assert_int_equal(slots_tunnels_placed(slots), 0);
	struct slot *second = slot_take_tunnel(slots);
	assert_int_not_equal(slot_index(second), slot_index(reader));
	assert_int_equal(counter_read(&slot_tunnel(reader)->bytes_sent), 7);
	uint32_t freed = slot_index(reader);
	slot_release(reader);
	struct slot *third = slot_take_tunnel(slots);
	assert_int_equal(slot_index(third), freed);
	assert_int_equal(counter_read(&slot_tunnel(third)->bytes_sent), 0);
	assert_int_equal(slots_tunnels_placed(slots), 2);
	slot_leave(second);
	slot_leave(third);
}

static void every_slot_is_given_once_and_comes_back(void **state)
{
	static struct slot *taken[COUNTERS_TUNNELS];
	static unsigned char is_seen[COUNTERS_TUNNELS];
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < COUNTERS_TUNNELS; i++) {
			taken[i] = slot_take_tunnel(slots);
			assert_non_null(taken[i]);
			assert_int_equal(is_seen[slot_index(taken[i])]++, round);
		}
		assert_null(slot_take_tunnel(slots));
		for (unsigned i = 0; i < COUNTERS_TUNNELS; i++)
			slot_leave(taken[i]);
	}
}

static void a_peer_has_its_slot_where_its_tunnel_has(void **state)
{
	(void)state;
	struct slot *tunnel = slot_take_tunnel(slots), *peer = slot_take_peer(tunnel);
	assert_int_equal(slot_worker(tunnel), 1);
	assert_int_equal(slot_worker(peer), 1);
	assert_int_equal(slots_tunnels_placed(slots), 1);
	slot_release(peer);
	slot_leave(tunnel);
	slot_release(NULL);
	slot_leave(NULL);
}

static void a_message_finds_the_tunnel_of_its_generation_alone(void **state)
{
	(void)state;
	struct slot_table *table = slot_table_create(2);
	struct snapshot snapshot = { .generation = 3 };
	struct entry entry = { .snapshot = &snapshot, .slot = slot_take_tunnel(slots) }, without = { .slot = NULL };
	uint32_t slot = slot_index(entry.slot);
	slot_table_put(table, &entry);
	assert_ptr_equal(slot_table_find(table, 1, slot, 3), &entry);
	assert_ptr_equal(slot_table_at(table, 1, slot), &entry);
	assert_null(slot_table_find(table, 1, slot, 2));
	assert_null(slot_table_find(table, 0, slot, 3));
	assert_null(slot_table_find(table, 1, slot + 1, 3));
	assert_null(slot_table_find(table, 1, COUNTERS_TUNNELS, 3));
	assert_null(slot_table_at(table, 1, UINT32_MAX));
	slot_table_remove(table, &without);
	slot_table_remove(table, &entry);
	assert_null(slot_table_find(table, 1, slot, 3));
	slot_leave(entry.slot);
	slot_table_free(table);
}

static struct slots *next_of(const struct message_writer *writer)
{
	struct counters *counters;
	int descriptor = counters_create(&counters);
	struct slots *next = slots_create(counters, descriptor, 1);
	struct message_reader reader = { .bytes = writer->bytes, .left = writer->length };
	assert_true(slots_load(next, &reader) && reader.left == 0);
	return next;
}

/* The next program has the tunnel in its place, and gives the others' places and no other to new tunnels. */
static void the_next_program_has_the_same_slots(void **state)
{
	(void)state;
	struct message_writer writer;
	struct slot *first = slot_take_tunnel(slots), *second = slot_take_tunnel(slots), *peer = slot_take_peer(second);
	uint32_t kept = slot_index(second), freed = slot_index(first);
	slot_leave(first);
	message_writer_init(&writer);
	slots_save(slots, &writer);
	struct slots *next = next_of(&writer);
	struct slot *resumed = slot_resume_tunnel(next, kept), *resumed_peer = slot_resume_peer(resumed, slot_index(peer));
	assert_int_equal(slot_index(resumed), kept);
	assert_int_equal(slots_tunnels_placed(next), 1);
	struct slot *fresh = slot_take_tunnel(next), *another = slot_take_tunnel(next);
	assert_int_equal(slot_index(fresh), freed);
	assert_int_not_equal(slot_index(another), kept);
	assert_null(slot_resume_tunnel(next, COUNTERS_TUNNELS));
	slot_release(resumed_peer);
	slot_leave(resumed);
	slot_leave(fresh);
	slot_leave(another);
	slots_free(next);
	message_writer_clear(&writer);
	slot_release(peer);
	slot_leave(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_slot_that_is_read_is_not_given_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_slot_is_given_once_and_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_next_program_has_the_same_slots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_peer_has_its_slot_where_its_tunnel_has, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_message_finds_the_tunnel_of_its_generation_alone, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
