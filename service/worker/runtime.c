#include "service/worker/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/place.h"

static uint64_t bytes_used(const struct entry *entry)
{
	uint64_t counted = counter_read(&slot_tunnel(entry->slot)->total_bytes_used);
	return counted > entry->total_bytes ? counted : entry->total_bytes;
}

struct parts {
	struct message_socket *sockets;
	uint32_t *peer_slots;
	int *descriptors;
	size_t descriptor_count;
};

static bool collect(struct parts *parts, const struct snapshot *snapshot, const struct socket_list *sockets, bool all_fresh)
{
	*parts = (struct parts){
		.sockets = calloc(sockets->count + 1, sizeof(*parts->sockets)),
		.peer_slots = calloc(snapshot->spec.peer_count + 1, sizeof(*parts->peer_slots)),
		.descriptors = calloc(sockets->count + 1, sizeof(*parts->descriptors)),
	};
	if (parts->sockets == NULL || parts->peer_slots == NULL || parts->descriptors == NULL)
		return false;
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		parts->peer_slots[i] = slot_index(snapshot->slots[i + 1]);
	for (size_t i = 0; i < sockets->count; i++) {
		const struct socket_entry *entry = &sockets->list[i];
		bool is_fresh = entry->is_fresh || all_fresh;
		parts->sockets[i] =
		    (struct message_socket){ .id = entry->id, .kind = (uint8_t)entry->kind, .fresh = is_fresh, .index = entry->index };
		if (!is_fresh)
			continue;
		int descriptor = host_socket_duplicate(entry->socket);
		if (descriptor < 0)
			return false;
		parts->descriptors[parts->descriptor_count++] = descriptor;
	}
	return true;
}

static void free_parts(struct parts *parts)
{
	for (size_t i = 0; i < parts->descriptor_count; i++)
		close(parts->descriptors[i]);
	free(parts->sockets);
	free(parts->peer_slots);
	free(parts->descriptors);
}

static struct message_addresses *endpoints_of(const struct spec *spec, const struct message_addresses *addresses)
{
	struct message_addresses *endpoints = calloc(spec->peer_count + 1, sizeof(*endpoints));
	if (endpoints != NULL && addresses != NULL)
		memcpy(endpoints, addresses, spec->peer_count * sizeof(*endpoints));
	for (size_t i = 0; endpoints != NULL && addresses == NULL && i < spec->peer_count; i++)
		endpoints[i].count = place_address(&spec->peers[i].endpoint, &endpoints[i].list[0]);
	return endpoints;
}

#define HEAD_BYTES 4096 /* more than it takes without its spec and peers */
#define PEER_BYTES 64   /* more than the addresses of most peers take */
#define SMALL_BYTES 256 /* about what a peer of a small spec takes */

size_t runtime_prepare_length(const struct snapshot *snapshot)
{
	size_t spec = snapshot->wire.length > 0 ? snapshot->wire.length : snapshot->spec.peer_count * SMALL_BYTES;
	return HEAD_BYTES + spec + snapshot->spec.peer_count * PEER_BYTES;
}

/* A small spec is written when it is sent: to keep what is written of each costs more memory than it saves time. */
static void encode(struct message_writer *writer, const struct message_prepare *message, const struct snapshot *snapshot)
{
	struct message_writer small;
	message_writer_init(&small);
	if (snapshot->wire.length == 0)
		spec_encode(&small, &snapshot->spec);
	if (small.failed)
		writer->failed = true;
	else
		message_encode_prepare(writer, message, snapshot->wire.length == 0 ? &small : &snapshot->wire);
	message_writer_clear(&small);
}

bool runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                          const struct message_addresses *addresses, bool all_fresh, uint64_t request)
{
	struct parts parts;
	struct message_writer writer;
	message_writer_init(&writer);
	bool is_collected = collect(&parts, snapshot, sockets, all_fresh);
	if (is_collected) {
		struct message_prepare message = {
			.request = request,
			.slot = slot_index(entry->slot),
			.generation = snapshot->generation,
			.total_bytes_used = bytes_used(entry),
			.pool = snapshot->spec.kind == SPEC_POOL ? entry->number : 0,
			/* Borrowed for the writing. */
			.spec = snapshot->spec,
			.sockets = parts.sockets,
			.socket_count = sockets->count,
			.peer_slots = parts.peer_slots,
		};
		message.endpoints = endpoints_of(&snapshot->spec, addresses);
		is_collected = message.endpoints != NULL;
		if (is_collected && message_writer_reserve(&writer, runtime_prepare_length(snapshot))) {
			snprintf(message.id, sizeof(message.id), "%s", entry->id);
			memcpy(message.timestamp_floor, entry->timestamp_floor, sizeof(message.timestamp_floor));
			encode(&writer, &message, snapshot);
		}
		free(message.endpoints);
	}
	if (!is_collected || writer.failed || writer.length > MESSAGE_SIZE_MAX) {
		message_writer_clear(&writer);
		free_parts(&parts);
		return false;
	}
	worker_send(entry->worker, MESSAGE_PREPARE, &writer, parts.descriptors, parts.descriptor_count);
	parts.descriptor_count = 0;
	free_parts(&parts);
	return true;
}

void runtime_send(struct worker *worker, enum message_type type, uint64_t request, uint32_t slot, uint64_t generation)
{
	struct message_ack message = { .request = request, .slot = slot, .generation = generation };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, type, &writer, NULL, 0);
}
