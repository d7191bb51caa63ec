/* A stack among other stacks and hostile far ends: isolation, filters, fragments, echo, datagrams, ICMP errors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/packet.h"
#include "netstack/stream.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/peer.h"

static const struct link_profile good = { .rate = 100e6, .delay = 5 * MS, .queue = 50 * MS };

/* The last packet that left a side. */
struct spied {
	uint8_t packet[9100];
	size_t length;
	unsigned count;
};

static void spy(void *owner, const uint8_t *packet, size_t length)
{
	struct spied *spied = owner;
	memcpy(spied->packet, packet, length);
	spied->length = length;
	spied->count++;
}

static void watch(struct link *link, int side, struct spied *spied)
{
	*spied = (struct spied){ .count = 0 };
	link_side(link, side)->spy = spy;
	link_side(link, side)->spy_owner = spied;
}

static struct link *open_link(void)
{
	struct link *link = link_create(1, 64 << 20);
	link_set(link, &good);
	return link;
}

static void pass(struct link *link, uint64_t time)
{
	link_run(link, link_now(link) + time, NULL, NULL);
}

static void inject(struct link *link, int side, const uint8_t *packet, size_t length)
{
	link_inject(link, side, packet, length);
	pass(link, MS);
}

/* I1: the same addresses, the same ports, the same far ends; one goes in the middle. */
static void is_apart_from_a_twin(void **state)
{
	struct link *links[2] = { open_link(), open_link() };
	struct peer clients[2][8], servers[2][8];

	(void)state;
	for (int l = 0; l < 2; l++) {
		for (int i = 0; i < 8; i++) {
			peer_init(&clients[l][i], links[l], 1000000 + (uint64_t)l);
			peer_init(&servers[l][i], links[l], 1000000 + (uint64_t)l);
			peer_listen(&servers[l][i], 1, AF_INET, (uint16_t)(80 + i));
			assert_int_equal(peer_connect(&clients[l][i], 0, AF_INET, (uint16_t)(80 + i)), 0);
		}
	}
	for (int round = 0; round < 50; round++) {
		pass(links[0], MS);
		pass(links[1], MS);
	}
	link_remove(links[0], 0);
	link_remove(links[0], 1);
	pass(links[0], SECOND);
	pass(links[1], 20 * SECOND);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(clients[0][i].why, NETSTACK_ABORTED);
		assert_true(clients[1][i].is_closed && servers[1][i].is_closed);
		assert_int_equal(clients[1][i].why, NETSTACK_OK);
		assert_int_equal(clients[1][i].received, 1000001);
		assert_int_equal(servers[1][i].received, 1000001);
		assert_false(clients[1][i].is_wrong || servers[1][i].is_wrong);
	}
	link_free(links[0]);
	link_free(links[1]);
}

/* I2 */
static void takes_nothing_for_others(void **state)
{
	static const uint8_t targets[][4] = { { 10, 0, 0, 3 },        { 127, 0, 0, 1 }, { 224, 0, 0, 1 },
		                              { 255, 255, 255, 255 }, { 0, 0, 0, 0 },   { 10, 0, 0, 1 } };
	static const uint8_t sources[][4] = { { 127, 0, 0, 1 }, { 224, 0, 0, 1 }, { 0, 0, 0, 0 }, { 255, 255, 255, 255 }, { 10, 0, 0, 2 } };
	struct link *link = open_link();
	uint8_t packet[200], echo[16] = { 8 };
	struct spied spied;

	(void)state;
	watch(link, 1, &spied);
	struct netstack_endpoint from = link_address(0, AF_INET, 1234), to = link_address(1, AF_INET, 80), other;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		other = to;
		memcpy(other.bytes, targets[i], 4);
		inject(link, 1, packet, craft_icmp(packet, &from, &other, echo, sizeof(echo)));
		inject(link, 1, packet, craft_tcp(packet, &from, &other, &(struct craft_tcp){ .flags = SEGMENT_SYN }));
	}
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		other = from;
		memcpy(other.bytes, sources[i], 4);
		inject(link, 1, packet, craft_icmp(packet, &other, &to, echo, sizeof(echo)));
		inject(link, 1, packet, craft_tcp(packet, &other, &to, &(struct craft_tcp){ .flags = SEGMENT_SYN }));
	}
	size_t length = craft_icmp(packet, &from, &to, echo, sizeof(echo));
	for (size_t cut = 0; cut < length; cut++)
		inject(link, 1, packet, cut);
	packet[24] ^= 1; /* a wrong checksum */
	inject(link, 1, packet, length);
	assert_int_equal(spied.count, 0);
	inject(link, 1, packet, craft_icmp(packet, &from, &to, echo, sizeof(echo)));
	assert_int_equal(spied.count, 1);
	link_free(link);
}

/* I3 */
struct syns {
	uint32_t sequences[10000];
	uint16_t ports[10000];
	size_t count;
};

static void note_syn(void *owner, const uint8_t *packet, size_t length)
{
	struct syns *syns = owner;

	if (length >= 40 && packet[9] == PACKET_TCP && syns->count < 10000) {
		syns->ports[syns->count] = packet_read16(packet + 20);
		syns->sequences[syns->count++] = packet_read32(packet + 24);
	}
}

static int compare(const void *one, const void *other)
{
	uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
	return a < b ? -1 : a > b;
}

static void connect_often(uint64_t seed, struct syns *syns)
{
	struct link *link = link_create(seed, 64 << 20);
	struct peer peer;

	syns->count = 0;
	link_side(link, 0)->spy = note_syn;
	link_side(link, 0)->spy_owner = syns;
	for (int i = 0; i < 10000; i++) {
		peer_init(&peer, link, 0);
		link_side(link, 0)->spy = note_syn;
		assert_int_equal(peer_connect(&peer, 0, AF_INET, 80), 0);
		link_side(link, 0)->spy = NULL; /* the reset is not looked at */
		netstack_stream_abort(peer.stream, link_now(link));
	}
	link_free(link);
}

