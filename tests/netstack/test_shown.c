/* P2: bytes passed to `received` stay unchanged until the stack is settled, whatever else arrives in the same batch. The owner here acts like a
 * relay: it keeps the pointers, and reads through them just before it settles. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/packet.h"
#include "netstack/stream.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/owner.h"
#include "tests/netstack/peer.h"

#define PACKETS_MAX 64

struct bench {
	struct link *link;
	struct netstack *stack;
	struct netstack_stream *stream; /* NULL once closed */
	struct netstack_endpoint from, to;
	uint32_t next, acknowledgement; /* the far end's */
	struct iovec parts[256];
	size_t part_count, length;
	uint8_t copy[1 << 17];
	uint8_t packets[PACKETS_MAX][2000]; /* of the batch: they stay too, as a slab does */
	size_t packet_count;
};

static void on_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct bench *bench = owner;

	for (size_t i = 0; i < count; i++) {
		bench->parts[bench->part_count++] = parts[i];
		memcpy(bench->copy + bench->length, parts[i].iov_base, parts[i].iov_len);
		bench->length += parts[i].iov_len;
	}
	netstack_stream_consumed(bench->stream, length, link_now(bench->link));
}

static void on_closed(void *owner, enum netstack_error why)
{
	struct bench *bench = owner;
	(void)why;
	bench->stream = NULL;
}

static const struct netstack_stream_events events = {
	.received = on_received,
	.finished = owner_ignore,
	.acknowledged = owner_ignore_acknowledged,
	.closed = on_closed,
};

static void on_accept(void *owner, struct netstack_stream *stream)
{
	struct bench *bench = owner;
	bench->stream = stream;
	netstack_stream_set_owner(stream, &events, bench);
}

/* A packet of the batch. */
static void give(struct bench *bench, const uint8_t *packet, size_t length)
{
	assert_true(bench->packet_count < PACKETS_MAX);
	uint8_t *place = bench->packets[bench->packet_count++];
	memcpy(place, packet, length);
	netstack_input(bench->stack, place, length, link_now(bench->link));
}

static void give_tcp(struct bench *bench, uint8_t flags, uint32_t ahead, uint8_t letter, size_t length)
{
	uint8_t packet[2000], payload[1500];
	struct craft_tcp tcp = { .sequence = bench->next + ahead,
		                 .acknowledgement = bench->acknowledgement,
		                 .flags = flags,
		                 .window = 60000,
		                 .payload = payload,
		                 .length = length };

	memset(payload, letter, length);
	give(bench, packet, craft_tcp(packet, &bench->from, &bench->to, &tcp));
}

/* A segment in two fragments, or its first one alone. */
static void give_fragments(struct bench *bench, uint16_t id, uint8_t letter, bool whole)
{
	uint8_t packet[2000], piece[2000], payload[1000];
	struct craft_tcp tcp = { .sequence = bench->next,
		                 .acknowledgement = bench->acknowledgement,
		                 .flags = SEGMENT_ACK,
		                 .window = 60000,
		                 .payload = payload,
		                 .length = sizeof(payload) };

	memset(payload, letter, sizeof(payload));
	size_t length = craft_tcp(packet, &bench->from, &bench->to, &tcp) - 20;
	give(bench, piece, craft_cut(piece, packet, id, 0, 800));
	if (whole)
		give(bench, piece, craft_cut(piece, packet, id, 800, length - 800));
}

/* What the relay's write would send, then the end of the batch. */
static void settle(struct bench *bench)
{
	const uint8_t *right = bench->copy;

	for (size_t i = 0; i < bench->part_count; i++) {
		assert_int_equal(memcmp(bench->parts[i].iov_base, right, bench->parts[i].iov_len), 0); /* which AddressSanitizer sees */
		right += bench->parts[i].iov_len;
	}
	netstack_settle(bench->stack, link_now(bench->link));
	bench->part_count = bench->length = bench->packet_count = 0;
}

