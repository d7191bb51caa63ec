/* Packets into a stack with an open stream each way, a listener, a flow, a ping and a resolver that waits.
 * The input is a list of orders, each an opcode, a length and bytes; checksums and addresses are put right where that helps. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/netstack.h"
#include "netstack/packet/packet.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/owner.h"

#define MS 1000000ull
#define PACKET_MAX 9000

enum order {
	ORDER_RAW,     /* a packet as it is */
	ORDER_TCP,     /* flags, sequence and acknowledgement relative to the stream's, window, options, payload */
	ORDER_TCP_IN,  /* the same for the connection that came in */
	ORDER_TCP_NEW, /* to the listener or anywhere */
	ORDER_UDP,
	ORDER_ICMP,
	ORDER_ICMP_ERROR, /* about the last packet that left */
	ORDER_FRAGMENT,
	ORDER_TIME,
	ORDER_WRITE,
	ORDER_CONSUME,
	ORDER_FINISH,
	ORDER_ROOM,
	ORDER_KICK,
	ORDER_RESOLVE,
	ORDER_RELEASE,
	ORDER_COUNT,
};

struct end {
	struct netstack_stream *stream;
	struct netstack_endpoint local, remote;
	uint32_t next, acknowledgement; /* the far end's numbers */
	size_t unread;
};

static struct {
	struct netstack *stack;
	uint64_t now;
	bool has_room;
	uint8_t last[2048];
	size_t last_length;
	struct end out, in;
	struct netstack_query *query;
} world;

static bool output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)owner;
	world.last_length = 0;
	for (size_t i = 0; i < count; i++) {
		size_t room = sizeof(world.last) - world.last_length;
		size_t part = parts[i].iov_len < room ? parts[i].iov_len : room;
		memcpy(world.last + world.last_length, parts[i].iov_base, part);
		world.last_length += part;
	}
	(void)length;
	return world.has_room;
}

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct end *end = owner;

	if (owner_look(parts, count) != length)
		abort();
	end->unread += length;
}

static void on_closed(void *owner, enum netstack_error why)
{
	(void)why;
	((struct end *)owner)->stream = NULL;
}

static const struct netstack_stream_events events = { owner_ignore, on_received, owner_ignore, owner_ignore_acknowledged, on_closed };

static void on_accept(void *owner, struct netstack_stream *stream)
{
	struct end *end = owner;

	if (end->stream != NULL) {
		netstack_stream_abort(stream, world.now);
		return;
	}
	end->stream = stream;
	netstack_stream_set_owner(stream, &events, end);
}

static void on_ping(void *owner, uint64_t round_trip)
{
	(void)owner;
	(void)round_trip;
}

static void on_answer(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	(void)owner;
	(void)error;
	(void)addresses;
	(void)count;
	if (!more)
		world.query = NULL;
}

static struct netstack_endpoint address(uint8_t family, uint8_t last, uint16_t port)
{
	struct netstack_endpoint endpoint = { .family = family, .port = port };

	endpoint.bytes[0] = family == AF_INET ? 10 : 0xfd;
	endpoint.bytes[family == AF_INET ? 3 : 15] = last;
	return endpoint;
}

static void feed(const uint8_t *packet, size_t length)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);

	memcpy(copy, packet, length);
	netstack_input(world.stack, copy, length, world.now);
	netstack_settle(world.stack, world.now);
	free(copy);
}

static void feed_tcp(const struct end *end, const struct craft_tcp *tcp)
{
	uint8_t packet[PACKET_MAX + 200];
	feed(packet, craft_tcp(packet, &end->remote, &end->local, tcp));
}

static const uint8_t syn_options[] = { 2, 4, 5, 100, 1, 3, 3, 7, 1, 1, 4, 2 };

