/* P2: trains of inner packets, fragments among them, through real stacks and relays to the clients' sockets and back, in two tunnels at once.
 * Every byte of a stream tells its tunnel and its place, so bytes that cross, or that are read after their turn, are seen at both ends. The
 * input is a list of orders of eight bytes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/packet/packet.h"
#include "tests/netstack/craft.h"
#include "tests/tunnel/rig.h"
#include "tunnel/proxy/relay.h"
#include "tunnel/worker/change.h"

#define MS 1000000ull
#define FIRST 0xfffff000u /* the far ends' first sequence number: it wraps soon */
#define PACKETS_MAX 64    /* of a turn */
#define PACKET_MAX 5000
#define CLIENT_BUFFER 4096

enum order {
	ORDER_DATA,
	ORDER_FRAGMENTS,
	ORDER_ACKNOWLEDGE,
	ORDER_TURN,
	ORDER_TIME,
	ORDER_READ,
	ORDER_WRITE,
	ORDER_SHUT,
	ORDER_RESET,
	ORDER_ROOM,
	ORDER_ABORT,
	ORDER_COUNT,
};

/* A tunnel with one connection, from the far end to a client. */
struct side {
	struct tunnel tunnel;
	struct counters_tunnel counters;
	unsigned index;
	struct connection connection;
	struct relay *relay;
	int client; /* -1: none yet */
	bool has_room;
	struct netstack_endpoint far, near;
	uint32_t first;        /* of our sequence numbers */
	uint64_t next;         /* place up to which the far end has sent in order */
	uint64_t acknowledged; /* of ours */
	uint64_t seen;         /* the end of ours that left */
	uint64_t read, written;
};

struct rig rig;

static struct {
	struct side sides[2];
	uint8_t *packets[PACKETS_MAX]; /* of this turn: gone when it ends, as a slab is */
	size_t packet_count;
	struct deferred release;
} world;

/* --- bytes that tell where they belong --- */

static uint8_t byte_at(unsigned index, bool upward, uint64_t place)
{
	return (uint8_t)(((place * 0x9E3779B97F4A7C15ull >> 40) + upward) & 0x7f) | (uint8_t)(index << 7);
}

static void fill(unsigned index, bool upward, uint64_t place, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(index, upward, place + i);
}

static void check(unsigned index, bool upward, uint64_t place, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != byte_at(index, upward, place + i))
			abort();
}

/* --- the far end --- */

static void note_packet(struct side *side, const uint8_t *packet, size_t length)
{
	size_t header = 20 + (size_t)(packet[32] >> 4) * 4;

	if (packet[9] != PACKET_TCP)
		return;
	if (packet[33] & SEGMENT_SYN) {
		side->first = packet_read32(packet + 24) + 1;
		return;
	}
	uint64_t place = packet_read32(packet + 24) - side->first;
	if (length == header)
		return;
	check(side->index, true, place, packet + header, length - header);
	if (place + length - header > side->written)
		abort();
	if (place + length - header > side->seen)
		side->seen = place + length - header;
}

