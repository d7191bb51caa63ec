/* Clients of a pool with members in two workers. */
#include "tests/tunnel/rig_pool.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/descriptor_request.h"
#include "tunnel/proxy/listener.h"

#define CONNECT "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\n"
#define RIGHT "Proxy-Authorization: Basic dTpw\r\n\r\n"                             /* u:p */
#define SESSION_K CONNECT "Proxy-Authorization: Basic dS1zZXNzaW9uLWs6cA==\r\n\r\n" /* u-session-k:p */
#define GET "GET http://198.51.100.7/a HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n"
#define POST "POST http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\nContent-Length: 1\r\n\r\nx"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define CONNECTED "HTTP/1.1 200 "

static int start(void **state)
{
	rig_pool_start(state);
	rig_pool_link();
	return 0;
}

static void set_user(void)
{
	front.spec.users = calloc(1, sizeof(struct spec_user));
	front.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	front.spec.user_count = 1;
}

static void expect_start(int client, const char *start)
{
	const char *seen = rig_read(client);
	assert_int_equal(strncmp(seen, start, strlen(start)), 0);
}

static int come_with(const char *request)
{
	int client = rig_pool_come();
	rig_write(client, request);
	return client;
}

/* The client is in the member's tunnel, reaches its target and is served. */
static void expect_served(int client, const struct tunnel *member)
{
	assert_non_null(member->connections);
	assert_null(front.connections);
	rig_connected(rig_stream());
	expect_start(client, CONNECTED);
	rig_write(client, "ping");
	assert_string_equal(rig_stream_read(rig_stream()), "ping");
	rig_stream_write(rig_stream(), "pong");
	assert_string_equal(rig_read(client), "pong");
}

static void leave(int client)
{
	close(client);
	rig_turn();
	if (!rig_stream()->gone)
		rig_stream_close(rig_stream(), NETSTACK_OK);
	rig_turn();
}

static uint64_t results(const struct tunnel *tunnel, enum counters_protocol protocol)
{
	return counter_read(&tunnel->counters->connections_ok[protocol]);
}

static void a_member_of_this_worker_serves(void **state)
{
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	int client = come_with(CONNECT "\r\nearly");
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), "early");
	expect_start(client, CONNECTED);
	assert_int_equal(chooser_open(front.pool->parts.chooser, 1), 1);
	assert_int_equal(rig.tunnel.connections->pool, POOL);
	leave(client);
	assert_int_equal(chooser_open(front.pool->parts.chooser, 1), 0);
	assert_int_equal(results(&rig.tunnel, COUNTERS_CONNECT), 1);
	assert_int_equal(results(&front, COUNTERS_CONNECT), 1);
}

static void a_member_of_another_worker_serves(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(CONNECT "\r\n");
	assert_int_equal(chooser_open(front.pool->parts.chooser, 2), 1);
	expect_served(client, &there);
	leave(client);
	assert_int_equal(chooser_open(front.pool->parts.chooser, 2), 0);
	assert_int_equal(results(&there, COUNTERS_CONNECT), 1);
	assert_int_equal(results(&front, COUNTERS_CONNECT), 1);
	assert_int_equal(counter_read(&there.counters->bytes_sent), 4);
	assert_int_equal(counter_read(&front.counters->bytes_sent), 0);
}

/* The password is checked by both workers; its reply is given once. */
static void a_login_of_socks_travels_and_is_answered_once(void **state)
{
	(void)state;
	static const uint8_t greeting[] = { 5, 1, 2 }, password[] = { 1, 1, 'u', 1, 'p' }, request[] = { 5, 1, 0, 1, 198, 51, 100, 7, 1, 187 };
	set_user();
	rig_pool_tell(THERE, THERE, 0);
	int client = rig_pool_come();
	rig_write_bytes(client, greeting, sizeof(greeting));
	assert_memory_equal(rig_read(client), "\5\2", 2);
	rig_write_bytes(client, password, sizeof(password));
	assert_memory_equal(rig_read(client), "\1\0", 2);
	rig_write_bytes(client, request, sizeof(request));
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	assert_memory_equal(rig_read(client), "\5\0\0\1", 4);
	assert_int_equal(rig_read_length(), 10);
	rig_write(client, "x");
	assert_string_equal(rig_stream_read(rig_stream()), "x");
	leave(client);
}

/* SOCKS4 has no password: its user id is a user name of a pool without users. */
static void a_user_id_of_socks4_carries_parameters(void **state)
{
	(void)state;
	static const uint8_t request[] = "\4\1\1\273\306\63\144\7u-tunnel-there";
	rig_pool_tell(HERE, THERE, 0);
	int client = rig_pool_come();
	rig_write_bytes(client, request, sizeof(request));
	assert_null(rig.tunnel.connections);
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	assert_memory_equal(rig_read(client), "\0\132", 2);
	leave(client);
}

/* The failed member has given the client back, and the other one gets it. */
static void another_member_is_tried_when_the_first_fails(void **state)
{
	(void)state;
	set_user();
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(CONNECT RIGHT);
	assert_non_null(rig.tunnel.connections);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	assert_null(rig.tunnel.connections);
	expect_served(client, &there);
	leave(client);
}

static void a_client_comes_back_when_the_other_worker_fails_it(void **state)
{
	(void)state;
	set_user();
	rig_pool_tell(HERE, THERE, 1);
	rig.tunnel.spec.limits.connections = 1;
	int first = come_with(CONNECT RIGHT);
	rig_connected(rig_stream());
	int client = come_with(CONNECT RIGHT); /* here is full: it goes there */
	assert_non_null(there.connections);
	rig.tunnel.spec.limits.connections = 2;
	rig_refuse(rig_stream(), NETSTACK_TIMED_OUT);
	assert_null(there.connections);
	/* The first member was passed over for this request, and the second failed it: nothing is left. */
	expect_start(client, "HTTP/1.1 504 ");
	close(client);
	expect_start(first, CONNECTED);
	close(first);
	rig_turn();
}

static void without_retries_the_failure_is_told(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(CONNECT "\r\n");
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	expect_start(client, "HTTP/1.1 502 ");
	assert_true(rig_is_at_end(client));
	assert_null(front.pool->visits);
	close(client);
}

