#include "tunnel/io/intake.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>

void intake_clear(struct intake *intake)
{
	if (intake->block != NULL)
		sodium_memzero(intake->block->bytes, intake->block->end);
	block_pool_give(intake->pool, intake->block);
	intake->block = NULL;
	intake->keeps = false;
	intake->kept = 0;
}

void intake_keep(struct intake *intake)
{
	intake->keeps = true;
}

void intake_rewind(struct intake *intake)
{
	if (intake->block != NULL)
		intake->block->start -= intake->kept;
	intake->keeps = false;
	intake->kept = 0;
}

void intake_forget(struct intake *intake)
{
	struct block *block = intake->block;
	intake->keeps = false;
	if (block == NULL)
		return;
	sodium_memzero(block->bytes + block->start - intake->kept, intake->kept);
	intake->kept = 0;
	if (block->start == block->end)
		intake_clear(intake);
}

void intake_use(struct intake *intake, size_t length)
{
	struct block *block = intake->block;
	if (intake->keeps) {
		block->start += (uint32_t)length;
		intake->kept += (uint32_t)length;
		return;
	}
	sodium_memzero(block->bytes + block->start, length);
	block->start += (uint32_t)length;
	if (block->start == block->end)
		intake_clear(intake);
}

/* Moves the bytes, with those that are kept, to the block's front. */
static void compact(struct block *block, uint32_t kept)
{
	uint32_t first = block->start - kept, length = block->end - first;
	memmove(block->bytes, block->bytes + first, length);
	sodium_memzero(block->bytes + length, block->end - length);
	block->start = kept;
	block->end = length;
}

static bool make_room(struct intake *intake)
{
	struct block *block = intake->block;
	if (block != NULL && block->end < block->capacity)
		return true;
	if (block != NULL && block->start > intake->kept) {
		compact(block, intake->kept);
		return true;
	}
	struct block *grown = block_pool_grow(intake->pool, block);
	if (grown != NULL)
		intake->block = grown;
	return grown != NULL;
}

int intake_read(struct intake *intake, int descriptor)
{
	if (!make_room(intake))
		return -2;
	struct block *block = intake->block;
	ssize_t got = recv(descriptor, block->bytes + block->end, block->capacity - block->end, MSG_DONTWAIT);
	if (got > 0) {
		block->end += (uint32_t)got;
		return 1;
	}
	int error = errno;
	if (block->start == block->end && intake->kept == 0) {
		block_pool_give(intake->pool, block); /* wiped as it was used */
		intake->block = NULL;
	}
	return got < 0 && (error == EAGAIN || error == EINTR) ? 0 : -1;
}

bool intake_put(struct intake *intake, const char *bytes, size_t length)
{
	struct block *block = block_pool_take(intake->pool, true);
	if (block == NULL || length > block->capacity) {
		block_pool_give(intake->pool, block);
		return false;
	}
	memcpy(block->bytes, bytes, length);
	block->end = (uint32_t)length;
	intake->block = block;
	return true;
}

struct block *intake_take(struct intake *intake)
{
	intake_forget(intake);
	struct block *block = intake->block;
	intake->block = NULL;
	return block;
}
