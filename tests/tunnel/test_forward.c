#include "tests/tunnel/rig.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/descriptor_request.h"
#include "tunnel/proxy/forward.h"
#include "tunnel/proxy/listener.h"

static struct listener listener;
static const union wireguard_endpoint nobody; /* a client over a unix socket */

static void add(const char *name, enum spec_direction direction, enum spec_transport transport, const char *listen_host, uint16_t listen_port,
                const char *target_host, uint16_t target_port)
{
	struct spec *spec = &rig.tunnel.spec;
	spec->forwards = realloc(spec->forwards, (spec->forward_count + 1) * sizeof(*spec->forwards));
	spec->forwards[spec->forward_count++] = (struct spec_forward){
		.name = strdup(name),
		.direction = direction,
		.transport = transport,
		.listen = { .kind = SPEC_PLACE_INET, .host = strdup(listen_host), .port = listen_port },
		.target = { .kind = SPEC_PLACE_INET, .host = strdup(target_host), .port = target_port },
	};
}

static void clear(void)
{
	struct spec *spec = &rig.tunnel.spec;
	for (size_t i = 0; i < spec->forward_count; i++) {
		free(spec->forwards[i].name);
		free(spec->forwards[i].listen.host);
		free(spec->forwards[i].target.host);
	}
	free(spec->forwards);
	spec->forwards = NULL;
	spec->forward_count = 0;
}

static int stop(void **state)
{
	while (rig.tunnel.connections != NULL)
		rig.tunnel.connections->end(rig.tunnel.connections);
	if (listener.udp != NULL)
		forward_udp_free(listener.udp);
	forward_close_all(&rig.tunnel);
	return rig_stop(state);
}

static int start(void **state)
{
	rig_start(state);
	listener = (struct listener){ .tunnel = &rig.tunnel, .id = 9, .kind = MESSAGE_SOCKET_FORWARD };
	return 0;
}

static int pair(int *mine, int type)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	*mine = ends[0];
	return ends[1];
}

/* Outbound TCP. */

static void test_outbound(void **state)
{
	(void)state;
	int client;
	add("db", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 5432, "10.9.0.5", 5432);
	rig.tunnel.spec.allow_private_targets = false; /* forwards are exempt */
	forward_accept(&listener, pair(&client, SOCK_STREAM), &nobody);
	rig_write(client, "early");
	struct netstack_stream *stream = rig_stream();
	assert_int_equal(stream->remote.port, 5432);
	rig_connected(stream);
	assert_string_equal(rig_stream_read(stream), "early");
	rig_stream_write(stream, "down");
	assert_string_equal(rig_read(client), "down");
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_FORWARD]), 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_received), 4);
	shutdown(client, SHUT_WR);
	rig_turn();
	assert_true(stream->finished);
	rig_stream_write(stream, "last");
	rig_stream_finish(stream);
	assert_string_equal(rig_read(client), "last");
	assert_true(rig_is_at_end(client));
	assert_null(rig.tunnel.connections);
	close(client);
}

static void test_outbound_to_a_name_that_fails(void **state)
{
	(void)state;
	int client;
	add("db", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 5432, "db.example", 5432);
	forward_accept(&listener, pair(&client, SOCK_STREAM), &nobody);
	rig_turn();
	rig_name("db.example", NULL);
	assert_true(rig_is_at_end(client));
	assert_null(rig.tunnel.connections);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_NAME]), 1);
	close(client);
	rig.tunnel.spec.limits.connections = 1;
	struct connection other;
	connection_add(&other, &rig.tunnel, COUNTERS_CONNECT, rig_never_end);
	forward_accept(&listener, pair(&client, SOCK_STREAM), &nobody);
	assert_true(rig_is_at_end(client));
	connection_remove(&other);
	close(client);
}

