#include "tests/netstack/link.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct arrival {
	uint64_t at;
	uint64_t order;
	int side;
	size_t length;
	uint8_t *bytes;
};

struct link {
	struct link_side sides[2];
	uint64_t now;
	uint64_t random;
	uint64_t batch;
	uint64_t wake;
	uint64_t grain;
	struct arrival *heap;
	size_t count, capacity;
	uint64_t order;
	void (*step)(void *owner);
	void *step_owner;
	struct link *self[2];
};

static unsigned links; /* the process's share is started with the first and stopped with the last */

static uint64_t next_random(struct link *link)
{
	link->random ^= link->random << 13;
	link->random ^= link->random >> 7;
	link->random ^= link->random << 17;
	return link->random * 2685821657736338717ull;
}

double link_random(struct link *link)
{
	return (double)(next_random(link) >> 11) * 0x1p-53;
}

static bool is_before(const struct arrival *one, const struct arrival *other)
{
	return one->at < other->at || (one->at == other->at && one->order < other->order);
}

static void push(struct link *link, struct arrival arrival)
{
	if (link->count == link->capacity) {
		link->capacity *= 2;
		link->heap = realloc(link->heap, link->capacity * sizeof(*link->heap));
	}
	size_t i = link->count++;
	while (i > 0 && is_before(&arrival, &link->heap[(i - 1) / 2])) {
		link->heap[i] = link->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	link->heap[i] = arrival;
}

static struct arrival pop(struct link *link)
{
	struct arrival first = link->heap[0], last = link->heap[--link->count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= link->count)
			break;
		if (child + 1 < link->count && is_before(&link->heap[child + 1], &link->heap[child]))
			child++;
		if (!is_before(&link->heap[child], &last))
			break;
		link->heap[i] = link->heap[child];
		i = child;
	}
	if (link->count > 0)
		link->heap[i] = last;
	return first;
}

static uint64_t round_up(uint64_t time, uint64_t grain)
{
	return grain > 0 && time != NETSTACK_NEVER ? (time + grain - 1) / grain * grain : time;
}

static void schedule(struct link *link, int to, const struct iovec *parts, size_t count, size_t length, uint64_t at)
{
	uint8_t *bytes = malloc(length), *end = bytes;

	if (bytes == NULL) /* as a test of memory wants it: the packet is lost */
		return;
	for (size_t i = 0; i < count; i++) {
		memcpy(end, parts[i].iov_base, parts[i].iov_len);
		end += parts[i].iov_len;
	}
	push(link, (struct arrival){ round_up(at, link->sides[to].wake_grain), link->order++, to, length, bytes });
}

static bool is_lost(struct link *link, struct link_side *side, unsigned version, size_t length)
{
	const struct link_profile *out = &side->out;

	if (link->now >= out->down_from && link->now < out->down_until)
		return true;
	if (out->size_max > 0 && length > out->size_max && (version == 4 || !out->is_size_of4))
		return true;
	if (side->in_burst) {
		side->in_burst = link_random(link) >= 1 / (out->burst_length > 0 ? out->burst_length : 4);
		return true;
	}
	if (out->loss <= 0 || link_random(link) >= out->loss)
		return false;
	side->in_burst = out->burst > 0 && link_random(link) < out->burst;
	return true;
}

static void carry(struct link *link, int index, const struct iovec *parts, size_t count, size_t length)
{
	struct link_side *side = &link->sides[index];
	const struct link_profile *out = &side->out;

	side->packets++;
	side->bytes += length;
	if (length > 100)
		side->data_packets++;
	if (is_lost(link, side, *(const uint8_t *)parts[0].iov_base >> 4, length)) {
		side->losses++;
		return;
	}
	uint64_t waiting = side->busy_until > link->now ? side->busy_until - link->now : 0;
	side->queue_sum += waiting;
	if (waiting > side->queue_max)
		side->queue_max = waiting;
	if (out->rate > 0 && waiting > out->queue) {
		side->queue_drops++;
		return;
	}
	side->busy_until = link->now + waiting + (out->rate > 0 ? (uint64_t)((double)length * 8e9 / out->rate) : 0);
	uint64_t at = side->busy_until + out->delay;
	if (out->reorder > 0 && link_random(link) < out->reorder)
		at += MS + (uint64_t)(link_random(link) * 2 * (double)MS);
	schedule(link, !index, parts, count, length, at);
	if (out->duplicate > 0 && link_random(link) < out->duplicate)
		schedule(link, !index, parts, count, length, at + (uint64_t)(link_random(link) * 3 * (double)MS));
}

static bool output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct link **self = owner;
	struct link *link = *self;
	int index = (int)(self - link->self);
	struct link_side *side = &link->sides[index];

	if (side->is_refusing || (side->has_room_limit && side->room == 0))
		return false;
	if (side->has_room_limit)
		side->room--;
	if (side->spy != NULL) {
		uint8_t packet[9100];
		size_t at = 0;
		for (size_t i = 0; i < count; i++) {
			memcpy(packet + at, parts[i].iov_base, parts[i].iov_len);
			at += parts[i].iov_len;
		}
		side->spy(side->spy_owner, packet, at);
	}
	carry(link, index, parts, count, length);
	return true;
}

struct netstack_endpoint link_address(int side, uint8_t family, uint16_t port)
{
	struct netstack_endpoint address = { .family = family, .port = port };

