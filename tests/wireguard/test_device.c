/* A device's interface for its owner, and its errors. */
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"

static int send_bytes(struct link *link, unsigned node, const void *bytes, size_t length)
{
	struct iovec part = { (void *)(uintptr_t)bytes, length };

	return wireguard_device_send(link->nodes[node].device, &part, 1, length, link->now);
}

static void test_send_says_what_is_wrong(void **state)
{
	static uint8_t packet[65536] = { 0x45, [16] = 10, [19] = 2 };
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	assert_int_equal(send_bytes(link, 0, packet, 0), WIREGUARD_BAD_PACKET);
	assert_int_equal(send_bytes(link, 0, packet, 19), WIREGUARD_BAD_PACKET);
	assert_int_equal(send_bytes(link, 0, packet, 65507), WIREGUARD_BAD_PACKET);
	packet[0] = 0x55;
	assert_int_equal(send_bytes(link, 0, packet, 20), WIREGUARD_BAD_PACKET);
	packet[0] = 0x60;
	assert_int_equal(send_bytes(link, 0, packet, 39), WIREGUARD_BAD_PACKET);
	assert_int_equal(send_bytes(link, 0, packet, 40), WIREGUARD_NO_PEER);
	packet[24] = 0xfd;
	packet[39] = 2;
	assert_int_equal(send_bytes(link, 0, packet, 40), WIREGUARD_STAGED);
	packet[0] = 0x45;
	packet[19] = 9;
	assert_int_equal(send_bytes(link, 0, packet, 20), WIREGUARD_NO_PEER);
	union wireguard_endpoint nowhere = { .any.sa_family = AF_UNSPEC };
	wireguard_peer_set_endpoint(link_peer(link, 0, 1), &nowhere);
	packet[19] = 2;
	assert_int_equal(send_bytes(link, 0, packet, 20), WIREGUARD_NO_ENDPOINT);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now + 10 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1); /* the one from before */
	wireguard_peer_set_endpoint(link_peer(link, 0, 1), &link->nodes[1].address);
	assert_int_equal(send_bytes(link, 0, packet, 20), WIREGUARD_STAGED);
	link_free(link);
}

static void test_staged_packets_go_in_order(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	for (size_t length = 100; length < 110; length++)
		assert_int_equal(link_send(link, 0, 1, length), WIREGUARD_STAGED);
	link_run(link, 3 * link->delay - 1);
	for (size_t length = 100; length < 110; length++) {
		struct link_datagram *datagram = link_take(link);
		link_inject(link, 1, &datagram->from, datagram->bytes, datagram->length);
		assert_int_equal(link->nodes[1].packet_length, length);
		free(datagram);
	}
	assert_null(link->first);
	link_free(link);
}

/* No room in the env: nothing is lost, and it is tried again soon. */
static void test_no_room_for_an_initiation(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	link->nodes[0].is_full = true;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, SECOND);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_int_equal(stats.unanswered, 0);
	link->nodes[0].is_full = false;
	link_run(link, 10 * MILLISECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].delivered, 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 1);
	link_free(link);
}

static void test_no_room_for_a_response(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->nodes[1].is_full = true;
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_null(link_peer(link, 1, 0)->sessions.next);
	assert_true(link_peer(link, 1, 0)->latest_initiation == WIREGUARD_NEVER);
	link->nodes[1].is_full = false;
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[1].delivered, 1);
	link_free(link);
}

static void test_no_room_for_packets(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	uint64_t counter = link_peer(link, 0, 1)->sessions.current->counter;
	link->nodes[0].is_full = true;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_BUSY);
	assert_true(link_peer(link, 0, 1)->sessions.current->counter == counter);
	assert_int_equal(link_peer(link, 0, 1)->staged.count, 0);

	/* A keepalive that found no room goes before the next packet, which waits for it. */
	wireguard_send_keepalive(link_peer(link, 0, 1), link->now);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_BUSY);
	link->nodes[0].is_full = false;
	unsigned data = link->nodes[0].sent[WIREGUARD_DATA];
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data + 2);

	/* Or goes alone. */
	link->nodes[0].is_full = true;
	wireguard_send_keepalive(link_peer(link, 0, 1), link->now);
	link_run(link, SECOND);
	link->nodes[0].is_full = false;
	link_run(link, 10 * MILLISECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], data + 3);
	assert_int_equal(link_peer(link, 0, 1)->staged.count, 0);
	link_free(link);
}

