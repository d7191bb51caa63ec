#include "tests/tunnel/rig.h"

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
	struct message_probe message = { .request = 42, .slot = 3, .generation = 7, .type = (uint8_t)type, .count = count, .timeout_ms = 1000 };
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
	rig.tunnel.health.is_down = true;
	rig.tunnel.health.reason = "the peer does not answer handshakes";
	ask(SPEC_PROBE_PING, "10.2.0.1", 1);
	rig_pass(LOOP_SECOND);
	assert_string_equal(told().detail, "the peer does not answer handshakes");
	rig.tunnel.health.is_down = false;
	assert_true(rig_stream()->aborted);
	rig.down = true;
	ask(SPEC_PROBE_TCP, "10.2.0.1:443", 1);
	assert_false(told().ok);
}

static void test_dns(void **state)
{
	(void)state;
	ask(SPEC_PROBE_DNS, "example.org", 1);
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
	static const enum spec_probe_type types[] = { SPEC_PROBE_PING, SPEC_PROBE_TCP, SPEC_PROBE_DNS, SPEC_PROBE_NONE };
	static const char *const targets[] = { "name.example", "10.0.0.1", "", "x" };
	for (size_t i = 0; i < 4; i++) {
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

static void apply(void)
{
	struct probe *fresh;
	assert_true(probe_prepare(&rig.tunnel, &rig.tunnel.spec, &fresh));
	probe_commit(&rig.tunnel, fresh);
}

static void test_periodic(void **state)
{
	(void)state;
	rig.tunnel.spec.probe = (struct spec_probe){ .type = SPEC_PROBE_PING, .target = strdup("10.2.0.1"), .interval = 10 };
	apply();
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig.pings, 1);
	pong(LOOP_MILLISECOND);
	struct message_probed result = told();
	assert_int_equal(result.request, 0);
	assert_int_equal(result.sent, 1);
	assert_true(result.ok);
	rig_pass(5 * LOOP_SECOND);
	apply(); /* nothing changed: its pace stays */
	rig_pass(5 * LOOP_SECOND);
	assert_int_equal(rig.pings, 2);
	rig_pass(5 * LOOP_SECOND);
	result = told();
	assert_false(result.ok);
	assert_int_equal(result.sent, 1);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_ping),     TEST(test_pings_at_once_are_told_apart), TEST(test_tcp),
		TEST(test_dns),      TEST(test_targets_that_cannot_be_read),  TEST(test_a_tunnel_that_ends_answers),
		TEST(test_periodic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
