#include "tunnel/proxy/rx_pipe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/tunnel.h"

#define BLOCKS_A_CALL 20
/* Blocks are at most half empty, so the copies take at most twice the memory that the window, and so the budget, counts for them. */
#define LARGE_FROM ((size_t)32 * 1024)

static struct loop *loop_of(const struct rx_pipe *rx)
{
	return rx->tunnel->context->loop;
}

static void watch(struct rx_pipe *rx)
{
	rx->waiting = true;
	poller_set(rx->client, poller_events(rx->client) | LOOP_WRITABLE);
}

static void unwatch(struct rx_pipe *rx)
{
	poller_set(rx->client, poller_events(rx->client) & ~LOOP_WRITABLE);
}

static void on_throttle(void *owner)
{
	watch(owner);
}

static struct block_pool *pool_of(const struct rx_pipe *rx)
{
	return rx->tunnel->context->blocks;
}

static void drop_parts(struct rx_pipe *rx)
{
	block_pool_give(pool_of(rx), rx->parts);
	rx->parts = NULL;
	rx->part_count = 0;
}

void rx_pipe_init(struct rx_pipe *rx, struct tunnel *tunnel, struct poller *client)
{
	*rx = (struct rx_pipe){ .tunnel = tunnel, .client = client };
	deadline_init(&rx->throttle, on_throttle, rx);
}

void rx_pipe_clear(struct rx_pipe *rx)
{
	deadline_set(loop_of(rx), &rx->throttle, LOOP_NEVER);
	block_pool_give_all(pool_of(rx), rx->first);
	rx->first = rx->last = NULL;
	rx->own = rx->stands_for = rx->added = rx->kept = 0;
	drop_parts(rx);
}

void rx_pipe_move(struct rx_pipe *to, struct rx_pipe *from)
{
	rx_pipe_init(to, from->tunnel, from->client);
	to->first = from->first;
	to->last = from->last;
	to->kept = from->kept;
	to->own = from->own;
	to->stands_for = from->stands_for;
	to->added = from->added;
	to->broken = from->broken;
	to->part_count = from->part_count;
	to->parts = from->parts;
	from->first = from->parts = NULL;
	rx_pipe_clear(from);
}

bool rx_pipe_is_empty(const struct rx_pipe *rx)
{
	return rx->first == NULL && rx->part_count == 0;
}

static bool keep(struct rx_pipe *rx, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		struct block *block = rx->last;
		if (block == NULL || block->end == block->capacity) {
			block = block_pool_take(pool_of(rx), length >= LARGE_FROM || rx->kept >= 2 * LARGE_FROM);
			if (block == NULL)
				return false;
			if (rx->last == NULL)
				rx->first = block;
			else
				rx->last->next = block;
			rx->last = block;
		}
		size_t room = block->capacity - block->end;
		size_t step = length < room ? length : room;
		memcpy(block->bytes + block->end, bytes, step);
		block->end += (uint32_t)step;
		rx->kept += step;
		bytes += step;
		length -= step;
	}
	return true;
}

/* Copies the rest of `parts` after the first `done` bytes. */
static void keep_rest(struct rx_pipe *rx, const struct iovec *parts, size_t count, size_t done)
{
	for (size_t i = 0; i < count && !rx->broken; i++) {
		size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;
		done -= skip;
		if (!keep(rx, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip))
			rx->broken = true;
	}
}

void rx_pipe_put_own(struct rx_pipe *rx, const void *bytes, size_t length, size_t stands_for)
{
	rx->own += length;
	rx->stands_for += stands_for;
	rx_pipe_put(rx, bytes, length);
}

void rx_pipe_put(struct rx_pipe *rx, const void *bytes, size_t length)
{
	if (!keep(rx, bytes, length))
		rx->broken = true;
}

