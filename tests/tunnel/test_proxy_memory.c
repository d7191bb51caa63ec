/* Out of memory (F1) on a tunnel's ways: each allocation fails in turn while clients, forwards and probes come and go. Whoever cannot be served is
 * refused or cut, nothing is left of anybody (the rig's end checks it), and with memory again the next client is served. */
#include "tests/failing_heap.h"
#include "tests/tunnel/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/descriptor_request.h"
#include "tunnel/login.h"
#include "tunnel/probe.h"
#include "tunnel/proxy/client.h"
#include "tunnel/proxy/forward.h"
#include "tunnel/proxy/listener.h"

#define MOST 3000
#define HOST "web.example"
#define CONNECT "CONNECT " HOST ":443 HTTP/1.1\r\nHost: " HOST ":443\r\n"
#define RIGHT "Proxy-Authorization: Basic dTpw\r\n\r\n" /* u:p */
#define WRONG "Proxy-Authorization: Basic dTp4\r\n\r\n"
#define CHUNKED "POST http://" HOST "/ HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n" RIGHT "4\r\nbody\r\n0\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"

static struct listener port;

static bool has_room(struct context *context)
{
	(void)context;
	return true;
}

static void set_up(void)
{
	rig_start(NULL);
	rig.has_little_memory = true;
	port = (struct listener){ .tunnel = &rig.tunnel, .id = 9, .kind = MESSAGE_SOCKET_PROXY };
	struct spec *spec = &rig.tunnel.spec;
	spec->users = calloc(1, sizeof(struct spec_user));
	spec->users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	spec->user_count = 1;
	access_report_start(&rig.context, has_room);
}

static void tear_down(void)
{
	probe_stop(&rig.tunnel);
	while (rig.tunnel.connections != NULL)
		rig.tunnel.connections->end(rig.tunnel.connections);
	forward_close_all(&rig.tunnel);
	rig_turn();
	access_report_clear(&rig.context.access_report);
	rig_stop(NULL);
}

