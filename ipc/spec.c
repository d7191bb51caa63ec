#include "ipc/spec.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/message.h"

void spec_init(struct spec *spec)
{
	*spec = (struct spec){
		.enabled = true,
		.mtu = SPEC_MTU_DEFAULT,
		.protocols = SPEC_HTTP | SPEC_SOCKS5 | SPEC_SOCKS4,
		.connect_timeout = 30,
		.idle_timeout = 300,
		.allow_private_targets = true,
		.limits = { .connections = 1024 },
		.probe = { .interval = 10 },
	};
}

static void wipe_string(char *string)
{
	if (string != NULL)
		sodium_memzero(string, strlen(string));
	free(string);
}

void spec_clear(struct spec *spec)
{
	for (size_t i = 0; i < spec->peer_count; i++) {
		free(spec->peers[i].endpoint.host);
		free(spec->peers[i].allowed_ips);
	}
	if (spec->peers != NULL)
		sodium_memzero(spec->peers, spec->peer_count * sizeof(*spec->peers));
	free(spec->peers);
	free(spec->peers_by_key);
	free(spec->dns);
	for (size_t i = 0; i < spec->listen_count; i++)
		free(spec->listen[i].host);
	free(spec->listen);
	for (size_t i = 0; i < spec->user_count; i++) {
		free(spec->users[i].username);
		wipe_string(spec->users[i].password);
	}
	free(spec->users);
	for (size_t i = 0; i < spec->forward_count; i++) {
		free(spec->forwards[i].name);
		free(spec->forwards[i].listen.host);
		free(spec->forwards[i].target.host);
	}
	free(spec->forwards);
	free(spec->probe.target);
	sodium_memzero(spec, sizeof(*spec));
}

/* For few peers a linear search is as fast. */
#define UNSORTED_MOST 8

