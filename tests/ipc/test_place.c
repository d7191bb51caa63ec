#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/endpoint.h"
#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"

static void keys_have_one_form(void **state)
{
	struct wireguard_key key;
	char text[KEY_TEXT_SIZE];
	(void)state;
	assert_true(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_true(key_is_zero(&key));
	/* The same bytes with bits set that mean nothing. */
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &key));
	assert_false(key_parse("AAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_false(key_parse("-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &key));
	assert_false(key_parse("", &key));
	for (int i = 0; i < 100; i++) {
		struct wireguard_key random, again;
		randombytes_buf(&random, sizeof(random));
		key_format(&random, text);
		assert_true(key_parse(text, &again));
		assert_memory_equal(&random, &again, sizeof(random));
	}
}

static void check_network(const char *text, bool keeps, const char *expected)
{
	struct wireguard_network network;
	char formatted[NETWORK_TEXT_SIZE] = "";
	bool is_read = network_parse(text, keeps, &network);
	if (is_read)
		network_format(&network, formatted);
	bool is_right = expected == NULL ? !is_read : is_read && strcmp(formatted, expected) == 0;
	if (!is_right)
		fail_msg("%s: «%s»", text, formatted);
}

static void networks(void **state)
{
	(void)state;
	check_network("10.0.0.1", false, "10.0.0.1/32");
	check_network("10.1.2.3/8", false, "10.0.0.0/8");
	check_network("10.1.2.3/8", true, "10.1.2.3/8");
	check_network("0.0.0.0/0", false, "0.0.0.0/0");
	check_network("FD00::2", false, "fd00::2/128");
	check_network("2001:db8:ffff::/33", false, "2001:db8:8000::/33");
	check_network("::/0", false, "::/0");
	static const char *const wrong[] = { "",          "/",          "10.0.0.1/",  "10.0.0.1/33",  "10.0.0.1/-1",  "10.0.0.1/08",
		                             "10.0.0/8",  "10.0.0.256", "::/129",     "fd00::1%eth0", "10.0.0.1/8/9", "10.0.0.1 ",
		                             " 10.0.0.1", "example",    "0x0a000001", "10.0.0.1/8x" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_network(wrong[i], false, NULL);
}

static void check_place(const char *text, const char *expected)
{
	struct spec_place place;
	bool is_read = place_parse(text, &place);
	char *formatted = is_read ? place_format(&place) : NULL;
	bool is_right = expected == NULL ? !is_read : formatted != NULL && strcmp(formatted, expected) == 0;
	if (!is_right)
		fail_msg("%s: «%s»", text, formatted == NULL ? "refused" : formatted);
	free(formatted);
	place_clear(&place);
}

static void places(void **state)
{
	(void)state;
	check_place("127.0.0.1:80", "127.0.0.1:80");
	check_place("[::1]:0", "[::1]:0");
	check_place("[2001:DB8::0:1]:65535", "[2001:db8::1]:65535");
	check_place("[::ffff:1.2.3.4]:5", "1.2.3.4:5");
	check_place("vpn.example:51820", "vpn.example:51820");
	check_place("a_b.example.:1", "a_b.example.:1");
	check_place("unix:/run/x.sock", "unix:/run/x.sock");
	static const char *const wrong[] = {
		"",      ":",     "a",           "a:",      ":1",         "a:65536",     "a:-1",        "a:+1",       "a:01", "a: 1", "::1:80",
		"[::1]", "[a]:1", "[1.2.3.4]:1", "1.2.3:4", "1.2.3.4.:5", "300.1.1.1:1", "a..b:1",      ".a:1",       "-a:1", "a-:1", "a b:1",
		"a/b:1", "unix:", "unix:x",      "unix:/",  "unix:/a/",   "unix:/a\nb",  "user@host:1", "[::1%lo]:1", "a:1:2"
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_place(wrong[i], NULL);
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + 64, ".b:1");
	check_place(longest, NULL);
	memset(longest, 'a', 63);
	check_place(longest + 1, longest + 1);
}

static void addresses(void **state)
{
	struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	union wireguard_endpoint endpoint;
	char text[64];
	(void)state;
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	mapped.sin6_addr.s6_addr[12] = 127;
	mapped.sin6_addr.s6_addr[15] = 1;
	assert_true(endpoint_from((struct sockaddr *)&mapped, &endpoint));
	endpoint_format(&endpoint, text);
	assert_string_equal(text, "127.0.0.1:9");
	assert_true(endpoint_is_loopback(&endpoint));
	mapped.sin6_family = AF_UNIX;
	assert_false(endpoint_from((struct sockaddr *)&mapped, &endpoint));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_one_form),
		cmocka_unit_test(networks),
		cmocka_unit_test(places),
		cmocka_unit_test(addresses),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
