/* A real worker process with two tunnels whose devices talk to each other over loopback; this test is its control process. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "ipc/channel.h"
#include "ipc/counters.h"
#include "ipc/log.h"
#include "tests/wireguard/config.h"
#include "tunnel/wireguard/device.h"
#include "tunnel/worker/worker.h"

#define WAIT_MS 10000

struct control {
	pid_t worker;
	struct channel *channel;
	struct counters *counters;
	int memory;            /* the counters' descriptor, for each worker */
	uint64_t acknowledged; /* request of the last DONE or PREPARED */
	struct message_prepared prepared;
	struct message_ack done;
	bool ready, probed;
	struct message_probed probe;
	uint8_t transfer[CHANNEL_UNTRUSTED_MAX]; /* the last one: a peer's sessions */
	size_t transfer_length;
	uint8_t floors[8][12]; /* labels of the last initiations, by slot */
	uint8_t states[8];     /* by slot */
	uint16_t target_port;  /* where inbound forwards lead to */
};

static struct control control;
static struct wireguard_key keys[2], publics[2];
static uint16_t udp_ports[2], proxy_ports[2];
static int udp_sockets[2], proxy_sockets[2];

static void grant(const struct message_want *want, int descriptor)
{
	struct message_ack ack = { .request = want->request,
		                   .slot = want->slot,
		                   .generation = want->generation,
		                   .status = descriptor < 0 ? MESSAGE_STATUS_REFUSED : MESSAGE_STATUS_OK };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	assert_int_equal(channel_send(control.channel, MESSAGE_GRANTED, &writer, &descriptor, descriptor < 0 ? 0 : 1), CHANNEL_OK);
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int descriptor = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(descriptor, (struct sockaddr *)&to, sizeof(to)) == 0)
		return descriptor;
	close(descriptor);
	return -1;
}

/* A worker gets no socket that blocks. */
static int dial_for_worker(uint16_t port)
{
	int descriptor = dial(port);
	if (descriptor >= 0)
		assert_int_equal(fcntl(descriptor, F_SETFL, O_NONBLOCK), 0);
	return descriptor;
}

