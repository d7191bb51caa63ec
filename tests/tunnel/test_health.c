/* The life of a tunnel on a fake clock: two devices with the real protocol, one of which has a tunnel's health. Sockets, dials and the control
 * process are fakes. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "ipc/log.h"
#include "tests/wireguard/config.h"
#include "tunnel/connection.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/dial.h"
#include "tunnel/publish.h"
#include "tunnel/tunnel.h"
#include "tunnel/wireguard/sealing.h"

struct side {
	struct wireguard_device *device;
	struct wireguard_key private_key, public_key;
	union wireguard_endpoint address;
	uint8_t room[2048];
	union wireguard_endpoint to;
	uint8_t queue[8][2048]; /* on their way to the other side */
	size_t lengths[8], queued;
};

struct world {
	uint64_t now;
	struct side near, far;
	struct wireguard_peer *far_peer;
	struct context context;
	struct tunnel tunnel;
	struct tunnel_peer peer;
	struct tunnel_peer *peers[1];
	struct spec_peer spec_peer;
	char host[16];
	struct message_addresses several; /* of the peer's name, if it has some */
	bool is_cut;
	int refusal; /* what sendmsg(2) says */
	uint64_t initiations[256];
	size_t initiation_count;
	/* What was done about it, each with the number of initiations sent by then. */
	size_t resolves[64], moves[64], sockets[64];
	size_t resolve_count, move_count, socket_count;
	unsigned went, failed, told_down;
	bool is_open, may_open; /* the way through another tunnel */
	unsigned resolved_inside, resumed;
	size_t looks; /* at the clock: one a peer that is judged */
	uint8_t last_state;
	bool is_published, was_published_first; /* the peer's figures; before the state was up */
	unsigned told[MESSAGE_HEALINGS], counted[MESSAGE_HEALINGS];
	char last_reason[160];
	/* What the control process was told of the peer, and how many happenings that stands for. */
	unsigned endpoints_told, endpoints_counted, handshakes_told, handshakes_counted;
	struct message_endpoint last_endpoint;
};

static struct world world;

/* Around health.c. */

uint64_t loop_now(struct loop *loop)
{
	(void)loop;
	world.looks++;
	return world.now;
}

void tunnel_wake(struct tunnel *tunnel)
{
	(void)tunnel;
}

bool tunnel_peer_next_address(struct tunnel_peer *peer)
{
	if (peer->addresses == NULL)
		return false;
	world.moves[world.move_count++ % 64] = world.initiation_count;
	return true;
}

void tunnel_replace_udp(struct tunnel *tunnel, int descriptor)
{
	(void)tunnel;
	assert_int_equal(descriptor, 99);
}

bool carrier_is_open(const struct carrier *carrier)
{
	(void)carrier;
	return world.is_open;
}

const char *carrier_why_closed(struct carrier *carrier, bool *may_open)
{
	(void)carrier;
	*may_open = world.may_open;
	return "the outer tunnel o is not up";
}

void carrier_tell_all(const struct tunnel *outer)
{
	assert_ptr_equal(outer, &world.tunnel);
}

void carrier_resolve(struct tunnel_peer *peer)
{
	assert_ptr_equal(peer, &world.peer);
	world.resolved_inside++;
}

void tunnel_resume(struct tunnel *tunnel)
{
	(void)tunnel;
	world.resumed++;
}

void tunnel_run_stack(struct tunnel *tunnel, void (*run)(struct netstack *stack, uint64_t now))
{
	(void)tunnel;
	(void)run;
}

void netstack_kick(struct netstack *stack, uint64_t now)
{
	(void)stack;
	(void)now;
}

uint16_t netstack_path_refused(const struct netstack *stack)
{
	(void)stack;
	return 0;
}

uint16_t netstack_path_limit(const struct netstack *stack, uint64_t now)
{
	(void)stack;
	(void)now;
	return 0;
}

void publish_peer(struct tunnel_peer *peer, uint64_t now)
{
	assert_ptr_equal(peer, &world.peer);
	assert_int_equal(now, world.now);
	world.is_published = true;
}

void dial_go_all(struct tunnel *tunnel)
{
	(void)tunnel;
	world.went++;
}

void dial_fail_all(struct tunnel *tunnel)
{
	assert_true(health_is_down(tunnel));
	world.failed++;
}

void connection_tell_down(struct tunnel *tunnel)
{
	assert_true(health_is_down(tunnel));
	world.told_down++;
}

struct descriptor_request *descriptor_request_ask(struct context *context, enum message_type type, const struct message_want *message,
                                                  descriptor_request_done *granted, void *owner)
{
	(void)context;
	(void)message;
	assert_int_equal(type, MESSAGE_WANT_UDP);
	world.sockets[world.socket_count++ % 64] = world.initiation_count;
	granted(owner, MESSAGE_STATUS_OK, 99);
	return NULL;
}

void descriptor_request_cancel(struct context *context, struct descriptor_request *want)
{
	(void)context;
	assert_null(want);
}

