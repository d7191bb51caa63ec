#include "netstack/dns.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <ares.h>

#include "netstack/packet/packet.h"

#define HEADER 12
#define CLASS_IN 1
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_SOA 6
#define TYPE_AAAA 28
#define TYPE_OPT 41
#define ALIASES_MAX 16
#define RECORDS_MAX 512 /* examined per section */
#define TTL_MAX 86400
#define NEGATIVE_TTL_MAX 3600 /* RFC 2308, 5 allows three hours */
#define UDP_SIZE 1232         /* passes every path unfragmented (DNS flag day 2020) */

enum rcode {
	RCODE_OK = 0,
	RCODE_BAD_FORMAT = 1,
	RCODE_NO_NAME = 3,
	RCODE_NOT_IMPLEMENTED = 4,
	RCODE_BAD_VERSION = 16,
};

struct record {
	char name[DNS_NAME_SIZE + 1]; /* empty: longer than any name in a query */
	uint16_t type, class;
	uint32_t ttl;
	size_t data, length; /* of its data */
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

	if (ares_create_query(question->name, CLASS_IN, type_of(question->family), question->id, 1, &bytes, &length,
	                      question->plain ? 0 : UDP_SIZE) != ARES_SUCCESS)
		return 0;
	size_t size = (size_t)length <= DNS_QUERY_MAX ? (size_t)length : 0;
	memcpy(query, bytes, size);
	ares_free_string(bytes);
	return size;
}

/* Reads a name at `*at` and moves the cursor behind it. */
static bool read_name(const uint8_t *bytes, size_t length, size_t *at, char name[DNS_NAME_SIZE + 1])
{
	char *text;
	long used;

	if (*at >= length || ares_expand_name(bytes + *at, bytes, (int)length, &text, &used) != ARES_SUCCESS)
		return false;
	size_t size = strlen(text) + 1;
	name[0] = '\0';
	if (size <= DNS_NAME_SIZE + 1)
		memcpy(name, text, size);
	ares_free_string(text);
	*at += (size_t)used;
	return true;
}

static bool read_record(const uint8_t *bytes, size_t length, size_t *at, struct record *record)
{
	if (!read_name(bytes, length, at, record->name) || length - *at < 10)
		return false;
	record->type = packet_read16(bytes + *at);
	record->class = packet_read16(bytes + *at + 2);
	record->ttl = packet_read32(bytes + *at + 4);
	record->length = packet_read16(bytes + *at + 8);
	record->data = *at + 10;
	if (record->length > length - record->data)
		return false;
	*at = record->data + record->length;
	return true;
}

static bool has_header_of(const struct dns_question *question, const uint8_t *bytes, size_t length)
{
	return length >= HEADER && packet_read16(bytes) == question->id && (bytes[2] & 0xf8) == 0x80;
}

/* The query's id, name, type and class, which an off-path attacker has to guess (RFC 5452, 9.1). */
static bool is_answer_to(const struct dns_question *question, const uint8_t *bytes, size_t length, size_t *at)
{
	char name[DNS_NAME_SIZE + 1];

	if (!has_header_of(question, bytes, length) || packet_read16(bytes + 4) != 1)
		return false;
	*at = HEADER;
	if (!read_name(bytes, length, at, name) || length - *at < 4)
		return false;
	*at += 4;
	return strcasecmp(name, question->name) == 0 && packet_read16(bytes + *at - 4) == type_of(question->family) &&
	       packet_read16(bytes + *at - 2) == CLASS_IN;
}

/* Servers that do not understand a question may omit it from their answer. */
static bool is_bare_failure(const struct dns_question *question, const uint8_t *bytes, size_t length)
{
	return has_header_of(question, bytes, length) && packet_read16(bytes + 4) == 0 && packet_read16(bytes + 6) == 0 &&
	       (bytes[3] & 0x0f) != RCODE_OK;
}

/* With the upper bits, which are in the OPT record (RFC 6891, 6.1.3). */
static unsigned rcode_of(const uint8_t *bytes, size_t length, size_t at)
{
	unsigned low = bytes[3] & 0x0f;
	size_t records = (size_t)packet_read16(bytes + 8) + packet_read16(bytes + 10);
	struct record record;

	if (packet_read16(bytes + 6) != 0)
		return low;
	for (size_t i = 0; i < records && i < RECORDS_MAX && read_record(bytes, length, &at, &record); i++) {
		if (record.type == TYPE_OPT)
			return low | (record.ttl >> 24) << 4;
	}
	return low;
}

/* RFC 2181, 8. */
static uint32_t usable_ttl(uint32_t ttl)
{
	return ttl > INT32_MAX ? 0 : ttl;
}

/* The lesser of the SOA record's TTL and its MINIMUM field (RFC 2308, 5); without one, nothing may be cached. */
static uint32_t negative_ttl(const uint8_t *bytes, size_t length, size_t at)
{
	size_t records = (size_t)packet_read16(bytes + 6) + packet_read16(bytes + 8);
	struct record record;

	for (size_t i = 0; i < records && i < RECORDS_MAX && read_record(bytes, length, &at, &record); i++) {
		if (record.type != TYPE_SOA || record.length < 20)
			continue;
		uint32_t minimum = packet_read32(bytes + record.data + record.length - 4);
		uint32_t ttl = usable_ttl(record.ttl) < minimum ? usable_ttl(record.ttl) : minimum;
		return ttl < NEGATIVE_TTL_MAX ? ttl : NEGATIVE_TTL_MAX;
	}
	return 0;
}

