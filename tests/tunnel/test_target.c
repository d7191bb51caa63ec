/* Hosts and ports as clients write them, the classes of addresses, and a tunnel's policy for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/http/target.h"

static struct netstack_endpoint endpoint(const char *text)
{
	struct netstack_endpoint address = { .family = strchr(text, ':') == NULL ? AF_INET : AF_INET6 };
	assert_int_equal(inet_pton(address.family, text, address.bytes), 1);
	return address;
}

static int parse(struct target *target, const char *text)
{
	/* An exact copy, so that a sanitizer sees a read behind the end. */
	size_t length = strlen(text);
	char *copy = malloc(length + 1);
	memcpy(copy, text, length);
	char *exact = realloc(copy, length > 0 ? length : 1);
	int result = target_parse(target, exact, length, 80);
	free(exact);
	return result;
}

static void reads_names(void **state)
{
	(void)state;
	static const struct {
		const char *text, *host;
	} names[] = {
		{ "example.com", "example.com" },
		{ "EXAMPLE.Com.", "example.com." },
		{ "a", "a" },
		{ "_dmarc.x-y.z9", "_dmarc.x-y.z9" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "1.2.3.4.com", "1.2.3.4.com" },
		{ "0x7f.example", "0x7f.example" },
		{ "123abc", "123abc" },
		{ "0xyz", "0xyz" },
		{ "localhost", "localhost" },
	};
	struct target target;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(parse(&target, names[i].text), 0);
		assert_string_equal(target.host, names[i].host);
		assert_true(target_is_name(&target));
		assert_int_equal(target.port, 80);
		assert_int_equal(target.address.port, 80);
	}
}

static void reads_literals(void **state)
{
	(void)state;
	struct target target;
	assert_int_equal(parse(&target, "192.0.2.1"), 0);
	assert_int_equal(target.address.family, AF_INET);
	assert_memory_equal(target.address.bytes, "\xc0\x00\x02\x01", 4);
	assert_int_equal(parse(&target, "[2001:DB8::1]"), 0);
	assert_int_equal(target.address.family, AF_INET6);
	assert_string_equal(target.host, "2001:db8::1");
	assert_int_equal(parse(&target, "2001:db8::1"), 0);
	/* A mapped address is treated as the IPv4 address. */
	assert_int_equal(parse(&target, "[::ffff:127.0.0.1]"), 0);
	assert_string_equal(target.host, "127.0.0.1");
	assert_int_equal(target.address.family, AF_INET);
	assert_int_equal(target_class(&target.address), TARGET_LOOPBACK);
	assert_int_equal(parse(&target, "::ffff:c633:6407"), 0);
	assert_string_equal(target.host, "198.51.100.7");
	assert_int_equal(target.port, 80);
	struct netstack_endpoint mapped = endpoint("::ffff:198.51.100.7");
	target_from_address(&target, &mapped);
	assert_string_equal(target.host, "198.51.100.7");
	assert_int_equal(target.address.family, AF_INET);
	target_from_address(&target, &(struct netstack_endpoint){ .family = AF_INET, .bytes = { 10, 9, 0, 5 }, .port = 5432 });
	assert_string_equal(target.host, "10.9.0.5");
	assert_int_equal(target.port, 5432);
	target_from_address(&target, &(struct netstack_endpoint){ .family = AF_UNSPEC });
	assert_string_equal(target.host, "");
}

/* X4, X6, X11: two parsers must not see two hosts. */
static const char *const doubtful_hosts[] = {
	"",
	".",
	"..",
	"a..b",
	".a",
	"a b",
	"a{b",
	"a`b",
	"a\tb",
	"a\rb",
	"a\nb",
	"a%00b",
	"a%0d%0ab",
	"%6cocalhost",
	"a/b",
	"a@b",
	"a#b",
	"a?b",
	"a\\b",
	"a:b",
	"\xc3\xa4.de",
	"127.1",
	"2130706433",
	"0x7f.1",
	"0x7f000001",
	"0177.0.0.1",
	"127.0.0.01",
	"1.2.3",
	"1.2.3.4.5",
	"256.1.1.1",
	"127.0.0.1.",
	"0x",
	"foo.0x1f",
	"foo.123",
	"[127.0.0.1]",
	"[example.com]",
	"[::1",
	"::1]",
	"[",
	"[]",
	"[fe80::1%eth0]",
	"fe80::1%1",
	"[v1.x]",
	"[::1]]",
	"1::2::3",
	":::",
	"[::127.1]",
	"a,b",
	"a;b",
	"(a)",
};

