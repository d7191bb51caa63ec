#include "tunnel/http/target.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <sys/socket.h>

#define LABEL_MAX 63 /* RFC 1035, 2.3.4 */

struct block {
	uint8_t bytes[16];
	uint8_t prefix;
	enum target_class class;
};

/* The first block that covers an address counts (RFC 6890 and the registries it started). */
static const struct block v4_blocks[] = {
	{ { 0 }, 8, TARGET_UNSPECIFIED },     { { 10 }, 8, TARGET_PRIVATE },           { { 100, 64 }, 10, TARGET_PRIVATE },
	{ { 127 }, 8, TARGET_LOOPBACK },      { { 169, 254 }, 16, TARGET_LINK_LOCAL }, { { 172, 16 }, 12, TARGET_PRIVATE },
	{ { 192, 168 }, 16, TARGET_PRIVATE }, { { 224 }, 4, TARGET_MULTICAST },        { { 255, 255, 255, 255 }, 32, TARGET_MULTICAST },
	{ { 240 }, 4, TARGET_PRIVATE },
};

static const struct block v6_blocks[] = {
	{ { 0 }, 128, TARGET_UNSPECIFIED },     { { [15] = 1 }, 128, TARGET_LOOPBACK }, { { 0xfe, 0x80 }, 10, TARGET_LINK_LOCAL },
	{ { 0xfe, 0xc0 }, 10, TARGET_PRIVATE }, { { 0xfc }, 7, TARGET_PRIVATE },        { { 0xff }, 8, TARGET_MULTICAST },
};

/* IPv6 blocks with an IPv4 address inside, at `offset`: a translator on the way may send on to that one, so it is judged. `class` is
 * what such an address is at least. */
struct embedding {
	struct block block;
	uint8_t offset;
	uint8_t flip;
};

static const struct embedding embeddings[] = {
	{ { { 0 }, 96, TARGET_UNROUTABLE }, 12, 0 },                               /* compatible (RFC 4291, 2.5.5.1) */
	{ { { [10] = 0xff, [11] = 0xff }, 96, TARGET_UNROUTABLE }, 12, 0 },        /* mapped (RFC 4291, 2.5.5.2) */
	{ { { [8] = 0xff, [9] = 0xff }, 96, TARGET_UNROUTABLE }, 12, 0 },          /* translated (RFC 2765) */
	{ { { 0x00, 0x64, 0xff, 0x9b }, 96, TARGET_PUBLIC }, 12, 0 },              /* NAT64 (RFC 6052) */
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, TARGET_PRIVATE }, 12, 0 }, /* NAT64, local use (RFC 8215) */
	{ { { 0x20, 0x02 }, 16, TARGET_PUBLIC }, 2, 0 },                           /* 6to4 (RFC 3056) */
	{ { { 0x20, 0x01, 0x00, 0x00 }, 32, TARGET_PUBLIC }, 12, 0xff },           /* Teredo (RFC 4380) */
};

