/* Tunnels inside tunnels on a clock that the test moves: devices and stacks are real, and so is the outermost socket. Behind it the test plays the
 * far ends, which unpack each other's datagrams. */
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netstack/packet/checksum.h"
#include "tests/tunnel/rig.h"
#include "tests/wireguard/config.h"
#include "tunnel/flush.h"
#include "tunnel/publish.h"
#include "tunnel/wireguard/sealing.h"
#include "tunnel/worker/change.h"

#define DEPTH 4
#define PORT 51820
#define UDP_HEADERS 28 /* IPv4 and UDP */

struct rig rig;

/* The far end of tunnel `level`, at 10.level.0.2 of the network of the tunnel outside it. */
struct far {
	unsigned level;
	struct far *outer; /* through which it was heard last; NULL: the socket */
	struct wireguard_key secret, public_key;
	struct wireguard_device *device;
	struct wireguard_peer *peer;
	uint8_t room[2048];
	union wireguard_endpoint to;
	unsigned heard; /* datagrams of its tunnel */
	size_t largest; /* of the packets in them */
};

static struct {
	struct tunnel *tunnels[DEPTH];
	struct wireguard_key secrets[DEPTH], publics[DEPTH];
	uint8_t floors[DEPTH][12]; /* of tunnels that are gone */
	struct far fars[DEPTH];
	int socket; /* of the outermost far end */
	union wireguard_endpoint at;
	bool is_full; /* the kernel has no room */
	bool is_cut;  /* far ends cut what they send through others */
	unsigned sent;
	uint64_t generation;
	struct netstack_flow *flow;
	size_t echoed;
	const char *via[DEPTH]; /* overrides */
	uint16_t mtu;
	bool is_named;   /* the endpoint of the tunnel that is put has a name, and the control process knows no address */
	bool is_unknown; /* the name server does not know the name (yet) */
	bool is_mute;    /* it does not answer */
	unsigned asked;  /* questions to the name server */
} world;

ssize_t __real_sendmsg(int descriptor, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int descriptor, const struct msghdr *message, int flags)
{
	if (world.is_full) {
		errno = EAGAIN;
		return -1;
	}
	world.sent++;
	return __real_sendmsg(descriptor, message, flags);
}

static void ignore_message(struct context *context, enum message_type type, struct message_writer *writer)
{
	(void)context;
	assert_int_not_equal(type, MESSAGE_WANT_UDP);
	assert_int_not_equal(type, MESSAGE_WANT_RESOLVE);
	message_writer_clear(writer);
}

static struct tunnel *find(struct context *context, const char *id)
{
	(void)context;
	for (unsigned i = 0; i < DEPTH; i++)
		if (world.tunnels[i] != NULL && world.tunnels[i]->generation != 0 && strcmp(world.tunnels[i]->id, id) == 0)
			return world.tunnels[i];
	return NULL;
}

/* The far ends. */

static void far_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	randombytes_buf(bytes, length);
}

static void far_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	*now = (struct timespec){ .tv_sec = (time_t)(1700000000 + rig.now / LOOP_SECOND), .tv_nsec = (long)(rig.now % LOOP_SECOND) };
}

static uint8_t *far_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct far *far = owner;
	far->to = *to;
	return length <= sizeof(far->room) ? far->room : NULL;
}

/* A UDP packet from the far end's own address; without a checksum, as IPv4 allows. */
static size_t wrap(uint8_t *packet, const struct far *far, const uint8_t *payload, size_t length)
{
	uint16_t total = htons((uint16_t)(UDP_HEADERS + length)), size = htons((uint16_t)(8 + length)), port = htons(PORT);
	memset(packet, 0, UDP_HEADERS);
	packet[0] = 0x45;
	memcpy(packet + 2, &total, 2);
	packet[8] = 64;
	packet[9] = IPPROTO_UDP;
	memcpy(packet + 12, (uint8_t[]){ 10, (uint8_t)far->level, 0, 2 }, 4);
	memcpy(packet + 16, &far->to.v4.sin_addr, 4);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, 20));
	memcpy(packet + 10, &sum, 2);
	memcpy(packet + 20, &port, 2);
	memcpy(packet + 22, &far->to.v4.sin_port, 2);
	memcpy(packet + 24, &size, 2);
	memcpy(packet + UDP_HEADERS, payload, length);
	return UDP_HEADERS + length;
}