static int compare_keys(const void *a, const void *b)
{
	const struct spec_peer *const *first = a, *const *second = b;
	int order = memcmp(&(*first)->public_key, &(*second)->public_key, sizeof((*first)->public_key));
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

bool spec_index_peers(struct spec *spec)
{
	free(spec->peers_by_key);
	spec->peers_by_key = NULL;
	if (spec->peer_count <= UNSORTED_MOST)
		return true;
	spec->peers_by_key = calloc(spec->peer_count, sizeof(const struct spec_peer *));
	if (spec->peers_by_key == NULL)
		return false;
	for (size_t i = 0; i < spec->peer_count; i++)
		spec->peers_by_key[i] = &spec->peers[i];
	qsort(spec->peers_by_key, spec->peer_count, sizeof(*spec->peers_by_key), compare_keys);
	return true;
}

/* Sorted, not hashed, so that chosen keys cannot make a search slow. */
static const struct spec_peer *find_sorted(const struct spec *spec, const struct wireguard_key *public_key)
{
	size_t low = 0, high = spec->peer_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(&spec->peers_by_key[middle]->public_key, public_key, sizeof(*public_key)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == spec->peer_count || memcmp(&spec->peers_by_key[low]->public_key, public_key, sizeof(*public_key)) != 0)
		return NULL;
	return spec->peers_by_key[low];
}

const struct spec_peer *spec_peer_find(const struct spec *spec, const struct wireguard_key *public_key)
{
	if (spec == NULL)
		return NULL;
	if (spec->peers_by_key != NULL)
		return find_sorted(spec, public_key);
	assert(spec->peer_count <= UNSORTED_MOST);
	for (size_t i = 0; i < spec->peer_count; i++)
		if (memcmp(&spec->peers[i].public_key, public_key, sizeof(*public_key)) == 0)
			return &spec->peers[i];
	return NULL;
}

/* Compares the wire form: one walk over all members, instead of a second one that could miss some. */
bool spec_copy(struct spec *to, const struct spec *from)
{
	struct message_writer writer;
	message_writer_init(&writer);
	spec_encode(&writer, from);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	bool copied = !writer.failed && spec_decode(&reader, to);
	message_writer_clear(&writer);
	return copied;
}

static bool encodings_equal(void (*encode)(struct message_writer *writer, const struct spec *spec), const struct spec *a, const struct spec *b)
{
	struct message_writer first, second;
	message_writer_init(&first);
	message_writer_init(&second);
	encode(&first, a);
	encode(&second, b);
	bool equal = !first.failed && !second.failed && first.length == second.length && sodium_memcmp(first.bytes, second.bytes, first.length) == 0;
	message_writer_clear(&first);
	message_writer_clear(&second);
	return equal;
}

bool spec_equal(const struct spec *a, const struct spec *b)
{
	return encodings_equal(spec_encode, a, b);
}

bool spec_place_equal(const struct spec_place *a, const struct spec_place *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == SPEC_PLACE_NONE || (a->port == b->port && strcmp(a->host, b->host) == 0);
}

bool spec_needs_restart(const struct spec *from, const struct spec *to)
{
	return from->mtu != to->mtu || from->address_count != to->address_count ||
	       memcmp(from->addresses, to->addresses, from->address_count * sizeof(*from->addresses)) != 0;
}

static void encode_place(struct message_writer *writer, const struct spec_place *place)
{
	message_put_u8(writer, (uint8_t)place->kind);
	message_put_string(writer, place->host);
	message_put_u16(writer, place->port);
}

static void encode_network(struct message_writer *writer, const struct wireguard_network *network)
{
	message_put_u8(writer, network->family);
	message_put_u8(writer, network->prefix);
	message_put_bytes(writer, network->bytes, network->family == AF_INET ? 4 : 16);
}

static void encode_peer(struct message_writer *writer, const struct spec_peer *peer)
{
	message_put_bytes(writer, peer->public_key.bytes, sizeof(peer->public_key.bytes));
	message_put_u8(writer, peer->has_preshared_key);
	message_put_bytes(writer, peer->preshared_key.bytes, sizeof(peer->preshared_key.bytes));
	encode_place(writer, &peer->endpoint);
	message_put_u16(writer, peer->persistent_keepalive);
	message_put_u32(writer, (uint32_t)peer->allowed_ip_count);
	for (size_t i = 0; i < peer->allowed_ip_count; i++)
		encode_network(writer, &peer->allowed_ips[i]);
}

static void encode_proxy(struct message_writer *writer, const struct spec *spec)
{
	message_put_u32(writer, (uint32_t)spec->listen_count);
	for (size_t i = 0; i < spec->listen_count; i++)
		encode_place(writer, &spec->listen[i]);
	message_put_u32(writer, spec->protocols);
	message_put_u32(writer, (uint32_t)spec->user_count);
	for (size_t i = 0; i < spec->user_count; i++) {
		message_put_string(writer, spec->users[i].username);
		message_put_string(writer, spec->users[i].password);
	}
	message_put_u32(writer, spec->connect_timeout);
	message_put_u32(writer, spec->idle_timeout);
	message_put_u8(writer, spec->allow_private_targets);
}

static void encode_forward(struct message_writer *writer, const struct spec_forward *forward)
{
	message_put_string(writer, forward->name);
	message_put_u8(writer, (uint8_t)forward->direction);
	message_put_u8(writer, (uint8_t)forward->transport);
	encode_place(writer, &forward->listen);
	encode_place(writer, &forward->target);
}

/* The members that decide which far ends see the traffic. */
static void encode_route(struct message_writer *writer, const struct spec *spec)
{
	message_put_u8(writer, spec->has_private_key);
	message_put_bytes(writer, spec->private_key.bytes, sizeof(spec->private_key.bytes));
	message_put_u8(writer, (uint8_t)spec->address_count);
	for (size_t i = 0; i < spec->address_count; i++)
		encode_network(writer, &spec->addresses[i]);
	message_put_u32(writer, (uint32_t)spec->dns_count);
	for (size_t i = 0; i < spec->dns_count; i++)
		encode_network(writer, &spec->dns[i]);
	message_put_u32(writer, (uint32_t)spec->peer_count);
	for (size_t i = 0; i < spec->peer_count; i++)
		encode_peer(writer, &spec->peers[i]);
}

bool spec_route_equal(const struct spec *a, const struct spec *b)
{
	return encodings_equal(encode_route, a, b);
}

void spec_encode(struct message_writer *writer, const struct spec *spec)
{
	message_put_u8(writer, spec->enabled);
	encode_route(writer, spec);
	message_put_u16(writer, spec->mtu);
	message_put_u16(writer, spec->listen_port);
	encode_proxy(writer, spec);
	message_put_u32(writer, (uint32_t)spec->forward_count);
	for (size_t i = 0; i < spec->forward_count; i++)
		encode_forward(writer, &spec->forwards[i]);
	message_put_u32(writer, spec->limits.connections);
	message_put_u64(writer, spec->limits.rx_bits_per_second);
	message_put_u64(writer, spec->limits.tx_bits_per_second);
	message_put_u64(writer, spec->limits.total_bytes);
	message_put_u8(writer, (uint8_t)spec->probe.type);
	message_put_string(writer, spec->probe.target);
	message_put_u32(writer, spec->probe.interval);
}

static void decode_place(struct message_reader *reader, struct spec_place *place)
{
	uint8_t kind = message_get_u8(reader);
	place->host = message_get_string(reader, 4096);
	place->port = message_get_u16(reader);
	place->kind = (enum spec_place_kind)kind;
	if (kind > SPEC_PLACE_UNIX || (kind != SPEC_PLACE_NONE && place->host == NULL))
		reader->failed = true;
}

static void decode_network(struct message_reader *reader, struct wireguard_network *network)
{
	*network = (struct wireguard_network){ .family = message_get_u8(reader) };
	network->prefix = message_get_u8(reader);
	unsigned bits = network->family == AF_INET ? 32 : 128;
	if ((network->family != AF_INET && network->family != AF_INET6) || network->prefix > bits)
		reader->failed = true;
	else
		message_get_bytes(reader, network->bytes, bits / 8);
}

/* Reads an element count, at most `most`, and allocates an array of zeroed elements; NULL and 0 on failure. */
static void *decode_array(struct message_reader *reader, size_t most, size_t element, size_t *count)
{
	size_t n = message_get_u32(reader);
	*count = 0;
	if (n > most || n > reader->left) {
		reader->failed = true;
		return NULL;
	}
	if (n == 0)
		return NULL;
	void *array = calloc(n, element);
	if (array == NULL)
		reader->failed = true;
	else
		*count = n;
	return array;
}

static void decode_peer(struct message_reader *reader, struct spec_peer *peer)
{
	message_get_bytes(reader, peer->public_key.bytes, sizeof(peer->public_key.bytes));
	peer->has_preshared_key = message_get_u8(reader) != 0;
	message_get_bytes(reader, peer->preshared_key.bytes, sizeof(peer->preshared_key.bytes));
	decode_place(reader, &peer->endpoint);
	peer->persistent_keepalive = message_get_u16(reader);
	peer->allowed_ips = decode_array(reader, 1u << 20, sizeof(*peer->allowed_ips), &peer->allowed_ip_count);
	for (size_t i = 0; i < peer->allowed_ip_count && !reader->failed; i++)
		decode_network(reader, &peer->allowed_ips[i]);
}

static size_t decode_count(struct message_reader *reader, uint32_t count, size_t most)
{
	if (count <= most)
		return count;
	reader->failed = true;
	return 0;
}

static void decode_proxy(struct message_reader *reader, struct spec *spec)
{
	spec->listen = decode_array(reader, SPEC_LISTEN_MAX, sizeof(*spec->listen), &spec->listen_count);
	for (size_t i = 0; i < spec->listen_count; i++)
		decode_place(reader, &spec->listen[i]);
	spec->protocols = message_get_u32(reader);
	spec->users = decode_array(reader, SPEC_USER_MAX, sizeof(*spec->users), &spec->user_count);
	for (size_t i = 0; i < spec->user_count; i++) {
		spec->users[i].username = message_get_string(reader, 255);
		spec->users[i].password = message_get_string(reader, 255);
		if (spec->users[i].username == NULL || spec->users[i].password == NULL)
			reader->failed = true;
	}
	spec->connect_timeout = message_get_u32(reader);
	spec->idle_timeout = message_get_u32(reader);
	spec->allow_private_targets = message_get_u8(reader) != 0;
}

static void decode_forward(struct message_reader *reader, struct spec_forward *forward)
{
	forward->name = message_get_string(reader, 255);
	uint8_t direction = message_get_u8(reader), transport = message_get_u8(reader);
	decode_place(reader, &forward->listen);
	decode_place(reader, &forward->target);
	forward->direction = (enum spec_direction)direction;
	forward->transport = (enum spec_transport)transport;
	if (forward->name == NULL || direction > SPEC_INBOUND || transport > SPEC_UDP)
		reader->failed = true;
}

static void decode_tail(struct message_reader *reader, struct spec *spec)
{
	spec->forwards = decode_array(reader, SPEC_FORWARD_MAX, sizeof(*spec->forwards), &spec->forward_count);
	for (size_t i = 0; i < spec->forward_count; i++)
		decode_forward(reader, &spec->forwards[i]);
	spec->limits.connections = message_get_u32(reader);
	spec->limits.rx_bits_per_second = message_get_u64(reader);
	spec->limits.tx_bits_per_second = message_get_u64(reader);
	spec->limits.total_bytes = message_get_u64(reader);
	uint8_t type = message_get_u8(reader);
	spec->probe.type = (enum spec_probe_type)type;
	spec->probe.target = message_get_string(reader, 512);
	spec->probe.interval = message_get_u32(reader);
	if (type > SPEC_PROBE_DNS || (type != SPEC_PROBE_NONE && spec->probe.target == NULL))
		reader->failed = true;
}

bool spec_decode(struct message_reader *reader, struct spec *spec)
{
	*spec = (struct spec){ .enabled = message_get_u8(reader) != 0 };
	spec->has_private_key = message_get_u8(reader) != 0;
	message_get_bytes(reader, spec->private_key.bytes, sizeof(spec->private_key.bytes));
	spec->address_count = decode_count(reader, message_get_u8(reader), SPEC_ADDRESS_MAX);
	for (size_t i = 0; i < spec->address_count; i++)
		decode_network(reader, &spec->addresses[i]);
	spec->dns = decode_array(reader, SPEC_DNS_MAX, sizeof(*spec->dns), &spec->dns_count);
	for (size_t i = 0; i < spec->dns_count; i++)
		decode_network(reader, &spec->dns[i]);
	spec->peers = decode_array(reader, SPEC_PEER_MAX, sizeof(*spec->peers), &spec->peer_count);
	for (size_t i = 0; i < spec->peer_count && !reader->failed; i++)
		decode_peer(reader, &spec->peers[i]);
	spec->mtu = message_get_u16(reader);
	spec->listen_port = message_get_u16(reader);
	decode_proxy(reader, spec);
	decode_tail(reader, spec);
	if (!reader->failed && !spec_index_peers(spec))
		reader->failed = true;
	if (reader->failed)
		spec_clear(spec);
	return !reader->failed;
}

static bool covers(const struct wireguard_network *network, uint8_t family, const uint8_t *address)
{
	unsigned whole = network->prefix / 8, rest = network->prefix % 8;
	if (network->family != family || memcmp(network->bytes, address, whole) != 0)
		return false;
	return rest == 0 || ((network->bytes[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

const struct spec_peer *spec_route(const struct spec *spec, uint8_t family, const uint8_t *address)
{
	const struct spec_peer *best = NULL;
	int prefix = -1;
	for (size_t i = 0; i < spec->peer_count; i++)
		for (size_t j = 0; j < spec->peers[i].allowed_ip_count; j++) {
			const struct wireguard_network *network = &spec->peers[i].allowed_ips[j];
			if (network->prefix <= prefix || !covers(network, family, address))
				continue;
			best = &spec->peers[i];
			prefix = network->prefix;
		}
	return best;
}

bool spec_has_address(const struct spec *spec, uint8_t family, const uint8_t *address)
{
	size_t length = family == AF_INET ? 4 : 16;
	for (size_t i = 0; i < spec->address_count; i++)
		if (spec->addresses[i].family == family && memcmp(spec->addresses[i].bytes, address, length) == 0)
			return true;
	return false;
}
