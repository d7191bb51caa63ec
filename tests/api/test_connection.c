/* A9, and X15 for the API: limits per address, the reserve, and the deadline of each phase, over socket pairs and a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http_connection.h"

struct pair {
	int server, client;
	struct api_http_connection *connection;
};

/* A connection over loopback: the accepted end has a TCP address, as the table wants to see it. */
static struct pair connect_pair(struct api_http_connections *all, uint64_t now)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	struct pair pair = { .client = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(connect(pair.client, (struct sockaddr *)&address, length), 0);
	pair.server = accept(listener, NULL, NULL);
	assert_true(pair.server >= 0);
	close(listener);
	pair.connection = api_http_connection_open(all, pair.server, now);
	assert_non_null(pair.connection);
	assert_ptr_equal(api_http_connection_take_up(all, pair.server), pair.connection);
	return pair;
}

static void close_pair(struct api_http_connections *all, struct pair *pair)
{
	api_http_connection_close(all, pair->connection);
	close(pair->server);
	close(pair->client);
}

static bool is_shut(const struct pair *pair)
{
	char byte;
	return recv(pair->client, &byte, 1, MSG_DONTWAIT) == 0;
}

static void a5_each_phase_has_its_deadline(void **state)
{
	(void)state;
	static const struct {
		enum connection_phase phase;
		uint64_t lasts; /* 0: for ever */
	} phases[] = { { CONNECTION_HEAD, 10000 },
		       { CONNECTION_BODY, 10000 },
		       { CONNECTION_REPLYING, 300000 },
		       { CONNECTION_IDLE, 60000 },
		       { CONNECTION_WAITING, 0 } };
	struct api_http_connections *all = api_http_connections_create();
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct pair pair = connect_pair(all, 1000);
		api_http_connection_enter(all, pair.connection, CONNECTION_IDLE, 1000);
		api_http_connection_enter(all, pair.connection, phases[i].phase, 5000);
		uint64_t until = phases[i].lasts ? 5000 + phases[i].lasts : UINT64_MAX - 1;
		api_http_connections_expire(all, until - 1);
		assert_false(is_shut(&pair));
		api_http_connections_expire(all, until);
		assert_int_equal(is_shut(&pair), phases[i].lasts != 0);
		close_pair(all, &pair);
	}
	/* A first head from accept on, whenever its request line comes. */
	struct pair pair = connect_pair(all, 1000);
	api_http_connection_enter(all, pair.connection, CONNECTION_HEAD, 9000);
	api_http_connections_expire(all, 10999);
	assert_false(is_shut(&pair));
	api_http_connections_expire(all, 11000);
	assert_true(is_shut(&pair));
	close_pair(all, &pair);
	api_http_connections_free(all);
}

static void a9_the_reserve_comes_after_the_limit(void **state)
{
	(void)state;
	struct api_http_connections *all = api_http_connections_create();
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001) };
	struct pair *pairs = calloc(CONNECTIONS_ADDRESS_MAX + CONNECTIONS_RESERVE, sizeof(*pairs));
	for (size_t i = 0; i < CONNECTIONS_ADDRESS_MAX + CONNECTIONS_RESERVE; i++) {
		assert_true(api_http_connections_admit(all, (struct sockaddr *)&here));
		pairs[i] = connect_pair(all, 0);
		assert_int_equal(api_http_connection_is_reserve(pairs[i].connection), i >= CONNECTIONS_ADDRESS_MAX);
		assert_false(api_http_connection_is_unix(pairs[i].connection));
		assert_false(api_http_connection_is_operator(pairs[i].connection));
	}
	assert_false(api_http_connections_admit(all, (struct sockaddr *)&here));
	assert_true(api_http_connections_admit(all, (struct sockaddr *)&other));
	/* The reserve is given back sooner than the rest. */
	api_http_connections_expire(all, 2000);
	assert_false(is_shut(&pairs[0]));
	assert_true(is_shut(&pairs[CONNECTIONS_ADDRESS_MAX]));
	for (size_t i = 0; i < CONNECTIONS_ADDRESS_MAX + CONNECTIONS_RESERVE; i++)
		close_pair(all, &pairs[i]);
	assert_true(api_http_connections_admit(all, (struct sockaddr *)&here));
	free(pairs);
	api_http_connections_free(all);
}

/* The table forgets it by itself, and leaves its descriptor alone, which may be another's by then. */
static void what_the_library_never_began(void **state)
{
	(void)state;
	struct api_http_connections *all = api_http_connections_create();
	int ends[2];
	char byte;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_non_null(api_http_connection_open(all, ends[0], 0));
	api_http_connections_expire(all, 10000);
	assert_int_equal(recv(ends[1], &byte, 1, MSG_DONTWAIT), -1);
	assert_null(api_http_connection_take_up(all, ends[0]));
	close(ends[0]);
	close(ends[1]);
	api_http_connections_free(all);
}

static void unix_peers_are_told_by_their_user(void **state)
{
	(void)state;
	struct api_http_connections *all = api_http_connections_create();
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct api_http_connection *connection = api_http_connection_open(all, ends[0], 0);
	assert_true(api_http_connection_is_unix(connection));
	assert_true(api_http_connection_is_operator(connection)); /* both ends are this process */
	assert_null(api_http_connection_local(connection));
	struct sockaddr from = { .sa_family = AF_UNIX };
	assert_true(api_http_connections_admit(all, &from));
	api_http_connection_close(all, connection);
	close(ends[0]);
	close(ends[1]);
	api_http_connections_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a5_each_phase_has_its_deadline),
		cmocka_unit_test(a9_the_reserve_comes_after_the_limit),
		cmocka_unit_test(what_the_library_never_began),
		cmocka_unit_test(unix_peers_are_told_by_their_user),
	};
	return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