static void hear(struct context *context, enum message_type type, struct message_writer *writer)
{
	struct message_reader reader = { writer->bytes, writer->length, false };
	struct message_state state;
	struct message_handshake handshake;
	(void)context;
	if (type == MESSAGE_ENDPOINT) {
		assert_true(message_decode_endpoint(&reader, &world.last_endpoint));
		world.endpoints_told++;
		world.endpoints_counted += world.last_endpoint.count;
	}
	if (type == MESSAGE_HANDSHAKE) {
		assert_true(message_decode_handshake(&reader, &handshake));
		world.handshakes_told++;
		world.handshakes_counted += handshake.count;
	}
	if (type == MESSAGE_WANT_RESOLVE)
		world.resolves[world.resolve_count++ % 64] = world.initiation_count;
	if (type == MESSAGE_STATE) {
		assert_true(message_decode_state(&reader, &state));
		world.was_published_first |= state.state == TUNNEL_UP && world.is_published;
		world.last_state = state.state;
		memcpy(world.last_reason, state.reason, sizeof(world.last_reason));
		world.told[state.healing]++;
		world.counted[state.healing] += state.count;
	}
	message_writer_clear(writer);
}

/* Around the devices. */

static void env_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	for (size_t i = 0; i < length; i++)
		((uint8_t *)bytes)[i] = (uint8_t)rand();
}

static void env_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	*now = (struct timespec){ .tv_sec = (time_t)(1700000000 + world.now / LOOP_SECOND), .tv_nsec = (long)(world.now % LOOP_SECOND) };
}

static uint8_t *env_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct side *side = owner;
	assert_true(length <= sizeof(side->room));
	side->to = *to;
	return side->room;
}

static void env_commit(void *owner, size_t length)
{
	struct side *side = owner, *other = side == &world.near ? &world.far : &world.near;
	assert_true(wireguard_sealing_finish());
	if (side == &world.near && side->room[0] == 1)
		world.initiations[world.initiation_count++ % 256] = world.now;
	if (side == &world.near)
		health_tried(&world.tunnel, &side->to, world.refusal);
	if (side == &world.near && world.refusal != 0)
		return;
	if (world.is_cut || side->to.v4.sin_port != other->address.v4.sin_port)
		return;
	assert_true(side->queued < 8);
	memcpy(side->queue[side->queued], side->room, length);
	side->lengths[side->queued++] = length;
}

static bool carry(struct side *from, struct side *to)
{
	size_t count = from->queued;
	uint8_t datagrams[8][2048];
	memcpy(datagrams, from->queue, sizeof(datagrams));
	from->queued = 0;
	for (size_t i = 0; i < count; i++)
		receive_one(to->device, datagrams[i], from->lengths[i], &from->address, world.now);
	return count > 0;
}

static void settle(void)
{
	bool moved;
	do {
		health_act(&world.tunnel);
		moved = carry(&world.near, &world.far);
		moved = carry(&world.far, &world.near) || moved;
	} while (moved || world.tunnel.health.has_events);
}

static void env_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	(void)owner;
	(void)peer;
	(void)packet;
	(void)length;
}

static void env_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	if (owner == &world.near)
		health_note(wireguard_peer_tag(peer), event);
}

static union wireguard_endpoint place(uint16_t port)
{
	return (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } } };
}

static void make_side(struct side *side, uint16_t port)
{
	struct wireguard_env env = { side, env_random, env_wall_clock, env_reserve, env_commit, env_deliver, env_notify };
	static const uint8_t floor[12];
	randombytes_buf(side->private_key.bytes, sizeof(side->private_key.bytes));
	assert_int_equal(wireguard_key_public(&side->public_key, &side->private_key), 0);
	assert_int_equal(wireguard_device_create(&side->device, &side->private_key, floor, &env), 0);
	side->address = place(port);
}

static struct wireguard_peer *join(struct side *side, const struct side *other, void *tag, uint16_t keepalive, bool knows)
{
	static const struct wireguard_network all = { .family = AF_INET };
	struct wireguard_peer_config config = {
		.public_key = other->public_key, .allowed_ips = &all, .allowed_ip_count = 1, .persistent_keepalive = keepalive
	};
	struct wireguard_peer *peer = NULL;
	if (knows)
		config.endpoint = other->address;
	assert_int_equal(config_add(side->device, &config, tag, &peer, world.now), 0);
	return peer;
}

