/* F1: a stack whose every allocation fails, one after the other: what was asked for ends with an error or comes about later, nothing is wrong and
 * nothing stays behind. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/packet.h"
#include "tests/failing_heap.h"
#include "tests/netstack/craft.h"
#include "tests/netstack/owner.h"
#include "tests/netstack/peer.h"

#define BYTES 30000

struct world {
	struct link *link;
	struct peer client, server;
	struct netstack_listener *listener;
	struct netstack_flow *flow, *names;
	struct netstack_resolver *resolver;
	struct netstack_query *query;
	unsigned datagrams, pings, answers;
	uint8_t family;
};

static void on_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct world *world = owner;

	(void)from;
	(void)bytes;
	(void)length;
	world->datagrams++;
}

/* A server of names that has the first answer fetched by TCP, where nobody listens, and has no such name after that. */
static void on_question(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct world *world = owner;
	uint8_t reply[512];

	assert_in_range(length, 12, sizeof(reply));
	memcpy(reply, bytes, length);
	packet_write16(reply + 2, world->answers++ == 0 ? 0x8380 : 0x8183);
	int result = netstack_flow_send(world->names, from, reply, length, link_now(world->link));
	assert_true(result == 0 || result == NETSTACK_BUSY || result == NETSTACK_OUT_OF_MEMORY);
}

static void on_ping(void *owner, uint64_t round_trip)
{
	struct world *world = owner;

	(void)round_trip;
	world->pings++;
}

static void on_name(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct world *world = owner;

	(void)addresses;
	(void)count;
	assert_int_not_equal(error, NETSTACK_NAME_OK);
	if (!more)
		world->query = NULL;
}

static void expect_room(int result)
{
	assert_true(result == 0 || result == NETSTACK_OUT_OF_MEMORY);
}

static void send_datagrams(struct world *world, uint64_t now)
{
	struct netstack_endpoint from = link_address(0, world->family, 7), to = link_address(1, world->family, 9);
	static const uint8_t payload[3000];
	uint8_t packet[2000];

	if (world->flow != NULL) {
		int result = netstack_flow_send(world->flow, &to, payload, 500, now);
		assert_true(result == 0 || result == NETSTACK_BUSY || result == NETSTACK_OUT_OF_MEMORY);
	}
	if (world->family != AF_INET)
		return;
	struct netstack *stack = link_side(world->link, 1)->stack;
	netstack_input(stack, packet, craft_fragment(packet, &from, &to, 1, 800, 0, payload, 100), now);
	netstack_input(stack, packet, craft_fragment(packet, &from, &to, 1, 0, 1, payload, 800), now);
}

static void ask_for_everything(struct world *world)
{
	struct netstack *near = link_side(world->link, 0)->stack, *far = link_side(world->link, 1)->stack;
	struct netstack_endpoint at = link_address(1, world->family, 80), names = link_address(1, world->family, 53);
	struct netstack_endpoint any = link_address(1, world->family, 9);
	uint64_t now = link_now(world->link);

	expect_room(netstack_listen(far, &at, peer_accept, &world->server, &world->listener));
	expect_room(netstack_flow_open(far, &any, on_datagram, world, &world->flow));
	netstack_flow_close(world->flow);
	world->flow = NULL;
	expect_room(netstack_flow_open(far, &names, on_question, world, &world->names));
	expect_room(netstack_flow_open(near, NULL, on_datagram, world, &world->flow));
	expect_room(netstack_ping(near, &at, SECOND, on_ping, world, now));
	expect_room(netstack_resolver_create(&world->resolver, near, &names, 1));
	if (world->resolver != NULL)
		netstack_resolve(world->resolver, "host.test", on_name, world, now, &world->query);
	expect_room(peer_connect(&world->client, 0, world->family, 80));
	send_datagrams(world, now);
}

/* Returns how many allocations failed. */
static unsigned run(uint8_t family, unsigned allowed, void (*fails)(unsigned allowed))
{
	struct world world = { .link = link_create(1, 64 << 20), .family = family };

	link_set(world.link, &(struct link_profile){ .delay = 10 * MS, .reorder = 0.2, .loss = 0.05 });
	peer_init(&world.client, world.link, BYTES);
	peer_init(&world.server, world.link, BYTES);
	fails(allowed);
	ask_for_everything(&world);
	link_run(world.link, link_now(world.link) + 3 * SECOND, NULL, NULL);
	unsigned refused = heap_refused();
	heap_works();
	link_run(world.link, link_now(world.link) + 30 * SECOND, NULL, NULL);
	assert_false(world.client.is_wrong || world.server.is_wrong);
	if (world.client.is_closed && world.client.why == NETSTACK_OK)
		assert_int_equal(world.client.received, BYTES);
	if (refused == 0) {
		assert_int_equal(world.server.received, BYTES);
		assert_int_equal(world.pings, 1);
	}
	netstack_resolver_free(world.resolver);
	netstack_flow_close(world.flow);
	netstack_flow_close(world.names);
	netstack_listener_free(world.listener);
	link_free(world.link);
	return refused;
}

static void nothing(unsigned allowed)
{
	(void)allowed;
	heap_fails_after(UINT32_MAX);
}

static void run_with_each_failing(uint8_t family)
{
	unsigned allowed = 0;

	assert_int_equal(run(family, 0, nothing), 0);
	while (run(family, allowed, heap_fails_once_after) > 0)
		allowed++;
	assert_true(allowed > 30);
	for (unsigned i = 0; i < allowed; i += 7)
		run(family, i, heap_fails_after);
}

static void each_allocation_may_fail_with_ipv4(void **state)
{
	(void)state;
	run_with_each_failing(AF_INET);
}

static void each_allocation_may_fail_with_ipv6(void **state)
{
	(void)state;
	run_with_each_failing(AF_INET6);
}

/* A stack is there, or it is not. */
static void a_stack_comes_about_whole_or_not_at_all(void **state)
{
	const struct netstack_config config = { .addresses = { { .family = AF_INET, .bytes = { 10, 0, 0, 9 } } }, .address_count = 1, .mtu = 1420 };
	const struct netstack_env env = { .owner = NULL, .output = owner_take_packet };
	struct link *link = link_create(1, 64 << 20);
	unsigned refused = 1;

	(void)state;
	for (unsigned allowed = 0; refused > 0; allowed++) {
		struct netstack *stack = NULL;
		heap_fails_after(allowed);
		int result = netstack_create(&stack, &config, &env, link_now(link));
		refused = heap_refused();
		heap_works();
		assert_int_equal(result, refused > 0 ? NETSTACK_OUT_OF_MEMORY : 0);
		netstack_free(stack);
	}
	link_free(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail_with_ipv4),
		cmocka_unit_test(each_allocation_may_fail_with_ipv6),
		cmocka_unit_test(a_stack_comes_about_whole_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
