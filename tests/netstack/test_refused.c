/* What the facade refuses, with the error that netstack.h gives it, and nothing changed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "tests/netstack/owner.h"

#include "tests/netstack/peer.h"

#define PINGS_MOST 64

static struct link *link;
static struct netstack *stack;
static unsigned answered;

static int start(void **state)
{
	(void)state;
	link = link_create(1, 64 << 20);
	stack = link_side(link, 0)->stack;
	answered = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	link_free(link);
	return netstack_memory_used() == 0 ? 0 : -1;
}

static void on_ping(void *owner, uint64_t round_trip)
{
	(void)owner;
	(void)round_trip;
	answered++;
}

static void on_accept(void *owner, struct netstack_stream *stream)
{
	(void)owner;
	netstack_stream_abort(stream, link_now(link));
}

static int try_to_connect(struct netstack *from, const struct netstack_endpoint *to)
{
	struct peer peer;

	peer_init(&peer, link, 0);
	return netstack_stream_connect(from, to, &peer_events, &peer, link_now(link), &peer.stream);
}

/* A stack of IPv4 alone has no address for IPv6. */
static void a_family_that_is_not_there(void **state)
{
	const struct netstack_config config = { .addresses = { link_address(0, AF_INET, 0) }, .address_count = 1, .mtu = LINK_MTU };
	const struct netstack_env env = { .owner = NULL, .output = owner_take_packet };
	struct netstack_endpoint six = link_address(1, AF_INET6, 80);
	struct netstack_flow *flow;
	struct netstack *single;

	(void)state;
	assert_int_equal(netstack_create(&single, &config, &env, link_now(link)), 0);
	assert_false(netstack_has_family(single, AF_INET6));
	assert_int_equal(netstack_ping(single, &six, SECOND, on_ping, NULL, link_now(link)), NETSTACK_NO_ADDRESS);
	assert_int_equal(try_to_connect(single, &six), NETSTACK_NO_ADDRESS);
	assert_int_equal(netstack_flow_open(single, NULL, owner_ignore_datagram, NULL, &flow), 0);
	assert_int_equal(netstack_flow_send(flow, &six, "?", 1, link_now(link)), NETSTACK_NO_ADDRESS);
	netstack_free(single);
}

static void an_address_of_somebody_else(void **state)
{
	struct netstack_endpoint other = link_address(1, AF_INET, 80);
	struct netstack_listener *listener;
	struct netstack_flow *flow;

	(void)state;
	assert_int_equal(netstack_listen(stack, &other, on_accept, NULL, &listener), NETSTACK_NO_ADDRESS);
	assert_int_equal(netstack_flow_open(stack, &other, owner_ignore_datagram, NULL, &flow), NETSTACK_NO_ADDRESS);
}

/* A flow of one family sends to no other. */
static void a_target_of_the_other_family(void **state)
{
	struct netstack_endpoint at = link_address(0, AF_INET, 0), six = link_address(1, AF_INET6, 80);
	struct netstack_flow *flow;

	(void)state;
	assert_int_equal(netstack_flow_open(stack, &at, owner_ignore_datagram, NULL, &flow), 0);
	assert_int_equal(netstack_flow_send(flow, &six, "?", 1, link_now(link)), NETSTACK_NO_ADDRESS);
}

/* Port 0 is nobody's, and what is ours is not in the tunnel. */
static void a_target_that_cannot_be(void **state)
{
	struct netstack_endpoint nobody = link_address(1, AF_INET, 0), ourselves = link_address(0, AF_INET, 80);

	(void)state;
	assert_int_not_equal(try_to_connect(stack, &nobody), 0);
	assert_int_not_equal(try_to_connect(stack, &ourselves), 0);
	assert_int_equal(netstack_stream_count(stack), 0);
}

static void a_port_that_is_taken(void **state)
{
	struct netstack_endpoint at = link_address(0, AF_INET, 53), any = { .port = 53 }, six = link_address(0, AF_INET6, 53);
	struct netstack_flow *flow, *other;
	struct netstack_listener *listener, *second;

	(void)state;
	assert_int_equal(netstack_flow_open(stack, &at, owner_ignore_datagram, NULL, &flow), 0);
	assert_int_equal(netstack_flow_open(stack, &at, owner_ignore_datagram, NULL, &other), NETSTACK_IN_USE);
	assert_int_equal(netstack_flow_open(stack, &any, owner_ignore_datagram, NULL, &other), NETSTACK_IN_USE);
	assert_int_equal(netstack_flow_open(stack, &six, owner_ignore_datagram, NULL, &other), 0);
	assert_int_equal(netstack_listen(stack, &at, on_accept, NULL, &listener), 0);
	assert_int_equal(netstack_listen(stack, &at, on_accept, NULL, &second), NETSTACK_IN_USE);
}

/* No room in the tunnel now. */
static void a_packet_that_has_no_room(void **state)
{
	struct netstack_endpoint to = link_address(1, AF_INET, 80);
	struct netstack_flow *flow;

	(void)state;
	assert_int_equal(netstack_flow_open(stack, NULL, owner_ignore_datagram, NULL, &flow), 0);
	link_side(link, 0)->is_refusing = true;
	assert_int_equal(netstack_ping(stack, &to, SECOND, on_ping, NULL, link_now(link)), NETSTACK_BUSY);
	assert_int_equal(netstack_flow_send(flow, &to, "?", 1, link_now(link)), NETSTACK_BUSY);
	link_side(link, 0)->is_refusing = false;
	netstack_writable(stack, link_now(link));
	assert_int_equal(netstack_flow_send(flow, &to, "?", 1, link_now(link)), 0);
	link_run(link, link_now(link) + 5 * SECOND, NULL, NULL);
	assert_int_equal(answered, 0); /* what was refused is not answered */
}

/* P6. */
static void more_pings_than_there_may_be(void **state)
{
	struct netstack_endpoint to = link_address(1, AF_INET, 0);

	(void)state;
	for (int i = 0; i < PINGS_MOST; i++)
		assert_int_equal(netstack_ping(stack, &to, SECOND, on_ping, NULL, link_now(link)), 0);
	assert_int_equal(netstack_ping(stack, &to, SECOND, on_ping, NULL, link_now(link)), NETSTACK_BUSY);
	link_run(link, link_now(link) + 5 * SECOND, NULL, NULL);
	assert_int_equal(answered, PINGS_MOST);
	assert_int_equal(netstack_ping(stack, &to, SECOND, on_ping, NULL, link_now(link)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_family_that_is_not_there, start, end),
		cmocka_unit_test_setup_teardown(an_address_of_somebody_else, start, end),
		cmocka_unit_test_setup_teardown(a_target_of_the_other_family, start, end),
		cmocka_unit_test_setup_teardown(a_target_that_cannot_be, start, end),
		cmocka_unit_test_setup_teardown(a_port_that_is_taken, start, end),
		cmocka_unit_test_setup_teardown(a_packet_that_has_no_room, start, end),
		cmocka_unit_test_setup_teardown(more_pings_than_there_may_be, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