static void without_a_member_the_reason_is_told(void **state)
{
	(void)state;
	static const uint8_t socks[] = { 5, 1, 0, 5, 1, 0, 1, 198, 51, 100, 7, 1, 187 };
	rig_pool_tell(HERE, HERE, 1);
	rig_pool_tell_members(workers[HERE], THERE, HERE); /* none */
	int client = come_with(CONNECT "\r\n");
	const char *seen = rig_read(client);
	assert_int_equal(strncmp(seen, "HTTP/1.1 503 ", 13), 0);
	assert_non_null(strstr(seen, "error=destination_unavailable"));
	assert_non_null(strstr(seen, "no_member"));
	close(client);
	client = rig_pool_come();
	rig_write_bytes(client, socks, sizeof(socks));
	assert_memory_equal(rig_read(client), "\5\0\5\1", 4);
	close(client);
	client = come_with(GET);
	expect_start(client, "HTTP/1.1 503 ");
	close(client);
	rig_turn();
}

static void answer(const char *expected_start)
{
	assert_int_equal(strncmp(rig_stream_read(rig_stream()), expected_start, strlen(expected_start)), 0);
	rig_stream_write(rig_stream(), OK2);
}

/* Of the request GET. */
static void expect_answered(int client)
{
	answer("GET /a HTTP/1.1");
	expect_start(client, "HTTP/1.1 200 OK");
}

/* The member there has the request GET after the one here had it. */
static void expect_repeated_there(int client)
{
	assert_int_equal(rig_stream_count(), 2);
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	expect_answered(client);
	leave(client);
}

/* Requests in a row stay with the member; a member that takes no more sends the next one back to the home. */
static void a_kept_connection_goes_back_for_another_member(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(GET);
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	expect_answered(client);
	rig_write(client, GET);
	expect_answered(client);
	assert_int_equal(rig_stream_count(), 1);
	rig_pool_tell_members(workers[HERE], HERE, HERE);
	rig_pool_tell_members(workers[THERE], HERE, HERE);
	rig_write(client, GET);
	assert_null(there.connections);
	assert_non_null(rig.tunnel.connections);
	assert_int_equal(rig_stream_count(), 2);
	rig_connected(rig_stream());
	expect_answered(client);
	leave(client);
	assert_int_equal(results(&there, COUNTERS_HTTP), 2);
	assert_int_equal(results(&rig.tunnel, COUNTERS_HTTP), 1);
	assert_int_equal(results(&front, COUNTERS_HTTP), 3);
}

/* A request of which no byte was answered is sent through another member. */
static void a_request_is_repeated_by_another_member(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(GET);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_stream_read(rig_stream()), "GET /a", 6), 0);
	rig_stream_close(rig_stream(), NETSTACK_RESET);
	expect_repeated_there(client);
}

/* The peer is gone: the answer will not come soon. */
static void a_request_that_waits_leaves_a_member_that_goes_down(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(GET);
	rig_connected(rig_stream());
	rig.tunnel.health.state = TUNNEL_STALE;
	connection_tell_down(&rig.tunnel);
	rig_turn();
	expect_repeated_there(client);
}

/* Without a retry it is told at once. */
static void a_request_that_waits_is_refused_when_its_member_goes_down(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(GET);
	rig_connected(rig_stream());
	there.health.state = TUNNEL_STALE;
	connection_tell_down(&there);
	rig_turn();
	assert_int_equal(rig_stream_count(), 1);
	expect_start(client, "HTTP/1.1 503 ");
	leave(client);
}

