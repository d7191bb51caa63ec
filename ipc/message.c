#include "ipc/message.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void message_writer_init(struct message_writer *writer)
{
	*writer = (struct message_writer){ 0 };
}

void message_writer_clear(struct message_writer *writer)
{
	if (writer->bytes != NULL)
		sodium_memzero(writer->bytes, writer->length);
	free(writer->bytes);
	*writer = (struct message_writer){ 0 };
}

/* Grows by copying, because realloc could leave secrets in freed memory. */
bool message_writer_reserve(struct message_writer *writer, size_t length)
{
	if (writer->failed)
		return false;
	if (writer->capacity - writer->length >= length)
		return true;
	size_t capacity = writer->capacity == 0 ? 512 : 2 * writer->capacity;
	if (length > SIZE_MAX - writer->length)
		length = SIZE_MAX - writer->length;
	if (capacity < writer->length + length)
		capacity = writer->length + length;
	uint8_t *bytes = capacity > 2 * (size_t)MESSAGE_SIZE_MAX ? NULL : malloc(capacity);
	if (bytes == NULL) {
		writer->failed = true;
		return false;
	}
	if (writer->bytes != NULL) {
		memcpy(bytes, writer->bytes, writer->length);
		sodium_memzero(writer->bytes, writer->length);
		free(writer->bytes);
	}
	writer->bytes = bytes;
	writer->capacity = capacity;
	return true;
}

void message_put_bytes(struct message_writer *writer, const void *bytes, size_t length)
{
	if (length == 0 || !message_writer_reserve(writer, length))
		return;
	memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
}

void message_put_u8(struct message_writer *writer, uint8_t value)
{
	message_put_bytes(writer, &value, sizeof(value));
}

void message_put_u16(struct message_writer *writer, uint16_t value)
{
	message_put_bytes(writer, &value, sizeof(value));
}

void message_put_u32(struct message_writer *writer, uint32_t value)
{
	message_put_bytes(writer, &value, sizeof(value));
}

void message_put_u64(struct message_writer *writer, uint64_t value)
{
	message_put_bytes(writer, &value, sizeof(value));
}

static void put_double(struct message_writer *writer, double value)
{
	message_put_bytes(writer, &value, sizeof(value));
}

#define NO_STRING UINT32_MAX

void message_put_string(struct message_writer *writer, const char *string)
{
	size_t length = string == NULL ? 0 : strlen(string);
	message_put_u32(writer, string == NULL ? NO_STRING : (uint32_t)length);
	message_put_bytes(writer, string, length);
}

void message_put_network(struct message_writer *writer, const struct wireguard_network *network)
{
	uint8_t bytes[MESSAGE_NETWORK_MOST] = { network->family, network->prefix };
	size_t length = network->family == AF_INET ? 4 : 16;
	memcpy(bytes + 2, network->bytes, length);
	message_put_bytes(writer, bytes, 2 + length);
}

void message_get_bytes(struct message_reader *reader, void *bytes, size_t length)
{
	if (reader->failed || reader->left < length) {
		reader->failed = true;
		memset(bytes, 0, length);
		return;
	}
	memcpy(bytes, reader->bytes, length);
	reader->bytes += length;
	reader->left -= length;
}

uint8_t message_get_u8(struct message_reader *reader)
{
	uint8_t value;
	message_get_bytes(reader, &value, sizeof(value));
	return value;
}

uint16_t message_get_u16(struct message_reader *reader)
{
	uint16_t value;
	message_get_bytes(reader, &value, sizeof(value));
	return value;
}

uint32_t message_get_u32(struct message_reader *reader)
{
	uint32_t value;
	message_get_bytes(reader, &value, sizeof(value));
	return value;
}

uint64_t message_get_u64(struct message_reader *reader)
{
	uint64_t value;
	message_get_bytes(reader, &value, sizeof(value));
	return value;
}

