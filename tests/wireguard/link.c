/* One sorted list of datagrams; node n has the outer address 192.0.2.(n + 1), port 51820 + n. */
#include "tests/wireguard/link.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/sealing.h"

/* 2023-11-14: the wall clock when the link's own begins. */
#define WALL UINT64_C(1700000000)

uint64_t link_random(struct link *link)
{
	uint64_t z = link->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void env_random(void *owner, void *bytes, size_t length)
{
	struct link_node *node = owner;
	uint8_t *out = bytes;

	node->random_calls++;
	for (size_t i = 0; i < length; i++)
		out[i] = (uint8_t)link_random(node->link);
}

static void env_wall_clock(void *owner, struct timespec *now)
{
	struct link_node *node = owner;
	uint64_t wall = WALL * SECOND + node->link->now + (uint64_t)node->wall_offset;

	now->tv_sec = (time_t)(wall / SECOND);
	now->tv_nsec = (long)(wall % SECOND);
}

static uint8_t *env_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct link_node *node = owner;

	assert_true(length >= (node->device->obfuscator == NULL ? 32 : 1) && length < sizeof(node->room));
	assert_int_not_equal(to->any.sa_family, AF_UNSPEC);
	node->reserved = length;
	node->reserved_to = *to;
	/* What is written must not lean on what was there, nor go beyond its end. */
	memset(node->room, 0xa5, length + 8);
	return node->is_full ? NULL : node->room;
}

static void queue(struct link *link, const union wireguard_endpoint *from, const union wireguard_endpoint *to, const uint8_t *bytes, size_t length)
{
	uint64_t delay = link->delay;

	if (link->is_cut || link_random(link) % 1000 < link->loss)
		return;
	if (link_random(link) % 1000 < link->reorder)
		delay += 1 + link_random(link) % (10 * MILLISECOND);
	struct link_datagram *datagram = malloc(sizeof(*datagram) + length), **place = &link->first;
	if (datagram == NULL)
		return; /* a test in which memory fails loses it */
	*datagram = (struct link_datagram){ .arrives = link->now + delay, .from = *from, .to = *to, .length = length };
	memcpy(datagram->bytes, bytes, length);
	while (*place != NULL && (*place)->arrives <= datagram->arrives)
		place = &(*place)->next;
	datagram->next = *place;
	*place = datagram;
}

static void env_commit(void *owner, size_t length)
{
	struct link_node *node = owner;
	struct link *link = node->link;
	uint8_t type = node->device->obfuscator == NULL ? node->room[0] : 0;

	assert_int_equal(length, node->reserved);
	assert_int_equal(node->room[length], 0xa5);
	assert_true(type <= 4 && (type > 0 || node->device->obfuscator != NULL));
	node->reserved = 0;
	if (!wireguard_sealing_finish())
		return;
	node->sent[type]++;
	node->sent_at[type] = link->now;
	node->sent_bytes += length;
	if (length > node->largest)
		node->largest = length;
	if (link->filter != NULL && !link->filter(link, node, node->room, length))
		return;
	queue(link, &node->address, &node->reserved_to, node->room, length);
	if (link_random(link) % 1000 < link->duplicate)
		queue(link, &node->address, &node->reserved_to, node->room, length);
}

static void build(uint8_t *packet, unsigned from, unsigned to, size_t length)
{
	for (size_t i = 20; i < length; i++)
		packet[i] = (uint8_t)(i * 7 + length);
	memset(packet, 0, 20);
	packet[0] = 0x45;
	packet[2] = (uint8_t)(length >> 8);
	packet[3] = (uint8_t)length;
	packet[12] = packet[16] = 10;
	packet[15] = (uint8_t)(from + 1);
	packet[19] = (uint8_t)(to + 1);
}

static void env_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct link_node *node = owner;
	unsigned from = (unsigned)(uintptr_t)wireguard_peer_tag(peer);
	uint8_t expected[65536];

	node->delivered++;
	node->delivered_bytes += length;
	node->packet_length = length < sizeof(node->packet) ? length : sizeof(node->packet);
	memcpy(node->packet, packet, node->packet_length);
	if (packet[0] == 0x45 && length >= 20) {
		build(expected, from, node->number, length);
		assert_memory_equal(packet, expected, length);
	}
	if (node->does_echo)
		assert_int_not_equal(link_send(node->link, node->number, from, length), WIREGUARD_BAD_PACKET);
}

