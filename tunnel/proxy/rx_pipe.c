#include "tunnel/proxy/rx_pipe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/tunnel.h"

#define BLOCKS_A_CALL 20
/* Blocks are at most half empty, so the copies take at most twice the memory that the window, and so the budget, counts for them. */
#define LARGE_FROM ((size_t)32 * 1024)

static struct loop *loop_of(const struct rx_pipe *downward)
{
	return downward->tunnel->context->loop;
}

static void watch(struct rx_pipe *downward)
{
	downward->waiting = true;
	poller_set(downward->client, poller_events(downward->client) | LOOP_WRITABLE);
}

static void unwatch(struct rx_pipe *downward)
{
	poller_set(downward->client, poller_events(downward->client) & ~LOOP_WRITABLE);
}

static void on_throttle(void *owner)
{
	watch(owner);
}

static struct pool *pool_of(const struct rx_pipe *downward)
{
	return downward->tunnel->context->pool;
}

static void drop_parts(struct rx_pipe *downward)
{
	pool_give(pool_of(downward), downward->parts);
	downward->parts = NULL;
	downward->part_count = 0;
}

void rx_pipe_init(struct rx_pipe *downward, struct tunnel *tunnel, struct poller *client)
{
	*downward = (struct rx_pipe){ .tunnel = tunnel, .client = client };
	deadline_init(&downward->throttle, on_throttle, downward);
}