static bool hear(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner;
	(void)descriptors;
	assert_int_equal(count, 0);
	struct message_state state;
	struct message_want want;
	struct message_transfer transfer;
	struct message_handshake handshake;
	if (type == MESSAGE_READY)
		control.ready = true;
	else if (type == MESSAGE_PREPARED && message_decode_prepared(body, &control.prepared))
		control.acknowledged = control.prepared.ack.request;
	else if (type == MESSAGE_DONE && message_decode_ack(body, &control.done))
		control.acknowledged = control.done.request;
	else if (type == MESSAGE_STATE && message_decode_state(body, &state))
		control.states[state.slot] = state.state;
	else if (type == MESSAGE_PROBED && message_decode_probed(body, &control.probe))
		control.probed = true;
	else if (type == MESSAGE_TRANSFER && message_decode_transfer(body, &transfer))
		memcpy(control.transfer, transfer.state.bytes, control.transfer_length = transfer.state.left);
	else if (type == MESSAGE_HANDSHAKE && message_decode_handshake(body, &handshake))
		memcpy(control.floors[handshake.slot], handshake.last_timestamp, sizeof(handshake.last_timestamp));
	else if (type == MESSAGE_WANT_DIAL && message_decode_want(body, &want))
		grant(&want, dial_for_worker(control.target_port));
	return true;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serves the channel, and waits for `descriptor` to be readable when it is not negative, until `until` holds. */
static bool serve(bool (*until)(void), int descriptor)
{
	int64_t end = now_ms() + WAIT_MS;
	while (now_ms() < end) {
		struct pollfd polls[2] = { { .fd = channel_descriptor(control.channel), .events = POLLIN }, { .fd = descriptor, .events = POLLIN } };
		if (until != NULL && until())
			return true;
		poll(polls, 2, 100);
		if (polls[0].revents != 0)
			assert_int_equal(channel_read(control.channel, hear, NULL), CHANNEL_OK);
		if (until == NULL && polls[1].revents != 0)
			return true;
	}
	return false;
}

static bool is_ready(void)
{
	return control.ready;
}

static uint64_t awaited;
static bool is_acknowledged(void)
{
	return control.acknowledged == awaited;
}

static bool is_up(void)
{
	return control.states[0] == TUNNEL_UP && control.states[1] == TUNNEL_UP;
}

static bool is_probed(void)
{
	return control.probed;
}

static bool spawn(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid_t parent = getpid();
	control.ready = false;
	control.worker = fork();
	if (control.worker == 0) {
		close(ends[0]);
		log_start(LOG_WARN, false, "worker 0");
		struct worker_options options = { .control_pid = parent, .gso = true, .session_slots = 64 };
		exit(worker_main(ends[1], control.memory, &options));
	}
	close(ends[1]);
	control.channel = channel_create(ends[0], false);
	return serve(is_ready, -1);
}

static int start(void **state)
{
	(void)state;
	control.memory = counters_create(&control.counters);
	bool is_there = spawn();
	assert_int_equal(wireguard_start(16, false), WIREGUARD_OK); /* the worker starts its own */
	return is_there ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	struct message_writer writer;
	message_writer_init(&writer);
	assert_int_equal(channel_send(control.channel, MESSAGE_SHUTDOWN, &writer, NULL, 0), CHANNEL_OK);
	int status;
	assert_int_equal(waitpid(control.worker, &status, 0), control.worker);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	channel_free(control.channel);
	counters_unmap(control.counters);
	return 0;
}

static int bound(int type, uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(at);
	int small = 65536, descriptor = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	/* Datagrams are lost when a train finds no room, so that what comes out of order is part of every transfer. */
	if (type == SOCK_DGRAM)
		setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(descriptor, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(descriptor, (struct sockaddr *)&at, &length), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(descriptor, 128), 0);
	*port = ntohs(at.sin_port);
	return descriptor;
}

static void describe(struct spec *spec, unsigned i)
{
	spec_init(spec);
	spec->private_key = keys[i];
	spec->has_private_key = true;
	spec->addresses[0] = (struct wireguard_network){ .family = AF_INET, .prefix = 32, .bytes = { 10, 0, 0, (uint8_t)(i + 1) } };
	spec->address_count = 1;
	spec->peers = calloc(1, sizeof(*spec->peers));
	spec->peer_count = 1;
	spec->peers[0].public_key = publics[1 - i];
	spec->peers[0].allowed_ips = calloc(1, sizeof(struct wireguard_network));
	spec->peers[0].allowed_ips[0].family = AF_INET;
	spec->peers[0].allowed_ip_count = 1;
	spec->listen = calloc(1, sizeof(*spec->listen));
	spec->listen[0] = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("127.0.0.1") };
	spec->listen_count = 1;
	if (i != 0)
		return;
	spec->forwards = calloc(1, sizeof(*spec->forwards));
	spec->forward_count = 1;
	spec->forwards[0].name = strdup("web");
	spec->forwards[0].direction = SPEC_INBOUND;
	spec->forwards[0].listen = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("10.0.0.1"), .port = 80 };
	spec->forwards[0].target = (struct spec_place){ .kind = SPEC_PLACE_INET, .host = strdup("127.0.0.1"), .port = control.target_port };
}

static enum message_status settle(enum message_type type, uint32_t slot, uint64_t generation)
{
	struct message_ack ack = { .request = ++awaited, .slot = slot, .generation = generation };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	assert_int_equal(channel_send(control.channel, type, &writer, NULL, 0), CHANNEL_OK);
	assert_true(serve(is_acknowledged, -1));
	return (enum message_status)control.done.status;
}