static void numbers_cannot_be_guessed(void **state)
{
	static struct syns first, second;
	unsigned char seen[65536] = { 0 };
	size_t ports = 0, near = 0, bits = 0;

	(void)state;
	connect_often(1, &first);
	connect_often(2, &second);
	assert_int_equal(first.count, 10000);
	assert_true(first.sequences[0] != second.sequences[0]);
	for (size_t i = 0; i < first.count; i++) {
		assert_true(first.ports[i] >= 1024);
		if (!seen[first.ports[i]]) /* at the same time, the same connection has the same number (RFC 6528, 3) */
			first.sequences[ports++] = first.sequences[i];
		seen[first.ports[i]] = 1;
		bits += first.sequences[i] >> 31;
		if (i > 0)
			near += abs((int)first.ports[i] - (int)first.ports[i - 1]) < 16;
	}
	assert_true(ports > 9000);
	assert_true(near < 50);
	assert_in_range(bits, 4700, 5300);
	qsort(first.sequences, ports, sizeof(uint32_t), compare);
	size_t doubles = 0;
	for (size_t i = 1; i < ports; i++)
		doubles += first.sequences[i] - first.sequences[i - 1] < 1000;
	assert_true(doubles < 100);
}

/* --- datagrams --- */

struct mailbox {
	uint8_t bytes[65536];
	size_t length;
	unsigned count;
	struct netstack_endpoint from, unreachable;
	unsigned unreachable_count;
};

static void on_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct mailbox *box = owner;
	memcpy(box->bytes, bytes, length);
	box->length = length;
	box->from = *from;
	box->count++;
}

static void on_unreachable(void *owner, const struct netstack_endpoint *to)
{
	struct mailbox *box = owner;
	box->unreachable = *to;
	box->unreachable_count++;
}

static void datagrams_of_every_size_arrive(void **state)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static struct mailbox box, own;
	static uint8_t bytes[65508];
	struct link *link = open_link();

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t f = 0; f < 2; f++) {
		struct netstack_endpoint at = link_address(1, families[f], 5353);
		struct netstack_flow *there, *here;
		static const size_t sizes[] = { 0, 1, 1392, 1393, 1400, 3001, 9000, 65000 };
		assert_int_equal(netstack_flow_open(link_side(link, 1)->stack, &at, on_datagram, &box, &there), 0);
		assert_int_equal(netstack_flow_open(link_side(link, 0)->stack, NULL, on_datagram, &own, &here), 0);
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			box.count = 0;
			assert_int_equal(netstack_flow_send(here, &at, bytes, sizes[i], link_now(link)), 0);
			pass(link, 50 * MS);
			assert_int_equal(box.count, 1);
			assert_int_equal(box.length, sizes[i]);
			assert_memory_equal(box.bytes, bytes, sizes[i]);
		}
		assert_int_equal(netstack_flow_send(here, &at, bytes, sizeof(bytes), link_now(link)), NETSTACK_TOO_BIG);
		own.count = 0;
		assert_int_equal(netstack_flow_send(there, &box.from, "back", 4, link_now(link)), 0);
		pass(link, 50 * MS);
		assert_int_equal(own.count, 1);
		assert_int_equal(own.from.port, 5353);
		assert_int_equal(netstack_flow_open(link_side(link, 1)->stack, &at, on_datagram, &box, &here), NETSTACK_IN_USE);
		netstack_flow_close(there);
	}
	link_free(link);
}

/* Each has its port and gets what is for it, while others come and go. */
static void many_flows_get_their_own(void **state)
{
	static struct mailbox boxes[300], own;
	struct netstack_flow *flows[300], *sender;
	struct link *link = open_link();
	struct netstack *stack = link_side(link, 1)->stack;

	(void)state;
	assert_int_equal(netstack_flow_open(link_side(link, 0)->stack, NULL, on_datagram, &own, &sender), 0);
	for (uint16_t i = 0; i < 300; i++) {
		struct netstack_endpoint at = link_address(1, AF_INET, (uint16_t)(1000 + i));
		boxes[i].count = 0;
		assert_int_equal(netstack_flow_open(stack, &at, on_datagram, &boxes[i], &flows[i]), 0);
		assert_int_equal(netstack_flow_open(stack, &at, on_datagram, &boxes[i], &flows[i]), NETSTACK_IN_USE);
	}
	for (uint16_t i = 0; i < 300; i += 3)
		netstack_flow_close(flows[i]);
	for (uint16_t i = 0; i < 300; i++) {
		struct netstack_endpoint to = link_address(1, AF_INET, (uint16_t)(1000 + i));
		assert_int_equal(netstack_flow_send(sender, &to, &i, sizeof(i), link_now(link)), 0);
	}
	pass(link, SECOND);
	for (uint16_t i = 0; i < 300; i++) {
		assert_int_equal(boxes[i].count, i % 3 != 0);
		assert_true(i % 3 == 0 || memcmp(boxes[i].bytes, &i, sizeof(i)) == 0);
	}
	link_free(link);
}

/* I7: also tells the sender, who learns it by ICMP. */
static void serves_nothing_unasked(void **state)
{
	static struct mailbox own;
	struct link *link = open_link();
	struct netstack_endpoint to = link_address(1, AF_INET, 53), to6 = link_address(1, AF_INET6, 53);
	struct netstack_flow *flow;
	struct spied spied;

	(void)state;
	watch(link, 1, &spied);
	assert_int_equal(netstack_flow_open(link_side(link, 0)->stack, NULL, on_datagram, &own, &flow), 0);
	netstack_flow_on_unreachable(flow, on_unreachable);
	assert_int_equal(netstack_flow_send(flow, &to, "hello", 5, link_now(link)), 0);
	pass(link, 50 * MS);
	assert_int_equal(own.unreachable_count, 1);
	assert_int_equal(own.unreachable.port, 53);
	assert_int_equal(netstack_flow_send(flow, &to6, "hello", 5, link_now(link)), 0);
	pass(link, 50 * MS);
	assert_int_equal(own.unreachable_count, 2);
	assert_int_equal(own.count, 0);
	spied.count = 0;
	uint8_t packet[100];
	struct netstack_endpoint from = link_address(0, AF_INET, 1234);
	for (uint32_t port = 1; port < 65536; port += 97) {
		to.port = (uint16_t)port;
		inject(link, 1, packet, craft_tcp(packet, &from, &to, &(struct craft_tcp){ .flags = SEGMENT_SYN, .sequence = 7 }));
		assert_int_equal(spied.packet[33] & (SEGMENT_RST | SEGMENT_SYN), SEGMENT_RST);
	}
	pass(link, 2 * SECOND);
	assert_int_equal(netstack_deadline(link_side(link, 1)->stack), NETSTACK_NEVER);
	link_free(link);
}

