/* Long runs over a bad link (W35, in-process): traffic continues through loss, reordering, duplicates, outages and moves, and every packet
 * arrives unchanged, at most once. */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"

/* Inner packets carry a number, so that a second copy is seen. */
enum { NUMBERS = 1 << 20 };
static uint8_t seen[2][NUMBERS / 8];
static unsigned numbers[2], arrived[2], twice;
static uint64_t last_arrival[2], longest_stall[2];
static struct link *of_deliver;

static void deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct link_node *node = owner;
	uint32_t number;

	(void)peer;
	assert_in_range(length, 24, 1420);
	memcpy(&number, packet + 20, sizeof(number));
	assert_true(number < NUMBERS);
	twice += (seen[node->number][number / 8] >> number % 8) & 1;
	seen[node->number][number / 8] |= (uint8_t)(1 << number % 8);
	arrived[node->number]++;
	uint64_t stall = of_deliver->now - last_arrival[node->number];
	if (stall > longest_stall[node->number])
		longest_stall[node->number] = stall;
	last_arrival[node->number] = of_deliver->now;
}

static void send_numbered(struct link *link, unsigned from)
{
	uint8_t packet[1420] = { 0x45, [12] = 10, [15] = (uint8_t)(from + 1), [16] = 10, [19] = (uint8_t)(2 - from) };
	size_t length = 24 + link_random(link) % (sizeof(packet) - 24);
	uint32_t number = numbers[from]++;
	struct iovec part = { packet, length };

	packet[2] = (uint8_t)(length >> 8);
	packet[3] = (uint8_t)length;
	memcpy(packet + 20, &number, sizeof(number));
	int result = wireguard_device_send(link->nodes[from].device, &part, 1, length, link->now);
	assert_true(result == WIREGUARD_OK || result == WIREGUARD_STAGED);
}

static struct link *bad_link(unsigned loss, unsigned reorder, unsigned duplicate)
{
	struct link *link = link_create(2);

	link_join(link, 0, 1);
	link->loss = loss;
	link->reorder = reorder;
	link->duplicate = duplicate;
	memset(seen, 0, sizeof(seen));
	memset(numbers, 0, sizeof(numbers));
	memset(arrived, 0, sizeof(arrived));
	memset(longest_stall, 0, sizeof(longest_stall));
	twice = 0;
	of_deliver = link;
	for (unsigned node = 0; node < 2; node++) {
		link->nodes[node].device->env.deliver = deliver;
		last_arrival[node] = link->now;
	}
	return link;
}

static void talk(struct link *link, uint64_t duration, uint64_t pause)
{
	for (uint64_t end = link->now + duration; link->now < end;) {
		send_numbered(link, 0);
		send_numbered(link, 1);
		link_run(link, pause);
	}
}

static void test_w35_an_hour_of_loss(void **state)
{
	static const unsigned losses[] = { 0, 10, 50, 150, 300 };
	(void)state;

	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		struct link *link = bad_link(losses[i], 20, 20);
		talk(link, 3600 * SECOND, 250 * MILLISECOND);
		link_run(link, SECOND);
		assert_int_equal(twice, 0);
		for (unsigned node = 0; node < 2; node++) {
			/* What the link let through came out, but for what was staged too long. */
			assert_true(arrived[node] * 1000ull >= numbers[1 - node] * (980ull - losses[i]));
			assert_true(longest_stall[node] < 20 * SECOND);
			assert_int_equal(link->nodes[node].events[WIREGUARD_HANDSHAKE_GAVE_UP], 0);
		}
		assert_in_range(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED] + link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 58, 80);
		link_free(link);
	}
}

static void test_w35_link_that_goes_and_returns(void **state)
{
	static const unsigned cuts[] = { 1, 10, 60, 100, 200, 1000 };
	struct link *link = bad_link(20, 50, 10);
	(void)state;

	talk(link, 30 * SECOND, 100 * MILLISECOND);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		link->is_cut = true;
		talk(link, cuts[i] * SECOND, 500 * MILLISECOND);
		link->is_cut = false;
		last_arrival[0] = last_arrival[1] = link->now;
		memset(longest_stall, 0, sizeof(longest_stall));
		talk(link, 60 * SECOND, 100 * MILLISECOND);
		for (unsigned node = 0; node < 2; node++)
			assert_true(longest_stall[node] <= 6 * SECOND && link->now - last_arrival[node] < SECOND);
	}
	assert_int_equal(twice, 0);
	link_free(link);
}

static bool drop_large(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)link;
	(void)from;
	(void)bytes;
	return length <= 1000;
}

/* A black hole for large packets takes no session down. */
static void test_w35_black_hole(void **state)
{
	struct link *link = bad_link(0, 0, 0);
	(void)state;

	link->filter = drop_large;
	talk(link, 600 * SECOND, 100 * MILLISECOND);
	assert_in_range(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 5, 10);
	assert_true(arrived[0] > numbers[1] / 2 && arrived[1] > numbers[0] / 2);
	assert_true(longest_stall[0] < 2 * SECOND && longest_stall[1] < 2 * SECOND);
	link_free(link);
}

