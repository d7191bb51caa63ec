#include "tunnel/io/intake.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>

void intake_clear(struct intake *intake)
{
	if (intake->block != NULL)
		sodium_memzero(intake->block->bytes, intake->block->end);
	pool_give(intake->pool, intake->block);
	intake->block = NULL;
}

void intake_use(struct intake *intake, size_t length)
{
	struct block *block = intake->block;
	sodium_memzero(block->bytes + block->start, length);
	block->start += (uint32_t)length;
	if (block->start == block->end)
		intake_clear(intake);
}

/* Moves the bytes to the block's front. */
static void compact(struct block *block)
{
	uint32_t length = block->end - block->start;
	memmove(block->bytes, block->bytes + block->start, length);
	sodium_memzero(block->bytes + length, block->end - length);
	block->start = 0;
	block->end = length;
}

static bool make_room(struct intake *intake)
{
	struct block *block = intake->block;
	if (block == NULL)
		return (intake->block = pool_take(intake->pool, false)) != NULL;
	if (block->end < block->capacity)
		return true;
	if (block->start > 0) {
		compact(block);
		return true;
	}
	struct block *large = pool_take(intake->pool, true);
	if (large == NULL || large->capacity <= block->end) {
		pool_give(intake->pool, large);
		return false;
	}
	memcpy(large->bytes, block->bytes, block->end);
	large->end = block->end;
	intake_clear(intake);
	intake->block = large;
	return true;
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
	if (block->start == block->end)
		intake_clear(intake);
	return got < 0 && (error == EAGAIN || error == EINTR) ? 0 : -1;
}

bool intake_put(struct intake *intake, const char *bytes, size_t length)
{
	struct block *block = pool_take(intake->pool, true);
	if (block == NULL || length > block->capacity) {
		pool_give(intake->pool, block);
		return false;
	}
	memcpy(block->bytes, bytes, length);
	block->end = (uint32_t)length;
	intake->block = block;
	return true;
}

struct block *intake_take(struct intake *intake)
{
	struct block *block = intake->block;
	intake->block = NULL;
	return block;
}