/* What may have had an effect, and what is answered in part, wait for the peer to return. */
static void what_cannot_be_repeated_stays_with_a_member_that_goes_down(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(POST);
	rig_connected(rig_stream());
	connection_tell_down(&rig.tunnel);
	rig_turn();
	answer("POST / HTTP/1.1");
	expect_start(client, "HTTP/1.1 200 OK");
	rig_write(client, GET);
	rig_stream_read(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-");
	connection_tell_down(&rig.tunnel);
	rig_turn();
	rig_stream_write(rig_stream(), "Length: 2\r\n\r\nok");
	expect_start(client, "HTTP/1.1 200 OK");
	assert_int_equal(rig_stream_count(), 1);
	leave(client);
}

/* Each request of a kept connection has its own retries, and may go back to a member that failed an earlier one. */
static void each_request_has_its_retries(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(GET);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	expect_answered(client);
	for (unsigned i = 0; i < 2; i++) { /* by the member there, then by the one here */
		rig_write(client, GET);
		rig_stream_close(rig_stream(), NETSTACK_RESET);
		rig_refuse(rig_stream(), NETSTACK_REFUSED); /* the server has closed a kept connection; a new one fails, too */
		assert_ptr_equal(i == 0 ? there.connections : rig.tunnel.connections, NULL);
		rig_connected(rig_stream());
		expect_answered(client);
	}
	leave(client);
}

/* One that may have had an effect is not: its failure is told. */
static void a_post_is_not_repeated_after_it_was_sent(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(POST);
	rig_connected(rig_stream());
	rig_stream_close(rig_stream(), NETSTACK_RESET);
	assert_int_equal(rig_stream_count(), 1);
	expect_start(client, "HTTP/1.1 502 ");
	close(client);
	rig_turn();
}

static void a_post_is_repeated_when_its_dial_failed(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(POST);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	assert_int_equal(rig_stream_count(), 2);
	rig_connected(rig_stream());
	const char *sent = rig_stream_read(rig_stream());
	assert_string_equal(sent + strlen(sent) - 5, "\r\n\r\nx");
	rig_stream_write(rig_stream(), OK2);
	expect_start(client, "HTTP/1.1 200 OK");
	leave(client);
}

/* Both workers end what they have of it. */
static void the_end_of_a_pool_cuts_its_clients(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = rig_pool_come(), waiting = rig_pool_come();
	rig_write(client, CONNECT "\r\n");
	rig_connected(rig_stream());
	pool_end_home(&front);
	pools_take_end(workers[THERE], POOL);
	rig_turn();
	assert_null(there.connections);
	rig_read(client);
	assert_true(rig_is_at_end(client));
	close(client);
	close(waiting);
	rig_turn();
}

/* A dead worker's clients are gone, and their places and keys are free; clients of a dead home go on. */
static void a_link_that_ends_ends_what_is_behind_it(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(CONNECT "\r\n");
	rig_connected(rig_stream());
	pools_link_ended(workers[HERE], pools_link(workers[HERE], THERE), false);
	assert_null(front.pool->visits);
	assert_int_equal(chooser_open(front.pool->parts.chooser, 2), 0);
	rig_turn();
	assert_null(pools_link(workers[THERE], HERE));
	expect_start(client, CONNECTED);
	rig_write(client, "on");
	assert_string_equal(rig_stream_read(rig_stream()), "on");
	leave(client);
}

/* The home has died, and the pool comes to the worker of the member: what was handed over goes on, as of its own. */
static void a_new_home_keeps_what_it_has(void **state)
{
	(void)state;
	static struct tunnel next;
	rig_pool_tell(THERE, THERE, 0);
	int client = come_with(GET);
	rig_connected(rig_stream());
	pools_link_ended(workers[HERE], pools_link(workers[HERE], THERE), false);
	pool_end_home(&front);
	next = (struct tunnel){ .context = &rig.context, .slot = 6, .generation = 8, .counters = &rig.context.counters->tunnels[6] };
	assert_true(spec_copy(&next.spec, &front.spec));
	assert_true(pool_prepare(workers[THERE], &next, POOL, &next.spec));
	pool_commit(next.pool, &next);
	assert_int_equal(chooser_open(next.pool->parts.chooser, 1 + THERE), 1);
	expect_answered(client);
	assert_int_equal(results(&next, COUNTERS_HTTP), 1);
	rig_write(client, GET);
	expect_answered(client);
	rig_pool_tell_members(workers[THERE], HERE, HERE); /* which cannot be reached */
	rig_write(client, GET);
	expect_start(client, "HTTP/1.1 503 ");
	close(client);
	rig_turn();
	assert_null(there.connections);
	assert_null(next.connections);
	pool_end_home(&next);
	spec_clear(&next.spec);
}

static void end_link(unsigned side)
{
	pools_link_ended(workers[side], pools_link(workers[side], 1 - side), false);
	rig_turn();
	assert_null(pools_link(workers[HERE], THERE));
	assert_null(pools_link(workers[THERE], HERE));
	assert_null(front.pool->visits); /* what the home had there is given up */
}

/* Either end dies while the client is dialled for, is between two requests, or waits for an answer: it gets its answer, or is told why not. */
static void a_link_may_end_in_every_state(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 1);
	for (unsigned side = HERE; side < WORKERS; side++) {
		int client = come_with(CONNECT "\r\n");
		end_link(side);
		rig_refuse(rig_stream(), NETSTACK_REFUSED);
		expect_start(client, "HTTP/1.1 502 ");
		close(client);
		rig_pool_link();

		client = come_with(GET);
		end_link(side);
		rig_refuse(rig_stream(), NETSTACK_REFUSED);
		expect_start(client, "HTTP/1.1 502 ");
		close(client);
		rig_pool_link();

		client = come_with(GET);
		rig_connected(rig_stream());
		end_link(side);
		expect_answered(client);
		rig_write(client, CONNECT "\r\n"); /* that would be for the home */
		expect_start(client, "HTTP/1.1 503 ");
		close(client);
		rig_turn();
		assert_null(there.connections);
		rig_pool_link();
	}
}

/* The other worker is dead, and nobody has noticed yet. */
static void a_client_on_its_way_to_a_dead_worker_is_given_up(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 1);
	pools_link_ended(workers[THERE], pools_link(workers[THERE], HERE), false);
	int client = come_with(CONNECT "\r\n");
	rig_read(client);
	assert_true(rig_is_at_end(client));
	assert_null(front.pool->visits);
	close(client);
	rig_turn();
}

static struct spec_rule *add_rule(uint16_t port, enum spec_rule_action action)
{
	struct spec_pool *pool = &front.spec.pool;
	pool->rules = realloc(pool->rules, (pool->rule_count + 1) * sizeof(*pool->rules));
	struct spec_rule *rule = &pool->rules[pool->rule_count++];
	*rule = (struct spec_rule){ .action = action, .ports = calloc(1, sizeof(struct spec_ports)), .port_count = 1 };
	rule->ports[0] = (struct spec_ports){ .first = port, .last = port };
	return rule;
}

static void set_text(char ***list, size_t *count, const char *text)
{
	*list = calloc(1, sizeof(char *));
	**list = strdup(text);
	*count = 1;
}

static void add_members_rule(uint16_t port, const char *tunnel)
{
	struct spec_selection *members = &add_rule(port, SPEC_RULE_MEMBERS)->members;
	set_text(&members->tunnels, &members->tunnel_count, tunnel);
}

static void a_rule_rejects(void **state)
{
	(void)state;
	add_rule(443, SPEC_RULE_REJECT);
	rig_pool_tell(HERE, THERE, 1);
	int client = come_with(CONNECT "\r\n");
	expect_start(client, "HTTP/1.1 403 ");
	close(client);
	rig_turn();
}

/* The member of a client on its way was chosen by a rule that is no more. */
static void a_client_fails_after_its_rule_is_gone(void **state)
{
	(void)state;
	set_user();
	add_members_rule(443, "here");
	rig_pool_tell(HERE, HERE, 1);
	int client = come_with(SESSION_K);
	spec_rule_clear(&front.spec.pool.rules[0]);
	front.spec.pool.rule_count = 0;
	rig_pool_tell(HERE, HERE, 1);
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	expect_start(client, "HTTP/1.1 502 ");
	close(client);
	rig_turn();
}

/* Associations. */

/* One that has its relay, of the user with this name; the request names a port of 198.51.100.7. */
static int associate(const char *user, uint8_t request_port, int *relay)
{
	uint8_t login[64] = { 1, (uint8_t)strlen(user) }, request[] = { 5, 3, 0, 1, 198, 51, 100, 7, 0, request_port };
	int ends[2];
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig.from = rig_host("192.0.2.1", 4000);
	int client = rig_pool_come();
	rig_write_bytes(client, "\5\1\2", 3);
	memcpy(login + 2, user, strlen(user));
	memcpy(login + 2 + strlen(user), "\1p", 2);
	rig_write_bytes(client, login, 4 + strlen(user));
	rig_write_bytes(client, request, sizeof(request));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	*relay = ends[0];
	const struct tunnel *member = there.connections != NULL ? &there : &rig.tunnel;
	const struct message_ack ack = { .request = rig.context.next_want, .slot = member->slot, .generation = member->generation };
	descriptor_request_answer(&rig.context, &ack, ends[1]);
	rig_turn();
	assert_memory_equal(rig_read(client), "\5\2\1\0\5\0\0\1", 8);
	return client;
}

