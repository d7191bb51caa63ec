/* The other end of a link is a worker that was taken over: whatever it sends is judged, bounded, and leaks nothing. */
#include "tests/descriptors.h"
#include "tests/tunnel/rig_pool.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\n\r\n"

enum { HANDOVER = 1, RETURN, ENDED };

/* As link.c writes it. */
struct head {
	uint64_t pool;
	uint32_t type, member;
	uint16_t listen_index, error;
	uint32_t count;
	uint32_t place, serial, succeeded, failed;
	uint16_t protocol, failure;
	uint16_t is_bounced, is_later;
};

static int hostile; /* the end of the worker that was taken over */
static size_t descriptors;

static void link_to(unsigned victim)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	pools_take_link(workers[victim], &(struct peer_link){ .worker = 1 - victim, .incarnation = 1 }, ends[0]);
	hostile = ends[1];
	descriptors = descriptors_count();
}

static int start(void **state)
{
	return rig_pool_start(state);
}

static int stop(void **state)
{
	close(hostile);
	return rig_pool_stop(state);
}

static bool is_linked(unsigned victim)
{
	return pools_link(workers[victim], 1 - victim) != NULL;
}

/* Sends a message with up to two descriptors, which are closed here; the length of the head may be cut. */
static void give(const struct head *head, size_t head_length, const void *bytes, size_t length, const int *sent, size_t count)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { 0 };
	struct iovec parts[2] = { { .iov_base = (void *)(uintptr_t)head, .iov_len = head_length },
		                  { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	if (count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int)) };
		memcpy(CMSG_DATA(&control.head), sent, count * sizeof(int));
	}
	assert_true(sendmsg(hostile, &message, MSG_NOSIGNAL) >= 0);
	for (size_t i = 0; i < count; i++)
		close(sent[i]);
	rig_turn();
}

static struct head handover(const char *bytes)
{
	return (struct head){ .pool = POOL, .type = HANDOVER, .member = 1 + THERE, .count = (uint32_t)strlen(bytes), .serial = 1 };
}

/* The test's end of a client whose other end is given. */
static int give_client(const struct head *head, const char *bytes)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	give(head, sizeof(*head), bytes, strlen(bytes), &ends[1], 1);
	return ends[0];
}

/* What the victim sent; false: nothing. Its descriptor is closed. */
static bool take(struct head *head)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	static char rest[65536];
	struct iovec parts[2] = { { .iov_base = head, .iov_len = sizeof(*head) }, { .iov_base = rest, .iov_len = sizeof(rest) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof(control) };
	if (recvmsg(hostile, &message, MSG_DONTWAIT) <= 0)
		return false;
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);
	if (part != NULL) {
		int got;
		memcpy(&got, CMSG_DATA(part), sizeof(got));
		close(got);
	}
	return true;
}

static int socket_of(int domain, int type)
{
	int made = socket(domain, type | SOCK_CLOEXEC, 0);
	assert_true(made >= 0);
	return made;
}

static int listening(void)
{
	int made = socket_of(AF_INET, SOCK_STREAM);
	assert_int_equal(listen(made, 1), 0);
	return made;
}

static int end_of_pipe(void)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	return ends[0];
}

static void expect_broken(unsigned victim)
{
	assert_false(is_linked(victim));
	assert_non_null(rig_sent(MESSAGE_LINK_BROKEN));
	close(hostile);
	rig.sent_count = 0;
	hostile = -1;
	assert_int_equal(descriptors_count(), descriptors - 2);
	link_to(victim);
}

static void a_sound_handover_is_served(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	const struct head head = handover(CONNECT);
	int client = give_client(&head, CONNECT);
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 200 ", 13), 0);
	close(client);
	rig_stream_close(rig_stream(), NETSTACK_OK);
	struct head ended;
	assert_true(take(&ended));
	assert_int_equal(ended.type, ENDED);
}

static void what_is_no_message_breaks_the_link(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	struct head good = handover("GET"), bad = good;
	give(&good, 5, NULL, 0, NULL, 0); /* half a head */
	expect_broken(THERE);
	bad.type = 99;
	give(&bad, sizeof(bad), "GET", 3, NULL, 0);
	expect_broken(THERE);
	bad = good;
	bad.count = 4; /* more than there is */
	close(give_client(&bad, "GET"));
	expect_broken(THERE);
	bad.count = UINT32_MAX;
	close(give_client(&bad, "GET"));
	expect_broken(THERE);
	give(&good, sizeof(good), "GET", 3, NULL, 0); /* no client */
	expect_broken(THERE);
	bad = (struct head){ .type = ENDED, .count = 1 };
	give(&bad, sizeof(bad), "", 0, NULL, 0);
	expect_broken(THERE);
	bad = (struct head){ .type = ENDED, .count = UINT32_MAX };
	give(&bad, sizeof(bad), "", 0, NULL, 0);
	expect_broken(THERE);
}

