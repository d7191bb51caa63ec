/* Specs: peers by their keys, routes, and what of a change needs another stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/spec.h"

static struct wireguard_key key(unsigned number)
{
	struct wireguard_key made = { .bytes = { 7, 7, 7 } };
	memcpy(&made.bytes[20], &number, sizeof(number));
	return made;
}

static void fill(struct spec *spec, unsigned count)
{
	spec_init(spec);
	spec->peers = calloc(count, sizeof(*spec->peers));
	spec->peer_count = count;
	/* In no order. */
	for (unsigned i = 0; i < count; i++)
		spec->peers[i].public_key = key(i * 2654435761u % 65536);
	assert_true(spec_index_peers(spec));
}

static void check(const struct spec *spec)
{
	struct wireguard_key none = key(65537);
	for (size_t i = 0; i < spec->peer_count; i++)
		assert_ptr_equal(spec_peer_find(spec, &spec->peers[i].public_key), &spec->peers[i]);
	assert_null(spec_peer_find(spec, &none));
}

static void each_peer_is_found(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 8, 9, 10, 100, SPEC_PEER_MAX };
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct spec spec, copy;
		fill(&spec, counts[i]);
		check(&spec);
		spec.has_private_key = true;
		assert_true(spec_copy(&copy, &spec));
		spec_clear(&spec);
		check(&copy);
		spec_clear(&copy);
	}
}

static void an_index_is_made_anew(void **state)
{
	struct spec spec;
	(void)state;
	fill(&spec, 40);
	struct wireguard_key gone = spec.peers[39].public_key;
	spec.peers[0].public_key = key(70000);
	spec.peer_count = 39;
	assert_true(spec_index_peers(&spec));
	check(&spec);
	assert_null(spec_peer_find(&spec, &gone));
	spec_clear(&spec);
}

static void the_first_of_equal_ones_is_found(void **state)
{
	struct spec spec;
	(void)state;
	fill(&spec, 40);
	spec.peers[30].public_key = spec.peers[3].public_key;
	assert_true(spec_index_peers(&spec));
	assert_ptr_equal(spec_peer_find(&spec, &spec.peers[30].public_key), &spec.peers[3]);
	assert_null(spec_peer_find(NULL, &spec.peers[3].public_key));
	spec_clear(&spec);
}

static bool is_covered(const char *network, const char *address)
{
	struct wireguard_network at, allowed;
	struct spec_peer peers[2] = { { .allowed_ip_count = 0 }, { .allowed_ips = &allowed, .allowed_ip_count = 1 } };
	struct spec spec = { .peers = peers, .peer_count = 2 };
	assert_true(network_parse(network, false, &allowed) && network_parse_address(address, &at));
	return spec_route(&spec, at.family, at.bytes) == &peers[1];
}

/* On both sides of a network's ends, and of the ends of its bytes. */
static void routes_end_where_networks_end(void **state)
{
	static const struct {
		const char *network, *inside[2], *outside[2];
	} rows[] = {
		{ "10.1.2.3", { "10.1.2.3", "10.1.2.3" }, { "10.1.2.2", "10.1.2.4" } },
		{ "10.1.2.0/24", { "10.1.2.0", "10.1.2.255" }, { "10.1.1.255", "10.1.3.0" } },
		{ "10.1.32.0/19", { "10.1.32.0", "10.1.63.255" }, { "10.1.31.255", "10.1.64.0" } },
		{ "128.0.0.0/1", { "128.0.0.0", "255.255.255.255" }, { "127.255.255.255", "::" } },
		{ "10.0.0.128/31", { "10.0.0.128", "10.0.0.129" }, { "10.0.0.127", "10.0.0.130" } },
		{ "fd00::/8", { "fd00::", "fdff::1" }, { "fc00::", "fe00::" } },
		{ "2001:db8::/33", { "2001:db8::", "2001:db8:7fff::" }, { "2001:db8:8000::", "2001:db7:ffff::" } },
		{ "fd00::2", { "fd00::2", "fd00::2" }, { "fd00::3", "fd00::1" } },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t j = 0; j < 2; j++)
			if (!is_covered(rows[i].network, rows[i].inside[j]) || is_covered(rows[i].network, rows[i].outside[j]))
				fail_msg("%s: %s, %s", rows[i].network, rows[i].inside[j], rows[i].outside[j]);
	assert_true(is_covered("0.0.0.0/0", "1.2.3.4") && is_covered("::/0", "::1"));
	assert_false(is_covered("0.0.0.0/0", "::1") || is_covered("::/0", "1.2.3.4"));
}