static void send_piece(struct far *far, const uint8_t *packet, size_t from, size_t to, bool has_more)
{
	uint8_t piece[2048];
	uint16_t total = htons((uint16_t)(20 + to - from)), place = htons((uint16_t)((has_more ? 0x2000 : 0) | from / 8));
	struct iovec part = { piece, 20 + to - from };
	memcpy(piece, packet, 20);
	memcpy(piece + 2, &total, 2);
	memcpy(piece + 6, &place, 2);
	memset(piece + 10, 0, 2);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, piece, 20));
	memcpy(piece + 10, &sum, 2);
	memcpy(piece + 20, packet + 20 + from, to - from);
	assert_int_equal(wireguard_device_send(far->device, &part, 1, part.iov_len, rig.now), WIREGUARD_OK);
}

static void far_commit(void *owner, size_t length)
{
	struct far *far = owner;
	assert_true(wireguard_sealing_finish());
	if (far->outer == NULL) {
		assert_int_equal(sendto(world.socket, far->room, length, 0, &far->to.any, endpoint_length(&far->to)), (ssize_t)length);
		return;
	}
	uint8_t packet[2048];
	size_t payload = wrap(packet, far, far->room, length) - 20, first = world.is_cut ? payload / 16 * 8 : payload;
	send_piece(far->outer, packet, 0, first, first < payload);
	if (first < payload)
		send_piece(far->outer, packet, first, payload, false);
}

/* A packet out of the innermost tunnel is sent back. */
static void echo(struct far *far, uint8_t *packet, size_t length)
{
	uint8_t source[4];
	memcpy(source, packet + 12, 4);
	memcpy(packet + 12, packet + 16, 4);
	memcpy(packet + 16, source, 4);
	memcpy(source, packet + 20, 2);
	memcpy(packet + 20, packet + 22, 2);
	memcpy(packet + 22, source, 2);
	struct iovec part = { packet, length };
	assert_int_equal(wireguard_device_send(far->device, &part, 1, length, rig.now), WIREGUARD_OK);
}

/* A name server at 10.98.0.53: every name has the address of the far end of tunnel 1, and another one first that is nowhere. */
static void answer_name(struct far *far, uint8_t *packet, size_t length)
{
	static const uint8_t records[] = {
		0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 0, 2, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 0, 3
	};
	uint8_t reply[1024], *dns = reply + UDP_HEADERS;
	size_t end = UDP_HEADERS + 12;
	world.asked++;
	if (world.is_mute)
		return;
	while (packet[end] != 0)
		end += 1u + packet[end];
	end += 5;
	bool is_found = !world.is_unknown && packet[end - 3] == 1; /* A */
	assert_true(end <= length && end + sizeof(records) <= sizeof(reply));
	memcpy(reply, packet, end);
	dns[2] |= 0x80;
	dns[3] = world.is_unknown ? 3 : 0;
	dns[7] = is_found ? 2 : 0;
	dns[11] = 0;
	if (is_found)
		memcpy(reply + end, records, sizeof(records));
	length = end + (is_found ? sizeof(records) : 0);
	uint16_t total = htons((uint16_t)length), size = htons((uint16_t)(length - 20));
	memcpy(reply + 2, &total, 2);
	memset(reply + 10, 0, 2);
	memcpy(reply + 24, &size, 2);
	memset(reply + 26, 0, 2);
	memcpy(reply + 12, packet + 16, 4);
	memcpy(reply + 16, packet + 12, 4);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, reply, 20));
	memcpy(reply + 10, &sum, 2);
	memcpy(reply + 20, packet + 22, 2);
	memcpy(reply + 22, packet + 20, 2);
	struct iovec part = { reply, length };
	assert_int_equal(wireguard_device_send(far->device, &part, 1, length, rig.now), WIREGUARD_OK);
}