static void prepare(unsigned i, uint64_t generation, bool fresh, uint16_t mtu)
{
	struct message_addresses addresses = { .count = 1 };
	addresses.list[0].v4 =
	    (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(udp_ports[1 - i]), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct message_socket sockets[2] = { { .id = 1, .kind = MESSAGE_SOCKET_UDP, .fresh = fresh },
		                             { .id = 2, .kind = MESSAGE_SOCKET_PROXY, .fresh = fresh } };
	uint32_t peer_slots[1] = { i };
	struct message_prepare message = { .request = ++awaited,
		                           .slot = i,
		                           .generation = generation,
		                           .endpoints = &addresses,
		                           .sockets = sockets,
		                           .socket_count = 2,
		                           .peer_slots = peer_slots };
	snprintf(message.id, sizeof(message.id), "tunnel-%u", i);
	memcpy(message.timestamp_floor, control.floors[i], sizeof(message.timestamp_floor));
	describe(&message.spec, i);
	message.spec.mtu = mtu;
	int descriptors[2] = { dup(udp_sockets[i]), dup(proxy_sockets[i]) };
	struct message_writer writer, spec;
	message_writer_init(&writer);
	message_writer_init(&spec);
	spec_encode(&spec, &message.spec);
	message_encode_prepare(&writer, &message, &spec);
	message_writer_clear(&spec);
	spec_clear(&message.spec);
	if (!fresh) {
		close(descriptors[0]);
		close(descriptors[1]);
	}
	assert_int_equal(channel_send(control.channel, MESSAGE_PREPARE, &writer, descriptors, fresh ? 2 : 0), CHANNEL_OK);
	assert_true(serve(is_acknowledged, -1));
	assert_int_equal(control.prepared.ack.status, MESSAGE_STATUS_OK);
}

static void create(unsigned i, uint64_t generation, bool fresh, uint16_t mtu)
{
	prepare(i, generation, fresh, mtu);
	assert_int_equal(settle(MESSAGE_COMMIT, i, generation), MESSAGE_STATUS_OK);
}

/* Sends `request` to a proxy and reads until `wanted` bytes came or the connection ended. */
static size_t ask(int descriptor, const char *request, size_t length, char *reply, size_t wanted)
{
	size_t got = 0;
	assert_int_equal(send(descriptor, request, length, MSG_NOSIGNAL), (ssize_t)length);
	while (got < wanted && serve(NULL, descriptor)) {
		ssize_t n = recv(descriptor, reply + got, wanted - got, 0);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static void test_two_tunnels_come_up(void **state)
{
	(void)state;
	int listener = bound(SOCK_STREAM, &control.target_port);
	close(listener);
	for (unsigned i = 0; i < 2; i++) {
		randombytes_buf(keys[i].bytes, sizeof(keys[i].bytes));
		assert_int_equal(wireguard_key_public(&publics[i], &keys[i]), WIREGUARD_OK);
		udp_sockets[i] = bound(SOCK_DGRAM, &udp_ports[i]);
		proxy_sockets[i] = bound(SOCK_STREAM, &proxy_ports[i]);
	}
	create(0, 1, true, 1420);
	create(1, 1, true, 1420);
	assert_true(serve(is_up, -1));
	assert_true(counter_read(&control.counters->peers[0].last_handshake_at) > 0);
}

static void test_ping_answers(void **state)
{
	(void)state;
	struct message_probe probe = {
		.request = 9, .slot = 1, .generation = 1, .type = SPEC_PROBE_PING, .target = "10.0.0.1", .count = 2, .timeout_ms = 2000
	};
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probe(&writer, &probe);
	assert_int_equal(channel_send(control.channel, MESSAGE_PROBE, &writer, NULL, 0), CHANNEL_OK);
	assert_true(serve(is_probed, -1));
	assert_true(control.probe.ok);
	assert_int_equal(control.probe.received, 2);
}

static void send_transfer(uint32_t slot, uint64_t generation, size_t length)
{
	struct message_transfer transfer = { .slot = slot, .generation = generation, .state = { .bytes = control.transfer, .left = length } };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_transfer(&writer, &transfer);
	assert_int_equal(channel_send(control.channel, MESSAGE_TRANSFER, &writer, NULL, 0), CHANNEL_OK);
}

/* A handshake that follows another within 20 ms is repeated after 5 s (W6). */
static bool answers_ping(void)
{
	struct message_probe probe = {
		.request = 9, .slot = 1, .generation = 1, .type = SPEC_PROBE_PING, .target = "10.0.0.1", .count = 6, .timeout_ms = 1500
	};
	struct message_writer writer;
	control.probed = false;
	message_writer_init(&writer);
	message_encode_probe(&writer, &probe);
	assert_int_equal(channel_send(control.channel, MESSAGE_PROBE, &writer, NULL, 0), CHANNEL_OK);
	assert_true(serve(is_probed, -1));
	return control.probe.received > 0;
}

/* It is handed over and taken again, here by the same process: it goes on without a handshake. */
static void test_a_tunnel_is_handed_over_with_its_sessions(void **state)
{
	(void)state;
	const struct counters_tunnel *counters = &control.counters->tunnels[1];
	uint64_t handshakes = counter_read(&counters->handshakes), sent = counter_read(&counters->wire_bytes_sent);
	uint64_t since = counter_read(&counters->state_since);
	assert_int_equal(settle(MESSAGE_HAND_OVER, 1, 7), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_HAND_OVER_IDLE, 1, 7), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_HAND_OVER_IDLE, 1, 1), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_REMOVE, 1, 1), MESSAGE_STATUS_UNKNOWN);
	prepare(1, 1, true, 1420);
	send_transfer(1, 1, control.transfer_length);
	assert_int_equal(settle(MESSAGE_COMMIT, 1, 1), MESSAGE_STATUS_OK);
	assert_true(answers_ping());
	assert_int_equal(counter_read(&counters->handshakes), handshakes);
	assert_int_equal(counter_read(&counters->state), TUNNEL_UP);
	assert_int_equal(counter_read(&counters->state_since), since);
	assert_true(counter_read(&counters->wire_bytes_sent) >= sent);
}

