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
	struct dial *dial = dial_start(&rig.tunnel, &rig.tunnel.spec, &target, false, on_dialed, NULL);
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
	struct dial *dial = dial_start(&rig.tunnel, &rig.tunnel.spec, &target, exempt, on_dialed, NULL);
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

/* Each reason of the stack has its own error, and so its own status for a client (openapi.yaml; RFC 9209, 2.3). */
static void test_each_failure_of_a_stream_has_its_error(void **state)
{
	static const struct {
		enum netstack_error why;
		enum http_error error;
	} rows[] = {
		{ NETSTACK_REFUSED, HTTP_ERROR_CONNECTION_REFUSED },
		{ NETSTACK_TIMED_OUT, HTTP_ERROR_CONNECTION_TIMEOUT },
		{ NETSTACK_UNREACHABLE, HTTP_ERROR_DESTINATION_IP_UNROUTABLE },
		{ NETSTACK_RESET, HTTP_ERROR_CONNECTION_TERMINATED },
		{ NETSTACK_ABORTED, HTTP_ERROR_CONNECTION_TERMINATED },
	};
	static const struct {
		int why;
		enum http_error error;
	} at_once[] = {
		{ NETSTACK_NO_ADDRESS, HTTP_ERROR_DESTINATION_IP_UNROUTABLE },
		{ NETSTACK_OUT_OF_MEMORY, HTTP_ERROR_PROXY_INTERNAL_RESPONSE },
		{ NETSTACK_IN_USE, HTTP_ERROR_PROXY_INTERNAL_RESPONSE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
		rig_refuse(rig_stream(), rows[i].why);
		assert_int_equal(seen.dialed, 1);
		assert_null(seen.stream);
		assert_int_equal(seen.error, rows[i].error);
	}
	for (size_t i = 0; i < sizeof(at_once) / sizeof(at_once[0]); i++) {
		rig.connect_error = at_once[i].why;
		assert_int_equal(dial_to("198.51.100.9", false), at_once[i].error);
	}
	rig.connect_error = NETSTACK_OK;
}

static void name(enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	assert_true(rig.queries[0].used);
	rig.queries[0].used = more;
	rig.queries[0].answered(rig.queries[0].owner, error, addresses, count, more);
	rig_turn();
}

static void test_each_failure_of_a_name_has_its_error(void **state)
{
	static const struct {
		enum netstack_name_error why;
		enum http_error error;
	} rows[] = {
		{ NETSTACK_NAME_TIMED_OUT, HTTP_ERROR_DNS_TIMEOUT }, { NETSTACK_NAME_NO_SERVER, HTTP_ERROR_DNS_ERROR },
		{ NETSTACK_NAME_CUT_SHORT, HTTP_ERROR_DNS_ERROR },   { NETSTACK_NAME_NOT_FOUND, HTTP_ERROR_DNS_ERROR },
		{ NETSTACK_NAME_BAD, HTTP_ERROR_DNS_ERROR },         { NETSTACK_NAME_FAILED, HTTP_ERROR_DNS_ERROR },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		dial_name();
		name(rows[i].why, NULL, 0, false);
		assert_int_equal(seen.dialed, 1);
		assert_int_equal(seen.error, rows[i].error);
	}
}

/* Where one family's answer comes late: it is tried beside the first, and a failure of it does not undo what the first has (RFC 8305). */
static void test_a_second_answer_joins_the_race(void **state)
{
	struct netstack_endpoint first = rig_endpoint("2001:db8::7", 0), second = rig_endpoint("198.51.100.7", 0);
	(void)state;
	dial_name();
	name(NETSTACK_NAME_OK, &first, 1, true);
	assert_int_equal(rig_stream_count(), 1);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig_stream_count(), 1);
	name(NETSTACK_NAME_OK, &second, 1, false);
	rig_pass(249 * LOOP_MILLISECOND);
	assert_int_equal(rig_stream_count(), 1);
	rig_pass(LOOP_MILLISECOND);
	assert_int_equal(rig_stream_count(), 2);
	rig_connected(rig.streams);
	assert_int_equal(seen.dialed, 1);
	assert_non_null(seen.stream);
	netstack_stream_abort(rig.streams, rig.now);
	/* The first address fails while the other answer is awaited: it is waited for. */
	dial_name();
	name(NETSTACK_NAME_OK, &first, 1, true);
	rig_refuse(rig.streams, NETSTACK_REFUSED);
	assert_int_equal(seen.dialed, 0);
	name(NETSTACK_NAME_NOT_FOUND, NULL, 0, false);
	assert_int_equal(seen.dialed, 1);
	assert_int_equal(seen.error, HTTP_ERROR_CONNECTION_REFUSED);
	/* The race is over while an answer is awaited: what comes then is nobody's. */
	dial_name();
	name(NETSTACK_NAME_OK, &first, 1, true);
	struct netstack_query query = rig.queries[0];
	rig.streams->events->connected(rig.streams->owner);
	query.answered(query.owner, NETSTACK_NAME_OK, &second, 1, false);
	rig.queries[0].used = false;
	rig_turn();
	assert_int_equal(seen.dialed, 1);
	netstack_stream_abort(rig.streams, rig.now);
}