static void far_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct far *far = owner;
	union wireguard_endpoint from = { .v4 = { .sin_family = AF_INET } };
	(void)peer;
	far->heard++;
	far->largest = length > far->largest ? length : far->largest;
	if (packet[9] != IPPROTO_UDP)
		return;                        /* an echo came when nobody waited for it any more */
	assert_int_equal(packet[6] & 0x3f, 0); /* no fragment */
	memcpy(&from.v4.sin_addr, packet + 12, 4);
	memcpy(&from.v4.sin_port, packet + 20, 2);
	if (packet[17] == 98) {
		answer_name(far, packet, length);
		return;
	}
	if (packet[17] == 99) {
		echo(far, packet, length);
		return;
	}
	assert_true(packet[17] < DEPTH);
	struct far *to = &world.fars[packet[17]];
	to->outer = far;
	receive_one(to->device, packet + UDP_HEADERS, length - UDP_HEADERS, &from, rig.now);
}

static void far_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	(void)owner;
	(void)peer;
	(void)event;
}

static void make_far(unsigned level)
{
	static const uint8_t floor[12];
	struct far *far = &world.fars[level];
	struct wireguard_env env = { far, far_random, far_wall_clock, far_reserve, far_commit, far_deliver, far_notify };
	static const struct wireguard_network all = { .family = AF_INET };
	randombytes_buf(&far->secret, sizeof(far->secret));
	randombytes_buf(&world.secrets[level], sizeof(world.secrets[level]));
	assert_int_equal(wireguard_key_public(&far->public_key, &far->secret), WIREGUARD_OK);
	assert_int_equal(wireguard_key_public(&world.publics[level], &world.secrets[level]), WIREGUARD_OK);
	far->level = level;
	assert_int_equal(wireguard_device_create(&far->device, &far->secret, floor, &env), WIREGUARD_OK);
	struct wireguard_peer_config config = { .public_key = world.publics[level], .allowed_ips = &all, .allowed_ip_count = 1 };
	assert_int_equal(config_add(far->device, &config, NULL, &far->peer, rig.now), WIREGUARD_OK);
}

/* The world outside: what reaches the far end's socket, until nothing moves. */
static void move(void)
{
	for (bool moved = true; moved;) {
		uint8_t bytes[2048];
		union wireguard_endpoint from;
		socklen_t size = sizeof(from);
		rig_turn();
		ssize_t got = recvfrom(world.socket, bytes, sizeof(bytes), MSG_DONTWAIT, &from.any, &size);
		moved = got > 0;
		if (moved)
			receive_one(world.fars[0].device, bytes, (size_t)got, &from, rig.now);
	}
}

static void pass(uint64_t nanoseconds)
{
	for (uint64_t end = rig.now + nanoseconds; rig.now < end;) {
		rig_pass(end - rig.now < 100 * LOOP_MILLISECOND ? end - rig.now : 100 * LOOP_MILLISECOND);
		move();
	}
}

/* The tunnels. */

static int bound(union wireguard_endpoint *at)
{
	socklen_t length = sizeof(*at);
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&local, sizeof(local)), 0);
	assert_int_equal(getsockname(descriptor, &at->any, &length), 0);
	return descriptor;
}

/* Its own addresses are 10.(level + 1).0.1, so that the next one's far end is in its network. */
static void describe(unsigned level, struct spec *spec)
{
	char text[32];
	static const char *const outer[DEPTH] = { NULL, "t0", "t1", "t2" };
	const char *via = world.via[level] != NULL ? world.via[level] : outer[level];
	spec_init(spec);
	spec->private_key = world.secrets[level];
	spec->has_private_key = true;
	spec->mtu = world.mtu;
	spec->via = via == NULL || *via == '\0' ? NULL : strdup(via);
	snprintf(text, sizeof(text), "10.%u.0.1", level + 1);
	assert_true(network_parse(text, true, &spec->addresses[0]));
	spec->address_count = 1;
	spec->peers = calloc(1, sizeof(*spec->peers));
	spec->peer_count = 1;
	spec->peers[0].public_key = world.fars[level].public_key;
	snprintf(text, sizeof(text), "10.%u.0.2", level);
	spec->peers[0].endpoint =
	    (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup(spec->via == NULL ? "127.0.0.1" : text), .port = PORT };
	spec->peers[0].allowed_ips = calloc(1, sizeof(struct wireguard_network));
	spec->peers[0].allowed_ips[0] = (struct wireguard_network){ .family = AF_INET, .prefix = 8, .bytes = { 10 } };
	spec->peers[0].allowed_ip_count = 1;
	assert_true(spec_index_peers(spec));
}

