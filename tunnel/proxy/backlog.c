#include "tunnel/proxy/backlog.h"

#include <assert.h>
#include <string.h>

/* Before the bytes of each datagram. */
struct held {
	uint16_t port, length;
};

/* A small block as long as that is enough, then a large one. */
static struct block *make_room(struct block **backlog, struct pool *pool, size_t length)
{
	struct block *block = *backlog;
	if (block == NULL)
		block = *backlog = pool_take(pool, false);
	if (block == NULL || block->capacity - block->end >= length)
		return block;
	struct block *large = pool_take(pool, true);
	if (large == NULL || large->capacity <= block->capacity || large->capacity - block->end < length) {
		pool_give(pool, large);
		return NULL;
	}
	memcpy(large->bytes, block->bytes, block->end);
	large->end = block->end;
	pool_give(pool, block);
	*backlog = large;
	return large;
}

void backlog_hold(struct block **backlog, struct tunnel *tunnel, uint16_t port, const uint8_t *bytes, size_t length)
{
	assert(length <= UINT16_MAX);
	struct held held = { .port = port, .length = (uint16_t)length };
	struct block *block = make_room(backlog, tunnel->context->pool, sizeof(held) + length);
	if (block == NULL) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	memcpy(block->bytes + block->end, &held, sizeof(held));
	memcpy(block->bytes + block->end + sizeof(held), bytes, length);
	block->end += (uint32_t)(sizeof(held) + length);
}

void backlog_release(struct block **backlog, struct tunnel *tunnel, void (*send)(void *owner, uint16_t port, const uint8_t *bytes, size_t length),
                     void *owner)
{
	struct block *block = *backlog;
	struct held held;
	*backlog = NULL;
	for (uint32_t at = 0; block != NULL && at < block->end; at += (uint32_t)(sizeof(held) + held.length)) {
		memcpy(&held, block->bytes + at, sizeof(held));
		send(owner, held.port, block->bytes + at + sizeof(held), held.length);
	}
	pool_give(tunnel->context->pool, block);
}

static void count_refused(void *owner, uint16_t port, const uint8_t *bytes, size_t length)
{
	(void)port, (void)bytes, (void)length;
	tunnel_count_dropped(owner, COUNTERS_DROP_REFUSED);
}

void backlog_refuse(struct block **backlog, struct tunnel *tunnel)
{
	backlog_release(backlog, tunnel, count_refused, tunnel);
}
