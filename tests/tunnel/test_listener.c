/* Host sockets that accept for a tunnel: nothing before they are started, and what happens when descriptors run out (F2). */
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/proxy/listener.h"

static union wireguard_endpoint at;

static int bound(int type)
{
	union wireguard_endpoint local = { .v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
	socklen_t length = sizeof(at);
	int descriptor = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(descriptor, &local.any, sizeof(local.v4)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(descriptor, 128), 0);
	assert_int_equal(getsockname(descriptor, &at.any, &length), 0);
	return descriptor;
}

static int come(void)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(client, &at.any, sizeof(at.v4)), 0);
	return client;
}

static struct listener *listen_for(enum message_socket_kind kind)
{
	struct message_socket socket = { .id = 7, .kind = (uint8_t)kind, .index = 2 };
	struct listener *listener = listener_create(&rig.tunnel, &socket, bound(SOCK_STREAM));
	assert_non_null(listener);
	return listener;
}

static void nothing_is_accepted_before_the_start(void **state)
{
	(void)state;
	struct listener *listener = listen_for(MESSAGE_SOCKET_PROXY);
	assert_null(rig.tunnel.listeners);
	int client = come();
	rig_turn();
	assert_null(rig.tunnel.connections);
	listener_start(listener);
	assert_ptr_equal(rig.tunnel.listeners, listener);
	rig_turn();
	assert_non_null(rig.tunnel.connections);
	close(client);
	rig_turn();
	listener_free(listener);
	assert_null(rig.tunnel.listeners);
}

static void all_that_came_are_accepted(void **state)
{
	int clients[100];
	(void)state;
	struct listener *listener = listen_for(MESSAGE_SOCKET_PROXY);
	listener_start(listener);
	for (size_t i = 0; i < 100; i++)
		clients[i] = come();
	rig_turn();
	assert_int_equal(rig.tunnel.waiting_count, 100);
	for (size_t i = 0; i < 100; i++)
		close(clients[i]);
	rig_turn();
	assert_int_equal(rig.tunnel.waiting_count, 0);
	listener_free(listener);
}

/* F2: it rests for 100 ms and does not spin; who came is served when there are descriptors again. */
static void want_of_descriptors_makes_it_pause(void **state)
{
	struct rlimit before, none;
	(void)state;
	struct listener *listener = listen_for(MESSAGE_SOCKET_PROXY);
	listener_start(listener);
	int client = come();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rig_turn(); /* fails when the loop spins */
	assert_int_equal(poller_events(listener->poller), 0);
	rig_pass(100 * LOOP_MILLISECOND - 1);
	assert_int_equal(poller_events(listener->poller), 0);
	/* Still none: again. */
	rig_pass(1);
	assert_int_equal(poller_events(listener->poller), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	rig_turn();
	assert_null(rig.tunnel.connections);
	rig_pass(100 * LOOP_MILLISECOND);
	assert_non_null(rig.tunnel.connections);
	close(client);
	rig_turn();
	/* One that goes while it rests leaves no deadline: rig_stop looks for it. */
	client = come();
	setrlimit(RLIMIT_NOFILE, &none);
	rig_turn();
	setrlimit(RLIMIT_NOFILE, &before);
	listener_free(listener);
	close(client);
}

/* The forward's index, and its own kind of socket. */
static void a_datagram_socket_is_a_udp_forward(void **state)
{
	struct message_socket socket = { .id = 8, .kind = MESSAGE_SOCKET_FORWARD, .index = 5 };
	(void)state;
	struct listener *listener = listener_create(&rig.tunnel, &socket, bound(SOCK_DGRAM));
	assert_non_null(listener);
	assert_non_null(listener->udp);
	assert_null(listener->poller);
	listener_start(listener);
	rig_turn();
	listener_free(listener);
	/* A forward that the spec does not have: its client is closed. */
	listener = listen_for(MESSAGE_SOCKET_FORWARD);
	listener_start(listener);
	int client = come();
	rig_turn();
	assert_true(rig_is_at_end(client));
	assert_null(rig.tunnel.connections);
	close(client);
	/* The others in the list stay. */
	struct listener *second = listen_for(MESSAGE_SOCKET_PROXY);
	listener_start(second);
	listener_free(listener);
	assert_ptr_equal(rig.tunnel.listeners, second);
	listener_free(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_accepted_before_the_start),
		TEST(all_that_came_are_accepted),
		TEST(want_of_descriptors_makes_it_pause),
		TEST(a_datagram_socket_is_a_udp_forward),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