/* Creates the tunnel or changes it, as a worker does; `edit` may change its spec. */
static void put_edited(unsigned level, void (*edit)(struct spec *spec))
{
	struct message_prepare message = { .slot = level, .generation = ++world.generation };
	struct tunnel *tunnel = world.tunnels[level];
	union wireguard_endpoint own, to = world.at;
	char detail[160];
	enum message_applied applied;
	int descriptor = -1;
	snprintf(message.id, sizeof(message.id), "t%u", level);
	memcpy(message.timestamp_floor, world.floors[level], sizeof(message.timestamp_floor));
	describe(level, &message.spec);
	if (edit != NULL)
		edit(&message.spec);
	if (message.spec.via != NULL)
		to = (union wireguard_endpoint){ .v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) } };
	if (message.spec.via != NULL)
		to.v4.sin_addr.s_addr = htonl(10u << 24 | level << 16 | 2);
	message.endpoints = calloc(1, sizeof(*message.endpoints));
	message.endpoints[0] = (struct message_addresses){ .count = !world.is_named, .list = { to } };
	message.peer_slots = calloc(1, sizeof(*message.peer_slots));
	message.peer_slots[0] = level;
	bool has_socket = message.spec.via == NULL && message.spec.enabled;
	message.sockets = calloc(1, sizeof(*message.sockets));
	message.socket_count = has_socket;
	message.sockets[0] = (struct message_socket){ .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = tunnel == NULL || tunnel->udp == NULL };
	size_t count = has_socket && message.sockets[0].fresh;
	if (count > 0)
		descriptor = bound(&own);
	assert_int_equal(change_prepare(&rig.context, &world.tunnels[level], &message, &descriptor, count, &applied, detail), MESSAGE_STATUS_OK);
	message_prepare_clear(&message);
	change_commit(world.tunnels[level]);
	tunnel_begin(world.tunnels[level]);
	move();
}

static void put(unsigned level)
{
	put_edited(level, NULL);
}

static void drop(unsigned level)
{
	struct tunnel *tunnel = world.tunnels[level];
	world.tunnels[level] = NULL;
	wireguard_device_last_timestamp(tunnel->device, world.floors[level]);
	change_remove(tunnel);
	move();
}

static int start(void **state)
{
	(void)state;
	rig_context_start(false);
	rig.context.send = ignore_message;
	rig.context.find = find;
	memset(&world, 0, sizeof(world));
	world.mtu = SPEC_MTU_DEFAULT;
	world.socket = bound(&world.at);
	for (unsigned i = 0; i < DEPTH; i++)
		make_far(i);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	netstack_flow_close(world.flow);
	for (unsigned i = 0; i < DEPTH; i++)
		change_remove(world.tunnels[i]);
	assert_null(rig.context.carriers);
	for (unsigned i = 0; i < DEPTH; i++) {
		config_forget(world.fars[i].device);
		wireguard_device_free(world.fars[i].device);
	}
	rig_context_stop();
	close(world.socket);
	return 0;
}

static enum tunnel_state state_of(unsigned level)
{
	return world.tunnels[level]->health.state;
}

static void assert_stale(unsigned level, const char *reason)
{
	assert_int_equal(state_of(level), TUNNEL_STALE);
	assert_non_null(strstr(world.tunnels[level]->health.reason, reason));
	assert_true(health_is_down(world.tunnels[level]));
}

static void on_echo(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	(void)owner;
	assert_int_equal(from->port, 7);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(bytes[i], i % 251);
	world.echoed += length;
}

/* Sends a datagram through the tunnel to a host that sends it back. */
static void send_through(unsigned level, size_t length)
{
	uint8_t bytes[2048];
	struct netstack_endpoint to = { .family = AF_INET, .bytes = { 10, 99, 0, (uint8_t)level }, .port = 7 };
	struct tunnel *tunnel = world.tunnels[level];
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i % 251);
	if (world.flow == NULL)
		assert_int_equal(netstack_flow_open(tunnel->stack, NULL, on_echo, NULL, &world.flow), NETSTACK_OK);
	int error = netstack_flow_send(world.flow, &to, bytes, length, rig.now);
	assert_true(error == NETSTACK_OK || (error == NETSTACK_BUSY && world.is_full));
	if (world.is_full)
		loop_end_turn(rig.context.loop); /* the test's kernel says of every socket that it has room */
	else
		move();
}

