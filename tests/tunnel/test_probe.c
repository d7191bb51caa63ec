#include "tests/tunnel/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/probe.h"

static struct message_probed told(void)
{
	struct message_probed message;
	const struct rig_message *sent = rig_sent(MESSAGE_PROBED);
	assert_non_null(sent);
	struct message_reader reader = { .bytes = sent->bytes, .left = sent->length };
	assert_true(message_decode_probed(&reader, &message));
	rig.sent_count = 0;
	return message;
}

static void ask(enum spec_probe_type type, const char *target, uint32_t count)
{
	struct message_probe message = { .request = 42,
		                         .slot = 3,
		                         .generation = 7,
		                         .type = (uint8_t)type,
		                         .count = count,
		                         .timeout_ms = 1000,
		                         .status_low = 200,
		                         .status_high = 399 };
	strcpy(message.target, target);
	probe_run(&rig.tunnel, &message);
	rig_turn();
}

static void pong(uint64_t after)
{
	rig_pass(after);
	rig.pong(rig.pong_owner, rig.now - rig.ping_sent_at);
	rig_turn();
}

static void test_ping(void **state)
{
	(void)state;
	ask(SPEC_PROBE_PING, "10.2.0.1", 0);
	struct netstack_endpoint there = rig_endpoint("10.2.0.1", 0);
	assert_memory_equal(&rig.pinged, &there, sizeof(there));
	pong(10 * LOOP_MILLISECOND);
	assert_null(rig_sent(MESSAGE_PROBED));
	rig_pass(190 * LOOP_MILLISECOND);
	pong(20 * LOOP_MILLISECOND);
	rig_pass(LOOP_SECOND); /* the third one is sent at 200 ms, and lost */
	assert_int_equal(rig.pings, 3);
	rig_pass(200 * LOOP_MILLISECOND);
	struct message_probed result = told();
	assert_int_equal(result.request, 42);
	assert_int_equal(result.generation, 7);
	assert_true(result.ok);
	assert_int_equal(result.sent, 3);
	assert_int_equal(result.received, 2);
	assert_float_equal(result.rtt_min_ms, 10, 0.01);
	assert_float_equal(result.rtt_avg_ms, 15, 0.01);
	assert_float_equal(result.rtt_max_ms, 20, 0.01);
	assert_null(rig.tunnel.probes_asked);
	rig.pong(rig.pong_owner, rig.now - rig.ping_sent_at); /* too late: nobody is hurt */
	rig.pong(rig.pong_owner, NETSTACK_NEVER);
	assert_int_equal(counter_read(&rig.tunnel.counters->probes_ok), 1);
}

static void test_pings_at_once_are_told_apart(void **state)
{
	(void)state;
	ask(SPEC_PROBE_PING, "10.2.0.1", 1);
	uint64_t first = rig.ping_sent_at;
	ask(SPEC_PROBE_PING, "10.2.0.2", 1);
	assert_int_not_equal(first, rig.ping_sent_at);
	rig_pass(5 * LOOP_MILLISECOND);
	rig.pong(rig.pong_owner, rig.now - first);
	rig_turn();
	assert_true(told().ok);
	assert_non_null(rig.tunnel.probes_asked);
	rig_pass(LOOP_SECOND);
	assert_false(told().ok);
}

