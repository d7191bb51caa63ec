#include "netstack/dns.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <ares.h>

#include "netstack/packet.h"

#define HEADER 12
#define CLASS_IN 1
#define TYPE_A 1
#define TYPE_SOA 6
#define TYPE_AAAA 28
#define TTL_MAX 86400
#define NEGATIVE_TTL_MAX 3600 /* RFC 2308, 5 allows three hours */
#define UDP_SIZE 1232         /* passes every path unfragmented (DNS flag day 2020) */

enum rcode {
	RCODE_OK = 0,
	RCODE_NO_NAME = 3,
};

bool dns_read_name(char name[DNS_NAME_SIZE], const char *text)
{
	size_t length = strlen(text), label = 0;

	if (length > 0 && text[length - 1] == '.')
		length--;
	if (length == 0 || length >= DNS_NAME_SIZE)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = text[i];
		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else {
			bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
			if (!is_letter && (c < '0' || c > '9') && c != '-' && c != '_')
				return false;
			if (++label > 63)
				return false;
		}
		name[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	name[length] = '\0';
	return label > 0;
}

static uint16_t type_of(uint8_t family)
{
	return family == AF_INET ? TYPE_A : TYPE_AAAA;
}

size_t dns_write_query(const struct dns_question *question, uint8_t query[DNS_QUERY_MAX])
{
	unsigned char *bytes;
	int length;

	if (ares_create_query(question->name, CLASS_IN, type_of(question->family), question->id, 1, &bytes, &length, UDP_SIZE) != ARES_SUCCESS)
		return 0;
	size_t size = (size_t)length <= DNS_QUERY_MAX ? (size_t)length : 0;
	memcpy(query, bytes, size);
	ares_free_string(bytes);
	return size;
}

/* A name at `*at`; the cursor moves behind it. */
static bool skip_name(const uint8_t *bytes, size_t length, size_t *at, char *name, size_t size)
{
	char *text;
	long used;

	if (*at >= length || ares_expand_name(bytes + *at, bytes, (int)length, &text, &used) != ARES_SUCCESS)
		return false;
	bool fits = name == NULL || strlen(text) < size;
	if (fits && name != NULL)
		memcpy(name, text, strlen(text) + 1);
	ares_free_string(text);
	*at += (size_t)used;
	return fits;
}

/* The same id, name, type and class as asked: what an attacker off the path has to guess (RFC 5452, 9.1). */
static bool is_answer_to(const struct dns_question *question, const uint8_t *bytes, size_t length, size_t *at)
{
	char name[DNS_NAME_SIZE + 1];

	if (length < HEADER || packet_read16(bytes) != question->id || (bytes[2] & 0xf8) != 0x80 || packet_read16(bytes + 4) != 1)
		return false;
	*at = HEADER;
	if (!skip_name(bytes, length, at, name, sizeof(name)) || length - *at < 4)
		return false;
	*at += 4;
	return strcasecmp(name, question->name) == 0 && packet_read16(bytes + *at - 4) == type_of(question->family) &&
	       packet_read16(bytes + *at - 2) == CLASS_IN;
}

/* The lesser of the SOA record's TTL and its MINIMUM field (RFC 2308, 5); without one, nothing may be kept. */
static uint32_t negative_ttl(const uint8_t *bytes, size_t length, size_t at)
{
	size_t records = (size_t)packet_read16(bytes + 6) + packet_read16(bytes + 8);

	for (size_t i = 0; i < records; i++) {
		if (!skip_name(bytes, length, &at, NULL, 0) || length - at < 10)
			return 0;
		uint16_t type = packet_read16(bytes + at);
		uint32_t ttl = packet_read32(bytes + at + 4);
		size_t data = packet_read16(bytes + at + 8);
		at += 10;
		if (data > length - at)
			return 0;
		if (type == TYPE_SOA && data >= 20) {
			uint32_t minimum = packet_read32(bytes + at + data - 4);
			ttl = ttl < minimum ? ttl : minimum;
			return ttl < NEGATIVE_TTL_MAX ? ttl : NEGATIVE_TTL_MAX;
		}
		at += data;
	}
	return 0;
}

static void add(struct dns_answer *answer, uint8_t family, const void *bytes, int ttl)
{
	struct netstack_endpoint *address = &answer->addresses[answer->count++];
	uint32_t kept = ttl < 0 ? 0 : (uint32_t)ttl;

	*address = (struct netstack_endpoint){ .family = family };
	memcpy(address->bytes, bytes, family == AF_INET ? 4 : 16);
	if (kept < answer->ttl)
		answer->ttl = kept;
}

static int read_addresses(const struct dns_question *question, const uint8_t *bytes, size_t length, struct dns_answer *answer)
{
	int count = DNS_ADDRESS_MAX, result;

	answer->ttl = TTL_MAX;
	if (question->family == AF_INET) {
		struct ares_addrttl found[DNS_ADDRESS_MAX];
		result = ares_parse_a_reply(bytes, (int)length, NULL, found, &count);
		for (int i = 0; result == ARES_SUCCESS && i < count; i++)
			add(answer, AF_INET, &found[i].ipaddr, found[i].ttl);
	} else {
		struct ares_addr6ttl found[DNS_ADDRESS_MAX];
		result = ares_parse_aaaa_reply(bytes, (int)length, NULL, found, &count);
		for (int i = 0; result == ARES_SUCCESS && i < count; i++)
			add(answer, AF_INET6, &found[i].ip6addr, found[i].ttl);
	}
	return result;
}

void dns_read_answer(const struct dns_question *question, const uint8_t *bytes, size_t length, struct dns_answer *answer)
{
	size_t at;

	*answer = (struct dns_answer){ .outcome = DNS_FOREIGN };
	if (!is_answer_to(question, bytes, length, &at))
		return;
	answer->outcome = DNS_TRUNCATED;
	if (bytes[2] & 0x02)
		return;
	uint8_t rcode = bytes[3] & 0x0f;
	answer->outcome = DNS_FAILED;
	if (rcode != RCODE_OK && rcode != RCODE_NO_NAME)
		return;
	int result = rcode == RCODE_OK ? read_addresses(question, bytes, length, answer) : ARES_ENODATA;
	if (result == ARES_SUCCESS && answer->count > 0) {
		answer->outcome = DNS_ADDRESSES;
	} else if (result == ARES_SUCCESS || result == ARES_ENODATA) {
		answer->outcome = DNS_NOTHING;
		answer->ttl = negative_ttl(bytes, length, at);
	}
}