static void env_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	struct link_node *node = owner;

	assert_ptr_equal(wireguard_peer_find(node->device, wireguard_peer_public_key(peer)), peer);
	node->events[event]++;
}

union wireguard_endpoint link_ipv4(uint32_t address, uint16_t port)
{
	return (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(port) } };
}

union wireguard_endpoint link_ipv6(uint64_t prefix, uint64_t host, uint16_t port)
{
	union wireguard_endpoint endpoint = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };

	prefix = htobe64(prefix);
	host = htobe64(host);
	memcpy(&endpoint.v6.sin6_addr.s6_addr[0], &prefix, sizeof(prefix));
	memcpy(&endpoint.v6.sin6_addr.s6_addr[8], &host, sizeof(host));
	return endpoint;
}

struct link *link_create(unsigned count)
{
	struct link *link = calloc(1, sizeof(*link));
	static const uint8_t floor[12];

	link->now = 1000 * SECOND;
	link->random = 1;
	link->delay = 20 * MILLISECOND;
	link->count = count;
	for (unsigned n = 0; n < count; n++) {
		struct link_node *node = &link->nodes[n];
		struct wireguard_env env = { node, env_random, env_wall_clock, env_reserve, env_commit, env_deliver, env_notify };
		node->link = link;
		node->number = n;
		node->address = link_ipv4(0xc0000201 + n, (uint16_t)(51820 + n));
		memset(node->private_key.bytes, (int)n + 0x40, sizeof(node->private_key.bytes));
		assert_int_equal(wireguard_device_create(&node->device, &node->private_key, floor, &env), 0);
	}
	return link;
}

void link_free(struct link *link)
{
	for (unsigned n = 0; n < link->count; n++) {
		config_forget(link->nodes[n].device);
		wireguard_device_free(link->nodes[n].device);
	}
	while (link->first != NULL)
		free(link_take(link));
	free(link);
}

void link_config(struct link *link, unsigned to, struct wireguard_peer_config *config, struct wireguard_network networks[2])
{
	networks[0] = (struct wireguard_network){ AF_INET, 32, { 10, 0, 0, (uint8_t)(to + 1) } };
	networks[1] = (struct wireguard_network){ AF_INET6, 128, { 0xfd, [15] = (uint8_t)(to + 1) } };
	*config = (struct wireguard_peer_config){
		.public_key = link->nodes[to].device->public_key,
		.endpoint = link->nodes[to].address,
		.allowed_ips = networks,
		.allowed_ip_count = 2,
	};
}

void link_join(struct link *link, unsigned a, unsigned b)
{
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_peer *peer;

	link_config(link, b, &config, networks);
	assert_int_equal(config_add(link->nodes[a].device, &config, (void *)(uintptr_t)b, &peer, link->now), 0);
	link_config(link, a, &config, networks);
	assert_int_equal(config_add(link->nodes[b].device, &config, (void *)(uintptr_t)a, &peer, link->now), 0);
}

struct wireguard_peer *link_peer(struct link *link, unsigned of, unsigned to)
{
	return wireguard_peer_find(link->nodes[of].device, &link->nodes[to].device->public_key);
}

int link_send(struct link *link, unsigned from, unsigned to, size_t length)
{
	uint8_t packet[65536];
	/* In three parts, one of them empty. */
	struct iovec parts[3] = { { packet, 13 }, { NULL, 0 }, { packet + 13, length - 13 } };

	build(packet, from, to, length);
	return wireguard_device_send(link->nodes[from].device, parts, 3, length, link->now);
}

struct link_datagram *link_take(struct link *link)
{
	struct link_datagram *datagram = link->first;

	if (datagram != NULL)
		link->first = datagram->next;
	return datagram;
}

void link_inject(struct link *link, unsigned to, const union wireguard_endpoint *from, const void *bytes, size_t length)
{
	static const union wireguard_secrets nothing;
	uint8_t *copy = malloc(length > 0 ? length : 1); /* exactly as long, so that a read beyond the end is seen */

	if (copy == NULL)
		return;
	memcpy(copy, bytes, length);
	receive_one(link->nodes[to].device, copy, length, from, link->now);
	free(copy);
	/* Whatever came in, no half-read handshake stays behind. */
	assert_memory_equal(link->nodes[to].device->slots[WIREGUARD_DEVICE_SCRATCH], &nothing, sizeof(nothing));
}

