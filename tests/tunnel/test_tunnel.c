/* A whole tunnel on a clock that the test moves: device, stack and socket are real, and the peers are sockets of the test. */
#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/netstack/owner.h"
#include "tests/tunnel/rig.h"
#include "tests/wireguard/config.h"
#include "tunnel/connection.h"
#include "tunnel/dial.h"
#include "tunnel/http/target.h"
#include "tunnel/wireguard/sealing.h"
#include "tunnel/worker/change.h"

#define INITIATION_SIZE 148 /* WireGuard paper, 5.4.2 */
#define COOKIE_REPLY_SIZE 64

struct rig rig;

/* Peer 0 has a name with an endpoint, peer 1 a name that is not resolved, peer 2 none. */
static struct {
	struct tunnel *tunnel;
	struct wireguard_key publics[3];
	int peers[2]; /* sockets where peer 0 may be */
	union wireguard_endpoint at[2];
	union wireguard_endpoint from; /* of the last datagram read */
	int own;                       /* the tunnel's socket, borrowed */
	struct wireguard_key far_key;
	struct wireguard_device *far;
	struct wireguard_peer *far_peer;
	uint8_t room[2048];
	unsigned delivered;
	unsigned told[256]; /* by type */
	unsigned ended;
} world;

static void count_message(struct context *context, enum message_type type, struct message_writer *writer)
{
	(void)context;
	assert_false(writer->failed);
	world.told[type]++;
	message_writer_clear(writer);
}

static int bound(int family, union wireguard_endpoint *at)
{
	union wireguard_endpoint local = { .any = { .sa_family = (sa_family_t)family } };
	socklen_t length = sizeof(*at);
	if (family == AF_INET)
		local.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		local.v6.sin6_addr = in6addr_loopback;
	int descriptor = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(descriptor, &local.any, endpoint_length(&local)), 0);
	assert_int_equal(getsockname(descriptor, &at->any, &length), 0);
	return descriptor;
}

/* The length of a datagram that came to the socket, 0: none. */
static size_t arrived(int descriptor, uint8_t bytes[2048])
{
	socklen_t length = sizeof(world.from);
	ssize_t got = recvfrom(descriptor, bytes, 2048, MSG_DONTWAIT, &world.from.any, &length);
	return got < 0 ? 0 : (size_t)got;
}

/* How many initiations came, of nothing else. */
static unsigned initiations_at(int descriptor)
{
	uint8_t bytes[2048];
	unsigned count = 0;
	for (size_t length; (length = arrived(descriptor, bytes)) > 0; count++)
		assert_true(length == INITIATION_SIZE && bytes[0] == 1);
	return count;
}

static void describe(struct spec *spec)
{
	static const char *const names[] = { "near.example", "unknown.example", NULL };
	spec_init(spec);
	randombytes_buf(&spec->private_key, sizeof(spec->private_key));
	spec->has_private_key = true;
	assert_true(network_parse("10.0.0.1", true, &spec->addresses[0]));
	spec->address_count = 1;
	spec->peers = calloc(3, sizeof(*spec->peers));
	spec->peer_count = 3;
	for (unsigned i = 0; i < 3; i++) {
		struct spec_peer *peer = &spec->peers[i];
		struct wireguard_key secret;
		randombytes_buf(&secret, sizeof(secret));
		assert_int_equal(wireguard_key_public(&world.publics[i], &secret), WIREGUARD_OK);
		if (i == 0)
			world.far_key = secret;
		peer->public_key = world.publics[i];
		if (names[i] != NULL)
			peer->endpoint = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup(names[i]), .port = 51820 };
		peer->allowed_ips = calloc(1, sizeof(*peer->allowed_ips));
		peer->allowed_ips[0] = (struct wireguard_network){ .family = AF_INET, .prefix = 16, .bytes = { 10, (uint8_t)(i + 1) } };
		peer->allowed_ip_count = 1;
	}
	assert_true(spec_index_peers(spec));
}