/* A unix target host or an index that is gone: the client is closed, and nothing else happens. */
static void test_outbound_without_a_target(void **state)
{
	(void)state;
	int client;
	forward_accept(&listener, pair(&client, SOCK_STREAM), &nobody);
	assert_true(rig_is_at_end(client));
	close(client);
}

static void test_outbound_ends_with_the_tunnel(void **state)
{
	(void)state;
	int clients[2];
	add("db", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 5432, "10.9.0.5", 5432);
	forward_accept(&listener, pair(&clients[0], SOCK_STREAM), &nobody);
	rig_turn();
	rig_connected(rig_stream());
	forward_accept(&listener, pair(&clients[1], SOCK_STREAM), &nobody);
	rig_turn();
	while (rig.tunnel.connections != NULL)
		rig.tunnel.connections->end(rig.tunnel.connections);
	for (int i = 0; i < 2; i++) {
		assert_true(rig_is_at_end(clients[i]));
		close(clients[i]);
	}
}

static void apply(void)
{
	struct forward *fresh;
	assert_true(forward_prepare(&rig.tunnel, &rig.tunnel.spec, rig.tunnel.stack, &fresh));
	forward_commit(&rig.tunnel, fresh);
}

/* Inbound TCP. */

static void test_inbound(void **state)
{
	(void)state;
	int server;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	assert_int_equal(rig.listeners->at.port, 80);
	struct netstack_stream *stream = rig_accept(rig.listeners, "10.2.0.9", 5555);
	const struct rig_message *message = rig_sent(MESSAGE_WANT_DIAL);
	assert_non_null(message);
	struct message_reader reader = { .bytes = message->bytes, .left = message->length };
	struct message_want want;
	assert_true(message_decode_want(&reader, &want));
	assert_int_equal(want.slot, 3);
	assert_int_equal(want.generation, 7);
	assert_int_equal(want.index, 0);
	assert_int_equal(ntohs(want.source.v4.sin_port), 5555);
	rig_stream_write(stream, "before ");
	rig_stream_write(stream, "the host ");
	assert_int_equal(stream->consumed, 0); /* the window stays closed */
	rig_grant(MESSAGE_STATUS_OK, pair(&server, SOCK_STREAM));
	assert_string_equal(rig_read(server), "before the host ");
	assert_int_equal(stream->consumed, stream->shown);
	rig_write(server, "answer");
	assert_string_equal(rig_stream_read(stream), "answer");
	rig_stream_finish(stream);
	assert_true(rig_is_at_end(server));
	close(server);
	rig_turn();
	assert_null(rig.tunnel.connections);
	assert_true(stream->released);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_FORWARD]), 1);
}

static void test_inbound_that_finishes_early(void **state)
{
	(void)state;
	int server;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	struct netstack_stream *stream = rig_accept(rig.listeners, "10.2.0.9", 5555);
	rig_stream_write(stream, "all of it");
	rig_stream_finish(stream);
	rig_grant(MESSAGE_STATUS_OK, pair(&server, SOCK_STREAM));
	assert_string_equal(rig_read(server), "all of it");
	assert_true(rig_is_at_end(server));
	close(server);
	rig_turn();
	assert_null(rig.tunnel.connections);
}

/* Whoever finished before the other side was there is not waited for longer than 10 s. */
static void test_who_finishes_early_is_not_waited_for(void **state)
{
	(void)state;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	rig_stream_finish(rig_accept(rig.listeners, "10.2.0.9", 5555));
	rig_pass(9 * LOOP_SECOND);
	assert_non_null(rig.tunnel.connections);
	rig_pass(2 * LOOP_SECOND);
	assert_null(rig.tunnel.connections);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_CLIENT_GONE]), 1);
}

