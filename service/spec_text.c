#include "service/spec_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

bool key_parse(const char *text, struct wireguard_key *key)
{
	size_t length = 0;
	/* libsodium refuses bits that are set behind the last byte, so each key has exactly one written form. */
	return strlen(text) == KEY_TEXT_SIZE - 1 &&
	       sodium_base642bin(key->bytes, sizeof(key->bytes), text, KEY_TEXT_SIZE - 1, NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       length == sizeof(key->bytes);
}

void key_format(const struct wireguard_key *key, char text[KEY_TEXT_SIZE])
{
	sodium_bin2base64(text, KEY_TEXT_SIZE, key->bytes, sizeof(key->bytes), sodium_base64_VARIANT_ORIGINAL);
}

bool key_is_zero(const struct wireguard_key *key)
{
	return sodium_is_zero(key->bytes, sizeof(key->bytes));
}

static unsigned family_bits(const struct wireguard_network *network)
{
	return network->family == AF_INET ? 32 : 128;
}

bool network_parse_address(const char *text, struct wireguard_network *network)
{
	*network = (struct wireguard_network){ .family = AF_INET, .prefix = 32 };
	if (inet_pton(AF_INET, text, network->bytes) == 1)
		return true;
	*network = (struct wireguard_network){ .family = AF_INET6, .prefix = 128 };
	return inet_pton(AF_INET6, text, network->bytes) == 1;
}

static bool parse_number(const char *text, unsigned long most, unsigned long *number)
{
	size_t length = strspn(text, "0123456789");
	if (length == 0 || length > 5 || text[length] != '\0' || (length > 1 && text[0] == '0'))
		return false;
	*number = strtoul(text, NULL, 10);
	return *number <= most;
}

static void clear_host_bits(struct wireguard_network *network)
{
	for (unsigned bit = network->prefix; bit < family_bits(network); bit++)
		network->bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
}

bool network_parse(const char *text, bool keep_host_bits, struct wireguard_network *network)
{
	const char *slash = strchr(text, '/');
	if (slash == NULL)
		return network_parse_address(text, network);
	char address[NETWORK_TEXT_SIZE];
	size_t length = (size_t)(slash - text);
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	unsigned long prefix;
	if (!network_parse_address(address, network) || !parse_number(slash + 1, family_bits(network), &prefix))
		return false;
	network->prefix = (uint8_t)prefix;
	if (!keep_host_bits)
		clear_host_bits(network);
	return true;
}

void network_format_address(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE])
{
	inet_ntop(network->family, network->bytes, text, NETWORK_TEXT_SIZE);
}

void network_format(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE])
{
	char address[INET6_ADDRSTRLEN];
	inet_ntop(network->family, network->bytes, address, sizeof(address));
	snprintf(text, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
}

bool network_is_host(const struct wireguard_network *network)
{
	static const uint8_t zero[16], one[16] = { [15] = 1 };
	if (network->family == AF_INET)
		return network->bytes[0] != 0 && network->bytes[0] != 127 && network->bytes[0] < 224;
	return memcmp(network->bytes, zero, 16) != 0 && memcmp(network->bytes, one, 16) != 0 && network->bytes[0] != 0xff;
}

/* RFC 1123, 2.1, with the underscore that people use; the last label may not be a number, so that "10.1" is no name. */
bool name_is_valid(const char *name)
{
	size_t length = strlen(name), label = 0;
	bool digits_only = true;
	if (length == 0 || length > 253)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)name[i];
		if (c == '.') {
			if (label == 0)
				return false;
			if (i + 1 < length)
				digits_only = true;
			label = 0;
			continue;
		}
		bool hyphen_at_end = c == '-' && (label == 0 || name[i + 1] == '.' || name[i + 1] == '\0');
		if ((!isascii(c) || !isalnum(c)) && c != '-' && c != '_')
			return false;
		if (hyphen_at_end || ++label > 63)
			return false;
		digits_only &= isdigit(c) != 0;
	}
	return !digits_only;
}

/* The host's own text for an IP literal, so that one address has one form. */
static char *canonical_host(const char *host)
{
	struct wireguard_network network;
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (!network_parse_address(host, &network))
		return name_is_valid(host) ? strdup(host) : NULL;
	if (network.family == AF_INET6 && memcmp(network.bytes, mapped, sizeof(mapped)) == 0) {
		network.family = AF_INET;
		memmove(network.bytes, network.bytes + 12, 4);
	}
	char text[NETWORK_TEXT_SIZE];
	network_format_address(&network, text);
	return strdup(text);
}