static void X4_X6_refuses_doubtful_hosts(void **state)
{
	(void)state;
	struct target target;
	for (size_t i = 0; i < sizeof(doubtful_hosts) / sizeof(doubtful_hosts[0]); i++)
		if (parse(&target, doubtful_hosts[i]) == 0)
			fail_msg("taken: %s", doubtful_hosts[i]);
	assert_int_equal(target_parse(&target, "a\0b", 3, 80), -1);
	assert_int_equal(target_parse(&target, "127.0.0.1\0", 10, 80), -1);
	assert_string_equal(target.host, "");
}

static void X11_bounds_of_names(void **state)
{
	(void)state;
	char name[300];
	struct target target;
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(target_parse(&target, name, 253, 1), 0);
	assert_int_equal(target_parse(&target, name, 254, 1), -1);
	name[253] = '.';
	assert_int_equal(target_parse(&target, name, 254, 1), 0);
	assert_int_equal(target_parse(&target, name, 255, 1), -1);
	memset(name, 'a', sizeof(name));
	assert_int_equal(target_parse(&target, name, 63, 1), 0);
	assert_int_equal(target_parse(&target, name, 64, 1), -1);
}

static void X5_authorities(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint16_t given;
		int port;
	} cases[] = {
		{ "a", 80, 80 },        { "a:", 80, 80 },        { "a:1", 80, 1 },        { "a:65535", 0, 65535 },
		{ "a:00080", 0, 80 },   { "[::1]", 80, 80 },     { "[::1]:443", 0, 443 }, { "a", 0, -1 },
		{ "a:", 0, -1 },        { "a:0", 80, -1 },       { "a:65536", 80, -1 },   { "a:99999", 80, -1 },
		{ "a:000080", 80, 80 }, { "a:0000000", 80, -1 }, { "a:0065536", 80, -1 }, { "a:4294967376", 80, -1 },
		{ "a:+1", 80, -1 },     { "a:-1", 80, -1 },      { "a:8a", 80, -1 },      { "a: 80", 80, -1 },
		{ "a:80 ", 80, -1 },    { "", 80, -1 },          { ":80", 80, -1 },       { "u@a:80", 80, -1 },
		{ "u:p@a:80", 80, -1 }, { "::1", 80, -1 },       { "[::1]80", 80, -1 },   { "[::1", 80, -1 },
		{ "[]:80", 80, -1 },    { "a:80:80", 80, -1 },   { "a:0x50", 80, -1 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target target;
		int result = target_parse_authority(&target, cases[i].text, strlen(cases[i].text), cases[i].given);
		if (result != (cases[i].port < 0 ? -1 : 0) || (result == 0 && target.port != cases[i].port))
			fail_msg("%s", cases[i].text);
	}
}