/* Whether a datagram to this port of 198.51.100.7 went out, and was counted if not. */
static bool passes(int relay, uint8_t port)
{
	const struct tunnel *member = there.connections != NULL ? &there : &rig.tunnel;
	const uint8_t datagram[] = { 0, 0, 0, 1, 198, 51, 100, 7, 0, port, 'x' };
	uint64_t dropped = counter_read(&member->counters->dropped[COUNTERS_DROP_REFUSED]);
	size_t sent = rig.flows->sent;
	rig_write_bytes(relay, datagram, sizeof(datagram));
	bool has_passed = rig.flows->sent > sent;
	assert_int_equal(counter_read(&member->counters->dropped[COUNTERS_DROP_REFUSED]) - dropped, has_passed ? 0 : 1);
	return has_passed;
}

static void dissociate(int client, int relay)
{
	close(client);
	close(relay);
	rig_turn();
	assert_null(rig.tunnel.connections);
	assert_null(there.connections);
}

/* A client could otherwise name a harmless target in its request, and send anywhere. */
static void each_datagram_of_an_association_is_judged(void **state)
{
	(void)state;
	set_user();
	add_rule(53, SPEC_RULE_REJECT);
	add_members_rule(54, "here");
	add_members_rule(55, "there");
	struct spec_rule *of_user = add_rule(56, SPEC_RULE_REJECT);
	set_text(&of_user->users, &of_user->user_count, "u");
	for (unsigned worker = HERE; worker < WORKERS; worker++) {
		int relay;
		rig_pool_tell(worker, worker, 0);
		int client = associate(worker == HERE ? "u" : "u-tunnel-there", 9, &relay);
		assert_true(passes(relay, 52));
		assert_false(passes(relay, 53));
		assert_int_equal(passes(relay, 54), worker == HERE);
		assert_int_equal(passes(relay, 55), worker == THERE);
		assert_false(passes(relay, 56));
		dissociate(client, relay);
	}
}

/* The address in the request is the client's own, or none, or a target among others (RFC 1928, 4). */
static void the_request_of_an_association_is_not_rejected(void **state)
{
	(void)state;
	set_user();
	add_members_rule(8, "here");
	add_rule(9, SPEC_RULE_REJECT);
	for (unsigned worker = HERE; worker < WORKERS; worker++) {
		int relay;
		rig_pool_tell(worker, worker, 0);
		int client = associate("u", 9, &relay);
		assert_int_equal(passes(relay, 8), worker == HERE);
		assert_false(passes(relay, 9));
		assert_true(passes(relay, 10));
		dissociate(client, relay);
	}
}

/* They count from the change on, wherever the association is. */
static void an_association_obeys_rules_that_change(void **state)
{
	(void)state;
	set_user();
	rig_pool_tell(HERE, THERE, 0);
	for (unsigned worker = HERE; worker < WORKERS; worker++) {
		int relay;
		int client = associate(worker == HERE ? "u" : "u-tunnel-there", 9, &relay);
		assert_true(passes(relay, (uint8_t)(60 + worker)));
		add_rule((uint16_t)(60 + worker), SPEC_RULE_REJECT);
		rig_pool_tell(HERE, THERE, 0);
		assert_false(passes(relay, (uint8_t)(60 + worker)));
		dissociate(client, relay);
	}
}

/* The members of a rule are for its targets only. */
static void a_member_by_a_rule_has_no_other_datagrams(void **state)
{
	(void)state;
	int relay;
	set_user();
	set_text(&front.spec.pool.members.tunnels, &front.spec.pool.members.tunnel_count, "there");
	add_members_rule(9, "here");
	rig_pool_tell(HERE, HERE, 0);
	int client = associate("u", 9, &relay);
	assert_true(passes(relay, 9));
	assert_false(passes(relay, 10));
	dissociate(client, relay);
}

/* A tunnel that leaves a pool keeps the connections that it has. */
static void an_association_outlives_its_membership(void **state)
{
	(void)state;
	set_user();
	add_rule(53, SPEC_RULE_REJECT);
	add_members_rule(54, "here");
	for (unsigned worker = HERE; worker < WORKERS; worker++) {
		int relay;
		rig_pool_tell(worker, worker, 0);
		int client = associate("u", 9, &relay);
		rig_pool_tell_members(workers[worker], THERE, HERE); /* none */
		assert_true(passes(relay, 9));
		assert_false(passes(relay, 53));
		assert_false(passes(relay, 54));
		dissociate(client, relay);
	}
}

/* NAME-session-KEY keeps its member, and has NAME's password. */
static void a_session_keeps_its_member(void **state)
{
	(void)state;
	set_user();
	rig_pool_tell(HERE, THERE, 1);
	rig.tunnel.spec.limits.connections = 1;
	int first = rig_pool_come(), second = rig_pool_come();
	rig_write(first, CONNECT RIGHT);
	rig_connected(rig_stream());
	rig_write(second, SESSION_K);
	assert_non_null(there.connections);
	assert_string_equal(there.connections->session, "k");
	rig_connected(rig_stream());
	close(first);
	rig_turn();
	rig.tunnel.spec.limits.connections = 0;
	int third = come_with(SESSION_K);
	assert_null(rig.tunnel.connections);
	assert_int_equal(there.connection_count, 2);
	/* While its member is healthy, another is not tried for it. */
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	expect_start(third, "HTTP/1.1 502 ");
	close(second);
	close(third);
	rig_turn();
}

static bool has_room(struct context *context)
{
	(void)context;
	return true;
}

/* A client of the pool by a user without a password, to a port of 198.51.100.7. */
static int come_as(const char *user, unsigned port)
{
	char login[300], encoded[500], request[700];
	int length = snprintf(login, sizeof(login), "%s:", user);
	sodium_bin2base64(encoded, sizeof(encoded), (const uint8_t *)login, (size_t)length, sodium_base64_VARIANT_ORIGINAL);
	snprintf(request, sizeof(request), "CONNECT 198.51.100.7:%u HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic %s\r\n\r\n", port, encoded);
	int client = come_with(request);
	rig_connected(rig_stream());
	expect_start(client, CONNECTED);
	return client;
}