/* A client that has only connected is waited for, too. */
static void test_a_tunnel_with_a_client_is_not_handed_over_while_it_must_be_idle(void **state)
{
	(void)state;
	int client = dial(proxy_ports[1]);
	assert_true(client >= 0);
	/* Whoever has been answered was accepted. */
	char reply[64];
	assert_int_equal(ask(client, "GET", 3, reply, 0), 0);
	while (settle(MESSAGE_HAND_OVER_IDLE, 1, 1) != MESSAGE_STATUS_REFUSED) {
		/* It was not accepted yet, and the tunnel went: here is the next. */
		prepare(1, 1, true, 1420);
		assert_int_equal(settle(MESSAGE_COMMIT, 1, 1), MESSAGE_STATUS_OK);
	}
	assert_true(answers_ping());
	close(client);
}

/* What cannot be taken over begins with a handshake, and so does what is not told at all. */
static void test_a_tunnel_with_broken_sessions_begins_anew(void **state)
{
	(void)state;
	const struct counters_tunnel *counters = &control.counters->tunnels[1];
	for (unsigned i = 0; i < 2; i++) {
		uint64_t handshakes = counter_read(&counters->handshakes);
		assert_int_equal(settle(MESSAGE_HAND_OVER, 1, 1), MESSAGE_STATUS_OK);
		prepare(1, 1, true, 1420);
		for (unsigned k = 0; i == 0 && k < 3; k++) /* more than it has peers */
			send_transfer(1, 1, control.transfer_length - 1 - k);
		assert_int_equal(settle(MESSAGE_COMMIT, 1, 1), MESSAGE_STATUS_OK);
		assert_true(answers_ping());
		assert_true(counter_read(&counters->handshakes) > handshakes);
	}
}

/* From within its sandbox. */
static void test_a_worker_tells_what_it_uses(void **state)
{
	(void)state;
	const struct counters_worker *counters = &control.counters->worker;
	assert_in_range(counter_read(&counters->cpu_us), 1, 60 * 1000000);
	assert_in_range(counter_read(&counters->resident_bytes), 1 << 20, 1u << 30);
}

static void test_refused_target_is_502(void **state)
{
	(void)state;
	char reply[2048] = { 0 };
	int client = dial(proxy_ports[1]);
	static const char request[] = "CONNECT 10.0.0.1:81 HTTP/1.1\r\nHost: 10.0.0.1:81\r\n\r\n";
	ask(client, request, sizeof(request) - 1, reply, sizeof(reply) - 1);
	assert_non_null(strstr(reply, "HTTP/1.1 502"));
	assert_non_null(strstr(reply, "connection_refused"));
	close(client);
}

static void test_loopback_is_403(void **state)
{
	(void)state;
	char reply[2048] = { 0 };
	int client = dial(proxy_ports[1]);
	static const char request[] = "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n";
	ask(client, request, sizeof(request) - 1, reply, sizeof(reply) - 1);
	assert_non_null(strstr(reply, "HTTP/1.1 403"));
	close(client);
}

