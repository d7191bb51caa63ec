/* DNS messages: what is an answer to a question (RFC 5452, 9.1), what it says, and for how long it may be kept (RFC 2181, 8; RFC 2308, 5). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/dns.h"
#include "netstack/packet/packet.h"

#define A 1
#define CNAME 5
#define SOA 6
#define AAAA 28
#define OPT 41
#define QUESTION 0xc00c /* a pointer to its name */

static const struct dns_question question = { .name = "host.test", .family = AF_INET, .id = 0x1234 };
static uint8_t message[16384];
static size_t length;

/* A response to the question, so far without records. */
static void begin(uint16_t flags)
{
	static const uint8_t asked[] = { 4, 'h', 'o', 's', 't', 4, 't', 'e', 's', 't', 0, 0, A, 0, 1 };

	memset(message, 0, 12);
	packet_write16(message, question.id);
	packet_write16(message + 2, 0x8180 | flags);
	packet_write16(message + 4, 1);
	memcpy(message + 12, asked, sizeof(asked));
	length = 12 + sizeof(asked);
}

/* Counted in the section whose count is at `section`: 6 answers, 8 authority, 10 additional. */
static void put_named(size_t section, const uint8_t *name, size_t name_length, uint16_t type, uint32_t ttl, const void *data, size_t size)
{
	memcpy(message + length, name, name_length);
	uint8_t *at = message + length + name_length;
	packet_write16(at, type);
	packet_write16(at + 2, 1);
	packet_write32(at + 4, ttl);
	packet_write16(at + 8, (uint16_t)size);
	memcpy(at + 10, data, size);
	length += name_length + 10 + size;
	packet_write16(message + section, (uint16_t)(packet_read16(message + section) + 1));
}

static void put(size_t section, uint16_t pointer, uint16_t type, uint32_t ttl, const void *data, size_t size)
{
	uint8_t name[2];

	packet_write16(name, pointer);
	put_named(section, name, sizeof(name), type, ttl, data, size);
}

static void put_address(uint32_t ttl, uint8_t last)
{
	put(6, QUESTION, A, ttl, (const uint8_t[]){ 192, 0, 2, last }, 4);
}

static void put_soa(uint32_t ttl, uint32_t minimum)
{
	uint8_t data[22] = { 0 };

	packet_write32(data + 18, minimum);
	put(8, QUESTION, SOA, ttl, data, sizeof(data));
}

static struct dns_answer read_as(const struct dns_question *of)
{
	struct dns_answer answer;

	dns_read_answer(of, message, length, &answer);
	return answer;
}

static void expect(enum dns_outcome outcome, size_t count, uint32_t ttl)
{
	struct dns_answer answer = read_as(&question);

	assert_int_equal(answer.outcome, outcome);
	assert_int_equal(answer.count, count);
	if (outcome == DNS_ADDRESSES || outcome == DNS_NOTHING)
		assert_int_equal(answer.ttl, ttl);
}

static void addresses_are_kept_for_the_least_of_their_times(void **state)
{
	(void)state;
	begin(0);
	put_address(600, 1);
	put_address(60, 2);
	put_address(6000, 3);
	expect(DNS_ADDRESSES, 3, 60);
	struct dns_answer answer = read_as(&question);
	assert_memory_equal(answer.addresses[1].bytes, ((const uint8_t[]){ 192, 0, 2, 2 }), 4);
	begin(0);
	put_address(1000000, 1);
	expect(DNS_ADDRESSES, 1, 86400); /* a day at most */
	begin(0);
	put_address(0x80000000, 1);
	expect(DNS_ADDRESSES, 1, 0); /* RFC 2181, 8: counts as none */
	begin(0);
	put_address(0x7fffffff, 1);
	expect(DNS_ADDRESSES, 1, 86400);
}

static void more_addresses_than_are_kept_shorten_the_time(void **state)
{
	(void)state;
	begin(0);
	for (uint8_t i = 0; i < DNS_ADDRESS_MAX; i++)
		put_address(600, i);
	put_address(5, 99);
	expect(DNS_ADDRESSES, DNS_ADDRESS_MAX, 5);
}

