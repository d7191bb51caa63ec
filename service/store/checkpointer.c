#include "service/store/checkpointer.h"

#include <stdlib.h>
#include <string.h>

struct checkpointer {
	struct registry *registry;  /* borrowed */
	struct store *store;        /* borrowed */
	struct token_table *tokens; /* borrowed */
	bool is_urgent;             /* something cannot wait for its time */
	bool is_under_way;          /* a checkpoint is being written */
};

struct checkpointer *checkpointer_create(struct registry *registry, struct store *store, struct token_table *tokens)
{
	struct checkpointer *checkpointer = calloc(1, sizeof(*checkpointer));
	if (checkpointer != NULL)
		*checkpointer = (struct checkpointer){ .registry = registry, .store = store, .tokens = tokens };
	return checkpointer;
}

void checkpointer_free(struct checkpointer *checkpointer)
{
	free(checkpointer);
}

void checkpointer_hurry(struct checkpointer *checkpointer)
{
	checkpointer->is_urgent = true;
}

bool checkpointer_is_urgent(const struct checkpointer *checkpointer)
{
	return checkpointer->is_urgent;
}

static bool is_due(struct entry *entry)
{
	if (entry->slot != NULL && entry->snapshot->spec.limits.total_bytes != 0) {
		uint64_t used = counter_read(&slot_tunnel(entry->slot)->total_bytes_used);
		entry->is_dirty |= used > entry->total_bytes;
		if (used > entry->total_bytes)
			entry->total_bytes = used;
	}
	return entry->is_dirty;
}

static void on_stored(struct store_batch *batch, void *owner)
{
	struct checkpointer *checkpointer = owner;
	checkpointer->is_under_way = false;
	/* What could not be written is still to be written. */
	for (size_t i = 0; batch->result != 0 && i < batch->count; i++) {
		struct entry *entry = registry_entry(checkpointer->registry, batch->writes[i].tunnel.key);
		if (entry != NULL)
			entry->is_dirty = true;
	}
	store_batch_free(batch);
}

void checkpointer_write(struct checkpointer *checkpointer)
{
	size_t count = 0;
	token_table_checkpoint(checkpointer->tokens, checkpointer->store);
	if (checkpointer->is_under_way)
		return;
	checkpointer->is_urgent = false;
	for (size_t i = 0; i < registry_count(checkpointer->registry); i++)
		count += is_due(registry_at(checkpointer->registry, i));
	struct store_batch *batch = count == 0 ? NULL : store_batch_create(count);
	if (batch == NULL)
		return;
	count = 0;
	for (size_t i = 0; i < registry_count(checkpointer->registry); i++) {
		struct entry *entry = registry_at(checkpointer->registry, i);
		if (!entry->is_dirty)
			continue;
		struct store_write *write = &batch->writes[count++];
		write->kind = STORE_CHECKPOINT;
		memcpy(write->tunnel.key, entry->key, sizeof(write->tunnel.key));
		memcpy(write->tunnel.timestamp_floor, entry->timestamp_floor, sizeof(write->tunnel.timestamp_floor));
		write->tunnel.total_bytes = entry->total_bytes;
		entry->is_dirty = false;
	}
	checkpointer->is_under_way = true;
	batch->done = on_stored;
	batch->owner = checkpointer;
	store_submit(checkpointer->store, batch);
}