static void keep_for(struct dns_answer *answer, uint32_t ttl)
{
	if (usable_ttl(ttl) < answer->ttl)
		answer->ttl = usable_ttl(ttl);
}

static void add(struct dns_answer *answer, uint8_t family, const uint8_t *bytes, uint32_t ttl)
{
	keep_for(answer, ttl);
	if (answer->count == DNS_ADDRESS_MAX)
		return;
	struct netstack_endpoint *address = &answer->addresses[answer->count++];
	*address = (struct netstack_endpoint){ .family = family };
	memcpy(address->bytes, bytes, family == AF_INET ? 4 : 16);
}

enum step {
	STEP_THERE,  /* the name's addresses are read, or it has none */
	STEP_ALIAS,  /* the name is now the one that it is an alias of */
	STEP_BROKEN, /* a record is truncated or malformed */
};

/* One pass over the answer for one name; records may be in any order. */
static enum step follow(const struct dns_question *question, const uint8_t *bytes, size_t length, size_t at, char name[DNS_NAME_SIZE + 1],
                        struct dns_answer *answer)
{
	char alias[DNS_NAME_SIZE + 1] = "";
	uint32_t alias_ttl = 0;
	size_t count = packet_read16(bytes + 6), size = question->family == AF_INET ? 4 : 16;
	enum step end = STEP_THERE;

	for (size_t i = 0; i < count && i < RECORDS_MAX; i++) {
		struct record record;
		bool is_sound = read_record(bytes, length, &at, &record);
		if (!is_sound || (record.type == type_of(question->family) && record.length != size)) {
			end = STEP_BROKEN;
			break;
		}
		if (record.class != CLASS_IN || strcasecmp(record.name, name) != 0)
			continue;
		if (record.type == type_of(question->family))
			add(answer, question->family, bytes + record.data, record.ttl);
		size_t target = record.data;
		if (record.type == TYPE_CNAME && alias[0] == '\0' && read_name(bytes, length, &target, alias))
			alias_ttl = record.ttl;
	}
	if (answer->count > 0 || alias[0] == '\0')
		return end;
	memcpy(name, alias, sizeof(alias));
	keep_for(answer, alias_ttl);
	return end == STEP_BROKEN ? end : STEP_ALIAS;
}

/* false: malformed, or the aliases form a loop. */
static bool read_addresses(const struct dns_question *question, const uint8_t *bytes, size_t length, size_t at, struct dns_answer *answer)
{
	char name[DNS_NAME_SIZE + 1];
	enum step step = STEP_ALIAS;

	answer->ttl = TTL_MAX;
	memcpy(name, question->name, sizeof(question->name));
	for (unsigned i = 0; i <= ALIASES_MAX && step == STEP_ALIAS; i++)
		step = follow(question, bytes, length, at, name, answer);
	return step == STEP_THERE;
}

static void fail(const struct dns_question *question, unsigned rcode, struct dns_answer *answer)
{
	bool is_of_edns = rcode == RCODE_BAD_FORMAT || rcode == RCODE_NOT_IMPLEMENTED || rcode == RCODE_BAD_VERSION;

	answer->outcome = is_of_edns && !question->plain ? DNS_NO_EDNS : DNS_FAILED;
}

/* An empty answer of a server that is not responsible for the name and does not look for it either: it says nothing of the name, whatever servers
 * it refers to (RFC 1912, 2.8). */
static bool is_lame(const uint8_t *bytes, unsigned rcode)
{
	bool is_authoritative = (bytes[2] & 0x04) != 0, is_recursive = (bytes[3] & 0x80) != 0;

	return rcode == RCODE_OK && packet_read16(bytes + 6) == 0 && !is_authoritative && !is_recursive;
}

void dns_read_answer(const struct dns_question *question, const uint8_t *bytes, size_t length, struct dns_answer *answer)
{
	size_t at;

	*answer = (struct dns_answer){ .outcome = DNS_FOREIGN };
	if (is_bare_failure(question, bytes, length)) {
		fail(question, bytes[3] & 0x0f, answer);
		return;
	}
	if (!is_answer_to(question, bytes, length, &at))
		return;
	unsigned rcode = rcode_of(bytes, length, at);
	if (rcode != RCODE_OK && rcode != RCODE_NO_NAME) {
		fail(question, rcode, answer);
		return;
	}
	bool is_sound = read_addresses(question, bytes, length, at, answer);
	if (bytes[2] & 0x02) { /* half a record may be missing */
		answer->outcome = DNS_TRUNCATED;
		answer->ttl = 0;
	} else if (!is_sound || is_lame(bytes, rcode)) {
		*answer = (struct dns_answer){ .outcome = DNS_FAILED };
	} else if (answer->count > 0) {
		answer->outcome = DNS_ADDRESSES;
	} else {
		answer->outcome = DNS_NOTHING;
		answer->ttl = negative_ttl(bytes, length, at);
	}
}
