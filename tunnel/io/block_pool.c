#include "tunnel/io/block_pool.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/io/poison.h"

#define SMALL_SIZE 4096
#define LARGE_SIZE 65536
#define FREE_MOST 64 /* of each size, kept for reuse */

struct shelf {
	struct block *first;
	size_t count, fewest; /* since the last trim: so many were not needed */
};

struct block_pool {
	struct shelf small, large;
	size_t in_use;
};

struct block_pool *block_pool_create(void)
{
	return calloc(1, sizeof(struct block_pool));
}

static void drop(struct shelf *shelf, size_t count)
{
	shelf->count -= count;
	for (; count > 0; count--) {
		struct block *block = shelf->first;
		shelf->first = block->next;
		free(block);
	}
	shelf->fewest = shelf->count;
}

/* The bytes of a free block are not in use. */
static size_t room_of(bool large)
{
	return (large ? LARGE_SIZE : SMALL_SIZE) - sizeof(struct block);
}

void block_pool_free(struct block_pool *pool)
{
	if (pool == NULL)
		return;
	drop(&pool->small, pool->small.count);
	drop(&pool->large, pool->large.count);
	free(pool);
}

struct block *block_pool_take(struct block_pool *pool, bool large)
{
	struct shelf *shelf = large ? &pool->large : &pool->small;
	size_t size = large ? LARGE_SIZE : SMALL_SIZE;
	struct block *block = shelf->first;
	if (block != NULL) {
		shelf->first = block->next;
		if (--shelf->count < shelf->fewest)
			shelf->fewest = shelf->count;
		unpoison(block->bytes, room_of(large));
	} else if ((block = malloc(size)) == NULL) {
		return NULL;
	}
	block->next = NULL;
	block->capacity = (uint32_t)room_of(large);
	block->start = block->end = 0;
	pool->in_use += size;
	return block;
}

bool block_is_large(const struct block *block)
{
	return block->capacity > SMALL_SIZE;
}

struct block *block_pool_grow(struct block_pool *pool, struct block *block)
{
	if (block == NULL)
		return block_pool_take(pool, false);
	struct block *large = block_is_large(block) ? NULL : block_pool_take(pool, true);
	if (large == NULL)
		return NULL;
	memcpy(large->bytes, block->bytes, block->end);
	large->start = block->start;
	large->end = block->end;
	sodium_memzero(block->bytes, block->end);
	block_pool_give(pool, block);
	return large;
}

void block_pool_give(struct block_pool *pool, struct block *block)
{
	if (block == NULL)
		return;
	bool large = block_is_large(block);
	struct shelf *shelf = large ? &pool->large : &pool->small;
	pool->in_use -= large ? LARGE_SIZE : SMALL_SIZE;
	if (shelf->count == FREE_MOST) {
		free(block);
		return;
	}
	poison(block->bytes, room_of(large));
	block->next = shelf->first;
	shelf->first = block;
	shelf->count++;
}

void block_pool_give_all(struct block_pool *pool, struct block *first)
{
	while (first != NULL) {
		struct block *next = first->next;
		block_pool_give(pool, first);
		first = next;
	}
}

size_t block_pool_trim(struct block_pool *pool)
{
	size_t freed = pool->small.fewest * SMALL_SIZE + pool->large.fewest * LARGE_SIZE;
	drop(&pool->small, pool->small.fewest);
	drop(&pool->large, pool->large.fewest);
	return freed;
}

size_t block_pool_in_use(const struct block_pool *pool)
{
	return pool->in_use;
}