/* Plays the far end's part of both handshakes. */
static void shake_hands(void)
{
	struct end *out = &world.out, *in = &world.in;

	out->remote = address(AF_INET, 2, 80);
	if (netstack_stream_connect(world.stack, &out->remote, &events, out, world.now, &out->stream) != 0)
		abort();
	netstack_stream_local(out->stream, &out->local);
	out->acknowledgement = packet_read32(world.last + 24) + 1;
	out->next = 0xfffff000;
	feed_tcp(out, &(struct craft_tcp){ out->next - 1, out->acknowledgement, SEGMENT_SYN | SEGMENT_ACK, 60000, syn_options, 12, NULL, 0 });
	in->remote = address(AF_INET6, 2, 4000);
	in->local = address(AF_INET6, 1, 8080);
	in->next = 1000;
	feed_tcp(in, &(struct craft_tcp){ in->next - 1, 0, SEGMENT_SYN, 60000, syn_options, 12, NULL, 0 });
	in->acknowledgement = packet_read32(world.last + 44) + 1;
	feed_tcp(in, &(struct craft_tcp){ in->next, in->acknowledgement, SEGMENT_ACK, 60000, NULL, 0, NULL, 0 });
	if (out->stream == NULL || in->stream == NULL)
		abort();
}

static void order_tcp(const struct end *end, const uint8_t *bytes, size_t length)
{
	struct craft_tcp tcp = { .sequence = end->next, .acknowledgement = end->acknowledgement };

	if (length < 8)
		return;
	tcp.flags = bytes[0];
	tcp.options_length = (size_t)(bytes[1] % 11) * 4;
	tcp.sequence += (uint32_t)(int16_t)packet_read16(bytes + 2) * (bytes[1] & 0x80 ? 100 : 1);
	tcp.acknowledgement += (uint32_t)(int16_t)packet_read16(bytes + 4) * (bytes[1] & 0x40 ? 100 : 1);
	tcp.window = packet_read16(bytes + 6);
	bytes += 8;
	length -= 8;
	if (tcp.options_length > length)
		tcp.options_length = length & ~(size_t)3;
	tcp.options = bytes;
	tcp.payload = bytes + tcp.options_length;
	tcp.length = length - tcp.options_length;
	feed_tcp(end, &tcp);
}

static void order_packet(enum order order, const uint8_t *bytes, size_t length)
{
	uint8_t packet[PACKET_MAX + 200];
	struct netstack_endpoint from = address(AF_INET, 2, 53), to = address(AF_INET, 1, 5353);

	if (length < 4)
		return;
	if (bytes[0] & 1) {
		from = address(AF_INET6, 2, 53);
		to = address(AF_INET6, 1, 5353);
	}
	if (order == ORDER_UDP) {
		feed(packet, craft_udp(packet, &from, &to, bytes + 1, length - 1));
	} else if (order == ORDER_ICMP) {
		feed(packet, craft_icmp(packet, &from, &to, bytes + 1, length - 1));
	} else if (order == ORDER_ICMP_ERROR) {
		uint8_t message[8 + 64] = { bytes[1], bytes[2], 0, 0, 0, 0, bytes[3], bytes[0] };
		memcpy(message + 8, world.last, 64);
		feed(packet, craft_icmp(packet, &from, &to, message, sizeof(message)));
	} else if (length > 6) {
		from = address(AF_INET, 2, 53);
		to = address(AF_INET, 1, 5353);
		feed(packet,
		     craft_fragment(packet, &from, &to, bytes[1] & 7, packet_read16(bytes + 2) & 0xfff8, bytes[1] & 8, bytes + 4, length - 4));
	}
}

static void order_stream(enum order order, struct end *end, const uint8_t *bytes, size_t length)
{
	static const uint8_t data[100000];

	if (end->stream == NULL)
		return;
	if (order == ORDER_WRITE) {
		netstack_stream_write(end->stream, data, length * 300 % sizeof(data), world.now);
	} else if (order == ORDER_CONSUME) {
		netstack_stream_consumed(end->stream, end->unread, world.now);
		end->unread = 0;
	} else if (order == ORDER_FINISH) {
		netstack_stream_finish(end->stream, world.now);
	} else if (length > 0 && bytes[0] < 128) {
		netstack_stream_release(end->stream, world.now);
		end->stream = NULL;
	} else {
		netstack_stream_abort(end->stream, world.now);
		end->stream = NULL;
	}
	netstack_settle(world.stack, world.now);
}

