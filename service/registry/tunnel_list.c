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

bool tunnel_list_find_twin(struct registry *registry, const struct snapshot *snapshot, char id[64])
{
	struct snapshot *same[TWINS_MAX];
	if (!snapshot->spec.enabled || !snapshot->spec.has_private_key)
		return false;
	size_t count = registry_read_key(registry, &snapshot->public_key, same, TWINS_MAX);
	bool found = false;
	for (size_t i = 0; i < count; i++) {
		if (!found && same[i]->spec.enabled && strcmp(same[i]->id, snapshot->id) != 0 && shares_peer(&snapshot->spec, &same[i]->spec)) {
			found = true;
			snprintf(id, 64, "%s", same[i]->id);
		}
		snapshot_release(same[i]);
	}
	return found;
}

static bool passes(const struct tunnel_list_filter *filter, const struct snapshot *snapshot)
{
	if (!snapshot_has_labels(snapshot, filter->labels, filter->label_count))
		return false;
	if (filter->state < 0)
		return true;
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	return (int)status.state == filter->state;
}

struct listing {
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
		bool fits = goes_on && !listing->failed && passes(filter, chunk[i]);
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
size_t tunnel_list_read(struct registry *registry, const struct tunnel_list_filter *filter, struct snapshot ***snapshots, bool *more)
{
	struct listing listing = { .count = 0 };
	struct snapshot *chunk[CHUNK];
	char after[64] = "";
	bool goes_on = true;
	*more = false;
	if (filter->after != NULL)
		snprintf(after, sizeof(after), "%s", filter->after);
	while (goes_on) {
		size_t count = registry_read(registry, after, chunk, CHUNK);
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