static int start(void **state)
{
	(void)state;
	log_start(LOG_WARN, false, "test");
	world = (struct world){ .now = 1000 * LOOP_SECOND };
	assert_int_equal(wireguard_start(16, false), 0);
	make_side(&world.near, 1);
	make_side(&world.far, 2);
	world.context.counters = calloc(1, sizeof(struct counters));
	world.context.send = hear;
	world.peers[0] = &world.peer;
	world.tunnel = (struct tunnel){ .context = &world.context,
		                        .id = "t",
		                        .counters = &world.context.counters->tunnels[0],
		                        .device = world.near.device,
		                        .udp = (struct udp_socket *)&world,
		                        .peers = world.peers,
		                        .peer_count = 1 };
	world.tunnel.spec.enabled = true;
	world.tunnel.spec.peers = &world.spec_peer;
	world.tunnel.spec.peer_count = 1;
	strcpy(world.host, "far.test");
	world.spec_peer =
	    (struct spec_peer){ .public_key = world.far.public_key, .endpoint = { .kind = SPEC_PLACE_INET, .host = world.host, .port = 2 } };
	world.tunnel.health.state = TUNNEL_STARTING;
	world.tunnel.health.due = world.tunnel.health.review_at = LOOP_NEVER;
	world.peer = (struct tunnel_peer){
		.tunnel = &world.tunnel,
		.counters = &world.context.counters->peers[0],
		.health = { .retry_at = LOOP_NEVER, .judge_at = LOOP_NEVER, .move_at = LOOP_NEVER, .refused_until = LOOP_NEVER, .kept_waiting = true }
	};
	world.peer.peer = join(&world.near, &world.far, &world.peer, 0, true);
	world.far_peer = join(&world.far, &world.near, NULL, 0, false);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	config_forget(world.near.device);
	wireguard_device_free(world.near.device);
	config_forget(world.far.device);
	wireguard_device_free(world.far.device);
	free(world.context.counters);
	wireguard_stop();
	return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t told_at(const struct news_pause *news)
{
	return news->held > 0 ? news->quiet_until : LOOP_NEVER;
}

/* The deadline, which is never later than what all peers together say. */
static uint64_t deadline(void)
{
	uint64_t at = health_deadline(&world.tunnel);
	for (size_t i = 0; i < world.tunnel.peer_count; i++) {
		const struct health_peer *health = &world.tunnel.peers[i]->health;
		assert_true(at <= least(least(health->retry_at, health->judge_at), health->move_at));
		assert_true(at <= least(told_at(&health->handshake), told_at(&health->endpoint)));
	}
	for (size_t i = 0; i < MESSAGE_HEALINGS; i++)
		assert_true(at <= told_at(&world.tunnel.health.remedies[i]));
	return at;
}

/* Acts as a worker's loop, for this time. */
static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration;
	settle();
	for (;;) {
		uint64_t near = tunnel_has_way(&world.tunnel) ? wireguard_device_deadline(world.near.device) : LOOP_NEVER;
		uint64_t due = least(least(near, wireguard_device_deadline(world.far.device)), deadline());
		if (due > end)
			break;
		world.now = due > world.now ? due : world.now;
		wireguard_device_tick(world.far.device, world.now);
		if (tunnel_has_way(&world.tunnel))
			wireguard_device_tick(world.near.device, world.now);
		health_tick(&world.tunnel, world.now);
		settle();
	}
	world.now = end;
}

static int send_packet(struct side *side)
{
	uint8_t packet[40] = { 0x45, 0, 0, 40, [12] = 10, [15] = 1, [16] = 10, [19] = 2 };
	struct iovec part = { packet, sizeof(packet) };
	int result = wireguard_device_send(side->device, &part, 1, sizeof(packet), world.now);
	settle();
	return result;
}

static uint64_t gap(size_t number)
{
	return world.initiations[number] - world.initiations[number - 1];
}

static struct wireguard_peer_stats stats(void)
{
	struct wireguard_peer_stats stats;
	wireguard_peer_stats(world.peer.peer, &stats, world.now);
	return stats;
}

/* Names again after two and every two, another socket after six; then again. */
static void test_remedies_come_in_their_order(void **state)
{
	(void)state;
	world.is_cut = true;
	health_start(&world.tunnel);
	pass(65 * LOOP_SECOND - 1);
	/* The remedy for the second comes with the third that is sent, since each is given its time to be answered. */
	assert_int_equal(world.initiation_count, 13);
	assert_int_equal(world.resolve_count, 6);
	assert_int_equal(world.move_count, 0);
	assert_int_equal(world.socket_count, 2);
	for (size_t round = 0; round < 2; round++)
		assert_int_equal(world.sockets[round], 6 * round + 7);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(world.resolves[i], 2 * i + 3);
	for (int remedy = MESSAGE_HEALING_HANDSHAKE; remedy < MESSAGE_HEALINGS; remedy++) {
		assert_int_equal(world.told[remedy], remedy == MESSAGE_HEALING_RESOLVE ? 6 : remedy == MESSAGE_HEALING_FAMILY ? 0 : 2);
		assert_int_equal(counter_read(&world.tunnel.counters->healed[remedy]), world.told[remedy]);
	}
	assert_int_equal(world.last_state, TUNNEL_STALE);
}

