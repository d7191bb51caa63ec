#include "tunnel/proxy/backlog.h"

#include <assert.h>
#include <string.h>

/* Before the bytes of each datagram. */
struct held {
	uint16_t port, length;
};

/* A small block as long as that is enough, then a large one. */
static struct block *make_room(struct block **backlog, struct block_pool *pool, size_t length)
{
	while (*backlog == NULL || (*backlog)->capacity - (*backlog)->end < length) {
		struct block *grown = block_pool_grow(pool, *backlog);
		if (grown == NULL)
			return NULL;
		*backlog = grown;
	}
	return *backlog;
}

void backlog_hold(struct block **backlog, struct tunnel *tunnel, uint16_t port, const uint8_t *bytes, size_t length)
{
	assert(length <= UINT16_MAX);
	struct held held = { .port = port, .length = (uint16_t)length };
	struct block *block = make_room(backlog, tunnel->context->blocks, sizeof(held) + length);
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
	block_pool_give(tunnel->context->blocks, block);
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
