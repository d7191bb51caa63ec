#include "ipc/spec.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/lower_bound.h"
#include "ipc/message.h"

const char *spec_kind_name(enum spec_kind kind)
{
	return kind == SPEC_POOL ? "pool" : "tunnel";
}

const struct spec_probe spec_probe_default = { .interval = 10, .timeout = 5, .unhealthy_after = 3, .status_low = 200, .status_high = 399 };

const char *spec_probe_type_name(enum spec_probe_type type)
{
	static const char *const names[] = {
		[SPEC_PROBE_NONE] = NULL, [SPEC_PROBE_PING] = "ping", [SPEC_PROBE_TCP] = "tcp",
		[SPEC_PROBE_DNS] = "dns", [SPEC_PROBE_HTTP] = "http", [SPEC_PROBE_EXIT_IP] = "exit_ip",
	};
	static_assert(sizeof(names) / sizeof(names[0]) == SPEC_PROBE_TYPES, "a name for each type");
	return names[type];
}

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
		.probe = spec_probe_default,
	};
}

void spec_init_pool(struct spec *spec)
{
	spec_init(spec);
	spec->kind = SPEC_POOL;
	spec->limits.connections = 0;
	pool_spec_init(&spec->pool);
}

void spec_init_kind(struct spec *spec, enum spec_kind kind)
{
	if (kind == SPEC_POOL)
		spec_init_pool(spec);
	else
		spec_init(spec);
}

static void wipe_string(char *string)
{
	if (string != NULL)
		sodium_memzero(string, strlen(string));
	free(string);
}

bool spec_clear_peers(struct spec *spec, size_t most)
{
	for (size_t done = 0; done < most && spec->peer_count > 0; done++) {
		struct spec_peer *peer = &spec->peers[--spec->peer_count];
		free(peer->endpoint.host);
		free(peer->allowed_ips);
		sodium_memzero(peer, sizeof(*peer));
	}
	return spec->peer_count > 0;
}

