/* Allowed IPs (W29): the kernel's list, the deepest chain, and a large table against a naive one. */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/allowed_ips.h"

#define OWNERS 8

/* The naive side: every network with its owner. A network is changed by giving its owner's new list, as peers do. */
static struct wireguard_allowed_owner owners[OWNERS];
static struct {
	struct wireguard_network network;
	unsigned owner;
} entries[64];
static size_t entry_count;

static struct wireguard_network masked(uint8_t family, const uint8_t *address, uint8_t prefix)
{
	struct wireguard_network network = { .family = family, .prefix = prefix };

	for (unsigned bit = 0; bit < prefix; bit++)
		network.bytes[bit / 8] |= address[bit / 8] & (uint8_t)(0x80 >> bit % 8);
	return network;
}

static void replace(struct wireguard_allowed_ips *allowed, struct wireguard_allowed_owner *owner, const struct wireguard_network *networks,
                    size_t count)
{
	wireguard_allowed_ips_remove(allowed, owner);
	assert_int_equal(wireguard_allowed_ips_add(allowed, owner, &owner->first, networks, count), 0);
}

static void insert(struct wireguard_allowed_ips *allowed, unsigned owner, struct wireguard_network network)
{
	struct wireguard_network networks[64];
	size_t count = 0;

	for (size_t i = 0; i < entry_count; i++)
		if (memcmp(&entries[i].network, &network, sizeof(network)) == 0)
			entries[i--] = entries[--entry_count];
	entries[entry_count].network = network;
	entries[entry_count++].owner = owner;
	for (size_t i = 0; i < entry_count; i++)
		if (entries[i].owner == owner)
			networks[count++] = entries[i].network;
	replace(allowed, &owners[owner], networks, count);
}

static void insert4(struct wireguard_allowed_ips *allowed, unsigned owner, uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t prefix)
{
	uint8_t address[4] = { a, b, c, d };

	insert(allowed, owner, masked(AF_INET, address, prefix));
}

static void words(uint8_t address[16], uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	uint32_t parts[4] = { htobe32(a), htobe32(b), htobe32(c), htobe32(d) };

	memcpy(address, parts, 16);
}

static void insert6(struct wireguard_allowed_ips *allowed, unsigned owner, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint8_t prefix)
{
	uint8_t address[16];

	words(address, a, b, c, d);
	insert(allowed, owner, masked(AF_INET6, address, prefix));
}

static int find4(const struct wireguard_allowed_ips *allowed, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	uint8_t address[4] = { a, b, c, d };
	const struct wireguard_allowed_owner *owner = wireguard_allowed_ips_find(allowed, AF_INET, address);

	return owner == NULL ? -1 : (int)(owner - owners);
}

static int find6(const struct wireguard_allowed_ips *allowed, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	uint8_t address[16];

	words(address, a, b, c, d);
	const struct wireguard_allowed_owner *owner = wireguard_allowed_ips_find(allowed, AF_INET6, address);
	return owner == NULL ? -1 : (int)(owner - owners);
}

static void remove_all(struct wireguard_allowed_ips *allowed)
{
	for (unsigned i = 0; i < OWNERS; i++)
		wireguard_allowed_ips_remove(allowed, &owners[i]);
	assert_int_equal(allowed->nodes, 0);
	assert_null(allowed->roots[0]);
	assert_null(allowed->roots[1]);
	wireguard_allowed_ips_clear(allowed);
	entry_count = 0;
}

enum { A, B, C, D, E, F, G, H };