/* The staged ones use up the session: the next packet is told to come again, and is staged then. */
static void test_session_that_ends_while_staged_packets_go(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_run(link, 10 * SECOND);
	link->nodes[0].is_full = true;
	wireguard_send_keepalive(link_peer(link, 0, 1), link->now);
	link->nodes[0].is_full = false;
	link_peer(link, 0, 1)->sessions.current->counter = WIREGUARD_REJECT_AFTER_MESSAGES - 1;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_BUSY);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].delivered, 2);
	link_free(link);
}

static void test_deliver_may_send(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->nodes[1].does_echo = true;
	link_handshake(link, 0, 1);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].delivered, 1);
	/* Even when that is the session's last packet. */
	link_peer(link, 1, 0)->sessions.current->counter = WIREGUARD_REJECT_AFTER_MESSAGES;
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].events[WIREGUARD_SESSION_EXPIRED], 1);
	assert_int_equal(link->nodes[1].events[WIREGUARD_HANDSHAKE_COMPLETED], 1);
	link_run(link, 10 * SECOND);
	assert_int_equal(link->nodes[0].delivered, 2);
	link_free(link);
}

static void test_peers_are_found_and_listed(void **state)
{
	enum { PEERS = 200 };
	struct wireguard_peer *peers[PEERS];
	(void)state;

	struct link *link = link_create(1);
	struct wireguard_device *device = link->nodes[0].device;
	assert_null(device->first);
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_peer_config config = { .public_key.bytes = { 9, (uint8_t)i } };
		assert_null(wireguard_peer_find(device, &config.public_key));
		assert_int_equal(config_add(device, &config, &peers[i], &peers[i], link->now), 0);
	}
	unsigned count = 0;
	for (struct wireguard_peer *peer = device->first; peer != NULL; peer = peer->next) {
		assert_ptr_equal(peer, peers[count]);
		assert_ptr_equal(wireguard_peer_tag(peer), &peers[count]);
		assert_ptr_equal(wireguard_peer_find(device, wireguard_peer_public_key(peer)), peer);
		count++;
	}
	assert_int_equal(count, PEERS);
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_key key = *wireguard_peer_public_key(peers[i * 7 % PEERS]);
		wireguard_peer_remove(peers[i * 7 % PEERS]);
		assert_null(wireguard_peer_find(device, &key));
	}
	assert_null(device->first);
	assert_true(wireguard_device_deadline(device) == WIREGUARD_NEVER);
	link_free(link);
}

/* A worker that was kept from running finds the retries of thousands of peers due, each of which costs three key exchanges. */
static void test_a_tick_is_bounded(void **state)
{
	enum { PEERS = 100 };
	struct wireguard_peer *peers[PEERS];
	(void)state;

	struct link *link = link_create(1);
	struct link_node *node = &link->nodes[0];
	link->is_cut = true;
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_peer_config config = { .endpoint = link_ipv4(0x0a090000 + i, 1) };
		randombytes_buf(config.public_key.bytes, sizeof(config.public_key.bytes));
		assert_int_equal(config_add(node->device, &config, NULL, &peers[i], link->now), 0);
		wireguard_peer_initiate(peers[i], link->now);
	}
	unsigned begun = node->sent[WIREGUARD_INITIATION], ticks = 0;
	assert_int_equal(begun, PEERS);
	link->now += 7 * SECOND;
	for (; wireguard_device_deadline(node->device) <= link->now; ticks++) {
		unsigned before = node->sent[WIREGUARD_INITIATION];
		wireguard_device_tick(node->device, link->now);
		assert_in_range(node->sent[WIREGUARD_INITIATION] - before, 1, 8);
	}
	assert_int_equal(node->sent[WIREGUARD_INITIATION], 2 * PEERS);
	assert_true(ticks >= PEERS / 8);
	link_free(link);
}