/* A server behind tunnel 0 that echoes; a client through tunnel 1. */
static void echo_through(const char *opening, size_t opening_length, const char *wanted_reply, size_t reply_length, size_t bytes)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(control.target_port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 8), 0);
	pid_t server = fork();
	if (server == 0) {
		int peer = accept(listener, NULL, NULL);
		char buffer[65536];
		ssize_t n;
		alarm(20);
		while ((n = read(peer, buffer, sizeof(buffer))) > 0)
			for (ssize_t at_byte = 0; at_byte < n;)
				at_byte += write(peer, buffer + at_byte, (size_t)(n - at_byte));
		_exit(0);
	}
	close(listener);
	int client = dial(proxy_ports[1]);
	char reply[256] = { 0 };
	assert_int_equal(ask(client, opening, opening_length, reply, reply_length), reply_length);
	assert_memory_equal(reply, wanted_reply, strlen(wanted_reply));
	pid_t writer = fork();
	char *sent = malloc(bytes), *came = malloc(bytes);
	uint64_t random = 88172645463325252u;
	for (size_t i = 0; i < bytes; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		sent[i] = (char)random;
	}
	if (writer == 0) {
		alarm(20);
		for (size_t done = 0; done < bytes;) {
			ssize_t n = write(client, sent + done, bytes - done);
			if (n <= 0)
				_exit(1);
			done += (size_t)n;
		}
		shutdown(client, SHUT_WR);
		_exit(0);
	}
	size_t got = 0;
	while (got < bytes && serve(NULL, client)) {
		ssize_t n = recv(client, came + got, bytes - got, 0);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	assert_int_equal(got, bytes);
	assert_memory_equal(sent, came, bytes);
	/* The half-close went through and came back. */
	assert_true(serve(NULL, client));
	assert_int_equal(recv(client, reply, 1, 0), 0);
	free(sent);
	free(came);
	close(client);
	waitpid(writer, NULL, 0);
	waitpid(server, NULL, 0);
}

static void test_connect_echoes(void **state)
{
	(void)state;
	static const char request[] = "CONNECT 10.0.0.1:80 HTTP/1.1\r\nHost: 10.0.0.1:80\r\n\r\n";
	echo_through(request, sizeof(request) - 1, "HTTP/1.1 200", 39, 8 << 20);
}

static void test_socks5_echoes(void **state)
{
	(void)state;
	static const char request[] = { 5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80 };
	static const char reply[] = { 5, 0, 5, 0, 0, 1, 0 };
	echo_through(request, sizeof(request), reply, 12, 1 << 20);
}

static void test_change_keeps_the_session_and_remove_ends_all(void **state)
{
	(void)state;
	uint64_t handshake = counter_read(&control.counters->peers[1].last_handshake_at);
	create(1, 2, false, 1420);
	assert_int_equal(control.prepared.applied, MESSAGE_APPLIED_IN_PLACE);
	create(1, 3, false, 1280);
	assert_int_equal(control.prepared.applied, MESSAGE_APPLIED_RESTARTED);
	assert_int_equal(counter_read(&control.counters->peers[1].last_handshake_at), handshake);
	test_connect_echoes(state);
	assert_int_equal(settle(MESSAGE_REMOVE, 1, 3), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_REMOVE, 1, 3), MESSAGE_STATUS_UNKNOWN);
	close(proxy_sockets[1]);
	assert_int_equal(dial(proxy_ports[1]), -1);
}

