#include "service/registry/snapshot_make.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/status.h"
#include "service/spec/json_writer.h"
#include "service/spec/key_pair.h"
#include "service/spec/labels.h"
#include "service/spec/spec_json.h"

static char *dump(json_t *json)
{
	char *text = json == NULL ? NULL : json_writer_text(json);
	json_decref(json);
	return text;
}

/* One that could not be made whole ahead of time is made anew. */
static void take_wire(struct snapshot *snapshot, struct message_writer *wire)
{
	if (wire != NULL && wire->length > 0 && !wire->failed) {
		snapshot->wire = *wire;
		message_writer_init(wire);
		return;
	}
	message_writer_init(&snapshot->wire);
	if (spec_is_large(&snapshot->spec))
		spec_encode(&snapshot->wire, &snapshot->spec);
}

struct snapshot *snapshot_make(const char *id, struct spec_label **labels, size_t label_count, struct spec *spec, const struct snapshot *previous,
                               char **spec_json, struct message_writer *wire, int64_t now_ms)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	if (snapshot == NULL) {
		spec_labels_free(*labels, label_count);
		*labels = NULL;
		spec_clear(spec);
		return NULL;
	}
	snapshot->references = 1;
	snprintf(snapshot->id, sizeof(snapshot->id), "%s", id);
	snapshot->labels = *labels;
	snapshot->label_count = label_count;
	snapshot->spec = *spec;
	*labels = NULL;
	memset(spec, 0, sizeof(*spec));
	snapshot->labels_json = dump(labels_to_json(snapshot->labels, label_count));
	snapshot->spec_json = spec_json != NULL && *spec_json != NULL ? *spec_json : dump(spec_to_json(&snapshot->spec, false));
	if (spec_json != NULL)
		*spec_json = NULL;
	take_wire(snapshot, wire);
	snapshot->generation = previous == NULL ? 1 : previous->generation + 1;
	snapshot->created_at = previous == NULL ? now_ms : previous->created_at;
	snapshot->updated_at = now_ms;
	snapshot->worker = -1;
	if (snapshot->spec.has_private_key)
		key_pair_public(&snapshot->public_key, &snapshot->spec.private_key);
	if (snapshot->labels_json != NULL && snapshot->spec_json != NULL && !snapshot->wire.failed)
		return snapshot;
	snapshot_release(snapshot);
	return NULL;
}

static bool copy_listen(struct snapshot *to, const struct snapshot *from)
{
	to->listen = calloc(from->listen_count + 1, sizeof(char *));
	for (size_t i = 0; to->listen != NULL && i < from->listen_count; i++) {
		to->listen[i] = strdup(from->listen[i]);
		to->listen_count = i + 1;
		if (to->listen[i] == NULL)
			return false;
	}
	return to->listen != NULL;
}

static bool copy_forwards(struct snapshot *to, const struct snapshot *from)
{
	if (from->forwards == NULL)
		return true;
	to->forwards = calloc(to->spec.forward_count, sizeof(char *));
	for (size_t i = 0; to->forwards != NULL && i < to->spec.forward_count; i++) {
		if (from->forwards[i] == NULL)
			continue;
		to->forwards[i] = strdup(from->forwards[i]);
		if (to->forwards[i] == NULL)
			return false;
	}
	return to->forwards != NULL;
}

static bool copy_slots(struct snapshot *to, const struct snapshot *from)
{
	size_t peers = from->spec.peer_count;
	to->counters = from->counters;
	to->status = from->status == NULL ? NULL : status_reference(from->status);
	if (from->slots == NULL)
		return true;
	struct slot **slots = calloc(peers + 1, sizeof(struct slot *));
	to->peer_counters = calloc(peers + 1, sizeof(const struct counters_peer *));
	if (slots == NULL || to->peer_counters == NULL) {
		free(slots);
		return false;
	}
	memcpy(to->peer_counters, from->peer_counters, peers * sizeof(const struct counters_peer *));
	for (size_t i = 0; i < peers + 1; i++)
		slots[i] = slot_reference(from->slots[i]);
	to->slots = slots;
	return true;
}

/* A large spec is read from its wire form, which is there. */
static bool copy_spec(struct spec *to, const struct snapshot *from)
{
	struct message_reader reader = { .bytes = from->wire.bytes, .left = from->wire.length };
	return from->wire.length > 0 ? spec_decode(&reader, to) : spec_copy(to, &from->spec);
}

