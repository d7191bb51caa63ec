#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/counters.h"

static void test_memory_is_shared_and_cannot_be_cut(void **state)
{
	(void)state;
	struct counters *mine;
	int descriptor = counters_create(&mine);
	assert_true(descriptor >= 0);
	struct counters *theirs = counters_map(descriptor);
	assert_non_null(theirs);
	counter_add(&theirs->tunnels[5].bytes_sent, 17);
	assert_int_equal(counter_read(&mine->tunnels[5].bytes_sent), 17);
	assert_int_equal(ftruncate(descriptor, 0), -1);
	counter_add(&mine->tunnels[5].connections_open[COUNTERS_HTTP], 3);
	counters_zero_gauges(&mine->tunnels[5]);
	assert_int_equal(counter_read(&mine->tunnels[5].connections_open[COUNTERS_HTTP]), 0);
	assert_int_equal(counter_read(&mine->tunnels[5].bytes_sent), 17);
	counters_clear_tunnel(&mine->tunnels[5]);
	assert_int_equal(counter_read(&mine->tunnels[5].bytes_sent), 0);
	counters_unmap(mine);
	counters_unmap(theirs);
	close(descriptor);
}

static void test_a_dead_writer_leaves_no_lock(void **state)
{
	(void)state;
	static struct counters_peer peer;
	union wireguard_endpoint endpoint = { .v4 = { .sin_family = AF_INET, .sin_port = 9 } }, read;
	assert_false(counters_endpoint(&peer, &read));
	counters_set_endpoint(&peer, &endpoint);
	assert_true(counters_endpoint(&peer, &read));
	assert_int_equal(read.v4.sin_port, 9);
	counter_set(&peer.endpoint_version, 7); /* died in the middle of writing */
	assert_false(counters_endpoint(&peer, &read));
	counters_set_endpoint(&peer, &endpoint);
	assert_true(counters_endpoint(&peer, &read));
}

static void test_an_initiation_is_never_told_older(void **state)
{
	(void)state;
	static struct counters_peer peer;
	uint8_t first[12] = { 0x40, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9 }, second[12] = { 0x40, 0, 0, 0, 1, 2, 3, 5, 0, 0, 0, 1 }, read[12];
	counters_set_initiation(&peer, first);
	counters_initiation(&peer, read);
	assert_memory_equal(read, first, sizeof(read));
	counters_set_initiation(&peer, second);
	counters_initiation(&peer, read);
	assert_memory_equal(read, second, sizeof(read));
	counter_set(&peer.initiation_nanoseconds, UINT32_MAX); /* died in the middle of writing */
	counters_initiation(&peer, read);
	assert_true(memcmp(read, second, sizeof(read)) > 0);
	counters_clear_peer(&peer);
	counters_initiation(&peer, read);
	assert_memory_equal(read, ((uint8_t[12]){ 0 }), sizeof(read));
}

static void test_every_value_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTERS_DROPS; i++)
		assert_true(strlen(counters_drop_name(i)) > 2);
	for (int i = 0; i < COUNTERS_FAILURES; i++)
		assert_true(strlen(counters_failure_name((enum counters_failure)i)) > 2);
	assert_string_equal(tunnel_state_name(TUNNEL_HANDSHAKING), "handshaking");
	assert_string_equal(tunnel_state_name((enum tunnel_state)99), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_is_shared_and_cannot_be_cut),
		cmocka_unit_test(test_an_initiation_is_never_told_older),
		cmocka_unit_test(test_a_dead_writer_leaves_no_lock),
		cmocka_unit_test(test_every_value_has_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