static void create(void)
{
	struct message_prepare message = { .slot = 3, .generation = 1, .id = "t", .socket_count = 1 };
	union wireguard_endpoint own;
	int descriptor = world.own = bound(AF_INET, &own);
	char detail[160];
	enum message_applied applied;
	describe(&message.spec);
	message.endpoints = calloc(3, sizeof(*message.endpoints));
	message.endpoints[0] = (struct message_addresses){ .count = 1, .list = { world.at[0] } };
	message.peer_slots = calloc(3, sizeof(*message.peer_slots));
	for (uint32_t i = 0; i < 3; i++)
		message.peer_slots[i] = i;
	message.sockets = calloc(1, sizeof(*message.sockets));
	message.sockets[0] = (struct message_socket){ .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = true };
	assert_int_equal(change_prepare(&rig.context, &world.tunnel, &message, &descriptor, 1, &applied, detail), MESSAGE_STATUS_OK);
	assert_false(change_is_preparing(world.tunnel));
	message_prepare_clear(&message);
	change_commit(world.tunnel);
	tunnel_begin(world.tunnel);
	rig_turn();
}

static int start(void **state)
{
	(void)state;
	rig_context_start(true);
	rig.context.send = count_message;
	memset(&world, 0, sizeof(world));
	for (unsigned i = 0; i < 2; i++)
		world.peers[i] = bound(AF_INET, &world.at[i]);
	create();
	assert_int_equal(initiations_at(world.peers[0]), 1);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	config_forget(world.far);
	wireguard_device_free(world.far);
	change_remove(world.tunnel);
	rig_context_stop();
	for (unsigned i = 0; i < 2; i++)
		close(world.peers[i]);
	return 0;
}

static struct tunnel_peer *peer(unsigned number)
{
	return world.tunnel->peers[number];
}

static const union wireguard_endpoint *endpoint_of(unsigned number)
{
	return wireguard_peer_endpoint(peer(number)->peer);
}

static struct netstack_endpoint inner(const char *address)
{
	struct netstack_endpoint endpoint = { .family = AF_INET };
	assert_int_equal(inet_pton(AF_INET, address, endpoint.bytes), 1);
	return endpoint;
}

static void resolve(unsigned number, const union wireguard_endpoint *addresses, size_t count)
{
	struct message_resolved message = { .slot = 3, .generation = 1, .peer = world.publics[number], .addresses = { .count = count } };
	memcpy(message.addresses.list, addresses, count * sizeof(*addresses));
	tunnel_resolved(world.tunnel, &message);
	rig_turn();
}

/* Nothing but a peer that has no endpoint and can get none by itself is unroutable: a name may be resolved yet. */
static void where_packets_can_go(void **state)
{
	static const char *const routed[] = { "10.1.0.1", "10.1.255.255", "10.2.0.1" };
	(void)state;
	for (size_t i = 0; i < sizeof(routed) / sizeof(routed[0]); i++) {
		struct netstack_endpoint at = inner(routed[i]);
		assert_null(tunnel_why_unroutable(world.tunnel, &at));
	}
	struct netstack_endpoint at = inner("10.4.0.1");
	assert_non_null(strstr(tunnel_why_unroutable(world.tunnel, &at), "allowed_ips"));
	at = inner("10.3.0.1");
	assert_non_null(strstr(tunnel_why_unroutable(world.tunnel, &at), "no endpoint"));
	wireguard_peer_set_endpoint(peer(2)->peer, &world.at[1]);
	assert_null(tunnel_why_unroutable(world.tunnel, &at));
}