/* I5 */
static void fragments_are_bounded(void **state)
{
	static struct mailbox box;
	struct link *link = open_link();
	struct netstack *stack = link_side(link, 1)->stack;
	struct netstack_endpoint from = link_address(0, AF_INET, 99), at = link_address(1, AF_INET, 5353);
	struct netstack_flow *flow;
	uint8_t whole[2000], packet[2000], body[1500] = { 0 };

	(void)state;
	assert_int_equal(netstack_flow_open(stack, &at, on_datagram, &box, &flow), 0);
	size_t length = craft_udp(whole, &from, &at, body, sizeof(body)) - 20;
	/* any order, and doubles */
	link_inject(link, 1, packet, craft_fragment(packet, &from, &at, 1, 800, 0, whole + 820, length - 800));
	link_inject(link, 1, packet, craft_fragment(packet, &from, &at, 1, 800, 0, whole + 820, length - 800));
	inject(link, 1, packet, craft_fragment(packet, &from, &at, 1, 0, 1, whole + 20, 800));
	assert_int_equal(box.count, 1);
	/* an overlap kills it, a hole keeps it from coming */
	link_inject(link, 1, packet, craft_fragment(packet, &from, &at, 2, 0, 1, whole + 20, 800));
	link_inject(link, 1, packet, craft_fragment(packet, &from, &at, 2, 792, 1, whole + 812, 800 - 392));
	inject(link, 1, packet, craft_fragment(packet, &from, &at, 2, 800, 0, whole + 820, length - 800));
	inject(link, 1, packet, craft_fragment(packet, &from, &at, 3, 808, 0, whole + 828, length - 808));
	/* beyond the largest datagram */
	inject(link, 1, packet, craft_fragment(packet, &from, &at, 4, 65528, 0, whole, 1000));
	for (unsigned i = 0; i < 100000; i++) {
		size_t fragment = craft_fragment(packet, &from, &at, (uint16_t)i, 0, 1, whole + 20, 8);
		netstack_input(stack, packet, fragment, link_now(link));
	}
	assert_int_equal(box.count, 1);
	assert_true(netstack_deadline(stack) != NETSTACK_NEVER);
	pass(link, 20 * SECOND);
	assert_int_equal(netstack_deadline(stack), NETSTACK_NEVER);
	link_free(link);
}

/* P7: with its header it is longer than lwIP's lengths can say, and overran lwIP's copy of it. */
static void the_largest_datagram_overruns_nothing(void **state)
{
	enum { PIECE = 1024, TOTAL = 65535 };
	static uint8_t message[TOTAL] = { 128 }, whole[40 + TOTAL]; /* an echo request */
	struct netstack_endpoint from = link_address(0, AF_INET6, 0), to = link_address(1, AF_INET6, 0);
	struct link *link = open_link();
	uint8_t packet[48 + PIECE];
	struct spied spied;

	(void)state;
	watch(link, 1, &spied);
	craft_icmp(whole, &from, &to, message, TOTAL);
	for (size_t at = 0; at < TOTAL; at += PIECE) {
		size_t length = TOTAL - at < PIECE ? TOTAL - at : PIECE;
		memcpy(packet, whole, 40);
		packet_write16(packet + 4, (uint16_t)(8 + length));
		packet[6] = PACKET_FRAGMENT;
		memset(packet + 40, 0, 8);
		packet[40] = PACKET_ICMP6;
		packet_write16(packet + 42, (uint16_t)(at | (at + length < TOTAL)));
		memcpy(packet + 48, whole + 40 + at, length);
		inject(link, 1, packet, 48 + length);
	}
	assert_int_equal(spied.count, 0);
	link_free(link);
}

/* --- TCP from strangers --- */

struct victim {
	struct link *link;
	struct peer client, server;
	struct spied spied;
	struct netstack_endpoint from, to; /* as the client sends */
	uint32_t next, acknowledgement;    /* the client's */
};

static void open_victim(struct victim *victim)
{
	victim->link = open_link();
	peer_init(&victim->client, victim->link, 5000);
	peer_init(&victim->server, victim->link, 0);
	victim->client.keeps_open = victim->server.keeps_open = true;
	peer_listen(&victim->server, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&victim->client, 0, AF_INET, 80), 0);
	pass(victim->link, SECOND);
	assert_int_equal(victim->server.received, 5000);
	netstack_stream_local(victim->client.stream, &victim->from);
	netstack_stream_remote(victim->client.stream, &victim->to);
	const struct netstack_stream *stream = victim->server.stream;
	victim->next = stream->receiver.first + (uint32_t)stream->receiver.next;
	victim->acknowledgement = stream->sender.first + (uint32_t)stream->sender.next;
	watch(victim->link, 1, &victim->spied);
	link_side(victim->link, 1)->out.down_until = NETSTACK_NEVER; /* the client does not see the answers */
}

static void strike(struct victim *victim, const struct craft_tcp *tcp)
{
	uint8_t packet[2000];
	victim->spied.count = 0;
	inject(victim->link, 1, packet, craft_tcp(packet, &victim->from, &victim->to, tcp));
}