static void test_inbound_refusals(void **state)
{
	(void)state;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	struct netstack_stream *stream = rig_accept(rig.listeners, "10.2.0.9", 5555);
	rig_stream_write(stream, "kept");
	rig_grant(MESSAGE_STATUS_REFUSED, -1);
	assert_true(stream->aborted);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_REFUSED]), 1);
	stream = rig_accept(rig.listeners, "10.2.0.9", 5556);
	rig_stream_write(stream, "kept");
	rig_stream_close(stream, NETSTACK_RESET);
	assert_null(rig.tunnel.connections);
	/* The request is still unanswered, and has no owner. */
	assert_non_null(rig.context.wants);
	rig_grant(MESSAGE_STATUS_OK, dup(0));
	assert_null(rig.context.wants);
	rig.tunnel.spec.limits.connections = 1;
	struct connection other;
	connection_add(&other, &rig.tunnel, COUNTERS_CONNECT, rig_never_end);
	assert_true(rig_accept(rig.listeners, "10.2.0.9", 5557)->aborted);
	connection_remove(&other);
}

/* As many as a tunnel's connections by default may wait for the host's side; the others are refused and counted. */
static void test_inbound_waits_are_bounded(void **state)
{
	(void)state;
	size_t asked = 0;
	rig.tunnel.spec.limits.connections = 0;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	for (uint16_t i = 0; i < 1024; i++) {
		assert_false(rig_accept(rig.listeners, "10.2.0.9", (uint16_t)(1000 + i))->aborted);
		asked += rig.sent_count;
		rig.sent_count = 0;
	}
	/* Only a few requests are sent at once; the next follows when one is answered. */
	assert_int_equal(asked, MESSAGE_WANTS_MOST);
	struct message_ack refused = { .request = 1, .slot = rig.tunnel.slot, .generation = rig.tunnel.generation, .status = MESSAGE_STATUS_REFUSED };
	descriptor_request_answer(&rig.context, &refused, -1);
	assert_int_equal(rig.sent_count, 1);
	assert_false(rig_accept(rig.listeners, "10.2.0.9", 998)->aborted);
	assert_true(rig_accept(rig.listeners, "10.2.0.9", 999)->aborted);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_LIMIT]), 1);
}

static void test_changes_leave_what_stays(void **state)
{
	(void)state;
	int servers[2];
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	add("ssh", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 22, "127.0.0.1", 2222);
	add("dns", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 53, "127.0.0.1", 5353);
	apply();
	struct netstack_listener *ssh = rig.listeners, *web = ssh->next;
	struct netstack_flow *dns = rig.flows;
	struct netstack_stream *kept = rig_accept(ssh, "10.2.0.9", 1), *gone = rig_accept(web, "10.2.0.9", 2);
	rig_grant(MESSAGE_STATUS_OK, pair(&servers[0], SOCK_STREAM));
	clear();
	add("ssh", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 22, "127.0.0.1", 2222);
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 9090);
	apply();
	assert_false(ssh->closed);
	/* Its port passes to its new owner. */
	assert_false(web->closed);
	assert_true(dns->closed);
	assert_ptr_equal(rig.listeners, ssh);
	assert_true(gone->gone);
	assert_false(kept->gone);
	assert_true(rig_is_at_end(servers[0]));
	/* The index is the new one. */
	rig_accept(ssh, "10.2.0.9", 3);
	struct message_want want;
	struct message_reader reader = { .bytes = rig_sent(MESSAGE_WANT_DIAL)->bytes, .left = rig_sent(MESSAGE_WANT_DIAL)->length };
	assert_true(message_decode_want(&reader, &want));
	assert_int_equal(want.index, 0);
	rig.sent_count = 0;
	rig_accept(web, "10.2.0.9", 4);
	reader = (struct message_reader){ .bytes = rig_sent(MESSAGE_WANT_DIAL)->bytes, .left = rig_sent(MESSAGE_WANT_DIAL)->length };
	assert_true(message_decode_want(&reader, &want));
	assert_int_equal(want.index, 1);
	close(servers[0]);
}