static void what_is_no_client_breaks_the_link(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	const struct head good = handover("GET");
	const int made[] = { end_of_pipe(), listening(), socket_of(AF_INET, SOCK_DGRAM), socket_of(AF_UNIX, SOCK_SEQPACKET),
		             socket_of(AF_UNIX, SOCK_DGRAM) };
	descriptors -= 0;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		give(&good, sizeof(good), "GET", 3, &made[i], 1);
		assert_false(is_linked(THERE));
		close(hostile);
		link_to(THERE);
	}
	const int two[] = { socket_of(AF_INET, SOCK_STREAM), socket_of(AF_INET, SOCK_STREAM) };
	descriptors = descriptors_count() - 2;
	give(&good, sizeof(good), "GET", 3, two, 2);
	expect_broken(THERE);
	assert_null(there.connections);
}

/* A pool or member that is not known here, or a pool whose home is elsewhere: the client is returned. */
static void what_is_not_known_is_returned(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	struct head bad[3] = { handover(CONNECT), handover(CONNECT), handover(CONNECT) }, back;
	bad[0].pool = POOL + 1;
	bad[1].member = 77;
	bad[2].member = 1 + HERE;
	for (size_t i = 0; i < 3; i++) {
		bad[i].place = 5;
		int client = give_client(&bad[i], CONNECT);
		assert_true(take(&back));
		assert_int_equal(back.type, RETURN);
		assert_int_equal(back.place, 5);
		assert_int_equal(back.is_bounced, 1);
		close(client);
	}
	assert_true(is_linked(THERE));
	assert_null(there.connections);
	assert_int_equal(descriptors_count(), descriptors);
}

/* The receiver checks the password itself, without trusting that the home has. */
static void a_wrong_password_is_refused(void **state)
{
	(void)state;
	static const char wrong[] = "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\nProxy-Authorization: Basic dTp4\r\n\r\n";
	front.spec.users = calloc(1, sizeof(struct spec_user));
	front.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	front.spec.user_count = 1;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	const struct head heads[] = { handover(wrong), handover(CONNECT) };
	const char *const bytes[] = { wrong, CONNECT };
	for (size_t i = 0; i < 2; i++) {
		int client = give_client(&heads[i], bytes[i]);
		assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 407 ", 13), 0);
		close(client);
		rig_turn();
	}
	assert_int_equal(rig_stream_count(), 0);
	assert_true(is_linked(THERE));
}

static void a_target_that_the_rules_deny_is_returned(void **state)
{
	(void)state;
	front.spec.pool.rules = calloc(1, sizeof(struct spec_rule));
	front.spec.pool.rules[0].action = SPEC_RULE_REJECT;
	front.spec.pool.rule_count = 1;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	const struct head head = handover(CONNECT);
	int client = give_client(&head, CONNECT);
	struct head back;
	assert_true(take(&back));
	assert_int_equal(back.type, RETURN);
	assert_int_equal(rig_stream_count(), 0);
	close(client);
}

/* More clients than a turn takes: the rest waits in the socket; and what they cost is given back. */
static void a_flood_is_taken_in_turns(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	const struct head head = handover("GET");
	int clients[200];
	for (size_t i = 0; i < 200; i++)
		clients[i] = give_client(&head, "GET");
	assert_int_equal(there.connection_count, 200);
	assert_true(block_pool_in_use(rig.context.blocks) <= 200 * 4096);
	for (size_t i = 0; i < 200; i++)
		close(clients[i]);
	rig_turn();
	assert_null(there.connections);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
}

/* At the home. */

static int visit_there(void)
{
	int client = rig_pool_come();
	rig_write(client, CONNECT);
	return client;
}

static struct head returned(const struct head *handed, const char *bytes)
{
	return (struct head){ .pool = POOL,
		              .type = RETURN,
		              .error = HTTP_ERROR_CONNECTION_REFUSED,
		              .count = (uint32_t)strlen(bytes),
		              .place = handed->place,
		              .serial = handed->serial,
		              .protocol = COUNTERS_CONNECT };
}

static void a_return_of_nobody_is_dropped_or_breaks_the_link(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(HERE);
	int client = visit_there();
	struct head handed;
	assert_true(take(&handed));
	struct head bad = returned(&handed, CONNECT);
	bad.serial++;
	close(give_client(&bad, CONNECT)); /* another one's place: dropped */
	assert_true(is_linked(HERE));
	assert_int_equal(front.pool->visit_count, 1);
	bad = returned(&handed, CONNECT);
	bad.place = 1u << 30;
	close(give_client(&bad, CONNECT));
	assert_false(is_linked(HERE));
	assert_int_equal(front.pool->visit_count, 0); /* its clients are given up */
	close(client);
}