static bool is_at(const struct link_node *node, const union wireguard_endpoint *address)
{
	if (node->address.any.sa_family != address->any.sa_family)
		return false;
	if (address->any.sa_family == AF_INET)
		return node->address.v4.sin_port == address->v4.sin_port && node->address.v4.sin_addr.s_addr == address->v4.sin_addr.s_addr;
	return node->address.v6.sin6_port == address->v6.sin6_port && memcmp(&node->address.v6.sin6_addr, &address->v6.sin6_addr, 16) == 0;
}

static void arrive(struct link *link)
{
	struct link_datagram *datagram = link_take(link);

	for (unsigned n = 0; n < link->count; n++)
		if (is_at(&link->nodes[n], &datagram->to))
			link_inject(link, n, &datagram->from, datagram->bytes, datagram->length);
	free(datagram);
}

/* The deadline is exactly the earliest of all timers, found by looking at each. */
static uint64_t deadline_of(const struct wireguard_device *device)
{
	uint64_t earliest = device->load.sweep_at;

	for (const struct wireguard_peer *peer = device->first; peer != NULL; peer = peer->next)
		for (unsigned t = 0; t < WIREGUARD_TIMER_COUNT; t++)
			if (peer->timers.deadlines[t] < earliest)
				earliest = peer->timers.deadlines[t];
	assert_true(wireguard_device_deadline(device) == earliest);
	return earliest;
}

void link_run(struct link *link, uint64_t duration)
{
	uint64_t end = link->now + duration;

	for (;;) {
		uint64_t next = link->first == NULL ? WIREGUARD_NEVER : link->first->arrives;
		for (unsigned n = 0; n < link->count; n++) {
			uint64_t deadline = deadline_of(link->nodes[n].device);
			next = deadline < next ? deadline : next;
		}
		if (next > end)
			break;
		link->now = next > link->now ? next : link->now;
		while (link->first != NULL && link->first->arrives <= link->now)
			arrive(link);
		for (unsigned n = 0; n < link->count; n++) {
			do
				wireguard_device_tick(link->nodes[n].device, link->now);
			while (deadline_of(link->nodes[n].device) <= link->now);
		}
	}
	link->now = end;
}

void link_handshake(struct link *link, unsigned a, unsigned b)
{
	unsigned before = link->nodes[b].delivered;

	assert_int_equal(link_send(link, a, b, 100), WIREGUARD_STAGED);
	link_run(link, 4 * link->delay);
	assert_int_equal(link->nodes[b].delivered, before + 1);
	assert_true(wireguard_session_can_send(link_peer(link, a, b)->sessions.current, link->now));
	assert_true(wireguard_session_can_send(link_peer(link, b, a)->sessions.current, link->now));
}

uint64_t link_drops(struct link *link, unsigned node)
{
	const uint32_t *drops = link->nodes[node].device->dropped;
	uint64_t sum = 0;

	for (unsigned i = 0; i < WIREGUARD_DROP_COUNT; i++)
		sum += drops[i];
	return sum;
}

void link_seal(struct wireguard_session *session, uint8_t *message, size_t length)
{
	wireguard_session_seal(session, message, length);
	assert_true(wireguard_sealing_finish());
}

bool link_open(const struct wireguard_session *session, uint8_t *message, size_t length)
{
	uint64_t counter = wireguard_message_get64(((const struct wireguard_message_data *)(const void *)message)->counter);
	struct wireguard_aead_packet packet = { message + sizeof(struct wireguard_message_data), length - WIREGUARD_OVERHEAD, counter, false };

	wireguard_session_open(session, &packet, 1);
	return packet.is_good;
}

int link_setup(void **state)
{
	(void)state;
	return wireguard_start(2048, false);
}

int link_teardown(void **state)
{
	(void)state;
	bool is_empty = wireguard_arena_used() == 0;
	wireguard_stop();
	return is_empty ? 0 : -1;
}
