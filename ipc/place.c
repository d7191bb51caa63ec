#include "ipc/place.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "ipc/network.h"

/* RFC 1123, 2.1, plus the underscore that is in common use; the last label must not be a number, so that "10.1" is not a name. */
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

/* The canonical text of an IP literal, so that one address has one form. */
static char *canonical_host(const char *host)
{
	struct wireguard_network network;
	if (!network_parse_address(host, &network))
		return name_is_valid(host) ? strdup(host) : NULL;
	network_unmap(&network);
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
	place->host = strdup(path);
	if (place->host == NULL)
		return false;
	place->kind = SPEC_PLACE_UNIX;
	return true;
}

bool place_parse(const char *text, struct spec_place *place)
{
	*place = (struct spec_place){ .kind = SPEC_PLACE_NONE };
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, place);
	const char *colon = strrchr(text, ':');
	unsigned long port;
	if (colon == NULL || !decimal_parse(colon + 1, 65535, &port))
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

static void path_fault(const char *path, char fault[PLACE_FAULT_SIZE])
{
	size_t length = strlen(path), most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	if (length > most)
		snprintf(fault, PLACE_FAULT_SIZE, "The path of a unix socket can have at most %zu bytes; this one has %zu.", most, length);
	else
		snprintf(fault, PLACE_FAULT_SIZE, "The path of a unix socket must be absolute and name a file.");
}

void place_fault(const char *text, bool is_endpoint, char fault[PLACE_FAULT_SIZE])
{
	const char *colon = strrchr(text, ':'), *first = strchr(text, ':');
	unsigned long port = 0, least = is_endpoint ? 1 : 0;
	if (!is_endpoint && strncmp(text, "unix:", 5) == 0)
		path_fault(text + 5, fault);
	else if (colon != first && text[0] != '[')
		snprintf(fault, PLACE_FAULT_SIZE, "An IPv6 address needs brackets: [ADDRESS]:PORT.");
	else if (colon == NULL || strchr(colon, ']') != NULL)
		snprintf(fault, PLACE_FAULT_SIZE, "The port is missing: this must be HOST:PORT.");
	else if (!decimal_parse(colon + 1, 65535, &port) || port < least)
		snprintf(fault, PLACE_FAULT_SIZE, "The port must be a number from %lu to 65535.", least);
	else
		snprintf(fault, PLACE_FAULT_SIZE, "The host must be an IP address (IPv6 in brackets) or a name.");
}

char *place_format(const struct spec_place *place)
{
	char *text = NULL;
	int length = -1;
	switch (place->kind) {
	case SPEC_PLACE_NONE: break;
	case SPEC_PLACE_INET: length = asprintf(&text, strchr(place->host, ':') != NULL ? "[%s]:%u" : "%s:%u", place->host, place->port); break;
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
