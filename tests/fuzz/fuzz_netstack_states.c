/* P7: TCP in every state. Two stacks connect to each other both ways; what passes between them, what is made up, and what their owners do is
 * chosen by the input: orders of eight bytes. A made-up segment's numbers are relative to what its target said last. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/netstack.h"
#include "netstack/packet/packet.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/owner.h"

#define MS 1000000ull
#define ENDS 8
#define FLOWS 16
#define QUEUE 64
#define ORDERS_MAX 500
#define BUDGET ((size_t)1 << 20)
#define USED_MAX (2 * BUDGET)       /* what was offered before the budget was spent may still come */
#define HEAP_MAX ((size_t)16 << 20) /* lwIP's part and the tables are not in the budget */
#define PACKETS_MAX 5000            /* of a step */
#define TICKS_MAX 20000             /* of a step */
#define STRANGER 3                  /* an address at which nobody answers but the input */

enum order {
	ORDER_SEGMENT, /* made up, for a flow that was seen */
	ORDER_SEGMENT_TOO,
	ORDER_SYN, /* the first segment of a new flow */
	ORDER_DELIVER,
	ORDER_DROP,
	ORDER_DOUBLE,
	ORDER_CONNECT,
	ORDER_WRITE,
	ORDER_CONSUME,
	ORDER_FINISH,
	ORDER_ABORT,
	ORDER_RELEASE,
	ORDER_TIME,
	ORDER_ROOM,
	ORDER_KICK,
	ORDER_ACCEPT, /* what becomes of connections that come in */
	ORDER_LISTEN, /* the listener goes, or comes back */
	ORDER_COUNT,
};

enum accept { ACCEPT_KEEP, ACCEPT_ABORT, ACCEPT_RELEASE, ACCEPT_COUNT };

struct end {
	struct netstack_stream *stream; /* NULL: free */
	size_t unread;
};

struct queued {
	uint8_t *bytes;
	size_t length;
};

struct side {
	unsigned index;
	struct netstack *stack;
	struct netstack_listener *listeners[2];
	struct end ends[ENDS];
	struct queued queue[QUEUE]; /* what it sent */
	size_t queue_count;
	bool has_room;
	enum accept accept;
};

/* By side: where it is, the number after its last byte, and the number that it expects. */
struct flow {
	struct netstack_endpoint at[2];
	uint32_t next[2], expected[2];
};

static struct {
	struct side sides[2];
	struct flow flows[FLOWS];
	size_t flow_count; /* ever; the oldest is forgotten */
	uint64_t now;
	size_t packets, ticks; /* of this step */
} world;

/* Of the sanitizer's runtime, where there is one. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak)); /* NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static size_t heap_used(void)
{
	return __sanitizer_get_current_allocated_bytes != NULL ? __sanitizer_get_current_allocated_bytes() : 0;
}

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* --- what leaves --- */

static bool is_same(const struct netstack_endpoint *one, const struct netstack_endpoint *other)
{
	return one->family == other->family && one->port == other->port && memcmp(one->bytes, other->bytes, sizeof(one->bytes)) == 0;
}

static struct flow *flow_of(unsigned side, const struct netstack_endpoint *here, const struct netstack_endpoint *there)
{
	for (size_t i = 0; i < FLOWS && i < world.flow_count; i++) {
		struct flow *flow = &world.flows[i];
		if (is_same(&flow->at[side], here) && is_same(&flow->at[!side], there))
			return flow;
	}
	struct flow *flow = &world.flows[world.flow_count++ % FLOWS];
	*flow = (struct flow){ .next = { 1, 1 }, .expected = { 1, 1 } };
	flow->at[side] = *here;
	flow->at[!side] = *there;
	return flow;
}