/* The first few of many begin at once and each other after a gap, also those that had given up, which have a whole round of attempts again. */
static void test_many_begin_with_gaps(void **state)
{
	enum { PEERS = 100, ROUND = 20 * PEERS };
	struct wireguard_peer *peers[PEERS];
	(void)state;

	struct link *link = link_create(1);
	struct link_node *node = &link->nodes[0];
	link->is_cut = true;
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_peer_config config = { .endpoint = link_ipv4(0x0a090000 + i, 1) };
		randombytes_buf(config.public_key.bytes, sizeof(config.public_key.bytes));
		assert_int_equal(config_add(node->device, &config, NULL, &peers[i], link->now), 0);
	}
	for (unsigned round = 1; round <= 6; round++) {
		enum wireguard_beginning how = round % 3 == 0   ? WIREGUARD_BEGIN
		                               : round % 3 == 1 ? WIREGUARD_BEGIN_RESTARTED
		                                                : WIREGUARD_BEGIN_WITHOUT_SESSION;
		size_t begun = 0;
		unsigned before = node->sent[WIREGUARD_INITIATION];
		for (unsigned i = 0; i < PEERS; i++)
			wireguard_peer_begin(peers[i], how, &begun, link->now);
		assert_int_equal(begun, PEERS);
		assert_int_equal(node->sent[WIREGUARD_INITIATION] - before, 8);
		link_run(link, 10 * MILLISECOND);
		assert_in_range(node->sent[WIREGUARD_INITIATION] - before, 8 + 19, 8 + 21);
		link_run(link, PEERS * MILLISECOND);
		assert_int_equal(node->sent[WIREGUARD_INITIATION] - before, PEERS);
		link_run(link, 200 * SECOND);
		assert_in_range(node->sent[WIREGUARD_INITIATION] - before, ROUND - PEERS, ROUND + PEERS);
	}
	link_free(link);
}

/* One without an endpoint takes no turn of those that have one. */
static void test_where_a_peer_is_not_known_nothing_begins(void **state)
{
	(void)state;
	struct link *link = link_create(2);
	static const union wireguard_endpoint nowhere;
	size_t begun = 0;
	link_join(link, 0, 1);
	wireguard_peer_set_endpoint(link_peer(link, 0, 1), &nowhere);
	wireguard_peer_begin(link_peer(link, 0, 1), WIREGUARD_BEGIN_RESTARTED, &begun, link->now);
	assert_int_equal(begun, 0);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 0);
	link_free(link);
}

static union wireguard_endpoint place_number(unsigned number)
{
	union wireguard_endpoint endpoint = { .any.sa_family = AF_UNSPEC };
	if (number % 2 == 0) {
		endpoint.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = (uint16_t)number, .sin_addr.s_addr = number / 7 };
	} else {
		endpoint.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = (uint16_t)number, .sin6_scope_id = number / 9 };
		endpoint.v6.sin6_addr.s6_addr[3] = (uint8_t)number;
	}
	return endpoint;
}

/* Through peers that come, move (some to where others are), and go. */
static void test_endpoints_are_known(void **state)
{
	enum { PEERS = 300, PLACES = 900 };
	struct wireguard_peer *peers[PEERS];
	unsigned at[PEERS], there[PLACES + 1] = { 0 }, random = 1;
	(void)state;

	struct link *link = link_create(1);
	struct wireguard_device *device = link->nodes[0].device;
	for (unsigned i = 0; i < PEERS; i++) {
		struct wireguard_peer_config config = { .public_key.bytes = { 9, (uint8_t)i, (uint8_t)(i >> 8) } };
		at[i] = i % 3 == 0 ? PLACES : i % 100; /* the last of them is none */
		if (at[i] != PLACES)
			config.endpoint = place_number(at[i]);
		there[at[i]]++;
		assert_int_equal(config_add(device, &config, NULL, &peers[i], link->now), 0);
	}
	for (unsigned round = 0; round < 4000; round++) {
		random = random * 1664525 + 1013904223;
		unsigned i = (random >> 8) % PEERS, to = (random >> 16) % PLACES;
		union wireguard_endpoint endpoint = place_number(to), other = place_number((random >> 4) % PLACES);
		if (peers[i] == NULL)
			continue;
		there[at[i]]--;
		if (round % 40 == 0) {
			wireguard_peer_remove(peers[i]);
			peers[i] = NULL;
			continue;
		}
		wireguard_peer_set_endpoint(peers[i], &endpoint);
		there[at[i] = to]++;
		assert_true(wireguard_device_has_endpoint(device, &endpoint));
		assert_int_equal(wireguard_device_has_endpoint(device, &other), there[(random >> 4) % PLACES] > 0);
	}
	for (unsigned number = 0; number < PLACES; number++) {
		union wireguard_endpoint endpoint = place_number(number);
		assert_int_equal(wireguard_device_has_endpoint(device, &endpoint), there[number] > 0);
	}
	link_free(link);
}