static double get_double(struct message_reader *reader)
{
	double value;
	message_get_bytes(reader, &value, sizeof(value));
	if (!isfinite(value))
		reader->failed = true;
	return reader->failed ? 0 : value;
}

char *message_get_string(struct message_reader *reader, size_t longest)
{
	uint32_t length = message_get_u32(reader);
	if (reader->failed || length == NO_STRING)
		return NULL;
	if (length > longest || length > reader->left || memchr(reader->bytes, '\0', length) != NULL) {
		reader->failed = true;
		return NULL;
	}
	char *string = malloc((size_t)length + 1);
	if (string == NULL) {
		reader->failed = true;
		return NULL;
	}
	message_get_bytes(reader, string, length);
	string[length] = '\0';
	return string;
}

void message_get_network(struct message_reader *reader, struct wireguard_network *network)
{
	*network = (struct wireguard_network){ .family = message_get_u8(reader) };
	network->prefix = message_get_u8(reader);
	unsigned bits = network->family == AF_INET ? 32 : 128;
	if ((network->family != AF_INET && network->family != AF_INET6) || network->prefix > bits)
		reader->failed = true;
	else
		message_get_bytes(reader, network->bytes, bits / 8);
}

/* An element has a byte at least, so that a count alone cannot ask for more memory than the message is long, times the element. */
void *message_get_array(struct message_reader *reader, size_t most, size_t element, size_t *count)
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

void message_put_text(struct message_writer *writer, const char *text, size_t size)
{
	size_t length = strnlen(text, size - 1);
	message_put_u16(writer, (uint16_t)length);
	message_put_bytes(writer, text, length);
}

void message_get_text(struct message_reader *reader, char *text, size_t size)
{
	size_t length = message_get_u16(reader);
	memset(text, 0, size);
	if (length >= size)
		reader->failed = true;
	else
		message_get_bytes(reader, text, length);
}

bool message_is_whole(const struct message_reader *reader)
{
	return !reader->failed && reader->left == 0;
}

void message_put_endpoint(struct message_writer *writer, const union wireguard_endpoint *endpoint)
{
	message_put_u16(writer, endpoint->any.sa_family);
	if (endpoint->any.sa_family == AF_INET) {
		message_put_u16(writer, endpoint->v4.sin_port);
		message_put_bytes(writer, &endpoint->v4.sin_addr, sizeof(endpoint->v4.sin_addr));
	} else if (endpoint->any.sa_family == AF_INET6) {
		message_put_u16(writer, endpoint->v6.sin6_port);
		message_put_bytes(writer, &endpoint->v6.sin6_addr, sizeof(endpoint->v6.sin6_addr));
		message_put_u32(writer, endpoint->v6.sin6_scope_id);
	}
}

void message_get_endpoint(struct message_reader *reader, union wireguard_endpoint *endpoint)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->any.sa_family = message_get_u16(reader);
	if (endpoint->any.sa_family == AF_INET) {
		endpoint->v4.sin_port = message_get_u16(reader);
		message_get_bytes(reader, &endpoint->v4.sin_addr, sizeof(endpoint->v4.sin_addr));
	} else if (endpoint->any.sa_family == AF_INET6) {
		endpoint->v6.sin6_port = message_get_u16(reader);
		message_get_bytes(reader, &endpoint->v6.sin6_addr, sizeof(endpoint->v6.sin6_addr));
		endpoint->v6.sin6_scope_id = message_get_u32(reader);
	} else if (endpoint->any.sa_family != AF_UNSPEC) {
		reader->failed = true;
	}
}

static void put_addresses(struct message_writer *writer, const struct message_addresses *addresses)
{
	message_put_u8(writer, (uint8_t)addresses->count);
	for (size_t i = 0; i < addresses->count; i++)
		message_put_endpoint(writer, &addresses->list[i]);
}

static void get_addresses(struct message_reader *reader, struct message_addresses *addresses)
{
	*addresses = (struct message_addresses){ .count = message_get_u8(reader) };
	if (addresses->count > MESSAGE_ADDRESSES_MAX) {
		addresses->count = 0;
		reader->failed = true;
	}
	for (size_t i = 0; i < addresses->count; i++)
		message_get_endpoint(reader, &addresses->list[i]);
}

