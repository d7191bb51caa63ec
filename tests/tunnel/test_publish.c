/* Figures in the shared counters: no byte is told twice or lost, when a socket, a peer or a worker before is replaced, and an idle tunnel
 * wakes nobody. Device, socket and conditions are the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tunnel/condition.h"
#include "tunnel/publish.h"

#define EVERY (50 * LOOP_MILLISECOND)

static struct {
	struct udp_counts socket;
	struct wireguard_peer_stats stats;
	uint64_t drops[WIREGUARD_DROP_COUNT];
	bool has_condition;
	unsigned looks;
} figures;

const struct udp_counts *udp_socket_counts(const struct udp_socket *socket)
{
	(void)socket;
	return &figures.socket;
}

const struct udp_counts *carrier_counts(const struct carrier *carrier)
{
	(void)carrier;
	return &figures.socket;
}

void wireguard_device_take_drops(struct wireguard_device *device, uint64_t drops[WIREGUARD_DROP_COUNT])
{
	(void)device;
	memcpy(drops, figures.drops, sizeof(figures.drops));
	memset(figures.drops, 0, sizeof(figures.drops));
	figures.looks++;
}

void wireguard_peer_stats(const struct wireguard_peer *peer, struct wireguard_peer_stats *stats, uint64_t now)
{
	(void)peer;
	(void)now;
	*stats = figures.stats;
}

bool condition_tick(struct tunnel *tunnel, uint64_t now)
{
	(void)tunnel;
	(void)now;
	return figures.has_condition;
}

static struct counters_tunnel counters;
static struct counters_peer peer_counters;
static struct tunnel tunnel;
static struct tunnel_peer peer, *peers[] = { &peer };
static uint64_t now;

static int start(void **state)
{
	(void)state;
	memset(&figures, 0, sizeof(figures));
	counters_clear_tunnel(&counters);
	counters_clear_peer(&peer_counters);
	now = 1000 * LOOP_SECOND;
	peer = (struct tunnel_peer){ .tunnel = &tunnel, .counters = &peer_counters };
	tunnel = (struct tunnel){ .counters = &counters, .udp = (struct udp_socket *)&figures, .peers = peers, .peer_count = 1, .rate_at = now };
	tunnel.assessment.health = TUNNEL_UNHEALTHY; /* it is not up */
	return 0;
}

static void the_figures_of_each_socket_add_up(void **state)
{
	(void)state;
	figures.socket = (struct udp_counts){ .datagrams_sent = 3, .bytes_sent = 300, .datagrams_received = 2, .bytes_received = 50, .refused = 1 };
	publish_soon(&tunnel, now);
	figures.socket.bytes_sent += 20;
	publish_socket(&tunnel);
	publish_socket(&tunnel);
	/* Another socket begins at zero, as tunnel_take_udp does it. */
	figures.socket = (struct udp_counts){ .bytes_sent = 5 };
	tunnel.counted = (struct udp_counts){ 0 };
	publish_socket(&tunnel);
	assert_int_equal(counter_read(&counters.wire_bytes_sent), 325);
	assert_int_equal(counter_read(&counters.wire_bytes_received), 50);
	assert_int_equal(counter_read(&counters.packets_sent), 3);
	assert_int_equal(counter_read(&counters.packets_received), 2);
	assert_int_equal(counter_read(&counters.dropped[COUNTERS_DROP_SEND]), 1);
	tunnel.udp = NULL;
	figures.socket.bytes_sent = 1000;
	publish_socket(&tunnel);
	assert_int_equal(counter_read(&counters.wire_bytes_sent), 325);
}

/* The counters go on where the worker before left them. */
static void the_figures_of_a_peer_go_on(void **state)
{
	(void)state;
	counter_set(&peer_counters.bytes_sent, 1000);
	figures.stats = (struct wireguard_peer_stats){ .bytes_sent = 7, .bytes_received = 9 };
	publish_peer(&peer, now);
	publish_peer(&peer, now);
	figures.stats.bytes_sent = 8;
	publish_peer(&peer, now);
	assert_int_equal(counter_read(&peer_counters.bytes_sent), 1008);
	assert_int_equal(counter_read(&peer_counters.bytes_received), 9);
}

static void drops_are_counted_by_reason(void **state)
{
	(void)state;
	figures.drops[WIREGUARD_DROP_HANDSHAKE] = 4;
	publish_soon(&tunnel, now);
	now += EVERY;
	figures.drops[WIREGUARD_DROP_HANDSHAKE] = 1;
	publish_soon(&tunnel, now);
	assert_int_equal(counter_read(&counters.dropped[WIREGUARD_DROP_HANDSHAKE]), 5);
}

/* At once after a rest, then every 50 ms however much happens. */
static void a_busy_tunnel_is_looked_at_now_and_then(void **state)
{
	(void)state;
	publish_soon(&tunnel, now);
	assert_int_equal(figures.looks, 1);
	publish_soon(&tunnel, now + 1);
	assert_int_equal(figures.looks, 1);
	assert_true(tunnel.publish_at == now + EVERY);
	publish_soon(&tunnel, now + EVERY - 1);
	assert_int_equal(figures.looks, 1);
	publish_tick(&tunnel, now + EVERY);
	assert_int_equal(figures.looks, 2);
	assert_true(tunnel.publish_at == LOOP_NEVER);
}

/* 1,000 bytes in one second are 8,000 bit/s; ten seconds later nothing flows, and nobody is woken for it any more. */
static void throughput_rises_and_falls_and_then_rests(void **state)
{
	(void)state;
	counter_add(&counters.bytes_sent, 1000);
	counter_add(&counters.bytes_received, 500);
	publish_soon(&tunnel, now);
	assert_int_equal(counter_read(&counters.throughput_sent), 0);
	/* The second is over when it has passed. */
	assert_true(tunnel.publish_at == tunnel.rate_at + LOOP_SECOND);
	now = tunnel.publish_at;
	publish_tick(&tunnel, now);
	assert_int_equal(counter_read(&counters.throughput_sent), 8000);
	assert_int_equal(counter_read(&counters.throughput_received), 4000);
	unsigned turns = 0;
	for (; tunnel.publish_at != LOOP_NEVER && turns < 100; turns++) {
		now = tunnel.publish_at;
		publish_tick(&tunnel, now);
	}
	assert_int_equal(turns, THROUGHPUT_SECONDS);
	assert_int_equal(counter_read(&counters.throughput_sent), 0);
	assert_int_equal(counter_read(&counters.throughput_received), 0);
}

/* It ends by itself, without traffic: so it is looked at while it lasts. */
static void a_condition_is_looked_at_each_second(void **state)
{
	(void)state;
	figures.has_condition = true;
	publish_soon(&tunnel, now);
	assert_true(tunnel.publish_at == now + LOOP_SECOND);
	figures.has_condition = false;
	publish_tick(&tunnel, now + LOOP_SECOND);
	assert_true(tunnel.publish_at == LOOP_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, start)
	const struct CMUnitTest tests[] = {
		TEST(the_figures_of_each_socket_add_up),
		TEST(the_figures_of_a_peer_go_on),
		TEST(drops_are_counted_by_reason),
		TEST(a_busy_tunnel_is_looked_at_now_and_then),
		TEST(throughput_rises_and_falls_and_then_rests),
		TEST(a_condition_is_looked_at_each_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
