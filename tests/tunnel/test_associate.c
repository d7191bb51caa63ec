#include "tests/tunnel/rig.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/descriptor_request.h"
#include "tunnel/proxy/associate.h"

static struct {
	struct connection connection;
	struct associate *associate;
	unsigned ended;
} user;
static int control, relay;

static void on_ended(void *owner)
{
	assert_ptr_equal(owner, &user);
	user.ended++;
	user.associate = NULL;
	connection_remove(&user.connection);
}

static void end_user(struct connection *connection)
{
	associate_abort(user.associate);
	user.associate = NULL;
	connection_remove(connection);
}

static void ask_with(struct netstack_endpoint claim)
{
	struct socks_request request = { .command = SOCKS_UDP_ASSOCIATE };
	if (claim.family != 0)
		target_from_address(&request.target, &claim);
	user.ended = 0;
	connection_add(&user.connection, &rig.tunnel, COUNTERS_SOCKS5, end_user);
	const struct associate_want want = { .request = &request, .listen_index = 2 };
	user.associate = associate_create(&user.connection, rig_client(&control), &want, on_ended, &user);
	assert_non_null(user.associate);
	assert_int_equal(user.ended, 0);
	rig_turn();
}

static void ask(uint16_t announced)
{
	ask_with(rig_endpoint("0.0.0.0", announced));
}

static void grant(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	relay = ends[0];
	rig.local = rig_host("192.168.1.1", 6000);
	rig_grant(MESSAGE_STATUS_OK, ends[1]);
}

static void begin_with(struct netstack_endpoint claim)
{
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	rig.from = rig_host("192.168.1.9", 7000);
	ask_with(claim);
	grant();
	rig_read(control);
}

static void begin(uint16_t announced)
{
	begin_with(rig_endpoint("0.0.0.0", announced));
}

static uint64_t dropped(enum counters_drop reason)
{
	return counter_read(&rig.tunnel.counters->dropped[reason]);
}

static void leave(void)
{
	close(control);
	close(relay);
	rig_turn();
}

/* A datagram as RFC 1928, section 7 wraps it. */
static void send_to(const char *host, uint16_t port, const char *text)
{
	uint8_t bytes[512] = { 0 };
	size_t length;
	if (inet_pton(AF_INET, host, bytes + 4) == 1) {
		bytes[3] = 1;
		length = 8;
	} else if (inet_pton(AF_INET6, host, bytes + 4) == 1) {
		bytes[3] = 4;
		length = 20;
	} else {
		bytes[3] = 3;
		bytes[4] = (uint8_t)strlen(host);
		memcpy(bytes + 5, host, strlen(host));
		length = 5 + strlen(host);
	}
	bytes[length++] = (uint8_t)(port >> 8);
	bytes[length++] = (uint8_t)port;
	memcpy(bytes + length, text, strlen(text));
	rig_write_bytes(relay, bytes, length + strlen(text));
}

static void test_association(void **state)
{
	(void)state;
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	rig.from = rig_host("192.168.1.9", 7000);
	ask(0);
	struct message_want want;
	struct message_reader reader = { .bytes = rig_sent(MESSAGE_WANT_RELAY)->bytes, .left = rig_sent(MESSAGE_WANT_RELAY)->length };
	assert_true(message_decode_want(&reader, &want));
	assert_int_equal(want.index, 2);
	union wireguard_endpoint local = rig_host("192.168.1.1", 0);
	assert_memory_equal(&want.local, &local, sizeof(local.v4));
	grant();
	assert_memory_equal(rig_read(control), "\x05\x00\x00\x01\xc0\xa8\x01\x01\x17\x70", 10);
	assert_int_equal(rig_read_length(), 10);
	struct netstack_flow *flow = rig.flows;
	send_to("198.51.100.5", 53, "question");
	struct netstack_endpoint there = rig_endpoint("198.51.100.5", 53), six = rig_endpoint("2001:db8::5", 443);
	assert_memory_equal(&flow->last_to, &there, sizeof(there));
	assert_string_equal(flow->last, "question");
	flow->received(flow->owner, &there, (const uint8_t *)"answer", 6);
	assert_memory_equal(rig_read(relay),
	                    "\0\0\0\x01\xc6\x33\x64\x05\0\x35"
	                    "answer",
	                    16);
	assert_memory_equal(&rig.sent_to, &rig.from, sizeof(rig.from));
	send_to("2001:db8::5", 443, "quic");
	assert_memory_equal(&flow->last_to, &six, sizeof(six));
	flow->received(flow->owner, &six, (const uint8_t *)"six", 3);
	rig_read(relay);
	assert_int_equal(rig_read_length(), 25);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_sent), 12);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_received), 9);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_SOCKS5]), 1);
	leave();
	assert_int_equal(user.ended, 1);
	assert_true(flow->closed);
}

