#include "api/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ipc/endpoint.h"

#define HOPS_MAX 64 /* that are looked at, from the right */

/* Proxies. */

bool api_proxies_add(struct api_proxies *proxies, const char *written)
{
	struct wireguard_network network;
	if (!network_parse(written, false, &network))
		return false;
	struct wireguard_network *longer = realloc(proxies->list, (proxies->count + 1) * sizeof(*longer));
	if (longer == NULL)
		return false;
	proxies->list = longer;
	longer[proxies->count++] = network;
	return true;
}

void api_proxies_clear(struct api_proxies *proxies)
{
	free(proxies->list);
	*proxies = (struct api_proxies){ .count = 0 };
}

static bool is_trusted(const struct api_proxies *proxies, const struct wireguard_network *address)
{
	for (size_t i = 0; i < proxies->count; i++)
		if (network_covers(&proxies->list[i], address->family, address->bytes))
			return true;
	return false;
}

bool api_proxies_trust(const struct api_proxies *proxies, const struct sockaddr *peer)
{
	union wireguard_endpoint endpoint;
	struct wireguard_network address = { .prefix = 32 };
	if (proxies->count == 0 || !endpoint_from(peer, &endpoint))
		return false;
	address.family = (uint8_t)endpoint.any.sa_family;
	if (address.family == AF_INET)
		memcpy(address.bytes, &endpoint.v4.sin_addr, 4);
	else
		memcpy(address.bytes, &endpoint.v6.sin6_addr, 16);
	return is_trusted(proxies, &address);
}

/* Lists. */

void api_header_lines_add(struct api_header_lines *lines, const char *value)
{
	if (lines->count == FORWARDED_LINES_MAX)
		memmove(&lines->lines[0], &lines->lines[1], --lines->count * sizeof(lines->lines[0]));
	lines->lines[lines->count++] = value;
}

struct piece {
	const char *text;
	size_t length;
};

/* Up to a separator that is not within quotes; `at` is moved behind it, and is NULL after the last one. */
static struct piece next_piece(const char **at, char separator)
{
	struct piece piece = { .text = *at + strspn(*at, " \t") };
	bool is_quoted = false;
	const char *c = piece.text;
	for (; *c != '\0' && (is_quoted || *c != separator); c++) {
		if (is_quoted && *c == '\\' && c[1] != '\0')
			c++;
		else if (*c == '"')
			is_quoted = !is_quoted;
	}
	*at = *c == separator && *c != '\0' ? c + 1 : NULL;
	piece.length = (size_t)(c - piece.text);
	while (piece.length > 0 && strchr(" \t", piece.text[piece.length - 1]) != NULL)
		piece.length--;
	return piece;
}

/* The last HOPS_MAX elements of all lines; returns how many. */
static size_t elements_of(const struct api_header_lines *lines, struct piece elements[HOPS_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < lines->count; i++)
		for (const char *at = lines->lines[i]; at != NULL;) {
			if (count == HOPS_MAX)
				memmove(&elements[0], &elements[1], --count * sizeof(elements[0]));
			elements[count++] = next_piece(&at, ',');
		}
	return count;
}

/* Without quotes; false if it is too long or has an escape, which no address or name needs. */
static bool copy(struct piece piece, char *to, size_t size)
{
	if (piece.length >= 2 && piece.text[0] == '"' && piece.text[piece.length - 1] == '"') {
		piece.text++;
		piece.length -= 2;
	}
	if (piece.length == 0 || piece.length >= size || memchr(piece.text, '\\', piece.length) != NULL ||
	    memchr(piece.text, '"', piece.length) != NULL)
		return false;
	memcpy(to, piece.text, piece.length);
	to[piece.length] = '\0';
	return true;
}

/* "192.0.2.1", "2001:db8::1" or one of them with a port: "[2001:db8::1]:80". */
static bool read_address(struct piece piece, struct wireguard_network *address)
{
	char text[64];
	if (!copy(piece, text, sizeof(text)))
		return false;
	char *start = text, *colon = strchr(text, ':');
	if (text[0] == '[') {
		start++;
		text[strcspn(text, "]")] = '\0';
	} else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
		*colon = '\0';
	}
	if (!network_parse_address(start, address))
		return false;
	network_unmap(address);
	return true;
}

/* Of an element of Forwarded: the value of "NAME=". */
static bool parameter(struct piece element, const char *name, struct piece *value)
{
	char text[1024];
	size_t length = strlen(name);
	if (element.length >= sizeof(text))
		return false;
	memcpy(text, element.text, element.length);
	text[element.length] = '\0';
	for (const char *at = text; at != NULL;) {
		struct piece piece = next_piece(&at, ';');
		if (piece.length <= length || strncasecmp(piece.text, name, length) != 0 || piece.text[length] != '=')
			continue;
		value->text = element.text + (piece.text - text) + length + 1;
		value->length = piece.length - length - 1;
		return true;
	}
	return false;
}

/* The index of the element that names the client; `count` if none can be believed. */
static size_t find_client(const struct piece *elements, size_t count, bool is_rfc, const struct api_proxies *proxies, struct api_forwarded *forwarded)
{
	size_t found = count;
	for (size_t i = count; i > 0; i--) {
		struct piece hop = elements[i - 1];
		struct wireguard_network address;
		if ((is_rfc && !parameter(hop, "for", &hop)) || !read_address(hop, &address))
			break;
		network_format_address(&address, forwarded->client);
		found = i - 1;
		if (!is_trusted(proxies, &address))
			break;
	}
	return found;
}

static void read_rfc(const struct api_forwarded_headers *headers, const struct api_proxies *proxies, struct api_forwarded *forwarded)
{
	struct piece elements[HOPS_MAX], value;
	char proto[8];
	size_t count = elements_of(&headers->forwarded, elements);
	size_t client = find_client(elements, count, true, proxies, forwarded);
	if (count == 0)
		return;
	/* What the proxy said that took the client's request. */
	struct piece element = elements[client < count ? client : count - 1];
	forwarded->is_tls = parameter(element, "proto", &value) && copy(value, proto, sizeof(proto)) && strcasecmp(proto, "https") == 0;
	if (!parameter(element, "host", &value) || !copy(value, forwarded->host, sizeof(forwarded->host)))
		forwarded->host[0] = '\0';
}

static bool last_of(const struct api_header_lines *lines, char *to, size_t size)
{
	struct piece elements[HOPS_MAX];
	size_t count = elements_of(lines, elements);
	return count > 0 && copy(elements[count - 1], to, size);
}

void api_forwarded_read(const struct api_forwarded_headers *headers, const struct api_proxies *proxies, struct api_forwarded *forwarded)
{
	struct piece elements[HOPS_MAX];
	char proto[8];
	*forwarded = (struct api_forwarded){ .is_tls = false };
	if (headers->x_for.count == 0 && headers->forwarded.count > 0) {
		read_rfc(headers, proxies, forwarded);
		return;
	}
	(void)find_client(elements, elements_of(&headers->x_for, elements), false, proxies, forwarded);
	forwarded->is_tls = last_of(&headers->x_proto, proto, sizeof(proto)) && strcasecmp(proto, "https") == 0;
	if (!last_of(&headers->x_host, forwarded->host, sizeof(forwarded->host)))
		forwarded->host[0] = '\0';
}