/* P1: of what the tunnel's socket is given, only what is for a peer leaves, and cookie replies (WireGuard paper, 5.4.7). */
static void nothing_leaves_but_to_a_peer(void **state)
{
	static const struct {
		size_t length;
		uint8_t type;
		bool leaves;
	} rows[] = { { INITIATION_SIZE, 1, false },
		     { COOKIE_REPLY_SIZE, 4, false },
		     { COOKIE_REPLY_SIZE - 1, 3, false },
		     { COOKIE_REPLY_SIZE + 1, 3, false },
		     { COOKIE_REPLY_SIZE, 3, true } };
	uint8_t bytes[2048];
	counter *dropped = &world.tunnel->counters->dropped[COUNTERS_DROP_NOT_PEER];
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = counter_read(dropped);
		uint8_t *room = udp_reserve(world.tunnel->udp, &world.at[1], rows[i].length);
		memset(room, 0, rows[i].length);
		room[0] = rows[i].type;
		udp_commit(world.tunnel->udp, rows[i].length);
		udp_batch_flush(rig.context.batch);
		assert_int_equal(arrived(world.peers[1], bytes), rows[i].leaves ? rows[i].length : 0);
		assert_int_equal(counter_read(dropped) - before, !rows[i].leaves);
	}
	/* Another port of a peer's host is no peer. */
	wireguard_peer_set_endpoint(peer(0)->peer, &world.at[1]);
	memset(udp_reserve(world.tunnel->udp, &world.at[1], 40), 4, 40);
	udp_commit(world.tunnel->udp, 40);
	udp_batch_flush(rig.context.batch);
	assert_int_equal(arrived(world.peers[1], bytes), 40);
}

/* One that is silent in isolation compares the deadline itself, whatever its control process does, and goes on at once when that is later again. */
static void nothing_leaves_in_isolation(void **state)
{
	struct tunnel *tunnel = world.tunnel;
	counter *deadline = &rig.context.counters->deadline;
	(void)state;
	/* Without a word about isolation it goes on. */
	counter_set(deadline, 0);
	rig_pass(6 * LOOP_SECOND);
	assert_int_equal(initiations_at(world.peers[0]), 1);
	tunnel->spec.placement = calloc(1, sizeof(*tunnel->spec.placement));
	tunnel->spec.placement->stops = true;
	counter_set(deadline, rig.now + LOOP_SECOND);
	assert_true(tunnel_has_way(tunnel));
	/* What was gathered before and goes after the deadline, too. */
	memset(udp_reserve(tunnel->udp, &world.at[0], 40), 4, 40);
	udp_commit(tunnel->udp, 40);
	rig.now += LOOP_SECOND;
	udp_batch_flush(rig.context.batch);
	rig_pass(20 * LOOP_SECOND);
	assert_int_equal(initiations_at(world.peers[0]), 0);
	health_follow(tunnel, true);
	rig_turn();
	assert_int_equal(tunnel->health.state, TUNNEL_STALE);
	assert_non_null(strstr(tunnel->health.reason, "cut off from its fleet"));
	assert_true(health_is_down(tunnel));
	counter_set(deadline, rig.now + 10 * LOOP_SECOND);
	health_follow(tunnel, false);
	rig_turn();
	assert_int_equal(initiations_at(world.peers[0]), 1);
	assert_int_equal(tunnel->health.state, TUNNEL_HANDSHAKING);
}

/* An isolation that is over before the worker looks at it: nobody tells the tunnel, whose timers had their time meanwhile. */
static void timers_go_on_after_a_moment_of_isolation(void **state)
{
	struct tunnel *tunnel = world.tunnel;
	counter *deadline = &rig.context.counters->deadline;
	(void)state;
	rig_pass(6 * LOOP_SECOND);
	tunnel->spec.placement = calloc(1, sizeof(*tunnel->spec.placement));
	tunnel->spec.placement->stops = true;
	counter_set(deadline, rig.now);
	assert_true(initiations_at(world.peers[0]) > 0);
	rig_pass(6 * LOOP_SECOND);
	assert_int_equal(initiations_at(world.peers[0]), 0);
	counter_set(deadline, UINT64_MAX);
	rig_pass(2 * LOOP_SECOND);
	assert_int_equal(initiations_at(world.peers[0]), 1);
}

