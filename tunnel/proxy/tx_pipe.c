#include "tunnel/proxy/tx_pipe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/connection.h"

static struct block_pool *pool_of(const struct tx_pipe *tx)
{
	return tx->tunnel->context->blocks;
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

void tx_pipe_init(struct tx_pipe *tx, struct connection *connection, struct poller *client)
{
	*tx = (struct tx_pipe){ .connection = connection, .tunnel = connection->tunnel, .client = client };
	deadline_init(&tx->throttle, on_throttle, tx);
}

void tx_pipe_clear(struct tx_pipe *tx)
{
	deadline_set(loop_of(tx), &tx->throttle, LOOP_NEVER);
	block_pool_give_all(pool_of(tx), tx->first);
	tx->first = tx->writing = tx->last = NULL;
	tx->offered = 0;
}

void tx_pipe_move(struct tx_pipe *to, struct tx_pipe *from)
{
	tx_pipe_init(to, from->connection, from->client);
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
	struct block *block = block_pool_take(pool_of(tx), large);
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
	block_pool_give(pool_of(tx), empty);
}

static ssize_t failed_read(int error)
{
	return error == EAGAIN || error == EINTR ? TX_PIPE_LATER : TX_PIPE_BROKEN;
}

/* limits.total_bytes is used up. The client may still finish, but a byte of it, which is lost, is too much. */
static ssize_t read_end(const struct tx_pipe *tx)
{
	char byte;
	ssize_t got = recv(poller_descriptor(tx->client), &byte, 1, MSG_DONTWAIT);
	if (got < 0)
		return failed_read(errno);
	return got == 0 ? TX_PIPE_END : TX_PIPE_USED_UP;
}

/* Where the bytes of a read go: the rest of the last block, and large blocks that are appended if the bytes reach them. */
struct landing {
	struct block *blocks[TX_PIPE_BLOCKS];
	struct iovec parts[TX_PIPE_BLOCKS];
	size_t count, room;
};

static void add_block(struct landing *landing, struct block *block, size_t allowed)
{
	size_t room = block->capacity - block->end, left = allowed - landing->room;
	room = room < left ? room : left;
	landing->blocks[landing->count] = block;
	landing->parts[landing->count++] = (struct iovec){ .iov_base = block->bytes + block->end, .iov_len = room };
	landing->room += room;
}

/* Room for `wanted` bytes and what is left of a block, but for no more than `allowed`. After a read that was not full one block is enough. */
static void make_landing(const struct tx_pipe *tx, size_t blocks, size_t wanted, size_t allowed, struct landing *landing)
{
	*landing = (struct landing){ .count = 0 };
	add_block(landing, tx->last, allowed);
	while (tx->read_full && landing->count < blocks && landing->room < wanted && landing->room < allowed) {
		struct block *block = block_pool_take(pool_of(tx), true);
		if (block == NULL)
			return;
		add_block(landing, block, allowed);
	}
}

static void keep_landed(struct tx_pipe *tx, const struct landing *landing, size_t length)
{
	for (size_t i = 0; i < landing->count; i++) {
		struct block *block = landing->blocks[i];
		size_t step = length < landing->parts[i].iov_len ? length : landing->parts[i].iov_len;
		block->end += (uint32_t)step;
		length -= step;
		if (i > 0 && step > 0)
			append(tx, block);
		else if (i > 0)
			block_pool_give(pool_of(tx), block);
	}
}

ssize_t tx_pipe_read(struct tx_pipe *tx, struct netstack_stream *stream, size_t blocks)
{
	if (tunnel_is_used_up(tx->tunnel))
		return read_end(tx);
	uint64_t again = LOOP_NEVER;
	size_t allowed = bucket_allowance(&tx->tunnel->tx_limit, tunnel_quota_left(tx->tunnel), loop_now(tx->tunnel->context->loop), &again);
	if (allowed == 0) {
		unwatch(tx);
		deadline_set(loop_of(tx), &tx->throttle, again);
		return TX_PIPE_LATER;
	}
	size_t room = netstack_stream_room(stream);
	if (room == 0 || !make_room(tx, tx->read_full)) {
		unwatch(tx); /* `acknowledged` goes on */
		return TX_PIPE_LATER;
	}
	struct landing landing;
	make_landing(tx, blocks, room, allowed, &landing);
	struct msghdr message = { .msg_iov = landing.parts, .msg_iovlen = landing.count };
	ssize_t got = recvmsg(poller_descriptor(tx->client), &message, MSG_DONTWAIT);
	int error = errno;
	keep_landed(tx, &landing, got > 0 ? (size_t)got : 0);
	if (got <= 0) {
		drop_empty(tx);
		return got == 0 ? TX_PIPE_END : failed_read(error);
	}
	tx->read_full = tx->last->end == tx->last->capacity;
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
		block_pool_give(pool_of(tx), block);
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
			connection_count_sent(tx->connection, taken);
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
		block_pool_give(pool_of(tx), block);
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
