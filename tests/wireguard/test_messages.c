/* Malformed messages, and the effect of valid ones: nothing changes before they are authenticated. */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/hash.h"

/* All that a peer holds, to see that nothing of it changed. */
struct snapshot {
	struct wireguard_peer peer;
	struct wireguard_session sessions[3];
	union wireguard_secrets secrets[WIREGUARD_PEER_SLOTS];
	size_t indices;
	unsigned sent, delivered, events;
};

static void take_snapshot(struct link *link, unsigned node, struct snapshot *snapshot)
{
	const struct link_node *of = &link->nodes[node];
	const struct wireguard_peer *peer = link_peer(link, node, 1 - node);
	const struct wireguard_session *sessions[3] = { peer->sessions.previous, peer->sessions.current, peer->sessions.next };

	memset(snapshot, 0, sizeof(*snapshot));
	memcpy(&snapshot->peer, peer, sizeof(*peer));
	for (unsigned i = 0; i < 3; i++)
		if (sessions[i] != NULL)
			memcpy(&snapshot->sessions[i], sessions[i], sizeof(*sessions[i]));
	for (unsigned i = 0; i < WIREGUARD_PEER_SLOTS; i++)
		memcpy(&snapshot->secrets[i], peer->slots[i], sizeof(*peer->slots[i]));
	snapshot->indices = of->device->indices.used;
	snapshot->sent = of->sent[1] + of->sent[2] + of->sent[3] + of->sent[4];
	snapshot->delivered = of->delivered;
	for (unsigned i = 0; i < LINK_EVENTS; i++)
		snapshot->events += of->events[i];
}

static void is_dropped(struct link *link, unsigned node, const void *bytes, size_t length)
{
	static struct snapshot before, after;
	union wireguard_endpoint elsewhere = link_ipv4(0xcb007109, 999);
	uint64_t drops = link_drops(link, node);

	take_snapshot(link, node, &before);
	link_inject(link, node, &elsewhere, bytes, length);
	take_snapshot(link, node, &after);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(link_drops(link, node), drops + 1);
}

/* A link on which node 1 has a session and would take each of these: an initiation; a response and a cookie reply to an initiation of
 * its own; and data. */
struct messages {
	struct link *link;
	struct link_datagram *initiation, *response, *cookie, *data;
};

static void make_messages(struct messages *messages)
{
	struct link *link = link_create(2);
	struct wireguard_message_cookie_reply cookie;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	link_run(link, 10 * SECOND);
	link_send(link, 0, 1, 100);
	messages->data = link_take(link);
	wireguard_peer_initiate(link_peer(link, 1, 0), link->now);
	link_inject(link, 0, &link->nodes[1].address, link->first->bytes, link->first->length);
	struct wireguard_message_initiation *own = (void *)link->first->bytes;
	assert_int_equal(wireguard_cookie_reply(&link->nodes[0].device->checker, &link->nodes[0].device->env, &cookie, &own->macs, own->sender,
	                                        &link->nodes[1].address, link->now),
	                 0);
	free(link_take(link));
	messages->response = link_take(link);
	link_peer(link, 0, 1)->last_sent_handshake = WIREGUARD_NEVER;
	wireguard_peer_initiate(link_peer(link, 0, 1), link->now);
	messages->initiation = link_take(link);
	messages->cookie = calloc(1, sizeof(*messages->cookie) + sizeof(cookie));
	memcpy(messages->cookie->bytes, &cookie, sizeof(cookie));
	messages->cookie->length = sizeof(cookie);
	messages->link = link;
	assert_null(link->first);
}

static void free_messages(struct messages *messages)
{
	free(messages->initiation);
	free(messages->response);
	free(messages->cookie);
	free(messages->data);
	link_free(messages->link);
}

static void test_w3_lengths(void **state)
{
	static uint8_t bytes[65507];
	struct messages messages;
	(void)state;

	make_messages(&messages);
	const struct link_datagram *each[] = { messages.initiation, messages.response, messages.cookie, messages.data };
	for (unsigned type = 0; type < 4; type++) {
		memset(bytes, 0, sizeof(bytes));
		memcpy(bytes, each[type]->bytes, each[type]->length);
		for (size_t length = 0; length <= 200; length++)
			if (length != each[type]->length)
				is_dropped(messages.link, 1, bytes, length);
		is_dropped(messages.link, 1, bytes, sizeof(bytes));
	}
	for (unsigned type = 0; type <= 255; type++) {
		if (type >= 1 && type <= 4)
			continue;
		bytes[0] = (uint8_t)type;
		is_dropped(messages.link, 1, bytes, 148);
	}
	free_messages(&messages);
}