/* limits.total_bytes counts both directions, and the control process hears of its end once. */
static void the_quota_is_of_both_directions(void **state)
{
	struct tunnel *tunnel = world.tunnel;
	(void)state;
	assert_true(tunnel_quota_left(tunnel) == SIZE_MAX);
	tunnel_count_sent(tunnel, 1000);
	assert_false(tunnel_is_used_up(tunnel));
	tunnel->spec.limits.total_bytes = 1500;
	assert_int_equal(tunnel_quota_left(tunnel), 500);
	tunnel_count_received(tunnel, 499);
	assert_int_equal(tunnel_quota_left(tunnel), 1);
	assert_false(tunnel_is_used_up(tunnel));
	assert_int_equal(world.told[MESSAGE_LIMIT], 0);
	tunnel_count_received(tunnel, 1);
	assert_int_equal(tunnel_quota_left(tunnel), 0);
	assert_true(tunnel_is_used_up(tunnel));
	assert_int_equal(world.told[MESSAGE_LIMIT], 1);
	tunnel_count_sent(tunnel, 100);
	assert_int_equal(tunnel_quota_left(tunnel), 0);
	assert_int_equal(counter_read(&tunnel->counters->bytes_sent), 1100);
	assert_int_equal(counter_read(&tunnel->counters->bytes_received), 500);
	assert_int_equal(counter_read(&tunnel->counters->total_bytes_used), 1600);
	/* A change that leaves it used up is told again, without traffic. */
	tunnel->told_limit = false;
	tunnel_begin(tunnel);
	assert_int_equal(world.told[MESSAGE_LIMIT], 2);
}

static void a_name_that_is_resolved_is_tried_at_once(void **state)
{
	(void)state;
	assert_int_equal(endpoint_of(1)->any.sa_family, AF_UNSPEC);
	assert_false(peer(1)->has_address);
	resolve(1, &world.at[1], 0);
	assert_int_equal(endpoint_of(1)->any.sa_family, AF_UNSPEC);
	resolve(1, &world.at[1], 1);
	assert_true(endpoint_equal(endpoint_of(1), &world.at[1]) && peer(1)->has_address);
	assert_int_equal(initiations_at(world.peers[1]), 1);
	/* Of a peer that the tunnel does not have. */
	struct message_resolved message = { .slot = 3, .generation = 1, .addresses = { .count = 1, .list = { world.at[1] } } };
	tunnel_resolved(world.tunnel, &message);
}

/* A peer stays where it is while its name still says so, whatever else the name says. */
static void the_address_in_use_is_kept_while_the_name_has_it(void **state)
{
	union wireguard_endpoint list[2] = { world.at[1], world.at[0] };
	(void)state;
	resolve(0, list, 2);
	assert_true(endpoint_equal(endpoint_of(0), &world.at[0]));
	assert_int_equal(peer(0)->address, 1);
	assert_int_equal(initiations_at(world.peers[0]) + initiations_at(world.peers[1]), 0);
	/* It was never heard, and the name has left it. */
	resolve(0, &world.at[1], 1);
	rig_pass(25 * LOOP_MILLISECOND);
	assert_true(endpoint_equal(endpoint_of(0), &world.at[1]));
	assert_int_equal(initiations_at(world.peers[1]), 1);
}

/* The far end of peer 0, which answers from where it is sent to. */

static void far_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	randombytes_buf(bytes, length);
}

static void far_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	*now = (struct timespec){ .tv_sec = 1700000000 };
}

static uint8_t *far_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	(void)owner;
	world.from = *to;
	return length <= sizeof(world.room) ? world.room : NULL;
}

static void far_commit(void *owner, size_t length)
{
	int descriptor = *(int *)owner;
	assert_true(wireguard_sealing_finish());
	assert_int_equal(sendto(descriptor, world.room, length, 0, &world.from.any, endpoint_length(&world.from)), (ssize_t)length);
}

static void far_deliver(void *owner, struct wireguard_peer *far, uint8_t *packet, size_t length)
{
	(void)owner;
	(void)far;
	world.delivered++;
	assert_true(length >= 20 && packet[0] >> 4 == 4);
}

static void far_notify(void *owner, struct wireguard_peer *far, enum wireguard_event event)
{
	(void)owner;
	(void)far;
	(void)event;
}