void spec_clear(struct spec *spec)
{
	(void)spec_clear_peers(spec, SIZE_MAX);
	free(spec->peers);
	free(spec->peers_by_key);
	free(spec->via);
	obfuscation_free(spec->obfuscation);
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
	pool_spec_clear(&spec->pool);
	placement_spec_free(spec->placement);
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

static int compare_key(const void *key, const void *element)
{
	const struct spec_peer *const *peer = element;
	return memcmp(key, &(*peer)->public_key, sizeof((*peer)->public_key));
}

/* Sorted, not hashed, so that chosen keys cannot make a search slow. */
static const struct spec_peer *find_sorted(const struct spec *spec, const struct wireguard_key *public_key)
{
	/* The first, if it stands twice. */
	size_t at = lower_bound(public_key, spec->peers_by_key, spec->peer_count, sizeof(*spec->peers_by_key), compare_key);
	if (at == spec->peer_count || compare_key(public_key, &spec->peers_by_key[at]) != 0)
		return NULL;
	return spec->peers_by_key[at];
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

bool spec_peer_has_reserved(const struct spec_peer *peer)
{
	static const uint8_t none[sizeof(peer->reserved)];
	return memcmp(peer->reserved, none, sizeof(none)) != 0;
}

bool spec_has_reserved(const struct spec *spec)
{
	for (size_t i = 0; i < spec->peer_count; i++)
		if (spec_peer_has_reserved(&spec->peers[i]))
			return true;
	return false;
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

bool spec_probe_equal(const struct spec *a, const struct spec *b)
{
	const struct spec_probe *x = &a->probe, *y = &b->probe;
	if (a->enabled != b->enabled || x->type != y->type || x->type == SPEC_PROBE_NONE)
		return a->enabled == b->enabled && x->type == y->type;
	return strcmp(x->target, y->target) == 0 && x->interval == y->interval && x->timeout == y->timeout &&
	       x->unhealthy_after == y->unhealthy_after && x->status_low == y->status_low && x->status_high == y->status_high;
}

bool spec_place_equal(const struct spec_place *a, const struct spec_place *b)
{
	if (a->kind != b->kind)
		return false;
	return a->kind == SPEC_PLACE_NONE || (a->port == b->port && strcmp(a->host, b->host) == 0);
}

bool spec_has_via(const struct spec *spec, const char *via)
{
	return spec->via == NULL || via == NULL ? spec->via == via : strcmp(spec->via, via) == 0;
}

bool spec_needs_restart(const struct spec *from, const struct spec *to)
{
	return from->mtu != to->mtu || !spec_has_via(from, to->via) || from->address_count != to->address_count ||
	       memcmp(from->addresses, to->addresses, from->address_count * sizeof(*from->addresses)) != 0;
}

#define IPV4_OVERHEAD 60 /* IP, UDP, and the header and tag of data */
#define IPV6_OVERHEAD 80

static bool has_ipv6(const struct spec *spec)
{
	for (size_t i = 0; i < spec->address_count; i++)
		if (spec->addresses[i].family == AF_INET6)
			return true;
	return false;
}

bool spec_has_only_ipv4(const struct spec *spec)
{
	union wireguard_endpoint address;
	for (size_t i = 0; i < spec->peer_count; i++)
		if (!place_address(&spec->peers[i].endpoint, &address) || address.any.sa_family != AF_INET)
			return false;
	return true;
}

unsigned spec_overhead(const struct spec *spec, bool is_over_ipv4)
{
	unsigned padding = spec->obfuscation == NULL ? 0 : spec->obfuscation->padding[OBFUSCATION_DATA];
	return padding + (is_over_ipv4 ? IPV4_OVERHEAD : IPV6_OVERHEAD);
}

uint16_t spec_mtu_inside(const struct spec *spec, const struct spec *outer, uint16_t outer_mtu)
{
	unsigned overhead = spec_overhead(spec, !has_ipv6(outer) || spec_has_only_ipv4(spec));
	unsigned room = outer_mtu > overhead + SPEC_MTU_LEAST ? outer_mtu - overhead : SPEC_MTU_LEAST;
	return spec->mtu < room ? spec->mtu : (uint16_t)room;
}

/* Beside the kind. Without `via` a spec is as before MESSAGE_PROTOCOL 5, and without a placement as before 7. A worker of an earlier one that gets it
 * ends, and is replaced. */
#define WITH_VIA 0x80u
#define WITH_PLACEMENT 0x40u

static void encode_place(struct message_writer *writer, const struct spec_place *place)
{
	message_put_u8(writer, (uint8_t)place->kind);
	message_put_string(writer, place->host);
	message_put_u16(writer, place->port);
}

static void encode_peer(struct message_writer *writer, const struct spec_peer *peer)
{
	message_put_bytes(writer, peer->public_key.bytes, sizeof(peer->public_key.bytes));
	message_put_u8(writer, peer->has_preshared_key);
	message_put_bytes(writer, peer->preshared_key.bytes, sizeof(peer->preshared_key.bytes));
	encode_place(writer, &peer->endpoint);
	message_put_u16(writer, peer->persistent_keepalive);
	message_put_u16(writer, peer->persistent_keepalive_most);
	message_put_bytes(writer, peer->reserved, sizeof(peer->reserved));
	message_put_u32(writer, (uint32_t)peer->allowed_ip_count);
	for (size_t i = 0; i < peer->allowed_ip_count; i++)
		message_put_network(writer, &peer->allowed_ips[i]);
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
		message_put_network(writer, &spec->addresses[i]);
	message_put_u32(writer, (uint32_t)spec->dns_count);
	for (size_t i = 0; i < spec->dns_count; i++)
		message_put_network(writer, &spec->dns[i]);
	message_put_u32(writer, (uint32_t)spec->peer_count);
	for (size_t i = 0; i < spec->peer_count; i++)
		encode_peer(writer, &spec->peers[i]);
	if (spec->kind == SPEC_POOL)
		pool_spec_encode(writer, &spec->pool);
}

bool spec_route_equal(const struct spec *a, const struct spec *b)
{
	return encodings_equal(encode_route, a, b);
}

bool spec_is_large(const struct spec *spec)
{
	size_t count = spec->peer_count;
	for (size_t i = 0; i < spec->peer_count && count <= SPEC_MANY; i++)
		count += spec->peers[i].allowed_ip_count;
	return count > SPEC_MANY;
}

void spec_encode(struct message_writer *writer, const struct spec *spec)
{
	message_put_u8(writer, (uint8_t)(spec->kind | (spec->via != NULL ? WITH_VIA : 0) | (spec->placement != NULL ? WITH_PLACEMENT : 0)));
	message_put_u8(writer, spec->enabled);
	message_put_u64(writer, (uint64_t)spec->expires_at);
	encode_route(writer, spec);
	message_put_u16(writer, spec->mtu);
	message_put_u16(writer, spec->listen_port);
	if (spec->via != NULL)
		message_put_string(writer, spec->via);
	obfuscation_encode(writer, spec->obfuscation);
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
	message_put_u32(writer, spec->probe.timeout);
	message_put_u32(writer, spec->probe.unhealthy_after);
	message_put_u16(writer, spec->probe.status_low);
	message_put_u16(writer, spec->probe.status_high);
	if (spec->placement != NULL)
		placement_spec_encode(writer, spec->placement);
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

static void decode_peer(struct message_reader *reader, struct spec_peer *peer)
{
	message_get_bytes(reader, peer->public_key.bytes, sizeof(peer->public_key.bytes));
	peer->has_preshared_key = message_get_u8(reader) != 0;
	message_get_bytes(reader, peer->preshared_key.bytes, sizeof(peer->preshared_key.bytes));
	decode_place(reader, &peer->endpoint);
	peer->persistent_keepalive = message_get_u16(reader);
	peer->persistent_keepalive_most = message_get_u16(reader);
	message_get_bytes(reader, peer->reserved, sizeof(peer->reserved));
	peer->allowed_ips = message_get_array(reader, 1u << 20, sizeof(*peer->allowed_ips), &peer->allowed_ip_count);
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
	spec->listen = message_get_array(reader, SPEC_LISTEN_MAX, sizeof(*spec->listen), &spec->listen_count);
	for (size_t i = 0; i < spec->listen_count; i++)
		decode_place(reader, &spec->listen[i]);
	spec->protocols = message_get_u32(reader);
	spec->users = message_get_array(reader, SPEC_USER_MAX, sizeof(*spec->users), &spec->user_count);
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
	spec->forwards = message_get_array(reader, SPEC_FORWARD_MAX, sizeof(*spec->forwards), &spec->forward_count);
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
	spec->probe.timeout = message_get_u32(reader);
	spec->probe.unhealthy_after = message_get_u32(reader);
	spec->probe.status_low = message_get_u16(reader);
	spec->probe.status_high = message_get_u16(reader);
	if (type >= SPEC_PROBE_TYPES || (type != SPEC_PROBE_NONE && spec->probe.target == NULL))
		reader->failed = true;
}

void spec_decode_begin(struct spec_decoder *decoder, struct message_reader *reader, struct spec *spec)
{
	uint8_t first = message_get_u8(reader), kind = first & (uint8_t) ~(WITH_VIA | WITH_PLACEMENT);
	*decoder = (struct spec_decoder){ .spec = spec, .has_via = (first & WITH_VIA) != 0, .has_placement = (first & WITH_PLACEMENT) != 0 };
	*spec = (struct spec){ .kind = (enum spec_kind)kind, .enabled = message_get_u8(reader) != 0 };
	spec->expires_at = (int64_t)message_get_u64(reader);
	reader->failed |= kind > SPEC_POOL;
	spec->has_private_key = message_get_u8(reader) != 0;
	message_get_bytes(reader, spec->private_key.bytes, sizeof(spec->private_key.bytes));
	spec->address_count = decode_count(reader, message_get_u8(reader), SPEC_ADDRESS_MAX);
	for (size_t i = 0; i < spec->address_count; i++)
		message_get_network(reader, &spec->addresses[i]);
	spec->dns = message_get_array(reader, SPEC_DNS_MAX, sizeof(*spec->dns), &spec->dns_count);
	for (size_t i = 0; i < spec->dns_count; i++)
		message_get_network(reader, &spec->dns[i]);
	spec->peers = message_get_array(reader, SPEC_PEER_MAX, sizeof(*spec->peers), &spec->peer_count);
}

/* The next peer without its networks, or the next network of the last peer. */
static void decode_next(struct spec_decoder *decoder, struct message_reader *reader)
{
	struct spec *spec = decoder->spec;
	const struct spec_peer *last = decoder->peers == 0 ? NULL : &spec->peers[decoder->peers - 1];
	if (last == NULL || decoder->networks == last->allowed_ip_count) {
		assert(spec->peers != NULL); /* as many as are counted */
		decode_peer(reader, &spec->peers[decoder->peers++]);
		decoder->networks = 0;
	} else {
		message_get_network(reader, &last->allowed_ips[decoder->networks++]);
	}
}

static bool has_next(const struct spec_decoder *decoder)
{
	const struct spec *spec = decoder->spec;
	return decoder->peers < spec->peer_count || (decoder->peers > 0 && decoder->networks < spec->peers[decoder->peers - 1].allowed_ip_count);
}

static void decode_end(const struct spec_decoder *decoder, struct message_reader *reader)
{
	struct spec *spec = decoder->spec;
	if (spec->kind == SPEC_POOL)
		pool_spec_decode(reader, &spec->pool);
	spec->mtu = message_get_u16(reader);
	spec->listen_port = message_get_u16(reader);
	if (decoder->has_via && (spec->via = message_get_string(reader, SPEC_VIA_SIZE - 1)) == NULL)
		reader->failed = true;
	spec->obfuscation = obfuscation_decode(reader);
	decode_proxy(reader, spec);
	decode_tail(reader, spec);
	if (decoder->has_placement)
		spec->placement = placement_spec_decode(reader);
	if (!reader->failed && !spec_index_peers(spec))
		reader->failed = true;
}

bool spec_decode_more(struct spec_decoder *decoder, struct message_reader *reader, size_t most)
{
	for (size_t done = 0; done < most && has_next(decoder) && !reader->failed; done++)
		decode_next(decoder, reader);
	if (!reader->failed && has_next(decoder))
		return true;
	decode_end(decoder, reader);
	if (reader->failed)
		spec_clear(decoder->spec);
	return false;
}

bool spec_decode(struct message_reader *reader, struct spec *spec)
{
	struct spec_decoder decoder;
	spec_decode_begin(&decoder, reader, spec);
	(void)spec_decode_more(&decoder, reader, SIZE_MAX);
	return !reader->failed;
}

const struct spec_peer *spec_route(const struct spec *spec, uint8_t family, const uint8_t *address)
{
	const struct spec_peer *best = NULL;
	int prefix = -1;
	for (size_t i = 0; i < spec->peer_count; i++)
		for (size_t j = 0; j < spec->peers[i].allowed_ip_count; j++) {
			const struct wireguard_network *network = &spec->peers[i].allowed_ips[j];
			if (network->prefix <= prefix || !network_covers(network, family, address))
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