static void test_tcp(void **state)
{
	(void)state;
	ask(SPEC_PROBE_TCP, "10.2.0.1:443", 2);
	rig_pass(30 * LOOP_MILLISECOND);
	rig_connected(rig_stream());
	assert_true(rig_stream()->aborted);
	rig_pass(200 * LOOP_MILLISECOND);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	rig_pass(200 * LOOP_MILLISECOND);
	struct message_probed result = told();
	assert_true(result.ok);
	assert_int_equal(result.received, 1);
	assert_float_equal(result.rtt_max_ms, 30, 0.01);
	assert_string_equal(result.detail, "the target refused the connection");
	ask(SPEC_PROBE_TCP, "10.2.0.1:443", 1);
	rig_pass(LOOP_SECOND);
	result = told();
	assert_false(result.ok);
	assert_string_equal(result.detail, "no answer in time");
	assert_true(rig_stream()->aborted);
	rig.down = true;
	snprintf(rig.tunnel.health.reason, sizeof(rig.tunnel.health.reason), "the peer does not answer handshakes");
	ask(SPEC_PROBE_PING, "10.2.0.1", 1);
	rig_pass(LOOP_SECOND);
	assert_string_equal(told().detail, "the peer does not answer handshakes");
	ask(SPEC_PROBE_TCP, "10.2.0.1:443", 1);
	assert_false(told().ok);
}

static void test_dns(void **state)
{
	(void)state;
	ask(SPEC_PROBE_DNS, "example.org", 1);
	/* An answer from the cache says nothing of the name servers. */
	assert_int_equal(rig.asked_anew, 1);
	rig_pass(7 * LOOP_MILLISECOND);
	rig_name("example.org", "192.0.2.1");
	struct message_probed result = told();
	assert_true(result.ok);
	assert_float_equal(result.rtt_min_ms, 7, 0.01);
	ask(SPEC_PROBE_DNS, "example.org", 1);
	rig_name("example.org", NULL);
	assert_string_equal(told().detail, "the name was not found");
	ask(SPEC_PROBE_DNS, "example.org", 1);
	rig_pass(LOOP_SECOND);
	assert_false(told().ok);
	assert_false(rig_is_asked("example.org"));
}

static void test_targets_that_cannot_be_read(void **state)
{
	(void)state;
	static const enum spec_probe_type types[] = { SPEC_PROBE_PING, SPEC_PROBE_TCP,  SPEC_PROBE_DNS,     SPEC_PROBE_NONE,
		                                      SPEC_PROBE_HTTP, SPEC_PROBE_HTTP, SPEC_PROBE_EXIT_IP, SPEC_PROBE_HTTP };
	static const char *const targets[] = {
		"name.example", "10.0.0.1", "", "x", "10.0.0.1", "https://10.0.0.1/", "http://a:0/", "http://0x7f.1/"
	};
	for (size_t i = 0; i < 8; i++) {
		ask(types[i], targets[i], 1);
		rig_pass(LOOP_SECOND);
		assert_false(told().ok);
	}
}

static void test_a_tunnel_that_ends_answers(void **state)
{
	(void)state;
	ask(SPEC_PROBE_PING, "10.2.0.1", 20);
	ask(SPEC_PROBE_TCP, "10.2.0.1:1", 20);
	ask(SPEC_PROBE_DNS, "a.example", 20);
	rig.sent_count = 0;
	probe_stop(&rig.tunnel);
	assert_int_equal(rig.sent_count, 3);
	struct message_probed result = told();
	assert_false(result.ok);
	assert_string_equal(result.detail, "the tunnel ended");
	rig_turn();
	rig.pong(rig.pong_owner, 5); /* of a probe that is gone */
}

#define URL "http://10.2.0.1:8080/where?q"

static void answer(const char *bytes)
{
	rig_pass(30 * LOOP_MILLISECOND);
	rig_connected(rig_stream());
	rig_pass(10 * LOOP_MILLISECOND);
	rig_stream_write(rig_stream(), bytes);
}

static void test_http(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		bool ok;
		const char *detail;
	} answers[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx", true, "" },
		{ "HTTP/1.0 204 No Content\r\n\r\n", true, "" },
		{ "HTTP/1.1 302 Found\r\nLocation: http://10.2.0.9/\r\n\r\n", true, "" },
		{ "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", true, "" },
		{ "HTTP/1.1 503 Service Unavailable\r\n\r\n", false, "the answer's status is 503" },
		{ "HTTP/1.1 404 Not Found\r\n\r\n", false, "the answer's status is 404" },
		{ "SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "the answer is not HTTP" },
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		ask(SPEC_PROBE_HTTP, URL, 1);
		answer(answers[i].bytes);
		struct message_probed result = told();
		assert_int_equal(result.ok, answers[i].ok);
		assert_string_equal(result.detail, answers[i].detail);
		assert_int_equal(result.exit_ip.family, 0);
		if (answers[i].ok)
			assert_float_equal(result.rtt_avg_ms, 40, 0.01);
		assert_true(rig_stream()->aborted);
		assert_int_equal(rig_stream_count(), i + 1); /* a redirect is not followed */
	}
}