static void shake_hands(struct bench *bench)
{
	bench->next = 1000;
	bench->acknowledgement = 0;
	give_tcp(bench, SEGMENT_SYN, (uint32_t)-1, 0, 0);
	settle(bench);
}

static void note_syn(void *owner, const uint8_t *packet, size_t length)
{
	struct bench *bench = owner;
	(void)length;
	if (packet[33] & SEGMENT_SYN)
		bench->acknowledgement = packet_read32(packet + 24) + 1;
}

static void open_bench(struct bench *bench)
{
	struct netstack_listener *listener;

	memset(bench, 0, sizeof(*bench));
	bench->link = link_create(1, 64 << 20);
	bench->stack = link_side(bench->link, 1)->stack;
	bench->from = link_address(0, AF_INET, 4000);
	bench->to = link_address(1, AF_INET, 80);
	link_side(bench->link, 1)->spy = note_syn;
	link_side(bench->link, 1)->spy_owner = bench;
	assert_int_equal(netstack_listen(bench->stack, &bench->to, on_accept, bench, &listener), 0);
	shake_hands(bench);
}

static void open_connected(struct bench *bench)
{
	open_bench(bench);
	give_tcp(bench, SEGMENT_ACK, 0, 0, 0);
	settle(bench);
	assert_non_null(bench->stream);
}

static void a_reassembled_segment_outlives_the_next_fragment(void **state)
{
	static struct bench bench;

	(void)state;
	open_connected(&bench);
	give_fragments(&bench, 1, 'a', true);
	assert_int_equal(bench.length, 1000);
	bench.next += 1000;
	give_fragments(&bench, 2, 'b', false);
	settle(&bench);
	/* and one that is complete, many times */
	for (uint16_t id = 10; id < 25; id++) {
		give_fragments(&bench, id, (uint8_t)('a' + id), true);
		bench.next += 1000;
	}
	assert_int_equal(bench.length, 15000);
	settle(&bench);
	link_free(bench.link);
}

static void held_bytes_outlive_their_stream(void **state)
{
	static struct bench bench;

	(void)state;
	open_connected(&bench);
	give_tcp(&bench, SEGMENT_ACK, 100, 'b', 1000);
	settle(&bench);
	give_tcp(&bench, SEGMENT_ACK, 0, 'a', 100);
	assert_int_equal(bench.length, 1100);
	bench.next += 1100;
	give_tcp(&bench, SEGMENT_RST, 0, 0, 0);
	assert_null(bench.stream);
	shake_hands(&bench); /* another that holds bytes on pages of the same size */
	give_tcp(&bench, SEGMENT_ACK, 100, 'c', 1000);
	settle(&bench);
	link_free(bench.link);
}

static void bytes_of_the_handshake_outlive_their_stream(void **state)
{
	static struct bench bench;

	(void)state;
	open_bench(&bench);
	give_tcp(&bench, SEGMENT_ACK, 0, 'a', 1000);
	assert_int_equal(bench.length, 1000);
	bench.next += 1000;
	give_tcp(&bench, SEGMENT_RST, 0, 0, 0);
	assert_null(bench.stream);
	settle(&bench);
	link_free(bench.link);
}

/* A turn's worth of datagrams of a few bytes: none may take the room of the largest. */
static void a_reassembled_segment_takes_its_own_length(void **state)
{
	static struct bench bench;

	(void)state;
	open_connected(&bench);
	give_fragments(&bench, 1, 'a', true);
	assert_non_null(bench.stack->retired.first);
	assert_in_range(malloc_usable_size(bench.stack->retired.first), 1000, 2000);
	settle(&bench);
	assert_null(bench.stack->retired.first);
	link_free(bench.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reassembled_segment_outlives_the_next_fragment),
		cmocka_unit_test(held_bytes_outlive_their_stream),
		cmocka_unit_test(bytes_of_the_handshake_outlive_their_stream),
		cmocka_unit_test(a_reassembled_segment_takes_its_own_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