static void order_time(size_t length)
{
	uint64_t until = world.now + (length == 0 ? 1 : (uint64_t)length * length) * MS;

	for (int i = 0; i < 200 && netstack_deadline(world.stack) <= until; i++) {
		uint64_t next = netstack_deadline(world.stack);
		world.now = next > world.now ? next : world.now;
		netstack_tick(world.stack, world.now);
	}
	world.now = until;
}

static void run_order(enum order order, const uint8_t *bytes, size_t length, struct netstack_resolver *resolver)
{
	struct end *end = length > 0 && (bytes[length - 1] & 1) ? &world.in : &world.out;
	struct end fresh = world.in;

	switch (order) {
	case ORDER_RAW: feed(bytes, length); break;
	case ORDER_TCP: order_tcp(&world.out, bytes, length); break;
	case ORDER_TCP_IN: order_tcp(&world.in, bytes, length); break;
	case ORDER_TCP_NEW:
		fresh.remote.port = length > 0 ? (uint16_t)(5000 + bytes[0] % 4) : 1;
		order_tcp(&fresh, bytes, length);
		break;
	case ORDER_UDP:
	case ORDER_ICMP:
	case ORDER_ICMP_ERROR:
	case ORDER_FRAGMENT: order_packet(order, bytes, length); break;
	case ORDER_TIME: order_time(length); break;
	case ORDER_WRITE:
	case ORDER_CONSUME:
	case ORDER_FINISH:
	case ORDER_RELEASE: order_stream(order, end, bytes, length); break;
	case ORDER_ROOM:
		world.has_room = length & 1;
		if (world.has_room)
			netstack_writable(world.stack, world.now);
		break;
	case ORDER_KICK: netstack_kick(world.stack, world.now); break;
	case ORDER_RESOLVE:
		if (world.query == NULL)
			netstack_resolve(resolver, "name.example", on_answer, NULL, world.now, &world.query);
		break;
	case ORDER_COUNT: break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct netstack_limits limits = { .seed = { 1 }, .memory_budget = 8 << 20 };
	struct netstack_config config = { .address_count = 2, .mtu = 1420 };
	const struct netstack_env env = { .owner = NULL, .output = output };
	struct netstack_endpoint at = address(AF_INET6, 1, 8080), flow_at = address(AF_INET, 1, 5353), server = address(AF_INET, 2, 53);
	struct netstack_listener *listener;
	struct netstack_flow *flow;
	struct netstack_resolver *resolver;

	memset(&world, 0, sizeof(world));
	world.now = 1000000 * MS;
	world.has_room = true;
	netstack_start(&limits);
	config.addresses[0] = address(AF_INET, 1, 0);
	config.addresses[1] = address(AF_INET6, 1, 0);
	if (netstack_create(&world.stack, &config, &env, world.now) != 0 || netstack_listen(world.stack, &at, on_accept, &world.in, &listener) != 0 ||
	    netstack_flow_open(world.stack, &flow_at, owner_ignore_datagram, NULL, &flow) != 0 ||
	    netstack_resolver_create(&resolver, world.stack, &server, 1) != 0 ||
	    netstack_ping(world.stack, &server, 1000 * MS, on_ping, NULL, world.now) != 0)
		abort();
	shake_hands();
	while (length >= 3) {
		enum order order = bytes[0] % ORDER_COUNT;
		size_t size = packet_read16(bytes + 1) % PACKET_MAX;
		bytes += 3;
		length -= 3;
		if (size > length)
			size = length;
		run_order(order, bytes, size, resolver);
		bytes += size;
		length -= size;
	}
	netstack_resolver_free(resolver);
	netstack_free(world.stack);
	if (netstack_memory_used() != 0)
		abort();
	netstack_stop();
	return 0;
}