static void test_only_the_client_is_served(void **state)
{
	(void)state;
	begin(0);
	rig.from = rig_host("192.168.1.8", 7000);
	send_to("198.51.100.5", 53, "stranger");
	assert_int_equal(rig.flows->sent, 0);
	struct netstack_endpoint there = rig_endpoint("198.51.100.5", 53);
	rig.flows->received(rig.flows->owner, &there, (const uint8_t *)"early", 5); /* nobody to give it to */
	assert_string_equal(rig_read(relay), "");
	rig.from = rig_host("192.168.1.9", 7000);
	send_to("198.51.100.5", 53, "client");
	assert_int_equal(rig.flows->sent, 1);
	rig.from = rig_host("192.168.1.9", 7001); /* the first datagram fixed the port */
	send_to("198.51.100.5", 53, "other");
	assert_int_equal(rig.flows->sent, 1);
	leave();
	assert_int_equal(dropped(COUNTERS_DROP_STRANGER), 3);
	leave();
}

/* Clients announce a port that they then do not use. Another one is served until the announced one sends, and then never again. */
static void test_the_announced_port_comes_first(void **state)
{
	(void)state;
	begin(7005);
	rig.from = rig_host("192.168.1.9", 7001);
	send_to("198.51.100.5", 53, "other port than announced");
	assert_int_equal(rig.flows->sent, 1);
	rig.from = rig_host("192.168.1.9", 7002);
	send_to("198.51.100.5", 53, "a third");
	assert_int_equal(rig.flows->sent, 1);
	rig.from = rig_host("::ffff:192.168.1.9", 7005); /* as a socket of both families shows it */
	send_to("198.51.100.5", 53, "client");
	assert_int_equal(rig.flows->sent, 2);
	rig.from = rig_host("192.168.1.9", 7001);
	send_to("198.51.100.5", 53, "other port than announced");
	assert_int_equal(rig.flows->sent, 2);
	assert_int_equal(dropped(COUNTERS_DROP_STRANGER), 2);
	leave();
}

/* A port counts only beside the client's own address or none. */
static void test_a_claim_that_is_not_the_clients_own_says_nothing(void **state)
{
	(void)state;
	const struct {
		struct netstack_endpoint claim;
		bool is_own;
	} cases[] = {
		{ rig_endpoint("198.51.100.5", 53), false },                    /* the target */
		{ rig_endpoint("10.0.0.9", 7005), false },                      /* behind a NAT */
		{ rig_endpoint("2001:db8::5", 7005), false }, { { 0 }, false }, /* a name */
		{ rig_endpoint("0.0.0.0", 0), false },        { rig_endpoint("192.168.1.9", 0), false },
		{ rig_endpoint("0.0.0.0", 7005), true },      { rig_endpoint("::", 7005), true },
		{ rig_endpoint("192.168.1.9", 7005), true },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_with(cases[i].claim);
		send_to("198.51.100.5", 53, "from 7000");
		assert_int_equal(rig.flows->sent, 1);
		rig.from = rig_host("192.168.1.9", 7005);
		send_to("198.51.100.5", 53, "from 7005");
		assert_int_equal(rig.flows->sent, cases[i].is_own ? 2 : 1);
		leave();
	}
}

static void test_what_is_malformed_or_forbidden_is_dropped(void **state)
{
	(void)state;
	static const char *const forbidden[] = { "127.0.0.1", "169.254.169.254", "224.0.0.1",        "0.0.0.0",  "::1",
		                                 "ff02::1",   "fe80::1",         "::ffff:127.0.0.1", "localhost" };
	begin(0);
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		send_to(forbidden[i], 53, "x");
	send_to("198.51.100.5", 0, "no port");
	rig_write_bytes(relay,
	                "\0\0\x01\x01\xc6\x33\x64\x05\0\x35"
	                "fragment",
	                18);
	rig_write_bytes(relay, "\0\0\0\x01\xc6\x33", 6);
	rig_write_bytes(relay, "\0\0\0\x09\xc6\x33\x64\x05\0\x35x", 11);
	rig_write_bytes(relay, "", 0);
	assert_int_equal(rig.flows->sent, 0);
	assert_int_equal(user.ended, 0);
	assert_false(rig_is_asked("localhost"));
	send_to("inside.example", 53, "x");
	rig_name("inside.example", "127.0.0.1");
	assert_int_equal(rig.flows->sent, 0);
	assert_int_equal(dropped(COUNTERS_DROP_REFUSED), sizeof(forbidden) / sizeof(forbidden[0]) + 6);
	leave();
}

