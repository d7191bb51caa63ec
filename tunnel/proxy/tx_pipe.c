#include "tunnel/proxy/tx_pipe.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tunnel/tunnel.h"

static struct pool *pool_of(const struct tx_pipe *tx)
{
	return tx->tunnel->context->pool;
}

static struct loop *loop_of(const struct tx_pipe *tx)
{
	return tx->tunnel->context->loop;
}

static void watch(struct tx_pipe *tx)
{
	poller_set(tx->client, poller_events(tx->client) | LOOP_READABLE);
}

static void unwatch(struct tx_pipe *tx)
{
	poller_set(tx->client, poller_events(tx->client) & ~LOOP_READABLE);
}

static void on_throttle(void *owner)
{
	watch(owner);
}

void tx_pipe_init(struct tx_pipe *tx, struct tunnel *tunnel, struct poller *client)
{
	*tx = (struct tx_pipe){ .tunnel = tunnel, .client = client };
	deadline_init(&tx->throttle, on_throttle, tx);
}

void tx_pipe_clear(struct tx_pipe *tx)
{
	deadline_set(loop_of(tx), &tx->throttle, LOOP_NEVER);
	pool_give_all(pool_of(tx), tx->first);
	tx->first = tx->writing = tx->last = NULL;
	tx->offered = 0;
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

static void append(struct tx_pipe *tx, struct block *block)
{
	if (tx->last == NULL)
		tx->first = block;
	else
		tx->last->next = block;
	tx->last = block;
	if (tx->writing == NULL) {
		tx->writing = block;
		tx->offered = block->start;
	}
}

static bool make_room(struct tx_pipe *tx, bool large)
{
	if (tx->last != NULL && tx->last->end < tx->last->capacity)
		return true;
	struct block *block = pool_take(pool_of(tx), large);
	if (block != NULL)
		append(tx, block);
	return block != NULL;
}

/* Frees the block of a read that returned nothing. */
static void drop_empty(struct tx_pipe *tx)
{
	struct block *empty = tx->last, *before = NULL;
	if (empty->end > 0)
		return;
	for (struct block *block = tx->first; block != empty; block = block->next)
		before = block;
	if (before == NULL)
		tx->first = NULL;
	else
		before->next = NULL;
	tx->last = before;
	if (tx->writing == empty) {
		tx->writing = before;
		tx->offered = before == NULL ? 0 : before->end;
	}
	pool_give(pool_of(tx), empty);
}

static ssize_t failed_read(int error)
{
	return error == EAGAIN || error == EINTR ? TX_PIPE_LATER : TX_PIPE_BROKEN;
}

/* limits.total_bytes is used up. The client may still finish, but a byte of it, which is lost, is too much. */
static ssize_t read_end(const struct tx_pipe *tx)
{
	char byte;
	ssize_t got = read(poller_descriptor(tx->client), &byte, 1);
	if (got < 0)
		return failed_read(errno);
	return got == 0 ? TX_PIPE_END : TX_PIPE_USED_UP;
}

ssize_t tx_pipe_read(struct tx_pipe *tx, struct netstack_stream *stream)
{
	if (tunnel_is_used_up(tx->tunnel))
		return read_end(tx);
	uint64_t again = LOOP_NEVER;
	size_t allowed = bucket_allowance(&tx->tunnel->tx_limit, UINT32_MAX, loop_now(tx->tunnel->context->loop), &again);
	if (allowed == 0) {
		unwatch(tx);
		deadline_set(loop_of(tx), &tx->throttle, again);
		return TX_PIPE_LATER;
	}
	if (netstack_stream_room(stream) == 0 || !make_room(tx, tx->read_full)) {
		unwatch(tx); /* `acknowledged` goes on */
		return TX_PIPE_LATER;
	}
	struct block *block = tx->last;
	size_t room = block->capacity - block->end, left = tunnel_quota_left(tx->tunnel);
	allowed = allowed < left ? allowed : left;
	ssize_t got = read(poller_descriptor(tx->client), block->bytes + block->end, room < allowed ? room : allowed);
	if (got <= 0) {
		int error = errno;
		drop_empty(tx);
		if (got == 0)
			return TX_PIPE_END;
		return failed_read(error);
	}
	tx->read_full = (size_t)got == room;
	block->end += (uint32_t)got;
	bucket_spend(&tx->tunnel->tx_limit, (size_t)got);
	return got;
}

void tx_pipe_shorten(struct tx_pipe *tx, size_t length)
{
	tx->last->end -= (uint32_t)length;
	drop_empty(tx);
}

bool tx_pipe_put(struct tx_pipe *tx, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	while (length > 0) {
		if (!make_room(tx, length > 2048))
			return false;
		struct block *block = tx->last;
		size_t room = block->capacity - block->end;
		size_t step = length < room ? length : room;
		memcpy(block->bytes + block->end, from, step);
		block->end += (uint32_t)step;
		from += step;
		length -= step;
	}
	return true;
}

void tx_pipe_put_block(struct tx_pipe *tx, struct block *block)
{
	if (block->start == block->end) {
		pool_give(pool_of(tx), block);
		return;
	}
	block->next = NULL;
	append(tx, block);
}

bool tx_pipe_offer(struct tx_pipe *tx, struct netstack_stream *stream)
{
	for (struct block *block = tx->writing; block != NULL; block = block->next) {
		if (block != tx->writing) {
			tx->writing = block;
			tx->offered = block->start;
		}
		if (tx->offered == block->end)
			continue;
		size_t taken = netstack_stream_write(stream, block->bytes + tx->offered, block->end - tx->offered, loop_now(loop_of(tx)));
		tx->offered += (uint32_t)taken;
		if (taken > 0) {
			tunnel_count_sent(tx->tunnel, taken);
			tunnel_wake(tx->tunnel);
		}
		if (tx->offered < block->end)
			return false;
	}
	return true;
}

static void release(struct tx_pipe *tx, size_t bytes)
{
	while (tx->first != NULL) {
		struct block *block = tx->first;
		uint32_t sent = block == tx->writing ? tx->offered : block->end;
		uint32_t step = bytes < sent - block->start ? (uint32_t)bytes : sent - block->start;
		block->start += step;
		bytes -= step;
		if (block->start < block->end)
			return;
		tx->first = block->next;
		if (block == tx->writing) {
			tx->writing = block->next;
			tx->offered = block->next == NULL ? 0 : block->next->start;
		}
		if (tx->first == NULL)
			tx->last = NULL;
		pool_give(pool_of(tx), block);
	}
}

void tx_pipe_acknowledged(struct tx_pipe *tx, struct netstack_stream *stream, size_t bytes)
{
	release(tx, bytes);
	tx_pipe_offer(tx, stream);
}

void tx_pipe_go_on(struct tx_pipe *tx, struct netstack_stream *stream)
{
	if (!tx_pipe_is_waiting(tx) && tx->throttle.at == LOOP_NEVER && netstack_stream_room(stream) > 0)
		watch(tx);
}

bool tx_pipe_is_waiting(const struct tx_pipe *tx)
{
	return tx->writing != NULL && (tx->offered < tx->writing->end || tx->writing->next != NULL);
}