/* What is prepared refuses what comes before its commit, and goes without a trace when there is none. */
static void test_prepared_is_closed(void **state)
{
	(void)state;
	struct forward *fresh;
	struct netstack_endpoint source = rig_endpoint("10.2.0.9", 1);
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	add("dns", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 53, "127.0.0.1", 5353);
	for (int i = 0; i < 2; i++) {
		assert_true(forward_prepare(&rig.tunnel, &rig.tunnel.spec, rig.tunnel.stack, &fresh));
		assert_true(rig_accept(rig.listeners, "10.2.0.9", 1)->aborted);
		rig.flows->received(rig.flows->owner, &source, (const uint8_t *)"ab", 2);
		assert_null(rig_sent(MESSAGE_WANT_DIAL));
		assert_null(rig.tunnel.connections);
		if (i == 0)
			forward_discard(fresh);
	}
	forward_commit(&rig.tunnel, fresh);
	assert_false(rig_accept(rig.listeners, "10.2.0.9", 1)->aborted);
	assert_non_null(rig_sent(MESSAGE_WANT_DIAL));
}

/* UDP. */

static void test_outbound_udp(void **state)
{
	(void)state;
	int client;
	add("dns", SPEC_OUTBOUND, SPEC_UDP, "127.0.0.1", 5353, "10.9.0.53", 53);
	listener.udp = forward_udp_create(&listener, pair(&client, SOCK_DGRAM));
	forward_udp_start(listener.udp);
	rig.from = rig_host("127.0.0.1", 4000);
	rig_write(client, "question");
	struct netstack_flow *flow = rig.flows;
	struct netstack_endpoint target = rig_endpoint("10.9.0.53", 53), stranger = rig_endpoint("10.9.0.54", 53);
	assert_string_equal(flow->last, "question");
	assert_memory_equal(&flow->last_to, &target, sizeof(target));
	rig_write(client, "another");
	assert_int_equal(flow->sent, 2);
	assert_null(flow->next);
	flow->received(flow->owner, &stranger, (const uint8_t *)"spoofed", 7);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_received), 0);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_sent), 15);
	flow->received(flow->owner, &target, (const uint8_t *)"answer", 6);
	assert_string_equal(rig_read(client), "answer");
	assert_memory_equal(&rig.sent_to, &rig.from, sizeof(rig.from));
	rig.from = rig_host("127.0.0.1", 4001);
	rig_write(client, "other");
	assert_ptr_not_equal(rig.flows, flow);
	assert_int_equal(flow->sent, 2);
	rig_pass(59 * LOOP_SECOND);
	assert_false(flow->closed);
	rig_pass(6 * LOOP_SECOND);
	assert_true(flow->closed);
	assert_null(rig.tunnel.connections);
	close(client);
}

static void test_outbound_udp_to_a_name(void **state)
{
	(void)state;
	int client;
	add("dns", SPEC_OUTBOUND, SPEC_UDP, "127.0.0.1", 5353, "dns.example", 53);
	listener.udp = forward_udp_create(&listener, pair(&client, SOCK_DGRAM));
	forward_udp_start(listener.udp);
	rig_write(client, "one");
	rig_write(client, "two");
	assert_int_equal(rig.flows->sent, 0);
	rig_name("dns.example", "10.9.0.53");
	assert_int_equal(rig.flows->sent, 2);
	assert_string_equal(rig.flows->last, "two");
	assert_int_equal(rig.flows->last_to.port, 53);
	/* The spec changes: the session with the old target ends. */
	struct netstack_flow *old = rig.flows;
	clear();
	add("dns", SPEC_OUTBOUND, SPEC_UDP, "127.0.0.1", 5353, "other.example", 53);
	rig.tunnel.listeners = &listener;
	apply();
	rig.tunnel.listeners = NULL;
	assert_true(old->closed);
	rig_write(client, "three");
	assert_true(rig_is_asked("other.example"));
	rig_name("other.example", NULL);
	rig_write(client, "four");
	assert_int_equal(rig.flows->sent, 0);
	assert_false(rig_is_asked("other.example"));
	assert_int_equal(counter_read(&rig.tunnel.counters->dropped[COUNTERS_DROP_REFUSED]), 2);
	rig_pass(10 * LOOP_SECOND);
	rig_write(client, "five");
	assert_true(rig_is_asked("other.example"));
	close(client);
}

