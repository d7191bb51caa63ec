#include "service/registry/registry.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/status.h"

#define BUCKETS 1024 /* a few tunnels each when there are thousands; keys are as good as random */

struct registry {
	const struct lock_queue *locks;
	pthread_mutex_t lock;
	struct entry **list;
	size_t count, capacity;
	size_t reserved;
	size_t unbound;
	struct entry *by_key[BUCKETS];
};

struct registry *registry_create(const struct lock_queue *locks)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	if (registry == NULL)
		return NULL;
	registry->locks = locks;
	pthread_mutex_init(&registry->lock, NULL);
	return registry;
}

void registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	for (size_t i = 0; i < registry->count; i++)
		entry_free(registry->list[i]);
	free(registry->list);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

struct entry *entry_create(const char *id)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return NULL;
	snprintf(entry->id, sizeof(entry->id), "%s", id);
	entry->status = status_create();
	if (entry->status != NULL)
		return entry;
	free(entry);
	return NULL;
}

void entry_free(struct entry *entry)
{
	if (entry == NULL)
		return;
	assert(entry->lookups == NULL);
	socket_list_clear(&entry->sockets);
	snapshot_release(entry->snapshot);
	slot_leave(entry->slot);
	status_release(entry->status);
	free(entry->addresses);
	free(entry->ports);
	free(entry);
}

/* The index of the first id that is not before `id`. */
static size_t position(const struct registry *registry, const char *id)
{
	size_t low = 0, high = registry->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(registry->list[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct entry *registry_entry(struct registry *registry, const char *id)
{
	size_t at = position(registry, id);
	return at < registry->count && strcmp(registry->list[at]->id, id) == 0 ? registry->list[at] : NULL;
}

size_t registry_count(const struct registry *registry)
{
	return registry->count;
}

struct entry *registry_at(struct registry *registry, size_t index)
{
	return registry->list[index];
}

bool registry_reserve(struct registry *registry, size_t more)
{
	size_t needed = registry->count + registry->reserved + more;
	registry->reserved += more;
	if (needed <= registry->capacity)
		return true;
	size_t capacity = needed + needed / 2 + 64;
	pthread_mutex_lock(&registry->lock);
	struct entry **grown = realloc(registry->list, capacity * sizeof(struct entry *));
	if (grown != NULL) {
		registry->list = grown;
		registry->capacity = capacity;
	}
	pthread_mutex_unlock(&registry->lock);
	if (grown == NULL)
		registry->reserved -= more;
	return grown != NULL;
}

void registry_unreserve(struct registry *registry, size_t count)
{
	registry->reserved -= count;
}

static struct entry **bucket_of(struct registry *registry, const struct wireguard_key *key)
{
	return &registry->by_key[(key->bytes[0] | (unsigned)key->bytes[1] << 8) % BUCKETS];
}

static void link_key(struct registry *registry, struct entry *entry)
{
	struct entry **bucket = bucket_of(registry, &entry->snapshot->public_key);
	entry->next_by_key = *bucket;
	*bucket = entry;
}

static void unlink_key(struct registry *registry, const struct entry *entry)
{
	struct entry **at = bucket_of(registry, &entry->snapshot->public_key);
	while (*at != entry)
		at = &(*at)->next_by_key;
	*at = entry->next_by_key;
}

void registry_add(struct registry *registry, struct entry *entry)
{
	assert(entry->snapshot != NULL && !entry->is_listed);
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, entry->id);
	memmove(&registry->list[at + 1], &registry->list[at], (registry->count - at) * sizeof(struct entry *));
	registry->list[at] = entry;
	registry->count++;
	registry->unbound += entry->is_unbound;
	entry->is_listed = true;
	link_key(registry, entry);
	pthread_mutex_unlock(&registry->lock);
}

void registry_remove(struct registry *registry, struct entry *entry)
{
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, entry->id);
	registry->count--;
	registry->unbound -= entry->is_unbound;
	entry->is_listed = false;
	unlink_key(registry, entry);
	memmove(&registry->list[at], &registry->list[at + 1], (registry->count - at) * sizeof(struct entry *));
	pthread_mutex_unlock(&registry->lock);
}

size_t registry_unbound_count(const struct registry *registry)
{
	return registry->unbound;
}

void registry_bound(struct registry *registry, struct entry *entry)
{
	registry->unbound -= entry->is_listed && entry->is_unbound;
	entry->is_unbound = false;
}

void registry_assert_turn(const struct registry *registry, const struct entry *entry, const struct lock_claim *turn)
{
	assert(lock_queue_is_turn(registry->locks, turn, entry->id));
	(void)registry;
	(void)entry;
	(void)turn;
}

struct snapshot *registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot)
{
	registry_assert_turn(registry, entry, turn);
	pthread_mutex_lock(&registry->lock);
	struct snapshot *old = entry->snapshot;
	if (entry->is_listed)
		unlink_key(registry, entry);
	entry->snapshot = snapshot;
	if (entry->is_listed)
		link_key(registry, entry);
	pthread_mutex_unlock(&registry->lock);
	return old;
}

struct snapshot *registry_find(struct registry *registry, const char *id)
{
	pthread_mutex_lock(&registry->lock);
	const struct entry *entry = registry_entry(registry, id);
	struct snapshot *snapshot = entry == NULL ? NULL : snapshot_reference(entry->snapshot);
	pthread_mutex_unlock(&registry->lock);
	return snapshot;
}

size_t registry_read_key(struct registry *registry, const struct wireguard_key *key, struct snapshot **snapshots, size_t most)
{
	size_t count = 0;
	pthread_mutex_lock(&registry->lock);
	for (const struct entry *entry = *bucket_of(registry, key); entry != NULL && count < most; entry = entry->next_by_key)
		if (memcmp(&entry->snapshot->public_key, key, sizeof(*key)) == 0)
			snapshots[count++] = snapshot_reference(entry->snapshot);
	pthread_mutex_unlock(&registry->lock);
	return count;
}

size_t registry_read(struct registry *registry, const char *after, struct snapshot **snapshots, size_t most)
{
	size_t count = 0;
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, after);
	if (at < registry->count && strcmp(registry->list[at]->id, after) == 0)
		at++;
	for (; at < registry->count && count < most; at++)
		snapshots[count++] = snapshot_reference(registry->list[at]->snapshot);
	pthread_mutex_unlock(&registry->lock);
	return count;
}