static void test_w3_reserved_bytes(void **state)
{
	struct messages messages;
	(void)state;

	make_messages(&messages);
	struct link_datagram *each[] = { messages.initiation, messages.response, messages.cookie, messages.data };
	uint64_t malformed = 0;
	for (unsigned type = 0; type < 4; type++)
		for (unsigned i = 1; i < 4; i++) {
			each[type]->bytes[i] = 0x80;
			is_dropped(messages.link, 1, each[type]->bytes, each[type]->length);
			each[type]->bytes[i] = 0;
			malformed = messages.link->nodes[1].device->dropped[WIREGUARD_DROP_MALFORMED];
		}
	assert_int_equal(malformed, 12);
	free_messages(&messages);
}

static void test_w3_any_bit_flipped(void **state)
{
	struct messages messages;
	(void)state;

	make_messages(&messages);
	struct link_datagram *each[] = { messages.initiation, messages.response, messages.cookie, messages.data };
	for (unsigned type = 0; type < 4; type++) {
		/* MAC2 is not looked at without load. */
		size_t length = each[type]->length - (type < 2 ? WIREGUARD_MAC_LENGTH : 0);
		for (size_t bit = 0; bit < length * 8; bit++) {
			each[type]->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			is_dropped(messages.link, 1, each[type]->bytes, each[type]->length);
			each[type]->bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	/* Nothing was taken for the real ones. */
	for (unsigned type = 4; type-- > 0;) {
		uint64_t drops = link_drops(messages.link, 1);
		link_inject(messages.link, 1, &messages.link->nodes[0].address, each[type]->bytes, each[type]->length);
		assert_int_equal(link_drops(messages.link, 1), drops);
	}
	free_messages(&messages);
}

/* Who knows the public key can make a MAC1; behind it no bit may be flipped either. The sender's index is its own affair. */
static void test_w3_any_bit_flipped_behind_a_valid_mac1(void **state)
{
	struct messages messages;
	(void)state;

	make_messages(&messages);
	struct wireguard_device *device = messages.link->nodes[1].device;
	struct link_datagram *each[] = { messages.initiation, messages.response };
	for (unsigned type = 0; type < 2; type++) {
		size_t length = each[type]->length - 2 * WIREGUARD_MAC_LENGTH;
		for (size_t bit = 8 * 8; bit < length * 8; bit += 3) {
			uint8_t *bytes = each[type]->bytes;
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(wireguard_hash_mac(bytes + length, device->checker.mac1_key, 32, bytes, length), 0);
			is_dropped(messages.link, 1, bytes, each[type]->length);
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			device->load.queue.busy_until = 0; /* else a flood like this one meets the load's limits */
		}
	}
	free_messages(&messages);
}

static void test_w10_forged_counter_does_not_move_the_window(void **state)
{
	struct link *link = link_create(2);
	uint8_t message[32];
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	struct wireguard_session *sender = link_peer(link, 0, 1)->sessions.current;
	struct wireguard_replay *replay = &link_peer(link, 1, 0)->sessions.current->replay;
	uint64_t counter = sender->counter, next = replay->next;
	sender->counter += 5000;
	link_seal(sender, message, 0);
	message[31] ^= 1;
	is_dropped(link, 1, message, sizeof(message));
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_AUTHENTICATION], 1);
	assert_true(replay->next == next);
	sender->counter = counter;
	link_seal(sender, message, 0);
	struct wireguard_message_data *header = (void *)message;
	uint8_t again[32];
	memcpy(again, message, sizeof(again));
	link_inject(link, 1, &link->nodes[0].address, message, sizeof(message));
	assert_true(replay->next == next + 1);
	assert_int_equal(wireguard_message_get64(header->counter), counter);
	is_dropped(link, 1, again, sizeof(again));
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_REPLAY], 1);
	link_free(link);
}

static void is_at_endpoint(struct link *link, unsigned moves)
{
	const union wireguard_endpoint *endpoint = wireguard_peer_endpoint(link_peer(link, 1, 0));

	assert_int_equal(link->nodes[1].events[WIREGUARD_ENDPOINT_MOVED], moves);
	assert_memory_equal(endpoint, &link->nodes[0].address, sizeof(*endpoint));
}

static void test_w27_endpoint_follows_authenticated_packets(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	is_at_endpoint(link, 0);
	const union wireguard_endpoint places[] = {
		link_ipv4(0xc6336401, 51820),
		link_ipv4(0xc6336401, 51821),
		link_ipv6(UINT64_C(0x20010db8) << 32, 1, 51821),
		link_ipv6(UINT64_C(0x20010db8) << 32, 1, 4000),
		link_ipv6(UINT64_C(0x20010db8) << 32, 2, 4000),
		link_ipv4(0xc0000201, 51820),
	};
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		link->nodes[0].address = places[i];
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
		link_run(link, SECOND);
		is_at_endpoint(link, i + 1);
		unsigned delivered = link->nodes[0].delivered;
		assert_int_equal(link_send(link, 1, 0, 50), WIREGUARD_OK);
		link_run(link, SECOND);
		assert_int_equal(link->nodes[0].delivered, delivered + 1);
		is_at_endpoint(link, i + 1);
	}
	/* A scope is part of a link-local address. */
	union wireguard_endpoint scoped = link_ipv6(UINT64_C(0xfe80) << 48, 1, 1);
	link->nodes[0].address = scoped;
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	link->nodes[0].address.v6.sin6_scope_id = 3;
	link_send(link, 0, 1, 50);
	link_run(link, SECOND);
	is_at_endpoint(link, 8);
	link_free(link);
}