static void reach(uint16_t port, struct message_addresses *addresses)
{
	*addresses = (struct message_addresses){ .count = 1 };
	addresses->list[0].v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* A name's address goes to the peer of that tunnel in that generation, and of no other. */
static void test_a_resolved_name_is_for_its_generation(void **state)
{
	(void)state;
	struct message_resolved message = { .slot = 0, .generation = 9, .peer = publics[1] };
	struct message_writer writer;
	uint16_t elsewhere;
	int other = bound(SOCK_DGRAM, &elsewhere);
	uint8_t datagram[256];
	reach(elsewhere, &message.addresses);
	message_writer_init(&writer);
	message_encode_resolved(&writer, &message);
	assert_int_equal(channel_send(control.channel, MESSAGE_RESOLVED, &writer, NULL, 0), CHANNEL_OK);
	/* The answer to what follows shows that it was read. */
	assert_int_equal(settle(MESSAGE_RECONNECT, 0, 1), MESSAGE_STATUS_OK);
	assert_int_equal(recv(other, datagram, sizeof(datagram), MSG_DONTWAIT), -1);
	message.generation = 1;
	message_writer_init(&writer);
	message_encode_resolved(&writer, &message);
	assert_int_equal(channel_send(control.channel, MESSAGE_RESOLVED, &writer, NULL, 0), CHANNEL_OK);
	assert_true(serve(NULL, other));
	assert_int_equal(recv(other, datagram, sizeof(datagram), 0), 148);
	assert_int_equal(datagram[0], 1);
	close(other);
}

/* What is said of a tunnel that is not there, or of another generation, changes nothing and says so. */
static void test_what_is_said_of_others_is_unknown(void **state)
{
	(void)state;
	assert_int_equal(settle(MESSAGE_RECONNECT, 0, 2), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_RECONNECT, 7, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_RECONNECT, COUNTERS_TUNNELS, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_COMMIT, 0, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_COMMIT, COUNTERS_TUNNELS, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_REMOVE, COUNTERS_TUNNELS, 1), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(settle(MESSAGE_ABORT, COUNTERS_TUNNELS, 1), MESSAGE_STATUS_OK);
	struct message_probe probe = { .request = 10, .slot = 0, .generation = 2, .type = SPEC_PROBE_PING, .target = "10.0.0.2", .count = 1 };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probe(&writer, &probe);
	control.probed = false;
	assert_int_equal(channel_send(control.channel, MESSAGE_PROBE, &writer, NULL, 0), CHANNEL_OK);
	assert_true(serve(is_probed, -1));
	assert_int_equal(control.probe.request, 10);
	assert_false(control.probe.ok);
	assert_non_null(strstr(control.probe.detail, "not running"));
}

/* A new tunnel that is given up leaves its ports free. */
static void test_an_abort_frees_what_was_prepared(void **state)
{
	(void)state;
	udp_sockets[1] = bound(SOCK_DGRAM, &udp_ports[1]);
	proxy_sockets[1] = bound(SOCK_STREAM, &proxy_ports[1]);
	prepare(1, 5, true, 1420);
	close(proxy_sockets[1]);
	assert_int_equal(settle(MESSAGE_ABORT, 1, 5), MESSAGE_STATUS_OK);
	assert_int_equal(settle(MESSAGE_COMMIT, 1, 5), MESSAGE_STATUS_UNKNOWN);
	assert_int_equal(dial(proxy_ports[1]), -1);
	close(udp_sockets[1]);
}

static int exit_code(void)
{
	int status;
	assert_int_equal(waitpid(control.worker, &status, 0), control.worker);
	channel_free(control.channel);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void respawn(void)
{
	wireguard_stop();
	assert_true(spawn());
	assert_int_equal(wireguard_start(16, false), WIREGUARD_OK);
}

/* It ends by itself, with all that it had: keys are wiped and memory is given back. */
static void test_a_worker_ends_when_it_is_told_to(void **state)
{
	(void)state;
	struct message_writer writer;
	message_writer_init(&writer);
	assert_int_equal(channel_send(control.channel, MESSAGE_SHUTDOWN, &writer, NULL, 0), CHANNEL_OK);
	assert_int_equal(exit_code(), 0);
	respawn();
}

/* Without the control process nobody can say what to do. */
static void test_a_worker_ends_when_its_channel_does(void **state)
{
	(void)state;
	shutdown(channel_descriptor(control.channel), SHUT_RDWR);
	assert_int_equal(exit_code(), 1);
	respawn();
}

static void test_a_worker_ends_at_what_it_cannot_decode(void **state)
{
	static const enum message_type types[] = { MESSAGE_PREPARE, MESSAGE_COMMIT };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct message_writer writer;
		message_writer_init(&writer);
		message_put_u8(&writer, 1);
		assert_int_equal(channel_send(control.channel, types[i], &writer, NULL, 0), CHANNEL_OK);
		assert_int_equal(exit_code(), 1);
		respawn();
	}
}

/* After another worker, with the ports that the first tunnel had. */
static void test_a_tunnel_goes_on_in_the_next_worker(void **state)
{
	(void)state;
	create(0, 3, true, 1420);
	assert_int_equal(counter_read(&control.counters->tunnels[0].generation), 3);
}

/* A peer that the test itself plays: what its device sends last lies in `sent`. */
static struct {
	uint8_t sent[256];
	size_t length;
} player;

static void play_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	assert_int_equal(getrandom(bytes, length, 0), (ssize_t)length);
}

static void play_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	clock_gettime(CLOCK_REALTIME, now);
}

static uint8_t *play_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	(void)owner;
	(void)to;
	return length <= sizeof(player.sent) ? player.sent : NULL;
}

static void play_commit(void *owner, size_t length)
{
	(void)owner;
	player.length = length;
}

static void play_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	(void)owner;
	(void)peer;
	(void)packet;
	(void)length;
}

static void play_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	(void)owner;
	(void)peer;
	(void)event;
}