static bool output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct side *side = owner;
	uint8_t packet[9100];
	size_t at = 0;

	if (!side->has_room)
		return false;
	for (size_t i = 0; i < count; i++) {
		memcpy(packet + at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	if (at != length)
		abort();
	note_packet(side, packet, length);
	return true;
}

static void release_packets(void *owner)
{
	(void)owner;
	while (world.packet_count > 0)
		free(world.packets[--world.packet_count]);
}

static void end_turn(void)
{
	for (int i = 0; i < 2; i++)
		if (world.sides[i].tunnel.stack != NULL)
			tunnel_wake(&world.sides[i].tunnel);
	deferred_queue(rig.context.loop, &world.release);
	rig_turn();
}

static void give(struct side *side, const uint8_t *packet, size_t length)
{
	if (world.packet_count == PACKETS_MAX)
		end_turn();
	uint8_t *copy = malloc(length);
	memcpy(copy, packet, length);
	world.packets[world.packet_count++] = copy;
	netstack_input(side->tunnel.stack, copy, length, rig.now);
}

static uint64_t place_from(const struct side *side, const uint8_t *order)
{
	int64_t place = (int64_t)side->next + (int16_t)packet_read16(order + 2);
	return place < 0 ? 0 : (uint64_t)place;
}

/* A segment of the stream. With an offset of 0 the next one follows it. */
static size_t craft_data(struct side *side, const uint8_t *order, size_t most, uint8_t *packet)
{
	uint8_t payload[PACKET_MAX];
	uint64_t place = place_from(side, order);
	struct craft_tcp tcp = { .sequence = FIRST + (uint32_t)place,
		                 .acknowledgement = side->first + (uint32_t)side->acknowledged,
		                 .flags = (uint8_t)(SEGMENT_ACK | (order[1] & 2 ? SEGMENT_FIN : 0)),
		                 .window = 60000,
		                 .payload = payload,
		                 .length = packet_read16(order + 4) % most };

	fill(side->index, false, place, payload, tcp.length);
	if (place == side->next)
		side->next += tcp.length;
	return craft_tcp(packet, &side->far, &side->near, &tcp);
}

static void order_fragments(struct side *side, const uint8_t *order)
{
	uint8_t packet[PACKET_MAX], piece[PACKET_MAX];
	size_t length = craft_data(side, order, PACKET_MAX - 100, packet) - 20;
	size_t step = 8 * (1 + (size_t)order[6] * 4), count = (length + step - 1) / step;

	for (size_t i = 0; i < count && i < 32; i++) {
		size_t at = order[1] & 4 ? count - 1 - i : i;
		size_t size = length - at * step < step ? length - at * step : step;
		if (!(order[7] & 1u << at % 8))
			give(side, piece, craft_cut(piece, packet, order[1] >> 3, at * step, size));
	}
}

static void order_acknowledge(struct side *side, const uint8_t *order)
{
	uint8_t packet[200], options[12] = { 1, 1, 5, 10 };
	uint64_t end = side->acknowledged + packet_read16(order + 2);
	struct craft_tcp tcp = { .sequence = FIRST + (uint32_t)side->next,
		                 .flags = SEGMENT_ACK,
		                 .window = packet_read16(order + 4),
		                 .options = options,
		                 .options_length = order[1] & 2 ? sizeof(options) : 0 };

	if (!(order[1] & 4))
		side->acknowledged = end < side->seen ? end : side->seen;
	tcp.acknowledgement = side->first + (uint32_t)side->acknowledged;
	packet_write32(options + 4, tcp.acknowledgement + order[6] * 100u);
	packet_write32(options + 8, tcp.acknowledgement + order[7] * 100u);
	give(side, packet, craft_tcp(packet, &side->far, &side->near, &tcp));
}

static void send_bare(struct side *side, uint8_t flags, uint32_t sequence)
{
	uint8_t packet[100];
	struct craft_tcp tcp = { .sequence = sequence, .acknowledgement = side->first, .flags = flags, .window = 60000 };
	give(side, packet, craft_tcp(packet, &side->far, &side->near, &tcp));
}

/* --- the client --- */

static void read_client(struct side *side, size_t most)
{
	uint8_t bytes[CLIENT_BUFFER];

	while (most > 0) {
		ssize_t got = recv(side->client, bytes, most < sizeof(bytes) ? most : sizeof(bytes), MSG_DONTWAIT);
		if (got <= 0)
			return;
		check(side->index, false, side->read, bytes, (size_t)got);
		side->read += (size_t)got;
		most -= (size_t)got;
	}
}

static void write_client(struct side *side, size_t length)
{
	uint8_t bytes[1 << 16];

	fill(side->index, true, side->written, bytes, length);
	ssize_t sent = send(side->client, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		side->written += (size_t)sent;
}

static void on_ended(void *owner)
{
	struct side *side = owner;
	side->relay = NULL;
}

static void on_accept(void *owner, struct netstack_stream *stream)
{
	struct side *side = owner;
	int ends[2], small = CLIENT_BUFFER;

	if (side->client >= 0) {
		netstack_stream_abort(stream, rig.now);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
		abort();
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	side->client = ends[0];
	side->connection = (struct connection){ .tunnel = &side->tunnel };
	struct poller *poller = poller_create(rig.context.loop, ends[1], NULL, NULL);
	side->relay = relay_create(&side->connection, poller, stream, NULL, "", 0, 0, on_ended, side);
}

/* --- orders --- */

static void run_order(const uint8_t *order)
{
	struct side *side = &world.sides[order[1] & 1];
	uint8_t packet[PACKET_MAX];
	size_t amount = packet_read16(order + 2);

	switch ((enum order)(order[0] % ORDER_COUNT)) {
	case ORDER_DATA: give(side, packet, craft_data(side, order, 1400, packet)); break;
	case ORDER_FRAGMENTS: order_fragments(side, order); break;
	case ORDER_ACKNOWLEDGE: order_acknowledge(side, order); break;
	case ORDER_TURN: end_turn(); break;
	case ORDER_TIME:
		end_turn();
		rig_pass(amount % 1000 * MS);
		break;
	case ORDER_READ: read_client(side, amount); break;
	case ORDER_WRITE: write_client(side, amount); break;
	case ORDER_SHUT: shutdown(side->client, SHUT_WR); break;
	case ORDER_RESET: send_bare(side, SEGMENT_RST | SEGMENT_ACK, FIRST + (uint32_t)side->next); break;
	case ORDER_ROOM:
		side->has_room = order[2] & 1;
		if (side->has_room)
			tunnel_run_stack(&side->tunnel, netstack_writable);
		break;
	case ORDER_ABORT:
		if (side->relay != NULL)
			relay_abort(side->relay);
		side->relay = NULL;
		break;
	case ORDER_COUNT: break;
	}
}

/* --- life --- */

static void on_due(void *owner)
{
	tunnel_run_stack(owner, netstack_tick);
}

static struct netstack_endpoint address(uint8_t last, uint16_t port)
{
	return (struct netstack_endpoint){ .family = AF_INET, .bytes = { 10, 0, 0, last }, .port = port };
}

/* The same addresses and ports in both. */
static void open_side(unsigned index)
{
	struct side *side = &world.sides[index];
	struct tunnel *tunnel = &side->tunnel;
	struct netstack_config config = { .addresses = { address(1, 0) }, .address_count = 1, .mtu = 1420 };
	const struct netstack_env env = { .owner = side, .output = output };
	struct netstack_listener *listener;

	*side = (struct side){ .index = index, .client = -1, .has_room = true, .far = address(2, 4000), .near = address(1, 80) };
	*tunnel = (struct tunnel){ .context = &rig.context, .counters = &side->counters };
	tunnel->published_at = LOOP_NEVER / 2; /* there is no device to publish of */
	tunnel->publish_at = LOOP_NEVER;
	tunnel->health.due = LOOP_NEVER;
	deferred_init(&tunnel->settle, tunnel_settle, tunnel);
	deadline_init(&tunnel->deadline, on_due, tunnel);
	if (netstack_create(&tunnel->stack, &config, &env, rig.now) != 0 ||
	    netstack_listen(tunnel->stack, &side->near, on_accept, side, &listener) != 0)
		abort();
	send_bare(side, SEGMENT_SYN, FIRST - 1);
	send_bare(side, SEGMENT_ACK, FIRST);
	end_turn();
	if (side->relay == NULL)
		abort();
}

static void close_side(struct side *side)
{
	read_client(side, SIZE_MAX);
	end_turn();
	if (side->relay != NULL)
		relay_abort(side->relay);
	close(side->client);
	deferred_cancel(rig.context.loop, &side->tunnel.settle);
	deadline_set(rig.context.loop, &side->tunnel.deadline, LOOP_NEVER);
	netstack_free(side->tunnel.stack);
	side->tunnel.stack = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct netstack_limits limits = { .seed = { 1 }, .memory_budget = 1 << 20 };

	rig = (struct rig){ .now = 1000 * LOOP_SECOND };
	rig.context.loop = loop_create();
	rig.context.blocks = block_pool_create();
	rig.context.batch = udp_batch_create(rig.context.loop, false);
	deferred_init(&world.release, release_packets, NULL);
	netstack_start(&limits);
	for (unsigned i = 0; i < 2; i++)
		open_side(i);
	for (size_t orders = 0; orders < 1000 && length >= 8; orders++, bytes += 8, length -= 8)
		run_order(bytes);
	for (unsigned i = 0; i < 2; i++)
		close_side(&world.sides[i]);
	rig_turn();
	if (block_pool_in_use(rig.context.blocks) != 0 || netstack_memory_used() != 0)
		abort();
	netstack_stop();
	udp_batch_free(rig.context.batch);
	block_pool_free(rig.context.blocks);
	loop_free(rig.context.loop);
	return 0;
}