static void get_head(struct message_reader *reader, uint64_t *request, uint32_t *slot, uint64_t *generation)
{
	*request = message_get_u64(reader);
	*slot = message_get_u32(reader);
	*generation = message_get_u64(reader);
}

static void put_head(struct message_writer *writer, uint64_t request, uint32_t slot, uint64_t generation)
{
	message_put_u64(writer, request);
	message_put_u32(writer, slot);
	message_put_u64(writer, generation);
}

void message_encode_prepare(struct message_writer *writer, const struct message_prepare *message, const struct message_writer *spec)
{
	put_head(writer, message->request, message->slot, message->generation);
	message_put_text(writer, message->id, sizeof(message->id));
	message_put_bytes(writer, message->timestamp_floor, sizeof(message->timestamp_floor));
	message_put_u64(writer, message->total_bytes_used);
	message_put_u64(writer, message->pool);
	writer->failed |= spec->failed;
	message_put_bytes(writer, spec->bytes, spec->length);
	for (size_t i = 0; i < message->spec.peer_count; i++) {
		put_addresses(writer, &message->endpoints[i]);
		message_put_u32(writer, message->peer_slots[i]);
	}
	message_put_u32(writer, (uint32_t)message->socket_count);
	for (size_t i = 0; i < message->socket_count; i++) {
		message_put_u32(writer, message->sockets[i].id);
		message_put_u8(writer, message->sockets[i].kind);
		message_put_u8(writer, message->sockets[i].fresh);
		message_put_u16(writer, message->sockets[i].index);
	}
}

static void decode_prepare_peers(struct message_reader *reader, struct message_prepare *message)
{
	size_t n = message->spec.peer_count;
	if (n == 0)
		return;
	message->endpoints = calloc(n, sizeof(*message->endpoints));
	message->peer_slots = calloc(n, sizeof(*message->peer_slots));
	if (message->endpoints == NULL || message->peer_slots == NULL) {
		reader->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		get_addresses(reader, &message->endpoints[i]);
		message->peer_slots[i] = message_get_u32(reader);
	}
}

static void decode_prepare_sockets(struct message_reader *reader, struct message_prepare *message)
{
	size_t n = message_get_u32(reader);
	if (n > MESSAGE_DESCRIPTORS_MAX || reader->failed) {
		reader->failed = true;
		return;
	}
	if (n == 0)
		return;
	message->sockets = calloc(n, sizeof(*message->sockets));
	if (message->sockets == NULL) {
		reader->failed = true;
		return;
	}
	message->socket_count = n;
	for (size_t i = 0; i < n; i++) {
		struct message_socket *socket = &message->sockets[i];
		socket->id = message_get_u32(reader);
		socket->kind = message_get_u8(reader);
		socket->fresh = message_get_u8(reader) != 0;
		socket->index = message_get_u16(reader);
		if (socket->kind > MESSAGE_SOCKET_FORWARD)
			reader->failed = true;
	}
}

void message_prepare_begin(struct prepare_decoder *decoder, const struct message_reader *body, struct message_prepare *message)
{
	struct message_reader *reader = &decoder->reader;
	*decoder = (struct prepare_decoder){ .reader = *body, .message = message };
	*message = (struct message_prepare){ 0 };
	get_head(reader, &message->request, &message->slot, &message->generation);
	message_get_text(reader, message->id, sizeof(message->id));
	message_get_bytes(reader, message->timestamp_floor, sizeof(message->timestamp_floor));
	message->total_bytes_used = message_get_u64(reader);
	message->pool = message_get_u64(reader);
	spec_decode_begin(&decoder->spec, reader, &message->spec);
}