static void test_http_asks_as_any_client_does(void **state)
{
	(void)state;
	ask(SPEC_PROBE_HTTP, URL, 1);
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), "GET /where?q HTTP/1.1\r\nHost: 10.2.0.1:8080\r\nUser-Agent: warren\r\nAccept: */*\r\n"
	                                                   "Connection: close\r\n\r\n");
	/* In pieces. */
	static const char bytes[] = "HTTP/1.1 200 OK\r\n\r\n";
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		assert_null(rig_sent(MESSAGE_PROBED));
		rig_stream_write_bytes(rig_stream(), bytes + i, 1);
	}
	assert_true(told().ok);
	ask(SPEC_PROBE_HTTP, "http://web.example?x", 1);
	rig_name("web.example", "10.2.0.3");
	rig_connected(rig_stream());
	struct netstack_endpoint there = rig_endpoint("10.2.0.3", 80);
	assert_memory_equal(&rig_stream()->remote, &there, sizeof(there));
	assert_non_null(strstr(rig_stream_read(rig_stream()), "GET /?x HTTP/1.1\r\nHost: web.example\r\n"));
	rig_stream_finish(rig_stream());
	assert_string_equal(told().detail, "the far end closed the connection without an answer");
	ask(SPEC_PROBE_HTTP, URL, 1);
	rig_connected(rig_stream());
	rig_stream_close(rig_stream(), NETSTACK_RESET);
	assert_string_equal(told().detail, "the connection broke before the answer's end");
	ask(SPEC_PROBE_HTTP, URL, 1);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	assert_string_equal(told().detail, "the target refused the connection");
	ask(SPEC_PROBE_HTTP, URL, 1);
	rig_connected(rig_stream());
	rig_pass(LOOP_SECOND);
	assert_string_equal(told().detail, "no answer in time");
	assert_true(rig_stream()->aborted);
}

/* What a far end may do at will: a head and a body without end. */
static void test_http_answers_are_bounded(void **state)
{
	(void)state;
	static char filler[65536];
	memset(filler, 'x', sizeof(filler));
	ask(SPEC_PROBE_HTTP, URL, 1);
	answer("HTTP/1.1 200 OK\r\nX: ");
	rig_stream_write_bytes(rig_stream(), filler, 40000);
	assert_null(rig_sent(MESSAGE_PROBED));
	rig_stream_write_bytes(rig_stream(), filler, 40000);
	assert_false(told().ok);
	ask(SPEC_PROBE_HTTP, URL, 1);
	answer("HTTP/1.1 200 OK\r\nX: ");
	rig_stream_write_bytes(rig_stream(), filler, 40000);
	rig_stream_write(rig_stream(), "\r\n\r\n");
	assert_true(told().ok);
	ask(SPEC_PROBE_HTTP, URL, 1);
	answer("");
	for (int i = 0; i < 9; i++)
		rig_stream_write(rig_stream(), "HTTP/1.1 103 Early Hints\r\n\r\n");
	assert_string_equal(told().detail, "too many interim answers");
	ask(SPEC_PROBE_EXIT_IP, URL, 1);
	answer("HTTP/1.1 200 OK\r\n\r\n");
	rig_stream_write_bytes(rig_stream(), filler, 1024);
	assert_null(rig_sent(MESSAGE_PROBED));
	rig_stream_write_bytes(rig_stream(), filler, 1);
	assert_string_equal(told().detail, "the answer's body is longer than 1 KiB");
	ask(SPEC_PROBE_EXIT_IP, URL, 1);
	answer("HTTP/1.1 200 OK\r\n\r\n");
	rig_stream_write_bytes(rig_stream(), filler, sizeof(filler));
	assert_string_equal(told().detail, "the answer's body is longer than 1 KiB");
}

