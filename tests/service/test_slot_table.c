/* P7: a worker names a tunnel by its slot and generation; whatever it says, it gets no other one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "service/registry/slot_table.h"

static struct slots *workers[2];

static struct entry *entry_on(unsigned worker, uint64_t generation)
{
	struct entry *entry = entry_create("t");
	entry->slot = slot_take_tunnel(workers[worker]);
	entry->snapshot = calloc(1, sizeof(*entry->snapshot));
	entry->snapshot->references = 1;
	entry->snapshot->generation = generation;
	return entry;
}

static void a_slot_leads_to_its_tunnel_alone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct counters *counters;
		int descriptor = counters_create(&counters);
		workers[i] = slots_create(counters, descriptor, i);
	}
	struct slot_table *table = slot_table_create(2);
	struct entry *a = entry_on(0, 3), *b = entry_on(0, 4), *c = entry_on(1, 3), *none = entry_create("none");
	slot_table_put(table, a);
	slot_table_put(table, b);
	slot_table_put(table, c);
	assert_ptr_equal(slot_table_at(table, 0, slot_index(a->slot)), a);
	assert_ptr_equal(slot_table_at(table, 0, slot_index(b->slot)), b);
	assert_ptr_equal(slot_table_at(table, 1, slot_index(c->slot)), c);
	assert_int_equal(slot_index(a->slot), slot_index(c->slot));
	assert_ptr_equal(slot_table_find(table, 0, slot_index(a->slot), 3), a);
	assert_null(slot_table_find(table, 0, slot_index(a->slot), 4));
	assert_null(slot_table_find(table, 1, slot_index(b->slot), 4));
	assert_null(slot_table_at(table, 0, COUNTERS_TUNNELS - 1));
	assert_null(slot_table_at(table, 0, COUNTERS_TUNNELS));
	assert_null(slot_table_find(table, 1, UINT32_MAX, 3));
	slot_table_remove(table, none);
	slot_table_remove(table, a);
	assert_null(slot_table_at(table, 0, slot_index(a->slot)));
	assert_ptr_equal(slot_table_at(table, 1, slot_index(c->slot)), c);
	entry_free(a);
	entry_free(b);
	entry_free(c);
	entry_free(none);
	slot_table_free(table);
	slot_table_free(NULL);
	for (unsigned i = 0; i < 2; i++)
		slots_free(workers[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_slot_leads_to_its_tunnel_alone) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