static void test_w27_endpoint_follows_handshakes(void **state)
{
	struct link *link = link_create(2);
	(void)state;

	link_join(link, 0, 1);
	link->nodes[0].address = link_ipv4(0xc6336401, 7);
	link_handshake(link, 0, 1);
	is_at_endpoint(link, 1);
	/* By a response. */
	link_run(link, 10 * SECOND);
	wireguard_peer_reconnect(link_peer(link, 1, 0), link->now);
	link_run(link, link->delay);
	struct link_datagram *response = link_take(link);
	assert_int_equal(response->bytes[0], WIREGUARD_RESPONSE);
	link->nodes[0].address = link_ipv4(0xc6336402, 8);
	link_inject(link, 1, &link->nodes[0].address, response->bytes, response->length);
	is_at_endpoint(link, 2);
	free(response);
	link_free(link);
}

static void test_w27_endpoint_stays_for_all_else(void **state)
{
	struct messages messages;
	struct wireguard_message_cookie_reply cookie;
	(void)state;

	make_messages(&messages);
	struct link *link = messages.link;
	union wireguard_endpoint elsewhere = link_ipv4(0xcb007109, 999);
	/* Replayed data. */
	link_inject(link, 1, &link->nodes[0].address, messages.data->bytes, messages.data->length);
	is_dropped(link, 1, messages.data->bytes, messages.data->length);
	/* An index that nobody has. */
	messages.data->bytes[4] ^= 0xff;
	is_dropped(link, 1, messages.data->bytes, messages.data->length);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_UNKNOWN_INDEX], 1);
	/* An index that stands for a handshake. */
	wireguard_message_put32(messages.data->bytes + 4, link_peer(link, 1, 0)->handshake_index.number);
	is_dropped(link, 1, messages.data->bytes, messages.data->length);
	assert_int_equal(link->nodes[1].device->dropped[WIREGUARD_DROP_UNKNOWN_INDEX], 2);
	/* A replayed initiation. */
	link_inject(link, 1, &link->nodes[0].address, messages.initiation->bytes, messages.initiation->length);
	is_dropped(link, 1, messages.initiation->bytes, messages.initiation->length);
	/* A cookie that is taken. */
	memcpy(&cookie, messages.cookie->bytes, sizeof(cookie));
	messages.link->nodes[1].device->load.queue.busy_until = 0;
	struct wireguard_peer *peer = link_peer(link, 1, 0);
	peer->last_sent_handshake = WIREGUARD_NEVER;
	wireguard_peer_initiate(peer, link->now);
	struct wireguard_message_initiation *own = (void *)link->nodes[1].room;
	assert_int_equal(wireguard_cookie_reply(&link->nodes[0].device->checker, &link->nodes[0].device->env, &cookie, &own->macs, own->sender,
	                                        &elsewhere, link->now),
	                 0);
	link_inject(link, 1, &elsewhere, &cookie, sizeof(cookie));
	assert_true(peer->cookies.cookie_since == link->now);
	is_at_endpoint(link, 0);
	free_messages(&messages);
}

/* A payload as the peer sealed it: whatever it is, the session lives on. */
static void payload_is(struct link *link, const uint8_t *payload, size_t length, enum wireguard_drop drop)
{
	uint8_t message[WIREGUARD_OVERHEAD + 128];
	uint64_t drops = link_drops(link, 1);
	unsigned delivered = link->nodes[1].delivered;

	if (length > 0)
		memcpy(message + 16, payload, length);
	link_seal(link_peer(link, 0, 1)->sessions.current, message, length);
	link_inject(link, 1, &link->nodes[0].address, message, length + WIREGUARD_OVERHEAD);
	uint64_t counted = drop == WIREGUARD_DROP_COUNT ? 0 : link->nodes[1].device->dropped[drop];
	assert_int_equal(link_drops(link, 1) - drops, drop == WIREGUARD_DROP_COUNT ? 0 : 1);
	assert_int_equal(link->nodes[1].delivered - delivered, drop == WIREGUARD_DROP_COUNT);
	assert_true(drop == WIREGUARD_DROP_COUNT || counted > 0);
}