static bool covers(const uint8_t *network, unsigned prefix, const uint8_t *address)
{
	unsigned whole = prefix / 8, rest = prefix % 8;
	if (memcmp(network, address, whole) != 0)
		return false;
	return rest == 0 || ((network[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

static const struct block *v4_block(const uint8_t *bytes)
{
	for (size_t i = 0; i < sizeof(v4_blocks) / sizeof(v4_blocks[0]); i++)
		if (covers(v4_blocks[i].bytes, v4_blocks[i].prefix, bytes))
			return &v4_blocks[i];
	return NULL;
}

static const struct embedding *find_embedding(const uint8_t *bytes)
{
	for (size_t i = 0; i < sizeof(embeddings) / sizeof(embeddings[0]); i++)
		if (covers(embeddings[i].block.bytes, embeddings[i].block.prefix, bytes))
			return &embeddings[i];
	return NULL;
}

static const struct block *v6_block(const uint8_t *bytes)
{
	for (size_t i = 0; i < sizeof(v6_blocks) / sizeof(v6_blocks[0]); i++)
		if (covers(v6_blocks[i].bytes, v6_blocks[i].prefix, bytes))
			return &v6_blocks[i];
	const struct embedding *embedding = find_embedding(bytes);
	return embedding == NULL ? NULL : &embedding->block;
}

static enum target_class embedded_class(const struct embedding *embedding, const uint8_t *bytes)
{
	uint8_t inner[4];
	for (size_t i = 0; i < sizeof(inner); i++)
		inner[i] = bytes[embedding->offset + i] ^ embedding->flip;
	const struct block *block = v4_block(inner);
	enum target_class class = block == NULL ? TARGET_PUBLIC : block->class;
	if (class == TARGET_PUBLIC || class == TARGET_PRIVATE)
		return class > embedding->block.class ? class : embedding->block.class;
	return class;
}

static const struct block *block_of(const struct netstack_endpoint *address)
{
	return address->family == AF_INET ? v4_block(address->bytes) : v6_block(address->bytes);
}

enum target_class target_class(const struct netstack_endpoint *address)
{
	if (address->family != AF_INET && address->family != AF_INET6)
		return TARGET_UNROUTABLE;
	const struct embedding *embedding = address->family == AF_INET6 ? find_embedding(address->bytes) : NULL;
	const struct block *block = block_of(address);
	if (embedding != NULL && block == &embedding->block)
		return embedded_class(embedding, address->bytes);
	return block == NULL ? TARGET_PUBLIC : block->class;
}

/* An entry wider than the private block means «everything», or a large part of it, not a particular private network. */
static bool is_network_named(const struct spec *spec, const struct netstack_endpoint *address)
{
	const struct block *block = block_of(address);
	for (size_t i = 0; i < spec->peer_count; i++)
		for (size_t j = 0; j < spec->peers[i].allowed_ip_count; j++) {
			const struct wireguard_network *network = &spec->peers[i].allowed_ips[j];
			if (network->family == address->family && network->prefix >= block->prefix &&
			    covers(network->bytes, network->prefix, address->bytes))
				return true;
		}
	return false;
}

static bool is_private_allowed(const struct spec *tunnel, const struct spec *proxy, const struct netstack_endpoint *address)
{
	return (tunnel->allow_private_targets && proxy->allow_private_targets) || is_network_named(tunnel, address);
}

enum target_verdict target_judge(const struct spec *tunnel, const struct spec *proxy, const struct netstack_endpoint *address)
{
	switch (target_class(address)) {
	case TARGET_PUBLIC: return TARGET_ALLOWED;
	case TARGET_PRIVATE: return is_private_allowed(tunnel, proxy, address) ? TARGET_ALLOWED : TARGET_FORBIDDEN_PRIVATE;
	case TARGET_LOOPBACK:
	case TARGET_LINK_LOCAL:
	case TARGET_UNSPECIFIED:
	case TARGET_MULTICAST:
	case TARGET_UNROUTABLE: break;
	}
	return TARGET_FORBIDDEN;
}

static bool is_localhost(const char *name)
{
	static const char localhost[] = "localhost";
	size_t length = strlen(name), tail = sizeof(localhost) - 1;
	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length < tail || memcmp(name + length - tail, localhost, tail) != 0)
		return false;
	return length == tail || name[length - tail - 1] == '.';
}

enum target_verdict target_judge_asked(const struct spec *tunnel, const struct spec *proxy, const struct target *target)
{
	if (!target_is_name(target))
		return target_judge(tunnel, proxy, &target->address);
	return is_localhost(target->host) ? TARGET_FORBIDDEN : TARGET_ALLOWED;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* What inet_aton and browsers would take for a number, so that the whole would be an address (WHATWG URL, «ends in a number»). */
static bool is_numeric_label(const char *label, size_t length)
{
	bool hex = length >= 2 && label[0] == '0' && label[1] == 'x';
	for (size_t i = hex ? 2 : 0; i < length; i++)
		if (!(hex ? isxdigit((unsigned char)label[i]) : isdigit((unsigned char)label[i])))
			return false;
	return true;
}

static bool is_name(const char *host, size_t length)
{
	if (host[length - 1] == '.')
		length--;
	else if (length > TARGET_NAME_MAX - 1)
		return false;
	size_t start = 0;
	for (size_t i = 0; i < length; i++) {
		if (host[i] == '.') {
			if (i == start)
				return false;
			start = i + 1;
		} else if (!is_name_byte(host[i]) || i - start >= LABEL_MAX) {
			return false;
		}
	}
	return length > start && !is_numeric_label(host + start, length - start);
}

/* Programs with dual-stack sockets write IPv4 addresses this way (RFC 4291, 2.5.5.2); no packet carries it. */
static void unmap(struct netstack_endpoint *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
		return;
	address->family = AF_INET;
	memmove(address->bytes, address->bytes + sizeof(mapped), 4);
	memset(address->bytes + 4, 0, sizeof(address->bytes) - 4);
}

static bool is_address(struct target *target)
{
	int family = strchr(target->host, ':') == NULL ? AF_INET : AF_INET6;
	if (inet_pton(family, target->host, target->address.bytes) != 1)
		return false;
	target->address.family = (uint8_t)family;
	return true;
}

int target_parse(struct target *target, const char *host, size_t length, uint16_t port)
{
	*target = (struct target){ .port = port, .address.port = port };
	bool bracketed = length > 0 && host[0] == '[';
	if (bracketed) {
		if (length < 2 || host[length - 1] != ']')
			goto malformed;
		host++;
		length -= 2;
	}
	if (length == 0 || length > TARGET_NAME_MAX || memchr(host, '\0', length) != NULL)
		goto malformed;
	for (size_t i = 0; i < length; i++)
		target->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
	if (is_address(target)) {
		struct netstack_endpoint address = target->address;
		if (address.family == AF_INET6)
			target_from_address(target, &address);
		if (!bracketed || address.family == AF_INET6)
			return 0; /* inet_pton takes one form of an IPv4 address only */
	} else if (!bracketed && is_name(target->host, length)) {
		return 0;
	}
malformed:
	*target = (struct target){ 0 };
	return -1;
}

static bool read_port(const char *text, size_t length, uint16_t *port)
{
	uint32_t value = 0;
	/* Any number of digits (RFC 3986, 3.2.3). */
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text[i] - '0');
		if (value > UINT16_MAX)
			return false;
	}
	*port = (uint16_t)value;
	return value >= 1;
}

int target_parse_authority(struct target *target, const char *text, size_t length, uint16_t port)
{
	*target = (struct target){ 0 };
	const char *host_end = length > 0 && text[0] == '[' ? memchr(text, ']', length) : memchr(text, ':', length);
	if (host_end != NULL && *host_end == ']')
		host_end++;
	else if (length > 0 && text[0] == '[')
		return -1;
	size_t host = host_end == NULL ? length : (size_t)(host_end - text);
	if (host < length) {
		if (text[host] != ':')
			return -1;
		size_t digits = length - host - 1;
		/* An empty port means the scheme's default (RFC 3986, 3.2.3). */
		if (digits > 0 && !read_port(text + host + 1, digits, &port))
			return -1;
	}
	if (port == 0)
		return -1;
	return target_parse(target, text, host, port);
}

void target_from_address(struct target *target, const struct netstack_endpoint *address)
{
	*target = (struct target){ .address = *address, .port = address->port };
	unmap(&target->address);
	if (inet_ntop(target->address.family, target->address.bytes, target->host, sizeof(target->host)) == NULL)
		target->host[0] = '\0';
}