static void test_stats(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats[2];
	(void)state;

	link_join(link, 0, 1);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats[0], link->now);
	static const struct wireguard_peer_stats zero;
	assert_memory_equal(&stats[0], &zero, sizeof(zero));
	uint64_t start = link->now;
	link_handshake(link, 0, 1);
	link_run(link, SECOND);
	for (unsigned node = 0; node < 2; node++) {
		wireguard_peer_stats(link_peer(link, node, 1 - node), &stats[node], link->now);
		assert_int_equal(stats[node].handshakes, 1);
		assert_int_equal(stats[node].handshake_failures, 0);
		assert_int_equal(stats[node].unanswered, 0);
		assert_true(stats[node].can_send);
		assert_int_equal(stats[node].bytes_sent, link->nodes[node].sent_bytes);
		assert_int_equal(stats[node].bytes_received, link->nodes[1 - node].sent_bytes);
	}
	assert_true(stats[0].last_handshake == start + 2 * link->delay && stats[0].last_received == start + 2 * link->delay);
	assert_true(stats[1].last_handshake == start + 3 * link->delay && stats[1].last_received == start + 3 * link->delay);
	assert_int_equal(stats[0].round_trip, 2 * link->delay);
	assert_int_equal(stats[1].round_trip, 0);
	assert_int_equal(stats[0].bytes_sent, 148 + 32 + 112);
	assert_int_equal(stats[0].bytes_received, 92);
	link_free(link);
}

static void test_w33_private_key_changes_mid_traffic(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	struct wireguard_key key, public_key;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	struct wireguard_key old = link->nodes[0].device->public_key;
	randombytes_buf(key.bytes, sizeof(key.bytes));
	/* The same key again changes nothing. */
	assert_int_equal(config_set_private_key(link->nodes[0].device, &link->nodes[0].private_key, link->now), 0);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	assert_int_equal(config_set_private_key(link->nodes[0].device, &key, link->now), 0);
	assert_int_equal(wireguard_key_public(&public_key, &key), 0);
	assert_memory_equal(&link->nodes[0].device->public_key, &public_key, sizeof(public_key));
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 1);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2); /* at once */
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_UNKNOWN_PEER], 1);
	uint64_t drops[WIREGUARD_DROP_COUNT];
	wireguard_device_take_drops(link->nodes[1].device, drops);
	assert_int_equal(drops[WIREGUARD_DROP_UNKNOWN_PEER], 1);
	wireguard_device_take_drops(link->nodes[1].device, drops);
	assert_int_equal(drops[WIREGUARD_DROP_UNKNOWN_PEER], 0);

	/* The other side learns the new key: the peer of the old one goes. */
	wireguard_peer_remove(wireguard_peer_find(link->nodes[1].device, &old));
	link_config(link, 0, &config, networks);
	assert_int_equal(config_add(link->nodes[1].device, &config, (void *)0, &peer, link->now), 0);
	unsigned delivered = link->nodes[1].delivered;
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[1].delivered, delivered + 1);
	/* A peer that had nothing to say is not spoken to. */
	unsigned initiations = link->nodes[0].sent[WIREGUARD_INITIATION];
	link_run(link, 200 * SECOND);
	assert_int_equal(config_set_private_key(link->nodes[0].device, &link->nodes[0].private_key, link->now), 0);
	link_run(link, 20 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], initiations);
	link_free(link);
}

static void test_w33_private_key_changes_while_packets_wait(void **state)
{
	(void)state;
	for (unsigned is_full = 0; is_full < 2; is_full++) {
		struct link *link = link_create(2);
		struct wireguard_key key = { { 1 } };
		link_join(link, 0, 1);
		link->nodes[0].is_full = is_full; /* then there is not even an initiation */
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
		link->nodes[0].is_full = false;
		assert_int_equal(config_set_private_key(link->nodes[0].device, &key, link->now), 0);
		link_run(link, 25 * MILLISECOND);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2 - is_full);
		assert_int_equal(link_peer(link, 0, 1)->staged.count, 1);
		link_free(link);
	}
}