static const struct {
	const char *address;
	enum target_class class;
} classes[] = {
	{ "0.0.0.0", TARGET_UNSPECIFIED },
	{ "0.255.255.255", TARGET_UNSPECIFIED },
	{ "1.0.0.0", TARGET_PUBLIC },
	{ "9.255.255.255", TARGET_PUBLIC },
	{ "10.0.0.0", TARGET_PRIVATE },
	{ "10.255.255.255", TARGET_PRIVATE },
	{ "11.0.0.0", TARGET_PUBLIC },
	{ "100.63.255.255", TARGET_PUBLIC },
	{ "100.64.0.0", TARGET_PRIVATE },
	{ "100.127.255.255", TARGET_PRIVATE },
	{ "100.128.0.0", TARGET_PUBLIC },
	{ "126.255.255.255", TARGET_PUBLIC },
	{ "127.0.0.0", TARGET_LOOPBACK },
	{ "127.255.255.255", TARGET_LOOPBACK },
	{ "128.0.0.0", TARGET_PUBLIC },
	{ "169.253.255.255", TARGET_PUBLIC },
	{ "169.254.169.254", TARGET_LINK_LOCAL },
	{ "169.255.0.0", TARGET_PUBLIC },
	{ "172.15.255.255", TARGET_PUBLIC },
	{ "172.16.0.0", TARGET_PRIVATE },
	{ "172.31.255.255", TARGET_PRIVATE },
	{ "172.32.0.0", TARGET_PUBLIC },
	{ "192.167.255.255", TARGET_PUBLIC },
	{ "192.168.0.0", TARGET_PRIVATE },
	{ "192.169.0.0", TARGET_PUBLIC },
	{ "223.255.255.255", TARGET_PUBLIC },
	{ "224.0.0.0", TARGET_MULTICAST },
	{ "239.255.255.255", TARGET_MULTICAST },
	{ "240.0.0.0", TARGET_PRIVATE },
	{ "255.255.255.254", TARGET_PRIVATE },
	{ "255.255.255.255", TARGET_MULTICAST },
	{ "8.8.8.8", TARGET_PUBLIC },
	{ "198.51.100.7", TARGET_PUBLIC },
	{ "::", TARGET_UNSPECIFIED },
	{ "::1", TARGET_LOOPBACK },
	{ "::2", TARGET_UNSPECIFIED },
	{ "fe80::", TARGET_LINK_LOCAL },
	{ "febf:ffff::", TARGET_LINK_LOCAL },
	{ "fec0::1", TARGET_PRIVATE },
	{ "fc00::", TARGET_PRIVATE },
	{ "fdff::", TARGET_PRIVATE },
	{ "fbff::", TARGET_PUBLIC },
	{ "fe7f::", TARGET_PUBLIC },
	{ "ff00::", TARGET_MULTICAST },
	{ "ff02::1", TARGET_MULTICAST },
	{ "2001:db8::1", TARGET_PUBLIC },
	{ "2606:4700::1", TARGET_PUBLIC },
	{ "::ffff:127.0.0.1", TARGET_LOOPBACK },
	{ "::ffff:10.0.0.1", TARGET_UNROUTABLE },
	{ "::ffff:8.8.8.8", TARGET_UNROUTABLE },
	{ "::ffff:169.254.169.254", TARGET_LINK_LOCAL },
	{ "::127.0.0.1", TARGET_LOOPBACK },
	{ "::8.8.8.8", TARGET_UNROUTABLE },
	{ "::ffff:0:127.0.0.1", TARGET_LOOPBACK },
	{ "::ffff:0:8.8.8.8", TARGET_UNROUTABLE },
	{ "64:ff9b::8.8.8.8", TARGET_PUBLIC },
	{ "64:ff9b::10.0.0.1", TARGET_PRIVATE },
	{ "64:ff9b::127.0.0.1", TARGET_LOOPBACK },
	{ "64:ff9b::0.0.0.0", TARGET_UNSPECIFIED },
	{ "64:ff9b:1::8.8.8.8", TARGET_PRIVATE },
	{ "64:ff9b:1::127.0.0.1", TARGET_LOOPBACK },
	{ "64:ff9b:2::8.8.8.8", TARGET_PUBLIC },
	{ "2002:7f00:1::", TARGET_LOOPBACK },
	{ "2002:a9fe:a9fe::1", TARGET_LINK_LOCAL },
	{ "2002:c0a8:1::1", TARGET_PRIVATE },
	{ "2002:808:808::1", TARGET_PUBLIC },
	{ "2001:0:808:808:0:0:80ff:fffe", TARGET_LOOPBACK },
	{ "2001:0:808:808:0:0:f7f7:f7f7", TARGET_PUBLIC },
};

static void X6_classes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		struct netstack_endpoint address = endpoint(classes[i].address);
		if (target_class(&address) != classes[i].class)
			fail_msg("%s is %d", classes[i].address, target_class(&address));
	}
	assert_int_equal(target_class(&(struct netstack_endpoint){ .family = AF_UNSPEC }), TARGET_UNROUTABLE);
}

static enum target_verdict judge(const struct spec *spec, const char *text)
{
	struct netstack_endpoint address = endpoint(text);
	return target_judge(spec, spec, &address);
}