/* RFC 2308, 5: the lesser of the record's TTL and its MINIMUM, an hour at most. */
static void that_there_is_none_is_kept_as_the_zone_says(void **state)
{
	const struct {
		uint32_t ttl, minimum, kept;
	} cases[] = { { 600, 60, 60 }, { 60, 600, 60 }, { 7200, 7200, 3600 }, { 0, 600, 0 }, { 0x80000001, 600, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(3);
		put_soa(cases[i].ttl, cases[i].minimum);
		expect(DNS_NOTHING, 0, cases[i].kept);
	}
	begin(3);
	expect(DNS_NOTHING, 0, 0); /* no SOA */
	begin(3);
	put(8, QUESTION, SOA, 600, message, 19); /* a short one */
	expect(DNS_NOTHING, 0, 0);
}

/* Everything that an attacker off the path has to guess. */
static void what_was_not_asked_is_foreign(void **state)
{
	const struct {
		size_t at;
		uint8_t value;
	} cases[] = {
		{ 0, 0x13 },  /* the id */
		{ 2, 0x01 },  /* a question */
		{ 2, 0x91 },  /* another kind of request */
		{ 5, 0 },     /* no question */
		{ 5, 2 },     /* two */
		{ 13, 'x' },  /* the name */
		{ 24, AAAA }, /* the type */
		{ 26, 3 },    /* the class */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(0);
		put_address(60, 1);
		message[cases[i].at] = cases[i].value;
		expect(DNS_FOREIGN, 0, 0);
	}
	for (length = 0; length < 27;) {
		size_t cut = length + 1;
		begin(0);
		length = cut;
		if (cut < 27)
			expect(DNS_FOREIGN, 0, 0);
	}
	begin(0);
	put_address(60, 1);
	message[13] = 'H'; /* letters have no case */
	expect(DNS_ADDRESSES, 1, 60);
}

static void records_of_others_are_passed_over(void **state)
{
	(void)state;
	begin(0);
	put(6, QUESTION, AAAA, 5, message, 16);
	put(6, 0xc011, A, 5, message, 4); /* of "test" */
	put_address(60, 1);
	put(6, QUESTION, A, 5, message, 4);
	packet_write16(message + length - 12, 3); /* another class */
	expect(DNS_ADDRESSES, 1, 60);
}

static void a_record_that_is_cut_or_wrong_breaks_the_answer(void **state)
{
	(void)state;
	begin(0);
	put(6, QUESTION, A, 60, message, 5);
	expect(DNS_FAILED, 0, 0);
	begin(0);
	put_address(60, 1);
	length -= 1;
	expect(DNS_FAILED, 0, 0);
	begin(0x0200); /* truncated: it may be */
	put_address(60, 1);
	put_address(60, 2);
	length -= 1;
	expect(DNS_TRUNCATED, 1, 0);
}

/* Of a name of one letter, 0: the question's. */
static void put_alias(uint8_t owner, uint8_t target, uint32_t ttl)
{
	const uint8_t name[] = { 1, owner, 0 }, data[] = { 1, target, 0 };

	if (owner == 0)
		put(6, QUESTION, CNAME, ttl, data, sizeof(data));
	else
		put_named(6, name, sizeof(name), CNAME, ttl, data, sizeof(data));
}

/* In any order, for the least time on the way; a circle is left after sixteen steps. */
static void aliases_are_followed(void **state)
{
	const uint8_t address[4] = { 192, 0, 2, 1 };

	(void)state;
	begin(0);
	put_named(6, (const uint8_t[]){ 1, 'b', 0 }, 3, A, 300, address, 4);
	put_alias('a', 'b', 60);
	put_alias(0, 'a', 600);
	expect(DNS_ADDRESSES, 1, 60);
	begin(0);
	put_alias(0, 'a', 600);
	put_alias('a', 'b', 60); /* which has no address here */
	expect(DNS_NOTHING, 0, 0);
	begin(0);
	put_alias(0, 'a', 600);
	put_alias('a', 'a', 60);
	expect(DNS_FAILED, 0, 0);
	for (uint8_t steps = 16; steps <= 17; steps++) {
		begin(0);
		put_alias(0, 'a', 600);
		for (uint8_t i = 1; i < steps; i++)
			put_alias((uint8_t)('a' + i - 1), (uint8_t)('a' + i), 600);
		put_named(6, (const uint8_t[]){ 1, (uint8_t)('a' + steps - 1), 0 }, 3, A, 300, address, 4);
		expect(steps == 16 ? DNS_ADDRESSES : DNS_FAILED, steps == 16, 300);
	}
}

/* RFC 6891, 7. */
static void a_server_without_edns_is_told_from_one_that_fails(void **state)
{
	const struct {
		uint16_t rcode;
		bool plain;
		enum dns_outcome outcome;
	} cases[] = {
		{ 1, false, DNS_NO_EDNS }, { 4, false, DNS_NO_EDNS }, { 1, true, DNS_FAILED },
		{ 4, true, DNS_FAILED },   { 2, false, DNS_FAILED },  { 5, false, DNS_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct dns_question of = question;
		of.plain = cases[i].plain;
		begin(cases[i].rcode);
		assert_int_equal(read_as(&of).outcome, cases[i].outcome);
		packet_write16(message + 4, 0); /* some leave the question out */
		length = 12;
		assert_int_equal(read_as(&of).outcome, cases[i].outcome);
	}
	begin(0);
	packet_write16(message + 4, 0); /* but not of an answer */
	length = 12;
	expect(DNS_FOREIGN, 0, 0);
	begin(0);
	put(10, QUESTION, OPT, 1u << 24, message, 0); /* BADVERS, its upper bits in the OPT record */
	expect(DNS_NO_EDNS, 0, 0);
}

static void a_query_is_what_was_asked(void **state)
{
	uint8_t query[DNS_QUERY_MAX];
	struct dns_question of = question;

	(void)state;
	size_t with = dns_write_query(&of, query);
	assert_int_equal(packet_read16(query), 0x1234);
	assert_int_equal(query[2] & 0x01, 1); /* recursion */
	assert_int_equal(packet_read16(query + 10), 1);
	assert_int_equal(packet_read16(query + 23), A);
	of.family = AF_INET6;
	of.plain = true;
	assert_true(dns_write_query(&of, query) < with);
	assert_int_equal(packet_read16(query + 10), 0);
	assert_int_equal(packet_read16(query + 23), AAAA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_kept_for_the_least_of_their_times),
		cmocka_unit_test(more_addresses_than_are_kept_shorten_the_time),
		cmocka_unit_test(that_there_is_none_is_kept_as_the_zone_says),
		cmocka_unit_test(what_was_not_asked_is_foreign),
		cmocka_unit_test(records_of_others_are_passed_over),
		cmocka_unit_test(a_record_that_is_cut_or_wrong_breaks_the_answer),
		cmocka_unit_test(aliases_are_followed),
		cmocka_unit_test(a_server_without_edns_is_told_from_one_that_fails),
		cmocka_unit_test(a_query_is_what_was_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