/* F8: an address that never answered is left after one initiation; they go on in the pace of the protocol (W16). */
static void test_f8_next_address_after_each_initiation_while_none_answered(void **state)
{
	(void)state;
	world.peer.addresses = &world.several;
	world.is_cut = true;
	health_start(&world.tunnel);
	/* Each may be a third of a second late. */
	for (uint64_t end = world.now + 22 * LOOP_SECOND; world.initiation_count < 5 && world.now < end;)
		pass(LOOP_SECOND / 10);
	assert_int_equal(world.initiation_count, 5);
	assert_int_equal(world.move_count, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(world.moves[i], i + 1);
		assert_in_range(gap(i + 1), 5 * LOOP_SECOND, 5334 * LOOP_MILLISECOND);
	}
	assert_int_equal(counter_read(&world.tunnel.counters->healed[MESSAGE_HEALING_FAMILY]), 4);
	world.is_cut = false;
	pass(6 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	pass(60 * LOOP_SECOND);
	assert_int_equal(world.move_count, 5);
}

static void expect_refused(const char *reason)
{
	assert_int_equal(world.last_state, TUNNEL_STALE);
	assert_string_equal(world.last_reason, reason);
	assert_true(health_is_down(&world.tunnel));
	assert_string_equal(health_why_refused(&world.peer), reason);
}

/* F7: known at once, by its reason, and over within ten seconds of the route's return, however long it was away. */
static void test_f7_without_a_route_from_the_start(void **state)
{
	static const uint64_t absences[] = { 1, 40, 95, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309 };
	(void)state;
	for (size_t i = 0; i < sizeof(absences) / sizeof(absences[0]); i++) {
		if (i > 0)
			stop(NULL), start(NULL);
		world.refusal = ENETUNREACH;
		health_start(&world.tunnel);
		settle();
		expect_refused("the host has no route to the peer's endpoint");
		pass(absences[i] * LOOP_SECOND);
		expect_refused("the host has no route to the peer's endpoint");
		world.refusal = 0;
		pass(10500 * LOOP_MILLISECOND);
		assert_int_equal(world.last_state, TUNNEL_UP);
		assert_null(health_why_refused(&world.peer));
		assert_false(world.tunnel.health.has_refused);
	}
}

static void test_f7_a_route_that_is_lost_with_a_session(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(20 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	world.refusal = EHOSTUNREACH;
	(void)send_packet(&world.near);
	expect_refused("the host has no route to the peer's endpoint");
	assert_int_equal(world.failed, 1);
	pass(200 * LOOP_SECOND);
	world.refusal = EPERM;
	pass(11 * LOOP_SECOND);
	expect_refused("the host does not permit packets to the peer's endpoint; is there a firewall rule?");
	world.refusal = 0;
	pass(11 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_false(health_is_down(&world.tunnel));
}

/* A firewall's limit refuses single packets: the handshake that follows passes, and nobody is turned away. */
static void test_one_refused_packet_is_no_lost_route(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(20 * LOOP_SECOND);
	world.refusal = EPERM;
	struct iovec part = { (uint8_t[40]){ 0x45, 0, 0, 40, [12] = 10, [15] = 1, [16] = 10, [19] = 2 }, 40 };
	assert_int_equal(wireguard_device_send(world.near.device, &part, 1, 40, world.now), WIREGUARD_OK);
	world.refusal = 0;
	settle();
	assert_int_equal(world.initiation_count, 2);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.failed, 0);
	assert_int_equal(world.peer.health.refusals, 0);
}

/* A firewall's limit under traffic, or a route that flaps: the state changes at most once a second, not with every few packets. */
static void test_a_route_that_flaps_is_told_at_a_rate(void **state)
{
	enum { SECONDS = 20 };
	(void)state;
	health_start(&world.tunnel);
	pass(20 * LOOP_SECOND);
	for (unsigned round = 0; round < SECONDS * 100; round++) {
		world.refusal = round % 3 < 2 ? EPERM : 0;
		(void)send_packet(&world.near);
		pass(10 * LOOP_MILLISECOND);
	}
	assert_in_range(world.failed, 1, SECONDS + 1);
	/* It ends as ever. */
	world.refusal = 0;
	pass(10500 * LOOP_MILLISECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
}

/* On a host without IPv6 the others are tried without waiting. */
static void test_every_address_is_tried_before_the_route_counts_as_lost(void **state)
{
	(void)state;
	world.several.count = 3;
	world.peer.addresses = &world.several;
	world.refusal = ENETUNREACH;
	health_start(&world.tunnel);
	settle();
	assert_int_equal(world.move_count, 1);
	assert_null(health_why_refused(&world.peer));
	pass(LOOP_SECOND / 10);
	assert_int_equal(world.move_count, 2);
	assert_int_equal(world.initiation_count, 3);
	expect_refused("the host has no route to the peer's endpoint");
	pass(60 * LOOP_SECOND);
	assert_true(world.initiation_count <= 16);
	world.refusal = 0;
	pass(10500 * LOOP_MILLISECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
}

/* One that answered once is given four initiations: it may be restarting, or the link is broken for all. */
static void test_an_address_that_answered_is_kept_longer(void **state)
{
	(void)state;
	world.peer.addresses = &world.several;
	health_start(&world.tunnel);
	pass(121 * LOOP_SECOND);
	assert_int_equal(world.move_count, 0);
	world.is_cut = true;
	size_t before = world.initiation_count;
	assert_int_equal(send_packet(&world.near), WIREGUARD_OK);
	pass(30 * LOOP_SECOND);
	assert_true(world.move_count >= 2);
	assert_int_equal(world.moves[0], before + 5);
	assert_int_equal(world.moves[1], before + 6);
}

/* There is nothing to look up, and no such event is sent. */
static void test_literal_endpoint_is_not_looked_up(void **state)
{
	(void)state;
	char host[] = "127.0.0.1";
	world.spec_peer.endpoint.host = host;
	world.is_cut = true;
	health_start(&world.tunnel);
	pass(300 * LOOP_SECOND);
	assert_int_equal(world.resolve_count, 0);
	assert_int_equal(world.told[MESSAGE_HEALING_RESOLVE], 0);
	assert_true(world.socket_count > 2);
}

static void test_down_after_two_initiations(void **state)
{
	(void)state;
	world.is_cut = true;
	health_start(&world.tunnel);
	pass(6300 * LOOP_MILLISECOND - 1);
	assert_false(health_is_down(&world.tunnel));
	assert_int_equal(world.last_state, TUNNEL_HANDSHAKING);
	assert_int_equal(world.failed, 0);
	pass(LOOP_SECOND / 2);
	assert_int_equal(world.initiation_count, 2);
	assert_true(health_is_down(&world.tunnel));
	assert_int_equal(world.last_state, TUNNEL_STALE);
	assert_int_equal(world.failed, 1);
	assert_int_equal(world.told_down, 1);
	assert_string_equal(world.last_reason, "the peer does not answer handshakes");
	assert_int_equal(counter_read(&world.tunnel.counters->handshake_failures), 1);
}

/* The near end no longer knows where its peer is. */
static void forget_endpoint(void)
{
	wireguard_peer_remove(world.peer.peer);
	config_forget(world.near.device);
	world.peer.peer = join(&world.near, &world.far, &world.peer, 0, false);
}

static void test_a_peer_without_an_endpoint_is_not_one_whose_name_is_unknown(void **state)
{
	(void)state;
	forget_endpoint();
	health_review(&world.tunnel);
	assert_int_equal(world.last_state, TUNNEL_HANDSHAKING);
	assert_string_equal(world.last_reason, "waiting for the peer: the name of its endpoint is not resolved");
	world.spec_peer.endpoint.kind = SPEC_PLACE_NONE;
	health_review(&world.tunnel);
	assert_string_equal(world.last_reason, "waiting for the peer, which has no endpoint");
}

/* Nobody uses it: after the protocol's 90 s one initiation a minute, for a day; the name is looked up before each. */
static void test_w16_one_initiation_a_minute_for_ever(void **state)
{
	(void)state;
	world.is_cut = true;
	health_start(&world.tunnel);
	pass(110 * LOOP_SECOND);
	assert_int_equal(world.initiation_count, 20);
	assert_int_equal(counter_read(&world.tunnel.counters->handshake_failures), 19);
	size_t resolved = world.resolve_count;
	bool is_jittered = false;
	pass(3 * 3600 * LOOP_SECOND);
	assert_in_range(world.initiation_count, 20 + 3 * 54, 20 + 3 * 60);
	for (size_t i = 20; i < world.initiation_count; i++) {
		assert_in_range(gap(i), 60 * LOOP_SECOND, 67 * LOOP_SECOND);
		is_jittered = is_jittered || gap(i) / LOOP_SECOND != gap(20) / LOOP_SECOND;
	}
	assert_true(is_jittered);
	assert_true(world.resolve_count - resolved >= world.initiation_count - 20);
	pass(24 * 3600 * LOOP_SECOND);
	size_t before = world.initiation_count;
	world.is_cut = false;
	pass(67 * LOOP_SECOND);
	assert_int_equal(world.initiation_count, before + 1);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.went, 1);
	assert_int_equal(counter_read(&world.tunnel.counters->handshake_failures), before);
}

/* While there is something to send, as with a persistent keepalive, there is no pause; each round without an answer counts. */
static void test_w16_traffic_keeps_the_pace(void **state)
{
	(void)state;
	world.is_cut = true;
	health_start(&world.tunnel);
	for (unsigned i = 0; i < 24; i++) {
		assert_int_equal(send_packet(&world.near), WIREGUARD_STAGED);
		pass(25 * LOOP_SECOND);
	}
	assert_in_range(world.initiation_count, 600 * 1000 / 5334, 600 / 5 + 1);
	assert_in_range(counter_read(&world.tunnel.counters->handshake_failures), world.initiation_count - 2, world.initiation_count);
}

/* The answer to a client that waits for the state has the peer's figures. */
static void test_figures_of_the_handshake_come_before_the_state(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_true(world.was_published_first);
}

/* A packet, or a refused connection, returns to one attempt every 5 s. */
static void test_traffic_brings_back_the_pace(void **state)
{
	(void)state;
	world.is_cut = true;
	health_start(&world.tunnel);
	for (unsigned refused = 0; refused < 2; refused++) {
		pass(300 * LOOP_SECOND);
		size_t before = world.initiation_count, resolved = world.resolve_count;
		if (refused)
			health_wanted(&world.tunnel);
		else
			assert_int_equal(send_packet(&world.near), WIREGUARD_STAGED);
		pass(19 * LOOP_SECOND);
		assert_int_equal(world.initiation_count, before + 4);
		assert_in_range(gap(before + 1), 5 * LOOP_SECOND, 5334 * LOOP_MILLISECOND);
		assert_true(world.resolve_count > resolved);
	}
	/* A wish that comes while the one of the minute waits for its answer is not lost. */
	pass(200 * LOOP_SECOND);
	size_t before = world.initiation_count;
	while (world.initiation_count == before)
		pass(LOOP_SECOND / 10);
	health_wanted(&world.tunnel);
	pass(19 * LOOP_SECOND);
	assert_int_equal(world.initiation_count, before + 4);
}

/* A tunnel that was down is told another endpoint: tried at once, and it has its two initiations again before it is down. */
static void test_another_endpoint_is_tried_at_once(void **state)
{
	(void)state;
	union wireguard_endpoint wrong = place(3), right = world.far.address;
	wireguard_peer_set_endpoint(world.peer.peer, &wrong);
	health_start(&world.tunnel);
	pass(31 * LOOP_SECOND);
	assert_true(health_is_down(&world.tunnel));
	wrong = place(4);
	wireguard_peer_set_endpoint(world.peer.peer, &wrong);
	size_t before = world.initiation_count;
	health_renew(&world.peer);
	pass(6 * LOOP_SECOND);
	assert_int_equal(world.initiation_count, before + 2);
	assert_false(health_is_down(&world.tunnel));
	pass(LOOP_SECOND);
	assert_true(health_is_down(&world.tunnel));
	wireguard_peer_set_endpoint(world.peer.peer, &right);
	health_renew(&world.peer);
	pass(0);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_false(health_is_down(&world.tunnel));
	assert_int_equal(world.went, 1);
}

/* Disabled: no key is kept, nothing leaves. Enabled again: as new, not up before there was a handshake. */
static void test_disabled_and_enabled_is_as_new(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	struct udp_socket *udp = world.tunnel.udp;
	world.tunnel.udp = NULL;
	health_start(&world.tunnel);
	assert_int_equal(world.last_state, TUNNEL_DISABLED);
	assert_false(stats().can_send);
	pass(3600 * LOOP_SECOND);
	world.is_cut = true;
	world.tunnel.udp = udp;
	size_t before = world.initiation_count;
	health_start(&world.tunnel);
	pass(0);
	assert_int_equal(world.initiation_count, before + 1);
	assert_int_equal(world.last_state, TUNNEL_HANDSHAKING);
	assert_false(health_is_down(&world.tunnel));
	world.is_cut = false;
	unsigned went = world.went;
	pass(6 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.went, went + 1);
}

/* Two initiations for a new session are lost, but the old one carries data: it is not down any longer than nothing is heard. */
static void test_data_shows_that_the_peer_is_there(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(121 * LOOP_SECOND);
	world.is_cut = true;
	assert_int_equal(send_packet(&world.near), WIREGUARD_OK); /* asks for the next session, as the initiator */
	pass(11 * LOOP_SECOND);
	assert_true(health_is_down(&world.tunnel));
	assert_int_equal(world.last_state, TUNNEL_STALE);
	world.is_cut = false;
	assert_int_equal(send_packet(&world.far), WIREGUARD_OK);
	assert_false(health_is_down(&world.tunnel));
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.went, 2);
}

static void vanish_after(unsigned talks)
{
	health_start(&world.tunnel);
	pass(0);
	for (unsigned i = 0; i < talks; i++) {
		assert_int_equal(send_packet(&world.near), WIREGUARD_OK);
		assert_int_equal(send_packet(&world.far), WIREGUARD_OK);
		pass(LOOP_SECOND / 10);
	}
	assert_int_equal(world.initiation_count, 1);
	world.is_cut = true;
	uint64_t cut = world.now;
	while (world.last_state == TUNNEL_UP && world.now < cut + 20 * LOOP_SECOND) {
		assert_false(health_is_down(&world.tunnel));
		(void)send_packet(&world.near);
		pass(LOOP_SECOND / 10);
	}
	assert_int_equal(world.last_state, TUNNEL_STALE);
	assert_in_range(world.now - cut, 8 * LOOP_SECOND, 12 * LOOP_SECOND);
	assert_int_equal(world.failed, 1);
	pass(60 * LOOP_SECOND);
	assert_int_equal(world.failed, 1);
	world.is_cut = false;
	unsigned went = world.went;
	assert_int_equal(send_packet(&world.far), WIREGUARD_OK);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.went, went + 1);
}

/* Traffic goes on when the peer vanishes: within 12 s that is known, told, and who waits is refused. What it sends when it is back is enough. */
static void test_s10_a_peer_that_vanishes_is_known_in_12_s(void **state)
{
	(void)state;
	/* Soon after a handshake and long after it: the next may be sent 5 s after the last. */
	for (unsigned talks = 1; talks <= 100; talks += 33) {
		vanish_after(talks);
		stop(state);
		start(state);
	}
}
/* A peer that only takes says so by a keepalive 10 s after the data. It is asked in vain a few times, and then it is not asked any more. */
static void test_a_peer_that_only_takes_is_not_asked_for_ever(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(0);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(send_packet(&world.near), WIREGUARD_OK);
		pass(LOOP_SECOND / 10);
	}
	assert_in_range(world.initiation_count, 2, 4);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.failed, 0);
}

