/* Blocks for bytes that clients send, or have not taken yet, shared by all connections of a worker. An idle connection holds none. */
#ifndef WARREN_TUNNEL_IO_POOL_H
#define WARREN_TUNNEL_IO_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

/* The bytes lie from `start` to `end`; those before `start` are consumed. */
struct block {
	struct block *next;
	uint32_t capacity, start, end;
	_Alignas(max_align_t) uint8_t bytes[];
};

struct pool *pool_create(void);
void pool_free(struct pool *pool);
/* A small block (4 KB) or a large one (64 KB), empty; NULL when out of memory. */
struct block *pool_take(struct pool *pool, bool large);
void pool_give(struct pool *pool, struct block *block); /* NULL is allowed */
void pool_give_all(struct pool *pool, struct block *first);
size_t pool_in_use(const struct pool *pool); /* bytes */

#endif
