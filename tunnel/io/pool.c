#include "tunnel/io/pool.h"

#include <stdlib.h>

#include "tunnel/io/poison.h"

#define SMALL_SIZE 4096
#define LARGE_SIZE 65536
#define FREE_MOST 64 /* of each size, kept for reuse */

struct shelf {
	struct block *first;
	size_t count;
};

struct pool {
	struct shelf small, large;
	size_t in_use;
};

struct pool *pool_create(void)
{
	return calloc(1, sizeof(struct pool));
}

static void clear(struct shelf *shelf)
{
	while (shelf->first != NULL) {
		struct block *block = shelf->first;
		shelf->first = block->next;
		free(block);
	}
}

/* The bytes of a free block are not in use. */
static size_t room_of(bool large)
{
	return (large ? LARGE_SIZE : SMALL_SIZE) - sizeof(struct block);
}

void pool_free(struct pool *pool)
{
	if (pool == NULL)
		return;
	clear(&pool->small);
	clear(&pool->large);
	free(pool);
}

struct block *pool_take(struct pool *pool, bool large)
{
	struct shelf *shelf = large ? &pool->large : &pool->small;
	size_t size = large ? LARGE_SIZE : SMALL_SIZE;
	struct block *block = shelf->first;
	if (block != NULL) {
		shelf->first = block->next;
		shelf->count--;
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

void pool_give(struct pool *pool, struct block *block)
{
	if (block == NULL)
		return;
	bool large = block->capacity > SMALL_SIZE;
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

void pool_give_all(struct pool *pool, struct block *first)
{
	while (first != NULL) {
		struct block *next = first->next;
		pool_give(pool, first);
		first = next;
	}
}

size_t pool_in_use(const struct pool *pool)
{
	return pool->in_use;
}
