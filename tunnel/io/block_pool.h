/* Blocks for bytes that clients send, or have not taken yet, shared by all connections of a worker. An idle connection holds none. */
#ifndef WARREN_TUNNEL_IO_BLOCK_POOL_H
#define WARREN_TUNNEL_IO_BLOCK_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_pool;

/* The bytes lie from `start` to `end`; those before `start` are consumed. */
struct block {
	struct block *next;
	uint32_t capacity, start, end;
	_Alignas(max_align_t) uint8_t bytes[];
};

struct block_pool *block_pool_create(void);
void block_pool_free(struct block_pool *pool);
/* A small block (4 KB) or a large one (64 KB), empty; NULL when out of memory. */
struct block *block_pool_take(struct block_pool *pool, bool large);
/* A small block in place of NULL; a large one in place of a small one, whose bytes are moved and wiped. NULL when out of memory, or if `block` is a
 * large one: then it stays as it is. */
struct block *block_pool_grow(struct block_pool *pool, struct block *block);
bool block_is_large(const struct block *block);
void block_pool_give(struct block_pool *pool, struct block *block); /* NULL is allowed */
void block_pool_give_all(struct block_pool *pool, struct block *first);
size_t block_pool_in_use(const struct block_pool *pool); /* bytes */
/* Frees the blocks that nobody has needed since the last call: a burst does not hold its memory for ever. Returns their bytes. */
size_t block_pool_trim(struct block_pool *pool);

#endif