static void test_w33_preshared_key_counts_from_the_next_handshake(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	for (unsigned node = 0; node < 2; node++) {
		link_config(link, 1 - node, &config, networks);
		memset(&config.preshared_key, 0x99, sizeof(config.preshared_key));
		assert_int_equal(config_change(link_peer(link, node, 1 - node), &config, link->now), 0);
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
		assert_int_equal(link_send(link, 1, 0, 50), WIREGUARD_OK);
		link_run(link, SECOND);
	}
	assert_int_equal(link->nodes[0].delivered, 2);
	assert_int_equal(link->nodes[1].delivered, 3);
	link_run(link, 120 * SECOND);
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 2);
	assert_int_equal(link_drops(link, 0) + link_drops(link, 1), 0);
	link_free(link);
}

static void test_change_keeps_an_endpoint_that_is_not_given(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_config(link, 1, &config, networks);
	config.endpoint = (union wireguard_endpoint){ .any.sa_family = AF_UNSPEC };
	config.allowed_ip_count = 1;
	assert_int_equal(config_change(link_peer(link, 0, 1), &config, link->now), 0);
	assert_memory_equal(wireguard_peer_endpoint(link_peer(link, 0, 1)), &link->nodes[1].address, sizeof(config.endpoint));
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	uint8_t v6[40] = { 0x60, [24] = 0xfd, [39] = 2 };
	assert_int_equal(send_bytes(link, 0, v6, sizeof(v6)), WIREGUARD_NO_PEER);
	link_free(link);
}

static void test_reconnect_whatever_the_timers_say(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	for (unsigned i = 0; i < 5; i++) {
		wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], i + 1);
		assert_null(link_peer(link, 0, 1)->sessions.current);
		link_run(link, 100 * MILLISECOND);
		assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], i + 1);
		/* Merely initiating does nothing so soon. */
		wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], i + 1);
	}
	assert_int_equal(link->nodes[0].events[WIREGUARD_SESSION_EXPIRED], 4);
	link_run(link, 6 * SECOND);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 5);
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 6);
	link_free(link);
}

/* Another endpoint: a handshake at once beside the session, which goes on. */
static void test_restart_is_beside_the_session(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_run(link, SECOND);
	wireguard_peer_restart(link_peer(link, 0, 1), link->now);
	assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 2);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_run(link, SECOND);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_int_equal(stats.handshakes, 2);
	link_free(link);
}

/* W16, and what comes after: one initiation, and giving up again; something to send brings all twenty back. */
static void test_w16_retry_is_one_initiation(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->is_cut = true;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	link_run(link, 200 * SECOND);
	for (unsigned i = 1; i < 4; i++) {
		wireguard_peer_retry(link_peer(link, 0, 1), link->now);
		link_run(link, 60 * SECOND);
		assert_int_equal(link->nodes[0].sent[WIREGUARD_INITIATION], 20 + i);
		assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_GAVE_UP], 1 + i);
	}
	wireguard_peer_retry(link_peer(link, 0, 1), link->now);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, 200 * SECOND);
	assert_in_range(link->nodes[0].sent[WIREGUARD_INITIATION], 23 + 20, 23 + 21);
	link_free(link);
}

/* W15: stopped, a peer has no key of a session and nothing to send. */
static void test_w15_stopped_peer_has_no_keys(void **state)
{
	static const union wireguard_secrets zero;
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	struct wireguard_peer *peer = link_peer(link, 0, 1);
	link->is_cut = true;
	link_run(link, SECOND);
	wireguard_peer_reconnect(peer, link->now);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	wireguard_peer_stop(peer);
	for (unsigned slot = WIREGUARD_PEER_HANDSHAKE; slot < WIREGUARD_PEER_SLOTS; slot++)
		assert_memory_equal(peer->slots[slot], &zero, sizeof(zero));
	assert_int_equal(peer->staged.count, 0);
	wireguard_peer_stats(peer, &stats, link->now);
	assert_false(stats.can_send);
	assert_int_equal(stats.last_handshake, 0);
	assert_int_equal(stats.handshakes, 1);
	link->is_cut = false;
	wireguard_peer_initiate(peer, link->now + SECOND);
	link_run(link, 2 * SECOND);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_free(link);
}

