/* What a client sent and nobody has used yet: a head in parts, or the requests behind the current one. It may hold passwords, so
 * what is given back is wiped (X16). */
#ifndef WARREN_TUNNEL_IO_INTAKE_H
#define WARREN_TUNNEL_IO_INTAKE_H

#include <sys/types.h>

#include "tunnel/io/pool.h"

/* Embedded by value. No block while nothing waits. */
struct intake {
	struct pool *pool;
	struct block *block;
};

static inline size_t intake_length(const struct intake *intake)
{
	return intake->block == NULL ? 0 : intake->block->end - intake->block->start;
}
static inline const char *intake_bytes(const struct intake *intake)
{
	return (const char *)intake->block->bytes + intake->block->start;
}
void intake_clear(struct intake *intake);
void intake_use(struct intake *intake, size_t length);
/* Reads once what the socket has. 1: something came; 0: nothing now; -1: the client ended, or broke; -2: no memory, or more than a head may be. */
int intake_read(struct intake *intake, int descriptor);
/* A copy, while nothing waits. False when out of memory. */
bool intake_put(struct intake *intake, const char *bytes, size_t length);
/* The block with what waits, or NULL: the caller's. */
struct block *intake_take(struct intake *intake);

#endif
