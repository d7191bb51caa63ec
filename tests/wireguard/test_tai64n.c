/* Timestamps: their form (W7), and that they never step back (W8). */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/tai64n.h"

#define YEAR (365 * 86400 * INT64_C(1000000000))

static struct wireguard_tai64n label(uint64_t nanoseconds)
{
	static const struct wireguard_tai64n never;
	struct timespec wall = { (time_t)(nanoseconds / SECOND), (long)(nanoseconds % SECOND) };

	return wireguard_tai64n_next(&never, &wall);
}

static void test_w7_form(void **state)
{
	/* 2^62 + 10 + 1, and 0.123456789 s down to a multiple of 2^24 ns. */
	static const uint8_t expected[12] = { 0x40, 0, 0, 0, 0, 0, 0, 11, 0x07, 0, 0, 0 };
	struct wireguard_tai64n first = label(SECOND + 123456789);
	(void)state;

	assert_memory_equal(first.bytes, expected, sizeof(expected));
	struct wireguard_tai64n later = label(SECOND + 133456789);
	assert_false(wireguard_tai64n_is_after(&later, &first));
	assert_false(wireguard_tai64n_is_after(&first, &later));
	later = label(SECOND + 143456789);
	assert_true(wireguard_tai64n_is_after(&later, &first));
	assert_false(wireguard_tai64n_is_after(&first, &later));
}

static void test_w8_next_is_always_later(void **state)
{
	struct wireguard_tai64n last = label(50 * SECOND + 980 * MILLISECOND);
	struct timespec back = { 3, 0 };
	(void)state;

	/* Across the end of a second, and from whatever was stored. */
	for (unsigned i = 0; i < 1000; i++) {
		struct wireguard_tai64n next = wireguard_tai64n_next(&last, &back);
		uint32_t nanoseconds;
		assert_true(wireguard_tai64n_is_after(&next, &last));
		memcpy(&nanoseconds, next.bytes + 8, 4);
		assert_true(be32toh(nanoseconds) < SECOND);
		assert_int_equal(be32toh(nanoseconds) % (1 << 24), 0);
		last = next;
	}
	memset(last.bytes + 8, 0xff, 4);
	struct wireguard_tai64n next = wireguard_tai64n_next(&last, &back);
	assert_true(wireguard_tai64n_is_after(&next, &last));
}

/* The clock of the initiator goes as it likes; the responder, which never restarts, always answers. */
static void test_w8_f5_clock_that_jumps(void **state)
{
	static const int64_t offsets[] = { 0, -YEAR, 0, 10 * YEAR, 0, -YEAR };
	struct link *link = link_create(2);
	uint8_t before[12], after[12];
	(void)state;

	link_join(link, 0, 1);
	wireguard_device_last_timestamp(link->nodes[0].device, before);
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		link->nodes[0].wall_offset = offsets[i];
		wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
		link_run(link, SECOND);
		assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], i + 1);
		wireguard_device_last_timestamp(link->nodes[0].device, after);
		assert_true(memcmp(after, before, sizeof(after)) > 0);
		assert_memory_equal(after, link_peer(link, 1, 0)->latest_timestamp.bytes, sizeof(after));
		memcpy(before, after, sizeof(before));
	}
	link_free(link);
}

static void test_w8_restart_with_a_clock_that_was_wrong(void **state)
{
	struct link *link = link_create(2);
	struct link_node *node = &link->nodes[0];
	uint8_t stored[12], after[12];
	(void)state;

	link_join(link, 0, 1);
	node->wall_offset = 10 * YEAR;
	link_handshake(link, 0, 1);
	wireguard_device_last_timestamp(node->device, stored);
	/* The daemon restarts with what it has stored, the clock is right again. */
	struct wireguard_env env = node->device->env;
	wireguard_device_free(node->device);
	node->wall_offset = 0;
	assert_int_equal(wireguard_device_create(&node->device, &node->private_key, stored, &env), 0);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	link_config(link, 1, &config, networks);
	assert_int_equal(config_add(node->device, &config, (void *)1, &peer, link->now), 0);
	wireguard_device_last_timestamp(node->device, after);
	assert_memory_equal(after, stored, sizeof(after));
	link_handshake(link, 0, 1);
	wireguard_device_last_timestamp(node->device, after);
	assert_true(memcmp(after, stored, sizeof(after)) > 0);
	link_free(link);
}

/* The responder restarts: what it is told of the peer keeps a recorded initiation from being taken once more. */
static void test_w6_replay_to_a_responder_that_restarted(void **state)
{
	struct link *link = link_create(2);
	struct link_node *node = &link->nodes[1];
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	union wireguard_endpoint elsewhere = link_ipv4(0x0a090909, 9);
	uint8_t latest[12], zero[12] = { 0 };
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_latest_timestamp(link_peer(link, 1, 0), latest);
	assert_memory_equal(latest, zero, sizeof(latest));
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	struct link_datagram *recorded = link_take(link);
	link_inject(link, 1, &recorded->from, recorded->bytes, recorded->length);
	assert_int_equal(node->events[WIREGUARD_INITIATION_TAKEN], 1);
	wireguard_peer_latest_timestamp(link_peer(link, 1, 0), latest);

	struct wireguard_env env = node->device->env;
	wireguard_device_free(node->device);
	assert_int_equal(wireguard_device_create(&node->device, &node->private_key, zero, &env), 0);
	link_config(link, 0, &config, networks);
	assert_int_equal(config_add(node->device, &config, NULL, &peer, link->now), 0);
	wireguard_peer_set_latest_timestamp(peer, latest);
	link->now += SECOND;
	link_inject(link, 1, &elsewhere, recorded->bytes, recorded->length);
	assert_int_equal(node->sent[WIREGUARD_RESPONSE], 1);
	assert_int_equal(node->events[WIREGUARD_INITIATION_TAKEN], 1);
	assert_memory_equal(&wireguard_peer_endpoint(peer)->v4, &config.endpoint.v4, sizeof(config.endpoint.v4));
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	link_run(link, SECOND);
	assert_int_equal(node->events[WIREGUARD_INITIATION_TAKEN], 2);
	free(recorded);
	link_free(link);
}

/* One floor for all peers of a device: two initiations at one time differ. */
static void test_w8_peers_of_one_device(void **state)
{
	struct link *link = link_create(4);
	(void)state;

	for (unsigned to = 1; to < 4; to++)
		link_join(link, 0, to);
	for (unsigned to = 1; to < 4; to++)
		wireguard_peer_initiate(link_peer(link, 0, to), link->now);
	link_run(link, SECOND);
	for (unsigned to = 1; to < 4; to++) {
		assert_int_equal(link->nodes[to].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
		for (unsigned other = 1; other < to; other++)
			assert_memory_not_equal(&link_peer(link, to, 0)->latest_timestamp, &link_peer(link, other, 0)->latest_timestamp, 12);
	}
	link_free(link);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_w7_form),         cmocka_unit_test(test_w8_next_is_always_later),
		link_test(test_w8_f5_clock_that_jumps), link_test(test_w8_restart_with_a_clock_that_was_wrong),
		link_test(test_w8_peers_of_one_device), link_test(test_w6_replay_to_a_responder_that_restarted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