/* Returns the bytes that the client accepted, 0 if it accepts none now, -1 if it is gone. */
static ssize_t write_client(const struct rx_pipe *rx, struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t sent;
	do
		sent = sendmsg(poller_descriptor(rx->client), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

/* The stream's share of the bytes that the client accepted. */
static size_t of_stream(struct rx_pipe *rx, size_t bytes)
{
	size_t own = bytes < rx->own ? bytes : rx->own, stands_for = 0;
	rx->own -= own;
	if (rx->own == 0) {
		stands_for = rx->stands_for;
		rx->stands_for = 0;
	}
	size_t done = bytes - own + stands_for, added = done < rx->added ? done : rx->added;
	rx->added -= added;
	return done - added;
}

/* Removes written bytes from the blocks; returns the number beyond them. */
static size_t drop_written(struct rx_pipe *rx, size_t written)
{
	while (rx->first != NULL) {
		struct block *block = rx->first;
		uint32_t step = written < block->end - block->start ? (uint32_t)written : block->end - block->start;
		block->start += step;
		rx->kept -= step;
		written -= step;
		if (block->start < block->end)
			return 0;
		rx->first = block->next;
		block_pool_give(pool_of(rx), block);
	}
	rx->last = NULL;
	return written;
}

/* Writes with one call: blocks first, then parts, at most `most` bytes. *wanted gets the number of bytes tried. */
static ssize_t write_once(struct rx_pipe *rx, const struct iovec *parts, size_t count, size_t most, size_t *wanted)
{
	struct iovec all[BLOCKS_A_CALL + RX_PIPE_PARTS];
	size_t used = 0;
	struct block *block = rx->first;
	for (; block != NULL && used < BLOCKS_A_CALL; block = block->next)
		all[used++] = (struct iovec){ .iov_base = block->bytes + block->start, .iov_len = block->end - block->start };
	for (size_t i = 0; i < count && i < RX_PIPE_PARTS && block == NULL; i++)
		all[used++] = parts[i];
	*wanted = 0;
	for (size_t i = 0; i < used; i++) {
		if (all[i].iov_len > most - *wanted)
			all[i].iov_len = most - *wanted;
		*wanted += all[i].iov_len;
	}
	return write_client(rx, all, used);
}

static size_t count_bytes(const struct iovec *parts, size_t count)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	return bytes;
}

/* What limits.total_bytes permits; `written` is not counted yet. Our own bytes, which may be a reply that says so, are written all the same, but
 * not what waits behind them. */
static size_t quota_allowance(const struct rx_pipe *rx, size_t written)
{
	size_t left = tunnel_quota_left(rx->tunnel), used = written + rx->stands_for;
	if (left == SIZE_MAX)
		return SIZE_MAX;
	return rx->own + (left > used ? left - used : 0);
}

/* True when a limit forbids writing: the rate limit until its deadline, limits.total_bytes for good. */
static bool is_held_back(struct rx_pipe *rx, size_t written, size_t *allowed)
{
	size_t most = quota_allowance(rx, written);
	if (most == 0) {
		rx->broken = true;
		return true;
	}
	uint64_t again = LOOP_NEVER;
	*allowed = bucket_allowance(&rx->tunnel->rx_limit, most, loop_now(loop_of(rx)), &again);
	if (*allowed > 0)
		return false;
	rx->waiting = true;
	unwatch(rx);
	deadline_set(loop_of(rx), &rx->throttle, again);
	return true;
}

/* Writes until everything is written or the client accepts no more; the rest of the parts is kept. Returns the stream's bytes written. A broken
 * connection is ended later, because the stack may be in the middle of a call. */
static size_t write_all(struct rx_pipe *rx, const struct iovec *parts, size_t count)
{
	size_t total = 0, done = 0, left = count_bytes(parts, count), allowed, wanted;
	while ((rx->first != NULL || left > 0) && !rx->waiting && !rx->broken && !is_held_back(rx, total, &allowed)) {
		/* A partly written part is copied, not split; this happens only with slow or throttled clients. */
		ssize_t sent = write_once(rx, parts, done == 0 ? count : 0, allowed, &wanted);
		if (sent < 0) {
			rx->broken = true;
			break;
		}
		bucket_spend(&rx->tunnel->rx_limit, (size_t)sent);
		total += of_stream(rx, (size_t)sent);
		size_t of_parts = drop_written(rx, (size_t)sent);
		done += of_parts;
		left -= of_parts;
		if (of_parts > 0 && left > 0) {
			keep_rest(rx, parts, count, done);
			left = 0;
		}
		if ((size_t)sent < wanted)
			watch(rx);
	}
	if (left > 0 && !rx->broken)
		keep_rest(rx, parts, count, done);
	return total;
}

static size_t write_or_keep(struct rx_pipe *rx, const struct iovec *parts, size_t count)
{
	if (rx->broken)
		return 0;
	if (rx->client == NULL) {
		keep_rest(rx, parts, count, 0);
		return 0;
	}
	return write_all(rx, parts, count);
}

static struct iovec *parts_of(const struct rx_pipe *rx)
{
	return (struct iovec *)rx->parts->bytes;
}

size_t rx_pipe_flush(struct rx_pipe *rx)
{
	bool has_parts = rx->parts != NULL;
	size_t taken = write_or_keep(rx, has_parts ? parts_of(rx) : NULL, has_parts ? rx->part_count : 0);
	drop_parts(rx);
	return taken;
}

/* Room for `count` more parts. */
static bool can_gather(struct rx_pipe *rx, size_t count)
{
	if (rx->tunnel->settling || rx->client == NULL || rx->part_count + count > RX_PIPE_PARTS)
		return false;
	if (rx->parts == NULL)
		rx->parts = block_pool_take(pool_of(rx), false);
	return rx->parts != NULL;
}

size_t rx_pipe_show(struct rx_pipe *rx, const struct iovec *parts, size_t count)
{
	size_t taken = 0;
	if (!can_gather(rx, count)) {
		taken = rx_pipe_flush(rx);
		if (!can_gather(rx, count)) {
			for (size_t at = 0; at < count; at += RX_PIPE_PARTS)
				taken += write_or_keep(rx, parts + at, count - at < RX_PIPE_PARTS ? count - at : RX_PIPE_PARTS);
			return taken;
		}
	}
	memcpy(parts_of(rx) + rx->part_count, parts, count * sizeof(*parts));
	rx->part_count += count;
	return taken;
}

void rx_pipe_add(struct rx_pipe *rx, const void *bytes, size_t length)
{
	if (rx->parts != NULL)
		keep_rest(rx, parts_of(rx), rx->part_count, 0);
	drop_parts(rx);
	rx->added += length;
	rx_pipe_put(rx, bytes, length);
}

size_t rx_pipe_go_on(struct rx_pipe *rx)
{
	rx->waiting = false;
	size_t taken = rx_pipe_flush(rx);
	if (!rx->waiting)
		unwatch(rx);
	return taken;
}