bool message_prepare_more(struct prepare_decoder *decoder, size_t most)
{
	struct message_reader *reader = &decoder->reader;
	if (spec_decode_more(&decoder->spec, reader, most))
		return true;
	if (!reader->failed)
		decode_prepare_peers(reader, decoder->message);
	if (!reader->failed)
		decode_prepare_sockets(reader, decoder->message);
	reader->failed |= reader->left != 0;
	if (reader->failed)
		message_prepare_clear(decoder->message);
	return false;
}

bool message_decode_prepare(const struct message_reader *body, struct message_prepare *message)
{
	struct prepare_decoder decoder;
	message_prepare_begin(&decoder, body, message);
	(void)message_prepare_more(&decoder, SIZE_MAX);
	return !decoder.reader.failed;
}

void message_prepare_clear(struct message_prepare *message)
{
	spec_clear(&message->spec);
	free(message->endpoints);
	free(message->sockets);
	free(message->peer_slots);
	*message = (struct message_prepare){ 0 };
}

void message_get_ack(struct message_reader *reader, struct message_ack *message)
{
	*message = (struct message_ack){ 0 };
	get_head(reader, &message->request, &message->slot, &message->generation);
	message->status = message_get_u8(reader);
	if (message->status > MESSAGE_STATUS_INVALID)
		reader->failed = true;
}

void message_encode_log_level(struct message_writer *writer, enum log_level level)
{
	message_put_u8(writer, (uint8_t)level);
}

bool message_decode_log_level(struct message_reader *reader, enum log_level *level)
{
	uint8_t value = message_get_u8(reader);
	if (value > LOG_DEBUG)
		reader->failed = true;
	*level = value > LOG_DEBUG ? LOG_DEBUG : (enum log_level)value;
	return message_is_whole(reader);
}

void message_encode_ack(struct message_writer *writer, const struct message_ack *message)
{
	put_head(writer, message->request, message->slot, message->generation);
	message_put_u8(writer, message->status);
}

bool message_decode_ack(struct message_reader *reader, struct message_ack *message)
{
	message_get_ack(reader, message);
	return message_is_whole(reader);
}

void message_encode_prepared(struct message_writer *writer, const struct message_prepared *message)
{
	message_encode_ack(writer, &message->ack);
	message_put_u8(writer, message->applied);
	message_put_text(writer, message->detail, sizeof(message->detail));
}

bool message_decode_prepared(struct message_reader *reader, struct message_prepared *message)
{
	message_get_ack(reader, &message->ack);
	message->applied = message_get_u8(reader);
	if (message->applied > MESSAGE_APPLIED_RESTARTED)
		reader->failed = true;
	message_get_text(reader, message->detail, sizeof(message->detail));
	return message_is_whole(reader);
}

static void put_peer(struct message_writer *writer, uint32_t slot, uint64_t generation, const struct wireguard_key *peer)
{
	message_put_u32(writer, slot);
	message_put_u64(writer, generation);
	message_put_bytes(writer, peer->bytes, sizeof(peer->bytes));
}

static void get_peer(struct message_reader *reader, uint32_t *slot, uint64_t *generation, struct wireguard_key *peer)
{
	*slot = message_get_u32(reader);
	*generation = message_get_u64(reader);
	message_get_bytes(reader, peer->bytes, sizeof(peer->bytes));
}

void message_encode_resolved(struct message_writer *writer, const struct message_resolved *message)
{
	put_peer(writer, message->slot, message->generation, &message->peer);
	put_addresses(writer, &message->addresses);
}

bool message_decode_resolved(struct message_reader *reader, struct message_resolved *message)
{
	get_peer(reader, &message->slot, &message->generation, &message->peer);
	get_addresses(reader, &message->addresses);
	return message_is_whole(reader);
}

void message_encode_probe(struct message_writer *writer, const struct message_probe *message)
{
	put_head(writer, message->request, message->slot, message->generation);
	message_put_u8(writer, message->type);
	message_put_text(writer, message->target, sizeof(message->target));
	message_put_u32(writer, message->count);
	message_put_u32(writer, message->timeout_ms);
	message_put_u16(writer, message->status_low);
	message_put_u16(writer, message->status_high);
}