/* The rule of port 443 leads there, other targets here. Whatever a user calls a session, it never has the key of a rule's. */
static void a_session_of_a_rule_has_a_key_of_its_own(void **state)
{
	(void)state;
	static const struct {
		const char *user, *key, *key_of_rule;
	} cases[] = {
		{ "u-session-k", "k", "k#1" },   { "u-session-k#1", "k#1#0", "k#1#1" }, { "u-session-k#1#0", "k#1#0#0", "k#1#0#1" },
		{ "u-session-#", "##0", "##1" }, { "u-session-#1", "#1#0", "#1#1" },
	};
	add_members_rule(443, "there");
	rig_pool_tell(HERE, THERE, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int by_rule = come_as(cases[i].user, 443), other = come_as(cases[i].user, 80);
		assert_string_equal(there.connections->session, cases[i].key_of_rule);
		assert_string_equal(rig.tunnel.connections->session, cases[i].key);
		close(by_rule);
		close(other);
		rig_turn();
	}
}

/* The longest user names that differ have keys that differ, by a rule, too. */
static void a_long_key_is_not_cut(void **state)
{
	(void)state;
	char user[255];
	memset(user, 'u', sizeof(user) - 1);
	user[sizeof(user) - 1] = '\0';
	front.spec.pool.sticky_by = SPEC_STICKY_USER;
	add_members_rule(443, "there");
	rig_pool_tell(HERE, THERE, 0);
	int client = come_as(user, 443);
	assert_int_equal(strlen(there.connections->session), strlen(user) + 2);
	assert_int_equal(strncmp(there.connections->session, user, strlen(user)), 0);
	assert_string_equal(there.connections->session + strlen(user), "#1");
	close(client);
	rig_turn();
}

/* The report of a connection that has ended has its session, which ends with it. */
static void a_session_lasts_until_the_connection_was_reported(void **state)
{
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	access_report_start(&rig.context, has_room);
	int client = come_with(SESSION_K);
	rig_connected(rig_stream());
	assert_int_equal(rig.tunnel.connections->pool, POOL);
	assert_string_equal(rig.tunnel.connections->session, "k");
	leave(client);
	rig_pass(LOOP_SECOND);
	assert_non_null(rig_sent(MESSAGE_ENDED));
	access_report_clear(&rig.context.access_report);
}

static void sessions_are_told_to_the_control_process(void **state)
{
	(void)state;
	front.spec.pool.sticky_by = SPEC_STICKY_CLIENT;
	rig_pool_tell(HERE, HERE, 0);
	int client = come_with(CONNECT "\r\n");
	rig_connected(rig_stream());
	rig_pass(2 * LOOP_SECOND);
	const struct rig_message *message = rig_sent(MESSAGE_POOL_SESSIONS);
	assert_non_null(message);
	static struct pool_sessions sessions;
	struct message_reader reader = { .bytes = message->bytes, .left = message->length };
	assert_true(pool_sessions_decode(&reader, &sessions));
	assert_int_equal(sessions.count, 1);
	assert_string_equal(sessions.list[0].key, "192.0.2.1");
	assert_string_equal(sessions.list[0].tunnel, "here");
	static struct pool_open open;
	message = rig_sent(MESSAGE_POOL_OPEN);
	assert_non_null(message);
	reader = (struct message_reader){ .bytes = message->bytes, .left = message->length };
	assert_true(pool_open_decode(&reader, &open));
	assert_int_equal(open.list[0].open, 1);
	leave(client);
}

/* What the home before told would stay for ever. */
static void a_home_tells_members_without_connections(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 0);
	rig_pass(2 * LOOP_SECOND);
	static struct pool_open open;
	const struct rig_message *message = rig_sent(MESSAGE_POOL_OPEN);
	assert_non_null(message);
	struct message_reader reader = { .bytes = message->bytes, .left = message->length };
	assert_true(pool_open_decode(&reader, &open));
	assert_int_equal(open.count, 2);
	assert_int_equal(open.list[0].open + open.list[1].open, 0);
}

/* Tells the member's own worker what has changed of it. */
static void tell_member(unsigned worker, struct pool_member member)
{
	struct pool_members message = { .pool = POOL, .list = calloc(1, sizeof(member)), .count = 1 };
	member.number = 1 + worker;
	member.worker = worker;
	member.generation = 7;
	member.weight = 1;
	message.list[0] = member;
	pools_take_members(workers[worker], &message, false);
}

/* A client cannot make a stale member try again, because none is sent there. */
static void stale_members_are_tried_again(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 0);
	rig_pass(20 * LOOP_SECOND);
	assert_int_equal(rig.wanted, 0);
	tell_member(THERE, (struct pool_member){ .slot = 4, .id = "there" });
	there.health.state = TUNNEL_STALE;
	rig_pass(6 * LOOP_SECOND);
	assert_in_range(rig.wanted, 1, 2);
}

static void tell_here(bool up, bool is_starting)
{
	tell_member(HERE, (struct pool_member){ .slot = 3, .up = up, .is_starting = is_starting, .id = "here" });
}

/* A client whose key has the member of this worker, which is starting, while the other one is up. */
static int come_while_its_member_starts(void)
{
	front.spec.pool.sticky_ttl = 600;
	rig_pool_tell(HERE, THERE, 0);
	int before = come_with(SESSION_K);
	assert_non_null(rig.tunnel.connections);
	rig_connected(rig_stream());
	leave(before);
	tell_here(false, true);
	int client = come_with(SESSION_K);
	rig_pass(LOOP_SECOND);
	assert_null(rig.tunnel.connections);
	assert_null(there.connections);
	return client;
}

/* After a restart the home hears that a member is up a little later than it accepts clients. */
static void a_key_waits_for_its_member_that_starts(void **state)
{
	(void)state;
	int client = come_while_its_member_starts();
	tell_here(true, false);
	rig_pass(100 * LOOP_MILLISECOND);
	expect_served(client, &rig.tunnel);
	leave(client);
}

