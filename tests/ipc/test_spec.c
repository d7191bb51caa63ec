/* Peers by their keys. */
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
	memcpy(&made.bytes[20], &number, sizeof number);
	return made;
}

static void fill(struct spec *spec, unsigned count)
{
	spec_init(spec);
	spec->peers = calloc(count, sizeof *spec->peers);
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
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_peer_is_found),
		cmocka_unit_test(an_index_is_made_anew),
		cmocka_unit_test(the_first_of_equal_ones_is_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
