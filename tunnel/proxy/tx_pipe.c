#include "tunnel/proxy/tx_pipe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tunnel/tunnel.h"

static struct pool *pool_of(const struct tx_pipe *upward)
{
	return upward->tunnel->context->pool;
}

static struct loop *loop_of(const struct tx_pipe *upward)
{
	return upward->tunnel->context->loop;
}

static void watch(struct tx_pipe *upward)
{
	poller_set(upward->client, poller_events(upward->client) | LOOP_READABLE);
}

static void unwatch(struct tx_pipe *upward)
{
	poller_set(upward->client, poller_events(upward->client) & ~LOOP_READABLE);
}

static void on_throttle(void *owner)
{
	watch(owner);
}

void tx_pipe_init(struct tx_pipe *upward, struct tunnel *tunnel, struct poller *client)
{
	*upward = (struct tx_pipe){ .tunnel = tunnel, .client = client };
	deadline_init(&upward->throttle, on_throttle, upward);
}

void tx_pipe_clear(struct tx_pipe *upward)
{
	deadline_set(loop_of(upward), &upward->throttle, LOOP_NEVER);
	pool_give_all(pool_of(upward), upward->first);
	upward->first = upward->writing = upward->last = NULL;
	upward->offered = 0;
}

void tx_pipe_move(struct tx_pipe *to, struct tx_pipe *from)
{
	tx_pipe_init(to, from->tunnel, from->client);
	to->first = from->first;
	to->writing = from->writing;
	to->last = from->last;
	to->offered = from->offered;
	from->first = NULL;
	tx_pipe_clear(from);
}

static void append(struct tx_pipe *upward, struct block *block)
{
	if (upward->last == NULL)
		upward->first = block;
	else
		upward->last->next = block;
	upward->last = block;
	if (upward->writing == NULL) {
		upward->writing = block;
		upward->offered = block->start;
	}
}

static bool make_room(struct tx_pipe *upward, bool large)
{
	if (upward->last != NULL && upward->last->end < upward->last->capacity)
		return true;
	struct block *block = pool_take(pool_of(upward), large);
	if (block != NULL)
		append(upward, block);
	return block != NULL;
}

/* Frees the block of a read that returned nothing. */
static void drop_empty(struct tx_pipe *upward)
{
	struct block *empty = upward->last, *before = NULL;
	if (empty->end > 0)
		return;
	for (struct block *block = upward->first; block != empty; block = block->next)
		before = block;
	if (before == NULL)
		upward->first = NULL;
	else
		before->next = NULL;
	upward->last = before;
	if (upward->writing == empty) {
		upward->writing = before;
		upward->offered = before == NULL ? 0 : before->end;
	}
	pool_give(pool_of(upward), empty);
}

static ssize_t failed_read(int error)
{
	return error == EAGAIN || error == EINTR ? TX_PIPE_LATER : TX_PIPE_BROKEN;
}

/* limits.total_bytes is used up. The client may still finish, but a byte of it, which is lost, is too much. */
static ssize_t read_end(const struct tx_pipe *upward)
{
	char byte;
	ssize_t got = read(poller_descriptor(upward->client), &byte, 1);
	if (got < 0)
		return failed_read(errno);
	return got == 0 ? TX_PIPE_END : TX_PIPE_USED_UP;
}

ssize_t tx_pipe_read(struct tx_pipe *upward, struct netstack_stream *stream)
{
	if (tunnel_is_used_up(upward->tunnel))
		return read_end(upward);
	uint64_t again = LOOP_NEVER;
	size_t allowed = bucket_allowance(&upward->tunnel->tx_limit, UINT32_MAX, loop_now(upward->tunnel->context->loop), &again);
	if (allowed == 0) {
		unwatch(upward);
		deadline_set(loop_of(upward), &upward->throttle, again);
		return TX_PIPE_LATER;
	}
	if (netstack_stream_room(stream) == 0 || !make_room(upward, upward->read_full)) {
		unwatch(upward); /* `acknowledged` goes on */
		return TX_PIPE_LATER;
	}
	struct block *block = upward->last;
	size_t room = block->capacity - block->end, left = tunnel_quota_left(upward->tunnel);
	allowed = allowed < left ? allowed : left;
	ssize_t got = read(poller_descriptor(upward->client), block->bytes + block->end, room < allowed ? room : allowed);
	if (got <= 0) {
		int error = errno;
		drop_empty(upward);
		if (got == 0)
			return TX_PIPE_END;
		return failed_read(error);
	}
	upward->read_full = (size_t)got == room;
	block->end += (uint32_t)got;
	bucket_spend(&upward->tunnel->tx_limit, (size_t)got);
	return got;
}

void tx_pipe_shorten(struct tx_pipe *upward, size_t length)
{
	upward->last->end -= (uint32_t)length;
	drop_empty(upward);
}

bool tx_pipe_put(struct tx_pipe *upward, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	while (length > 0) {
		if (!make_room(upward, length > 2048))
			return false;
		struct block *block = upward->last;
		size_t room = block->capacity - block->end;
		size_t step = length < room ? length : room;
		memcpy(block->bytes + block->end, from, step);
		block->end += (uint32_t)step;
		from += step;
		length -= step;
	}
	return true;
}

void tx_pipe_put_block(struct tx_pipe *upward, struct block *block)
{
	if (block->start == block->end) {
		pool_give(pool_of(upward), block);
		return;
	}
	block->next = NULL;
	append(upward, block);
}

bool tx_pipe_offer(struct tx_pipe *upward, struct netstack_stream *stream)
{
	for (struct block *block = upward->writing; block != NULL; block = block->next) {
		if (block != upward->writing) {
			upward->writing = block;
			upward->offered = block->start;
		}
		if (upward->offered == block->end)
			continue;
		size_t taken = netstack_stream_write(stream, block->bytes + upward->offered, block->end - upward->offered, loop_now(loop_of(upward)));
		upward->offered += (uint32_t)taken;
		if (taken > 0) {
			tunnel_count_sent(upward->tunnel, taken);
			tunnel_wake(upward->tunnel);
		}
		if (upward->offered < block->end)
			return false;
	}
	return true;
}

static void release(struct tx_pipe *upward, size_t bytes)
{
	while (upward->first != NULL) {
		struct block *block = upward->first;
		uint32_t sent = block == upward->writing ? upward->offered : block->end;
		uint32_t step = bytes < sent - block->start ? (uint32_t)bytes : sent - block->start;
		block->start += step;
		bytes -= step;
		if (block->start < block->end)
			return;
		upward->first = block->next;
		if (block == upward->writing) {
			upward->writing = block->next;
			upward->offered = block->next == NULL ? 0 : block->next->start;
		}
		if (upward->first == NULL)
			upward->last = NULL;
		pool_give(pool_of(upward), block);
	}
}

void tx_pipe_acknowledged(struct tx_pipe *upward, struct netstack_stream *stream, size_t bytes)
{
	release(upward, bytes);
	tx_pipe_offer(upward, stream);
}

void tx_pipe_go_on(struct tx_pipe *upward, struct netstack_stream *stream)
{
	if (!tx_pipe_is_waiting(upward) && upward->throttle.at == LOOP_NEVER && netstack_stream_room(stream) > 0)
		watch(upward);
}

bool tx_pipe_is_waiting(const struct tx_pipe *upward)
{
	return upward->writing != NULL && (upward->offered < upward->writing->end || upward->writing->next != NULL);
}