static void four_tunnels_in_a_row(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DEPTH; i++) {
		put(i);
		assert_int_equal(state_of(i), TUNNEL_UP);
		assert_int_equal(netstack_mtu(world.tunnels[i]->stack), SPEC_MTU_DEFAULT - 60 * i);
		assert_true((world.tunnels[i]->udp != NULL) == (i == 0));
	}
	/* The largest packet fits each of them, which the far ends assert, and fills the outermost one. */
	send_through(DEPTH - 1, 1240 - UDP_HEADERS);
	assert_int_equal(world.echoed, 1240 - UDP_HEADERS);
	assert_int_equal(world.fars[0].largest, SPEC_MTU_DEFAULT);
	/* What is inside counts as payload of what is outside. */
	for (unsigned i = 0; i + 1 < DEPTH; i++) {
		publish_socket(world.tunnels[i + 1]);
		assert_int_equal(counter_read(&world.tunnels[i]->counters->bytes_sent),
		                 counter_read(&world.tunnels[i + 1]->counters->wire_bytes_sent));
	}
}

static void set_server(struct spec *spec)
{
	spec->dns = calloc(1, sizeof(*spec->dns));
	assert_true(network_parse("10.98.0.53", true, &spec->dns[0]));
	spec->dns_count = 1;
}

static void set_name(struct spec *spec)
{
	free(spec->peers[0].endpoint.host);
	spec->peers[0].endpoint.host = strdup("peer.example");
}

/* The outer tunnel's name server has the address; the host's resolver is not asked (ignore_message). A name that is not known yet is asked for
 * again. */
static void a_name_is_resolved_in_the_outer_tunnel(void **state)
{
	(void)state;
	put_edited(0, set_server);
	world.is_named = world.is_unknown = true;
	put_edited(1, set_name);
	assert_int_equal(state_of(1), TUNNEL_HANDSHAKING);
	assert_non_null(strstr(world.tunnels[1]->health.reason, "has not resolved"));
	unsigned asked = world.asked;
	assert_true(asked > 0);
	pass(60 * LOOP_SECOND);
	assert_in_range(world.asked - asked, 11, 100); /* each 5 s */
	world.is_unknown = false;
	pass(6 * LOOP_SECOND);
	assert_int_equal(state_of(1), TUNNEL_UP);
	/* It was known from then on, and a tunnel that goes while it asks leaves no question. */
	world.is_unknown = true;
	put_edited(1, set_name);
	assert_int_equal(state_of(1), TUNNEL_UP);
	drop(1);
	pass(61 * LOOP_SECOND); /* so long the address is remembered */
	world.is_mute = true;
	put_edited(1, set_name);
	assert_non_null(world.tunnels[1]->peers[0]->lookup);
	drop(1);
	pass(20 * LOOP_SECOND);
}

/* P1: not even the control process gives it a socket. */
static void a_tunnel_inside_takes_no_socket(void **state)
{
	struct message_prepare message = { .slot = 1, .generation = 1, .id = "t1", .socket_count = 1 };
	union wireguard_endpoint own;
	char detail[160];
	enum message_applied applied;
	int descriptor = bound(&own);
	(void)state;
	describe(1, &message.spec);
	message.endpoints = calloc(1, sizeof(*message.endpoints));
	message.peer_slots = calloc(1, sizeof(*message.peer_slots));
	message.sockets = calloc(1, sizeof(*message.sockets));
	message.sockets[0] = (struct message_socket){ .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = true };
	assert_int_equal(change_prepare(&rig.context, &world.tunnels[1], &message, &descriptor, 1, &applied, detail), MESSAGE_STATUS_INVALID);
	assert_null(world.tunnels[1]);
	close(descriptor);
}