static void X6_policy(void **state)
{
	(void)state;
	struct wireguard_network networks[] = {
		{ .family = AF_INET, .prefix = 0 },
		{ .family = AF_INET6, .prefix = 0 },
		{ .family = AF_INET, .prefix = 23, .bytes = { 10, 2, 2 } },
		{ .family = AF_INET6, .prefix = 64, .bytes = { 0xfd } },
		{ .family = AF_INET, .prefix = 8, .bytes = { 127 } },
	};
	struct spec_peer peers[] = { { .allowed_ips = networks, .allowed_ip_count = 2 }, { .allowed_ips = networks + 2, .allowed_ip_count = 3 } };
	struct spec spec = { .peers = peers, .peer_count = 1, .allow_private_targets = true };
	static const char *const never[] = { "127.0.0.1",        "::1",
		                             "0.0.0.0",          "::",
		                             "::ffff:127.0.0.1", "::ffff:8.8.8.8",
		                             "fe80::1",          "169.254.169.254",
		                             "224.0.0.1",        "ff02::1",
		                             "255.255.255.255",  "64:ff9b::127.0.0.1",
		                             "2002:7f00:1::" };
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_int_equal(judge(&spec, never[i]), TARGET_FORBIDDEN);
	assert_int_equal(judge(&spec, "10.2.2.1"), TARGET_ALLOWED);
	spec.allow_private_targets = false;
	assert_int_equal(judge(&spec, "8.8.8.8"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "2001:db8::1"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "10.2.2.1"), TARGET_FORBIDDEN_PRIVATE);
	spec.peer_count = 2;
	assert_int_equal(judge(&spec, "10.2.2.1"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "10.2.3.255"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "10.2.4.0"), TARGET_FORBIDDEN_PRIVATE);
	assert_int_equal(judge(&spec, "fd00::1"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "fd00:0:0:1::1"), TARGET_FORBIDDEN_PRIVATE);
	assert_int_equal(judge(&spec, "127.0.0.1"), TARGET_FORBIDDEN);
}

/* What covers everything says so in one entry or in many, and with a hole for a network of the host's too: only an entry within the private
 * block itself means that network. */
static void X6_a_wide_entry_names_no_private_network(void **state)
{
	(void)state;
	struct wireguard_network networks[] = {
		{ .family = AF_INET, .prefix = 1 },
		{ .family = AF_INET, .prefix = 1, .bytes = { 128 } },
		{ .family = AF_INET6, .prefix = 1 },
		{ .family = AF_INET6, .prefix = 1, .bytes = { 0x80 } },
		{ .family = AF_INET, .prefix = 7, .bytes = { 10 } },
		{ .family = AF_INET6, .prefix = 6, .bytes = { 0xfc } },
		{ .family = AF_INET, .prefix = 8, .bytes = { 10 } },
		{ .family = AF_INET6, .prefix = 7, .bytes = { 0xfc } },
	};
	struct spec_peer peer = { .allowed_ips = networks, .allowed_ip_count = 6 };
	struct spec spec = { .peers = &peer, .peer_count = 1 };
	static const char *const targets[] = { "10.2.2.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "fd00::1", "64:ff9b::10.0.0.1" };
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		assert_int_equal(judge(&spec, targets[i]), TARGET_FORBIDDEN_PRIVATE);
	assert_int_equal(judge(&spec, "8.8.8.8"), TARGET_ALLOWED);
	peer.allowed_ip_count = 8;
	assert_int_equal(judge(&spec, "10.2.2.1"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "fd00::1"), TARGET_ALLOWED);
	assert_int_equal(judge(&spec, "192.168.1.1"), TARGET_FORBIDDEN_PRIVATE);
}

static void X6_localhost(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		enum target_verdict verdict;
	} cases[] = {
		{ "localhost", TARGET_FORBIDDEN },
		{ "LOCALHOST.", TARGET_FORBIDDEN },
		{ "a.b.localhost", TARGET_FORBIDDEN },
		{ "a.localhost.", TARGET_FORBIDDEN },
		{ "notlocalhost", TARGET_ALLOWED },
		{ "localhost.example", TARGET_ALLOWED },
		{ "ocalhost", TARGET_ALLOWED },
		{ "127.0.0.1", TARGET_FORBIDDEN },
		{ "[::1]", TARGET_FORBIDDEN },
		{ "192.0.2.1", TARGET_ALLOWED },
		{ "x", TARGET_ALLOWED },
	};
	struct spec spec = { .allow_private_targets = true };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct target target;
		assert_int_equal(parse(&target, cases[i].host), 0);
		assert_int_equal(target_judge_asked(&spec, &spec, &target), cases[i].verdict);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_names),         cmocka_unit_test(reads_literals), cmocka_unit_test(X4_X6_refuses_doubtful_hosts),
		cmocka_unit_test(X11_bounds_of_names), cmocka_unit_test(X5_authorities), cmocka_unit_test(X6_classes),
		cmocka_unit_test(X6_policy),           cmocka_unit_test(X6_localhost),   cmocka_unit_test(X6_a_wide_entry_names_no_private_network),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