/* I6 (RFC 5961) */
static void withstands_blind_segments(void **state)
{
	struct victim victim;
	uint8_t junk[1000];

	(void)state;
	memset(junk, 'x', sizeof(junk));
	open_victim(&victim);
	strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_RST, .sequence = victim.next + 100 });
	assert_false(victim.server.is_closed);
	assert_int_equal(victim.spied.count, 1);
	assert_int_equal(victim.spied.packet[33], SEGMENT_ACK);
	strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_RST, .sequence = victim.next - 100 });
	assert_int_equal(victim.spied.count, 0);
	strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_SYN, .sequence = victim.next + 100 });
	assert_false(victim.server.is_closed);
	assert_int_equal(victim.spied.packet[33], SEGMENT_ACK);
	strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_ACK,
	                                     .sequence = victim.next,
	                                     .acknowledgement = victim.acknowledgement + 1000,
	                                     .payload = junk,
	                                     .length = sizeof(junk) });
	assert_int_equal(victim.server.received, 5000);
	strike(&victim, &(struct craft_tcp){ .sequence = victim.next, .payload = junk, .length = sizeof(junk) });
	assert_int_equal(victim.server.received, 5000);
	assert_false(victim.server.is_closed);
	strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_RST, .sequence = victim.next });
	assert_true(victim.server.is_closed);
	assert_int_equal(victim.server.why, NETSTACK_RESET);
	link_free(victim.link);
}

static void withstands_malformed_options(void **state)
{
	struct victim victim;

	(void)state;
	open_victim(&victim);
	for (unsigned kind = 0; kind < 256; kind++) {
		for (unsigned length = 0; length < 256; length += length < 12 ? 1 : 61) {
			uint8_t options[12] = { 1, (uint8_t)kind, (uint8_t)length, 0xff, 0xff, 0xff, 0xff, 0, 5, 0, 5, 200 };
			strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_ACK,
			                                     .sequence = victim.next,
			                                     .acknowledgement = victim.acknowledgement,
			                                     .window = 1000,
			                                     .options = options,
			                                     .options_length = sizeof(options) });
		}
	}
	assert_false(victim.server.is_closed);
	link_free(victim.link);
}

/* Blocks that were never sent, backwards, doubled, and SACKed bytes that are then denied. */
static void withstands_sack_abuse(void **state)
{
	struct victim victim;

	(void)state;
	open_victim(&victim);
	victim.server.to_send = 200000;
	peer_pump(&victim.server);
	pass(victim.link, MS);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t options[36] = { 1, 1, 5, 34 };
		for (unsigned b = 0; b < 8; b++)
			packet_write32(options + 4 + 4 * b, victim.acknowledgement + (uint32_t)(link_random(victim.link) * 260000) - 30000);
		strike(&victim, &(struct craft_tcp){ .flags = SEGMENT_ACK,
		                                     .sequence = victim.next,
		                                     .acknowledgement = victim.acknowledgement,
		                                     .window = 60000,
		                                     .options = options,
		                                     .options_length = sizeof(options) });
		pass(victim.link, MS);
	}
	assert_false(victim.server.is_closed);
	link_side(victim.link, 1)->out.down_until = 0;
	pass(victim.link, 20 * SECOND);
	assert_int_equal(victim.client.received, 200000);
	assert_false(victim.client.is_wrong);
	link_free(victim.link);
}

/* --- what was not agreed --- */

/* A far end played by hand, which connects to side 1; the server there writes. */
struct plain {
	struct link *link;
	struct peer server;
	struct spied spied;
	struct netstack_endpoint from, to;
	uint32_t acknowledgement; /* the server's first byte */
};

static void give(struct plain *plain, struct craft_tcp tcp)
{
	uint8_t packet[2000];

	tcp.window = 60000;
	link_inject(plain->link, 1, packet, craft_tcp(packet, &plain->from, &plain->to, &tcp));
}

/* The options of the SYN, and of the acknowledgement that completes the handshake. */
static void open_plain(struct plain *plain, uint8_t family, const uint8_t *syn, size_t syn_length, const uint8_t *last, size_t last_length)
{
	memset(plain, 0, sizeof(*plain));
	plain->link = open_link();
	plain->from = link_address(0, family, 4000);
	plain->to = link_address(1, family, 80);
	peer_init(&plain->server, plain->link, 200000);
	plain->server.keeps_open = true;
	peer_listen(&plain->server, 1, family, 80);
	watch(plain->link, 1, &plain->spied);
	link_side(plain->link, 1)->out.down_until = NETSTACK_NEVER; /* the other side knows nothing of this */
	give(plain, (struct craft_tcp){ .sequence = 999, .flags = SEGMENT_SYN, .options = syn, .options_length = syn_length });
	pass(plain->link, MS);
	plain->acknowledgement = packet_read32(plain->spied.packet + (family == AF_INET ? 24 : 44)) + 1;
	give(plain,
	     (struct craft_tcp){
		 .sequence = 1000, .acknowledgement = plain->acknowledgement, .flags = SEGMENT_ACK, .options = last, .options_length = last_length });
	pass(plain->link, MS);
	assert_non_null(plain->server.stream);
}

static void acknowledge(struct plain *plain, uint32_t place, const uint8_t *options, size_t length)
{
	give(plain, (struct craft_tcp){ .sequence = 1000,
	                                .acknowledgement = plain->acknowledgement + place,
	                                .flags = SEGMENT_ACK,
	                                .options = options,
	                                .options_length = length });
}

/* Takes all that the server has; returns how many packets that took. */
static uint64_t take_all(struct plain *plain)
{
	const struct sender *sender = &plain->server.stream->sender;
	uint64_t before = link_side(plain->link, 1)->packets;

	for (int round = 0; round < 10000 && sender->acknowledged < plain->server.to_send; round++) {
		acknowledge(plain, (uint32_t)sender->next, NULL, 0);
		pass(plain->link, 5 * MS);
	}
	assert_int_equal(sender->acknowledged, plain->server.to_send);
	return link_side(plain->link, 1)->packets - before;
}

