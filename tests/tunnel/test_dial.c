/* Connections to targets: the race of a name's addresses, and the fate of the losers. */
#include <string.h>

#include "tests/tunnel/rig.h"
#include "tunnel/dial.h"

static struct {
	unsigned dialed;
	struct netstack_stream *stream;
	enum http_error error;
} seen;

static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	(void)owner;
	seen.dialed++;
	seen.stream = stream;
	seen.error = fault->error;
	if (stream != NULL)
		netstack_stream_set_owner(stream, &rig_deaf, NULL);
}

static struct dial *dial_name(void)
{
	struct target target;
	seen.dialed = 0;
	assert_int_equal(target_parse(&target, "two.example", 11, 443), 0);
	struct dial *dial = dial_start(&rig.tunnel, &target, false, on_dialed, NULL);
	assert_non_null(dial);
	rig_turn();
	return dial;
}

/* Both addresses of a name are being tried: the first in second place. */
static void race_two_addresses(void)
{
	struct netstack_endpoint two[2] = { rig_endpoint("198.51.100.7", 0), rig_endpoint("198.51.100.8", 0) };
	dial_name();
	assert_true(rig_is_asked("two.example"));
	rig.queries[0].used = false;
	rig.queries[0].answered(rig.queries[0].owner, NETSTACK_NAME_OK, two, 2, false);
	rig_turn();
	assert_int_equal(rig_stream_count(), 1);
	rig_pass(250 * LOOP_MILLISECOND);
	assert_int_equal(rig_stream_count(), 2);
}

/* P7: two SYN-ACKs in one turn, then any segment of the loser before the turn ends. */
static void test_a_loser_may_send_in_the_turn_of_the_race(void **state)
{
	(void)state;
	race_two_addresses();
	struct netstack_stream *loser = rig.streams, *winner = loser->next;
	struct iovec byte = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	winner->events->connected(winner->owner);
	loser->events->connected(loser->owner);
	loser->events->received(loser->owner, &byte, 1, 1);
	loser->events->acknowledged(loser->owner, 1);
	loser->events->finished(loser->owner);
	assert_int_equal(seen.dialed, 1);
	assert_ptr_equal(seen.stream, winner);
	rig_turn();
	assert_true(loser->aborted);
	assert_false(winner->gone);
	netstack_stream_abort(winner, rig.now);
}

static void test_a_loser_may_close_in_the_turn_of_the_race(void **state)
{
	(void)state;
	race_two_addresses();
	struct netstack_stream *loser = rig.streams, *winner = loser->next;
	winner->events->connected(winner->owner);
	loser->events->connected(loser->owner);
	loser->gone = true;
	loser->events->closed(loser->owner, NETSTACK_RESET);
	rig_turn();
	assert_int_equal(seen.dialed, 1);
	assert_false(loser->aborted);
	netstack_stream_abort(winner, rig.now);
}

static enum http_error dial_to(const char *host, bool exempt)
{
	struct target target;
	seen.dialed = 0;
	assert_int_equal(target_parse(&target, host, strlen(host), 443), 0);
	struct dial *dial = dial_start(&rig.tunnel, &target, exempt, on_dialed, NULL);
	assert_non_null(dial);
	rig_turn();
	return seen.dialed == 0 ? HTTP_ERROR_NONE : seen.error;
}

