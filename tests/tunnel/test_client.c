/* Clients of the proxy port: which wait for a place, which are dropped, and which are delayed after wrong passwords. */
#include "tests/tunnel/rig.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/address.h"
#include "tunnel/proxy/client.h"
#include "tunnel/proxy/relay.h"

#define FLOOD 600 /* more than one address may have waiting, less than a tunnel */
#define CONNECT "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\n"
#define RIGHT "Proxy-Authorization: Basic dTpw\r\n\r\n"
#define WRONG "Proxy-Authorization: Basic dTp4\r\n\r\n"
#define CONNECTED "HTTP/1.1 200 "

static struct listener port = { .tunnel = &rig.tunnel, .id = 9, .kind = MESSAGE_SOCKET_PROXY };
static int silent[2][FLOOD];

static void set_user(void)
{
	rig.tunnel.spec.users = calloc(1, sizeof(struct spec_user));
	rig.tunnel.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	rig.tunnel.spec.user_count = 1;
}

static int come(const char *address)
{
	int ends[2];
	union wireguard_endpoint from = rig_host(address, 4000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	client_accept(&port, ends[1], &from);
	rig_turn();
	return ends[0];
}

static void leave(int client)
{
	close(client);
	rig_turn();
	if (!rig_stream()->gone)
		rig_stream_close(rig_stream(), NETSTACK_OK);
}

/* Sends the given text, and is closed. */
static void expect_served(const char *address, const char *request)
{
	int client = come(address);
	rig_write(client, request);
	rig_connected(rig_stream());
	const char *seen = rig_read(client);
	assert_int_equal(strncmp(seen, CONNECTED, strlen(CONNECTED)), 0);
	leave(client);
}

static void flood(int *clients, const char *address, const char *says)
{
	for (int i = 0; i < FLOOD; i++) {
		clients[i] = come(address);
		if (says[0] != '\0')
			rig_write(clients[i], says);
	}
}

static size_t close_flood(int *clients)
{
	size_t cut = 0;
	for (int i = 0; i < FLOOD; i++) {
		cut += rig_is_at_end(clients[i]);
		close(clients[i]);
	}
	rig_turn();
	return cut;
}

static void expect_flood_harmless(const char *says, const char *request)
{
	rig.tunnel.spec.limits.connections = 2;
	flood(silent[0], "192.0.2.1", says);
	flood(silent[1], "2001:db8::1", says);
	assert_int_equal(rig.tunnel.connection_count, 0); /* those who only wait take no place of the limit */
	assert_in_range(rig.tunnel.waiting_count, 512, 1024);
	expect_served("203.0.113.5", request);
	expect_served("192.0.2.1", request);
	expect_served("2001:db8::1:1", request);
	size_t cut = close_flood(silent[0]) + close_flood(silent[1]);
	assert_in_range(cut, 2 * FLOOD - 1024, 2 * FLOOD - 1000);
	assert_int_equal(rig.tunnel.waiting_count, 0);
	assert_int_equal(rig.tunnel.connection_count, 0);
}

/* P7 */
static void test_silence_does_not_lock_out_who_has_a_password(void **state)
{
	(void)state;
	set_user();
	expect_flood_harmless("", CONNECT RIGHT);
	expect_flood_harmless("\5", CONNECT RIGHT);
}

static void test_silence_does_not_lock_out_where_nobody_needs_one(void **state)
{
	(void)state;
	expect_flood_harmless("", CONNECT "\r\n");
	expect_flood_harmless("CONNECT 198.", CONNECT "\r\n");
}

/* A connection that is kept after a 407 has not authenticated yet. */
static void test_who_was_refused_still_waits(void **state)
{
	(void)state;
	set_user();
	int client = come("192.0.2.1");
	rig_write(client, "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n");
	assert_non_null(strstr(rig_read(client), "407"));
	assert_false(rig_is_at_end(client));
	assert_int_equal(rig.tunnel.waiting_count, 1);
	flood(silent[0], "192.0.2.1", "");
	assert_true(rig_is_at_end(client));
	close_flood(silent[0]);
	close(client);
}

/* One address cannot take all places: its own oldest client is dropped first. */
static void test_an_address_has_half_of_the_places(void **state)
{
	(void)state;
	set_user();
	int quiet = come("203.0.113.5");
	flood(silent[0], "192.0.2.1", "");
	assert_int_equal(rig.tunnel.waiting_count, 513);
	assert_false(rig_is_at_end(quiet));
	rig_write(quiet, CONNECT RIGHT);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(quiet), CONNECTED, strlen(CONNECTED)), 0);
	assert_int_equal(rig.tunnel.waiting_count, 512);
	assert_int_equal(rig.tunnel.connection_count, 1);
	leave(quiet);
	close_flood(silent[0]);
}