static void a_key_moves_when_its_member_is_known_to_be_down(void **state)
{
	(void)state;
	int client = come_while_its_member_starts();
	tell_here(false, false);
	rig_pass(100 * LOOP_MILLISECOND);
	expect_served(client, &there);
	leave(client);
}

/* P6 */
static void a_key_does_not_wait_for_ever(void **state)
{
	(void)state;
	int client = come_while_its_member_starts();
	rig_pass(POOL_PATIENCE);
	expect_served(client, &there);
	leave(client);
}

static void one_without_a_key_does_not_wait(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 0);
	tell_here(false, true);
	int client = come_with(CONNECT "\r\n");
	expect_served(client, &there);
	leave(client);
}

#define NAMES_THERE CONNECT "Proxy-Authorization: Basic dS10dW5uZWwtdGhlcmU6\r\n\r\n" /* u-tunnel-there: */

/* The home knows the members, and the other worker nothing of the pool: it has rules without end to read. */
static int come_early(const char *request)
{
	rig_pool_tell(HERE, THERE, 1);
	pools_take_end(workers[THERE], POOL);
	return come_with(request);
}

static void one_that_names_a_member_waits_until_its_worker_knows_it(void **state)
{
	(void)state;
	int client = come_early(NAMES_THERE);
	rig_pass(LOOP_SECOND);
	assert_string_equal(rig_read(client), "");
	rig_pool_tell(HERE, THERE, 1);
	rig_pass(100 * LOOP_MILLISECOND);
	expect_served(client, &there);
	leave(client);
}

#define NAMES_HERE CONNECT "Proxy-Authorization: Basic dS10dW5uZWwtaGVyZTo=\r\n\r\n" /* u-tunnel-here: */

/* It moves to another worker, or comes from one, and the home hears of that a little later. */
static void one_that_names_a_member_waits_while_it_moves(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 1);
	rig.tunnel.generation = 0;
	int client = come_with(NAMES_HERE), other = come_with(CONNECT "\r\n");
	rig_pass(LOOP_SECOND);
	assert_string_equal(rig_read(client), "");
	/* Who does not name it is served by the other one. */
	assert_non_null(there.connections);
	rig_connected(rig_stream());
	expect_start(other, CONNECTED);
	leave(other);
	rig.tunnel.generation = 7;
	rig_pass(100 * LOOP_MILLISECOND);
	expect_served(client, &rig.tunnel);
	leave(client);
}

/* P6 */
static void a_worker_that_never_knows_a_member_is_not_waited_for_without_end(void **state)
{
	(void)state;
	int client = come_early(NAMES_THERE);
	rig_pass(POOL_PATIENCE);
	expect_start(client, "HTTP/1.1 503 ");
	close(client);
	rig_turn();
}

/* What has failed is not tried again while the other one is waited for. */
static void a_member_that_failed_is_not_tried_again(void **state)
{
	(void)state;
	int client = come_early(CONNECT "\r\n");
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig_stream_count(), 1);
	assert_string_equal(rig_read(client), "");
	rig_pool_tell(HERE, THERE, 1);
	rig_pass(100 * LOOP_MILLISECOND);
	expect_served(client, &there);
	leave(client);
}

/* The rest of the rig's end checks it. */
static void a_pool_may_end_while_a_client_waits(void **state)
{
	(void)state;
	int client = come_while_its_member_starts();
	pool_end_home(&front);
	close(client);
}

/* A client's name for a session that is no UTF-8 is one all the same (Latin-1), and the key is text. */
static void a_user_that_is_no_utf8_has_a_key(void **state)
{
	(void)state;
	front.spec.pool.sticky_by = SPEC_STICKY_USER;
	rig_pool_tell(HERE, THERE, 0);
	int client = come_as("caf\xe9", 80);
	assert_string_equal(rig.tunnel.connections->session, "caf\xc3\xa9");
	close(client);
	rig_turn();
}

/* Whoever asks for a target comes through the same member. */
static void a_session_may_be_the_targets(void **state)
{
	(void)state;
	front.spec.pool.sticky_by = SPEC_STICKY_TARGET;
	rig_pool_tell(HERE, THERE, 0);
	int client = come_with(CONNECT "\r\n");
	rig_connected(rig_stream());
	assert_string_equal(rig.tunnel.connections->session, "198.51.100.7");
	leave(client);
}

/* One whose clients have no address, as those of a unix socket, has no key by the client. */
static void a_client_without_an_address_has_no_key(void **state)
{
	(void)state;
	front.spec.pool.sticky_by = SPEC_STICKY_CLIENT;
	rig_pool_tell(HERE, THERE, 0);
	int client = rig_pool_come();
	front.connections->client.family = 0;
	rig_write(client, CONNECT "\r\n");
	rig_connected(rig_stream());
	assert_null(rig.tunnel.connections->session);
	leave(client);
}

/* Its clients end, those in the other worker, too, and nobody's key is wanted again. */
static void a_pool_that_is_disabled_has_no_clients(void **state)
{
	(void)state;
	rig_pool_tell(HERE, THERE, 0);
	rig.tunnel.spec.limits.connections = 1;
	int here = come_with(CONNECT "\r\n"), elsewhere = come_with(CONNECT "\r\n");
	assert_non_null(rig.tunnel.connections);
	assert_non_null(there.connections);
	front.spec.enabled = false;
	rig_pool_tell(HERE, THERE, 0);
	rig_turn();
	assert_null(front.pool->visits);
	assert_null(rig.tunnel.connections);
	assert_null(there.connections);
	there.health.state = TUNNEL_STALE;
	rig_pass(20 * LOOP_SECOND);
	assert_int_equal(rig.wanted, 0);
	close(here);
	close(elsewhere);
}

/* The control process is wrong, or an earlier message is late: the home stays. */
static void a_pool_has_one_home(void **state)
{
	(void)state;
	struct pool_elsewhere message = { .pool = POOL, .home = THERE };
	rig_pool_tell(HERE, HERE, 0);
	assert_true(spec_copy(&message.spec, &front.spec));
	pools_take_elsewhere(workers[HERE], &message);
	pools_take_end(workers[HERE], POOL);
	pools_take_end(workers[HERE], POOL + 1);
	assert_ptr_equal(pools_find(workers[HERE], POOL), front.pool);
	int client = come_with(CONNECT "\r\n");
	expect_served(client, &rig.tunnel);
	leave(client);
}