/* At once, whoever asks, and whether the tunnel is up or not; of a name's addresses the other is tried. */
static void test_what_cannot_be_sent_fails_at_once(void **state)
{
	(void)state;
	rig.unroutable = rig_endpoint("198.51.100.7", 0);
	for (int up = 0; up < 2; up++) {
		rig.tunnel.health.state = up == 1 ? TUNNEL_UP : TUNNEL_HANDSHAKING;
		assert_int_equal(dial_to("198.51.100.7", false), HTTP_ERROR_DESTINATION_IP_UNROUTABLE);
		assert_int_equal(dial_to("198.51.100.7", true), HTTP_ERROR_DESTINATION_IP_UNROUTABLE);
	}
	assert_int_equal(rig_stream_count(), 0);
	dial_name();
	struct netstack_endpoint two[2] = { rig_endpoint("198.51.100.7", 0), rig_endpoint("198.51.100.8", 0) };
	rig.queries[0].used = false;
	rig.queries[0].answered(rig.queries[0].owner, NETSTACK_NAME_OK, two, 2, false);
	rig_turn();
	assert_int_equal(rig_stream_count(), 1);
	rig_refuse(rig.streams, NETSTACK_REFUSED);
	dial_name();
	rig_name("two.example", "198.51.100.7");
	assert_int_equal(seen.dialed, 1);
	assert_int_equal(seen.error, HTTP_ERROR_DESTINATION_IP_UNROUTABLE);
}

/* A broken family costs 250 ms once, not with every connection. */
static void test_the_family_that_worked_is_remembered(void **state)
{
	static const struct {
		const char *first, *second;
		int winner;
		uint8_t preferred;
	} cases[] = {
		{ "2001:db8::7", "198.51.100.7", 1, AF_INET },
		{ "2001:db8::7", "198.51.100.7", 0, 0 },
		{ "198.51.100.7", "2001:db8::7", 1, AF_INET6 },
		{ "198.51.100.7", "198.51.100.8", 1, 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netstack_endpoint two[2] = { rig_endpoint(cases[i].first, 0), rig_endpoint(cases[i].second, 0) };
		rig.preferred_family = 0;
		dial_name();
		rig.queries[0].used = false;
		rig.queries[0].answered(rig.queries[0].owner, NETSTACK_NAME_OK, two, 2, false);
		rig_turn();
		rig_pass(250 * LOOP_MILLISECOND);
		struct netstack_stream *winner = cases[i].winner == 0 ? rig.streams->next : rig.streams;
		winner->events->connected(winner->owner);
		assert_int_equal(rig.preferred_family, cases[i].preferred);
		rig_turn();
		netstack_stream_abort(winner, rig.now);
	}
}

/* The first family's addresses are refused. The other family's answer is waited for, but not for as long as a lookup may take. */
static void test_a_failure_does_not_wait_long_for_a_silent_family(void **state)
{
	(void)state;
	for (int comes = 0; comes < 2; comes++) {
		struct netstack_endpoint here = rig_endpoint("198.51.100.7", 0), there = rig_endpoint("2001:db8::7", 0);
		dial_name();
		rig.queries[0].used = false;
		rig.queries[0].answered(rig.queries[0].owner, NETSTACK_NAME_OK, &here, 1, true);
		rig_turn();
		rig_stream_close(rig.streams, NETSTACK_REFUSED);
		rig_pass(900 * LOOP_MILLISECOND);
		assert_int_equal(seen.dialed, 0);
		if (comes == 1) {
			rig.queries[0].answered(rig.queries[0].owner, NETSTACK_NAME_OK, &there, 1, false);
			rig_turn();
			rig_pass(2 * LOOP_SECOND);
			assert_int_equal(seen.dialed, 0);
			rig.streams->events->connected(rig.streams->owner);
			assert_non_null(seen.stream);
			rig_turn();
			netstack_stream_abort(seen.stream, rig.now);
		} else {
			rig_pass(200 * LOOP_MILLISECOND);
			assert_int_equal(seen.dialed, 1);
			assert_int_equal(seen.error, HTTP_ERROR_CONNECTION_REFUSED);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_a_loser_may_send_in_the_turn_of_the_race),
		TEST(test_a_loser_may_close_in_the_turn_of_the_race),
		TEST(test_what_cannot_be_sent_fails_at_once),
		TEST(test_the_family_that_worked_is_remembered),
		TEST(test_a_failure_does_not_wait_long_for_a_silent_family),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