static void test_exit_ip(void **state)
{
	(void)state;
	static const struct {
		const char *bytes, *address, *detail;
	} answers[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n198.51.100.7\n", "198.51.100.7", "" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n2001:\r\n6\r\ndb8::1\r\n0\r\n\r\n", "2001:db8::1", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, "the answer's body is not the IP address of a host" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n10.0.0.1\r\n", "10.0.0.1", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n10.0.0.1/32", NULL, "the answer's body is not the IP address of a host" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html>\n\n\n", NULL, "the answer's body is not the IP address of a host" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n127.0.0.1", NULL, "the answer's body is not the IP address of a host" },
		{ "HTTP/1.1 302 Found\r\nContent-Length: 8\r\n\r\n10.0.0.1", NULL, "the answer's status is 302" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, "the answer's body is malformed" },
	};
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct wireguard_network wanted = { 0 };
		ask(SPEC_PROBE_EXIT_IP, URL, 1);
		answer(answers[i].bytes);
		struct message_probed result = told();
		assert_string_equal(result.detail, answers[i].detail);
		assert_true(answers[i].address == NULL || network_parse_address(answers[i].address, &wanted));
		assert_memory_equal(&result.exit_ip, &wanted, sizeof(wanted));
	}
	/* Until the connection ends, or before. */
	ask(SPEC_PROBE_EXIT_IP, URL, 1);
	answer("HTTP/1.0 200 OK\r\n\r\n \t198.51.100.7 ");
	assert_null(rig_sent(MESSAGE_PROBED));
	rig_stream_finish(rig_stream());
	assert_true(told().ok);
	ask(SPEC_PROBE_EXIT_IP, URL, 1);
	answer("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n198.51.100.7");
	rig_stream_finish(rig_stream());
	assert_string_equal(told().detail, "the answer is incomplete");
}

static void apply(void)
{
	struct probe *fresh;
	assert_true(probe_prepare(&rig.tunnel, &rig.tunnel.spec, &fresh));
	probe_commit(&rig.tunnel, fresh);
	assessment_review(&rig.tunnel); /* as health_review does after each commit */
}

static void set_probe(enum spec_probe_type type, const char *target)
{
	free(rig.tunnel.spec.probe.target);
	rig.tunnel.spec.probe = spec_probe_default;
	rig.tunnel.spec.probe.type = type;
	rig.tunnel.spec.probe.target = strdup(target);
	apply();
}

static void set_ping(const char *target)
{
	set_probe(SPEC_PROBE_PING, target);
}

/* The first one comes between one and five seconds after the start, each other one interval later, more or less a twentieth. */
static void test_periodic(void **state)
{
	(void)state;
	set_ping("10.2.0.1");
	rig_pass(LOOP_SECOND - 1);
	assert_int_equal(rig.pings, 0);
	rig_pass(4 * LOOP_SECOND + 1);
	assert_int_equal(rig.pings, 1);
	pong(LOOP_MILLISECOND);
	struct message_probed result = told();
	assert_int_equal(result.request, 0);
	assert_int_equal(result.sent, 1);
	assert_true(result.ok);
	uint64_t first = rig.ping_sent_at;
	rig_pass(first + 5 * LOOP_SECOND - rig.now);
	apply(); /* nothing changed: its pace stays */
	rig_pass(4500 * LOOP_MILLISECOND - 1);
	assert_int_equal(rig.pings, 1);
	rig_pass(LOOP_SECOND + 1);
	assert_int_equal(rig.pings, 2);
	rig_pass(5 * LOOP_SECOND);
	result = told();
	assert_false(result.ok);
	assert_int_equal(result.sent, 1);
	assert_int_equal(result.failures, 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->probes_ok), 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->probes_failed), 1);
	rig.tunnel.spec.enabled = false;
	apply();
	assert_null(rig.tunnel.probe);
	rig_pass(60 * LOOP_SECOND);
	assert_int_equal(rig.pings, 2);
	rig.tunnel.spec.enabled = true;
	apply();
	probe_stop(&rig.tunnel);
	assert_null(rig.tunnel.probe);
}