static void test_the_limit_is_for_those_who_may_pass(void **state)
{
	(void)state;
	set_user();
	rig.tunnel.spec.limits.connections = 1;
	int first = come("192.0.2.1"), second = come("192.0.2.1");
	rig_write(first, CONNECT RIGHT);
	rig_connected(rig_stream());
	rig_write(second, CONNECT RIGHT);
	assert_int_equal(strncmp(rig_read(second), "HTTP/1.1 503 ", 13), 0);
	close(second);
	leave(first);
	expect_served("192.0.2.1", CONNECT RIGHT);
}

static void be_refused(const char *address, unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		int client = come(address);
		rig_write(client, CONNECT WRONG);
		rig_pass(1600 * LOOP_MILLISECOND);
		assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 407 ", 13), 0);
		close(client);
		rig_turn();
	}
}

/* X8: wrong passwords are counted per address, across connections. */
static void test_back_off_is_for_the_address_that_guesses(void **state)
{
	(void)state;
	set_user();
	be_refused("192.0.2.1", 8);
	int guess = come("192.0.2.1"), right = come("192.0.2.1"), socks = come("192.0.2.1");
	rig_write(guess, CONNECT WRONG); /* the one before was told just now: nobody waits */
	rig_write(right, CONNECT RIGHT);
	rig_write_bytes(socks, "\5\1\2", 3);
	assert_string_equal(rig_read(socks), "\5\2");
	rig_write_bytes(socks, "\1\1u\1p", 5);
	assert_string_equal(rig_read(right), "");
	assert_string_equal(rig_read(socks), "");
	expect_served("203.0.113.5", CONNECT RIGHT); /* another address waits for nothing */
	size_t streams = rig_stream_count();
	rig_pass(1600 * LOOP_MILLISECOND);
	assert_int_equal(rig_stream_count(), streams + 1);
	assert_int_equal(strncmp(rig_read(guess), "HTTP/1.1 407 ", 13), 0);
	rig_read(socks);
	assert_int_equal(rig_read_length(), 2);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(right), CONNECTED, strlen(CONNECTED)), 0);
	close(guess);
	close(socks);
	leave(right);
}

/* A request that only waits for the back-off is not dropped in favour of silent clients of its address (P7). */
static void test_who_is_held_gives_way_last(void **state)
{
	(void)state;
	set_user();
	be_refused("192.0.2.1", 8);
	int guess = come("192.0.2.1"), right = come("192.0.2.1"), socks = come("192.0.2.1");
	rig_write(guess, CONNECT WRONG);
	rig_write(right, CONNECT RIGHT);
	rig_write_bytes(socks, "\5\1\2", 3);
	rig_write_bytes(socks, "\1\1u\1p", 5);
	int kept = come("192.0.2.1");
	rig_write(kept, "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n" RIGHT);
	flood(silent[0], "192.0.2.1", "");
	assert_false(rig_is_at_end(right));
	assert_false(rig_is_at_end(kept));
	assert_string_equal(rig_read(socks), "\5\2");
	assert_int_equal(rig.tunnel.waiting_count, 512);
	size_t streams = rig_stream_count();
	rig_pass(1600 * LOOP_MILLISECOND);
	assert_int_equal(rig_stream_count(), streams + 2);
	assert_memory_equal(rig_read(socks), "\1\0", 2);
	close(guess);
	close(right);
	close(kept);
	close(socks);
	rig_turn();
	close_flood(silent[0]);
}