static int come(void)
{
	int ends[2];
	const union wireguard_endpoint from = rig_host("192.0.2.1", 4000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	client_accept(&port, ends[1], &from);
	rig_turn();
	return ends[0];
}

/* The client may have been cut. */
static void say(int client, const void *bytes, size_t length)
{
	(void)!send(client, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	rig_turn();
}

static struct netstack_stream *open_stream(void)
{
	return rig_stream_count() > 0 && !rig_stream()->gone ? rig_stream() : NULL;
}

/* The far end answers, unless nobody came. */
static void answer(const char *reply)
{
	if (open_stream() != NULL && !open_stream()->connected)
		rig_connected(open_stream());
	if (open_stream() != NULL)
		rig_stream_read(open_stream());
	if (open_stream() != NULL)
		rig_stream_write(open_stream(), reply);
}

static void name(void)
{
	if (rig_is_asked(HOST))
		rig_name(HOST, "198.51.100.7");
}

static void leave(int client)
{
	rig_read(client);
	close(client);
	rig_turn();
	while (open_stream() != NULL)
		rig_stream_close(open_stream(), NETSTACK_OK);
	rig_pass(12 * LOOP_SECOND);
}

/* The first password is wrong. */
static void talk(void)
{
	int client = come();
	say(client, CONNECT WRONG, strlen(CONNECT WRONG));
	leave(client);
	client = come();
	say(client, CONNECT RIGHT, strlen(CONNECT RIGHT));
	name();
	answer("pong");
	say(client, "ping", 4);
	answer("pong");
	if (open_stream() != NULL)
		rig_stream_finish(open_stream());
	leave(client);
}

/* The server closes a kept connection, and the client asks for another host on its own. */
static void ask(void)
{
	static const char get[] = "GET http://198.51.100.9/ HTTP/1.1\r\nHost: 198.51.100.9\r\n" RIGHT;
	int client = come();
	for (unsigned i = 0; i < 2; i++) {
		say(client, CHUNKED, strlen(CHUNKED));
		name();
		answer(OK2);
		if (open_stream() != NULL)
			rig_stream_finish(open_stream());
	}
	say(client, get, strlen(get));
	answer("HTTP/1.1 200 OK\r\n\r\nuntil the end");
	if (open_stream() != NULL)
		rig_stream_finish(open_stream());
	leave(client);
}

/* The client does not read: what comes is kept for it. */
static void upgrade(void)
{
	static const char get[] = "GET http://198.51.100.9/ HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" RIGHT;
	static char much[65536];
	int client = come();
	say(client, get, strlen(get));
	answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
	memset(much, 'x', sizeof(much));
	for (unsigned i = 0; i < 6 && open_stream() != NULL; i++)
		rig_stream_write_bytes(open_stream(), much, sizeof(much));
	say(client, much, 3000);
	answer("last");
	leave(client);
}

static void socks(void)
{
	static const char request[] = "\5\1\0\3\13" HOST "\1\273";
	int client = come();
	say(client, "\5\1\2", 3);
	say(client, "\1\1u\1p", 5);
	say(client, request, sizeof(request) - 1);
	name();
	answer("pong");
	leave(client);
}

static void grant(int type, int *mine)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	*mine = ends[0];
	rig_grant(MESSAGE_STATUS_OK, ends[1]);
}

/* A datagram to a name, and one to an address. */
static void associate(void)
{
	static const char to_name[] = "\0\0\0\3\13" HOST "\0\65x", to_address[] = "\0\0\0\1\306\63\144\7\0\65y";
	int client = come(), relay;
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig.from = rig_host("192.0.2.1", 4000);
	say(client, "\5\1\2", 3);
	say(client, "\1\1u\1p", 5);
	say(client, "\5\3\0\1\0\0\0\0\0\0", 10);
	grant(SOCK_DGRAM, &relay);
	say(relay, to_name, sizeof(to_name) - 1);
	say(relay, to_name, sizeof(to_name) - 1);
	name();
	say(relay, to_address, sizeof(to_address) - 1);
	close(relay);
	leave(client);
}

static void add_forward(enum spec_direction direction, enum spec_transport transport, const char *target)
{
	struct spec *spec = &rig.tunnel.spec;
	spec->forwards = calloc(1, sizeof(*spec->forwards));
	spec->forward_count = 1;
	spec->forwards[0] = (struct spec_forward){
		.name = strdup("f"),
		.direction = direction,
		.transport = transport,
		.listen = { .kind = SPEC_PLACE_INET, .host = strdup(direction == SPEC_INBOUND ? "10.2.0.2" : "127.0.0.1"), .port = 53 },
		.target = { .kind = SPEC_PLACE_INET, .host = strdup(target), .port = 53 },
	};
}

static void apply(void)
{
	struct forward *fresh;
	if (forward_prepare(&rig.tunnel, &rig.tunnel.spec, rig.tunnel.stack, &fresh))
		forward_commit(&rig.tunnel, fresh);
	else
		assert_null(fresh);
}

static void come_by_forward(void)
{
	int ends[2];
	const union wireguard_endpoint from = rig_host("192.0.2.1", 4000);
	port.kind = MESSAGE_SOCKET_FORWARD;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	say(ends[0], "early", 5);
	forward_accept(&port, ends[1], &from);
	rig_turn();
	port.kind = MESSAGE_SOCKET_PROXY;
	name();
	answer("pong");
	leave(ends[0]);
}

static void set_outbound(void)
{
	add_forward(SPEC_OUTBOUND, SPEC_TCP, HOST);
}

static void set_inbound(void)
{
	add_forward(SPEC_INBOUND, SPEC_TCP, "127.0.0.1");
}

static void set_outbound_udp(void)
{
	add_forward(SPEC_OUTBOUND, SPEC_UDP, HOST);
}

static void set_inbound_udp(void)
{
	add_forward(SPEC_INBOUND, SPEC_UDP, "127.0.0.1");
}

static void come_from_inside(void)
{
	int server;
	apply();
	if (rig.listeners == NULL || rig.listeners->closed)
		return;
	struct netstack_stream *stream = rig_accept(rig.listeners, "10.2.0.9", 5555);
	if (!stream->gone)
		rig_stream_write(stream, "before");
	grant(SOCK_STREAM, &server);
	say(server, "hello", 5);
	leave(server);
}

static void datagrams_go_out(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	port.udp = forward_udp_create(&port, ends[1]);
	rig.from = rig_host("127.0.0.1", 4000);
	if (port.udp != NULL) {
		forward_udp_start(port.udp);
		say(ends[0], "one", 3);
		say(ends[0], "two", 3);
		name();
		rig.from = rig_host("127.0.0.1", 4001);
		say(ends[0], "three", 5);
		rig_pass(70 * LOOP_SECOND);
		forward_udp_free(port.udp);
		port.udp = NULL;
	}
	close(ends[0]);
}

static void datagrams_come_in(void)
{
	const struct netstack_endpoint source = rig_endpoint("10.2.0.9", 1000);
	int server;
	apply();
	if (rig.flows == NULL || rig.flows->closed)
		return;
	for (unsigned i = 0; i < 2; i++)
		rig.flows->received(rig.flows->owner, &source, (const uint8_t *)"ab", 2);
	grant(SOCK_DGRAM, &server);
	say(server, "answer", 6);
	close(server);
	rig_pass(70 * LOOP_SECOND);
}

static void probe(void)
{
	static const char *const targets[] = { HOST, "10.2.0.1:443", HOST, "http://" HOST "/" };
	static const enum spec_probe_type types[] = { SPEC_PROBE_DNS, SPEC_PROBE_TCP, SPEC_PROBE_TCP, SPEC_PROBE_HTTP };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct message_probe message = { .request = 42 + i, .slot = 3, .generation = 7, .type = (uint8_t)types[i], .count = 1 };
		message.timeout_ms = 1000;
		message.status_low = 200;
		message.status_high = 399;
		snprintf(message.target, sizeof(message.target), "%s%s", targets[i], i == 2 ? ":443" : "");
		probe_run(&rig.tunnel, &message);
		rig_turn();
		name();
		answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n192.0.2.7");
		rig_pass(3 * LOOP_SECOND);
		rig.sent_count = 0;
	}
	assert_null(rig.tunnel.probes_asked);
}