static void a_stack_is_kept_while_mtu_and_addresses_stay(void **state)
{
	struct spec spec, other;
	(void)state;
	fill(&spec, 1);
	spec.address_count = 2;
	assert_true(network_parse("10.0.0.1", true, &spec.addresses[0]) && network_parse("fd00::1", true, &spec.addresses[1]));
	other = spec;
	other.peer_count = 0;
	assert_false(spec_needs_restart(&spec, &other));
	other.mtu++;
	assert_true(spec_needs_restart(&spec, &other));
	other = spec;
	other.address_count = 1;
	assert_true(spec_needs_restart(&spec, &other) && spec_needs_restart(&other, &spec));
	other = spec;
	other.addresses[1].bytes[15] = 2;
	assert_true(spec_needs_restart(&spec, &other));
	spec_clear(&spec);
}

static uint16_t inside(const char *endpoint, const char *outer_address, uint16_t mtu, uint16_t outer_mtu, uint16_t padding)
{
	struct obfuscation disguise = { .padding[OBFUSCATION_DATA] = padding };
	struct spec_peer peer = { .endpoint = { .kind = endpoint == NULL ? SPEC_PLACE_NONE : SPEC_PLACE_INET, .host = (char *)(uintptr_t)endpoint } };
	struct spec outer = { .address_count = 1 };
	struct spec spec = { .mtu = mtu, .peers = &peer, .peer_count = 1, .obfuscation = padding == 0 ? NULL : &disguise };
	assert_true(network_parse(outer_address, true, &outer.addresses[0]));
	return spec_mtu_inside(&spec, &outer, outer_mtu);
}

/* IP, UDP, and the header and tag of data; a name may have an address of either family. */
static void packets_inside_are_as_large_as_fits(void **state)
{
	(void)state;
	assert_int_equal(inside("192.0.2.1", "10.0.0.1", 1420, 1420, 0), 1360);
	assert_int_equal(inside("192.0.2.1", "fd00::1", 1420, 1420, 0), 1360);
	assert_int_equal(inside("2001:db8::1", "fd00::1", 1420, 1420, 0), 1340);
	assert_int_equal(inside("vpn.example", "fd00::1", 1420, 1420, 0), 1340);
	assert_int_equal(inside("vpn.example", "10.0.0.1", 1420, 1420, 0), 1360);
	assert_int_equal(inside(NULL, "fd00::1", 1420, 1420, 0), 1340);
	assert_int_equal(inside("192.0.2.1", "10.0.0.1", 1420, 1420, 16), 1344);
	assert_int_equal(inside("192.0.2.1", "10.0.0.1", 1280, 1420, 0), 1280);
	assert_int_equal(inside("192.0.2.1", "10.0.0.1", 1420, 576, 0), 576);
}

static void places_are_equal_by_kind_host_and_port(void **state)
{
	struct spec_place none = { .kind = SPEC_PLACE_NONE }, a, b;
	(void)state;
	assert_true(spec_place_equal(&none, &none));
	assert_true(place_parse("peer.example:1", &a) && place_parse("peer.example:1", &b));
	assert_true(spec_place_equal(&a, &b));
	assert_false(spec_place_equal(&a, &none) || spec_place_equal(&none, &a));
	b.port = 2;
	assert_false(spec_place_equal(&a, &b));
	place_clear(&b);
	assert_true(place_parse("peer.exampl:1", &b));
	assert_false(spec_place_equal(&a, &b));
	place_clear(&a);
	place_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_peer_is_found),
		cmocka_unit_test(an_index_is_made_anew),
		cmocka_unit_test(the_first_of_equal_ones_is_found),
		cmocka_unit_test(routes_end_where_networks_end),
		cmocka_unit_test(packets_inside_are_as_large_as_fits),
		cmocka_unit_test(a_stack_is_kept_while_mtu_and_addresses_stay),
		cmocka_unit_test(places_are_equal_by_kind_host_and_port),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
