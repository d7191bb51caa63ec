/* Finds the tunnel of a slot in a worker's message. Borrows the entries. Service's thread only. */
#ifndef WARREN_SERVICE_REGISTRY_SLOT_TABLE_H
#define WARREN_SERVICE_REGISTRY_SLOT_TABLE_H

#include "service/registry/registry.h"

struct slot_table;

struct slot_table *slot_table_create(unsigned workers); /* NULL when out of memory */
void slot_table_free(struct slot_table *table);
void slot_table_put(struct slot_table *table, struct entry *entry);
void slot_table_remove(struct slot_table *table, const struct entry *entry); /* does nothing if it has no slot */
/* The entry, or NULL; the slot may be any number. */
struct entry *slot_table_at(const struct slot_table *table, unsigned worker, uint32_t slot);
/* The same, but NULL if the tunnel has another generation. */
struct entry *slot_table_find(const struct slot_table *table, unsigned worker, uint32_t slot, uint64_t generation);

#endif
