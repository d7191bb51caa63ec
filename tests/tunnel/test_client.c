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

/* A client that has already sent the given text is accepted, within a turn. */
static int come_saying(const char *address, const char *text)
{
	int ends[2];
	union wireguard_endpoint from = rig_host(address, 4000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(send(ends[0], text, strlen(text), MSG_NOSIGNAL), strlen(text));
	client_accept(&port, ends[1], &from);
	return ends[0];
}

static int come(const char *address)
{
	int client = come_saying(address, "");
	rig_turn();
	return client;
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

/* What came with the connection needs no second wait. */
static void test_a_request_is_read_in_the_turn_of_its_client(void **state)
{
	(void)state;
	int client = come_saying("192.0.2.1", CONNECT "\r\n");
	assert_non_null(rig.tunnel.dials);
	rig_turn();
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), CONNECTED, strlen(CONNECTED)), 0);
	leave(client);
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
	struct block *blocks[2] = { block_pool_take(rig.context.blocks, false), block_pool_take(rig.context.blocks, false) };
	bool is_left = false;
	for (size_t i = 0; i < 2; i++) {
		is_left |= memmem(blocks[i]->bytes, blocks[i]->capacity, text, strlen(text)) != NULL;
		block_pool_give(rig.context.blocks, blocks[i]);
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

/* SOCKS and the first bytes. */

static uint64_t failed(enum counters_failure failure)
{
	return counter_read(&rig.tunnel.counters->connections_failed[failure]);
}

/* What the client is told, and whether it is closed then. */
static void expect(int client, const void *bytes, size_t length, bool is_closed)
{
	const char *seen = rig_read(client);
	assert_int_equal(rig_read_length(), length);
	assert_memory_equal(seen, bytes, length);
	assert_int_equal(rig_is_at_end(client), is_closed);
}

#define TELL(client, text) rig_write_bytes(client, text, sizeof(text) - 1)
#define EXPECT(client, text, is_closed) expect(client, text, sizeof(text) - 1, is_closed)

/* RFC 1928: byte by byte, or with what comes after it in one piece. */
static void test_socks5_connects(void **state)
{
	static const char request[] = "\5\1\0\5\1\0\1\306\63\144\7\1\273early";
	(void)state;
	int client = come("192.0.2.1");
	for (size_t i = 0; i < 3; i++)
		rig_write_bytes(client, request + i, 1);
	EXPECT(client, "\5\0", false);
	for (size_t i = 3; i < 13; i++)
		rig_write_bytes(client, request + i, 1);
	assert_int_equal(rig_stream()->remote.port, 443);
	assert_memory_equal(rig_stream()->remote.bytes, "\306\63\144\7", 4);
	rig_connected(rig_stream());
	/* The address that the tunnel's end of the stream has. */
	EXPECT(client, "\5\0\0\1\12\2\0\2\234\100", false);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_SOCKS5]), 1);
	leave(client);
	client = come("192.0.2.1");
	rig_write_bytes(client, request, sizeof(request) - 1);
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), "early");
	leave(client);
}

static void test_socks4_connects_to_addresses_and_names(void **state)
{
	(void)state;
	int client = come("192.0.2.1");
	TELL(client, "\4\1\0\120\306\63\144\7user\0more");
	rig_connected(rig_stream());
	EXPECT(client, "\0\132\0\0\0\0\0\0", false);
	assert_string_equal(rig_stream_read(rig_stream()), "more");
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_SOCKS4]), 1);
	leave(client);
	client = come("192.0.2.1");
	TELL(client, "\4\1\0\120\0\0\0\1\0web.example\0");
	assert_true(rig_is_asked("web.example"));
	rig_name("web.example", "198.51.100.9");
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	EXPECT(client, "\0\133\0\0\0\0\0\0", true);
	assert_int_equal(failed(COUNTERS_FAILED_REFUSED), 1);
	close(client);
}