/* As fast as the API can be asked: the peer takes one initiation in 20 ms, so the second waits for that, and not for the retry. */
static void test_w6_reconnect_keeps_the_peers_limit(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_peer_stats stats;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 10; i++) {
		wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
		link_run(link, MILLISECOND);
	}
	link_run(link, 100 * MILLISECOND);
	wireguard_peer_stats(link_peer(link, 0, 1), &stats, link->now);
	assert_true(stats.can_send);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_HANDSHAKE], 0);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	link_free(link);
}

static void test_removed_peer_is_silent(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_send(link, 1, 0, 50);
	wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
	link_send(link, 0, 1, 50);
	wireguard_peer_remove(link_peer(link, 0, 1));
	size_t sent = link->nodes[0].sent_bytes;
	link_run(link, 1000 * SECOND);
	assert_int_equal(link->nodes[0].sent_bytes, sent);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_NO_PEER);
	assert_true(wireguard_device_deadline(link->nodes[0].device) == WIREGUARD_NEVER);
	link_free(link);
}

static void test_memory_of_an_idle_device(void **state)
{
	struct link *link = link_create(2);
	struct wireguard_network networks[2] = { { AF_INET, 0, { 0 } }, { AF_INET6, 0, { 0 } } };
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;
	static const uint8_t floor[12];
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_run(link, 20 * SECOND);
	size_t before = mallinfo2().uordblks;
	link_config(link, 1, &config, networks);
	struct wireguard_device *device;
	assert_int_equal(wireguard_device_create(&device, &link->nodes[0].private_key, floor, &link->nodes[0].device->env), 0);
	assert_int_equal(config_add(device, &config, NULL, &peer, link->now), 0);
	size_t session = sizeof(struct wireguard_session) + 16;
	size_t bytes = mallinfo2().uordblks - before + session;
	print_message("an idle device with a peer and a session: %zu bytes of heap, of which %zu device, %zu peer, %zu session; %zu of the arena\n",
	              bytes, sizeof(*device), sizeof(*peer), session,
	              (WIREGUARD_DEVICE_SLOTS + WIREGUARD_PEER_SLOTS) * sizeof(union wireguard_secrets));
	assert_true(bytes < 3072);
	wireguard_device_free(device);
	link_free(link);
}

static void test_schedule_against_a_naive_one(void **state)
{
	enum { ENTRIES = 300, STEPS = 20000 };
	static struct wireguard_schedule_entry entries[ENTRIES];
	static bool is_in[ENTRIES];
	struct wireguard_schedule schedule = { 0 };
	uint64_t random = 5;
	(void)state;

	assert_null(wireguard_schedule_first(&schedule));
	for (unsigned i = 0; i < STEPS; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned entry = (unsigned)(random >> 33) % ENTRIES;
		uint64_t due = random >> 50, earliest = UINT64_MAX;
		if (!is_in[entry])
			assert_int_equal(wireguard_schedule_add(&schedule, &entries[entry], due), 0);
		else if (random >> 32 & 1)
			wireguard_schedule_move(&schedule, &entries[entry], due);
		else
			wireguard_schedule_remove(&schedule, &entries[entry]);
		is_in[entry] = !is_in[entry] || (random >> 32 & 1);
		for (unsigned e = 0; e < ENTRIES; e++)
			if (is_in[e] && entries[e].due < earliest)
				earliest = entries[e].due;
		if (earliest == UINT64_MAX)
			assert_null(wireguard_schedule_first(&schedule));
		else
			assert_true(wireguard_schedule_first(&schedule)->due == earliest);
	}
	wireguard_schedule_clear(&schedule);
}

static void test_free_takes_nothing(void **state)
{
	(void)state;
	wireguard_device_free(NULL);
	wireguard_limiter_free(NULL);
}

/* Both back ends carry a tunnel, and understand each other. */
static void test_back_ends_understand_each_other(void **state)
{
	(void)state;
	if (!wireguard_aead_select(AEAD_IPSEC_MB)) {
		print_message("skipped: libipsec-mb is for x86-64 alone\n");
		skip();
	}
	struct link *link = link_create(2);
	link_join(link, 0, 1);
	for (unsigned round = 0; round < 8; round++) {
		assert_true(wireguard_aead_select(round % 2 == 0 ? AEAD_LIBSODIUM : AEAD_IPSEC_MB));
		if (round % 4 == 0)
			wireguard_peer_reconnect(link_peer(link, 0, 1), link->now);
		link_send(link, 0, 1, 1000);
		link_run(link, link->delay / 2); /* what is sealed by one is opened by the other */
		assert_true(wireguard_aead_select(round % 4 < 2 ? AEAD_LIBSODIUM : AEAD_IPSEC_MB));
		link_run(link, SECOND);
		assert_int_equal(link->nodes[1].delivered, round + 1);
	}
	link_free(link);
}

