#include "tunnel/http/socks.h"

#include <string.h>
#include <sys/socket.h>

#define SOCKS4_TEXT_MAX 255

enum address_type {
	ADDRESS_V4 = 1,
	ADDRESS_NAME = 3,
	ADDRESS_V6 = 4,
};

/* Reads beyond the end return zeros and are recorded. */
struct cursor {
	const uint8_t *bytes;
	size_t length;
	size_t at;
	bool ended;
};

static const uint8_t *take(struct cursor *cursor, size_t length)
{
	if (cursor->ended || length > cursor->length - cursor->at) {
		cursor->ended = true;
		return NULL;
	}
	const uint8_t *taken = cursor->bytes + cursor->at;
	cursor->at += length;
	return taken;
}

static uint8_t take_u8(struct cursor *cursor)
{
	const uint8_t *taken = take(cursor, 1);
	return taken == NULL ? 0 : taken[0];
}

static uint16_t take_u16(struct cursor *cursor)
{
	const uint8_t *taken = take(cursor, 2);
	return taken == NULL ? 0 : (uint16_t)(taken[0] << 8 | taken[1]);
}

enum socks_progress socks_greeting_read(struct socks_greeting *greeting, const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { .bytes = bytes, .length = length };
	*greeting = (struct socks_greeting){ 0 };
	uint8_t version = take_u8(&cursor);
	if (cursor.ended)
		return SOCKS_MORE;
	if (version != 5)
		return SOCKS_REFUSED;
	uint8_t count = take_u8(&cursor);
	const uint8_t *methods = take(&cursor, count);
	if (cursor.ended)
		return SOCKS_MORE;
	for (size_t i = 0; i < count; i++) {
		greeting->offers_none |= methods[i] == SOCKS_METHOD_NONE;
		greeting->offers_password |= methods[i] == SOCKS_METHOD_PASSWORD;
	}
	greeting->length = cursor.at;
	return SOCKS_WHOLE;
}

enum socks_method socks_method_choose(const struct socks_greeting *greeting, bool wanted)
{
	if (wanted)
		return greeting->offers_password ? SOCKS_METHOD_PASSWORD : SOCKS_METHOD_UNACCEPTABLE;
	if (greeting->offers_none)
		return SOCKS_METHOD_NONE;
	return greeting->offers_password ? SOCKS_METHOD_PASSWORD : SOCKS_METHOD_UNACCEPTABLE;
}

size_t socks_method_write(uint8_t out[2], enum socks_method method)
{
	out[0] = 5;
	out[1] = (uint8_t)method;
	return 2;
}

enum socks_progress socks_password_read(struct credentials *credentials, const uint8_t *bytes, size_t length, size_t *taken)
{
	struct cursor cursor = { .bytes = bytes, .length = length };
	credentials_clear(credentials);
	uint8_t version = take_u8(&cursor);
	if (!cursor.ended && version != 1)
		return SOCKS_REFUSED;
	uint8_t username_length = take_u8(&cursor);
	const uint8_t *username = take(&cursor, username_length);
	uint8_t password_length = take_u8(&cursor);
	const uint8_t *password = take(&cursor, password_length);
	if (cursor.ended)
		return SOCKS_MORE;
	*taken = cursor.at;
	if (credentials_set(credentials, (const char *)username, username_length, (const char *)password, password_length) < 0)
		credentials_set_unknown(credentials);
	return SOCKS_WHOLE;
}

size_t socks_password_reply_write(uint8_t out[2], bool admitted)
{
	out[0] = 1;
	out[1] = admitted ? 0 : 1;
	return 2;
}

static enum socks_progress refuse(struct socks_request *request, enum socks_reply reply)
{
	request->refusal = reply;
	return SOCKS_REFUSED;
}

static enum socks_progress read_name(struct target *target, struct cursor *cursor)
{
	uint8_t length = take_u8(cursor);
	if (!cursor->ended && length == 0)
		return SOCKS_REFUSED;
	const uint8_t *name = take(cursor, length);
	uint16_t port = take_u16(cursor);
	if (cursor->ended)
		return SOCKS_MORE;
	return target_parse(target, (const char *)name, length, port) == 0 ? SOCKS_WHOLE : SOCKS_REFUSED;
}

/* A name as the source of datagrams carries no information, whether it is valid, invalid or empty. */
static enum socks_progress skip_name(struct cursor *cursor)
{
	take(cursor, take_u8(cursor));
	take_u16(cursor);
	return cursor->ended ? SOCKS_MORE : SOCKS_WHOLE;
}