	if (family == AF_INET) {
		memcpy(address.bytes, (uint8_t[]){ 10, 0, 0, (uint8_t)(side + 1) }, 4);
	} else {
		address.bytes[0] = 0xfd;
		address.bytes[15] = (uint8_t)(side + 1);
	}
	return address;
}

static bool reaches(void *owner, const struct netstack_endpoint *address)
{
	struct link **self = owner, *link = *self;

	return address->port != link->sides[self - link->self].unreached_port;
}

struct link *link_create(uint64_t seed, size_t memory_budget)
{
	struct link *link = calloc(1, sizeof(*link));
	struct netstack_limits limits = { .memory_budget = memory_budget };

	link->random = 88172645463325252ull ^ (seed * 0x9E3779B97F4A7C15ull);
	link->now = 1000 * SECOND;
	link->capacity = 256;
	link->heap = malloc(link->capacity * sizeof(*link->heap));
	link->wake = NETSTACK_NEVER;
	for (size_t i = 0; i < sizeof(limits.seed); i++)
		limits.seed[i] = (uint8_t)(next_random(link) >> 24);
	if (links++ == 0)
		netstack_start(&limits);
	for (int i = 0; i < 2; i++) {
		struct netstack_config config = { .address_count = 2, .mtu = LINK_MTU };
		config.addresses[0] = link_address(i, AF_INET, 0);
		config.addresses[1] = link_address(i, AF_INET6, 0);
		link->self[i] = link;
		struct netstack_env env = { &link->self[i], output, reaches };
		if (netstack_create(&link->sides[i].stack, &config, &env, link->now) != 0)
			abort();
	}
	return link;
}

void link_remove(struct link *link, int side)
{
	netstack_free(link->sides[side].stack);
	link->sides[side].stack = NULL;
}

void link_free(struct link *link)
{
	link_remove(link, 0);
	link_remove(link, 1);
	while (link->count > 0)
		free(link->heap[--link->count].bytes);
	free(link->heap);
	free(link);
	if (--links == 0)
		netstack_stop();
}

struct link_side *link_side(struct link *link, int index)
{
	return &link->sides[index];
}

uint64_t link_now(const struct link *link)
{
	return link->now;
}

void link_set(struct link *link, const struct link_profile *profile)
{
	link->sides[0].out = link->sides[1].out = *profile;
}

void link_set_batch(struct link *link, uint64_t time)
{
	link->batch = time;
}

void link_on_step(struct link *link, void (*step)(void *owner), void *owner)
{
	link->step = step;
	link->step_owner = owner;
}

void link_set_timer_grain(struct link *link, uint64_t grain)
{
	link->grain = grain;
}

void link_wake(struct link *link, uint64_t at)
{
	if (at < link->wake)
		link->wake = at;
}

void link_inject(struct link *link, int side, const uint8_t *packet, size_t length)
{
	struct iovec part = { (void *)(uintptr_t)packet, length };
	schedule(link, side, &part, 1, length, link->now);
}

static uint64_t deadline_of(const struct link *link, int side)
{
	uint64_t deadline = link->sides[side].stack != NULL ? netstack_deadline(link->sides[side].stack) : NETSTACK_NEVER;

	return round_up(round_up(deadline, link->grain), link->sides[side].wake_grain);
}

static uint64_t next_time(const struct link *link)
{
	uint64_t next = link->count > 0 ? link->heap[0].at + link->batch : NETSTACK_NEVER;

	for (int i = 0; i < 2; i++) {
		uint64_t deadline = deadline_of(link, i);
		if (deadline < next)
			next = deadline;
	}
	if (link->wake < next)
		next = link->wake;
	return next > link->now ? next : link->now;
}

static void settle(struct link *link)
{
	for (int i = 0; i < 2; i++) {
		if (link->sides[i].stack != NULL)
			netstack_settle(link->sides[i].stack, link->now);
	}
}

/* The bytes of a batch stay until it is settled, and are then overwritten, as a slab is. */
static void deliver_batch(struct link *link)
{
	struct arrival batch[256];
	size_t count = 0;

	while (link->count > 0 && link->heap[0].at <= link->now && count < 256) {
		batch[count] = pop(link);
		struct netstack *stack = link->sides[batch[count].side].stack;
		if (stack != NULL)
			netstack_input(stack, batch[count].bytes, batch[count].length, link->now);
		count++;
	}
	settle(link);
	for (size_t i = 0; i < count; i++) {
		memset(batch[i].bytes, 0xa5, batch[i].length);
		free(batch[i].bytes);
	}
}

bool link_run(struct link *link, uint64_t until, bool (*done)(void *owner), void *owner)
{
	settle(link);
	for (;;) {
		if (done != NULL && done(owner))
			return true;
		uint64_t next = next_time(link);
		if (next > until) {
			if (until != NETSTACK_NEVER)
				link->now = until > link->now ? until : link->now;
			return done == NULL || done(owner);
		}
		link->now = next;
		if (link->wake <= next)
			link->wake = NETSTACK_NEVER;
		deliver_batch(link);
		for (int i = 0; i < 2; i++) {
			if (deadline_of(link, i) <= link->now)
				netstack_tick(link->sides[i].stack, link->now);
		}
		if (link->step != NULL)
			link->step(link->step_owner);
	}
}