/* RFC 9293, 3.7.1, down to 64 bytes. */
static void an_announced_segment_size_is_obeyed(void **state)
{
	static const struct {
		uint8_t option[4];
		size_t length;
		uint32_t segment; /* 0: what the tunnel takes */
	} rows[] = { { { 2, 4, 0, 0 }, 4, 0 },     { { 2, 4, 0, 1 }, 4, 64 },     { { 2, 4, 0, 64 }, 4, 64 }, { { 2, 4, 0, 88 }, 4, 88 },
		     { { 2, 4, 1, 244 }, 4, 500 }, { { 2, 4, 4, 176 }, 4, 1200 }, { { 2, 4, 35, 40 }, 4, 0 }, { { 0 }, 0, 536 } };
	struct plain plain;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int six = 0; six < 2; six++) {
			open_plain(&plain, six ? AF_INET6 : AF_INET, rows[i].option, rows[i].length, NULL, 0);
			uint32_t most = LINK_MTU - (six ? 60 : 40), segment = rows[i].segment == 0 ? most : rows[i].segment;
			assert_int_equal(plain.server.stream->sender.segment, segment);
			assert_in_range(take_all(&plain), 1, 200000 / segment + 50);
			link_free(plain.link);
		}
	}
}

/* P7: a datagram for every few bytes would cost a worker's core per megabyte what whole ones cost per twenty. */
static void small_segments_are_few(void **state)
{
	static const uint8_t size[] = { 2, 4, 0, 64 };
	struct plain plain;

	(void)state;
	open_plain(&plain, AF_INET, size, sizeof(size), NULL, 0);
	uint64_t begin = link_now(plain.link), packets = take_all(&plain);
	uint64_t milliseconds = (link_now(plain.link) - begin) / MS;
	assert_in_range(milliseconds, 200, 1000);
	assert_in_range(packets, 3000, 10 * milliseconds + 300);
	link_free(plain.link);
}

/* P7: blocks of a peer that never agreed on SACK took a segment out of a list twice, and the worker ran in a circle. */
static void sack_is_not_read_when_it_was_not_agreed(void **state)
{
	struct plain plain;
	uint8_t sack[12] = { 1, 1, 5, 10 };

	(void)state;
	open_plain(&plain, AF_INET, NULL, 0, NULL, 0);
	const struct sender *sender = &plain.server.stream->sender;
	assert_false(sender->has_sack);
	assert_true(sender->next >= 4 * 536);
	packet_write32(sack + 4, plain.acknowledgement + 536);
	packet_write32(sack + 8, plain.acknowledgement + 3 * 536);
	acknowledge(&plain, 0, sack, sizeof(sack));
	pass(plain.link, 5 * MS);
	assert_int_equal(sender->board.sacked, 0);
	acknowledge(&plain, 0, sack, sizeof(sack));
	acknowledge(&plain, 536, NULL, 0);
	for (int i = 0; i < 4; i++)
		acknowledge(&plain, 536, NULL, 0);
	pass(plain.link, 5 * MS);
	assert_int_equal(sender->board.sacked, 0);
	assert_int_equal(sender->acknowledged, 536);
	assert_false(plain.server.is_closed);
	link_free(plain.link);
}

static uint32_t dice(struct plain *plain, uint32_t sides)
{
	return (uint32_t)(link_random(plain->link) * sides);
}

/* The same at random, several acknowledgements a batch. */
static void withstands_sack_abuse_of_any_peer(void **state)
{
	static const uint8_t permitted[] = { 4, 2, 1, 1 };
	struct plain plain;

	(void)state;
	for (int agreed = 0; agreed < 2; agreed++) {
		open_plain(&plain, AF_INET, permitted, agreed ? sizeof(permitted) : 0, NULL, 0);
		const struct sender *sender = &plain.server.stream->sender;
		for (int round = 0; round < 3000 && plain.server.stream != NULL; round++) {
			uint32_t place = (uint32_t)sender->acknowledged;
			if (dice(&plain, 3) == 0 && sender->next >= place + 536)
				place += 536 * dice(&plain, 3);
			uint8_t sack[12] = { 1, 1, 5, 10 };
			uint32_t left = place + 536 * (1 + dice(&plain, 4));
			packet_write32(sack + 4, plain.acknowledgement + left);
			packet_write32(sack + 8, plain.acknowledgement + left + 536 * (1 + dice(&plain, 4)));
			for (uint32_t i = dice(&plain, 5) + 1; i > 0; i--)
				acknowledge(&plain, place, sack, dice(&plain, 2) * sizeof(sack));
			if (dice(&plain, 3) == 0)
				pass(plain.link, dice(&plain, 50) * MS);
		}
		link_free(plain.link);
	}
}

/* Nor is anything else: what the SYN did not say, no later segment adds. */
static void options_are_read_from_the_handshake_alone(void **state)
{
	static const uint8_t large[] = { 2, 4, 5, 100 }, all[] = { 2, 4, 2, 90, 1, 3, 3, 7, 1, 1, 4, 2 };
	struct plain plain;

	(void)state;
	open_plain(&plain, AF_INET, large, sizeof(large), all, sizeof(all));
	assert_int_equal(plain.server.stream->sender.segment, 1380);
	assert_false(plain.server.stream->sender.has_sack);
	assert_int_equal(plain.server.stream->window_shift, 0);
	link_free(plain.link);
}

static void a_second_syn_adds_no_options(void **state)
{
	static const uint8_t all[] = { 2, 4, 2, 90, 1, 3, 3, 7, 1, 1, 4, 2 };
	struct plain plain;
	uint8_t packet[100];

	(void)state;
	memset(&plain, 0, sizeof(plain));
	plain.link = open_link();
	plain.from = link_address(0, AF_INET, 4000);
	plain.to = link_address(1, AF_INET, 80);
	peer_init(&plain.server, plain.link, 0);
	plain.server.keeps_open = true;
	peer_listen(&plain.server, 1, AF_INET, 80);
	watch(plain.link, 1, &plain.spied);
	link_side(plain.link, 1)->out.down_until = NETSTACK_NEVER;
	give(&plain, (struct craft_tcp){ .sequence = 999, .flags = SEGMENT_SYN });
	pass(plain.link, MS);
	memcpy(packet, plain.spied.packet, 44);
	give(&plain, (struct craft_tcp){ .sequence = 999, .flags = SEGMENT_SYN, .options = all, .options_length = sizeof(all) });
	pass(plain.link, MS);
	plain.acknowledgement = packet_read32(packet + 24) + 1;
	acknowledge(&plain, 0, NULL, 0);
	pass(plain.link, MS);
	assert_non_null(plain.server.stream);
	assert_false(plain.server.stream->sender.has_sack);
	assert_int_equal(plain.server.stream->window_shift, 0);
	assert_int_equal(plain.server.stream->sender.segment, 536);
	link_free(plain.link);
}