static struct wireguard_device *play_peer(struct wireguard_peer **peer)
{
	static const uint8_t floor[12];
	const struct wireguard_env env = { NULL, play_random, play_wall_clock, play_reserve, play_commit, play_deliver, play_notify };
	struct wireguard_device *device;
	assert_int_equal(wireguard_device_create(&device, &keys[1], floor, &env), WIREGUARD_OK);
	struct wireguard_peer_config config = { .public_key = publics[0] };
	config.endpoint.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(udp_ports[0]), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	assert_int_equal(config_add(device, &config, NULL, peer, 1), WIREGUARD_OK);
	return device;
}

static int play_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(udp_ports[0]), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(connect(descriptor, (struct sockaddr *)&to, sizeof(to)), 0);
	return descriptor;
}

/* A response to what was sent; the tunnel's own initiations come by as well. */
static bool is_answered(int descriptor)
{
	uint8_t datagram[256];
	while (serve(NULL, descriptor))
		if (recv(descriptor, datagram, sizeof(datagram), 0) > 0 && datagram[0] == 2)
			return true;
	return false;
}

static uint64_t drops_before;
static bool is_dropped(void)
{
	return counter_read(&control.counters->tunnels[0].dropped[WIREGUARD_DROP_HANDSHAKE]) > drops_before;
}

/* P3, W6: the next worker reads in the shared memory what the one before has heard of the peer. */
static void test_a_recorded_initiation_is_dropped_after_the_workers_death(void **state)
{
	(void)state;
	struct wireguard_peer *peer;
	struct wireguard_device *device = play_peer(&peer);
	int own = play_socket(), elsewhere = play_socket();
	wireguard_peer_initiate(peer, 1);
	assert_int_equal(player.length, 148);
	uint8_t recorded[148];
	memcpy(recorded, player.sent, sizeof(recorded));
	assert_int_equal(send(own, recorded, sizeof(recorded), 0), sizeof(recorded));
	assert_true(is_answered(own));

	kill(control.worker, SIGKILL);
	waitpid(control.worker, NULL, 0);
	channel_free(control.channel);
	config_forget(device);
	wireguard_device_free(device);
	wireguard_stop();
	assert_true(spawn());
	assert_int_equal(wireguard_start(16, false), WIREGUARD_OK);
	create(0, 4, true, 1420);
	drops_before = counter_read(&control.counters->tunnels[0].dropped[WIREGUARD_DROP_HANDSHAKE]);
	assert_int_equal(send(elsewhere, recorded, sizeof(recorded), 0), sizeof(recorded));
	assert_true(serve(is_dropped, -1));
	union wireguard_endpoint endpoint;
	assert_true(counters_endpoint(&control.counters->peers[0], &endpoint));
	assert_int_equal(ntohs(endpoint.v4.sin_port), udp_ports[1]);
	device = play_peer(&peer);
	wireguard_peer_initiate(peer, 1);
	assert_int_equal(send(own, player.sent, player.length, 0), player.length);
	assert_true(is_answered(own));
	config_forget(device);
	wireguard_device_free(device);
	close(own);
	close(elsewhere);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_tunnels_come_up),
		cmocka_unit_test(test_ping_answers),
		cmocka_unit_test(test_a_tunnel_is_handed_over_with_its_sessions),
		cmocka_unit_test(test_a_tunnel_with_a_client_is_not_handed_over_while_it_must_be_idle),
		cmocka_unit_test(test_a_tunnel_with_broken_sessions_begins_anew),
		cmocka_unit_test(test_a_worker_tells_what_it_uses),
		cmocka_unit_test(test_refused_target_is_502),
		cmocka_unit_test(test_loopback_is_403),
		cmocka_unit_test(test_connect_echoes),
		cmocka_unit_test(test_socks5_echoes),
		cmocka_unit_test(test_change_keeps_the_session_and_remove_ends_all),
		cmocka_unit_test(test_what_is_said_of_others_is_unknown),
		cmocka_unit_test(test_a_resolved_name_is_for_its_generation),
		cmocka_unit_test(test_an_abort_frees_what_was_prepared),
		cmocka_unit_test(test_a_worker_ends_when_it_is_told_to),
		cmocka_unit_test(test_a_worker_ends_when_its_channel_does),
		cmocka_unit_test(test_a_worker_ends_at_what_it_cannot_decode),
		cmocka_unit_test(test_a_tunnel_goes_on_in_the_next_worker),
		cmocka_unit_test(test_a_recorded_initiation_is_dropped_after_the_workers_death),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