/* Its packets would only start handshakes, and more of them than the one a minute with which an unused tunnel looks for its peer. */
static void test_a_tunnel_that_is_down_is_not_probed(void **state)
{
	static const struct {
		enum spec_probe_type type;
		const char *target;
	} probes[] = { { SPEC_PROBE_PING, "10.2.0.1" },
		       { SPEC_PROBE_TCP, "10.2.0.1:80" },
		       { SPEC_PROBE_DNS, "a.test" },
		       { SPEC_PROBE_HTTP, "http://10.2.0.1/" },
		       { SPEC_PROBE_EXIT_IP, "http://10.2.0.1/" } };
	(void)state;
	rig.down = true;
	snprintf(rig.tunnel.health.reason, sizeof(rig.tunnel.health.reason), "the peer does not answer handshakes");
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		set_probe(probes[i].type, probes[i].target);
		for (uint32_t failures = 1; failures < 4; failures++) {
			for (int tenths = 0; rig_sent(MESSAGE_PROBED) == NULL && tenths < 200; tenths++)
				rig_pass(LOOP_SECOND / 10);
			struct message_probed result = told();
			assert_false(result.ok);
			assert_int_equal(result.failures, failures);
			assert_string_equal(result.detail, "the peer does not answer handshakes");
		}
	}
	assert_int_equal(rig.wanted, 0);
	assert_int_equal(rig.pings, 0);
	assert_int_equal(rig_stream_count(), 0);
	/* It is as soon as it is up again. */
	rig.down = false;
	set_probe(SPEC_PROBE_PING, "10.2.0.1");
	rig_pass(5 * LOOP_SECOND);
	assert_int_equal(rig.pings, 1);
	probe_stop(&rig.tunnel);
}

static void test_as_many_attempts_as_were_asked_for(void **state)
{
	(void)state;
	ask(SPEC_PROBE_PING, "10.2.0.1", MESSAGE_PROBE_COUNT_MAX);
	for (int i = 0; i < MESSAGE_PROBE_COUNT_MAX; i++) {
		assert_null(rig_sent(MESSAGE_PROBED));
		pong(10 * LOOP_MILLISECOND);
		rig_pass(190 * LOOP_MILLISECOND);
	}
	assert_int_equal(told().received, MESSAGE_PROBE_COUNT_MAX);
}

static enum tunnel_health health(void)
{
	return (enum tunnel_health)counter_read(&rig.tunnel.counters->health);
}

/* Until the next probe has its result. */
static void next_result(bool is_answered)
{
	unsigned before = rig.pings;
	rig.sent_count = 0;
	while (rig.pings == before)
		rig_pass(LOOP_SECOND / 10);
	if (is_answered)
		pong(LOOP_MILLISECOND);
	while (rig_sent(MESSAGE_PROBED) == NULL)
		rig_pass(LOOP_SECOND / 10);
}