static void fill(struct wireguard_allowed_ips *t)
{
	insert4(t, A, 192, 168, 4, 0, 24);
	insert4(t, B, 192, 168, 4, 4, 32);
	insert4(t, C, 192, 168, 0, 0, 16);
	insert4(t, D, 192, 95, 5, 64, 27);
	insert4(t, C, 192, 95, 5, 65, 27);
	insert6(t, D, 0x26075300, 0x60006b00, 0, 0xc05f0543, 128);
	insert6(t, C, 0x26075300, 0x60006b00, 0, 0, 64);
	insert4(t, E, 0, 0, 0, 0, 0);
	insert6(t, E, 0, 0, 0, 0, 0);
	insert6(t, F, 0, 0, 0, 0, 0);
	insert6(t, G, 0x24046800, 0, 0, 0, 32);
	insert6(t, H, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef, 64);
	insert6(t, A, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef, 128);
	insert6(t, C, 0x24446800, 0x40e40800, 0xdeaebeef, 0xdefbeef, 128);
	insert6(t, B, 0x24446800, 0xf0e40800, 0xeeaebeef, 0, 98);
	insert4(t, G, 64, 15, 112, 0, 20);
	insert4(t, H, 64, 15, 123, 211, 25);
	insert4(t, A, 10, 0, 0, 0, 25);
	insert4(t, B, 10, 0, 0, 128, 25);
	insert4(t, A, 10, 1, 0, 0, 30);
	insert4(t, B, 10, 1, 0, 4, 30);
	insert4(t, C, 10, 1, 0, 8, 29);
	insert4(t, D, 10, 1, 0, 16, 29);
}

static void test_w29_the_kernels_list(void **state)
{
	struct wireguard_allowed_ips t = { 0 };
	(void)state;

	fill(&t);
	assert_int_equal(find4(&t, 192, 168, 4, 20), A);
	assert_int_equal(find4(&t, 192, 168, 4, 0), A);
	assert_int_equal(find4(&t, 192, 168, 4, 4), B);
	assert_int_equal(find4(&t, 192, 168, 200, 182), C);
	assert_int_equal(find4(&t, 192, 95, 5, 68), C);
	assert_int_equal(find4(&t, 192, 95, 5, 96), E);
	assert_int_equal(find6(&t, 0x26075300, 0x60006b00, 0, 0xc05f0543), D);
	assert_int_equal(find6(&t, 0x26075300, 0x60006b00, 0, 0xc02e01ee), C);
	assert_int_equal(find6(&t, 0x26075300, 0x60006b01, 0, 0), F);
	assert_int_equal(find6(&t, 0x24046800, 0x40040806, 0, 0x1006), G);
	assert_int_equal(find6(&t, 0x24046800, 0x40040806, 0x1234, 0x5678), G);
	assert_int_equal(find6(&t, 0x240467ff, 0x40040806, 0x1234, 0x5678), F);
	assert_int_equal(find6(&t, 0x24046801, 0x40040806, 0x1234, 0x5678), F);
	assert_int_equal(find6(&t, 0x24046800, 0x40040800, 0x1234, 0x5678), H);
	assert_int_equal(find6(&t, 0x24046800, 0x40040800, 0, 0), H);
	assert_int_equal(find6(&t, 0x24046800, 0x40040800, 0x10101010, 0x10101010), H);
	assert_int_equal(find6(&t, 0x24046800, 0x40040800, 0xdeadbeef, 0xdeadbeef), A);
	assert_int_equal(find4(&t, 64, 15, 116, 26), G);
	assert_int_equal(find4(&t, 64, 15, 127, 3), G);
	assert_int_equal(find4(&t, 64, 15, 123, 1), G);
	assert_int_equal(find4(&t, 64, 15, 123, 128), H);
	assert_int_equal(find4(&t, 64, 15, 123, 129), H);
	assert_int_equal(find4(&t, 10, 0, 0, 52), A);
	assert_int_equal(find4(&t, 10, 0, 0, 220), B);
	assert_int_equal(find4(&t, 10, 1, 0, 2), A);
	assert_int_equal(find4(&t, 10, 1, 0, 6), B);
	assert_int_equal(find4(&t, 10, 1, 0, 10), C);
	assert_int_equal(find4(&t, 10, 1, 0, 20), D);
	remove_all(&t);
}