static void set_probe(void)
{
	struct spec_probe *spec = &rig.tunnel.spec.probe;
	spec->type = SPEC_PROBE_HTTP;
	spec->target = strdup("http://" HOST "/");
	spec->interval = 10;
	spec->timeout = 2;
	spec->status_low = 200;
	spec->status_high = 399;
}

static void probe_now_and_then(void)
{
	struct probe *fresh;
	if (probe_prepare(&rig.tunnel, &rig.tunnel.spec, &fresh))
		probe_commit(&rig.tunnel, fresh);
	for (unsigned i = 0; i < 4; i++) {
		rig_pass(6 * LOOP_SECOND);
		name();
		answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n192.0.2.7");
		rig.sent_count = 0;
	}
}

static void nothing(void)
{
}

static void serve_one(void)
{
	size_t before = rig_stream_count();
	rig_pass(60 * LOOP_SECOND); /* a wrong password delays the next */
	rig.local = rig.peer = rig.from = (union wireguard_endpoint){ .any = { .sa_family = AF_UNSPEC } };
	int client = come();
	say(client, CONNECT RIGHT, strlen(CONNECT RIGHT));
	name();
	assert_true(rig_stream_count() > before);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 200 ", 13), 0);
	leave(client);
}

static void fail_each(void (*prepare)(void), void (*story)(void), unsigned least)
{
	unsigned failed = 0;
	for (unsigned allowed = 0;; allowed++) {
		assert_true(allowed < MOST);
		set_up();
		prepare();
		heap_fails_once_after(allowed);
		story();
		heap_works();
		unsigned refused = heap_refused();
		probe_stop(&rig.tunnel);
		assert_null(rig.tunnel.dials);
		assert_null(rig.tunnel.connections);
		rig.sent_count = 0;
		serve_one();
		tear_down();
		failed += refused;
		if (refused == 0)
			break;
	}
	assert_true(failed >= least);
}

static void a_client_that_connects(void **state)
{
	(void)state;
	fail_each(nothing, talk, 5);
}

static void requests_one_after_the_other(void **state)
{
	(void)state;
	fail_each(nothing, ask, 5);
}

static void a_client_that_upgrades(void **state)
{
	(void)state;
	fail_each(nothing, upgrade, 5);
}

static void a_client_of_socks(void **state)
{
	(void)state;
	fail_each(nothing, socks, 4);
}

static void an_association(void **state)
{
	(void)state;
	fail_each(nothing, associate, 5);
}

static void a_forward_out(void **state)
{
	(void)state;
	fail_each(set_outbound, come_by_forward, 3);
}

static void a_forward_in(void **state)
{
	(void)state;
	fail_each(set_inbound, come_from_inside, 6);
}

static void a_forward_of_datagrams_out(void **state)
{
	(void)state;
	fail_each(set_outbound_udp, datagrams_go_out, 4);
}

static void a_forward_of_datagrams_in(void **state)
{
	(void)state;
	fail_each(set_inbound_udp, datagrams_come_in, 5);
}

static void probes_that_are_asked_for(void **state)
{
	(void)state;
	fail_each(nothing, probe, 4);
}

static void a_probe_now_and_then(void **state)
{
	(void)state;
	fail_each(set_probe, probe_now_and_then, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_connects),
		cmocka_unit_test(requests_one_after_the_other),
		cmocka_unit_test(a_client_that_upgrades),
		cmocka_unit_test(a_client_of_socks),
		cmocka_unit_test(an_association),
		cmocka_unit_test(a_forward_out),
		cmocka_unit_test(a_forward_in),
		cmocka_unit_test(a_forward_of_datagrams_out),
		cmocka_unit_test(a_forward_of_datagrams_in),
		cmocka_unit_test(probes_that_are_asked_for),
		cmocka_unit_test(a_probe_now_and_then),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
