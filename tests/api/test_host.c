/* A2: which Host and Origin are accepted, and how a listening address is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

#include "api/host.h"
#include "api/listening_socket.h"

static void a2_hosts_are_ours_or_not(void **state)
{
	(void)state;
	char allowed[] = "warren.example", *names[] = { allowed };
	const struct api_host_rules rules = { .names = names, .name_count = 1 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 }, mapped = { .sin6_family = AF_INET6 };
	inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr);
	inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
	inet_pton(AF_INET6, "::ffff:192.0.2.7", &mapped.sin6_addr);
	const struct sockaddr *at4 = (struct sockaddr *)&v4, *at6 = (struct sockaddr *)&v6, *at_mapped = (struct sockaddr *)&mapped;
	static const char *const ours[] = { "localhost", "LOCALHOST:1", "127.0.0.1",   "127.0.0.1:8470", "127.9.9.9",
		                            "[::1]",     "[::1]:8470",  "192.0.2.7:1", "warren.example", "Warren.Example:443" };
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!api_host_is_ours(&rules, ours[i], at4) || !api_host_is_ours(&rules, ours[i], at_mapped))
			fail_msg("%s", ours[i]);
	static const char *const foreign[] = { "",
		                               ":",
		                               "evil.example",
		                               "localhost.evil.example",
		                               "127.0.0.1.evil.example",
		                               "192.0.2.8",
		                               "[2001:db8::7]",
		                               "localhost:x",
		                               "localhost:123456",
		                               "[::1",
		                               "::1",
		                               "[::1]x",
		                               "0.0.0.0",
		                               "2130706433",
		                               "localhost@evil" };
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (api_host_is_ours(&rules, foreign[i], at4))
			fail_msg("%s", foreign[i]);
	assert_true(api_host_is_ours(&rules, "[2001:db8::7]:8470", at6));
	assert_true(api_host_is_ours(&rules, "anything", NULL));
}

static const struct api_host_rules none;

static void a2_origins_are_the_pages_own(void **state)
{
	(void)state;
	assert_true(api_host_origin_is_ours(&none, NULL, "localhost:1", false));
	assert_true(api_host_origin_is_ours(&none, "http://localhost:1", "localhost:1", false));
	static const char *const foreign[] = {
		"",           "null", "https://localhost:2", "http://localhost", "http://localhost:2", "http://localhost:1/", "http://evil.example",
		"localhost:1"
	};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_false(api_host_origin_is_ours(&none, foreign[i], "localhost:1", false));
	assert_true(api_host_origin_is_ours(&none, "https://localhost:1", "localhost:1", true));
	assert_false(api_host_origin_is_ours(&none, "http://localhost:1", "localhost:1", true));
	/* Behind a proxy that speaks TLS. */
	assert_true(api_host_origin_is_ours(&none, "https://localhost:1", "localhost:1", false));
	assert_true(api_host_origin_is_ours(&none, "https://warren.test", "warren.test:443", false));
	assert_false(api_host_origin_is_ours(&none, "https://warren.test", "warren.test:80", false));
	char *origins[] = { (char[]){ "https://warren.test:8443" } };
	const struct api_host_rules rules = { .origins = origins, .origin_count = 1 };
	assert_true(api_host_origin_is_ours(&rules, "https://warren.test:8443", "localhost:1", false));
	assert_false(api_host_origin_is_ours(&rules, "https://warren.test", "localhost:1", false));
}

static void addresses_are_parsed(void **state)
{
	(void)state;
	struct api_address address;
	char host[256], written[64];
	static const char *const good[][2] = { { "127.0.0.1:8470", "127.0.0.1:8470" },
		                               { "[::1]:0", "[::1]:0" },
		                               { "localhost:7", "127.0.0.1:7" },
		                               { "0.0.0.0:65535", "0.0.0.0:65535" } };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(api_listening_socket_parse(good[i][0], &address, host));
		api_listening_socket_format(&address, written);
		assert_string_equal(written, good[i][1]);
		assert_int_equal(api_listening_socket_is_loopback(&address), i != 3);
	}
	static const char *const bad[] = {
		"",       ":",     "127.0.0.1", "127.0.0.1:",      ":80", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
		"::1:80", "[::1]", "[]:1",      "127.0.0.1:000080"
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (api_listening_socket_parse(bad[i], &address, host))
			fail_msg("%s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a2_hosts_are_ours_or_not),
		cmocka_unit_test(a2_origins_are_the_pages_own),
		cmocka_unit_test(addresses_are_parsed),
	};
	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