static void load(uint64_t pool, const char *key, const char *tunnel, uint64_t expires_at, bool is_last)
{
	static struct pool_sessions message;
	message = (struct pool_sessions){ .pool = pool, .is_last = is_last, .count = 1 };
	strcpy(message.list[0].key, key);
	strcpy(message.list[0].tunnel, tunnel);
	message.list[0].expires_at = expires_at;
	pools_take_sessions(workers[HERE], &message);
}

/* They were stored: one of a tunnel that is no member any more, or that has expired, is none. */
static void stored_sessions_have_their_members(void **state)
{
	static const uint64_t far_future = 4000000000;
	(void)state;
	front.spec.pool.sticky_ttl = 600;
	load(POOL, "early", "there", far_future, false); /* nobody knows the pool */
	rig_pool_tell(HERE, THERE, 0);
	load(POOL + 1, "k", "there", far_future, true);
	load(POOL, "k", "there", far_future, false);
	load(POOL, "gone", "no-member", far_future, true);
	load(POOL, "past", "there", 1, true);
	assert_int_equal(sticky_find(front.pool->sticky, "k", 1, rig.now), 1 + THERE);
	assert_int_equal(sticky_find(front.pool->sticky, "gone", 4, rig.now), 0);
	rig_pass(LOOP_SECOND);
	assert_int_equal(sticky_find(front.pool->sticky, "past", 4, rig.now), 0);
	int client = come_with(SESSION_K);
	assert_non_null(there.connections);
	leave(client);
	/* The operator's words: one, all, and how many connections there are. */
	static struct pool_forget forget = { .key = "k" };
	static struct pool_count count = { .count = 2, .keys = { "k", "none" } };
	struct pool_counted counted;
	client = come_with(SESSION_K);
	pool_count_sessions(front.pool, &count, &counted);
	assert_int_equal(counted.count, 2);
	assert_int_equal(counted.open[0], 1);
	assert_int_equal(counted.open[1], 0);
	leave(client);
	assert_int_equal(pool_forget_sessions(front.pool, &forget), 1);
	assert_int_equal(pool_forget_sessions(front.pool, &forget), 0);
	assert_int_equal(sticky_find(front.pool->sticky, "k", 1, rig.now), 0);
	load(POOL, "k", "there", far_future, true);
	forget.all = true;
	assert_in_range(pool_forget_sessions(front.pool, &forget), 1, 3);
}

/* A home that hands its pool over tells all sessions, however many messages that takes. */
static void a_home_tells_every_session_before_it_goes(void **state)
{
	enum { SESSIONS = 3 * POOL_SESSIONS_PIECE + 1 };
	char key[32];
	(void)state;
	front.spec.pool.sticky_ttl = 600;
	rig_pool_tell(HERE, THERE, 0);
	rig_pass(2 * LOOP_SECOND);
	rig.sent_count = 0;
	for (unsigned i = 0; i < SESSIONS; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		struct sticky_entry *held = sticky_hold(front.pool->sticky, key, strlen(key), i, 1 + THERE, rig.now);
		assert_non_null(held);
		sticky_release(front.pool->sticky, held, rig.now);
	}
	pool_hand_over(&front);
	size_t told = 0;
	static struct pool_sessions sessions;
	for (size_t i = 0; i < rig.sent_count; i++) {
		struct message_reader reader = { .bytes = rig.sent[i].bytes, .left = rig.sent[i].length };
		if (rig.sent[i].type == MESSAGE_POOL_SESSIONS && pool_sessions_decode(&reader, &sessions))
			told += sessions.count;
	}
	assert_int_equal(told, SESSIONS);
	pool_hand_over(&rig.tunnel); /* no pool */
}

/* A tunnel in the member's slot that is another one, or an earlier one. */
static void a_member_is_the_tunnel_of_its_name_and_generation(void **state)
{
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	const struct pool_member *member = chooser_find(front.pool->parts.chooser, 1 + HERE);
	assert_ptr_equal(pools_member_tunnel(workers[HERE], member), &rig.tunnel);
	rig.tunnel.generation = 6;
	assert_null(pools_member_tunnel(workers[HERE], member));
	rig.tunnel.generation = 8;
	assert_ptr_equal(pools_member_tunnel(workers[HERE], member), &rig.tunnel);
	strcpy(rig.tunnel.id, "other");
	assert_null(pools_member_tunnel(workers[HERE], member));
	rig.tunnel.pool = front.pool;
	strcpy(rig.tunnel.id, "here");
	assert_null(pools_member_tunnel(workers[HERE], member));
	rig.tunnel.pool = NULL;
	assert_null(pools_member_tunnel(workers[HERE], NULL));
	assert_null(pools_member_tunnel(workers[THERE], member));
}

/* Of thousands each is told its open connections, in pieces. */
static void open_connections_of_many_members_are_told_in_pieces(void **state)
{
	enum { MEMBERS = 2 * POOL_OPEN_PIECE };
	static struct pool_open open;
	size_t told = 0;
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	struct pool_members message = { .pool = POOL, .is_first = true, .is_last = true, .list = calloc(MEMBERS, sizeof(struct pool_member)) };
	for (unsigned i = 0; i < MEMBERS; i++) {
		struct pool_member *member = &message.list[message.count++];
		*member = (struct pool_member){ .number = 1 + i, .worker = HERE, .slot = 3, .generation = 7, .weight = 1, .order = i, .up = true };
		snprintf(member->id, sizeof(member->id), "m%u", i);
	}
	pools_take_members(workers[HERE], &message, true);
	rig.sent_count = 0;
	rig_pass(LOOP_SECOND);
	for (size_t i = 0; i < rig.sent_count; i++) {
		struct message_reader reader = { .bytes = rig.sent[i].bytes, .left = rig.sent[i].length };
		if (rig.sent[i].type == MESSAGE_POOL_OPEN && pool_open_decode(&reader, &open))
			told += open.count;
	}
	assert_int_equal(told, MEMBERS);
}

/* Of the pool itself: who is too many is told at once. */
static void a_pool_takes_as_many_as_its_limit(void **state)
{
	(void)state;
	front.spec.limits.connections = 1;
	rig_pool_tell(HERE, THERE, 0);
	int first = come_with(CONNECT "\r\n");
	rig_connected(rig_stream());
	int second = come_with(CONNECT "\r\n");
	expect_start(second, "HTTP/1.1 503 ");
	close(second);
	expect_start(first, CONNECTED);
	leave(first);
}

