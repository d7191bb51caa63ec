/* Bytes from a client that are not yet consumed: a partial head, or pipelined requests. They may hold passwords, so bytes are wiped when they are
 * used, and a block before it is given back (P8, X16). */
#ifndef WARREN_TUNNEL_IO_INTAKE_H
#define WARREN_TUNNEL_IO_INTAKE_H

#include <sys/types.h>

#include "tunnel/io/pool.h"

/* Embedded by value. Holds no block while it is empty. */
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
/* Reads the socket once. 1: got bytes; 0: nothing now; -1: the client has closed or reset; -2: out of memory, or more bytes than a head may have. */
int intake_read(struct intake *intake, int descriptor);
/* Appends a copy, while it is empty. False when out of memory. */
bool intake_put(struct intake *intake, const char *bytes, size_t length);
/* Hands over the block with its bytes to the caller, or NULL. */
struct block *intake_take(struct intake *intake);

#endif