static void test_inbound_udp(void **state)
{
	(void)state;
	int servers[2];
	add("dns", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 53, "127.0.0.1", 5353);
	apply();
	struct netstack_flow *flow = rig.flows;
	struct netstack_endpoint sources[2] = { rig_endpoint("10.2.0.9", 1000), rig_endpoint("fd00::9", 1000) };
	for (int i = 0; i < 2; i++) {
		flow->received(flow->owner, &sources[i], (const uint8_t *)"ab", 2);
		flow->received(flow->owner, &sources[i], (const uint8_t *)"cde", 3);
		rig_grant(MESSAGE_STATUS_OK, pair(&servers[i], SOCK_DGRAM));
		char datagram[16];
		assert_int_equal(recv(servers[i], datagram, sizeof(datagram), 0), 2);
		assert_int_equal(recv(servers[i], datagram, sizeof(datagram), 0), 3);
	}
	for (int i = 0; i < 2; i++) {
		rig_write(servers[i], "answer");
		assert_string_equal(flow->last, "answer");
		assert_memory_equal(&flow->last_to, &sources[i], sizeof(sources[i]));
	}
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_open[COUNTERS_FORWARD]), 2);
	rig_pass(66 * LOOP_SECOND);
	assert_null(rig.tunnel.connections);
	assert_false(flow->closed);
	close(servers[0]);
	close(servers[1]);
}

static void test_inbound_udp_is_bounded(void **state)
{
	(void)state;
	add("dns", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 53, "127.0.0.1", 5353);
	apply();
	struct netstack_flow *flow = rig.flows;
	struct netstack_endpoint source = rig_endpoint("10.2.0.9", 1);
	flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
	rig_grant(MESSAGE_STATUS_UNREACHABLE, -1);
	uint64_t asked = rig.context.next_want;
	flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
	assert_int_equal(rig.context.next_want, asked); /* not again at once */
	rig_pass(10 * LOOP_SECOND);
	flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
	assert_int_equal(rig.context.next_want, asked + 1);
	rig.sent_count = 0;
	for (uint16_t i = 0; i < 500; i++) {
		source.port = (uint16_t)(100 + i);
		flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
		rig.sent_count = 0;
	}
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_open[COUNTERS_FORWARD]), 256);
}

static uint64_t failures(enum counters_failure why)
{
	return counter_read(&rig.tunnel.counters->connections_failed[why]);
}

static uint64_t drops(enum counters_drop why)
{
	return counter_read(&rig.tunnel.counters->dropped[why]);
}

static int open_outbound_udp(const char *target)
{
	int client;
	add("dns", SPEC_OUTBOUND, SPEC_UDP, "127.0.0.1", 5353, target, 53);
	listener.udp = forward_udp_create(&listener, pair(&client, SOCK_DGRAM));
	forward_udp_start(listener.udp);
	rig.from = rig_host("127.0.0.1", 4000);
	return client;
}

