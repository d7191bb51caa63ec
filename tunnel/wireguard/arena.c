/* A stack of free slots over sodium_malloc regions, which are allocated on demand, up to the requested capacity. */
#include "tunnel/wireguard/arena.h"

#include <sodium.h>
#include <stdlib.h>

#include "tunnel/wireguard/device.h"

#define REGION_SLOTS 2048 /* 128 KB: four mappings and two guard pages for some 300 tunnels */

static struct {
	union wireguard_secrets **regions;
	size_t region_count;
	union wireguard_secrets **free; /* the last one is taken first */
	size_t free_count;
	size_t capacity; /* slots in the regions */
	size_t most;
	bool require_lock;
} arena;

static int add_region(void)
{
	size_t slots = arena.most - arena.capacity < REGION_SLOTS ? arena.most - arena.capacity : REGION_SLOTS;
	union wireguard_secrets **regions = realloc(arena.regions, (arena.region_count + 1) * sizeof(*regions));
	if (regions != NULL)
		arena.regions = regions;
	union wireguard_secrets **free_slots = realloc(arena.free, (arena.capacity + slots + 1) * sizeof(*free_slots));
	if (free_slots != NULL)
		arena.free = free_slots;
	union wireguard_secrets *region = regions == NULL || free_slots == NULL ? NULL : sodium_allocarray(slots, sizeof(*region));
	if (region == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	/* sodium_malloc does not report whether locking succeeded, so the memory is locked again. */
	if (sodium_mlock(region, slots * sizeof(*region)) != 0 && arena.require_lock) {
		sodium_free(region);
		return WIREGUARD_CRYPTO;
	}
	sodium_memzero(region, slots * sizeof(*region));
	arena.regions[arena.region_count++] = region;
	arena.capacity += slots;
	for (size_t i = slots; i > 0; i--)
		arena.free[arena.free_count++] = &region[i - 1];
	return 0;
}

int wireguard_arena_start(size_t slots, bool require_lock)
{
	assert(arena.regions == NULL);
	if (slots > UINT32_MAX)
		return WIREGUARD_OUT_OF_MEMORY;
	arena.most = slots;
	arena.require_lock = require_lock;
	int result = add_region();
	if (result != 0)
		wireguard_arena_stop();
	return result;
}

void wireguard_arena_stop(void)
{
	assert(wireguard_arena_used() == 0);
	for (size_t i = 0; i < arena.region_count; i++)
		sodium_free(arena.regions[i]);
	free(arena.regions);
	free(arena.free);
	arena.regions = NULL;
	arena.free = NULL;
	arena.region_count = 0;
	arena.free_count = 0;
	arena.capacity = 0;
	arena.most = 0;
}

int wireguard_arena_acquire(union wireguard_secrets *slots[], size_t count)
{
	while (arena.free_count < count && arena.capacity < arena.most)
		if (add_region() != 0)
			return WIREGUARD_OUT_OF_MEMORY;
	if (arena.free_count < count)
		return WIREGUARD_OUT_OF_MEMORY;
	for (size_t i = 0; i < count; i++)
		slots[i] = arena.free[--arena.free_count];
	return 0;
}

void wireguard_arena_release(union wireguard_secrets *slots[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (slots[i] == NULL)
			continue;
		assert(arena.free_count < arena.capacity);
		sodium_memzero(slots[i], sizeof(*slots[i]));
		arena.free[arena.free_count++] = slots[i];
		slots[i] = NULL;
	}
}

size_t wireguard_arena_used(void)
{
	return arena.capacity - arena.free_count;
}