/* Who does not see the SYN cannot choose what is agreed. */
static void a_wrong_syn_ack_adds_no_options(void **state)
{
	static const uint8_t all[] = { 2, 4, 2, 90, 1, 3, 3, 7, 1, 1, 4, 2 };
	struct plain plain;
	struct peer client;

	(void)state;
	memset(&plain, 0, sizeof(plain));
	plain.link = open_link();
	peer_init(&client, plain.link, 0);
	client.keeps_open = true;
	watch(plain.link, 1, &plain.spied);
	link_side(plain.link, 1)->out.down_until = NETSTACK_NEVER;
	assert_int_equal(peer_connect(&client, 1, AF_INET, 80), 0);
	plain.acknowledgement = packet_read32(plain.spied.packet + 24) + 1;
	plain.from = link_address(0, AF_INET, 80);
	netstack_stream_local(client.stream, &plain.to);
	struct craft_tcp answer = { .sequence = 999,
		                    .acknowledgement = plain.acknowledgement + 7,
		                    .flags = SEGMENT_SYN | SEGMENT_ACK,
		                    .options = all,
		                    .options_length = sizeof(all) };
	give(&plain, answer);
	pass(plain.link, MS);
	assert_false(client.is_connected);
	answer.acknowledgement = plain.acknowledgement;
	answer.options_length = 0;
	give(&plain, answer);
	pass(plain.link, MS);
	assert_true(client.is_connected);
	assert_false(client.stream->sender.has_sack);
	assert_int_equal(client.stream->window_shift, 0);
	assert_int_equal(client.stream->sender.segment, 536);
	link_free(plain.link);
}

/* --- connections that wait out old segments --- */

#define WAITS 1400

/* What a stray FIN of the connection from that port is answered with. */
static uint8_t answer_to_fin(struct link *link, uint16_t port, struct spied *spied)
{
	struct netstack_endpoint from = link_address(0, AF_INET, port), to = link_address(1, AF_INET, 80);
	struct craft_tcp fin = { .sequence = 5, .acknowledgement = 5, .flags = SEGMENT_FIN | SEGMENT_ACK, .window = 1000 };
	uint8_t packet[100];

	spied->count = 0;
	inject(link, 1, packet, craft_tcp(packet, &from, &to, &fin));
	assert_int_equal(spied->count, 1);
	return spied->packet[33];
}

/* P7: lwIP walks over all that wait for each segment that it does not know, so a far end may not make thousands. */
static void waits_are_bounded(void **state)
{
	struct link *link = link_create(1, 64 << 20);
	static struct peer clients[WAITS];
	static uint16_t ports[WAITS];
	struct peer server;
	struct spied spied;

	(void)state;
	peer_init(&server, link, 0);
	peer_listen(&server, 1, AF_INET, 80);
	for (int i = 0; i < WAITS; i++) {
		struct netstack_endpoint local;
		peer_init(&clients[i], link, 0);
		assert_int_equal(peer_connect(&clients[i], 0, AF_INET, 80), 0);
		netstack_stream_local(clients[i].stream, &local);
		ports[i] = local.port;
		pass(link, i % 100 == 99 ? 20 * MS : MS / 10);
	}
	pass(link, 300 * MS);
	assert_int_equal(netstack_stream_count(link_side(link, 1)->stack), 0);
	watch(link, 1, &spied);
	assert_int_equal(answer_to_fin(link, ports[WAITS - 1], &spied), SEGMENT_ACK);
	assert_int_equal(answer_to_fin(link, ports[WAITS - 1000], &spied), SEGMENT_ACK);
	assert_true(answer_to_fin(link, ports[0], &spied) & SEGMENT_RST);
	link_free(link);
}

/* --- ICMP --- */

static void on_ping(void *owner, uint64_t round_trip)
{
	*(uint64_t *)owner = round_trip;
}

static void echoes(void **state)
{
	struct link *link = open_link();
	struct netstack_endpoint to = link_address(1, AF_INET, 0), to6 = link_address(1, AF_INET6, 0), nobody = to;
	uint64_t one = 0, six = 0, none = 0;

	(void)state;
	nobody.bytes[3] = 77;
	assert_int_equal(netstack_ping(link_side(link, 0)->stack, &to, SECOND, on_ping, &one, link_now(link)), 0);
	assert_int_equal(netstack_ping(link_side(link, 0)->stack, &to6, SECOND, on_ping, &six, link_now(link)), 0);
	assert_int_equal(netstack_ping(link_side(link, 0)->stack, &nobody, SECOND, on_ping, &none, link_now(link)), 0);
	pass(link, 3 * SECOND);
	assert_in_range(one, 10 * MS, 11 * MS);
	assert_in_range(six, 10 * MS, 11 * MS);
	assert_int_equal(none, NETSTACK_NEVER);
	assert_int_equal(netstack_deadline(link_side(link, 0)->stack), NETSTACK_NEVER);
	link_free(link);
}

/* An error that quotes a packet, which was sent by `to`. */
static size_t craft_error_to(uint8_t *packet, const uint8_t to_bytes[4], const struct spied *spied, uint8_t type, uint8_t code, uint16_t mtu)
{
	uint8_t message[8 + 48] = { type, code, 0, 0, 0, 0, (uint8_t)(mtu >> 8), (uint8_t)mtu };
	struct netstack_endpoint router = { .family = AF_INET, .bytes = { 10, 9, 9, 9 } }, to = { .family = AF_INET };

	memcpy(message + 8, spied->packet, 48 < spied->length ? 48 : spied->length);
	memcpy(to.bytes, to_bytes, 4);
	return craft_icmp(packet, &router, &to, message, 8 + (48 < spied->length ? 48 : spied->length));
}