/* X12: the reply says why. */
static void test_socks5_failures_have_their_codes(void **state)
{
	static const struct {
		enum netstack_error why;
		uint8_t reply;
	} rows[] = { { NETSTACK_REFUSED, 5 }, { NETSTACK_UNREACHABLE, 4 }, { NETSTACK_TIMED_OUT, 6 } };
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int client = come("192.0.2.1");
		TELL(client, "\5\1\0\5\1\0\1\306\63\144\7\1\273");
		EXPECT(client, "\5\0", false);
		rig_refuse(rig_stream(), rows[i].why);
		const uint8_t reply[10] = { 5, rows[i].reply, 0, 1 };
		expect(client, reply, sizeof(reply), true);
		close(client);
	}
	/* BIND is no command of ours, and what the policy refuses is said to be that. */
	int client = come("192.0.2.1");
	TELL(client, "\5\1\0\5\2\0\1\306\63\144\7\1\273");
	EXPECT(client, "\5\0\5\7\0\1\0\0\0\0\0\0", true);
	close(client);
	client = come("192.0.2.1");
	TELL(client, "\5\1\0\5\1\0\1\177\0\0\1\1\273");
	EXPECT(client, "\5\0\5\2\0\1\0\0\0\0\0\0", true);
	assert_int_equal(failed(COUNTERS_FAILED_POLICY), 1);
	close(client);
}

/* Where passwords are asked for, nothing else is accepted (RFC 1929), and a wrong one is told late (X8). */
static void test_socks5_asks_for_a_password(void **state)
{
	(void)state;
	set_user();
	int client = come("192.0.2.1");
	TELL(client, "\5\1\0");
	EXPECT(client, "\5\377", true);
	assert_int_equal(failed(COUNTERS_FAILED_AUTHENTICATION), 1);
	close(client);
	client = come("192.0.2.1");
	TELL(client, "\5\2\0\2");
	EXPECT(client, "\5\2", false);
	TELL(client, "\1\1u\1p");
	EXPECT(client, "\1\0", false);
	assert_int_equal(rig.tunnel.connection_count, 1);
	TELL(client, "\5\1\0\1\306\63\144\7\1\273");
	rig_connected(rig_stream());
	rig_read(client);
	leave(client);
	client = come("192.0.2.1");
	TELL(client, "\5\1\2\1\1u\1x\5\1\0\1\306\63\144\7\1\273");
	EXPECT(client, "\5\2", false);
	rig_pass(1600 * LOOP_MILLISECOND);
	EXPECT(client, "\1\1", true);
	assert_int_equal(failed(COUNTERS_FAILED_AUTHENTICATION), 2);
	assert_true(rig_stream()->gone); /* nothing was dialled */
	close(client);
	/* SOCKS4 has no password. */
	client = come("192.0.2.1");
	TELL(client, "\4\1\0\120\306\63\144\7u\0");
	EXPECT(client, "\0\133\0\0\0\0\0\0", true);
	assert_int_equal(failed(COUNTERS_FAILED_AUTHENTICATION), 3);
	close(client);
}

/* Without users any login may come, and one that cannot be read is refused. */
static void test_socks5_takes_any_login_where_none_is_asked_for(void **state)
{
	(void)state;
	int client = come("192.0.2.1");
	TELL(client, "\5\1\2\1\0\0");
	EXPECT(client, "\5\2\1\0", false);
	close(client);
	rig_turn();
	client = come("192.0.2.1");
	TELL(client, "\5\1\1");
	EXPECT(client, "\5\377", true);
	close(client);
}

/* Each protocol is served where it is asked for; what is none is closed without a word. */
static void test_only_the_protocols_of_the_spec_are_served(void **state)
{
	static const struct {
		unsigned protocols;
		const char *first;
		bool is_served;
	} rows[] = {
		{ SPEC_HTTP, "G", true },    { SPEC_HTTP, "\5", false },
		{ SPEC_HTTP, "\4", false },  { SPEC_SOCKS5, "\5", true },
		{ SPEC_SOCKS5, "G", false }, { SPEC_SOCKS5, "\4", false },
		{ SPEC_SOCKS4, "\4", true }, { SPEC_SOCKS4, "\5", false },
		{ SPEC_SOCKS4, "C", false }, { SPEC_HTTP | SPEC_SOCKS4, "\5", false },
	};
	unsigned before = rig.tunnel.spec.protocols;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t bad = failed(COUNTERS_FAILED_BAD_REQUEST);
		rig.tunnel.spec.protocols = rows[i].protocols;
		int client = come("192.0.2.1");
		rig_write_bytes(client, rows[i].first, 1);
		if (rig_is_at_end(client) == rows[i].is_served)
			fail_msg("row %zu", i);
		assert_int_equal(failed(COUNTERS_FAILED_BAD_REQUEST) - bad, !rows[i].is_served);
		close(client);
		rig_turn();
	}
	rig.tunnel.spec.protocols = before;
}