static void far_start(int *descriptor)
{
	struct wireguard_env env = { descriptor, far_random, far_wall_clock, far_reserve, far_commit, far_deliver, far_notify };
	static const struct wireguard_network all = { .family = AF_INET };
	static const uint8_t floor[12];
	struct wireguard_peer_config config = { .allowed_ips = &all, .allowed_ip_count = 1 };

	assert_int_equal(wireguard_key_public(&config.public_key, &world.tunnel->spec.private_key), WIREGUARD_OK);
	assert_int_equal(wireguard_device_create(&world.far, &world.far_key, floor, &env), WIREGUARD_OK);
	assert_int_equal(config_add(world.far, &config, NULL, &world.far_peer, rig.now), WIREGUARD_OK);
}

/* What came to the socket is taken by the far device, and its answers by the tunnel. */
static void far_turn(int descriptor)
{
	uint8_t bytes[2048];
	for (size_t length; (length = arrived(descriptor, bytes)) > 0;)
		receive_one(world.far, bytes, length, &world.from, rig.now);
	rig_turn();
}

static void shake_hands(void)
{
	rig_pass(25 * LOOP_MILLISECOND);
	tunnel_reconnect(world.tunnel);
	rig_pass(LOOP_MILLISECOND);
	far_turn(world.peers[0]);
	assert_true(health_is_heard(peer(0)));
	assert_int_equal(world.tunnel->health.state, TUNNEL_UP);
	far_turn(world.peers[0]);
}

/* A peer that is heard stays where it is heard, although its name says another place. */
static void a_peer_that_is_heard_is_not_moved_by_its_name(void **state)
{
	(void)state;
	far_start(&world.peers[0]);
	shake_hands();
	resolve(0, &world.at[1], 1);
	rig_pass(25 * LOOP_MILLISECOND);
	assert_true(endpoint_equal(endpoint_of(0), &world.at[0]));
	assert_int_equal(initiations_at(world.peers[1]), 0);
}

/* Inner packets of the stack leave by the peer whose allowed_ips cover them; what no peer takes is counted. */
static void packets_of_the_stack_go_to_their_peer(void **state)
{
	struct netstack_endpoint far = inner("10.1.0.7"), none = inner("10.4.0.1"), silent = inner("10.3.0.1");
	counter *dropped = world.tunnel->counters->dropped;
	struct netstack_flow *flow;
	(void)state;
	far_start(&world.peers[0]);
	shake_hands();
	assert_int_equal(netstack_flow_open(world.tunnel->stack, NULL, owner_ignore_datagram, NULL, &flow), NETSTACK_OK);
	far.port = none.port = silent.port = 53;
	assert_int_equal(netstack_flow_send(flow, &far, "x", 1, rig.now), NETSTACK_OK);
	tunnel_wake(world.tunnel);
	rig_turn();
	far_turn(world.peers[0]);
	assert_int_equal(world.delivered, 1);
	assert_int_equal(netstack_flow_send(flow, &none, "x", 1, rig.now), NETSTACK_OK);
	assert_int_equal(netstack_flow_send(flow, &silent, "x", 1, rig.now), NETSTACK_OK);
	rig_turn();
	assert_int_equal(counter_read(&dropped[COUNTERS_DROP_NO_PEER]), 1);
	assert_int_equal(counter_read(&dropped[COUNTERS_DROP_NO_ENDPOINT]), 1);
	netstack_flow_close(flow);
}

/* The worker that follows a dead one learns from the counters which initiation was answered last (W8): before the answer leaves. */
static void an_initiation_that_is_answered_is_noted(void **state)
{
	uint8_t noted[12], none[12] = { 0 };
	(void)state;
	counters_initiation(peer(0)->counters, noted);
	assert_memory_equal(noted, none, sizeof(none));
	far_start(&world.peers[0]);
	struct wireguard_peer *far = world.far_peer;
	union wireguard_endpoint own;
	socklen_t length = sizeof(own);
	assert_int_equal(getsockname(world.own, &own.any, &length), 0);
	wireguard_peer_set_endpoint(far, &own);
	wireguard_peer_initiate(far, rig.now);
	rig_turn();
	counters_initiation(peer(0)->counters, noted);
	uint8_t sent[12];
	wireguard_device_last_timestamp(world.far, sent);
	assert_memory_equal(noted, sent, sizeof(sent));
	assert_true(memcmp(sent, none, sizeof(none)) > 0);
}

