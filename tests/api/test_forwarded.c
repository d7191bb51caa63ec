/* What is believed of what a proxy says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "api/forwarded.h"

static struct api_proxies proxies;
static struct api_forwarded_headers headers;
static struct api_forwarded said;

static int set_up(void **state)
{
	(void)state;
	headers = (struct api_forwarded_headers){ .x_for.count = 0 };
	return !api_proxies_add(&proxies, "192.0.2.1") || !api_proxies_add(&proxies, "10.0.0.0/8") || !api_proxies_add(&proxies, "2001:db8::/64");
}

static int tear_down(void **state)
{
	(void)state;
	api_proxies_clear(&proxies);
	return 0;
}

static const char *client_of(const char *x_for)
{
	headers.x_for.count = 0;
	api_header_lines_add(&headers.x_for, x_for);
	api_forwarded_read(&headers, &proxies, &said);
	return said.client;
}

static void only_named_proxies_are_trusted(void **state)
{
	static const struct {
		const char *address;
		bool is_trusted;
	} cases[] = { { "192.0.2.1", true },   { "192.0.2.2", false },       { "10.255.0.1", true },      { "11.0.0.1", false },
		      { "2001:db8::9", true }, { "2001:db8:0:1::9", false }, { "::ffff:192.0.2.1", true } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
		bool is_v4 = inet_pton(AF_INET, cases[i].address, &v4.sin_addr) == 1;
		if (!is_v4)
			assert_int_equal(inet_pton(AF_INET6, cases[i].address, &v6.sin6_addr), 1);
		if (api_proxies_trust(&proxies, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6) != cases[i].is_trusted)
			fail_msg("%s", cases[i].address);
	}
	struct sockaddr unknown = { .sa_family = AF_UNIX };
	assert_false(api_proxies_trust(&proxies, &unknown));
	assert_false(api_proxies_add(&proxies, "proxy.example"));
	assert_false(api_proxies_add(&proxies, "10.0.0.0/33"));
}

/* What stands left of the first untrusted hop is that hop's own word. */
static void the_client_is_the_rightmost_untrusted_hop(void **state)
{
	static const char *const cases[][2] = {
		{ "198.51.100.7", "198.51.100.7" },
		{ "203.0.113.9, 198.51.100.7", "198.51.100.7" },
		{ "198.51.100.7, 10.1.2.3", "198.51.100.7" },
		{ "203.0.113.9, 198.51.100.7 ,10.1.2.3,192.0.2.1", "198.51.100.7" },
		{ "10.1.2.3", "10.1.2.3" },
		{ "198.51.100.7:4711", "198.51.100.7" },
		{ "[2001:db8:1::7]:4711", "2001:db8:1::7" },
		{ "2001:db8:1::7", "2001:db8:1::7" },
		{ "::ffff:198.51.100.7", "198.51.100.7" },
		{ "198.51.100.7, unknown", "" },
		{ "198.51.100.7, unknown, 10.0.0.9", "10.0.0.9" },
		{ "198.51.100.7,", "" },
		{ "", "" },
		{ "198.51.100.7\" x", "" },
		{ "1.2.3.4.5", "" },
		{ "[198.51.100.7", "198.51.100.7" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(client_of(cases[i][0]), cases[i][1]);
}

static void several_lines_are_one_list(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40; i++)
		api_header_lines_add(&headers.x_for, "203.0.113.9");
	api_header_lines_add(&headers.x_for, "198.51.100.7, 10.0.0.1");
	api_header_lines_add(&headers.x_for, "192.0.2.1");
	api_forwarded_read(&headers, &proxies, &said);
	assert_string_equal(said.client, "198.51.100.7");
}

static void scheme_and_host_are_the_last_ones(void **state)
{
	(void)state;
	api_header_lines_add(&headers.x_proto, "http, https");
	api_header_lines_add(&headers.x_host, "evil.example, warren.test:8443");
	api_forwarded_read(&headers, &proxies, &said);
	assert_true(said.is_tls);
	assert_string_equal(said.host, "warren.test:8443");
	assert_string_equal(said.client, "");
}

static void forwarded_is_read_where_there_is_nothing_else(void **state)
{
	(void)state;
	api_header_lines_add(&headers.forwarded,
	                     "for=203.0.113.9;proto=http, For=\"[2001:db8:1::7]:99\";host=\"warren.test\"; proto=HTTPS;by=x, for=10.0.0.7");
	api_forwarded_read(&headers, &proxies, &said);
	assert_string_equal(said.client, "2001:db8:1::7");
	assert_string_equal(said.host, "warren.test");
	assert_true(said.is_tls);
	/* A proxy that writes X-Forwarded-For passes the client's Forwarded on. */
	assert_string_equal(client_of("198.51.100.7"), "198.51.100.7");
	assert_string_equal(said.host, "");
	assert_false(said.is_tls);
}

static void quotes_do_not_open_a_list(void **state)
{
	(void)state;
	api_header_lines_add(&headers.forwarded, "for=198.51.100.7;host=\"a, for=10.0.0.1;proto=https\"");
	api_forwarded_read(&headers, &proxies, &said);
	assert_string_equal(said.client, "198.51.100.7");
	assert_false(said.is_tls);
	headers.forwarded.count = 0;
	api_header_lines_add(&headers.forwarded, "for=\"198.51.100.7");
	api_forwarded_read(&headers, &proxies, &said);
	assert_string_equal(said.client, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(only_named_proxies_are_trusted),    TEST(the_client_is_the_rightmost_untrusted_hop),     TEST(several_lines_are_one_list),
		TEST(scheme_and_host_are_the_last_ones), TEST(forwarded_is_read_where_there_is_nothing_else), TEST(quotes_do_not_open_a_list),
	};
	return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
