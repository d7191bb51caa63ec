#include "service/registry/tunnel_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256
#define TWINS_MAX 16 /* that are looked at */

static bool shares_peer(const struct spec *one, const struct spec *other)
{
	for (size_t i = 0; i < one->peer_count; i++)
		if (spec_peer_find(other, &one->peers[i].public_key) != NULL)
			return true;
	return false;
}

static bool is_twin(const struct snapshot *one, const struct access *access, const struct snapshot *other)
{
	return other->spec.enabled && strcmp(other->id, one->id) != 0 && shares_peer(&one->spec, &other->spec) &&
	       access_covers(access, other->labels, other->label_count);
}

bool tunnel_list_find_twin(struct registry *registry, const struct access *access, const struct snapshot *snapshot, char id[64])
{
	struct snapshot *same[TWINS_MAX];
	if (!snapshot->spec.enabled || !snapshot->spec.has_private_key)
		return false;
	size_t count = registry_read_key(registry, &snapshot->public_key, same, TWINS_MAX);
	bool found = false;
	for (size_t i = 0; i < count; i++) {
		if (!found && is_twin(snapshot, access, same[i])) {
			found = true;
			snprintf(id, 64, "%s", same[i]->id);
		}
		snapshot_release(same[i]);
	}
	return found;
}

size_t tunnel_list_inside(struct registry *registry, const struct access *access, const char *id, struct snapshot **snapshots, size_t most)
{
	size_t count = registry_read_inside(registry, id, snapshots, most), kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (access_covers(access, snapshots[i]->labels, snapshots[i]->label_count))
			snapshots[kept++] = snapshots[i];
		else
			snapshot_release(snapshots[i]);
	}
	return kept;
}

static bool is_named(const struct tunnel_list_filter *filter, const char *id)
{
	for (size_t i = 0; i < filter->id_count; i++)
		if (strcmp(filter->ids[i], id) == 0)
			return true;
	return false;
}

static bool is_of_health(const struct tunnel_list_filter *filter, const struct snapshot *snapshot)
{
	struct snapshot_health health;
	snapshot_health(snapshot, &health);
	return (filter->healths & 1u << health.health) != 0;
}

bool tunnel_list_accepts(const struct tunnel_list_filter *filter, const struct snapshot *snapshot)
{
	if (snapshot->spec.kind != filter->kind)
		return false;
	if (!selectors_accept(filter->selectors, filter->selector_count, snapshot->labels, snapshot->label_count))
		return false;
	if (filter->ids != NULL && !is_named(filter, snapshot->id))
		return false;
	if (filter->healths != 0 && !is_of_health(filter, snapshot))
		return false;
	if (filter->states == 0)
		return true;
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	return (filter->states & 1u << status.state) != 0;
}

struct listing {
	const struct access *access;
	struct snapshot **list;
	size_t count, capacity;
	bool failed;
};

static bool add(struct listing *listing, struct snapshot *snapshot)
{
	if (listing->count == listing->capacity) {
		size_t capacity = listing->capacity == 0 ? CHUNK : listing->capacity * 2;
		struct snapshot **grown = realloc(listing->list, capacity * sizeof(struct snapshot *));
		if (grown == NULL)
			return false;
		listing->list = grown;
		listing->capacity = capacity;
	}
	listing->list[listing->count++] = snapshot;
	return true;
}

/* Takes the references of the chunk; true while there may be more. */
static bool take_chunk(struct listing *listing, const struct tunnel_list_filter *filter, struct snapshot **chunk, size_t count, bool *more)
{
	bool goes_on = true;
	for (size_t i = 0; i < count; i++) {
		bool is_covered = access_covers(listing->access, chunk[i]->labels, chunk[i]->label_count);
		bool fits = goes_on && !listing->failed && is_covered && tunnel_list_accepts(filter, chunk[i]);
		if (fits && filter->limit != 0 && listing->count == filter->limit) {
			*more = true;
			goes_on = fits = false;
		}
		if (fits && add(listing, chunk[i]))
			continue;
		listing->failed |= fits;
		snapshot_release(chunk[i]);
	}
	return goes_on && !listing->failed;
}

static void forget(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		snapshot_release(listing->list[i]);
	free(listing->list);
	*listing = (struct listing){ .count = TUNNEL_LIST_FAILED };
}

/* In chunks, so that the registry's lock is held for a moment at a time however many tunnels there are, and the filters run outside. */
size_t tunnel_list_read(struct registry *registry, const struct access *access, const struct tunnel_list_filter *filter, struct snapshot ***snapshots,
                        bool *more)
{
	struct listing listing = { .access = access };
	struct snapshot *chunk[CHUNK];
	char after[64] = "";
	bool goes_on = true;
	*more = false;
	if (filter->after != NULL)
		snprintf(after, sizeof(after), "%s", filter->after);
	while (goes_on) {
		size_t count = registry_read(registry, filter->kind, after, chunk, CHUNK);
		if (count == 0)
			break;
		snprintf(after, sizeof(after), "%s", chunk[count - 1]->id);
		goes_on = take_chunk(&listing, filter, chunk, count, more);
	}
	/* A partial list is not returned. */
	if (listing.failed)
		forget(&listing);
	*snapshots = listing.list;
	return listing.count;
}
