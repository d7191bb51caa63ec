#include "service/registry/slot.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* A stack of free numbers; numbers from `fresh` on were never used. */
struct pool {
	uint32_t *free;
	size_t free_count, free_capacity;
	uint32_t fresh, limit;
};

struct slots {
	pthread_mutex_t lock;
	struct counters *counters;
	int descriptor;
	unsigned worker;
	struct pool tunnels, peers;
	size_t placed; /* tunnels whose slot is not left yet */
};

struct slot {
	_Atomic unsigned references;
	struct slots *slots;
	uint32_t index;
	bool is_tunnel;
};

struct slots *slots_create(struct counters *counters, int descriptor, unsigned worker)
{
	struct slots *slots = calloc(1, sizeof(*slots));
	if (slots == NULL) {
		counters_unmap(counters);
		close(descriptor);
		return NULL;
	}
	pthread_mutex_init(&slots->lock, NULL);
	slots->counters = counters;
	slots->descriptor = descriptor;
	slots->worker = worker;
	slots->tunnels.limit = COUNTERS_TUNNELS;
	slots->peers.limit = COUNTERS_PEERS;
	return slots;
}

void slots_free(struct slots *slots)
{
	if (slots == NULL)
		return;
	counters_unmap(slots->counters);
	close(slots->descriptor);
	free(slots->tunnels.free);
	free(slots->peers.free);
	pthread_mutex_destroy(&slots->lock);
	free(slots);
}

struct counters *slots_counters(struct slots *slots)
{
	return slots->counters;
}

int slots_descriptor(const struct slots *slots)
{
	return slots->descriptor;
}

size_t slots_tunnels_placed(struct slots *slots)
{
	pthread_mutex_lock(&slots->lock);
	size_t placed = slots->placed;
	pthread_mutex_unlock(&slots->lock);
	return placed;
}

static bool is_used_up(const struct pool *pool)
{
	return pool->free_count == 0 && pool->fresh == pool->limit;
}

bool slots_are_used_up(struct slots *slots)
{
	pthread_mutex_lock(&slots->lock);
	bool used_up = is_used_up(&slots->tunnels) || is_used_up(&slots->peers);
	pthread_mutex_unlock(&slots->lock);
	return used_up;
}

static bool pool_take(struct pool *pool, uint32_t *index)
{
	if (pool->free_count > 0) {
		*index = pool->free[--pool->free_count];
		return true;
	}
	if (is_used_up(pool))
		return false;
	/* Room for its return is reserved now, so that freeing it cannot fail. */
	if (pool->free_capacity <= pool->fresh) {
		size_t capacity = pool->free_capacity == 0 ? 64 : pool->free_capacity * 2;
		uint32_t *grown = realloc(pool->free, capacity * sizeof(*grown));
		if (grown == NULL)
			return false;
		pool->free = grown;
		pool->free_capacity = capacity;
	}
	*index = pool->fresh++;
	return true;
}

static struct slot *take(struct slots *slots, bool is_tunnel)
{
	struct slot *slot = malloc(sizeof(*slot));
	if (slot == NULL)
		return NULL;
	*slot = (struct slot){ .references = 1, .slots = slots, .is_tunnel = is_tunnel };
	pthread_mutex_lock(&slots->lock);
	bool taken = pool_take(is_tunnel ? &slots->tunnels : &slots->peers, &slot->index);
	slots->placed += taken && is_tunnel;
	pthread_mutex_unlock(&slots->lock);
	if (taken)
		return slot;
	free(slot);
	return NULL;
}

struct slot *slot_take_tunnel(struct slots *slots)
{
	struct slot *slot = take(slots, true);
	if (slot != NULL)
		counters_clear_tunnel(slot_tunnel(slot));
	return slot;
}

struct slot *slot_take_peer(const struct slot *tunnel)
{
	struct slot *slot = take(tunnel->slots, false);
	if (slot != NULL)
		counters_clear_peer(slot_peer(slot));
	return slot;
}

static void pool_save(const struct pool *pool, struct message_writer *writer)
{
	message_put_u32(writer, pool->fresh);
	message_put_u32(writer, (uint32_t)pool->free_count);
	message_put_bytes(writer, pool->free, pool->free_count * sizeof(*pool->free));
}

/* Every number below `fresh` needs room in the stack, as pool_take reserves it. */
static bool pool_load(struct pool *pool, struct message_reader *reader)
{
	pool->fresh = message_get_u32(reader);
	pool->free_count = message_get_u32(reader);
	if (reader->failed || pool->fresh > pool->limit || pool->free_count > pool->fresh)
		return false;
	pool->free_capacity = pool->fresh;
	pool->free = calloc((size_t)pool->fresh + 1, sizeof(*pool->free));
	if (pool->free == NULL)
		return false;
	message_get_bytes(reader, pool->free, pool->free_count * sizeof(*pool->free));
	for (size_t i = 0; i < pool->free_count; i++)
		reader->failed = reader->failed || pool->free[i] >= pool->fresh;
	return !reader->failed;
}

void slots_save(struct slots *slots, struct message_writer *writer)
{
	pthread_mutex_lock(&slots->lock);
	pool_save(&slots->tunnels, writer);
	pool_save(&slots->peers, writer);
	pthread_mutex_unlock(&slots->lock);
}

bool slots_load(struct slots *slots, struct message_reader *reader)
{
	pthread_mutex_lock(&slots->lock);
	bool is_loaded = pool_load(&slots->tunnels, reader) && pool_load(&slots->peers, reader);
	pthread_mutex_unlock(&slots->lock);
	return is_loaded;
}

static struct slot *resume(struct slots *slots, bool is_tunnel, uint32_t index)
{
	struct slot *slot = index < (is_tunnel ? &slots->tunnels : &slots->peers)->fresh ? malloc(sizeof(*slot)) : NULL;
	if (slot == NULL)
		return NULL;
	*slot = (struct slot){ .references = 1, .slots = slots, .index = index, .is_tunnel = is_tunnel };
	pthread_mutex_lock(&slots->lock);
	slots->placed += is_tunnel;
	pthread_mutex_unlock(&slots->lock);
	return slot;
}

struct slot *slot_resume_tunnel(struct slots *slots, uint32_t index)
{
	return resume(slots, true, index);
}

struct slot *slot_resume_peer(const struct slot *tunnel, uint32_t index)
{
	return resume(tunnel->slots, false, index);
}

struct slot *slot_reference(struct slot *slot)
{
	slot->references++;
	return slot;
}

void slot_release(struct slot *slot)
{
	if (slot == NULL || --slot->references > 0)
		return;
	struct slots *slots = slot->slots;
	struct pool *pool = slot->is_tunnel ? &slots->tunnels : &slots->peers;
	pthread_mutex_lock(&slots->lock);
	pool->free[pool->free_count++] = slot->index;
	pthread_mutex_unlock(&slots->lock);
	free(slot);
}

void slot_leave(struct slot *slot)
{
	if (slot == NULL)
		return;
	struct slots *slots = slot->slots;
	pthread_mutex_lock(&slots->lock);
	assert(slot->is_tunnel && slots->placed > 0);
	slots->placed--;
	pthread_mutex_unlock(&slots->lock);
	slot_release(slot);
}

uint32_t slot_index(const struct slot *slot)
{
	return slot->index;
}

unsigned slot_worker(const struct slot *slot)
{
	return slot->slots->worker;
}

struct counters_tunnel *slot_tunnel(const struct slot *slot)
{
	return &slot->slots->counters->tunnels[slot->index];
}

struct counters_peer *slot_peer(const struct slot *slot)
{
	return &slot->slots->counters->peers[slot->index];
}