static void test_w29_removal_takes_only_the_owners(void **state)
{
	static const uint8_t first[] = { 1, 64, 128, 192, 255 };
	struct wireguard_allowed_ips t = { 0 };
	(void)state;

	for (size_t i = 0; i < sizeof(first); i++)
		insert4(&t, A, first[i], 0, 0, 0, 32);
	insert4(&t, B, 192, 168, 0, 0, 16);
	for (size_t i = 0; i < sizeof(first); i++)
		assert_int_equal(find4(&t, first[i], 0, 0, 0), A);
	wireguard_allowed_ips_remove(&t, &owners[A]);
	assert_int_equal(t.nodes, 1);
	for (size_t i = 0; i < sizeof(first); i++)
		assert_int_equal(find4(&t, first[i], 0, 0, 0), -1);
	assert_int_equal(find4(&t, 192, 168, 0, 1), B);
	assert_int_equal(find6(&t, 0, 0, 0, 0), -1);
	remove_all(&t);
	insert4(&t, A, 192, 168, 0, 0, 16);
	insert4(&t, A, 192, 168, 0, 0, 24);
	wireguard_allowed_ips_remove(&t, &owners[A]);
	assert_int_equal(find4(&t, 192, 168, 0, 1), -1);
	remove_all(&t);
}

/* All prefixes of one address, /0 to /128: the deepest trie there is (the kernel once missed the 129th). */
static void test_w29_chain_of_129(void **state)
{
	struct wireguard_allowed_ips allowed = { 0 };
	struct wireguard_network networks[129];
	uint8_t ones[16], address[16];
	(void)state;

	memset(ones, 0xff, sizeof(ones));
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		networks[prefix] = masked(AF_INET6, ones, (uint8_t)prefix);
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		replace(&allowed, &owners[prefix % OWNERS], &networks[prefix], 1);
	for (unsigned i = 0; i < OWNERS; i++)
		wireguard_allowed_ips_remove(&allowed, &owners[i]);
	assert_int_equal(allowed.nodes, 0);
	struct wireguard_allowed_owner chain[129] = { { 0 } };
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		replace(&allowed, &chain[128 - prefix], &networks[128 - prefix], 1);
	assert_int_equal(allowed.nodes, 129);
	for (unsigned same = 0; same <= 128; same++) { /* leaves the chain after this many bits */
		memcpy(address, ones, sizeof(address));
		if (same < 128)
			address[same / 8] ^= (uint8_t)(0x80 >> same % 8);
		assert_ptr_equal(wireguard_allowed_ips_find(&allowed, AF_INET6, address), &chain[same]);
	}
	for (unsigned prefix = 0; prefix <= 128; prefix++)
		wireguard_allowed_ips_remove(&allowed, &chain[prefix * 7 % 129]);
	assert_int_equal(allowed.nodes, 0);
	wireguard_allowed_ips_clear(&allowed);
}

/* The naive table of the large test: a hash table that is asked for each prefix length, longest first. */
enum { PEERS = 2000, EACH = 20, QUERIES = 1200000, PLACES = 1 << 17 };

struct place {
	struct wireguard_network network;
	uint16_t owner;
	bool is_used;
};

static struct place *place_of(struct place *table, const struct wireguard_network *network)
{
	uint64_t hash = network->prefix * 2u + (network->family == AF_INET), words[2];

	memcpy(words, network->bytes, sizeof(words));
	hash = (hash ^ words[0]) * UINT64_C(0x9e3779b97f4a7c15);
	hash = (hash ^ hash >> 29 ^ words[1]) * UINT64_C(0xbf58476d1ce4e5b9);
	for (size_t i = hash >> 40;; i++) {
		struct place *place = &table[i % PLACES];
		if (!place->is_used || memcmp(&place->network, network, sizeof(*network)) == 0)
			return place;
	}
}

static uint64_t chance(void)
{
	static uint64_t random = 11;

	random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return random >> 24;
}

/* Addresses near each other, so that prefixes cover each other. */
static uint8_t random_address(uint8_t address[16])
{
	uint8_t family = chance() % 2 == 0 ? AF_INET : AF_INET6;

	for (unsigned i = 0; i < 16; i++)
		address[i] = (uint8_t)(chance() % 4 == 0 ? chance() : 0x55);
	if (family == AF_INET)
		memset(address + 4, 0, 12);
	return family;
}

