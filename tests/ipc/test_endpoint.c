#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "ipc/endpoint.h"

static union wireguard_endpoint v4(const char *host, uint16_t port)
{
	union wireguard_endpoint endpoint = { .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
	assert_int_equal(inet_pton(AF_INET, host, &endpoint.v4.sin_addr), 1);
	return endpoint;
}

static union wireguard_endpoint v6(const char *host, uint16_t port)
{
	union wireguard_endpoint endpoint = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
	assert_int_equal(inet_pton(AF_INET6, host, &endpoint.v6.sin6_addr), 1);
	return endpoint;
}

static void a_mapped_address_is_taken_as_ipv4(void **state)
{
	union wireguard_endpoint mapped = v6("::ffff:127.0.0.1", 9), plain = v4("127.0.0.1", 9), other = v6("2001:db8::1", 7), endpoint;
	char text[64];
	(void)state;
	assert_true(endpoint_from(&mapped.any, &endpoint));
	endpoint_format(&endpoint, text);
	assert_string_equal(text, "127.0.0.1:9");
	assert_true(endpoint_is_loopback(&endpoint) && endpoint_equal(&endpoint, &plain));
	assert_true(endpoint_from(&plain.any, &endpoint) && endpoint_equal(&endpoint, &plain));
	assert_true(endpoint_from(&other.any, &endpoint) && endpoint_equal(&endpoint, &other));
	mapped.any.sa_family = AF_UNIX;
	assert_false(endpoint_from(&mapped.any, &endpoint));
	assert_int_equal(endpoint.any.sa_family, AF_UNSPEC);
	/* Words that are zero but for the mapping's place make no mapped address. */
	other = v6("0:0:0:1::ffff:7f00:1", 1);
	assert_true(endpoint_from(&other.any, &endpoint) && endpoint.any.sa_family == AF_INET6);
}

static void which_are_loopback_or_any(void **state)
{
	static const struct {
		const char *host;
		bool is_loopback, is_any;
	} rows[] = { { "127.0.0.1", true, false },
		     { "127.255.255.254", true, false },
		     { "126.255.255.255", false, false },
		     { "128.0.0.1", false, false },
		     { "0.0.0.0", false, true },
		     { "0.0.0.1", false, false },
		     { "::1", true, false },
		     { "::", false, true },
		     { "::2", false, false },
		     { "1::1", false, false },
		     { "0:1::1", false, false },
		     { "0:0:1::1", false, false },
		     { "0:0:0:1::1", false, false },
		     { "0:0:0:0:1::1", false, false },
		     { "::1:0:1", false, false },
		     { "::1:0", false, false },
		     { "1::", false, false } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		union wireguard_endpoint endpoint = strchr(rows[i].host, ':') == NULL ? v4(rows[i].host, 1) : v6(rows[i].host, 1);
		if (endpoint_is_loopback(&endpoint) != rows[i].is_loopback || endpoint_is_any(&endpoint) != rows[i].is_any)
			fail_msg("%s", rows[i].host);
	}
	union wireguard_endpoint none = { .any = { .sa_family = AF_UNSPEC } };
	assert_false(endpoint_is_loopback(&none) || endpoint_is_any(&none));
}

static void equal_is_address_port_and_scope(void **state)
{
	union wireguard_endpoint a = v4("10.0.0.1", 5), b = a, c = v6("fe80::1", 5), d = c;
	(void)state;
	assert_true(endpoint_equal(&a, &b) && endpoint_same_host(&a, &b));
	assert_false(endpoint_equal(&a, &c) || endpoint_same_host(&a, &c));
	endpoint_set_port(&b, 6);
	assert_true(!endpoint_equal(&a, &b) && endpoint_same_host(&a, &b));
	b = v4("10.0.0.2", 5);
	assert_false(endpoint_equal(&a, &b) || endpoint_same_host(&a, &b));
	assert_true(endpoint_equal(&c, &d) && endpoint_same_host(&c, &d));
	d.v6.sin6_scope_id = 2;
	assert_false(endpoint_equal(&c, &d));
	d = c;
	endpoint_set_port(&d, 6);
	assert_true(!endpoint_equal(&c, &d) && endpoint_same_host(&c, &d));
	d = v6("fe80::2", 5);
	assert_false(endpoint_equal(&c, &d) || endpoint_same_host(&c, &d));
	/* What is no part of an address does not count. */
	d = c;
	d.v6.sin6_flowinfo = 1;
	assert_true(endpoint_equal(&c, &d));
}

static void ports_lengths_and_texts_of_both_families(void **state)
{
	union wireguard_endpoint a = v4("192.0.2.255", 65535), b = v6("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 51820);
	char text[64];
	(void)state;
	assert_int_equal(endpoint_port(&a), 65535);
	assert_int_equal(endpoint_port(&b), 51820);
	assert_int_equal(endpoint_length(&a), sizeof(struct sockaddr_in));
	assert_int_equal(endpoint_length(&b), sizeof(struct sockaddr_in6));
	endpoint_format(&a, text);
	assert_string_equal(text, "192.0.2.255:65535");
	endpoint_format(&b, text);
	assert_string_equal(text, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:51820");
	endpoint_set_port(&a, 1);
	endpoint_set_port(&b, 2);
	assert_int_equal(ntohs(a.v4.sin_port), 1);
	assert_int_equal(ntohs(b.v6.sin6_port), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mapped_address_is_taken_as_ipv4),
		cmocka_unit_test(which_are_loopback_or_any),
		cmocka_unit_test(equal_is_address_port_and_scope),
		cmocka_unit_test(ports_lengths_and_texts_of_both_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
