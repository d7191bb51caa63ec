#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>

#include "tunnel/address.h"

static union wireguard_endpoint host(const char *text, uint16_t port)
{
	union wireguard_endpoint endpoint = { .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	if (inet_pton(AF_INET, text, &endpoint.v4.sin_addr) == 1)
		return endpoint;
	endpoint = (union wireguard_endpoint){ .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	assert_int_equal(inet_pton(AF_INET6, text, &endpoint.v6.sin6_addr), 1);
	return endpoint;
}

static void both_families_go_there_and_back(void **state)
{
	static const char *const texts[] = { "192.0.2.1", "2001:db8::1", "::1", "0.0.0.0", "::" };
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		union wireguard_endpoint from = host(texts[i], 51820), back;
		struct netstack_endpoint address;
		assert_true(address_from_host(&address, &from));
		assert_int_equal(address.port, 51820);
		address_to_host(&back, &address);
		assert_true(endpoint_equal(&from, &back));
	}
	union wireguard_endpoint mapped = host("::ffff:192.0.2.1", 9), unix_one = { .any = { .sa_family = AF_UNIX } };
	struct netstack_endpoint address;
	assert_true(address_from_host(&address, &mapped));
	assert_int_equal(address.family, AF_INET);
	assert_memory_equal(address.bytes, "\300\0\2\1", 4);
	assert_false(address_from_host(&address, &unix_one));
	assert_int_equal(address.family, 0);
}

static void equal_is_family_address_and_port(void **state)
{
	union wireguard_endpoint hosts[] = { host("192.0.2.1", 1), host("192.0.2.1", 2), host("192.0.2.2", 1), host("c000:201::", 1),
		                             host("c000:201::1", 1) };
	struct netstack_endpoint addresses[5];
	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_true(address_from_host(&addresses[i], &hosts[i]));
	/* Bytes behind an IPv4 address mean nothing. */
	addresses[1].bytes[9] = 7;
	for (size_t i = 0; i < 5; i++)
		for (size_t j = 0; j < 5; j++) {
			assert_int_equal(address_equal(&addresses[i], &addresses[j]), i == j);
			assert_int_equal(address_is_same_host(&addresses[i], &addresses[j]), i == j || i + j == 1);
		}
}

/* P7: what one client can have many of is one source. */
static void a_source_is_an_address_or_a_64(void **state)
{
	static const struct {
		const char *a, *b;
		bool is_same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },  { "192.0.2.1", "192.0.2.2", false },         { "2001:db8::1", "2001:db8::ffff:1", true },
		{ "127.0.0.1", "127.9.9.9", true },  { "2001:db8::1", "2001:db8:0:1::1", false }, { "127.0.0.1", "::1", true },
		{ "128.0.0.1", "127.0.0.1", false }, { "192.0.2.1", "::ffff:192.0.2.1", true },   { "::2", "::1", false },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union wireguard_endpoint a = host(rows[i].a, 1), b = host(rows[i].b, 2);
		if ((address_source(&a) == address_source(&b)) != rows[i].is_same)
			fail_msg("%s, %s", rows[i].a, rows[i].b);
	}
	union wireguard_endpoint one = { .any = { .sa_family = AF_UNIX } }, other = { .any = { .sa_family = AF_UNSPEC } },
				 four = host("192.0.2.1", 1);
	assert_true(address_source(&one) == address_source(&other) && address_source(&one) != address_source(&four));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_go_there_and_back),
		cmocka_unit_test(equal_is_family_address_and_port),
		cmocka_unit_test(a_source_is_an_address_or_a_64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