bool message_decode_probe(struct message_reader *reader, struct message_probe *message)
{
	*message = (struct message_probe){ 0 };
	get_head(reader, &message->request, &message->slot, &message->generation);
	message->type = message_get_u8(reader);
	if (message->type >= SPEC_PROBE_TYPES)
		reader->failed = true;
	message_get_text(reader, message->target, sizeof(message->target));
	message->count = message_get_u32(reader);
	message->timeout_ms = message_get_u32(reader);
	message->status_low = message_get_u16(reader);
	message->status_high = message_get_u16(reader);
	return message_is_whole(reader);
}

void message_encode_probed(struct message_writer *writer, const struct message_probed *message)
{
	put_head(writer, message->request, message->slot, message->generation);
	message_put_u8(writer, message->ok);
	message_put_u32(writer, message->sent);
	message_put_u32(writer, message->received);
	put_double(writer, message->rtt_min_ms);
	put_double(writer, message->rtt_avg_ms);
	put_double(writer, message->rtt_max_ms);
	message_put_u32(writer, message->failures);
	message_put_u8(writer, message->exit_ip.family != 0);
	if (message->exit_ip.family != 0)
		message_put_network(writer, &message->exit_ip);
	message_put_text(writer, message->detail, sizeof(message->detail));
}

bool message_decode_probed(struct message_reader *reader, struct message_probed *message)
{
	*message = (struct message_probed){ 0 };
	get_head(reader, &message->request, &message->slot, &message->generation);
	message->ok = message_get_u8(reader) != 0;
	message->sent = message_get_u32(reader);
	message->received = message_get_u32(reader);
	message->rtt_min_ms = get_double(reader);
	message->rtt_avg_ms = get_double(reader);
	message->rtt_max_ms = get_double(reader);
	message->failures = message_get_u32(reader);
	if (message_get_u8(reader) != 0)
		message_get_network(reader, &message->exit_ip);
	message_get_text(reader, message->detail, sizeof(message->detail));
	return message_is_whole(reader);
}

const char *message_healing_name(enum message_healing healing)
{
	static const char *const names[] = { "", "handshake", "resolve", "family", "socket" };
	_Static_assert(sizeof(names) / sizeof(names[0]) == MESSAGE_HEALINGS, "a name for each remedy");
	return names[healing];
}

const char *message_condition_name(enum message_condition_type type)
{
	static const char *const names[] = { "mtu_too_large", "duplicate_key" };
	_Static_assert(sizeof(names) / sizeof(names[0]) == MESSAGE_CONDITIONS, "a name for each condition");
	return names[type];
}

void message_condition_detail(enum message_condition_type type, uint64_t value, char detail[160])
{
	if (type == MESSAGE_CONDITION_MTU)
		snprintf(detail, 160, "Packets of %u bytes do not arrive, those of %u do. Smaller ones are used; set interface.mtu to %u or lower%s.",
		         (unsigned)(value >> 16 & UINT16_MAX), (unsigned)(value & UINT16_MAX), (unsigned)(value & UINT16_MAX),
		         (value & UINT16_MAX) < 1280 ? " (an IPv6 address needs 1280)" : "");
	else
		snprintf(detail, 160, "Another tunnel or machine uses this private key with the same peer; each receives the other's replies.");
}

void message_encode_health(struct message_writer *writer, const struct message_health *message)
{
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_u8(writer, message->health);
}

bool message_decode_health(struct message_reader *reader, struct message_health *message)
{
	message->slot = message_get_u32(reader);
	message->generation = message_get_u64(reader);
	message->health = message_get_u8(reader);
	if (message->health >= TUNNEL_HEALTH_COUNT)
		reader->failed = true;
	return message_is_whole(reader);
}

void message_encode_state(struct message_writer *writer, const struct message_state *message)
{
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_u8(writer, message->state);
	message_put_u8(writer, message->healing);
	message_put_u32(writer, message->count);
	message_put_text(writer, message->reason, sizeof(message->reason));
}