void rx_pipe_clear(struct rx_pipe *downward)
{
	deadline_set(loop_of(downward), &downward->throttle, LOOP_NEVER);
	pool_give_all(pool_of(downward), downward->first);
	downward->first = downward->last = NULL;
	downward->own = downward->stands_for = downward->added = downward->kept = 0;
	drop_parts(downward);
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

bool rx_pipe_is_empty(const struct rx_pipe *downward)
{
	return downward->first == NULL && downward->part_count == 0;
}

static bool keep(struct rx_pipe *downward, const uint8_t *bytes, size_t length)
{
	while (length > 0) {
		struct block *block = downward->last;
		if (block == NULL || block->end == block->capacity) {
			block = pool_take(pool_of(downward), length >= LARGE_FROM || downward->kept >= 2 * LARGE_FROM);
			if (block == NULL)
				return false;
			if (downward->last == NULL)
				downward->first = block;
			else
				downward->last->next = block;
			downward->last = block;
		}
		size_t room = block->capacity - block->end;
		size_t step = length < room ? length : room;
		memcpy(block->bytes + block->end, bytes, step);
		block->end += (uint32_t)step;
		downward->kept += step;
		bytes += step;
		length -= step;
	}
	return true;
}

/* Copies the rest of `parts` after the first `done` bytes. */
static void keep_rest(struct rx_pipe *downward, const struct iovec *parts, size_t count, size_t done)
{
	for (size_t i = 0; i < count && !downward->broken; i++) {
		size_t skip = done < parts[i].iov_len ? done : parts[i].iov_len;
		done -= skip;
		if (!keep(downward, (const uint8_t *)parts[i].iov_base + skip, parts[i].iov_len - skip))
			downward->broken = true;
	}
}

void rx_pipe_put_own(struct rx_pipe *downward, const void *bytes, size_t length, size_t stands_for)
{
	downward->own += length;
	downward->stands_for += stands_for;
	rx_pipe_put(downward, bytes, length);
}

void rx_pipe_put(struct rx_pipe *downward, const void *bytes, size_t length)
{
	if (!keep(downward, bytes, length))
		downward->broken = true;
}

/* Returns the bytes that the client accepted, 0 if it accepts none now, -1 if it is gone. */
static ssize_t write_client(const struct rx_pipe *downward, struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t sent;
	do
		sent = sendmsg(poller_descriptor(downward->client), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

/* The stream's share of the bytes that the client accepted. */
static size_t of_stream(struct rx_pipe *downward, size_t bytes)
{
	size_t own = bytes < downward->own ? bytes : downward->own, stands_for = 0;
	downward->own -= own;
	if (downward->own == 0) {
		stands_for = downward->stands_for;
		downward->stands_for = 0;
	}
	size_t done = bytes - own + stands_for, added = done < downward->added ? done : downward->added;
	downward->added -= added;
	return done - added;
}

/* Removes written bytes from the blocks; returns the number beyond them. */
static size_t drop_written(struct rx_pipe *downward, size_t written)
{
	while (downward->first != NULL) {
		struct block *block = downward->first;
		uint32_t step = written < block->end - block->start ? (uint32_t)written : block->end - block->start;
		block->start += step;
		downward->kept -= step;
		written -= step;
		if (block->start < block->end)
			return 0;
		downward->first = block->next;
		pool_give(pool_of(downward), block);
	}
	downward->last = NULL;
	return written;
}

/* Writes with one call: blocks first, then parts, at most `most` bytes. *wanted gets the number of bytes tried. */
static ssize_t write_once(struct rx_pipe *downward, const struct iovec *parts, size_t count, size_t most, size_t *wanted)
{
	struct iovec all[BLOCKS_A_CALL + RX_PIPE_PARTS];
	size_t used = 0;
	struct block *block = downward->first;
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
	return write_client(downward, all, used);
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
static size_t quota_allowance(const struct rx_pipe *downward, size_t written)
{
	size_t left = tunnel_quota_left(downward->tunnel), used = written + downward->stands_for;
	if (left == SIZE_MAX)
		return SIZE_MAX;
	return downward->own + (left > used ? left - used : 0);
}

/* True when a limit forbids writing: the rate limit until its deadline, limits.total_bytes for good. */
static bool is_held_back(struct rx_pipe *downward, size_t written, size_t *allowed)
{
	size_t most = quota_allowance(downward, written);
	if (most == 0) {
		downward->broken = true;
		return true;
	}
	uint64_t again = LOOP_NEVER;
	*allowed = bucket_allowance(&downward->tunnel->rx_limit, most, loop_now(loop_of(downward)), &again);
	if (*allowed > 0)
		return false;
	downward->waiting = true;
	unwatch(downward);
	deadline_set(loop_of(downward), &downward->throttle, again);
	return true;
}

/* Writes until everything is written or the client accepts no more; the rest of the parts is kept. Returns the stream's bytes written. A broken
 * connection is ended later, because the stack may be in the middle of a call. */
static size_t write_all(struct rx_pipe *downward, const struct iovec *parts, size_t count)
{
	size_t total = 0, done = 0, left = count_bytes(parts, count), allowed, wanted;
	while ((downward->first != NULL || left > 0) && !downward->waiting && !downward->broken && !is_held_back(downward, total, &allowed)) {
		/* A partly written part is copied, not split; this happens only with slow or throttled clients. */
		ssize_t sent = write_once(downward, parts, done == 0 ? count : 0, allowed, &wanted);
		if (sent < 0) {
			downward->broken = true;
			break;
		}
		bucket_spend(&downward->tunnel->rx_limit, (size_t)sent);
		total += of_stream(downward, (size_t)sent);
		size_t of_parts = drop_written(downward, (size_t)sent);
		done += of_parts;
		left -= of_parts;
		if (of_parts > 0 && left > 0) {
			keep_rest(downward, parts, count, done);
			left = 0;
		}
		if ((size_t)sent < wanted)
			watch(downward);
	}
	if (left > 0 && !downward->broken)
		keep_rest(downward, parts, count, done);
	return total;
}

static size_t write_or_keep(struct rx_pipe *downward, const struct iovec *parts, size_t count)
{
	if (downward->broken)
		return 0;
	if (downward->client == NULL) {
		keep_rest(downward, parts, count, 0);
		return 0;
	}
	return write_all(downward, parts, count);
}

static struct iovec *parts_of(const struct rx_pipe *downward)
{
	return (struct iovec *)downward->parts->bytes;
}

size_t rx_pipe_flush(struct rx_pipe *downward)
{
	bool has_parts = downward->parts != NULL;
	size_t taken = write_or_keep(downward, has_parts ? parts_of(downward) : NULL, has_parts ? downward->part_count : 0);
	drop_parts(downward);
	return taken;
}

/* Room for `count` more parts. */
static bool can_gather(struct rx_pipe *downward, size_t count)
{
	if (downward->tunnel->settling || downward->client == NULL || downward->part_count + count > RX_PIPE_PARTS)
		return false;
	if (downward->parts == NULL)
		downward->parts = pool_take(pool_of(downward), false);
	return downward->parts != NULL;
}

size_t rx_pipe_show(struct rx_pipe *downward, const struct iovec *parts, size_t count)
{
	size_t taken = 0;
	if (!can_gather(downward, count)) {
		taken = rx_pipe_flush(downward);
		if (!can_gather(downward, count)) {
			for (size_t at = 0; at < count; at += RX_PIPE_PARTS)
				taken += write_or_keep(downward, parts + at, count - at < RX_PIPE_PARTS ? count - at : RX_PIPE_PARTS);
			return taken;
		}
	}
	memcpy(parts_of(downward) + downward->part_count, parts, count * sizeof(*parts));
	downward->part_count += count;
	return taken;
}

void rx_pipe_add(struct rx_pipe *downward, const void *bytes, size_t length)
{
	if (downward->parts != NULL)
		keep_rest(downward, parts_of(downward), downward->part_count, 0);
	drop_parts(downward);
	downward->added += length;
	rx_pipe_put(downward, bytes, length);
}

size_t rx_pipe_go_on(struct rx_pipe *downward)
{
	downward->waiting = false;
	size_t taken = rx_pipe_flush(downward);
	if (!downward->waiting)
		unwatch(downward);
	return taken;
}
