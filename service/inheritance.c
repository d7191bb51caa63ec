#include "service/inheritance.h"

#include <stdlib.h>

#include "service/registry/snapshot_make.h"
#include "service/registry/status.h"

static bool runs(const struct entry *entry)
{
	return entry->worker != NULL && entry->slot != NULL && entry->snapshot->failure == NULL && !entry->is_unbound && !entry->is_waiting;
}

static void save_addresses(const struct entry *entry, struct message_writer *writer)
{
	message_put_u8(writer, entry->addresses != NULL);
	for (size_t i = 0; entry->addresses != NULL && i < entry->snapshot->spec.peer_count; i++) {
		const struct message_addresses *addresses = &entry->addresses[i];
		message_put_u8(writer, (uint8_t)addresses->count);
		for (size_t k = 0; k < addresses->count; k++)
			message_put_endpoint(writer, &addresses->list[k]);
	}
}

static bool load_addresses(struct entry *entry, size_t peers, struct message_reader *reader)
{
	if (message_get_u8(reader) == 0)
		return true;
	entry->addresses = calloc(peers + 1, sizeof(*entry->addresses));
	for (size_t i = 0; entry->addresses != NULL && i < peers; i++) {
		struct message_addresses *addresses = &entry->addresses[i];
		addresses->count = message_get_u8(reader);
		if (addresses->count > MESSAGE_ADDRESSES_MAX)
			return false;
		for (size_t k = 0; k < addresses->count; k++)
			message_get_endpoint(reader, &addresses->list[k]);
	}
	return entry->addresses != NULL && !reader->failed;
}

static void save_entry(const struct entry *entry, struct handover *handover)
{
	struct message_writer *writer = &handover->writer;
	const struct snapshot *snapshot = entry->snapshot;
	message_put_text(writer, entry->key, sizeof(entry->key));
	message_put_u64(writer, snapshot->revision);
	message_put_u64(writer, snapshot->generation);
	message_put_u64(writer, entry->number);
	message_put_u32(writer, worker_index(entry->worker));
	message_put_u32(writer, slot_index(entry->slot));
	message_put_u32(writer, (uint32_t)snapshot->spec.peer_count);
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		message_put_u32(writer, slot_index(snapshot->slots[i + 1]));
	message_put_u32(writer, entry->next_socket_id);
	socket_list_save(&entry->sockets, handover);
	save_addresses(entry, writer);
	status_save(entry->status, writer);
}

void inheritance_save(const struct inheritance_means *means, struct handover *handover)
{
	uint32_t count = 0;
	for (size_t i = 0; i < registry_count(means->registry); i++)
		count += runs(registry_at(means->registry, i));
	message_put_u32(&handover->writer, count);
	for (size_t i = 0; i < registry_count(means->registry); i++)
		if (runs(registry_at(means->registry, i)))
			save_entry(registry_at(means->registry, i), handover);
}

static bool load_slots(const struct inheritance_means *means, struct entry *entry, struct snapshot *snapshot, struct message_reader *reader)
{
	uint32_t worker = message_get_u32(reader), slot = message_get_u32(reader), count = message_get_u32(reader);
	if (reader->failed || worker >= supervisor_count(means->supervisor) || count != snapshot->spec.peer_count)
		return false;
	uint32_t *peers = calloc((size_t)count + 1, sizeof(*peers));
	for (size_t i = 0; peers != NULL && i < count; i++)
		peers[i] = message_get_u32(reader);
	entry->worker = supervisor_worker(means->supervisor, worker);
	entry->slot = peers == NULL ? NULL : slot_resume_tunnel(worker_slots(entry->worker), slot);
	bool is_loaded = entry->slot != NULL && snapshot_resume_slots(snapshot, entry, peers);
	free(peers);
	return is_loaded && !reader->failed;
}

static bool load_parts(const struct inheritance_means *means, struct entry *entry, struct snapshot *snapshot, struct handover *handover)
{
	struct message_reader *reader = &handover->reader;
	if (!load_slots(means, entry, snapshot, reader))
		return false;
	entry->next_socket_id = message_get_u32(reader);
	if (!socket_list_load(&entry->sockets, &snapshot->spec, handover) || !load_addresses(entry, snapshot->spec.peer_count, reader))
		return false;
	status_load(entry->status, reader);
	return !reader->failed && snapshot_take_sockets(snapshot, &entry->sockets);
}

static bool load_entry(const struct inheritance_means *means, struct handover *handover)
{
	char key[OBJECT_KEY_SIZE];
	message_get_text(&handover->reader, key, sizeof(key));
	uint64_t revision = message_get_u64(&handover->reader), generation = message_get_u64(&handover->reader);
	uint64_t number = message_get_u64(&handover->reader);
	struct entry *entry = handover->reader.failed ? NULL : registry_entry(means->registry, key);
	if (entry == NULL || entry->slot != NULL || entry->snapshot->revision != revision || entry->snapshot->generation != generation)
		return false;
	struct snapshot *snapshot = snapshot_copy(entry->snapshot);
	if (snapshot == NULL)
		return false;
	free(snapshot->failure);
	snapshot->failure = NULL;
	entry->number = number;
	if (!load_parts(means, entry, snapshot, handover)) {
		snapshot_release(snapshot);
		return false;
	}
	snapshot_release(registry_swap(means->registry, entry, NULL, snapshot));
	slot_table_put(means->slots, entry);
	registry_bound(means->registry, entry);
	return true;
}

bool inheritance_load(const struct inheritance_means *means, struct handover *handover)
{
	uint32_t count = message_get_u32(&handover->reader);
	for (uint32_t i = 0; i < count; i++)
		if (!load_entry(means, handover))
			return false;
	return !handover->reader.failed;
}