/* Whichever comes first. */
static void the_outer_tunnel_may_come_later(void **state)
{
	(void)state;
	put(2);
	/* Perhaps it is on another worker, and this one is moved there. */
	assert_int_equal(state_of(2), TUNNEL_HANDSHAKING);
	assert_string_equal(world.tunnels[2]->health.reason, "waiting for the outer tunnel t1");
	pass(2 * LOOP_SECOND);
	assert_stale(2, "outer tunnel t1 is not running");
	put(1);
	pass(2 * LOOP_SECOND);
	assert_stale(1, "outer tunnel t0 is not running");
	assert_stale(2, "outer tunnel t1 is not up");
	assert_int_equal(world.sent, 0);
	put(0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(state_of(i), TUNNEL_UP);
}

/* P1: a tunnel inside sends nothing while the outer one cannot carry it, and is back with it. */
static void disable(struct spec *spec)
{
	spec->enabled = false;
}

static void what_is_inside_follows_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(i);
	send_through(2, 100);
	put_edited(0, disable);
	assert_stale(1, "t0 is disabled");
	assert_stale(2, "t1 is not up");
	unsigned sent = world.sent, heard = world.fars[1].heard;
	send_through(2, 100);
	pass(120 * LOOP_SECOND);
	assert_int_equal(world.sent, sent);
	assert_int_equal(world.fars[1].heard, heard);
	put(0);
	assert_int_equal(state_of(2), TUNNEL_UP);
	send_through(2, 100);
	assert_int_equal(world.echoed, 200);
	drop(1);
	assert_stale(2, "t1 is not running");
	assert_int_equal(state_of(0), TUNNEL_UP);
	sent = world.sent;
	pass(5 * LOOP_SECOND);
	assert_int_equal(world.sent, sent);
	put(1);
	send_through(2, 100);
	assert_int_equal(world.echoed, 300);
}

/* A far end's host may cut them; they are whole again before they are opened, and live until what was in them is read. */
static void datagrams_inside_may_come_in_pieces(void **state)
{
	(void)state;
	world.is_cut = true;
	for (unsigned i = 0; i < 3; i++)
		put(i);
	assert_int_equal(state_of(2), TUNNEL_UP);
	send_through(2, 1000);
	assert_int_equal(world.echoed, 1000);
}

static void grow(struct spec *spec)
{
	spec->mtu = 1300;
}

/* Another stack of the outer tunnel: other ports, and another size. */
static void a_new_stack_of_the_outer_tunnel_is_joined(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(i);
	put_edited(0, grow);
	assert_int_equal(netstack_mtu(world.tunnels[1]->stack), 1240);
	assert_int_equal(netstack_mtu(world.tunnels[2]->stack), 1180);
	assert_int_equal(state_of(2), TUNNEL_UP);
	send_through(2, 1180 - UDP_HEADERS);
	assert_int_equal(world.echoed, 1180 - UDP_HEADERS);
	assert_int_equal(world.fars[0].largest, 1300);
	put(0);
	assert_int_equal(netstack_mtu(world.tunnels[2]->stack), SPEC_MTU_DEFAULT - 120);
}

static const struct netstack *stack_seen;

static void note_stack(void *owner)
{
	const struct tunnel *outer = owner;
	stack_seen = outer->stack;
}

/* Bytes in them may be the outer stack's: whoever reads them does so before it is freed. */
static void what_was_lent_is_read_before_the_outer_stack_goes(void **state)
{
	struct deferred write;
	(void)state;
	put(0);
	put(1);
	struct tunnel *outer = world.tunnels[0];
	const struct netstack *before = outer->stack;
	deferred_init(&write, note_stack, outer);
	flush_queue(world.tunnels[1], &write);
	put_edited(0, grow);
	assert_ptr_equal(stack_seen, before);
	flush_queue(world.tunnels[1], &write);
	world.tunnels[0] = NULL;
	before = outer->stack;
	change_remove(outer);
	assert_false(write.queued);
	assert_ptr_equal(stack_seen, before);
	move();
}

static void narrow(struct spec *spec)
{
	spec->peers[0].allowed_ips[0].bytes[1] = 77;
	spec->peers[0].allowed_ips[0].prefix = 16;
}

static void an_endpoint_that_the_outer_tunnel_does_not_route(void **state)
{
	(void)state;
	put_edited(0, narrow);
	put(1);
	pass(2 * LOOP_SECOND);
	assert_stale(1, "allowed_ips");
	put(0);
	pass(6 * LOOP_SECOND);
	assert_int_equal(state_of(1), TUNNEL_UP);
}