/* One that moves all the time, and changes its family with it. */
static void test_w35_roaming(void **state)
{
	struct link *link = bad_link(30, 100, 30);
	(void)state;

	talk(link, 10 * SECOND, 100 * MILLISECOND);
	for (unsigned i = 0; i < 200; i++) {
		link->nodes[0].address = i % 2 == 0 ? link_ipv6(link_random(link), 1, 99) : link_ipv4((uint32_t)link_random(link), 99);
		talk(link, 3 * SECOND, 100 * MILLISECOND);
	}
	assert_true(longest_stall[0] < SECOND && longest_stall[1] < SECOND);
	assert_in_range(link->nodes[1].events[WIREGUARD_ENDPOINT_MOVED], 200, 600);
	assert_int_equal(twice, 0);
	link_free(link);
}

/* A peer that restarts, with nothing of what it knew but its keys. */
static void test_w35_restart_of_the_peer(void **state)
{
	struct link *link = bad_link(0, 0, 0);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	uint8_t stored[12];
	(void)state;

	talk(link, 50 * SECOND, 100 * MILLISECOND);
	for (unsigned round = 0; round < 4; round++) {
		struct link_node *node = &link->nodes[round % 2];
		struct wireguard_env env = node->device->env;
		wireguard_device_last_timestamp(node->device, stored);
		wireguard_device_free(node->device);
		assert_int_equal(wireguard_device_create(&node->device, &node->private_key, stored, &env), 0);
		link_config(link, 1 - round % 2, &config, networks);
		assert_int_equal(config_add(node->device, &config, (void *)(uintptr_t)(1 - round % 2), &peer, link->now), 0);
		memset(longest_stall, 0, sizeof(longest_stall));
		talk(link, 60 * SECOND, 100 * MILLISECOND);
		assert_true(longest_stall[0] < 20 * SECOND && longest_stall[1] < 20 * SECOND);
	}
	link_free(link);
}

/* Seven that talk to one, which never mistakes one for another (the link's own deliver looks at each packet). */
static void test_many_peers(void **state)
{
	struct link *link = link_create(8);
	(void)state;

	for (unsigned node = 1; node < 8; node++)
		link_join(link, 0, node);
	link->loss = 30;
	link->reorder = 100;
	for (unsigned i = 0; i < 20000; i++) {
		unsigned node = 1 + (unsigned)(link_random(link) % 7);
		link_send(link, i % 2 == 0 ? 0 : node, i % 2 == 0 ? node : 0, 20 + link_random(link) % 1400);
		link_run(link, link_random(link) % (60 * MILLISECOND));
	}
	assert_in_range(link->nodes[0].delivered, 9000, 10000);
	link_free(link);
}

/* A hub of two thousand: all begin at once, and time passes without a walk over all of them. */
static void test_two_thousand_peers(void **state)
{
	enum { PEERS = 2000 };
	struct wireguard_peer **peers = calloc(PEERS, sizeof(*peers));
	(void)state;

	wireguard_stop();
	assert_int_equal(wireguard_start(PEERS * 4, false), 0);
	struct link *link = link_create(1);
	struct wireguard_device *device = link->nodes[0].device;
	link->is_cut = true;
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_network network = { AF_INET, 32, { 10, 1, (uint8_t)(i >> 8), (uint8_t)i } };
		struct wireguard_peer_config config = { .endpoint = link_ipv4(1 + i, 1), .allowed_ips = &network, .allowed_ip_count = 1 };
		struct wireguard_key key = { { 0, (uint8_t)i, (uint8_t)(i >> 8) } };
		assert_int_equal(wireguard_key_public(&config.public_key, &key), 0);
		assert_int_equal(config_add(device, &config, NULL, &peers[i], link->now), 0);
		wireguard_peer_initiate(peers[i], link->now);
	}
	assert_int_equal(device->indices.used, PEERS);
	assert_in_range(wireguard_device_deadline(device), link->now + 5 * SECOND, link->now + 6 * SECOND);
	link_run(link, 6 * SECOND);
	assert_in_range(link->nodes[0].sent[WIREGUARD_INITIATION], 2 * PEERS, 2 * PEERS);
	for (unsigned i = 0; i < PEERS; i++)
		wireguard_peer_remove(peers[i * 7 % PEERS]);
	assert_int_equal(device->indices.used, 0);
	link_free(link);
	free(peers);
}

/* Ended at every moment of a handshake and of traffic, with a seed of its own each time: the arena is empty again, and so is the heap. */
static void test_l1_ended_at_any_moment(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct link *link = link_create(2);
		link->random = i;
		link->loss = i % 3 * 100;
		link_join(link, 0, 1);
		for (unsigned packet = 0; packet < 20; packet++) {
			link_send(link, packet % 2, 1 - packet % 2, 50);
			link_run(link, link_random(link) % (i * 100 * 1000 + 1));
		}
		if (i % 2 == 0)
			wireguard_peer_remove(link_peer(link, 0, 1));
		link_run(link, link_random(link) % (20 * MILLISECOND));
		link_free(link);
		assert_int_equal(wireguard_arena_used(), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w35_an_hour_of_loss), link_test(test_w35_link_that_goes_and_returns), link_test(test_w35_black_hole),
		link_test(test_w35_roaming),         link_test(test_w35_restart_of_the_peer),        link_test(test_many_peers),
		link_test(test_two_thousand_peers),  link_test(test_l1_ended_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