static bool parse_unix(const char *path, struct spec_place *place)
{
	size_t length = strlen(path);
	if (path[0] != '/' || length < 2 || length >= sizeof(((struct sockaddr_un *)0)->sun_path) || path[length - 1] == '/')
		return false;
	for (const char *c = path; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	place->kind = SPEC_PLACE_UNIX;
	place->host = strdup(path);
	return place->host != NULL;
}

bool place_parse(const char *text, struct spec_place *place)
{
	*place = (struct spec_place){ .kind = SPEC_PLACE_NONE };
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, place);
	const char *colon = strrchr(text, ':');
	unsigned long port;
	if (colon == NULL || !parse_number(colon + 1, 65535, &port))
		return false;
	size_t length = (size_t)(colon - text);
	bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	if (bracketed)
		text++, length -= 2;
	char host[254];
	if (length == 0 || length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	/* An IPv6 literal needs its brackets, and nothing else may have them. */
	if ((memchr(host, ':', length) != NULL) != bracketed)
		return false;
	place->host = canonical_host(host);
	if (place->host == NULL)
		return false;
	place->kind = SPEC_PLACE_INET;
	place->port = (uint16_t)port;
	return true;
}

char *place_format(const struct spec_place *place)
{
	char *text = NULL;
	int length = -1;
	switch (place->kind) {
	case SPEC_PLACE_NONE: break;
	case SPEC_PLACE_INET: length = asprintf(&text, strchr(place->host, ':') ? "[%s]:%u" : "%s:%u", place->host, place->port); break;
	case SPEC_PLACE_UNIX: length = asprintf(&text, "unix:%s", place->host); break;
	}
	return length < 0 ? NULL : text;
}

void place_clear(struct spec_place *place)
{
	free(place->host);
	*place = (struct spec_place){ .kind = SPEC_PLACE_NONE };
}

bool place_address(const struct spec_place *place, union wireguard_endpoint *address)
{
	struct wireguard_network network;
	memset(address, 0, sizeof(*address));
	if (place->kind != SPEC_PLACE_INET || !network_parse_address(place->host, &network))
		return false;
	if (network.family == AF_INET) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons(place->port);
		memcpy(&address->v4.sin_addr, network.bytes, 4);
	} else {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons(place->port);
		memcpy(&address->v6.sin6_addr, network.bytes, 16);
	}
	return true;
}

bool place_is_literal(const struct spec_place *place)
{
	union wireguard_endpoint address;
	return place_address(place, &address);
}

bool place_is_loopback(const struct spec_place *place)
{
	union wireguard_endpoint address;
	return place_address(place, &address) && endpoint_is_loopback(&address);
}

bool endpoint_is_loopback(const union wireguard_endpoint *endpoint)
{
	if (endpoint->any.sa_family == AF_INET)
		return ntohl(endpoint->v4.sin_addr.s_addr) >> 24 == 127;
	return endpoint->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&endpoint->v6.sin6_addr);
}

bool endpoint_is_any(const union wireguard_endpoint *endpoint)
{
	if (endpoint->any.sa_family == AF_INET)
		return endpoint->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return endpoint->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&endpoint->v6.sin6_addr);
}

uint16_t endpoint_port(const union wireguard_endpoint *endpoint)
{
	return ntohs(endpoint->any.sa_family == AF_INET ? endpoint->v4.sin_port : endpoint->v6.sin6_port);
}

void endpoint_set_port(union wireguard_endpoint *endpoint, uint16_t port)
{
	if (endpoint->any.sa_family == AF_INET)
		endpoint->v4.sin_port = htons(port);
	else
		endpoint->v6.sin6_port = htons(port);
}

socklen_t endpoint_length(const union wireguard_endpoint *endpoint)
{
	return endpoint->any.sa_family == AF_INET ? sizeof(endpoint->v4) : sizeof(endpoint->v6);
}

void endpoint_format(const union wireguard_endpoint *endpoint, char text[64])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (endpoint->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &endpoint->v4.sin_addr, host, sizeof(host));
		snprintf(text, 64, "%s:%u", host, endpoint_port(endpoint));
	} else {
		inet_ntop(AF_INET6, &endpoint->v6.sin6_addr, host, sizeof(host));
		snprintf(text, 64, "[%s]:%u", host, endpoint_port(endpoint));
	}
}

bool endpoint_from(const struct sockaddr *address, union wireguard_endpoint *endpoint)
{
	memset(endpoint, 0, sizeof(*endpoint));
	if (address->sa_family == AF_INET) {
		memcpy(&endpoint->v4, address, sizeof(endpoint->v4));
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	struct sockaddr_in6 v6;
	memcpy(&v6, address, sizeof(v6));
	if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
		endpoint->v6 = v6;
		return true;
	}
	endpoint->v4.sin_family = AF_INET;
	endpoint->v4.sin_port = v6.sin6_port;
	memcpy(&endpoint->v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
	return true;
}

bool endpoint_same_host(const union wireguard_endpoint *a, const union wireguard_endpoint *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}