/* With the kernel's buffer full a train at most waits in each tunnel; then all goes on. */
static void without_room_all_wait(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		put(i);
	send_through(2, 100);
	world.is_full = true;
	for (unsigned i = 0; i < 200; i++)
		send_through(2, 100);
	assert_int_equal(world.echoed, 100);
	world.is_full = false;
	move();
	assert_true(world.echoed > 100 && world.echoed < 70 * 100);
	size_t before = world.echoed;
	send_through(2, 100);
	assert_int_equal(world.echoed, before + 100);
}

/* A change of both may let each lead through the other for a moment. */
static void a_circle_joins_nothing(void **state)
{
	(void)state;
	put(0);
	put(1);
	world.via[0] = "t1";
	put(0);
	pass(2 * LOOP_SECOND);
	assert_stale(0, "t1");
	world.via[1] = "";
	put(1);
	assert_int_not_equal(state_of(0), TUNNEL_DISABLED);
	assert_null(strstr(world.tunnels[0]->health.reason, "not running"));
	assert_non_null(world.tunnels[1]->inside);
	world.via[0] = "t0";
	put(0);
	pass(2 * LOOP_SECOND);
	assert_stale(0, "t0 is not running");
}

static void name_port(struct spec *spec)
{
	spec->listen_port = 4000;
}

/* The port is one of the outer tunnel's stack. */
static void a_port_inside_is_taken_once(void **state)
{
	(void)state;
	world.via[2] = "t0";
	put(0);
	put_edited(1, name_port);
	assert_int_equal(state_of(1), TUNNEL_UP);
	put_edited(2, name_port);
	assert_stale(2, "interface.listen_port");
	drop(1);
	assert_int_equal(state_of(2), TUNNEL_UP);
	put_edited(1, name_port);
	assert_stale(1, "interface.listen_port");
	put(1);
	pass(6 * LOOP_SECOND); /* its far end takes fifty initiations a second */
	assert_int_equal(state_of(1), TUNNEL_UP);
}

static void use_up(struct spec *spec)
{
	spec->limits.total_bytes = 1;
}

static void a_quota_that_is_used_up_closes_the_way(void **state)
{
	(void)state;
	put(0);
	put(1);
	put_edited(0, use_up);
	assert_stale(1, "limits.total_bytes");
	unsigned heard = world.fars[1].heard;
	pass(30 * LOOP_SECOND);
	assert_int_equal(world.fars[1].heard, heard);
}

#define RATE 80000 /* bits a second: 10,000 bytes */

static void limit_sending(struct spec *spec)
{
	spec->limits.tx_bits_per_second = RATE;
}

static void limit_receiving(struct spec *spec)
{
	spec->limits.rx_bits_per_second = RATE;
}

/* What a minute of more than is allowed brings back, from the inner tunnel's far end. */
static size_t echoed_in_a_minute(void)
{
	world.echoed = 0;
	for (unsigned i = 0; i < 600; i++) {
		for (unsigned k = 0; k < 5; k++)
			send_through(1, 1000);
		pass(100 * LOOP_MILLISECOND);
	}
	return world.echoed;
}

static void the_rate_of_the_outer_tunnel_holds_what_is_inside(void **state)
{
	static void (*const limits[])(struct spec * spec) = { limit_sending, limit_receiving };
	(void)state;
	put(0);
	put(1);
	assert_int_equal(echoed_in_a_minute(), 600 * 5 * 1000);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		put_edited(0, limits[i]);
		size_t echoed = echoed_in_a_minute();
		assert_in_range(echoed, 60 * RATE / 8 / 2, 60 * RATE / 8 + 65536);
		assert_int_equal(state_of(1), TUNNEL_UP);
	}
	assert_true(counter_read(&world.tunnels[0]->counters->dropped[COUNTERS_DROP_OVERFLOW]) > 0);
}

static void use_up_soon(struct spec *spec)
{
	spec->limits.total_bytes = counter_read(&world.tunnels[0]->counters->total_bytes_used) + 5000;
}

