/* Datagrams of the host: whole, with their source, and those that the kernel had no room for are counted (SO_RXQ_OVFL, socket(7)). */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/proxy/host_datagram.h"

static uint8_t bytes[HOST_DATAGRAM_MAX];
static int descriptor, client;
static union wireguard_endpoint source;

static int bound(union wireguard_endpoint *at)
{
	union wireguard_endpoint local = { .v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } } };
	socklen_t length = sizeof(*at);
	int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(made, &local.any, sizeof(local.v4)), 0);
	assert_int_equal(getsockname(made, &at->any, &length), 0);
	return made;
}

static int start(void **state)
{
	union wireguard_endpoint at;
	int on = 1, small = 1;
	rig_start(state);
	descriptor = bound(&at);
	client = bound(&source);
	setsockopt(descriptor, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	return connect(client, &at.any, sizeof(at.v4));
}

static int stop(void **state)
{
	close(descriptor);
	close(client);
	return rig_stop(state);
}

static void they_come_whole_with_their_source(void **state)
{
	union wireguard_endpoint from = { 0 };
	uint32_t lost = 0;
	(void)state;
	assert_int_equal(send(client, "hello", 5, 0), 5);
	assert_int_equal(host_datagram_receive(&rig.tunnel, descriptor, bytes, &from, &lost), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_true(endpoint_equal(&from, &source));
	assert_int_equal(send(client, "", 0, 0), 0);
	assert_int_equal(host_datagram_receive(&rig.tunnel, descriptor, bytes, NULL, &lost), 0);
	assert_int_equal(host_datagram_receive(&rig.tunnel, descriptor, bytes, &from, &lost), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(lost, 0);
}

/* Each lost one once, however many are read after it. */
static void what_the_kernel_lost_is_counted_once(void **state)
{
	counter *overflow = &rig.tunnel.counters->dropped[COUNTERS_DROP_OVERFLOW];
	uint32_t lost = 0;
	unsigned sent = 0, came = 0;
	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 200; i++)
			sent += send(client, bytes, 500, 0) == 500;
		while (host_datagram_receive(&rig.tunnel, descriptor, bytes, NULL, &lost) > 0)
			came++;
		/* The number comes with the next datagram that there is room for. */
		sent += send(client, "x", 1, 0) == 1;
		came += host_datagram_receive(&rig.tunnel, descriptor, bytes, NULL, &lost) == 1;
		assert_true(came < sent);
		assert_int_equal(counter_read(overflow), sent - came);
	}
	assert_int_equal(lost, sent - came);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(they_come_whole_with_their_source),
		TEST(what_the_kernel_lost_is_counted_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