static void note(unsigned side, uint8_t *bytes, size_t length)
{
	struct packet packet;
	struct segment segment;

	if (!packet_parse(&packet, bytes, length) || packet.protocol != PACKET_TCP)
		return;
	check(packet_is_sound(&packet));
	packet_segment(&packet, &segment);
	struct netstack_endpoint here = { .family = packet.family, .port = segment.source };
	struct netstack_endpoint there = { .family = packet.family, .port = segment.target };
	size_t size = packet.family == AF_INET ? 4 : 16;
	memcpy(here.bytes, packet.source, size);
	memcpy(there.bytes, packet.target, size);
	struct flow *flow = flow_of(side, &here, &there);
	if (segment.flags & SEGMENT_RST)
		return;
	flow->next[side] = segment.sequence + (uint32_t)segment.length + ((segment.flags & SEGMENT_SYN) != 0) + ((segment.flags & SEGMENT_FIN) != 0);
	if (segment.flags & SEGMENT_ACK)
		flow->expected[side] = segment.acknowledgement;
}

static bool output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct side *side = owner;
	size_t at = 0;

	if (!side->has_room)
		return false;
	check(++world.packets <= PACKETS_MAX);
	uint8_t *bytes = malloc(length);
	for (size_t i = 0; i < count; i++) {
		memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	check(at == length);
	note(side->index, bytes, length);
	if (side->queue_count == QUEUE) {
		free(bytes); /* a queue that is full loses the newest */
		return true;
	}
	side->queue[side->queue_count++] = (struct queued){ bytes, length };
	return true;
}

/* --- the owners --- */

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct end *end = owner;

	check(owner_look(parts, count) == length);
	end->unread += length;
}

static void on_closed(void *owner, enum netstack_error why)
{
	(void)why;
	*(struct end *)owner = (struct end){ .stream = NULL };
}

static const struct netstack_stream_events events = { owner_ignore, on_received, owner_ignore, owner_ignore_acknowledged, on_closed };

static struct end *free_end(struct side *side)
{
	for (size_t i = 0; i < ENDS; i++)
		if (side->ends[i].stream == NULL)
			return &side->ends[i];
	return NULL;
}

static void on_accept(void *owner, struct netstack_stream *stream)
{
	struct side *side = owner;
	struct end *end = free_end(side);

	if (end == NULL || side->accept == ACCEPT_ABORT) {
		netstack_stream_abort(stream, world.now);
	} else if (side->accept == ACCEPT_RELEASE) {
		netstack_stream_release(stream, world.now);
	} else {
		*end = (struct end){ .stream = stream };
		netstack_stream_set_owner(stream, &events, end);
	}
}

/* --- orders --- */

static struct netstack_endpoint address(bool is4, uint8_t last, uint16_t port)
{
	struct netstack_endpoint endpoint = { .family = is4 ? AF_INET : AF_INET6, .port = port };

	endpoint.bytes[0] = is4 ? 10 : 0xfd;
	endpoint.bytes[is4 ? 3 : 15] = last;
	return endpoint;
}

static void feed(struct side *side, const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length);

	memcpy(copy, bytes, length);
	netstack_input(side->stack, copy, length, world.now);
	netstack_settle(side->stack, world.now);
	free(copy);
}

static uint32_t distance(uint8_t what)
{
	static const uint32_t edges[] = {
		0,      1,          (uint32_t)-1, 2,          100,        1380,       65534,      65535,          65536,           262143,
		262144, 0x7fffffff, 0x80000000,   0x80000001, 0x80000400, 0xbfffffff, 0x40000000, (uint32_t)-100, (uint32_t)-1380, (uint32_t)-65535
	};
	return what < sizeof(edges) / sizeof(edges[0]) ? edges[what] : (uint32_t)(int8_t)what;
}

static size_t write_options(uint8_t *options, uint8_t kind, uint32_t place)
{
	static const uint8_t syn[] = { 2, 4, 5, 100, 1, 3, 3, 7, 1, 1, 4, 2 };

	switch (kind % 4) {
	case 1: memcpy(options, syn, sizeof(syn)); return sizeof(syn);
	case 2: memcpy(options, (const uint8_t[]){ 2, 4, 0, 1, 3, 3, 14, 0 }, 8); return 8;
	case 3:
		memcpy(options, (const uint8_t[]){ 1, 1, 5, 10 }, 4);
		packet_write32(options + 4, place + distance(kind / 4 % 32));
		packet_write32(options + 8, place + distance(kind / 4 % 32) + 1 + kind);
		return 12;
	}
	return 0;
}