bool message_decode_state(struct message_reader *reader, struct message_state *message)
{
	*message = (struct message_state){ .slot = message_get_u32(reader) };
	message->generation = message_get_u64(reader);
	message->state = message_get_u8(reader);
	message->healing = message_get_u8(reader);
	message->count = message_get_u32(reader);
	if (message->state >= TUNNEL_STATE_COUNT || message->healing >= MESSAGE_HEALINGS)
		reader->failed = true;
	message_get_text(reader, message->reason, sizeof(message->reason));
	return message_is_whole(reader);
}

void message_encode_handshake(struct message_writer *writer, const struct message_handshake *message)
{
	put_peer(writer, message->slot, message->generation, &message->peer);
	message_put_u8(writer, message->completed);
	message_put_u32(writer, message->count);
	message_put_bytes(writer, message->last_timestamp, sizeof(message->last_timestamp));
}

bool message_decode_handshake(struct message_reader *reader, struct message_handshake *message)
{
	get_peer(reader, &message->slot, &message->generation, &message->peer);
	message->completed = message_get_u8(reader) != 0;
	message->count = message_get_u32(reader);
	message_get_bytes(reader, message->last_timestamp, sizeof(message->last_timestamp));
	return message_is_whole(reader);
}

void message_encode_endpoint(struct message_writer *writer, const struct message_endpoint *message)
{
	put_peer(writer, message->slot, message->generation, &message->peer);
	message_put_endpoint(writer, &message->endpoint);
	message_put_u32(writer, message->count);
}

bool message_decode_endpoint(struct message_reader *reader, struct message_endpoint *message)
{
	get_peer(reader, &message->slot, &message->generation, &message->peer);
	message_get_endpoint(reader, &message->endpoint);
	message->count = message_get_u32(reader);
	return message_is_whole(reader);
}

void message_encode_condition(struct message_writer *writer, const struct message_condition *message)
{
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_u8(writer, message->type);
	message_put_u32(writer, message->value);
}

bool message_decode_condition(struct message_reader *reader, struct message_condition *message)
{
	*message = (struct message_condition){ .slot = message_get_u32(reader) };
	message->generation = message_get_u64(reader);
	message->type = message_get_u8(reader);
	message->value = message_get_u32(reader);
	return message_is_whole(reader) && message->type < MESSAGE_CONDITIONS;
}

void message_encode_want_resolve(struct message_writer *writer, const struct message_want_resolve *message)
{
	put_peer(writer, message->slot, message->generation, &message->peer);
}

bool message_decode_want_resolve(struct message_reader *reader, struct message_want_resolve *message)
{
	get_peer(reader, &message->slot, &message->generation, &message->peer);
	return message_is_whole(reader);
}

void message_encode_want(struct message_writer *writer, const struct message_want *message)
{
	put_head(writer, message->request, message->slot, message->generation);
	message_put_u16(writer, message->index);
	message_put_endpoint(writer, &message->local);
	message_put_endpoint(writer, &message->source);
	message_put_u64(writer, message->pool);
}

bool message_decode_want(struct message_reader *reader, struct message_want *message)
{
	*message = (struct message_want){ 0 };
	get_head(reader, &message->request, &message->slot, &message->generation);
	message->index = message_get_u16(reader);
	message_get_endpoint(reader, &message->local);
	message_get_endpoint(reader, &message->source);
	message->pool = message_get_u64(reader);
	return message_is_whole(reader);
}

void message_encode_transfer(struct message_writer *writer, const struct message_transfer *message)
{
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_bytes(writer, message->state.bytes, message->state.left);
}

bool message_decode_transfer(struct message_reader *reader, struct message_transfer *message)
{
	message->slot = message_get_u32(reader);
	message->generation = message_get_u64(reader);
	message->state = *reader;
	if (!reader->failed)
		reader->left = 0;
	return message_is_whole(reader);
}