/* An error that quotes the last packet of a side. */
static size_t craft_error(uint8_t *packet, const struct spied *spied, uint8_t type, uint8_t code, uint16_t mtu)
{
	return craft_error_to(packet, spied->packet + 12, spied, type, code, mtu);
}

static void an_error_ends_a_connect(void **state)
{
	struct link *link = open_link();
	struct peer peer;
	struct spied spied;
	uint8_t packet[200];

	(void)state;
	link_side(link, 0)->out.down_until = NETSTACK_NEVER;
	watch(link, 0, &spied);
	peer_init(&peer, link, 0);
	assert_int_equal(peer_connect(&peer, 0, AF_INET, 80), 0);
	struct spied forged = spied;
	forged.packet[24] ^= 0x40; /* another sequence number */
	inject(link, 0, packet, craft_error(packet, &forged, 3, 1, 0));
	assert_false(peer.is_closed);
	inject(link, 0, packet, craft_error(packet, &spied, 3, 1, 0));
	assert_true(peer.is_closed);
	assert_int_equal(peer.why, NETSTACK_UNREACHABLE);
	link_free(link);
}

/* A narrow path: large packets vanish, and a router says so. */
static void large_packets_shrink(void **state)
{
	struct link *link = open_link();
	struct peer client, server;
	struct spied spied;
	uint8_t packet[200];

	(void)state;
	peer_init(&client, link, 300000);
	peer_init(&server, link, 0);
	peer_listen(&server, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&client, 0, AF_INET, 80), 0);
	pass(link, 8 * MS);
	watch(link, 0, &spied);
	link_side(link, 0)->out.down_until = link_now(link) + 4 * MS; /* the first flight */
	pass(link, 4 * MS);
	assert_int_equal(spied.length, LINK_MTU);
	inject(link, 0, packet, craft_error(packet, &spied, 3, 4, 500)); /* too small to be true */
	inject(link, 0, packet, craft_error(packet, &spied, 3, 4, 1300));
	spied.length = 0;
	pass(link, 20 * SECOND);
	assert_true(client.is_closed && server.is_closed);
	assert_int_equal(server.received, 300000);
	assert_false(server.is_wrong);
	link_free(link);
}

/* The same in IPv6, whose MTU has 32 bits. */
static size_t craft_error6(uint8_t *packet, const struct spied *spied, uint8_t type, uint32_t mtu)
{
	uint8_t message[8 + 88] = { type, 0, 0, 0, (uint8_t)(mtu >> 24), (uint8_t)(mtu >> 16), (uint8_t)(mtu >> 8), (uint8_t)mtu };
	struct netstack_endpoint router = { .family = AF_INET6, .bytes = { 0xfd, 9 } }, to = { .family = AF_INET6 };

	memcpy(message + 8, spied->packet, 88 < spied->length ? 88 : spied->length);
	memcpy(to.bytes, spied->packet + 8, 16);
	return craft_icmp(packet, &router, &to, message, sizeof(message));
}

static void errors_of_ipv6_count_as_well(void **state)
{
	struct link *link = open_link();
	struct peer peer, client, server;
	struct spied spied;
	uint8_t packet[300];

	(void)state;
	link_side(link, 0)->out.down_until = NETSTACK_NEVER;
	watch(link, 0, &spied);
	peer_init(&peer, link, 0);
	assert_int_equal(peer_connect(&peer, 0, AF_INET6, 80), 0);
	struct spied forged = spied;
	forged.packet[44] ^= 0x40; /* another sequence number */
	inject(link, 0, packet, craft_error6(packet, &forged, 1, 0));
	assert_false(peer.is_closed);
	inject(link, 0, packet, craft_error6(packet, &spied, 1, 0));
	assert_true(peer.is_closed);
	assert_int_equal(peer.why, NETSTACK_UNREACHABLE);
	link_side(link, 0)->out.down_until = 0;
	peer_init(&client, link, 300000);
	peer_init(&server, link, 0);
	peer_listen(&server, 1, AF_INET6, 81);
	assert_int_equal(peer_connect(&client, 0, AF_INET6, 81), 0);
	pass(link, 8 * MS);
	watch(link, 0, &spied);
	link_side(link, 0)->out.down_until = link_now(link) + 4 * MS;
	pass(link, 4 * MS);
	assert_int_equal(spied.length, LINK_MTU);
	inject(link, 0, packet, craft_error6(packet, &spied, 2, 1279)); /* less than every path has */
	inject(link, 0, packet, craft_error6(packet, &spied, 2, 1300));
	link_side(link, 0)->out.down_until = 0;
	spied.length = 0;
	pass(link, 20 * SECOND);
	assert_true(client.is_closed && server.is_closed);
	assert_int_equal(server.received, 300000);
	assert_in_range(spied.length, 1, LINK_MTU);
	link_free(link);
}

/* Whoever sees no packet of ours cannot say which it was, and no router ends what is open (RFC 5927). */
static void forged_errors_change_nothing(void **state)
{
	static const struct {
		uint8_t at, value; /* of the quoted packet; the bits are turned over */
	} turned[] = {
		{ 0, 0x20 },  /* its version */
		{ 0, 0x03 },  /* its header's length */
		{ 13, 0x01 }, /* who sent it */
		{ 9, 0x40 },  /* its protocol */
		{ 21, 0x01 }, /* our port */
		{ 24, 0x80 }, /* its sequence number, not outstanding */
	};
	struct link *link = open_link();
	struct peer client, server;
	struct spied spied, forged;
	uint8_t packet[200];

	(void)state;
	peer_init(&client, link, 300000);
	peer_init(&server, link, 0);
	peer_listen(&server, 1, AF_INET, 80);
	assert_int_equal(peer_connect(&client, 0, AF_INET, 80), 0);
	pass(link, 8 * MS);
	watch(link, 0, &spied);
	link_side(link, 0)->out.down_until = link_now(link) + 4 * MS;
	pass(link, 4 * MS);
	assert_int_equal(spied.length, LINK_MTU);
	for (size_t i = 0; i < sizeof(turned) / sizeof(turned[0]); i++) {
		forged = spied;
		forged.packet[turned[i].at] ^= turned[i].value;
		for (uint8_t code = 1; code <= 4; code += 3)
			inject(link, 0, packet, craft_error_to(packet, spied.packet + 12, &forged, 3, code, 600));
	}
	inject(link, 0, packet, craft_error(packet, &spied, 3, 1, 0));        /* true, of an open connection */
	inject(link, 0, packet, craft_error(packet, &spied, 3, 4, LINK_MTU)); /* no smaller than it was */
	inject(link, 0, packet, craft_error(packet, &spied, 5, 0, 0));        /* a redirect */
	forged.length = 0;
	inject(link, 0, packet, craft_error_to(packet, spied.packet + 12, &forged, 3, 1, 0)); /* of nothing */
	link_side(link, 0)->out.down_until = 0;
	spied.length = 0;
	pass(link, 20 * SECOND);
	assert_true(client.is_closed && server.is_closed);
	assert_int_equal(server.received, 300000);
	link_free(link);
}