/* order: kind, flow, side and options, flags, sequence, acknowledgement, length, window. */
static void order_segment(const struct flow *flow, const uint8_t *order)
{
	static const uint8_t payload[2048];
	static const uint16_t lengths[] = { 0, 1, 2, 8, 100, 536, 1380, 2048 };
	static const uint16_t windows[] = { 0, 1, 100, 1380, 8192, 32768, 65534, 65535 };
	unsigned to = order[2] & 1;
	uint8_t packet[2200], options[12];
	struct craft_tcp tcp = { .sequence = flow->expected[to] + distance(order[4]),
		                 .acknowledgement = flow->next[to] + distance(order[5]),
		                 .flags = order[3] & 0x3f,
		                 .window = windows[order[7] % 8],
		                 .options = options,
		                 .options_length = write_options(options, order[2] >> 1, flow->next[to]),
		                 .payload = payload,
		                 .length = lengths[order[6] % 8] };

	feed(&world.sides[to], packet, craft_tcp(packet, &flow->at[!to], &flow->at[to], &tcp));
}

static void order_syn(const uint8_t *order)
{
	unsigned to = order[2] & 1;
	bool is4 = order[1] & 1;
	struct netstack_endpoint from = address(is4, order[1] & 2 ? STRANGER : (uint8_t)(2 - to), (uint16_t)(4000 + order[1] / 4 % 8));
	struct netstack_endpoint at = address(is4, (uint8_t)(1 + to), order[1] & 0x80 ? 81 : 80);

	order_segment(flow_of(to, &at, &from), order);
}

static void take_first(struct side *side, struct queued *first)
{
	*first = side->queue[0];
	memmove(side->queue, side->queue + 1, --side->queue_count * sizeof(side->queue[0]));
}

static void order_deliver(enum order order, struct side *from, size_t count)
{
	for (size_t i = 0; i < count && from->queue_count > 0; i++) {
		struct queued first;
		take_first(from, &first);
		if (order != ORDER_DROP)
			feed(&world.sides[!from->index], first.bytes, first.length);
		if (order == ORDER_DOUBLE)
			feed(&world.sides[!from->index], first.bytes, first.length);
		free(first.bytes);
	}
}

static void order_connect(struct side *side, const uint8_t *order)
{
	struct end *end = free_end(side);
	struct netstack_endpoint to = address(order[3] & 1, order[3] & 2 ? STRANGER : (uint8_t)(2 - side->index), order[3] & 4 ? 81 : 80);

	if (end == NULL || netstack_stream_connect(side->stack, &to, &events, end, world.now, &end->stream) != 0)
		return;
	end->unread = 0;
	netstack_settle(side->stack, world.now);
}

static void order_stream(enum order order, struct side *side, const uint8_t *bytes)
{
	static const uint8_t data[1 << 17];
	struct end *end = &side->ends[bytes[3] % ENDS];

	if (end->stream == NULL)
		return;
	if (order == ORDER_WRITE) {
		netstack_stream_write(end->stream, data, 1 + packet_read16(bytes + 4) * 2u, world.now);
	} else if (order == ORDER_CONSUME) {
		size_t unread = bytes[4] & 1 ? end->unread / 2 : end->unread;
		end->unread -= unread;
		netstack_stream_consumed(end->stream, unread, world.now);
	} else if (order == ORDER_FINISH) {
		netstack_stream_finish(end->stream, world.now);
	} else if (order == ORDER_ABORT) {
		netstack_stream_abort(end->stream, world.now);
		end->stream = NULL;
	} else {
		netstack_stream_release(end->stream, world.now);
		end->stream = NULL;
	}
	netstack_settle(side->stack, world.now);
}

static uint64_t next_deadline(void)
{
	uint64_t one = netstack_deadline(world.sides[0].stack), other = netstack_deadline(world.sides[1].stack);
	return one < other ? one : other;
}

