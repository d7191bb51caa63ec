/* The input is a story: datagrams of any kind come to a device with a live session, some of them sealed and MACed as its peer would, among
 * packets to send, time that passes and changes by its owner. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_wireguard_world.h"
#include "tests/wireguard/config.h"
#include "tunnel/wireguard/hash.h"
#include "tunnel/wireguard/sealing.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static struct world_node nodes[2];
static uint64_t now;

static struct wireguard_peer *peer_of(unsigned node)
{
	return nodes[node].device->first;
}

/* Carries what a node has sent since `from` to the other one. */
static void carry(unsigned node, unsigned from)
{
	for (unsigned i = from; i < nodes[node].count && nodes[node].count - i <= WORLD_QUEUE; i++) {
		struct world_datagram datagram = nodes[node].sent[i % WORLD_QUEUE];
		world_receive(&nodes[1 - node], &nodes[node].address, datagram.bytes, datagram.length, now);
	}
}

/* The same as one train. */
static void carry_together(unsigned node, unsigned from)
{
	struct wireguard_datagram list[WORLD_QUEUE] = { 0 };
	size_t count = 0;

	for (unsigned i = from; i < nodes[node].count; i++) {
		const struct world_datagram *datagram = &nodes[node].sent[i % WORLD_QUEUE];
		if (nodes[node].count - i > WORLD_QUEUE)
			continue;
		list[count] = (struct wireguard_datagram){ malloc(datagram->length), datagram->length, &nodes[node].address };
		if (list[count].bytes != NULL)
			memcpy(list[count++].bytes, datagram->bytes, datagram->length);
	}
	wireguard_device_receive(nodes[1 - node].device, list, count, now);
	for (size_t i = 0; i < count; i++)
		free(list[i].bytes);
}

static void send_packet(unsigned node, const uint8_t *packet, size_t length)
{
	struct iovec parts[2] = { { (void *)(uintptr_t)packet, length / 2 }, { (void *)(uintptr_t)(packet + length / 2), length - length / 2 } };
	int result = wireguard_device_send(nodes[node].device, parts, 2, length, now);

	world_must(result <= 0 && result >= WIREGUARD_BAD_PACKET);
}

static void send_good_packet(unsigned node, size_t length)
{
	uint8_t packet[20 + 255] = {
		0x45,      [2] = (uint8_t)((20 + length) >> 8), [3] = (uint8_t)(20 + length), [12] = 10, [15] = nodes[node].inner,
		[16] = 10, [19] = nodes[1 - node].inner
	};

	send_packet(node, packet, 20 + length);
}

/* A payload of the input's, sealed with the other side's session: what a malicious peer may send. */
static void receive_sealed(struct cursor *cursor)
{
	uint8_t message[WIREGUARD_OVERHEAD + 255];
	struct wireguard_peer *peer = peer_of(1);
	uint8_t jump = cursor_byte(cursor);
	size_t length = cursor_take(cursor, message + 16, 255);

	if (peer == NULL || peer->sessions.current == NULL)
		return;
	struct wireguard_session *session = peer->sessions.current;
	uint64_t counter = session->counter;
	if (jump >= 250)
		session->counter = WIREGUARD_REJECT_AFTER_MESSAGES - 2 + (jump - 250);
	else if (jump >= 200)
		session->counter += (uint64_t)(jump - 200) * 1000;
	else if (jump > 100 && counter > jump)
		session->counter -= jump - 100u;
	wireguard_session_seal(session, message, length);
	world_must(wireguard_sealing_finish());
	world_receive(&nodes[0], &nodes[1].address, message, WIREGUARD_OVERHEAD + length, now);
	session->counter = counter > session->counter ? counter : counter + 1;
}

/* A datagram that was sent before, changed in a few places and, if it is a handshake's, given a MAC1 again. */
static void receive_changed(struct cursor *cursor)
{
	uint8_t control = cursor_byte(cursor);
	unsigned to = control & 1;
	const struct world_datagram *datagram = world_sent(&nodes[(control >> 1) & 1], (control >> 2) & 15);

	if (datagram == NULL)
		return;
	struct world_datagram changed = *datagram;
	for (unsigned changes = cursor_byte(cursor) & 3; changes > 0; changes--) {
		size_t place = cursor_byte(cursor) % changed.length;
		changed.bytes[place] ^= cursor_byte(cursor);
	}
	if ((control & 64) != 0 && (changed.length == 148 || changed.length == 92))
		world_must(wireguard_hash_mac(changed.bytes + changed.length - 32, nodes[to].device->checker.mac1_key, 32, changed.bytes,
		                              changed.length - 32) == 0);
	union wireguard_endpoint from = nodes[1 - to].address;
	if ((control & 128) != 0)
		from.v4.sin_port ^= 0x0101;
	world_receive(&nodes[to], &from, changed.bytes, changed.length, now);
}

