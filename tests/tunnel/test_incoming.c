/* A PREPARE of many peers is decoded in bounded steps, from bytes that are its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/failing_heap.h"
#include "tunnel/worker/incoming.h"

enum { PEERS = SPEC_PEER_MAX, NETWORKS = 16, ITEMS_A_STEP = 2048 };

static struct spec spec;
static struct message_writer body;
static struct incoming incoming;

static void fill(size_t peers)
{
	struct message_addresses *endpoints = calloc(peers, sizeof(*endpoints));
	uint32_t *slots = calloc(peers, sizeof(*slots));
	struct message_socket socket = { .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = true };
	spec_init(&spec);
	spec.peers = calloc(peers, sizeof(*spec.peers));
	spec.peer_count = peers;
	for (size_t i = 0; i < peers; i++) {
		struct spec_peer *peer = &spec.peers[i];
		memcpy(peer->public_key.bytes, &i, sizeof(i));
		peer->allowed_ips = calloc(NETWORKS, sizeof(*peer->allowed_ips));
		peer->allowed_ip_count = i % 7 == 0 ? 0 : NETWORKS;
		for (size_t k = 0; k < NETWORKS; k++)
			peer->allowed_ips[k] =
			    (struct wireguard_network){ .family = AF_INET, .bytes = { 10, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)k }, .prefix = 32 };
		slots[i] = (uint32_t)i;
	}
	struct message_prepare message = {
		.request = 7, .id = "many", .endpoints = endpoints, .sockets = &socket, .socket_count = 1, .peer_slots = slots
	};
	message.spec = spec;
	struct message_writer wire;
	message_writer_init(&wire);
	message_writer_init(&body);
	spec_encode(&wire, &spec);
	message_encode_prepare(&body, &message, &wire);
	assert_false(body.failed);
	message_writer_clear(&wire);
	free(endpoints);
	free(slots);
}

static int tear_down(void **state)
{
	(void)state;
	incoming_clear(&incoming);
	spec_clear(&spec);
	message_writer_clear(&body);
	return 0;
}

static bool begin(size_t length, int *descriptor)
{
	const struct message_reader reader = { .bytes = body.bytes, .left = length };
	return incoming_begin(&incoming, &reader, descriptor, 1);
}

static void check(void)
{
	assert_true(incoming_is_whole(&incoming));
	assert_int_equal(incoming.message.request, 7);
	assert_true(spec_equal(&incoming.message.spec, &spec));
	assert_int_equal(incoming.message.peer_slots[spec.peer_count - 1], spec.peer_count - 1);
	assert_int_equal(incoming.descriptor_count, 1);
}

static void many_peers_are_decoded_in_bounded_steps(void **state)
{
	int descriptor = open("/dev/null", O_RDONLY), same = descriptor;
	size_t steps = 1, before = 0;
	(void)state;
	fill(PEERS);
	assert_true(begin(body.length, &descriptor));
	assert_int_equal(descriptor, -1);
	memset(body.bytes, 0xff, body.length); /* the channel's buffer is used again */
	for (bool more = true; more; steps++) {
		size_t left = incoming.decoder.reader.left;
		more = incoming_more(&incoming);
		if (more)
			assert_in_range(left - incoming.decoder.reader.left, 1, ITEMS_A_STEP * 100);
		assert_true(before == 0 || before > left);
		before = left;
	}
	check();
	assert_in_range(steps, PEERS * (NETWORKS - 2) / ITEMS_A_STEP, PEERS * (NETWORKS + 1) / ITEMS_A_STEP + 1);
	incoming_clear(&incoming);
	assert_int_equal(fcntl(same, F_GETFD), -1);
}

static void few_peers_are_decoded_at_once(void **state)
{
	int descriptor = -1;
	(void)state;
	fill(9);
	assert_false(begin(body.length, &descriptor));
	check();
	assert_null(incoming.rest);
}

static void what_is_cut_off_is_not_whole(void **state)
{
	int descriptor = -1;
	(void)state;
	fill(PEERS);
	for (size_t length = body.length - 1; length > 0; length = length / 2) {
		for (bool more = begin(length, &descriptor); more;)
			more = incoming_more(&incoming);
		assert_false(incoming_is_whole(&incoming));
		incoming_clear(&incoming);
	}
}

/* F1: it takes longer, but is done. */
static void without_memory_for_a_copy_it_is_decoded_at_once(void **state)
{
	int descriptor = -1;
	(void)state;
	fill(PEERS);
	for (unsigned allowed = 0, more = true; more || !incoming_is_whole(&incoming); allowed++) {
		incoming_clear(&incoming);
		heap_fails_once_after(allowed);
		more = begin(body.length, &descriptor);
		heap_works();
		assert_true(allowed < 1000);
	}
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(many_peers_are_decoded_in_bounded_steps, tear_down),
		cmocka_unit_test_teardown(few_peers_are_decoded_at_once, tear_down),
		cmocka_unit_test_teardown(what_is_cut_off_is_not_whole, tear_down),
		cmocka_unit_test_teardown(without_memory_for_a_copy_it_is_decoded_at_once, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
