#include "service/registry/registry.h"

#include <assert.h>
#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/lower_bound.h"
#include "service/registry/id_hash.h"
#include "service/registry/status.h"

#define BUCKETS 1024 /* a few tunnels each when there are thousands; keys are as good as random */
#define WATCHERS_MAX 2

struct registry {
	const struct lock_queue *locks;
	pthread_mutex_t lock;
	struct entry **list;
	size_t count, capacity;
	size_t reserved;
	size_t unbound;
	struct entry *by_key[BUCKETS];
	struct entry *by_via[BUCKETS];
	uint64_t chain_version;
	uint64_t last_number;
	struct registry_watcher watchers[WATCHERS_MAX]; /* without an owner: nobody */
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

/* TAI64N (WireGuard paper, 5.4.2). */
static void write_label(uint8_t label[12], uint64_t wall_ms)
{
	uint64_t seconds = htobe64((UINT64_C(1) << 62) + 10 + wall_ms / 1000);
	uint32_t nanoseconds = htobe32((uint32_t)(wall_ms % 1000) * 1000000);
	memcpy(label, &seconds, sizeof(seconds));
	memcpy(label + sizeof(seconds), &nanoseconds, sizeof(nanoseconds));
}

bool entry_floor_is_before(const struct entry *entry, uint64_t wall_ms)
{
	uint8_t label[sizeof(entry->timestamp_floor)];
	write_label(label, wall_ms);
	return memcmp(entry->timestamp_floor, label, sizeof(label)) < 0;
}

void entry_raise_floor(struct entry *entry, uint64_t wall_ms)
{
	if (entry_floor_is_before(entry, wall_ms))
		write_label(entry->timestamp_floor, wall_ms);
}

struct entry *entry_create(const char *key)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return NULL;
	snprintf(entry->key, sizeof(entry->key), "%s", key);
	entry->id = object_key_id(entry->key);
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

static int compare_key(const void *key, const void *element)
{
	const struct entry *const *entry = element;
	return strcmp(key, (*entry)->key);
}

static size_t position(const struct registry *registry, const char *key)
{
	return lower_bound(key, registry->list, registry->count, sizeof(struct entry *), compare_key);
}

struct entry *registry_entry(struct registry *registry, const char *key)
{
	size_t at = position(registry, key);
	return at < registry->count && strcmp(registry->list[at]->key, key) == 0 ? registry->list[at] : NULL;
}

/* Pools come first. */
struct entry *registry_pool(struct registry *registry, uint64_t number)
{
	for (size_t i = 0; i < registry->count && object_key_kind(registry->list[i]->key) == SPEC_POOL; i++)
		if (registry->list[i]->number == number)
			return registry->list[i];
	return NULL;
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

void registry_watch(struct registry *registry, const struct registry_watcher *watcher)
{
	size_t free_place = 0;
	while (registry->watchers[free_place].owner != NULL)
		free_place++;
	assert(free_place < WATCHERS_MAX && watcher->owner != NULL);
	registry->watchers[free_place] = *watcher;
}

void registry_unwatch(struct registry *registry, const void *owner)
{
	for (size_t i = 0; i < WATCHERS_MAX; i++)
		if (registry->watchers[i].owner == owner)
			registry->watchers[i] = (struct registry_watcher){ .owner = NULL };
}

static void tell_changed(const struct registry *registry, struct entry *entry)
{
	for (size_t i = 0; i < WATCHERS_MAX && entry->is_listed; i++)
		if (registry->watchers[i].changed != NULL)
			registry->watchers[i].changed(registry->watchers[i].owner, entry);
}

void registry_number(struct registry *registry, struct entry *entry)
{
	if (entry->number == 0)
		entry->number = ++registry->last_number;
}

uint64_t registry_last_number(const struct registry *registry)
{
	return registry->last_number;
}

void registry_skip_numbers(struct registry *registry, uint64_t last)
{
	registry->last_number = last;
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

static struct entry **bucket_of_via(struct registry *registry, const char *via)
{
	return &registry->by_via[id_hash(via) % BUCKETS];
}

static void link_via(struct registry *registry, struct entry *entry)
{
	const char *via = entry->snapshot->spec.via;
	registry->chain_version++;
	if (via == NULL)
		return;
	struct entry **bucket = bucket_of_via(registry, via);
	entry->next_by_via = *bucket;
	*bucket = entry;
}

static void unlink_via(struct registry *registry, const struct entry *entry)
{
	const char *via = entry->snapshot->spec.via;
	if (via == NULL)
		return;
	struct entry **at = bucket_of_via(registry, via);
	while (*at != entry)
		at = &(*at)->next_by_via;
	*at = entry->next_by_via;
}

struct entry *registry_outer(struct registry *registry, const struct spec *spec)
{
	char key[OBJECT_KEY_SIZE];
	if (spec->via == NULL)
		return NULL;
	object_key_make(key, SPEC_TUNNEL, spec->via);
	return registry_entry(registry, key);
}

bool registry_is_chained(struct registry *registry, const char *id, const struct spec *spec)
{
	return spec->via != NULL || registry_next_inside(registry, id, NULL) != NULL;
}

struct entry *registry_next_inside(struct registry *registry, const char *id, const struct entry *last)
{
	struct entry *entry = last == NULL ? *bucket_of_via(registry, id) : last->next_by_via;
	while (entry != NULL && strcmp(entry->snapshot->spec.via, id) != 0)
		entry = entry->next_by_via;
	return entry;
}

uint64_t registry_chain_version(const struct registry *registry)
{
	return registry->chain_version;
}

static void link_entry(struct registry *registry, struct entry *entry)
{
	link_key(registry, entry);
	link_via(registry, entry);
}

static void unlink_entry(struct registry *registry, const struct entry *entry)
{
	unlink_key(registry, entry);
	unlink_via(registry, entry);
}

void registry_add(struct registry *registry, struct entry *entry)
{
	assert(entry->snapshot != NULL && !entry->is_listed);
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, entry->key);
	memmove(&registry->list[at + 1], &registry->list[at], (registry->count - at) * sizeof(struct entry *));
	registry->list[at] = entry;
	registry->count++;
	registry->unbound += entry->is_unbound;
	entry->is_listed = true;
	link_entry(registry, entry);
	pthread_mutex_unlock(&registry->lock);
	registry_number(registry, entry);
	tell_changed(registry, entry);
}

void registry_remove(struct registry *registry, struct entry *entry)
{
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, entry->key);
	registry->count--;
	registry->unbound -= entry->is_unbound;
	entry->is_listed = false;
	unlink_entry(registry, entry);
	memmove(&registry->list[at], &registry->list[at + 1], (registry->count - at) * sizeof(struct entry *));
	pthread_mutex_unlock(&registry->lock);
	for (size_t i = 0; i < WATCHERS_MAX; i++)
		if (registry->watchers[i].removed != NULL)
			registry->watchers[i].removed(registry->watchers[i].owner, entry);
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
	assert(lock_queue_is_turn(registry->locks, turn, entry->key));
	(void)registry;
	(void)entry;
	(void)turn;
}

struct snapshot *registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot)
{
	registry_assert_turn(registry, entry, turn);
	pthread_mutex_lock(&registry->lock);
	struct snapshot *old = entry->snapshot;
	assert(old != NULL || !entry->is_listed);
	if (old != NULL && !spec_probe_equal(&old->spec, &snapshot->spec))
		status_forget_probe(entry->status);
	if (entry->is_listed)
		unlink_entry(registry, entry);
	entry->snapshot = snapshot;
	if (entry->is_listed)
		link_entry(registry, entry);
	pthread_mutex_unlock(&registry->lock);
	tell_changed(registry, entry);
	return old;
}