/* A peer with a session that no longer answers is searched for as soon as this is detected. */
static void test_silent_peer_is_looked_up(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(20 * LOOP_SECOND);
	world.is_cut = true;
	assert_int_equal(send_packet(&world.near), WIREGUARD_OK);
	pass(13 * LOOP_SECOND);
	assert_int_equal(world.resolve_count, 0);
	pass(LOOP_SECOND);
	assert_int_equal(world.resolve_count, 1);
	assert_int_equal(world.initiation_count, 4);
}

/* Down only with traffic: an idle tunnel stays up. */
static void test_s10_stale_only_with_traffic(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(24 * 3600 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
	assert_int_equal(world.initiation_count, 1);
	world.is_cut = true;
	assert_int_equal(send_packet(&world.near), WIREGUARD_STAGED);
	pass(11 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_STALE);
	assert_true(health_is_down(&world.tunnel));
	world.is_cut = false;
	pass(6 * LOOP_SECOND);
	assert_int_equal(world.last_state, TUNNEL_UP);
}

/* A peer that moves with every datagram is told of once a second, with the count and with where it is at last. */
static void test_roaming_peer_is_told_once_a_second(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(5 * LOOP_SECOND);
	unsigned told = world.endpoints_told, counted = world.endpoints_counted;
	for (unsigned i = 0; i < 3000; i++) {
		world.far.address = place((uint16_t)(1000 + i));
		assert_int_equal(send_packet(&world.far), WIREGUARD_OK);
		pass(LOOP_SECOND / 1000);
	}
	pass(2 * LOOP_SECOND);
	assert_in_range(world.endpoints_told - told, 3, 5);
	assert_int_equal(world.endpoints_counted - counted, 3000);
	assert_int_equal(ntohs(world.last_endpoint.endpoint.v4.sin_port), 3999);
}

#define MANY 1000
static struct tunnel_peer many[MANY];

/* The tunnel has a thousand peers, each like the one that it has. */
static void have_many_peers(void)
{
	static struct tunnel_peer *list[MANY];
	for (size_t i = 0; i < MANY; i++) {
		many[i] = world.peer;
		list[i] = &many[i];
	}
	world.tunnel.peers = list;
	world.tunnel.peer_count = MANY;
}

/* Each of many peers may be the one that decides, but a turn walks over them a few times and not once for each. */
static void test_many_peers_are_judged_once_a_turn(void **state)
{
	(void)state;
	have_many_peers();
	world.looks = 0;
	for (size_t i = 0; i < MANY; i++)
		health_note(&many[i], WIREGUARD_HANDSHAKE_GAVE_UP);
	health_act(&world.tunnel);
	assert_in_range(world.looks, MANY, 5 * MANY);
	world.looks = 0;
	for (size_t i = 0; i < MANY; i++) {
		many[i].health.judge_at = world.now;
		many[i].health.retry_at = LOOP_NEVER;
	}
	world.tunnel.health.due = world.now;
	health_tick(&world.tunnel, world.now);
	assert_in_range(world.looks, 1, 5 * MANY);
	world.tunnel.peers = world.peers;
	world.tunnel.peer_count = 1;
}

/* Thousands that fall silent together are one line and one event a second, which says how many they are. */
static void test_remedies_of_many_peers_are_told_once_a_second(void **state)
{
	(void)state;
	have_many_peers();
	for (size_t i = 0; i < MANY; i++)
		health_note(&many[i], WIREGUARD_PEER_SILENT);
	health_act(&world.tunnel);
	assert_int_equal(world.resolve_count, MANY);
	assert_int_equal(world.told[MESSAGE_HEALING_RESOLVE], 1);
	assert_int_equal(deadline(), world.now + LOOP_SECOND);
	world.now += LOOP_SECOND;
	health_tick(&world.tunnel, world.now);
	assert_int_equal(world.told[MESSAGE_HEALING_RESOLVE], 2);
	assert_int_equal(world.counted[MESSAGE_HEALING_RESOLVE], MANY);
	assert_int_equal(counter_read(&world.tunnel.counters->healed[MESSAGE_HEALING_RESOLVE]), MANY);
	assert_int_equal(deadline(), LOOP_NEVER);
	world.tunnel.peers = world.peers;
	world.tunnel.peer_count = 1;
}

/* So are its handshakes, of which the protocol takes fifty a second. */
static void test_eager_peer_is_told_once_a_second(void **state)
{
	(void)state;
	health_start(&world.tunnel);
	pass(5 * LOOP_SECOND);
	unsigned told = world.handshakes_told, counted = world.handshakes_counted;
	uint64_t done = counter_read(&world.tunnel.counters->handshakes);
	wireguard_peer_set_endpoint(world.far_peer, &world.near.address);
	for (unsigned i = 0; i < 100; i++) {
		wireguard_peer_restart(world.far_peer, world.now);
		pass(LOOP_SECOND / 25);
	}
	pass(2 * LOOP_SECOND);
	done = counter_read(&world.tunnel.counters->handshakes) - done;
	assert_true(done > 50);
	assert_in_range(world.handshakes_told - told, 4, 6);
	assert_int_equal(world.handshakes_counted - counted, done);
}

static void go_inside(void)
{
	world.tunnel.udp = NULL;
	world.tunnel.carrier = (struct carrier *)&world;
	health_start(&world.tunnel);
}

/* Nothing is sent while the outer tunnel is not up, and the first handshake comes with it. */
static void test_the_state_inside_follows_the_outer_tunnel(void **state)
{
	(void)state;
	go_inside();
	assert_int_equal(world.tunnel.health.state, TUNNEL_STALE);
	assert_string_equal(world.last_reason, "the outer tunnel o is not up");
	world.may_open = true;
	health_follow(&world.tunnel, false);
	pass(60 * LOOP_SECOND);
	assert_int_equal(world.tunnel.health.state, TUNNEL_HANDSHAKING);
	assert_false(health_is_down(&world.tunnel));
	assert_int_equal(world.initiation_count, 0);
	world.is_open = true;
	health_follow(&world.tunnel, false);
	settle();
	assert_int_equal(world.initiation_count, 1);
	assert_int_equal(world.tunnel.health.state, TUNNEL_UP);
	assert_int_equal(world.resumed, 1);
	health_follow(&world.tunnel, false);
	settle();
	assert_int_equal(world.initiation_count, 1);
	world.is_open = world.may_open = false;
	health_follow(&world.tunnel, false);
	settle();
	assert_int_equal(world.tunnel.health.state, TUNNEL_STALE);
	assert_int_equal(world.failed, 2);
	pass(300 * LOOP_SECOND);
	assert_int_equal(world.initiation_count, 1);
}

/* The peer gave up before the way closed. Its next attempt waits for the way, and does not keep the worker awake until then. */
static void test_a_pause_that_ends_without_a_way_keeps_nobody_awake(void **state)
{
	(void)state;
	world.is_cut = world.is_open = true;
	go_inside();
	health_follow(&world.tunnel, false);
	pass(100 * LOOP_SECOND);
	assert_int_not_equal(world.peer.health.retry_at, LOOP_NEVER);
	world.is_open = false;
	health_follow(&world.tunnel, false);
	settle();
	size_t before = world.initiation_count;
	for (unsigned ticks = 0; deadline() != LOOP_NEVER; ticks++) {
		assert_true(ticks < 100);
		world.now = deadline() > world.now ? deadline() : world.now;
		health_tick(&world.tunnel, world.now);
		settle();
	}
	assert_int_equal(world.initiation_count, before);
	world.is_cut = false;
	world.is_open = true;
	health_follow(&world.tunnel, false);
	settle();
	assert_int_equal(world.initiation_count, before + 1);
	assert_int_equal(world.tunnel.health.state, TUNNEL_UP);
}

/* Another port of the outer tunnel: the peer hears of it at once, and the session goes on. */
static void test_another_way_starts_a_handshake(void **state)
{
	(void)state;
	world.is_open = true;
	go_inside();
	settle();
	pass(10 * LOOP_SECOND);
	size_t before = world.initiation_count;
	health_follow(&world.tunnel, true);
	settle();
	assert_int_equal(world.initiation_count, before + 1);
	assert_int_equal(world.tunnel.health.state, TUNNEL_UP);
}

/* The host's resolver is not told of a name that is used inside another tunnel, and its sockets are not asked for. */
static void test_p1_names_inside_are_not_asked_for_outside(void **state)
{
	static const union wireguard_endpoint none;
	(void)state;
	world.is_cut = true;
	wireguard_peer_set_endpoint(world.peer.peer, &none);
	go_inside();
	world.is_open = true;
	health_follow(&world.tunnel, false);
	settle();
	assert_int_equal(world.resolved_inside, 1);
	assert_int_equal(world.tunnel.health.state, TUNNEL_HANDSHAKING);
	assert_non_null(strstr(world.last_reason, "the outer tunnel's interface.dns"));
	health_unresolved(&world.peer);
	pass(6 * LOOP_SECOND);
	assert_int_equal(world.resolved_inside, 2);
	wireguard_peer_set_endpoint(world.peer.peer, &world.far.address);
	world.peer.has_address = true;
	health_renew(&world.peer);
	pass(65 * LOOP_SECOND);
	assert_true(world.initiation_count >= 13 && world.resolved_inside > 6);
	assert_int_equal(world.resolve_count, 0);
	assert_int_equal(world.socket_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_remedies_come_in_their_order, start, stop),
		cmocka_unit_test_setup_teardown(test_remedies_of_many_peers_are_told_once_a_second, start, stop),
		cmocka_unit_test_setup_teardown(test_literal_endpoint_is_not_looked_up, start, stop),
		cmocka_unit_test_setup_teardown(test_down_after_two_initiations, start, stop),
		cmocka_unit_test_setup_teardown(test_a_peer_without_an_endpoint_is_not_one_whose_name_is_unknown, start, stop),
		cmocka_unit_test_setup_teardown(test_w16_one_initiation_a_minute_for_ever, start, stop),
		cmocka_unit_test_setup_teardown(test_w16_traffic_keeps_the_pace, start, stop),
		cmocka_unit_test_setup_teardown(test_figures_of_the_handshake_come_before_the_state, start, stop),
		cmocka_unit_test_setup_teardown(test_traffic_brings_back_the_pace, start, stop),
		cmocka_unit_test_setup_teardown(test_another_endpoint_is_tried_at_once, start, stop),
		cmocka_unit_test_setup_teardown(test_disabled_and_enabled_is_as_new, start, stop),
		cmocka_unit_test_setup_teardown(test_data_shows_that_the_peer_is_there, start, stop),
		cmocka_unit_test_setup_teardown(test_s10_a_peer_that_vanishes_is_known_in_12_s, start, stop),
		cmocka_unit_test_setup_teardown(test_a_peer_that_only_takes_is_not_asked_for_ever, start, stop),
		cmocka_unit_test_setup_teardown(test_silent_peer_is_looked_up, start, stop),
		cmocka_unit_test_setup_teardown(test_roaming_peer_is_told_once_a_second, start, stop),
		cmocka_unit_test_setup_teardown(test_many_peers_are_judged_once_a_turn, start, stop),
		cmocka_unit_test_setup_teardown(test_eager_peer_is_told_once_a_second, start, stop),
		cmocka_unit_test_setup_teardown(test_s10_stale_only_with_traffic, start, stop),
		cmocka_unit_test_setup_teardown(test_f8_next_address_after_each_initiation_while_none_answered, start, stop),
		cmocka_unit_test_setup_teardown(test_an_address_that_answered_is_kept_longer, start, stop),
		cmocka_unit_test_setup_teardown(test_f7_without_a_route_from_the_start, start, stop),
		cmocka_unit_test_setup_teardown(test_f7_a_route_that_is_lost_with_a_session, start, stop),
		cmocka_unit_test_setup_teardown(test_one_refused_packet_is_no_lost_route, start, stop),
		cmocka_unit_test_setup_teardown(test_a_route_that_flaps_is_told_at_a_rate, start, stop),
		cmocka_unit_test_setup_teardown(test_every_address_is_tried_before_the_route_counts_as_lost, start, stop),
		cmocka_unit_test_setup_teardown(test_the_state_inside_follows_the_outer_tunnel, start, stop),
		cmocka_unit_test_setup_teardown(test_a_pause_that_ends_without_a_way_keeps_nobody_awake, start, stop),
		cmocka_unit_test_setup_teardown(test_another_way_starts_a_handshake, start, stop),
		cmocka_unit_test_setup_teardown(test_p1_names_inside_are_not_asked_for_outside, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