/* P6: a head in time, and not without end. */
static void test_a_head_has_its_time_and_its_size(void **state)
{
	(void)state;
	int client = come("192.0.2.1");
	rig_write(client, "CONNECT ");
	rig_pass(10 * LOOP_SECOND - 1);
	assert_false(rig_is_at_end(client));
	rig_pass(1);
	assert_true(rig_is_at_end(client));
	assert_int_equal(failed(COUNTERS_FAILED_TIMEOUT), 1);
	close(client);
	char line[1001];
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "A: ", 3);
	memcpy(line + 998, "\r\n", 3);
	client = come("192.0.2.1");
	rig_write(client, "CONNECT 198.51.100.7:443 HTTP/1.1\r\n");
	for (int i = 0; i < 100 && !rig_is_reset(client) && recv(client, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) < 0; i++)
		rig_write(client, line);
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 431 ", 13), 0);
	assert_true(rig_is_at_end(client));
	close(client);
}

/* Who goes is let go at once: before its request, while it is dialled for; who only finished is waited for. */
static void test_who_leaves_is_let_go(void **state)
{
	(void)state;
	int client = come("192.0.2.1");
	rig_write(client, "CONN");
	close(client);
	rig_turn();
	assert_null(rig.tunnel.connections);
	assert_int_equal(failed(COUNTERS_FAILED_CLIENT_GONE), 1);
	client = come("192.0.2.1");
	rig_write(client, CONNECT "\r\n");
	close(client);
	rig_turn();
	rig_pass(10 * LOOP_SECOND);
	assert_null(rig.tunnel.connections);
	assert_true(rig_stream()->aborted);
	client = come("192.0.2.1");
	rig_write(client, CONNECT "\r\n");
	shutdown(client, SHUT_WR);
	rig_pass(10 * LOOP_SECOND - 1);
	assert_false(rig_is_at_end(client));
	rig_pass(1);
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 504 ", 13), 0);
	assert_true(rig_is_at_end(client) && rig_stream()->aborted);
	close(client);
}

/* After a request that was forwarded the same connection may ask for a tunnel. */
static void test_a_connect_follows_a_get(void **state)
{
	(void)state;
	int client = come("192.0.2.1");
	rig_write(client, "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n" CONNECT "\r\nearly");
	struct netstack_stream *server = rig_stream();
	rig_connected(server);
	assert_non_null(strstr(rig_stream_read(server), "GET / "));
	rig_stream_write(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	assert_non_null(strstr(rig_read(client), "\r\n\r\nhi"));
	assert_ptr_not_equal(rig_stream(), server);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), CONNECTED, strlen(CONNECTED)), 0);
	assert_string_equal(rig_stream_read(rig_stream()), "early");
	leave(client);
}

/* The tunnel's end is the end of each, in whatever state. */
static void test_all_end_with_the_tunnel(void **state)
{
	static const char *const said[] = { "", "CONN", CONNECT "\r\n", "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n" };
	int clients[5];
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		clients[i] = come("192.0.2.1");
		if (said[i][0] != '\0')
			rig_write(clients[i], said[i]);
	}
	clients[4] = come("192.0.2.1");
	rig_write(clients[4], CONNECT "\r\n");
	rig_connected(rig_stream());
	rig_read(clients[4]);
	while (rig.tunnel.connections != NULL)
		rig.tunnel.connections->end(rig.tunnel.connections);
	rig_turn();
	for (size_t i = 0; i < 5; i++) {
		assert_true(rig_is_at_end(clients[i]));
		close(clients[i]);
	}
	for (struct netstack_stream *stream = rig.streams; stream != NULL; stream = stream->next)
		assert_true(stream->gone);
}