/* A name's addresses come in two answers. The first that a packet can be sent to counts. */
static void test_outbound_udp_to_a_name_of_two_answers(void **state)
{
	(void)state;
	rig.unroutable = rig_endpoint("198.51.100.9", 0);
	int client = open_outbound_udp("dns.example");
	rig_write(client, "one");
	rig.flows->received(rig.flows->owner, &rig.unroutable, (const uint8_t *)"early", 5); /* nobody was asked anything */
	assert_int_equal(drops(COUNTERS_DROP_STRANGER), 1);
	rig_name_first("dns.example", "198.51.100.9");
	assert_int_equal(rig.flows->sent, 0);
	rig_name_first("dns.example", "10.9.0.53");
	assert_int_equal(rig.flows->sent, 1);
	rig_name("dns.example", "10.9.0.54");
	rig_write(client, "two");
	assert_int_equal(rig.flows->sent, 2);
	const struct netstack_endpoint there = rig_endpoint("10.9.0.53", 53);
	assert_memory_equal(&rig.flows->last_to, &there, sizeof(there));
	rig.from = rig_host("127.0.0.1", 4001);
	rig_write(client, "three");
	rig_name("dns.example", "198.51.100.9");
	assert_int_equal(failures(COUNTERS_FAILED_UNREACHABLE), 1);
	rig.from = rig_host("127.0.0.1", 4002);
	rig_write(client, "four");
	rig_name_first("dns.example", "198.51.100.9");
	rig_name("dns.example", NULL);
	assert_int_equal(failures(COUNTERS_FAILED_NAME), 1);
	close(client);
}

static void test_outbound_udp_that_cannot_be_sent(void **state)
{
	(void)state;
	rig.unroutable = rig_endpoint("198.51.100.9", 53);
	int client = open_outbound_udp("198.51.100.9");
	rig_write(client, "x");
	assert_int_equal(failures(COUNTERS_FAILED_UNREACHABLE), 1);
	assert_int_equal(rig.flows->sent, 0);
	rig.unroutable = (struct netstack_endpoint){ 0 };
	rig.flow_error = NETSTACK_OUT_OF_MEMORY;
	rig.from = rig_host("127.0.0.1", 4001);
	rig_write(client, "x");
	assert_int_equal(failures(COUNTERS_FAILED_MEMORY), 1);
	rig.flow_error = NETSTACK_OK;
	rig.tunnel.spec.limits.connections = 2;
	rig.from = rig_host("127.0.0.1", 4002);
	rig_write(client, "x");
	assert_int_equal(failures(COUNTERS_FAILED_LIMIT), 1);
	assert_int_equal(drops(COUNTERS_DROP_OVERFLOW), 1);
	close(client);
}

/* The operator's change left it without a target that it could have: nothing is sent, and what was open ends. */
static void test_outbound_udp_without_a_target(void **state)
{
	(void)state;
	int client = open_outbound_udp("10.9.0.53");
	rig_write(client, "x");
	assert_int_equal(rig.flows->sent, 1);
	rig.tunnel.listeners = &listener;
	apply(); /* the same: it goes on */
	assert_non_null(rig.tunnel.connections);
	rig.tunnel.spec.forwards[0].target.port = 54;
	apply();
	assert_null(rig.tunnel.connections);
	rig_write(client, "x");
	assert_int_equal(rig.flows->last_to.port, 54);
	rig.tunnel.spec.forwards[0].target.kind = SPEC_PLACE_UNIX;
	apply();
	assert_null(rig.tunnel.connections);
	rig_write(client, "x");
	clear();
	apply();
	rig_write(client, "x");
	rig.tunnel.listeners = NULL;
	assert_int_equal(drops(COUNTERS_DROP_OVERFLOW), 2);
	close(client);
}

/* More than a turn takes are taken in the next. */
static void test_a_flood_of_datagrams_is_taken_in_turns(void **state)
{
	enum { MANY = 200 };
	(void)state;
	int client = open_outbound_udp("10.9.0.53");
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(send(client, "x", 1, 0), 1);
	rig_turn();
	assert_int_equal(rig.flows->sent, MANY);
	close(client);
}

