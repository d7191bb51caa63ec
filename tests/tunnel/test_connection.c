/* What counts, what waits, and who gives way (P7). */
#include <stdlib.h>

#include "tests/tunnel/rig.h"
#include "tunnel/connection.h"

#define PLACES 1024 /* of a tunnel; a source has half of them */

static struct connection *gone[8];
static size_t gone_count;

static void end(struct connection *connection)
{
	gone[gone_count++ % 8] = connection;
	connection_remove(connection);
}

static int start(void **state)
{
	gone_count = 0;
	return rig_start(state);
}

static uint64_t open_of(enum counters_protocol protocol)
{
	return counter_read(&rig.tunnel.counters->connections_open[protocol]);
}

static void each_counts_by_its_protocol(void **state)
{
	struct connection a, b;
	(void)state;
	rig.tunnel.spec.limits.connections = 1;
	connection_add(&a, &rig.tunnel, COUNTERS_CONNECT, end);
	assert_false(connection_is_over_limit(&a));
	connection_add_waiting(&b, &rig.tunnel, 5, end);
	assert_int_equal(rig.tunnel.connection_count, 1);
	assert_false(connection_is_over_limit(&b));
	connection_set_protocol(&b, COUNTERS_SOCKS5);
	assert_int_equal(open_of(COUNTERS_CONNECT), 1);
	assert_int_equal(open_of(COUNTERS_SOCKS5), 1);
	assert_int_equal(open_of(COUNTERS_UNKNOWN), 0);
	connection_admit(&b);
	connection_admit(&b);
	assert_int_equal(rig.tunnel.connection_count, 2);
	assert_int_equal(rig.tunnel.waiting_count, 0);
	assert_true(connection_is_over_limit(&b));
	rig.tunnel.spec.limits.connections = 0;
	assert_false(connection_is_over_limit(&b));
	connection_count_ok(&b);
	connection_count_failed(&b, COUNTERS_FAILED_REFUSED);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_SOCKS5]), 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_REFUSED]), 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed_by_protocol[COUNTERS_SOCKS5]), 1);
	connection_remove(&a);
	assert_ptr_equal(rig.tunnel.connections, &b);
	connection_remove(&b);
	assert_null(rig.tunnel.connections);
	assert_int_equal(open_of(COUNTERS_SOCKS5), 0);
}

/* A source's own longest waiting, and of those that are held only when all are. */
static void a_sources_own_gives_way(void **state)
{
	struct connection *all = calloc(PLACES / 2 + 3, sizeof(*all)), other;
	(void)state;
	connection_add_waiting(&other, &rig.tunnel, 9, end);
	for (size_t i = 0; i < PLACES / 2; i++)
		connection_add_waiting(&all[i], &rig.tunnel, 5, end);
	assert_int_equal(gone_count, 0);
	all[0].is_held = true;
	connection_add_waiting(&all[PLACES / 2], &rig.tunnel, 5, end);
	assert_int_equal(gone_count, 1);
	assert_ptr_equal(gone[0], &all[1]);
	for (size_t i = 2; i <= PLACES / 2; i++)
		all[i].is_held = true;
	connection_add_waiting(&all[PLACES / 2 + 1], &rig.tunnel, 5, end);
	assert_ptr_equal(gone[1], &all[0]);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_LIMIT]), 2);
	assert_int_equal(rig.tunnel.waiting_count, PLACES / 2 + 1);
	while (rig.tunnel.connections != NULL)
		connection_remove(rig.tunnel.connections);
	assert_null(rig.tunnel.longest_waiting);
	assert_null(rig.tunnel.shortest_waiting);
	free(all);
}

/* When all places are taken, one of the source that has most of them; sources whose numbers meet in a table are told apart. */
static void the_source_with_most_gives_way(void **state)
{
	struct connection *all = calloc(PLACES + 1, sizeof(*all));
	(void)state;
	for (size_t i = 0; i < PLACES; i++)
		connection_add_waiting(&all[i], &rig.tunnel, i % 4 == 1 ? 77 : 1000000 + i, end);
	assert_int_equal(gone_count, 0);
	connection_add_waiting(&all[PLACES], &rig.tunnel, 5, end);
	assert_int_equal(gone_count, 1);
	assert_ptr_equal(gone[0], &all[1]);
	while (rig.tunnel.connections != NULL)
		connection_remove(rig.tunnel.connections);
	free(all);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(each_counts_by_its_protocol),
		TEST(a_sources_own_gives_way),
		TEST(the_source_with_most_gives_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