/* A tunnel that is not up yet is waited for; one that is known to be down is not, and is asked to hurry. */
static void test_who_comes_early_waits_for_the_tunnel(void **state)
{
	(void)state;
	rig.tunnel.health.state = TUNNEL_HANDSHAKING;
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig_stream_count(), 0);
	rig.tunnel.health.state = TUNNEL_UP;
	dial_go_all(&rig.tunnel);
	rig_turn();
	assert_int_equal(rig_stream_count(), 1);
	/* Once is enough. */
	dial_go_all(&rig.tunnel);
	rig_turn();
	assert_int_equal(rig_stream_count(), 1);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);

	rig.tunnel.health.state = TUNNEL_HANDSHAKING;
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
	dial_fail_all(&rig.tunnel);
	rig_turn();
	assert_int_equal(seen.dialed, 2);
	assert_int_equal(seen.error, HTTP_ERROR_DESTINATION_UNAVAILABLE);
	unsigned wanted = rig.wanted;
	assert_true(wanted > 0);
	rig.down = true;
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_DESTINATION_UNAVAILABLE);
	assert_int_equal(rig.wanted, wanted + 1);
	/* Nobody hurries a tunnel that is disabled. */
	rig.tunnel.health.state = TUNNEL_DISABLED;
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_DESTINATION_UNAVAILABLE);
	assert_int_equal(rig.wanted, wanted + 1);
}

static void test_what_is_used_up_dials_no_more(void **state)
{
	(void)state;
	rig.tunnel.spec.limits.total_bytes = 10;
	tunnel_count_sent(&rig.tunnel, 9);
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	tunnel_count_received(&rig.tunnel, 1);
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_CONNECTION_LIMIT_REACHED);
	assert_int_equal(dial_to("198.51.100.9", true), HTTP_ERROR_CONNECTION_LIMIT_REACHED);
}

/* The tunnel's own address would come back to itself; a neighbour of it, or the same bytes in another family, would not. */
static void test_the_own_address_is_no_target(void **state)
{
	(void)state;
	rig.tunnel.spec.allow_private_targets = true;
	assert_true(network_parse("10.2.0.2", true, &rig.tunnel.spec.addresses[0]) && network_parse("fd00::2", true, &rig.tunnel.spec.addresses[1]));
	rig.tunnel.spec.address_count = 2;
	assert_int_equal(dial_to("10.2.0.2", false), HTTP_ERROR_PROXY_LOOP_DETECTED);
	assert_int_equal(dial_to("fd00::2", false), HTTP_ERROR_PROXY_LOOP_DETECTED);
	assert_int_equal(dial_to("10.2.0.3", false), HTTP_ERROR_NONE);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	assert_int_equal(dial_to("fd00::3", false), HTTP_ERROR_NONE);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	rig.tunnel.spec.address_count = 0;
}

static void test_nobody_is_waited_for_longer_than_told(void **state)
{
	(void)state;
	rig.tunnel.spec.connect_timeout = 3;
	assert_int_equal(dial_to("198.51.100.9", false), HTTP_ERROR_NONE);
	rig_pass(3 * LOOP_SECOND - 1);
	assert_int_equal(seen.dialed, 0);
	rig_pass(1);
	assert_int_equal(seen.dialed, 1);
	assert_int_equal(seen.error, HTTP_ERROR_CONNECTION_TIMEOUT);
	assert_true(rig_stream()->aborted);
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
		TEST(test_each_failure_of_a_stream_has_its_error),
		TEST(test_each_failure_of_a_name_has_its_error),
		TEST(test_a_second_answer_joins_the_race),
		TEST(test_who_comes_early_waits_for_the_tunnel),
		TEST(test_what_is_used_up_dials_no_more),
		TEST(test_the_own_address_is_no_target),
		TEST(test_nobody_is_waited_for_longer_than_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