static int naive_find(struct place *table, const bool has_prefix[2][129], uint8_t family, const uint8_t *address)
{
	struct wireguard_network network = { .family = family };

	memcpy(network.bytes, address, sizeof(network.bytes));
	for (int prefix = family == AF_INET ? 32 : 128; prefix >= 0; prefix--) {
		if (prefix < 128)
			network.bytes[prefix / 8] &= (uint8_t) ~(0x80 >> prefix % 8);
		if (!has_prefix[family == AF_INET][prefix])
			continue;
		network.prefix = (uint8_t)prefix;
		const struct place *place = place_of(table, &network);
		if (place->is_used)
			return place->owner;
	}
	return -1;
}

static void test_w29_large_table_against_a_naive_one(void **state)
{
	struct wireguard_allowed_owner *peers = calloc(PEERS, sizeof(*peers));
	struct place *table = calloc(PLACES, sizeof(*table));
	struct wireguard_allowed_ips allowed = { 0 };
	bool has_prefix[2][129] = { { false } };
	unsigned wrong = 0, found = 0;
	uint8_t address[16];
	(void)state;

	for (unsigned p = 0; p < PEERS; p++) {
		struct wireguard_network networks[EACH];
		for (unsigned i = 0; i < EACH; i++) {
			uint8_t family = random_address(address);
			networks[i] = masked(family, address, family == AF_INET ? (uint8_t)(8 + chance() % 25) : (uint8_t)(8 + chance() % 41 * 3));
			struct place *place = place_of(table, &networks[i]);
			*place = (struct place){ networks[i], (uint16_t)p, true };
			has_prefix[family == AF_INET][networks[i].prefix] = true;
		}
		replace(&allowed, &peers[p], networks, EACH);
	}
	for (unsigned q = 0; q < QUERIES; q++) {
		uint8_t family = random_address(address);
		const struct wireguard_allowed_owner *owner = wireguard_allowed_ips_find(&allowed, family, address);
		int expected = naive_find(table, (const bool(*)[129])has_prefix, family, address);
		wrong += (owner == NULL ? -1 : (int)(owner - peers)) != expected;
		found += owner != NULL;
	}
	assert_int_equal(wrong, 0);
	assert_in_range(found, QUERIES / 10, QUERIES - 1);
	for (unsigned p = 0; p < PEERS; p++)
		wireguard_allowed_ips_remove(&allowed, &peers[p * 7 % PEERS]);
	assert_int_equal(allowed.nodes, 0);
	wireguard_allowed_ips_clear(&allowed);
	free(peers);
	free(table);
}

static void test_w29_source_of_another_peer_is_dropped(void **state)
{
	struct link *link = link_create(3);
	struct wireguard_network networks[3] = { { AF_INET, 0, { 0 } }, { AF_INET, 32, { 10, 0, 0, 3 } } };
	struct wireguard_peer_config config;
	(void)state;

	link_join(link, 0, 1);
	link_join(link, 0, 2);
	link_handshake(link, 0, 1);
	/* Node 1 sends in node 2's name: its device routes what node 0's does not believe. */
	link_config(link, 0, &config, networks);
	assert_int_equal(config_change(link_peer(link, 1, 0), &config, link->now), 0);
	uint8_t packet[20] = { 0x45, [3] = 20, [12] = 10, [15] = 3, [16] = 10, [19] = 1 };
	struct iovec part = { packet, sizeof(packet) };
	assert_int_equal(wireguard_device_send(link->nodes[1].device, &part, 1, sizeof(packet), link->now), WIREGUARD_OK);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].delivered, 0);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_SOURCE], 1);
	/* A default route of its own would not help: the longer prefix is another's. */
	link_config(link, 1, &config, networks);
	networks[1] = (struct wireguard_network){ AF_INET, 0, { 0 } };
	assert_int_equal(config_change(link_peer(link, 0, 1), &config, link->now), 0);
	assert_int_equal(wireguard_device_send(link->nodes[1].device, &part, 1, sizeof(packet), link->now), WIREGUARD_OK);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].device->dropped[WIREGUARD_DROP_SOURCE], 2);
	link_free(link);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_w29_the_kernels_list),
		cmocka_unit_test(test_w29_removal_takes_only_the_owners),
		cmocka_unit_test(test_w29_chain_of_129),
		cmocka_unit_test(test_w29_large_table_against_a_naive_one),
		link_test(test_w29_source_of_another_peer_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
