#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "ipc/network.h"

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

/* RFC 1122, 3.2.1.3 and RFC 4291, 2.4: this network, loopback, multicast and what is reserved above are no host's own. */
static void which_addresses_a_host_can_have(void **state)
{
	static const char *const hosts[] = { "1.0.0.0", "10.0.0.1", "126.255.255.255", "128.0.0.0", "223.255.255.255", "fd00::1", "::2", "fe80::1" };
	static const char *const others[] = { "0.0.0.0",         "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "240.0.0.1",
		                              "255.255.255.255", "::",      "::1",       "ff02::1" };
	struct wireguard_network network;
	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (!network_parse_address(hosts[i], &network) || !network_is_host(&network))
			fail_msg("%s is a host's", hosts[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!network_parse_address(others[i], &network) || network_is_host(&network))
			fail_msg("%s is no host's", others[i]);
}

static void an_address_has_no_prefix(void **state)
{
	struct wireguard_network network;
	char text[NETWORK_TEXT_SIZE];
	(void)state;
	assert_false(network_parse_address("10.0.0.1/32", &network));
	assert_true(network_parse_address("FFFF:ffff:ffff:ffff:ffff:ffff:255.255.255.255", &network));
	network_format_address(&network, text);
	assert_string_equal(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	network.prefix = 127;
	network_format(&network, text);
	assert_string_equal(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127");
	/* Longer than any address is. */
	assert_false(network_parse("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1", false, &network));
}

static void a_mapped_address_becomes_its_own(void **state)
{
	static const char *const rows[][2] = { { "::ffff:10.99.0.1", "10.99.0.1" },
		                               { "::fffe:10.99.0.1", "::fffe:a63:1" },
		                               { "10.0.0.1", "10.0.0.1" } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wireguard_network network, expected;
		assert_true(network_parse_address(rows[i][0], &network) && network_parse_address(rows[i][1], &expected));
		network_unmap(&network);
		assert_memory_equal(&network, &expected, sizeof(network));
	}
}

static void a_network_covers_its_addresses(void **state)
{
	static const struct {
		const char *network, *address;
		bool is_in;
	} rows[] = { { "10.1.2.0/23", "10.1.3.255", true },
		     { "10.1.2.0/23", "10.1.4.0", false },
		     { "0.0.0.0/0", "192.0.2.1", true },
		     { "192.0.2.1", "192.0.2.1", true },
		     { "192.0.2.1", "192.0.2.0", false },
		     { "0.0.0.0/0", "::1", false },
		     { "2001:db8::/33", "2001:db8:7fff::1", true },
		     { "2001:db8::/33", "2001:db8:8000::1", false },
		     { "::1", "::1", true } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wireguard_network network, address;
		assert_true(network_parse(rows[i].network, false, &network) && network_parse_address(rows[i].address, &address));
		if (network_covers(&network, address.family, address.bytes) != rows[i].is_in)
			fail_msg("%s and %s", rows[i].network, rows[i].address);
	}
}

static void numbers_have_one_form(void **state)
{
	static const char *const wrong[] = { "", "00", "01", "+1", "-1", " 1", "1 ", "1a", "123456", "65536", "99999999999999999999" };
	unsigned long number;
	(void)state;
	assert_true(decimal_parse("0", 65535, &number) && number == 0);
	assert_true(decimal_parse("65535", 65535, &number) && number == 65535);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (decimal_parse(wrong[i], 65535, &number))
			fail_msg("%s", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(which_addresses_a_host_can_have),
		cmocka_unit_test(an_address_has_no_prefix),
		cmocka_unit_test(a_mapped_address_becomes_its_own),
		cmocka_unit_test(a_network_covers_its_addresses),
		cmocka_unit_test(numbers_have_one_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