/* To the datagram, also within a train. */
static void the_quota_of_the_outer_tunnel_holds_what_is_inside(void **state)
{
	(void)state;
	put(0);
	put(1);
	put_edited(0, use_up_soon);
	const uint64_t limit = world.tunnels[0]->spec.limits.total_bytes;
	static const uint8_t bytes[1000];
	struct netstack_endpoint to = { .family = AF_INET, .bytes = { 10, 99, 0, 1 }, .port = 7 };
	assert_int_equal(netstack_flow_open(world.tunnels[1]->stack, NULL, on_echo, NULL, &world.flow), NETSTACK_OK);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(netstack_flow_send(world.flow, &to, bytes, sizeof(bytes), rig.now), NETSTACK_OK);
	move();
	assert_in_range(counter_read(&world.tunnels[0]->counters->total_bytes_used), limit, limit + 1500);
	assert_stale(1, "limits.total_bytes");
}

static void send_any(unsigned level)
{
	struct netstack_endpoint to = { .family = AF_INET, .bytes = { 10, 99, 0, 1 }, .port = 7 };
	struct netstack_flow *flow;
	if (world.tunnels[level] == NULL || netstack_flow_open(world.tunnels[level]->stack, NULL, on_echo, NULL, &flow) != NETSTACK_OK)
		return;
	for (unsigned i = 0; i < 100; i++)
		if (netstack_flow_send(flow, &to, "\0\1\2", 3, rig.now) != NETSTACK_OK)
			break;
	move();
	netstack_flow_close(flow);
}

static void change_any(unsigned level)
{
	static const char *const ways[] = { "t0", "t1", "t2", "t3", "", NULL };
	switch (rand() % 7) {
	case 0:
		world.via[level] = ways[rand() % 6];
		put(level);
		break;
	case 1: put_edited(level, disable); break;
	case 2: put_edited(level, grow); break;
	case 3:
		if (world.tunnels[level] != NULL)
			drop(level);
		break;
	case 4: pass((uint64_t)(rand() % 3000) * LOOP_MILLISECOND); break;
	case 5: world.is_cut = rand() % 2 == 0; break;
	default: send_any(level); break;
	}
}

/* However they are changed, also in circles, and then as they were: no memory is used after it is freed, nothing hangs, and all come up. */
static void any_order_of_changes(void **state)
{
	(void)state;
	srand(20);
	for (unsigned i = 0; i < 3000; i++)
		change_any((unsigned)rand() % DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		world.via[i] = NULL;
	for (unsigned i = 0; i < DEPTH; i++)
		put(i);
	pass(20 * LOOP_SECOND);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(state_of(i), TUNNEL_UP);
	send_any(DEPTH - 1);
	assert_true(world.echoed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_resolved_in_the_outer_tunnel, start, stop),
		cmocka_unit_test_setup_teardown(four_tunnels_in_a_row, start, stop),
		cmocka_unit_test_setup_teardown(a_tunnel_inside_takes_no_socket, start, stop),
		cmocka_unit_test_setup_teardown(the_outer_tunnel_may_come_later, start, stop),
		cmocka_unit_test_setup_teardown(what_is_inside_follows_at_once, start, stop),
		cmocka_unit_test_setup_teardown(datagrams_inside_may_come_in_pieces, start, stop),
		cmocka_unit_test_setup_teardown(a_new_stack_of_the_outer_tunnel_is_joined, start, stop),
		cmocka_unit_test_setup_teardown(what_was_lent_is_read_before_the_outer_stack_goes, start, stop),
		cmocka_unit_test_setup_teardown(an_endpoint_that_the_outer_tunnel_does_not_route, start, stop),
		cmocka_unit_test_setup_teardown(without_room_all_wait, start, stop),
		cmocka_unit_test_setup_teardown(a_circle_joins_nothing, start, stop),
		cmocka_unit_test_setup_teardown(any_order_of_changes, start, stop),
		cmocka_unit_test_setup_teardown(a_port_inside_is_taken_once, start, stop),
		cmocka_unit_test_setup_teardown(the_rate_of_the_outer_tunnel_holds_what_is_inside, start, stop),
		cmocka_unit_test_setup_teardown(the_quota_of_the_outer_tunnel_holds_what_is_inside, start, stop),
		cmocka_unit_test_setup_teardown(a_quota_that_is_used_up_closes_the_way, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