static bool is_silent(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	(void)length;
	return from != &link->nodes[1] || bytes[0] != 4;
}

enum strangers { ONE_SESSION, ANY_SESSION, REPEATED, IN_ONE_MOMENT };

/* How often it is told while data of unknown sessions comes for 20 seconds, from node `from`. */
static unsigned told_with_strangers(enum strangers strangers, unsigned from, bool sends, bool is_answered)
{
	struct link *link = link_create(3);
	struct link_node *node = &link->nodes[0];
	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_run(link, 12 * SECOND); /* the peer answers with a keepalive */
	link->filter = is_answered ? NULL : is_silent;
	if (sends)
		assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	for (unsigned i = 0; i < 100; i++) {
		uint8_t datagram[48] = { 4, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef, (uint8_t)(strangers == REPEATED ? 1 : i) };
		datagram[4] = (uint8_t)(strangers == ANY_SESSION ? i : 0xde);
		receive_one(node->device, datagram, sizeof(datagram), &link->nodes[from].address, link->now);
		link_run(link, strangers == IN_ONE_MOMENT ? MILLISECOND / 2 : 200 * MILLISECOND);
	}
	link_run(link, SECOND);
	unsigned told = node->events[WIREGUARD_SESSION_TAKEN];
	link_free(link);
	return told;
}

/* Data for a session of somebody else with our key, from where the peer is, and an answer to our initiation but none to the data before it. */
static void test_a_session_that_another_took_is_told(void **state)
{
	(void)state;
	assert_int_equal(told_with_strangers(ONE_SESSION, 1, true, false), 1);
	assert_int_equal(told_with_strangers(ONE_SESSION, 2, true, false), 0); /* not from the peer */
	assert_int_equal(told_with_strangers(ONE_SESSION, 1, true, true), 0);  /* what is ours comes, too */
}

/* Whatever its data is: anyone may forge it. */
static void test_forged_data_makes_no_session_taken(void **state)
{
	(void)state;
	for (unsigned is_answered = 0; is_answered < 2; is_answered++) {
		assert_int_equal(told_with_strangers(ONE_SESSION, 1, false, is_answered != 0), 0);
		for (enum strangers strangers = ANY_SESSION; strangers <= IN_ONE_MOMENT; strangers++)
			assert_int_equal(told_with_strangers(strangers, 1, true, is_answered != 0), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_send_says_what_is_wrong),
		link_test(test_staged_packets_go_in_order),
		link_test(test_no_room_for_an_initiation),
		link_test(test_no_room_for_a_response),
		link_test(test_no_room_for_packets),
		link_test(test_session_that_ends_while_staged_packets_go),
		link_test(test_deliver_may_send),
		link_test(test_peers_are_found_and_listed),
		link_test(test_a_tick_is_bounded),
		link_test(test_many_begin_with_gaps),
		link_test(test_where_a_peer_is_not_known_nothing_begins),
		link_test(test_endpoints_are_known),
		link_test(test_stats),
		link_test(test_w33_private_key_changes_mid_traffic),
		link_test(test_w33_private_key_changes_while_packets_wait),
		link_test(test_w33_preshared_key_counts_from_the_next_handshake),
		link_test(test_change_keeps_an_endpoint_that_is_not_given),
		link_test(test_reconnect_whatever_the_timers_say),
		link_test(test_restart_is_beside_the_session),
		link_test(test_w16_retry_is_one_initiation),
		link_test(test_w15_stopped_peer_has_no_keys),
		link_test(test_w6_reconnect_keeps_the_peers_limit),
		link_test(test_removed_peer_is_silent),
		link_test(test_memory_of_an_idle_device),
		link_test(test_schedule_against_a_naive_one),
		link_test(test_a_session_that_another_took_is_told),
		link_test(test_forged_data_makes_no_session_taken),
		link_test(test_free_takes_nothing),
		link_test(test_back_ends_understand_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