/* Each of a name's addresses in turn, in their order, round and round. */
static void each_address_has_its_turn(void **state)
{
	struct message_addresses *several, addresses = { .count = 3 };
	(void)state;
	assert_false(tunnel_peer_next_address(peer(0)));
	addresses.list[0] = addresses.list[1] = world.at[0];
	endpoint_set_port(&addresses.list[1], 1);
	addresses.list[2].v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	assert_true(tunnel_addresses_copy(&several, &addresses));
	tunnel_peer_take_addresses(peer(0), &several, true);
	assert_null(several);
	for (size_t i = 1; i <= 4; i++) {
		assert_true(tunnel_peer_next_address(peer(0)));
		assert_int_equal(peer(0)->address, i % 3);
		assert_true(endpoint_equal(endpoint_of(0), &addresses.list[i % 3]));
	}
	/* One address needs no list. */
	addresses.count = 1;
	assert_true(tunnel_addresses_copy(&several, &addresses));
	assert_null(several);
}

/* W6: at the earliest 25 ms after the last initiation. */
static void a_reconnect_begins_a_handshake(void **state)
{
	(void)state;
	rig_pass(25 * LOOP_MILLISECOND);
	assert_int_equal(initiations_at(world.peers[0]), 0);
	tunnel_reconnect(world.tunnel);
	rig_pass(LOOP_MILLISECOND);
	assert_int_equal(initiations_at(world.peers[0]), 1);
}

/* The figures of the old socket stay in the counters. */
static void another_socket_is_used_at_once(void **state)
{
	union wireguard_endpoint fresh;
	unsigned came = 1; /* before the test */
	(void)state;
	rig_pass(10 * LOOP_SECOND);
	came += initiations_at(world.peers[0]);
	assert_int_equal(counter_read(&world.tunnel->counters->packets_sent), came);
	tunnel_replace_udp(world.tunnel, bound(AF_INET, &fresh));
	rig_pass(6 * LOOP_SECOND);
	unsigned later = initiations_at(world.peers[0]);
	assert_true(later > 0);
	assert_true(endpoint_equal(&world.from, &fresh));
	assert_int_equal(counter_read(&world.tunnel->counters->packets_sent), came + later);
	assert_int_equal(counter_read(&world.tunnel->counters->wire_bytes_sent), INITIATION_SIZE * (came + later));
}

static void end(struct connection *connection)
{
	world.ended++;
	connection_remove(connection);
}

static void ignore_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	(void)owner;
	(void)stream;
	(void)fault;
	fail_msg("a cancelled dial answers");
}

static void connections_and_dials_end_with_the_tunnel(void **state)
{
	struct connection connections[2];
	struct target target;
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		connection_add(&connections[i], world.tunnel, COUNTERS_CONNECT, end);
	assert_int_equal(target_parse(&target, "10.1.0.7", 8, 80), 0);
	assert_non_null(dial_start(world.tunnel, &world.tunnel->spec, &target, true, ignore_dialed, NULL));
	rig_turn();
	tunnel_end_connections(world.tunnel, QUERY_RESULT_CLOSED);
	rig_turn();
	assert_int_equal(world.ended, 2);
	assert_null(world.tunnel->connections);
	assert_null(world.tunnel->dials);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(where_packets_can_go),
		TEST(nothing_leaves_but_to_a_peer),
		TEST(nothing_leaves_in_isolation),
		TEST(timers_go_on_after_a_moment_of_isolation),
		TEST(the_quota_is_of_both_directions),
		TEST(a_name_that_is_resolved_is_tried_at_once),
		TEST(the_address_in_use_is_kept_while_the_name_has_it),
		TEST(a_peer_that_is_heard_is_not_moved_by_its_name),
		TEST(packets_of_the_stack_go_to_their_peer),
		TEST(an_initiation_that_is_answered_is_noted),
		TEST(each_address_has_its_turn),
		TEST(a_reconnect_begins_a_handshake),
		TEST(another_socket_is_used_at_once),
		TEST(connections_and_dials_end_with_the_tunnel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