static void test_a_probe_tells_health_and_leaves_the_state(void **state)
{
	(void)state;
	set_ping("10.2.0.1");
	assert_int_equal(health(), TUNNEL_HEALTH_UNKNOWN);
	static const bool answers[] = { true, false, false, true, false, false, false, false, true };
	static const enum tunnel_health told_health[] = { TUNNEL_HEALTHY, TUNNEL_HEALTHY,   TUNNEL_HEALTHY,   TUNNEL_HEALTHY, TUNNEL_HEALTHY,
		                                          TUNNEL_HEALTHY, TUNNEL_UNHEALTHY, TUNNEL_UNHEALTHY, TUNNEL_HEALTHY };
	static const uint32_t failures[] = { 0, 1, 2, 0, 1, 2, 3, 4, 0 };
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		enum tunnel_health before = health();
		next_result(answers[i]);
		assert_int_equal(health(), told_health[i]);
		assert_int_equal(rig_sent(MESSAGE_HEALTH) != NULL, health() != before);
		assert_int_equal(told().failures, failures[i]);
		assert_int_equal(rig.tunnel.health.state, TUNNEL_UP);
	}
	/* Another probe has no result yet. */
	set_ping("10.2.0.2");
	assert_int_equal(health(), TUNNEL_HEALTH_UNKNOWN);
	probe_stop(&rig.tunnel);
}

static void test_without_a_probe_the_traffic_tells(void **state)
{
	(void)state;
	counter_add(&rig.tunnel.counters->bytes_received, 5);
	assessment_review(&rig.tunnel);
	assert_int_equal(health(), TUNNEL_HEALTH_UNKNOWN);
	counter_add(&rig.tunnel.counters->bytes_received, 1);
	assessment_review(&rig.tunnel);
	assert_int_equal(health(), TUNNEL_HEALTHY);
	rig.tunnel.health.state = TUNNEL_STALE;
	assessment_review(&rig.tunnel);
	assert_int_equal(health(), TUNNEL_UNHEALTHY);
	rig.tunnel.health.state = TUNNEL_UP;
	assessment_review(&rig.tunnel);
	assert_int_equal(health(), TUNNEL_HEALTH_UNKNOWN);
	size_t sent = rig.sent_count;
	assessment_review(&rig.tunnel);
	assert_int_equal(rig.sent_count, sent);
}

/* Tunnels that start at the same time do not probe together: those that probe within the same tenth of a second are a few. */
static void test_thousands_of_probes_do_not_burst(void **state)
{
	(void)state;
	enum { COUNT = 400, TENTHS = 300 };
	static struct tunnel tunnels[COUNT];
	static unsigned in_tenth[TENTHS];
	for (size_t i = 0; i < COUNT; i++) {
		struct probe *fresh;
		tunnels[i] = rig.tunnel;
		tunnels[i].probe = NULL;
		tunnels[i].spec.probe = spec_probe_default;
		tunnels[i].spec.probe.type = SPEC_PROBE_PING;
		tunnels[i].spec.probe.target = (char[]){ "10.2.0.1" };
		assert_true(probe_prepare(&tunnels[i], &tunnels[i].spec, &fresh));
		probe_commit(&tunnels[i], fresh);
	}
	for (size_t i = 0; i < TENTHS; i++) {
		unsigned before = rig.pings;
		rig_pass(LOOP_SECOND / 10);
		in_tenth[i] = rig.pings - before;
		rig.sent_count = 0;
	}
	unsigned all = 0;
	for (size_t i = 0; i < TENTHS; i++) {
		all += in_tenth[i];
		assert_in_range(in_tenth[i], 0, COUNT / 10);
	}
	assert_in_range(all, 2 * COUNT, 4 * COUNT);
	for (size_t i = 0; i < COUNT; i++)
		probe_stop(&tunnels[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_ping),
		TEST(test_pings_at_once_are_told_apart),
		TEST(test_tcp),
		TEST(test_dns),
		TEST(test_targets_that_cannot_be_read),
		TEST(test_a_tunnel_that_ends_answers),
		TEST(test_periodic),
		TEST(test_http),
		TEST(test_http_asks_as_any_client_does),
		TEST(test_http_answers_are_bounded),
		TEST(test_exit_ip),
		TEST(test_a_tunnel_that_is_down_is_not_probed),
		TEST(test_as_many_attempts_as_were_asked_for),
		TEST(test_a_probe_tells_health_and_leaves_the_state),
		TEST(test_without_a_probe_the_traffic_tells),
		TEST(test_thousands_of_probes_do_not_burst),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
