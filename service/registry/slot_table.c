#include "service/registry/slot_table.h"

#include <stdlib.h>

struct slot_table {
	struct entry *(*of_worker)[COUNTERS_TUNNELS];
};

struct slot_table *slot_table_create(unsigned workers)
{
	struct slot_table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return NULL;
	table->of_worker = calloc(workers, sizeof(*table->of_worker));
	if (table->of_worker != NULL)
		return table;
	free(table);
	return NULL;
}

void slot_table_free(struct slot_table *table)
{
	if (table == NULL)
		return;
	free(table->of_worker);
	free(table);
}

void slot_table_put(struct slot_table *table, struct entry *entry)
{
	table->of_worker[slot_worker(entry->slot)][slot_index(entry->slot)] = entry;
}

void slot_table_remove(struct slot_table *table, const struct entry *entry)
{
	if (entry->slot != NULL)
		table->of_worker[slot_worker(entry->slot)][slot_index(entry->slot)] = NULL;
}

struct entry *slot_table_at(const struct slot_table *table, unsigned worker, uint32_t slot)
{
	return slot < COUNTERS_TUNNELS ? table->of_worker[worker][slot] : NULL;
}

struct entry *slot_table_find(const struct slot_table *table, unsigned worker, uint32_t slot, uint64_t generation)
{
	struct entry *entry = slot_table_at(table, worker, slot);
	return entry != NULL && entry->snapshot->generation == generation ? entry : NULL;
}