/* Many addresses with a few clients each displace no other: the one with the most loses one (P7). */
static void test_who_has_most_places_gives_way(void **state)
{
	(void)state;
	int quiet = come("203.0.113.5");
	for (int i = 0; i < 2 * FLOOD; i++) {
		char address[32];
		snprintf(address, sizeof(address), "192.0.2.%d", i % 200);
		silent[i / FLOOD][i % FLOOD] = come(address);
	}
	assert_int_equal(rig.tunnel.waiting_count, 1024);
	assert_false(rig_is_at_end(quiet));
	int other = come("203.0.113.6");
	assert_false(rig_is_at_end(quiet));
	close(quiet);
	close(other);
	assert_int_equal(close_flood(silent[0]) + close_flood(silent[1]), 2 * FLOOD + 2 - 1024);
}

/* A local program can use 16 million source addresses. */
static void test_the_loopback_is_one_address(void **state)
{
	(void)state;
	for (int i = 0; i < FLOOD; i++) {
		char address[32];
		snprintf(address, sizeof(address), "127.0.%d.%d", i / 100, i % 100);
		silent[0][i] = come(i % 10 == 0 ? "::1" : address);
	}
	assert_int_equal(rig.tunnel.waiting_count, 512);
	assert_int_equal(close_flood(silent[0]), FLOOD - 512);
}

/* 32.1.13.184 has the bytes with which 2001:db8::/64 begins. */
static void test_an_ipv4_address_is_no_ipv6_network(void **state)
{
	(void)state;
	union wireguard_endpoint four = rig_host("32.1.13.184", 1), mapped = rig_host("::ffff:32.1.13.184", 1), six = rig_host("2001:db8::1", 1);
	assert_int_not_equal(address_source(&four), address_source(&six));
	assert_int_equal(address_source(&four), address_source(&mapped));
}

/* None of the blocks that the pool gives next has the text. */
static bool is_left_in_the_pool(const char *text)
{
	struct block *blocks[2] = { pool_take(rig.context.pool, false), pool_take(rig.context.pool, false) };
	bool is_left = false;
	for (size_t i = 0; i < 2; i++) {
		is_left |= memmem(blocks[i]->bytes, blocks[i]->capacity, text, strlen(text)) != NULL;
		pool_give(rig.context.pool, blocks[i]);
	}
	return is_left;
}

/* P8, X16: a password is wiped when it was looked at, whether it was right, and whoever gets the block next. */
static void test_no_password_stays_in_a_block(void **state)
{
	(void)state;
	set_user();
	expect_served("192.0.2.1", CONNECT RIGHT "early");
	assert_false(is_left_in_the_pool("dTpw"));
	be_refused("192.0.2.1", 1);
	assert_false(is_left_in_the_pool("dTp4"));
	int client = come("192.0.2.2");
	rig_write_bytes(client, "\5\1\2\1\7unknown\10guessing", 20);
	rig_pass(1600 * LOOP_MILLISECOND);
	close(client);
	rig_turn();
	assert_false(is_left_in_the_pool("guessing"));
	client = come("192.0.2.3");
	rig_write(client, "GET / HTTP/1.1\r\nProxy-Authorization: Basic aGFsZg");
	close(client);
	rig_turn();
	assert_false(is_left_in_the_pool("aGFsZg"));
}

static int start(void **state)
{
	struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &files);
	return rig_start(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_silence_does_not_lock_out_who_has_a_password),
		TEST(test_silence_does_not_lock_out_where_nobody_needs_one),
		TEST(test_who_was_refused_still_waits),
		TEST(test_an_address_has_half_of_the_places),
		TEST(test_the_limit_is_for_those_who_may_pass),
		TEST(test_back_off_is_for_the_address_that_guesses),
		TEST(test_who_is_held_gives_way_last),
		TEST(test_who_has_most_places_gives_way),
		TEST(test_the_loopback_is_one_address),
		TEST(test_no_password_stays_in_a_block),
		TEST(test_an_ipv4_address_is_no_ipv6_network),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