static void test_w30_inner_packets(void **state)
{
	struct link *link = link_create(2);
	uint8_t v4[128] = { 0x45, [3] = 20, [12] = 10, [15] = 1, [16] = 10, [19] = 2 };
	uint8_t v6[128] = { 0x60, [8] = 0xfd, [23] = 1, [24] = 0xfd, [39] = 2 };
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	for (size_t length = 1; length < 20; length++)
		payload_is(link, v4, length, WIREGUARD_DROP_INNER);
	payload_is(link, v4, 20, WIREGUARD_DROP_COUNT);
	payload_is(link, v4, 32, WIREGUARD_DROP_COUNT);
	assert_int_equal(link->nodes[1].packet_length, 20); /* trimmed */
	for (unsigned total = 0; total < 20; total++) {
		v4[3] = (uint8_t)total; /* less than a header */
		payload_is(link, v4, 32, WIREGUARD_DROP_INNER);
	}
	v4[3] = 33; /* more than the payload */
	payload_is(link, v4, 32, WIREGUARD_DROP_INNER);
	v4[2] = 0xff;
	payload_is(link, v4, 128, WIREGUARD_DROP_INNER);
	v4[2] = 0;
	v4[3] = 32;
	for (unsigned version = 0; version < 16; version++) {
		v4[0] = (uint8_t)(version << 4 | 5);
		if (version != 4 && version != 6)
			payload_is(link, v4, 32, WIREGUARD_DROP_INNER);
	}
	for (size_t length = 1; length < 40; length++)
		payload_is(link, v6, length, WIREGUARD_DROP_INNER);
	payload_is(link, v6, 40, WIREGUARD_DROP_COUNT);
	payload_is(link, v6, 48, WIREGUARD_DROP_COUNT);
	assert_int_equal(link->nodes[1].packet_length, 40);
	v6[5] = 9;
	payload_is(link, v6, 48, WIREGUARD_DROP_INNER);
	v6[4] = 0xff;
	v6[5] = 0xff;
	payload_is(link, v6, 128, WIREGUARD_DROP_INNER);
	v6[4] = 0;
	v6[5] = 8;
	payload_is(link, v6, 48, WIREGUARD_DROP_COUNT);
	v6[23] = 7; /* nobody's address */
	payload_is(link, v6, 48, WIREGUARD_DROP_SOURCE);
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	unsigned delivered = link->nodes[1].delivered;
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].delivered, delivered + 1);
	assert_int_equal(link->nodes[1].events[WIREGUARD_SESSION_EXPIRED], 0);
	link_free(link);
}

static void test_w32_padding_stops_at_the_mtu(void **state)
{
	static const uint16_t mtus[] = { 1420, 1300, 1280, 1411, 576 };
	(void)state;

	for (size_t m = 0; m < sizeof(mtus) / sizeof(mtus[0]); m++) {
		struct link *link = link_create(2);
		link_join(link, 0, 1);
		link_handshake(link, 0, 1);
		if (mtus[m] != 1420) /* which is the default */
			wireguard_device_set_mtu(link->nodes[0].device, mtus[m]);
		for (size_t length = 20; length <= mtus[m]; length++) {
			link->nodes[0].largest = 0;
			assert_int_equal(link_send(link, 0, 1, length), WIREGUARD_OK);
			size_t payload = link->nodes[0].largest - WIREGUARD_OVERHEAD;
			assert_true(payload >= length && payload <= mtus[m]);
			assert_true(payload % 16 == 0 || payload == mtus[m]);
			assert_true(payload - length < 16);
			/* The padding is zeros. */
			struct link_datagram *datagram = link_take(link);
			const struct wireguard_session *session = link_peer(link, 1, 0)->sessions.current;
			assert_true(link_open(session, datagram->bytes, datagram->length));
			for (size_t i = length; i < payload; i++)
				assert_int_equal(datagram->bytes[16 + i], 0);
			free(datagram);
		}
		/* What is too long for the MTU is the sender's business, and not padded. */
		link->nodes[0].largest = 0;
		assert_int_equal(link_send(link, 0, 1, mtus[m] + 1u), WIREGUARD_OK);
		assert_int_equal(link->nodes[0].largest, mtus[m] + 1u + WIREGUARD_OVERHEAD);
		link_free(link);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_w3_lengths),
		link_test(test_w3_reserved_bytes),
		link_test(test_w3_any_bit_flipped),
		link_test(test_w3_any_bit_flipped_behind_a_valid_mac1),
		link_test(test_w10_forged_counter_does_not_move_the_window),
		link_test(test_w27_endpoint_follows_authenticated_packets),
		link_test(test_w27_endpoint_follows_handshakes),
		link_test(test_w27_endpoint_stays_for_all_else),
		link_test(test_w30_inner_packets),
		link_test(test_w32_padding_stops_at_the_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