static int start(void **state)
{
	struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < 4096 ? files.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &files);
	return rig_start(state);
}

/* X2: bytes come one by one. */
static void say_slowly(int client, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		rig_write_bytes(client, bytes + i, 1);
}

static void test_socks_may_be_split_anywhere(void **state)
{
	static const char five[] = "\5\1\0\3\13web.example\1\273", four[] = "\4\1\1\273\306\63\144\7user";
	(void)state;
	set_user();
	int client = come("192.0.2.1");
	say_slowly(client, "\5\2\0\2", 4);
	assert_memory_equal(rig_read(client), "\5\2", 2);
	say_slowly(client, "\1\1u\1p", 5);
	assert_memory_equal(rig_read(client), "\1\0", 2);
	say_slowly(client, five, sizeof(five) - 1);
	assert_true(rig_is_asked("web.example"));
	rig_name("web.example", "198.51.100.7");
	rig_connected(rig_stream());
	assert_memory_equal(rig_read(client), "\5\0\0\1", 4);
	leave(client);
	rig.tunnel.spec.user_count = 0;
	client = come("192.0.2.1");
	say_slowly(client, four, sizeof(four));
	rig_connected(rig_stream());
	assert_memory_equal(rig_read(client), "\0\132", 2);
	leave(client);
	rig.tunnel.spec.user_count = 1;
}

/* What is no SOCKS is answered as the protocol has it, or not at all, and closed. */
static void test_malformed_socks_is_closed(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *reply;
		size_t reply_length;
	} cases[] = {
		{ "\5\1\1", 3, "\5\377", 2 },                                /* no method that is known */
		{ "\5\1\0\4\1\0\1\306\63\144\7\1\273", 13, "\5\0\5", 3 },    /* another version in the request */
		{ "\5\1\0\5\2\0\1\306\63\144\7\1\273", 13, "\5\0\5\7", 4 },  /* BIND */
		{ "\5\1\0\5\1\0\7\306\63\144\7\1\273", 13, "\5\0\5\10", 4 }, /* another kind of address */
		{ "\5\1\0\5\1\0\3\0\1\273", 10, "\5\0\5", 3 },               /* a name without a letter */
		{ "\4\2\1\273\306\63\144\7", 9, "\0\133", 2 },               /* BIND */
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int client = come("192.0.2.1");
		rig_write_bytes(client, cases[i].bytes, cases[i].length);
		assert_memory_equal(rig_read(client), cases[i].reply, cases[i].reply_length);
		assert_true(rig_is_at_end(client));
		close(client);
		rig_turn();
	}
	/* A login of another version, where one is asked for. */
	set_user();
	int client = come("192.0.2.1");
	rig_write_bytes(client, "\5\1\2", 3);
	assert_memory_equal(rig_read(client), "\5\2", 2);
	rig_write_bytes(client, "\2\1u\1p", 5);
	assert_string_equal(rig_read(client), "");
	rig_pass(2 * LOOP_SECOND); /* as a wrong password */
	assert_memory_equal(rig_read(client), "\1\1", 2);
	assert_true(rig_is_at_end(client));
	close(client);
	rig_turn();
	assert_int_equal(rig_stream_count(), 0);
}

/* HEAD has no body, of a refusal either: the connection would be out of step. */
static void test_a_refused_head_has_no_body(void **state)
{
	(void)state;
	set_user();
	int client = come("192.0.2.1");
	rig_write(client, "HEAD http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n");
	const char *seen = rig_read(client);
	assert_int_equal(strncmp(seen, "HTTP/1.1 407 ", 13), 0);
	assert_string_equal(strstr(seen, "\r\n\r\n"), "\r\n\r\n");
	close(client);
	rig_turn();
}