/* Refused by the policy or the host, and a host where nobody listens, which may change. */
static void test_inbound_udp_that_the_host_refuses(void **state)
{
	(void)state;
	add("dns", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 53, "127.0.0.1", 5353);
	apply();
	struct netstack_flow *flow = rig.flows;
	struct netstack_endpoint source = rig_endpoint("10.2.0.9", 1);
	flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
	rig_grant(MESSAGE_STATUS_REFUSED, -1);
	assert_int_equal(failures(COUNTERS_FAILED_REFUSED), 1);
	source.port = 2;
	flow->received(flow->owner, &source, (const uint8_t *)"ab", 2);
	rig_grant(MESSAGE_STATUS_DESCRIPTORS, -1);
	assert_int_equal(failures(COUNTERS_FAILED_UNREACHABLE), 1);
	source.port = 3;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(at);
	int closed = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mine = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(closed, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(closed, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(connect(mine, (struct sockaddr *)&at, sizeof(at)), 0);
	flow->received(flow->owner, &source, (const uint8_t *)"lost", 4);
	close(closed);
	rig_grant(MESSAGE_STATUS_OK, mine);
	for (unsigned i = 0; i < 3; i++) {
		flow->received(flow->owner, &source, (const uint8_t *)"lost", 4);
		rig_turn();
	}
	assert_non_null(rig.tunnel.connections);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_FORWARD]), 1);
}

/* Each answer of the control process has its place in the statistics. */
static void test_inbound_tells_why_the_host_refused(void **state)
{
	static const struct {
		enum message_status status;
		enum counters_failure failure;
	} cases[] = {
		{ MESSAGE_STATUS_REFUSED, COUNTERS_FAILED_REFUSED },   { MESSAGE_STATUS_UNREACHABLE, COUNTERS_FAILED_UNREACHABLE },
		{ MESSAGE_STATUS_TIMED_OUT, COUNTERS_FAILED_TIMEOUT }, { MESSAGE_STATUS_DESCRIPTORS, COUNTERS_FAILED_MEMORY },
		{ MESSAGE_STATUS_NO_MEMORY, COUNTERS_FAILED_MEMORY },
	};
	(void)state;
	add("web", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	apply();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = failures(cases[i].failure);
		struct netstack_stream *stream = rig_accept(rig.listeners, "10.2.0.9", 5555);
		rig_grant(cases[i].status, -1);
		assert_true(stream->aborted);
		assert_int_equal(failures(cases[i].failure), before + 1);
	}
}

/* A port inside that cannot be had is logged, and the tunnel runs all the same. */
static void test_a_port_that_cannot_be_had_is_left(void **state)
{
	(void)state;
	add("a", SPEC_INBOUND, SPEC_TCP, "name.example", 80, "127.0.0.1", 8080);
	add("b", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 81, "127.0.0.1", 8080);
	rig.tunnel.spec.forwards[0].listen.kind = SPEC_PLACE_INET;
	apply();
	assert_non_null(rig.tunnel.forwards);
	assert_int_equal(rig.listeners->at.port, 81);
	assert_null(rig.listeners->next);
}

/* A client that resets while its target is dialled for is gone at once. */
static void test_outbound_ends_with_a_reset(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct linger now = { .l_onoff = 1 };
	socklen_t size = sizeof(at);
	(void)state;
	add("db", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 5432, "10.9.0.5", 5432);
	int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(door, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(door, 1), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&at, sizeof(at)), 0);
	forward_accept(&listener, accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), &nobody);
	rig_turn();
	assert_non_null(rig.tunnel.connections);
	assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(client);
	close(door);
	rig_turn();
	assert_null(rig.tunnel.connections);
	assert_true(rig_stream()->aborted);
	assert_int_equal(failures(COUNTERS_FAILED_CLIENT_GONE), 1);
}

/* One whose target is no address of the tunnel's network. */
static void test_outbound_to_a_unix_socket_is_none(void **state)
{
	int client;
	(void)state;
	add("db", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 5432, "10.9.0.5", 5432);
	rig.tunnel.spec.forwards[0].target.kind = SPEC_PLACE_UNIX;
	forward_accept(&listener, pair(&client, SOCK_STREAM), &nobody);
	rig_turn();
	assert_true(rig_is_at_end(client));
	assert_null(rig.tunnel.connections);
	close(client);
}

