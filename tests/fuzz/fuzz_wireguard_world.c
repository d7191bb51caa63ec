/* Deterministic: all randomness is a counter's. */
#include "tests/fuzz/fuzz_wireguard_world.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/config.h"
#include "tunnel/wireguard/sealing.h"

static void world_random(void *owner, void *bytes, size_t length)
{
	struct world_node *node = owner;
	uint8_t *out = bytes;

	for (size_t i = 0; i < length; i++) {
		node->random = node->random * UINT64_C(6364136223846793005) + 1442695040888963407;
		out[i] = (uint8_t)(node->random >> 56);
	}
}

static void world_wall_clock(void *owner, struct timespec *now)
{
	const struct world_node *node = owner;

	now->tv_sec = (time_t)(1700000000 + node->now / SECOND);
	now->tv_nsec = (long)(node->now % SECOND);
}

static uint8_t *world_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct world_node *node = owner;

	world_must(length >= 32 && length <= 65507 && to->any.sa_family != AF_UNSPEC);
	node->reserved = length;
	node->sent[node->count % WORLD_QUEUE].to = *to;
	return node->is_full ? NULL : node->room;
}

static void world_commit(void *owner, size_t length)
{
	struct world_node *node = owner;
	struct world_datagram *datagram = &node->sent[node->count++ % WORLD_QUEUE];

	world_must(length == node->reserved && node->room[0] >= 1 && node->room[0] <= 4);
	world_must(wireguard_sealing_finish());
	node->reserved = 0;
	datagram->length = length < WORLD_DATAGRAM ? length : WORLD_DATAGRAM;
	memcpy(datagram->bytes, node->room, datagram->length);
}

/* What is delivered is an IP packet of the length it says, from an address of the peer's. */
static void world_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct world_node *node = owner;
	bool is_v4 = packet[0] >> 4 == 4;

	world_must(is_v4 || packet[0] >> 4 == 6);
	size_t total = is_v4 ? (size_t)packet[2] << 8 | packet[3] : 40 + ((size_t)packet[4] << 8 | packet[5]);
	world_must(total == length && length >= (is_v4 ? 20 : 40));
	world_must(wireguard_allowed_ips_find(&node->device->allowed_ips, is_v4 ? AF_INET : AF_INET6, packet + (is_v4 ? 12 : 8)) == &peer->allowed);
	node->delivered++;
}

static void world_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	const struct world_node *node = owner;

	world_must(peer->device == node->device);
	if (event == WIREGUARD_HANDSHAKE_COMPLETED)
		world_must(peer->sessions.current != NULL);
	if (event == WIREGUARD_SESSION_EXPIRED)
		world_must(peer->sessions.current == NULL);
}

void world_start(void)
{
	static bool is_started;

	if (!is_started && wireguard_start(256, false) != 0)
		abort();
	is_started = true;
}

void world_create(struct world_node *node, uint8_t number)
{
	struct wireguard_env env = { node, world_random, world_wall_clock, world_reserve, world_commit, world_deliver, world_notify };
	static const uint8_t floor[12];

	memset(node, 0, offsetof(struct world_node, sent));
	node->random = node->inner = number;
	node->address =
	    (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000200u + number), .sin_port = htons(number) } };
	memset(node->private_key.bytes, 0x40 + number, sizeof(node->private_key.bytes));
	if (wireguard_device_create(&node->device, &node->private_key, floor, &env) != 0)
		abort();
}

struct wireguard_peer *world_add(struct world_node *node, const struct wireguard_key *public_key, const union wireguard_endpoint *endpoint,
                                 uint8_t inner, const struct wireguard_key *preshared)
{
	struct wireguard_network networks[2] = { { AF_INET, 32, { 10, 0, 0, inner } }, { AF_INET6, 64, { 0xfd, inner } } };
	struct wireguard_peer_config config = { .public_key = *public_key, .endpoint = *endpoint, .allowed_ips = networks, .allowed_ip_count = 2 };
	struct wireguard_peer *peer = NULL;

	if (preshared != NULL)
		config.preshared_key = *preshared;
	return config_add(node->device, &config, NULL, &peer, node->now) == 0 ? peer : NULL;
}

struct world_datagram *world_sent(struct world_node *node, unsigned back)
{
	if (back >= node->count || back >= WORLD_QUEUE)
		return NULL;
	return &node->sent[(node->count - 1 - back) % WORLD_QUEUE];
}

void world_receive(struct world_node *node, const union wireguard_endpoint *from, const void *bytes, size_t length, uint64_t now)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);

	if (copy == NULL)
		return;
	memcpy(copy, bytes, length);
	receive_one(node->device, copy, length, from, now);
	free(copy);
}

void world_tick(struct world_node *node, uint64_t now)
{
	static const union wireguard_secrets zero;
	struct wireguard_device *device = node->device;

	node->now = now;
	wireguard_device_tick(device, now);
	world_must(wireguard_device_deadline(device) > now);
	world_must(device->indices.used <= device->peer_count * WIREGUARD_INDICES_PER_PEER);
	world_must(memcmp(device->slots[WIREGUARD_DEVICE_SCRATCH], &zero, sizeof(zero)) == 0);
	for (struct wireguard_peer *peer = device->first; peer != NULL; peer = peer->next) {
		const struct wireguard_session *sessions[3] = { peer->sessions.previous, peer->sessions.current, peer->sessions.next };
		for (unsigned i = 0; i < 3; i++)
			world_must(sessions[i] == NULL || now - sessions[i]->created < 180 * SECOND);
		world_must(peer->staged.count <= WIREGUARD_STAGED_MAX);
		if (!peer->handshake_index.is_listed)
			world_must(memcmp(peer->slots[WIREGUARD_PEER_HANDSHAKE]->handshake.chaining_key, zero.handshake.chaining_key, 32) == 0);
	}
}