/* One end of a TCP connection whose other end was accepted. */
static int come_by_tcp(void)
{
	union wireguard_endpoint at = rig_host("127.0.0.1", 0);
	socklen_t size = sizeof(at);
	int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(door, &at.any, sizeof(at.v4)), 0);
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, &at.any, &size), 0);
	assert_int_equal(connect(client, &at.any, sizeof(at.v4)), 0);
	client_accept(&port, accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), &at);
	close(door);
	rig_turn();
	return client;
}

static void reset(int client)
{
	const struct linger now = { .l_onoff = 1 };
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(client);
	rig_turn();
}

/* Nothing is kept for a client that has reset, whatever it waited for. */
static void test_a_reset_ends_it_in_every_state(void **state)
{
	static const char *const said[] = {
		"",
		"CONNECT 198",
		CONNECT "\r\n",
		"GET http://198.51.100.7/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST http://198.51.100.7/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n12345",
		"\5",
		"\5\1\377",
	};
	(void)state;
	for (unsigned connected = 0; connected < 2; connected++)
		for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
			size_t streams = rig_stream_count();
			int client = come_by_tcp();
			rig_write(client, said[i]);
			if (connected != 0 && rig_stream_count() > streams) {
				rig_connected(rig_stream());
				rig_stream_read(rig_stream());
				rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12");
			}
			reset(client);
			assert_null(rig.tunnel.connections);
			assert_null(rig.tunnel.dials);
			assert_true(rig_stream_count() == 0 || rig_stream()->gone);
		}
}

/* Without a limit of inactivity nobody is cut, whatever they do. */
static void test_without_a_limit_silence_ends_nobody(void **state)
{
	(void)state;
	rig.tunnel.spec.idle_timeout = 0;
	int tunnel = come("192.0.2.1"), request = come("192.0.2.1");
	rig_write(tunnel, CONNECT "\r\n");
	rig_connected(rig_stream());
	struct netstack_stream *first = rig_stream();
	rig_write(request, "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n");
	rig_connected(rig_stream());
	rig_pass(24 * 3600 * LOOP_SECOND);
	rig_stream_write(first, "late");
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	assert_non_null(strstr(rig_read(tunnel), "late"));
	assert_non_null(strstr(rig_read(request), "200 OK"));
	rig_stream_close(first, NETSTACK_OK);
	close(tunnel);
	leave(request);
}

/* A tunnel that goes down says so to what is a pool's alone: a connection of its own may come back with the peer. */
static void test_its_own_requests_wait_for_a_peer_that_is_away(void **state)
{
	static const char get[] = "GET http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n";
	(void)state;
	int idle = come("192.0.2.1"), dialled = come("192.0.2.1"), passing = come("192.0.2.1");
	rig_write(passing, get);
	rig_connected(rig_stream());
	struct netstack_stream *stream = rig_stream();
	rig_write(dialled, get);
	connection_tell_down(&rig.tunnel);
	rig_turn();
	rig_stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
	assert_non_null(strstr(rig_read(passing), "200 OK"));
	connection_tell_down(&rig.tunnel); /* between two requests */
	rig_turn();
	assert_int_equal(rig.tunnel.connection_count, 2);
	assert_false(rig_is_at_end(idle));
	rig_stream_close(stream, NETSTACK_OK);
	close(passing);
	close(idle);
	leave(dialled);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_a_request_is_read_in_the_turn_of_its_client),
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
		TEST(test_socks5_connects),
		TEST(test_socks4_connects_to_addresses_and_names),
		TEST(test_socks5_failures_have_their_codes),
		TEST(test_socks5_asks_for_a_password),
		TEST(test_socks5_takes_any_login_where_none_is_asked_for),
		TEST(test_only_the_protocols_of_the_spec_are_served),
		TEST(test_a_head_has_its_time_and_its_size),
		TEST(test_who_leaves_is_let_go),
		TEST(test_a_connect_follows_a_get),
		TEST(test_all_end_with_the_tunnel),
		TEST(test_socks_may_be_split_anywhere),
		TEST(test_malformed_socks_is_closed),
		TEST(test_a_refused_head_has_no_body),
		TEST(test_a_reset_ends_it_in_every_state),
		TEST(test_without_a_limit_silence_ends_nobody),
		TEST(test_its_own_requests_wait_for_a_peer_that_is_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