/* Its worker knows better than the home: the client comes back and goes elsewhere, or is told why not. */
static void a_member_that_is_full_gives_its_client_back(void **state)
{
	(void)state;
	rig_pool_tell(THERE, THERE, 0);
	there.spec.limits.connections = 1;
	int first = come_with(CONNECT "\r\n");
	rig_connected(rig_stream());
	int second = come_with(CONNECT "\r\n");
	expect_start(second, "HTTP/1.1 503 ");
	close(second);
	rig_pool_tell(HERE, THERE, 1);
	rig.tunnel.spec.limits.connections = 1;
	int third = come_with(CONNECT "\r\n");
	assert_non_null(rig.tunnel.connections);
	int fourth = come_with(CONNECT "\r\n");
	expect_start(fourth, "HTTP/1.1 503 ");
	assert_int_equal(there.connection_count, 1);
	close(fourth);
	expect_start(first, CONNECTED);
	close(first);
	leave(third);
}

/* A member that went down before its home knows: it is wanted, and the client is not kept. */
static void a_member_that_is_down_is_wanted(void **state)
{
	(void)state;
	rig_pool_tell(HERE, HERE, 0);
	rig.down = true;
	int client = come_with(CONNECT "\r\n");
	rig_pass(POOL_PATIENCE + LOOP_SECOND);
	expect_start(client, "HTTP/1.1 503 ");
	assert_true(rig.wanted > 0);
	assert_int_equal(rig_stream_count(), 0);
	close(client);
	rig_turn();
}

/* After a worker's death the pool is there before its members and sessions are: clients wait in the queue and are not refused. */
static void nothing_is_accepted_before_members_and_sessions_are_known(void **state)
{
	(void)state;
	const struct message_socket socket_of_pool = { .id = 9, .kind = MESSAGE_SOCKET_PROXY };
	front.spec.kind = SPEC_POOL;
	assert_true(pool_prepare(workers[HERE], &front, POOL, &front.spec));
	pool_commit(front.pool, &front);
	struct listener *listener = listener_create(&front, &socket_of_pool, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	listener_start(listener);
	assert_int_equal(poller_events(listener->poller), 0);
	rig_pool_tell_members(workers[HERE], THERE, HERE); /* none, which is known now */
	assert_int_equal(poller_events(listener->poller), 0);
	pools_take_sessions(workers[HERE], &(struct pool_sessions){ .pool = POOL, .is_last = true });
	assert_int_equal(poller_events(listener->poller), LOOP_READABLE);
	listener_free(listener);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, rig_pool_stop)
	const struct CMUnitTest tests[] = {
		TEST(a_member_of_this_worker_serves),
		TEST(a_member_of_another_worker_serves),
		TEST(a_login_of_socks_travels_and_is_answered_once),
		TEST(a_user_id_of_socks4_carries_parameters),
		TEST(another_member_is_tried_when_the_first_fails),
		TEST(a_client_comes_back_when_the_other_worker_fails_it),
		TEST(without_retries_the_failure_is_told),
		TEST(without_a_member_the_reason_is_told),
		TEST(a_kept_connection_goes_back_for_another_member),
		TEST(a_request_is_repeated_by_another_member),
		TEST(a_request_that_waits_leaves_a_member_that_goes_down),
		TEST(a_request_that_waits_is_refused_when_its_member_goes_down),
		TEST(what_cannot_be_repeated_stays_with_a_member_that_goes_down),
		TEST(each_request_has_its_retries),
		TEST(a_post_is_not_repeated_after_it_was_sent),
		TEST(a_post_is_repeated_when_its_dial_failed),
		TEST(the_end_of_a_pool_cuts_its_clients),
		TEST(a_link_that_ends_ends_what_is_behind_it),
		TEST(a_new_home_keeps_what_it_has),
		TEST(a_link_may_end_in_every_state),
		TEST(a_client_on_its_way_to_a_dead_worker_is_given_up),
		TEST(a_rule_rejects),
		TEST(a_client_fails_after_its_rule_is_gone),
		TEST(each_datagram_of_an_association_is_judged),
		TEST(the_request_of_an_association_is_not_rejected),
		TEST(an_association_obeys_rules_that_change),
		TEST(a_member_by_a_rule_has_no_other_datagrams),
		TEST(an_association_outlives_its_membership),
		TEST(a_session_keeps_its_member),
		TEST(a_session_of_a_rule_has_a_key_of_its_own),
		TEST(a_long_key_is_not_cut),
		TEST(a_session_lasts_until_the_connection_was_reported),
		TEST(sessions_are_told_to_the_control_process),
		TEST(a_home_tells_members_without_connections),
		TEST(stale_members_are_tried_again),
		TEST(a_key_waits_for_its_member_that_starts),
		TEST(a_key_moves_when_its_member_is_known_to_be_down),
		TEST(a_key_does_not_wait_for_ever),
		TEST(one_without_a_key_does_not_wait),
		TEST(one_that_names_a_member_waits_until_its_worker_knows_it),
		TEST(one_that_names_a_member_waits_while_it_moves),
		TEST(a_worker_that_never_knows_a_member_is_not_waited_for_without_end),
		TEST(a_member_that_failed_is_not_tried_again),
		TEST(a_pool_may_end_while_a_client_waits),
		TEST(a_pool_takes_as_many_as_its_limit),
		TEST(a_member_that_is_full_gives_its_client_back),
		TEST(a_member_that_is_down_is_wanted),
		TEST(a_user_that_is_no_utf8_has_a_key),
		TEST(a_session_may_be_the_targets),
		TEST(a_client_without_an_address_has_no_key),
		TEST(a_pool_that_is_disabled_has_no_clients),
		TEST(a_pool_has_one_home),
		TEST(stored_sessions_have_their_members),
		TEST(a_home_tells_every_session_before_it_goes),
		TEST(a_member_is_the_tunnel_of_its_name_and_generation),
		TEST(open_connections_of_many_members_are_told_in_pieces),
		TEST(nothing_is_accepted_before_members_and_sessions_are_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