static void change_peer(struct cursor *cursor, struct wireguard_peer *peer)
{
	struct wireguard_network networks[3] = { { AF_INET, 32, { 10, 0, 0, nodes[1].inner } } };
	uint8_t control = cursor_byte(cursor);
	struct wireguard_peer_config config = { .public_key = *wireguard_peer_public_key(peer),
		                                .allowed_ips = networks,
		                                .allowed_ip_count = 1 + control % 3 };

	for (unsigned i = 1; i < 3; i++) {
		networks[i].family = cursor_byte(cursor) % 2 == 0 ? AF_INET : AF_INET6;
		networks[i].prefix = cursor_byte(cursor) % (networks[i].family == AF_INET ? 33 : 129);
	}
	if ((control & 64) != 0)
		config.preshared_key.bytes[0] = control;
	config.persistent_keepalive = (control & 32) != 0 ? control : 0;
	world_must(config_change(peer, &config, now) == 0);
}

static void change_device(struct cursor *cursor)
{
	struct wireguard_peer *peer = peer_of(0);
	struct wireguard_key key = nodes[0].private_key, other = nodes[1].device->public_key;

	switch (cursor_byte(cursor) % 8) {
	case 0:
		if (peer != NULL)
			wireguard_peer_remove(peer);
		break;
	case 1: world_add(&nodes[0], &other, &nodes[1].address, nodes[1].inner, NULL); break;
	case 2:
		if (peer != NULL)
			wireguard_peer_reconnect(peer, now);
		break;
	case 3:
		if (peer != NULL)
			wireguard_peer_initiate(peer, now);
		break;
	case 4:
		if (peer != NULL)
			change_peer(cursor, peer);
		break;
	case 5:
		key.bytes[5] = cursor_byte(cursor) & 1;
		world_must(config_set_private_key(nodes[0].device, &key, now) == 0);
		break;
	case 6: wireguard_device_set_mtu(nodes[0].device, (uint16_t)(576 + cursor_byte(cursor) * 4)); break;
	case 7: nodes[0].device->load.queue.high_until = now + SECOND; break;
	}
}

static void step(struct cursor *cursor)
{
	uint8_t raw[255];
	unsigned counts[2] = { nodes[0].count, nodes[1].count };
	uint8_t op = cursor_byte(cursor);

	switch (op % 10) {
	case 0: world_receive(&nodes[0], &nodes[1].address, raw, cursor_take(cursor, raw, sizeof(raw)), now); break;
	case 1: receive_sealed(cursor); break;
	case 2: receive_changed(cursor); break;
	case 3: now += cursor_word(cursor) * (SECOND / 64); break;
	case 4: send_packet(0, raw, cursor_take(cursor, raw, sizeof(raw))); break;
	case 5: send_good_packet(op / 10 % 2, cursor_byte(cursor)); break;
	case 6: change_device(cursor); break;
	case 7: nodes[op / 10 % 2].is_full = !nodes[op / 10 % 2].is_full; break;
	case 8: now += cursor_byte(cursor) * (SECOND / 1000); break;
	case 9: /* all that was sent arrives, and the answers to it */
		for (unsigned i = 0; i < 4; i++) {
			unsigned before[2] = { nodes[0].count, nodes[1].count };
			(op / 10 % 2 == 0 ? carry : carry_together)(i % 2,
			                                            i < 2 ? (nodes[i % 2].count > 4 ? nodes[i % 2].count - 4 : 0) : counts[i % 2]);
			counts[1 - i % 2] = before[1 - i % 2];
		}
		break;
	}
	for (unsigned i = 0; i < 2; i++)
		world_tick(&nodes[i], now);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { bytes, length };

	world_start();
	now = 1000 * SECOND;
	for (unsigned i = 0; i < 2; i++)
		world_create(&nodes[i], (uint8_t)(i + 1));
	for (unsigned i = 0; i < 2; i++) {
		nodes[i].now = now;
		world_add(&nodes[i], &nodes[1 - i].device->public_key, &nodes[1 - i].address, nodes[1 - i].inner, NULL);
	}
	/* A session, to begin with. */
	wireguard_peer_initiate(peer_of(0), now);
	carry(0, 0);
	carry(1, 0);
	carry(0, 1);
	world_must(peer_of(0)->sessions.current != NULL && peer_of(1)->sessions.current != NULL);
	for (unsigned steps = 0; cursor.length > 0 && steps < 200; steps++)
		step(&cursor);
	for (unsigned i = 0; i < 2; i++) {
		config_forget(nodes[i].device);
		wireguard_device_free(nodes[i].device);
	}
	world_must(wireguard_arena_used() == 0);
	return 0;
}
