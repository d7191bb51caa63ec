/* UDP sessions: the table of them by address, and what the limits let pass. */
#include "tests/tunnel/rig.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/proxy/udp_session.h"

static struct udp_sessions table;
static struct connection connection = { .tunnel = &rig.tunnel };
static size_t ended;

static void end(struct udp_session *session)
{
	udp_sessions_remove(session);
	free(session);
	ended++;
}

static int start(void **state)
{
	rig_start(state);
	udp_sessions_init(&table, &rig.tunnel, end);
	ended = 0;
	return 0;
}

static int stop(void **state)
{
	udp_sessions_end_all(&table);
	return rig_stop(state);
}

static struct udp_session *add(const char *address, uint16_t port)
{
	struct udp_session *session = calloc(1, sizeof(*session));
	session->tunnel = &rig.tunnel;
	session->connection = &connection;
	session->host = rig_host(address, port);
	udp_sessions_add(&table, session);
	return session;
}

static const struct udp_session *find(const char *address, uint16_t port)
{
	union wireguard_endpoint host = rig_host(address, port);
	return udp_sessions_find(&table, &host);
}

/* Address, port and family all count. */
static void test_a_session_is_found_by_its_address(void **state)
{
	(void)state;
	const struct udp_session *first = add("10.0.0.1", 1000), *port = add("10.0.0.1", 1001), *host = add("10.0.0.2", 1000),
				 *six = add("fd00::1", 1000);
	assert_ptr_equal(find("10.0.0.1", 1000), first);
	assert_ptr_equal(find("10.0.0.1", 1001), port);
	assert_ptr_equal(find("10.0.0.2", 1000), host);
	assert_ptr_equal(find("fd00::1", 1000), six);
	assert_null(find("fd00::1", 1001));
	assert_null(find("10.0.0.3", 1000));
	end(udp_sessions_find(&table, &port->host));
	assert_null(find("10.0.0.1", 1001));
	assert_ptr_equal(find("10.0.0.1", 1000), first);
	assert_int_equal(table.count, 3);
}

/* P6 */
static void test_a_table_is_bounded(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < UDP_SESSIONS_MAX; i++) {
		assert_false(udp_sessions_is_full(&table));
		add("10.0.0.1", (uint16_t)(1 + i));
	}
	assert_true(udp_sessions_is_full(&table));
	end(table.first);
	assert_false(udp_sessions_is_full(&table));
	udp_sessions_end_all(&table);
	assert_int_equal(ended, UDP_SESSIONS_MAX);
	assert_int_equal(table.sweep.at, LOOP_NEVER);
}

static void test_the_silent_ones_end(void **state)
{
	(void)state;
	add("10.0.0.1", 1);
	struct udp_session *active = add("10.0.0.1", 2);
	rig_pass(UDP_SESSION_SILENCE - LOOP_SECOND);
	active->active_at = rig.now;
	assert_int_equal(ended, 0);
	rig_pass(LOOP_SECOND + UDP_SESSION_SWEEP_EVERY);
	assert_null(find("10.0.0.1", 1));
	assert_ptr_equal(find("10.0.0.1", 2), active);
	rig_pass(UDP_SESSION_SILENCE);
	assert_null(table.first);
	assert_int_equal(table.sweep.at, LOOP_NEVER);
}

static void test_a_refused_one_stays_for_a_while(void **state)
{
	(void)state;
	struct udp_session *refused = add("10.0.0.1", 1);
	refused->is_refused = true;
	rig_pass(UDP_SESSION_REFUSAL - LOOP_SECOND);
	assert_ptr_equal(find("10.0.0.1", 1), refused);
	rig_pass(LOOP_SECOND + UDP_SESSION_SWEEP_EVERY);
	assert_null(table.first);
}

static uint64_t dropped(void)
{
	return counter_read(&rig.tunnel.counters->dropped[COUNTERS_DROP_OVERFLOW]);
}

static void ignore(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	(void)owner, (void)from, (void)bytes, (void)length;
}

/* What does not pass is counted, and does not keep a session active. */
static void test_the_limits_drop_both_ways(void **state)
{
	(void)state;
	static const uint8_t bytes[1000];
	int ends[2];
	struct netstack_endpoint there = rig_endpoint("10.9.0.1", 53);
	struct udp_session *session = add("10.0.0.1", 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
	session->descriptor = ends[1];
	assert_int_equal(netstack_flow_open(rig.tunnel.stack, NULL, ignore, NULL, &session->flow), NETSTACK_OK);
	bucket_set_limit(&rig.tunnel.tx_limit, 8000, rig.now);
	bucket_set_limit(&rig.tunnel.rx_limit, 8000, rig.now);
	uint64_t created_at = session->active_at;
	udp_session_send_inner(session, &there, bytes, sizeof(bytes));
	udp_session_send_host(session, NULL, 0, bytes, sizeof(bytes));
	assert_int_equal(dropped(), 2);
	assert_int_equal(rig.flows->sent, 0);
	assert_int_equal(session->active_at, created_at);
	rig_pass(10 * LOOP_SECOND);
	udp_session_send_inner(session, &there, bytes, sizeof(bytes));
	udp_session_send_host(session, (const uint8_t *)"head", 4, bytes, sizeof(bytes));
	assert_int_equal(dropped(), 2);
	assert_int_equal(rig.flows->sent, 1);
	assert_memory_equal(&rig.sent_to, &session->host, sizeof(session->host));
	assert_int_equal(session->active_at, rig.now);
	char got[2000];
	assert_int_equal(recv(ends[0], got, sizeof(got), 0), 4 + sizeof(bytes));
	assert_int_equal(recv(ends[0], got, sizeof(got), 0), -1);
	netstack_flow_close(session->flow);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_a_session_is_found_by_its_address), TEST(test_a_table_is_bounded),        TEST(test_the_silent_ones_end),
		TEST(test_a_refused_one_stays_for_a_while),   TEST(test_the_limits_drop_both_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