/* `type` is one of address_type. */
static enum socks_progress read_target(struct target *target, uint8_t type, struct cursor *cursor)
{
	if (type == ADDRESS_NAME)
		return read_name(target, cursor);
	struct netstack_endpoint address = { .family = type == ADDRESS_V4 ? AF_INET : AF_INET6 };
	size_t length = type == ADDRESS_V4 ? 4 : 16;
	const uint8_t *bytes = take(cursor, length);
	address.port = take_u16(cursor);
	if (cursor->ended)
		return SOCKS_MORE;
	memcpy(address.bytes, bytes, length);
	target_from_address(target, &address);
	return SOCKS_WHOLE;
}

static bool is_address_type(uint8_t type)
{
	return type == ADDRESS_V4 || type == ADDRESS_NAME || type == ADDRESS_V6;
}

/* Each byte is checked as it arrives, so that the answer does not depend on how the message was split (X2). */
enum socks_progress socks_request_read(struct socks_request *request, const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { .bytes = bytes, .length = length };
	*request = (struct socks_request){ 0 };
	uint8_t version = take_u8(&cursor);
	if (!cursor.ended && version != 5)
		return refuse(request, SOCKS_GENERAL_FAILURE);
	uint8_t command = take_u8(&cursor);
	if (!cursor.ended && command != SOCKS_CONNECT && command != SOCKS_UDP_ASSOCIATE)
		return refuse(request, SOCKS_COMMAND_NOT_SUPPORTED);
	uint8_t reserved = take_u8(&cursor);
	if (!cursor.ended && reserved != 0)
		return refuse(request, SOCKS_GENERAL_FAILURE);
	uint8_t type = take_u8(&cursor);
	if (cursor.ended)
		return SOCKS_MORE;
	if (!is_address_type(type))
		return refuse(request, SOCKS_ADDRESS_TYPE_NOT_SUPPORTED);
	bool is_claim = command == SOCKS_UDP_ASSOCIATE && type == ADDRESS_NAME;
	enum socks_progress progress = is_claim ? skip_name(&cursor) : read_target(&request->target, type, &cursor);
	if (progress == SOCKS_MORE)
		return SOCKS_MORE;
	request->command = (enum socks_command)command;
	if (progress == SOCKS_REFUSED || (command == SOCKS_CONNECT && request->target.port == 0))
		return refuse(request, SOCKS_GENERAL_FAILURE);
	request->length = cursor.at;
	return SOCKS_WHOLE;
}

/* ATYP, address and port, as replies and datagrams have them. */
static size_t put_endpoint(uint8_t *out, const struct netstack_endpoint *endpoint)
{
	size_t length = endpoint->family == AF_INET6 ? 16 : 4;
	out[0] = endpoint->family == AF_INET6 ? ADDRESS_V6 : ADDRESS_V4;
	memcpy(out + 1, endpoint->bytes, length);
	out[1 + length] = (uint8_t)(endpoint->port >> 8);
	out[2 + length] = (uint8_t)endpoint->port;
	return 3 + length;
}

size_t socks_reply_write(uint8_t out[SOCKS_REPLY_MAX], enum socks_reply reply, const struct netstack_endpoint *bound)
{
	static const struct netstack_endpoint none = { .family = AF_INET };
	out[0] = 5;
	out[1] = (uint8_t)reply;
	out[2] = 0;
	return 3 + put_endpoint(out + 3, bound == NULL ? &none : bound);
}

enum socks_reply socks_reply_of(enum http_error error)
{
	switch (error) {
	case HTTP_ERROR_NONE: return SOCKS_SUCCEEDED;
	case HTTP_ERROR_DESTINATION_IP_PROHIBITED:
	case HTTP_ERROR_HTTP_REQUEST_DENIED:
	case HTTP_ERROR_PROXY_LOOP_DETECTED: return SOCKS_NOT_ALLOWED;
	case HTTP_ERROR_DNS_TIMEOUT:
	case HTTP_ERROR_DNS_ERROR:
	case HTTP_ERROR_DESTINATION_IP_UNROUTABLE: return SOCKS_HOST_UNREACHABLE;
	case HTTP_ERROR_CONNECTION_REFUSED: return SOCKS_CONNECTION_REFUSED;
	case HTTP_ERROR_CONNECTION_TIMEOUT: return SOCKS_TTL_EXPIRED;
	case HTTP_ERROR_DESTINATION_UNAVAILABLE:
	case HTTP_ERROR_CONNECTION_TERMINATED:
	case HTTP_ERROR_CONNECTION_READ_TIMEOUT:
	case HTTP_ERROR_CONNECTION_WRITE_TIMEOUT:
	case HTTP_ERROR_CONNECTION_LIMIT_REACHED:
	case HTTP_ERROR_HTTP_REQUEST_ERROR:
	case HTTP_ERROR_HTTP_RESPONSE_INCOMPLETE:
	case HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE:
	case HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING:
	case HTTP_ERROR_HTTP_UPGRADE_FAILED:
	case HTTP_ERROR_HTTP_PROTOCOL_ERROR:
	case HTTP_ERROR_PROXY_INTERNAL_RESPONSE:
	case HTTP_ERROR_PROXY_INTERNAL_ERROR:
	case HTTP_ERRORS: break;
	}
	return SOCKS_GENERAL_FAILURE;
}