/* Both clocks are one. A deadline that is not later after its tick would hold the worker's loop. */
static void order_time(uint64_t passed)
{
	uint64_t until = world.now + passed;

	for (uint64_t at = next_deadline(); at <= until; at = next_deadline()) {
		check(++world.ticks <= TICKS_MAX);
		world.now = at > world.now ? at : world.now;
		for (unsigned i = 0; i < 2; i++)
			if (netstack_deadline(world.sides[i].stack) <= world.now)
				netstack_tick(world.sides[i].stack, world.now);
	}
	world.now = until;
}

static void listen_at(struct side *side, bool is4)
{
	struct netstack_endpoint at = address(is4, (uint8_t)(1 + side->index), 80);
	check(netstack_listen(side->stack, &at, on_accept, side, &side->listeners[is4]) == 0);
}

static void order_listen(struct side *side, bool is4)
{
	if (side->listeners[is4] == NULL) {
		listen_at(side, is4);
		return;
	}
	netstack_listener_free(side->listeners[is4]);
	side->listeners[is4] = NULL;
}

static void run_order(const uint8_t *order)
{
	enum order kind = (enum order)(order[0] % ORDER_COUNT);
	struct side *side = &world.sides[order[2] & 1];

	switch (kind) {
	case ORDER_SEGMENT:
	case ORDER_SEGMENT_TOO: order_segment(&world.flows[order[1] % FLOWS % (world.flow_count + 1)], order); break;
	case ORDER_SYN: order_syn(order); break;
	case ORDER_DELIVER:
	case ORDER_DROP:
	case ORDER_DOUBLE: order_deliver(kind, side, order[3]); break;
	case ORDER_CONNECT: order_connect(side, order); break;
	case ORDER_WRITE:
	case ORDER_CONSUME:
	case ORDER_FINISH:
	case ORDER_ABORT:
	case ORDER_RELEASE: order_stream(kind, side, order); break;
	case ORDER_TIME: order_time((uint64_t)order[3] * order[3] * order[3] * (MS / 1000)); break; /* up to 17 s */
	case ORDER_ROOM:
		side->has_room = order[3] & 1;
		if (side->has_room)
			netstack_writable(side->stack, world.now);
		break;
	case ORDER_KICK: netstack_kick(side->stack, world.now); break;
	case ORDER_ACCEPT: side->accept = (enum accept)(order[3] % ACCEPT_COUNT); break;
	case ORDER_LISTEN: order_listen(side, order[3] & 1); break;
	case ORDER_COUNT: break;
	}
}

/* --- life --- */

static void open_side(unsigned index)
{
	struct side *side = &world.sides[index];
	struct netstack_config config = { .address_count = 2, .mtu = 1420 };
	const struct netstack_env env = { .owner = side, .output = output };

	side->index = index;
	side->has_room = true;
	config.addresses[0] = address(true, (uint8_t)(1 + index), 0);
	config.addresses[1] = address(false, (uint8_t)(1 + index), 0);
	check(netstack_create(&side->stack, &config, &env, world.now) == 0);
	listen_at(side, true);
	listen_at(side, false);
}

static void close_side(struct side *side)
{
	netstack_free(side->stack);
	while (side->queue_count > 0)
		free(side->queue[--side->queue_count].bytes);
	for (size_t i = 0; i < ENDS; i++)
		check(side->ends[i].stream == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct netstack_limits limits = { .seed = { 1 }, .memory_budget = BUDGET };
	size_t before = heap_used();

	memset(&world, 0, sizeof(world));
	world.now = 1000000 * MS;
	netstack_start(&limits);
	for (unsigned i = 0; i < 2; i++)
		open_side(i);
	for (size_t orders = 0; orders < ORDERS_MAX && length >= 8; orders++, bytes += 8, length -= 8) {
		world.packets = world.ticks = 0;
		run_order(bytes);
		check(netstack_memory_used() <= USED_MAX);
		check(heap_used() <= before + HEAP_MAX);
	}
	for (unsigned i = 0; i < 2; i++)
		close_side(&world.sides[i]);
	check(netstack_memory_used() == 0);
	netstack_stop();
	return 0;
}