static void results_out_of_range_break_the_link(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	struct head handed;
	for (unsigned i = 0; i < 3; i++) {
		link_to(HERE);
		int client = visit_there();
		assert_true(take(&handed));
		struct head bad = returned(&handed, CONNECT);
		bad.protocol = i == 0 ? COUNTERS_PROTOCOLS : COUNTERS_CONNECT;
		bad.failure = i == 1 ? COUNTERS_FAILURES : COUNTERS_FAILED_RESET;
		bad.error = i == 2 ? HTTP_ERRORS : HTTP_ERROR_CONNECTION_REFUSED;
		close(give_client(&bad, CONNECT));
		assert_false(is_linked(HERE));
		close(client);
		close(hostile);
		rig_turn();
	}
	link_to(HERE);
}

/* Another socket under the client's place, and bytes that it never sent: it is a client as any, and the password is asked for again. */
static void another_client_is_judged_as_any(void **state)
{
	(void)state;
	front.spec.users = calloc(1, sizeof(struct spec_user));
	front.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	front.spec.user_count = 1;
	rig_pool_tell(THERE, THERE, 1);
	link_to(HERE);
	int client = rig_pool_come();
	rig_write(client, "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
	struct head handed;
	assert_true(take(&handed));
	const struct head back = returned(&handed, CONNECT);
	int other = give_client(&back, CONNECT);
	assert_int_equal(strncmp(rig_read(other), "HTTP/1.1 407 ", 13), 0);
	close(other);
	close(client);
	rig_turn();
	assert_int_equal(front.pool->visit_count, 0);
}

/* The other worker does not read: the clients wait, up to a bound, and are then refused; in the end the link is closed. */
static void a_worker_that_does_not_read_costs_little(void **state)
{
	enum { CLIENTS = 3000 };
	(void)state;
	static int clients[CLIENTS];
	size_t refused = 0;
	rig_pool_tell(THERE, THERE, 0);
	front.spec.limits.connections = 0;
	link_to(HERE);
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = rig_pool_come();
		rig_write(clients[i], CONNECT);
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		char byte;
		refused += recv(clients[i], &byte, 1, MSG_DONTWAIT) == 1;
	}
	assert_in_range(refused, 1, CLIENTS - 1024);
	assert_true(block_pool_in_use(rig.context.blocks) <= 1024 * 4096);
	rig_pass(11 * LOOP_SECOND);
	assert_false(is_linked(HERE));
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
	assert_null(front.pool->visits);
	for (size_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
	rig_turn();
}

/* A browser sends long heads: they go with the client, and come back with it. */
static void long_bytes_travel_whole(void **state)
{
	static char request[30000];
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	int length = snprintf(request, sizeof(request), "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: x\r\nX-Long: %020000d\r\n\r\n", 1);
	struct head head = handover(request), back;
	int client = give_client(&head, request);
	assert_int_equal(head.count, length);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 200 ", 13), 0);
	close(client);
	rig_stream_close(rig_stream(), NETSTACK_OK);
	assert_true(take(&back));
	head.pool = POOL + 1;
	client = give_client(&head, request);
	assert_true(take(&back));
	assert_int_equal(back.count, length);
	close(client);
}

/* Whose far end is of TCP, in either family. */
static void a_client_of_tcp_is_served(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	for (unsigned v6 = 0; v6 < 2; v6++) {
		union wireguard_endpoint at = { .any = { .sa_family = v6 != 0 ? AF_INET6 : AF_INET } };
		socklen_t size = sizeof(at);
		int listener = socket_of(at.any.sa_family, SOCK_STREAM), client = socket_of(at.any.sa_family, SOCK_STREAM);
		if (v6 != 0)
			at.v6.sin6_addr = in6addr_loopback;
		assert_int_equal(bind(listener, &at.any, endpoint_length(&at)), 0);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(getsockname(listener, &at.any, &size), 0);
		assert_int_equal(connect(client, &at.any, endpoint_length(&at)), 0);
		int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		close(listener);
		const struct head head = handover(CONNECT);
		give(&head, sizeof(head), CONNECT, strlen(CONNECT), &accepted, 1);
		assert_non_null(there.connections);
		rig_connected(rig_stream());
		assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 200 ", 13), 0);
		close(client);
		rig_stream_close(rig_stream(), NETSTACK_OK);
		rig_turn();
	}
	assert_true(is_linked(THERE));
}

/* A pool that has its home here is nobody else's to send clients of, and so is one whose home is a third worker. */
static void only_its_home_sends_a_pools_clients(void **state)
{
	struct pool_elsewhere message = { .pool = POOL, .home = 5 };
	struct head back;
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	link_to(HERE);
	struct head head = handover(CONNECT);
	head.member = 1 + HERE;
	close(give_client(&head, CONNECT));
	assert_true(take(&back));
	assert_int_equal(back.is_bounced, 1);
	assert_null(rig.tunnel.connections);
	close(hostile);
	rig_turn();
	assert_true(spec_copy(&message.spec, &front.spec));
	pools_take_elsewhere(workers[THERE], &message);
	rig_pool_tell_members(workers[THERE], THERE, THERE);
	link_to(THERE);
	head.member = 1 + THERE;
	close(give_client(&head, CONNECT));
	assert_true(take(&back));
	assert_int_equal(back.is_bounced, 1);
	assert_null(there.connections);
}

/* Of clients that have ended: places and results as there are, and not more than a message has. */
static void ends_out_of_range_break_the_link(void **state)
{
	struct client_end {
		uint32_t place, serial, succeeded, failed;
		uint16_t protocol, failure;
	} end;
	struct head handed, head = { .pool = POOL, .type = ENDED, .count = 1 };
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	for (unsigned i = 0; i < 5; i++) {
		link_to(HERE);
		int client = visit_there();
		assert_true(take(&handed));
		end = (struct client_end){ .place = handed.place, .serial = handed.serial, .failed = 1 };
		end.place = i == 0 ? 1u << 20 : handed.place;
		end.protocol = i == 1 ? COUNTERS_PROTOCOLS : COUNTERS_CONNECT;
		end.failure = i == 2 ? COUNTERS_FAILURES : COUNTERS_FAILED_RESET;
		end.serial += i == 3; /* of an earlier client: it says nothing of this one */
		give(&head, sizeof(head), &end, sizeof(end), NULL, 0);
		assert_int_equal(is_linked(HERE), i >= 3);
		assert_int_equal(front.pool->visit_count, i == 3);
		if (i >= 3)
			pools_link_ended(workers[HERE], pools_link(workers[HERE], THERE), false);
		close(client);
		close(hostile);
		rig_turn();
	}
	static struct client_end many[129];
	link_to(THERE);
	head.count = 129;
	give(&head, sizeof(head), many, sizeof(many), NULL, 0);
	expect_broken(THERE);
}

/* The victim has no descriptors left: the kernel cuts the client off, whose place is free again. */
static void a_client_that_cannot_be_received_is_told_as_failed(void **state)
{
	struct rlimit limit, none;
	struct head back, head = handover(CONNECT);
	int ends[2];
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	link_to(THERE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ .rlim_cur = 3, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	give(&head, sizeof(head), CONNECT, strlen(CONNECT), &ends[1], 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(is_linked(THERE));
	assert_null(there.connections);
	assert_true(take(&back));
	assert_int_equal(back.type, ENDED);
	close(ends[0]);
}

/* The reader comes back before its time is over: what waited is sent, in its order. */
static void what_waits_is_sent_when_the_other_reads(void **state)
{
	enum { CLIENTS = 400 };
	static int clients[CLIENTS];
	struct head handed;
	unsigned taken = 0;
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	front.spec.limits.connections = 0;
	link_to(HERE);
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = visit_there();
	rig_pass(5 * LOOP_SECOND);
	for (bool is_there = true; is_there; rig_turn())
		for (is_there = false; take(&handed); is_there = true, taken++)
			assert_int_equal(handed.type, HANDOVER);
	assert_int_equal(taken, CLIENTS);
	rig_pass(20 * LOOP_SECOND);
	assert_true(is_linked(HERE));
	for (size_t i = 0; i < CLIENTS; i++)
		close(clients[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(a_sound_handover_is_served),
		TEST(what_is_no_message_breaks_the_link),
		TEST(what_is_no_client_breaks_the_link),
		TEST(what_is_not_known_is_returned),
		TEST(a_wrong_password_is_refused),
		TEST(a_target_that_the_rules_deny_is_returned),
		TEST(a_flood_is_taken_in_turns),
		TEST(a_return_of_nobody_is_dropped_or_breaks_the_link),
		TEST(results_out_of_range_break_the_link),
		TEST(another_client_is_judged_as_any),
		TEST(a_worker_that_does_not_read_costs_little),
		TEST(long_bytes_travel_whole),
		TEST(a_client_of_tcp_is_served),
		TEST(only_its_home_sends_a_pools_clients),
		TEST(ends_out_of_range_break_the_link),
		TEST(a_client_that_cannot_be_received_is_told_as_failed),
		TEST(what_waits_is_sent_when_the_other_reads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