/* A flow that does not want to know is told nothing. */
static void an_error_of_a_datagram_is_for_who_asks(void **state)
{
	struct link *link = open_link();
	struct netstack_endpoint to = link_address(1, AF_INET, 53);
	struct netstack_flow *flow;
	struct spied spied;
	uint8_t packet[200];

	(void)state;
	watch(link, 0, &spied);
	assert_int_equal(netstack_flow_open(link_side(link, 0)->stack, NULL, on_datagram, NULL, &flow), 0);
	assert_int_equal(netstack_flow_send(flow, &to, "?", 1, link_now(link)), 0);
	inject(link, 0, packet, craft_error(packet, &spied, 3, 3, 0));
	inject(link, 0, packet, craft_error(packet, &spied, 3, 4, 600));
	netstack_flow_close(flow);
	inject(link, 0, packet, craft_error(packet, &spied, 3, 3, 0));
	link_free(link);
}

/* I9 */
static bool swallow(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	(void)parts;
	(void)count;
	*(size_t *)owner += length;
	return true;
}

static void a_thousand_stacks_work(void **state)
{
	struct link *link = open_link();
	static struct netstack *stacks[1000];
	static struct peer peers[1000];
	size_t sent = 0;
	const struct netstack_env env = { .owner = &sent, .output = swallow };
	struct netstack_config config = { .address_count = 1, .mtu = LINK_MTU };

	(void)state;
	config.addresses[0] = link_address(0, AF_INET, 0);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(netstack_create(&stacks[i], &config, &env, link_now(link)), 0);
		assert_int_equal(netstack_deadline(stacks[i]), NETSTACK_NEVER);
	}
	for (size_t i = 0; i < 1000; i++) {
		struct netstack_endpoint to = link_address(1, AF_INET, 80);
		assert_int_equal(netstack_stream_connect(stacks[i * 7 % 1000], &to, &peer_events, &peers[i], link_now(link), &peers[i].stream), 0);
		netstack_stream_set_owner(peers[i].stream, NULL, NULL);
	}
	assert_int_equal(sent, 1000 * 52);
	for (size_t i = 0; i < 1000; i++)
		netstack_free(stacks[i * 3 % 1000]);
	assert_in_range(netstack_state_size(), 512, 2048);
	link_free(link);
}

/* Thousands of idle stacks are why: what lwIP keeps for one is twice the rest of it. */
static void lwip_is_made_when_it_is_needed(void **state)
{
	struct link *link = link_create(31, 64 << 20);
	struct netstack *stack = link_side(link, 0)->stack;
	struct netstack_endpoint at = link_address(0, AF_INET, 80), to = link_address(1, AF_INET, 53);
	struct netstack_flow *flow;
	struct netstack_listener *listener;
	(void)state;

	assert_int_equal(netstack_flow_open(stack, NULL, on_datagram, NULL, &flow), 0);
	assert_int_equal(netstack_flow_send(flow, &to, "?", 1, link_now(link)), 0);
	netstack_flow_close(flow);
	netstack_kick(stack, link_now(link));
	netstack_tick(stack, link_now(link));
	netstack_settle(stack, link_now(link));
	assert_null(stack->lwip);
	assert_int_equal(netstack_listen(stack, &at, peer_accept, NULL, &listener), 0);
	assert_non_null(stack->lwip);
	link_free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_apart_from_a_twin),
		cmocka_unit_test(takes_nothing_for_others),
		cmocka_unit_test(numbers_cannot_be_guessed),
		cmocka_unit_test(datagrams_of_every_size_arrive),
		cmocka_unit_test(many_flows_get_their_own),
		cmocka_unit_test(serves_nothing_unasked),
		cmocka_unit_test(fragments_are_bounded),
		cmocka_unit_test(the_largest_datagram_overruns_nothing),
		cmocka_unit_test(withstands_blind_segments),
		cmocka_unit_test(withstands_malformed_options),
		cmocka_unit_test(withstands_sack_abuse),
		cmocka_unit_test(echoes),
		cmocka_unit_test(an_announced_segment_size_is_obeyed),
		cmocka_unit_test(small_segments_are_few),
		cmocka_unit_test(sack_is_not_read_when_it_was_not_agreed),
		cmocka_unit_test(withstands_sack_abuse_of_any_peer),
		cmocka_unit_test(options_are_read_from_the_handshake_alone),
		cmocka_unit_test(a_second_syn_adds_no_options),
		cmocka_unit_test(a_wrong_syn_ack_adds_no_options),
		cmocka_unit_test(waits_are_bounded),
		cmocka_unit_test(an_error_ends_a_connect),
		cmocka_unit_test(large_packets_shrink),
		cmocka_unit_test(errors_of_ipv6_count_as_well),
		cmocka_unit_test(forged_errors_change_nothing),
		cmocka_unit_test(an_error_of_a_datagram_is_for_who_asks),
		cmocka_unit_test(a_thousand_stacks_work),
		cmocka_unit_test(lwip_is_made_when_it_is_needed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