static size_t open_listeners(void)
{
	size_t count = 0;
	for (const struct netstack_listener *each = rig.listeners; each != NULL; each = each->next)
		count += !each->closed;
	return count;
}

static size_t open_flows(void)
{
	size_t count = 0;
	for (const struct netstack_flow *each = rig.flows; each != NULL; each = each->next)
		count += !each->closed;
	return count;
}

/* Whatever of a forward changes, there is one port for each that is wanted afterwards, and two may change places. */
static void test_every_change_leaves_the_ports_that_are_wanted(void **state)
{
	(void)state;
	add("a", SPEC_INBOUND, SPEC_TCP, "10.2.0.2", 80, "127.0.0.1", 8080);
	add("b", SPEC_INBOUND, SPEC_UDP, "10.2.0.2", 80, "127.0.0.1", 8080);
	add("out", SPEC_OUTBOUND, SPEC_TCP, "127.0.0.1", 80, "10.9.0.5", 8080);
	apply();
	assert_int_equal(open_listeners(), 1);
	assert_int_equal(open_flows(), 1);
	struct spec_forward *forwards = rig.tunnel.spec.forwards;
	forwards[0].transport = SPEC_UDP; /* they change places */
	forwards[1].transport = SPEC_TCP;
	apply();
	assert_int_equal(open_listeners(), 1);
	assert_int_equal(open_flows(), 1);
	forwards[0].listen.port = 81;
	apply();
	assert_int_equal(open_flows(), 1);
	assert_int_equal(rig.flows->at.port, 81);
	forwards[1].target.port = 9090;
	apply();
	assert_int_equal(open_listeners(), 1);
	forwards[1].direction = SPEC_OUTBOUND;
	apply();
	assert_int_equal(open_listeners(), 0);
	forwards[1].direction = SPEC_INBOUND;
	free(forwards[1].name);
	forwards[1].name = strdup("c");
	apply();
	assert_int_equal(open_listeners(), 1);
	/* Two that lead to one port: the second takes nothing of the first. */
	struct forward *fresh;
	free(forwards[1].name);
	forwards[1].name = strdup("d");
	assert_true(forward_prepare(&rig.tunnel, &rig.tunnel.spec, rig.tunnel.stack, &fresh));
	forward_discard(fresh);
	assert_int_equal(open_listeners(), 1);
	apply();
	assert_int_equal(open_listeners(), 1);
	clear();
	apply();
	assert_int_equal(open_listeners() + open_flows(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_outbound),
		TEST(test_prepared_is_closed),
		TEST(test_outbound_to_a_name_that_fails),
		TEST(test_outbound_without_a_target),
		TEST(test_outbound_ends_with_the_tunnel),
		TEST(test_inbound),
		TEST(test_inbound_that_finishes_early),
		TEST(test_who_finishes_early_is_not_waited_for),
		TEST(test_inbound_refusals),
		TEST(test_inbound_waits_are_bounded),
		TEST(test_changes_leave_what_stays),
		TEST(test_outbound_udp),
		TEST(test_outbound_udp_to_a_name),
		TEST(test_inbound_udp),
		TEST(test_inbound_udp_is_bounded),
		TEST(test_outbound_udp_to_a_name_of_two_answers),
		TEST(test_outbound_udp_that_cannot_be_sent),
		TEST(test_outbound_udp_without_a_target),
		TEST(test_a_flood_of_datagrams_is_taken_in_turns),
		TEST(test_inbound_udp_that_the_host_refuses),
		TEST(test_inbound_tells_why_the_host_refused),
		TEST(test_a_port_that_cannot_be_had_is_left),
		TEST(test_outbound_ends_with_a_reset),
		TEST(test_outbound_to_a_unix_socket_is_none),
		TEST(test_every_change_leaves_the_ports_that_are_wanted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