static void test_names_are_resolved_in_the_tunnel(void **state)
{
	(void)state;
	begin(0);
	send_to("Dns.Example", 53, "one");
	send_to("dns.example", 54, "two");
	assert_int_equal(rig.flows->sent, 0);
	rig_name("dns.example", "198.51.100.5");
	assert_int_equal(rig.flows->sent, 2);
	assert_int_equal(rig.flows->last_to.port, 54);
	assert_string_equal(rig.flows->last, "two");
	send_to("dns.example", 55, "three"); /* remembered */
	assert_int_equal(rig.flows->sent, 3);
	assert_false(rig_is_asked("dns.example"));
	send_to("nowhere.example", 53, "lost");
	rig_name("nowhere.example", NULL);
	send_to("nowhere.example", 53, "lost");
	assert_false(rig_is_asked("nowhere.example")); /* not at once */
	rig_pass(6 * LOOP_SECOND);
	send_to("nowhere.example", 53, "found");
	rig_name("nowhere.example", "198.51.100.6");
	assert_string_equal(rig.flows->last, "found");
	char name[] = "a.example";
	for (; name[0] <= 'z'; name[0]++) {
		send_to(name, 53, "many");
		if (name[0] % 2 == 0)
			rig_name(name, "198.51.100.7");
	}
	leave();
}

static void test_refusals(void **state)
{
	(void)state;
	relay = -1;
	ask(0); /* a unix control connection: where would a datagram come from? */
	assert_memory_equal(rig_read(control), "\x05\x01\x00\x01\0\0\0\0\0\0", 10);
	assert_true(rig_is_at_end(control));
	assert_int_equal(user.ended, 1);
	close(control);
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	ask(0);
	rig_grant(MESSAGE_STATUS_DESCRIPTORS, -1);
	assert_memory_equal(rig_read(control), "\x05\x01", 2);
	assert_int_equal(user.ended, 1);
	close(control);
	rig.down = true;
	ask(0);
	assert_memory_equal(rig_read(control), "\x05\x01", 2);
	assert_int_equal(rig.wanted, 1);
	close(control);
	rig.down = false;
	rig.flow_error = NETSTACK_IN_USE;
	ask(0);
	grant();
	assert_memory_equal(rig_read(control), "\x05\x01", 2);
	leave();
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed_by_protocol[COUNTERS_SOCKS5]), 4);
}

static void test_silence_ends_it(void **state)
{
	(void)state;
	begin(0);
	rig_pass(200 * LOOP_SECOND);
	send_to("198.51.100.5", 53, "x");
	rig_pass(299 * LOOP_SECOND);
	assert_int_equal(user.ended, 0);
	rig_pass(LOOP_SECOND);
	assert_int_equal(user.ended, 1);
	assert_true(rig_is_at_end(control));
	leave();
}

static void test_aborts_leave_nothing(void **state)
{
	(void)state;
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	ask(0);
	end_user(&user.connection);
	close(control);
	begin(0);
	send_to("late.example", 53, "x");
	end_user(&user.connection);
	leave();
}

static void answer(uint64_t request)
{
	struct message_ack ack = { .request = request, .slot = rig.tunnel.slot, .generation = rig.tunnel.generation, .status = MESSAGE_STATUS_OK };
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	descriptor_request_answer(&rig.context, &ack, ends[1]);
	assert_true(rig_is_at_end(ends[0]));
	close(ends[0]);
}

/* The want of one that is gone keeps no place: it is not sent when it still waited, and its answer is closed when it was (P6, P7). */
static void test_who_gives_up_before_the_grant_frees_its_place(void **state)
{
	(void)state;
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	uint64_t first = rig.context.next_want + 1;
	size_t asked = 0;
	for (unsigned i = 0; i < 2 * MESSAGE_WANTS_MOST; i++) {
		ask(0);
		if (i % 2 == 0)
			close(control); /* as a reset */
		else
			shutdown(control, SHUT_WR);
		rig_turn();
		assert_int_equal(user.ended, 1);
		assert_null(rig.tunnel.connections);
		if (i % 2 != 0)
			close(control);
		asked += rig.sent_count;
		rig.sent_count = 0;
	}
	assert_int_equal(asked, MESSAGE_WANTS_MOST);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_CLIENT_GONE]), 2 * MESSAGE_WANTS_MOST);
	ask(0); /* waits for one of the answers alone, not for the rest of those who are gone */
	assert_int_equal(rig.sent_count, 0);
	answer(first);
	assert_int_equal(rig.sent_count, 1);
	grant();
	assert_memory_equal(rig_read(control), "\x05\x00", 2);
	leave();
}