/* What was made once is not made again, which takes 20 ms with thousands of peers. */
static struct snapshot *copy_content(const struct snapshot *from)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	struct message_writer wire;
	if (!labels_copy(&labels, from->labels, from->label_count))
		return NULL;
	if (!copy_spec(&spec, from)) {
		spec_labels_free(labels, from->label_count);
		return NULL;
	}
	char *spec_json = strdup(from->spec_json);
	message_writer_init(&wire);
	message_put_bytes(&wire, from->wire.bytes, from->wire.length);
	struct snapshot *copy = snapshot_make(from->id, &labels, from->label_count, &spec, NULL, &spec_json, &wire, from->updated_at);
	free(spec_json);
	message_writer_clear(&wire);
	return copy;
}

struct snapshot *snapshot_copy(const struct snapshot *from)
{
	struct snapshot *copy = copy_content(from);
	if (copy == NULL)
		return NULL;
	copy->origin = from->origin;
	copy->revision = from->revision;
	copy->generation = from->generation;
	copy->created_at = from->created_at;
	copy->udp_port = from->udp_port;
	copy->worker = from->worker;
	copy->failure = from->failure == NULL ? NULL : strdup(from->failure);
	/* A failure that is lost would be a tunnel that runs. */
	bool has_failure = copy->failure != NULL || from->failure == NULL;
	if (has_failure && copy_listen(copy, from) && copy_forwards(copy, from) && copy_slots(copy, from))
		return copy;
	snapshot_release(copy);
	return NULL;
}

static struct slot *peer_slot(const struct snapshot *snapshot, size_t index, const struct snapshot *previous, const struct slot *tunnel)
{
	bool has_slots = previous != NULL && previous->slots != NULL;
	const struct spec_peer *known = has_slots ? spec_peer_find(&previous->spec, &snapshot->spec.peers[index].public_key) : NULL;
	return known != NULL ? slot_reference(previous->slots[known - previous->spec.peers + 1]) : slot_take_peer(tunnel);
}

static bool take_slots(struct snapshot *snapshot, const struct entry *entry, const struct snapshot *previous, const uint32_t *peers)
{
	size_t count = snapshot->spec.peer_count;
	snapshot->slots = calloc(count + 1, sizeof(struct slot *));
	snapshot->peer_counters = calloc(count + 1, sizeof(const struct counters_peer *));
	if (snapshot->slots == NULL || snapshot->peer_counters == NULL)
		return false;
	snapshot->slots[0] = slot_reference(entry->slot);
	for (size_t i = 0; i < count; i++) {
		struct slot *slot = peers == NULL ? peer_slot(snapshot, i, previous, entry->slot) : slot_resume_peer(entry->slot, peers[i]);
		if (slot == NULL)
			return false;
		snapshot->slots[i + 1] = slot;
		snapshot->peer_counters[i] = slot_peer(slot);
	}
	snapshot->counters = slot_tunnel(entry->slot);
	if (snapshot->status == NULL)
		snapshot->status = status_reference(entry->status);
	snapshot->worker = (int)slot_worker(entry->slot);
	return true;
}

bool snapshot_take_slots(struct snapshot *snapshot, const struct entry *entry, const struct snapshot *previous)
{
	return take_slots(snapshot, entry, previous, NULL);
}

bool snapshot_resume_slots(struct snapshot *snapshot, const struct entry *entry, const uint32_t *peers)
{
	return take_slots(snapshot, entry, NULL, peers);
}

bool snapshot_move_slots(struct snapshot *snapshot, const struct entry *entry)
{
	for (size_t i = 0; i < snapshot->spec.peer_count; i++) {
		struct slot *slot = slot_take_peer(entry->slot);
		if (slot == NULL)
			return false;
		slot_release(snapshot->slots[i + 1]);
		snapshot->slots[i + 1] = slot;
		snapshot->peer_counters[i] = slot_peer(slot);
	}
	slot_release(snapshot->slots[0]);
	snapshot->slots[0] = slot_reference(entry->slot);
	snapshot->counters = slot_tunnel(entry->slot);
	snapshot->worker = (int)slot_worker(entry->slot);
	return true;
}

void snapshot_copy_counters(const struct snapshot *to, const struct snapshot *from)
{
	for (size_t i = 0; i < to->spec.peer_count; i++)
		counters_copy_peer(slot_peer(to->slots[i + 1]), slot_peer(from->slots[i + 1]));
	counters_copy_tunnel(slot_tunnel(to->slots[0]), slot_tunnel(from->slots[0]));
}

bool snapshot_take_sockets(struct snapshot *snapshot, const struct socket_list *sockets)
{
	snapshot_drop_sockets(snapshot);
	snapshot->udp_port = socket_list_udp_port(sockets);
	return socket_list_format(sockets, &snapshot->listen, &snapshot->listen_count) &&
	       socket_list_format_forwards(sockets, snapshot->spec.forward_count, &snapshot->forwards);
}