/* A text of at most 255 bytes up to its NUL. */
static enum socks_progress take_text(struct cursor *cursor, const uint8_t **text, size_t *length)
{
	size_t left = cursor->length - cursor->at;
	size_t most = left < SOCKS4_TEXT_MAX + 1 ? left : SOCKS4_TEXT_MAX + 1;
	*text = cursor->bytes + cursor->at;
	const uint8_t *end = memchr(*text, 0, most);
	if (end == NULL)
		return left > SOCKS4_TEXT_MAX ? SOCKS_REFUSED : SOCKS_MORE;
	*length = (size_t)(end - *text);
	cursor->at += *length + 1;
	return SOCKS_WHOLE;
}

/* 4a: the address 0.0.0.x, with x not 0, announces a name after the user id. */
static bool announces_name(const uint8_t address[4])
{
	return address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] != 0;
}

static enum socks_progress read_target4(struct socks_request *request, struct cursor *cursor)
{
	const uint8_t *text;
	size_t length;
	uint16_t port = take_u16(cursor);
	const uint8_t *bytes = take(cursor, 4);
	if (cursor->ended)
		return SOCKS_MORE;
	enum socks_progress progress = take_text(cursor, &text, &length);
	if (progress != SOCKS_WHOLE)
		return progress;
	request->user = (const char *)text;
	if (!announces_name(bytes)) {
		struct netstack_endpoint address = { .family = AF_INET, .port = port };
		memcpy(address.bytes, bytes, 4);
		target_from_address(&request->target, &address);
		return SOCKS_WHOLE;
	}
	progress = take_text(cursor, &text, &length);
	if (progress == SOCKS_WHOLE && target_parse(&request->target, (const char *)text, length, port) < 0)
		return SOCKS_REFUSED;
	return progress;
}

enum socks_progress socks4_request_read(struct socks_request *request, const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { .bytes = bytes, .length = length };
	*request = (struct socks_request){ .command = SOCKS_CONNECT };
	uint8_t version = take_u8(&cursor);
	if (!cursor.ended && version != 4)
		return refuse(request, SOCKS_GENERAL_FAILURE);
	uint8_t command = take_u8(&cursor);
	if (!cursor.ended && command != SOCKS_CONNECT)
		return refuse(request, SOCKS_COMMAND_NOT_SUPPORTED);
	enum socks_progress progress = read_target4(request, &cursor);
	if (progress == SOCKS_MORE)
		return SOCKS_MORE;
	if (progress == SOCKS_REFUSED || request->target.port == 0)
		return refuse(request, SOCKS_GENERAL_FAILURE);
	request->length = cursor.at;
	return SOCKS_WHOLE;
}

size_t socks4_reply_write(uint8_t out[8], bool granted)
{
	memset(out, 0, 8);
	out[1] = granted ? 90 : 91;
	return 8;
}

int socks_datagram_read(struct target *target, const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { .bytes = bytes, .length = length };
	*target = (struct target){ 0 };
	uint16_t reserved = take_u16(&cursor);
	uint8_t fragment = take_u8(&cursor);
	uint8_t type = take_u8(&cursor);
	if (cursor.ended || reserved != 0 || fragment != 0 || !is_address_type(type))
		return -1;
	if (read_target(target, type, &cursor) != SOCKS_WHOLE || target->port == 0)
		return -1;
	return (int)cursor.at;
}

size_t socks_datagram_header_write(uint8_t out[SOCKS_DATAGRAM_HEADER_MAX], const struct netstack_endpoint *from)
{
	memset(out, 0, 3);
	return 3 + put_endpoint(out + 3, from);
}