/* A name's addresses come in two answers: the first that the policy allows counts. */
static void test_a_name_of_two_answers(void **state)
{
	(void)state;
	begin(0);
	send_to("two.example", 53, "one");
	rig_name_first("two.example", "127.0.0.1");
	send_to("two.example", 53, "more");
	assert_int_equal(rig.flows->sent, 0);
	rig_name_first("two.example", "198.51.100.7");
	assert_int_equal(rig.flows->sent, 2);
	rig_name("two.example", "198.51.100.8");
	send_to("two.example", 53, "three");
	const struct netstack_endpoint there = rig_endpoint("198.51.100.7", 53);
	assert_memory_equal(&rig.flows->last_to, &there, sizeof(there));
	leave();
}

/* More than a turn takes are taken in the next. */
static void test_a_flood_is_taken_in_turns(void **state)
{
	enum { MANY = 200 };
	static const char datagram[] = "\0\0\0\1\306\63\144\7\0\65x";
	(void)state;
	begin(0);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(send(relay, datagram, sizeof(datagram) - 1, 0), sizeof(datagram) - 1);
	rig_turn();
	assert_int_equal(rig.flows->sent, MANY);
	leave();
}

static uint64_t failures(enum counters_failure why)
{
	return counter_read(&rig.tunnel.counters->connections_failed[why]);
}

/* Each refusal has its place in the statistics. */
static void test_refusals_are_told_apart(void **state)
{
	struct connection other;
	(void)state;
	relay = -1;
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig_host("192.168.1.9", 4000);
	ask(0);
	rig_grant(MESSAGE_STATUS_REFUSED, -1);
	assert_int_equal(failures(COUNTERS_FAILED_POLICY), 1);
	close(control);
	rig.tunnel.spec.limits.connections = 1;
	connection_add(&other, &rig.tunnel, COUNTERS_CONNECT, rig_never_end);
	ask(0);
	assert_int_equal(failures(COUNTERS_FAILED_LIMIT), 1);
	connection_remove(&other);
	close(control);
	rig.tunnel.spec.limits.connections = 0;
	rig.tunnel.spec.limits.total_bytes = 1;
	counter_set(&rig.tunnel.counters->bytes_sent, 1);
	ask(0);
	assert_int_equal(failures(COUNTERS_FAILED_LIMIT), 2);
	assert_memory_equal(rig_read(control), "\x05\x01", 2);
	close(control);
	/* The relay has no address that could be told. */
	rig.tunnel.spec.limits.total_bytes = 0;
	ask(0);
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	rig.local = (union wireguard_endpoint){ .any = { .sa_family = AF_UNSPEC } };
	rig_grant(MESSAGE_STATUS_OK, ends[1]);
	assert_int_equal(failures(COUNTERS_FAILED_MEMORY), 1);
	assert_int_equal(user.ended, 1);
	close(ends[0]);
	close(control);
}

/* Without a limit of inactivity it stays as long as its control connection, on which a client may say anything. */
static void test_without_a_limit_silence_does_not_end_it(void **state)
{
	(void)state;
	rig.tunnel.spec.idle_timeout = 0;
	begin(0);
	rig_write(control, "what is this");
	rig_pass(24 * 3600 * LOOP_SECOND);
	assert_int_equal(user.ended, 0);
	send_to("198.51.100.5", 53, "x");
	assert_int_equal(rig.flows->sent, 1);
	leave();
	assert_int_equal(user.ended, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_association),
		TEST(test_only_the_client_is_served),
		TEST(test_the_announced_port_comes_first),
		TEST(test_a_claim_that_is_not_the_clients_own_says_nothing),
		TEST(test_what_is_malformed_or_forbidden_is_dropped),
		TEST(test_names_are_resolved_in_the_tunnel),
		TEST(test_refusals),
		TEST(test_silence_ends_it),
		TEST(test_aborts_leave_nothing),
		TEST(test_who_gives_up_before_the_grant_frees_its_place),
		TEST(test_a_name_of_two_answers),
		TEST(test_a_flood_is_taken_in_turns),
		TEST(test_refusals_are_told_apart),
		TEST(test_without_a_limit_silence_does_not_end_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
