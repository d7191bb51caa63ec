/* Bytes from a client that are not yet consumed: a partial head, or pipelined requests. They may hold passwords, so bytes are wiped when they are
 * used, and a block before it is given back (P8, X16). */
#ifndef WARREN_TUNNEL_IO_INTAKE_H
#define WARREN_TUNNEL_IO_INTAKE_H

#include <sys/types.h>

#include "tunnel/io/block_pool.h"

/* Embedded by value. Holds no block while it is empty and keeps nothing. */
struct intake {
	struct block_pool *pool;
	struct block *block;
	bool keeps;    /* used bytes are kept, for intake_rewind */
	uint32_t kept; /* bytes before block->start */
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
/* What is used from now on is kept, because the bytes may have to be read again from here. */
void intake_keep(struct intake *intake);
/* Used bytes that were kept are unused again; nothing is kept any more. */
void intake_rewind(struct intake *intake);
/* Wipes what was kept; nothing is kept any more. */
void intake_forget(struct intake *intake);
/* Hands over the block with its unused bytes to the caller, or NULL. Forgets what was kept. */
struct block *intake_take(struct intake *intake);

#endif
