/* What changes without being asked for and must outlive the daemon: the timestamp of the last handshake (W8) and the use of total_bytes.
 * Kept in memory and written now and then, all tunnels in one transaction. */
#include <string.h>

#include "service/service_private.h"

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
	struct service *service = owner;
	service->is_checkpointing = false;
	/* What could not be written is still to be written. */
	for (size_t i = 0; batch->result != 0 && i < batch->count; i++) {
		struct entry *entry = registry_entry(service->registry, batch->writes[i].tunnel.id);
		if (entry != NULL)
			entry->is_dirty = true;
	}
	store_batch_free(batch);
}

void checkpoint_write(struct service *service)
{
	size_t count = 0;
	if (service->is_checkpointing)
		return;
	service->checkpoint_soon = false;
	for (size_t i = 0; i < registry_count(service->registry); i++)
		count += is_due(registry_at(service->registry, i));
	struct store_batch *batch = count == 0 ? NULL : store_batch_create(count);
	if (batch == NULL)
		return;
	count = 0;
	for (size_t i = 0; i < registry_count(service->registry); i++) {
		struct entry *entry = registry_at(service->registry, i);
		if (!entry->is_dirty)
			continue;
		struct store_write *write = &batch->writes[count++];
		write->kind = STORE_CHECKPOINT;
		memcpy(write->tunnel.id, entry->id, sizeof(write->tunnel.id));
		memcpy(write->tunnel.timestamp_floor, entry->timestamp_floor, sizeof(write->tunnel.timestamp_floor));
		write->tunnel.total_bytes = entry->total_bytes;
		entry->is_dirty = false;
	}
	service->is_checkpointing = true;
	batch->done = on_stored;
	batch->owner = service;
	store_submit(service->store, batch);
}