struct snapshot *registry_find(struct registry *registry, const char *key)
{
	pthread_mutex_lock(&registry->lock);
	const struct entry *entry = registry_entry(registry, key);
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

size_t registry_read_inside(struct registry *registry, const char *id, struct snapshot **snapshots, size_t most)
{
	size_t count = 0;
	pthread_mutex_lock(&registry->lock);
	for (const struct entry *entry = NULL; count < most && (entry = registry_next_inside(registry, id, entry)) != NULL;)
		snapshots[count++] = snapshot_reference(entry->snapshot);
	pthread_mutex_unlock(&registry->lock);
	return count;
}

size_t registry_read(struct registry *registry, enum spec_kind kind, const char *after, struct snapshot **snapshots, size_t most)
{
	char key[OBJECT_KEY_SIZE];
	size_t count = 0;
	object_key_make(key, kind, after);
	pthread_mutex_lock(&registry->lock);
	size_t at = position(registry, key[0] == '\0' ? OBJECT_KEY_TUNNELS : key);
	if (at < registry->count && strcmp(registry->list[at]->key, key) == 0)
		at++;
	for (; at < registry->count && count < most && object_key_kind(registry->list[at]->key) == kind; at++)
		snapshots[count++] = snapshot_reference(registry->list[at]->snapshot);
	pthread_mutex_unlock(&registry->lock);
	return count;
}
