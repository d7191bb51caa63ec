/* Out of memory (F1) on a pool's way: each allocation fails in turn while clients come and go. Whoever cannot be served is refused or cut, nothing is
 * left of anybody (the rig's end checks it), and with memory again the next client is served. */
#include "tests/failing_heap.h"
#include "tests/tunnel/rig_pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tunnel/descriptor_request.h"

#define LOGIN "Proxy-Authorization: Basic dS1zZXNzaW9uLWs6cA==\r\n\r\n" /* u-session-k:p */
#define CONNECT "CONNECT 198.51.100.7:443 HTTP/1.1\r\nHost: 198.51.100.7:443\r\n" LOGIN
#define GET "GET http://198.51.100.7/a HTTP/1.1\r\nHost: 198.51.100.7\r\n" LOGIN
#define POST "POST http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\nContent-Length: 4\r\n" LOGIN "body"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
#define MOST 3000

static void set_up(unsigned retries)
{
	rig_pool_start(NULL);
	rig_pool_link();
	rig.has_little_memory = true;
	front.spec.users = calloc(1, sizeof(struct spec_user));
	front.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	front.spec.user_count = 1;
	front.spec.pool.sticky_ttl = 600;
	rig_pool_tell(HERE, THERE, retries);
}

/* The client may have been cut. */
static void say(int client, const void *text, size_t length)
{
	(void)!send(client, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	rig_turn();
}

static struct netstack_stream *open_stream(void)
{
	return rig_stream_count() > 0 && !rig_stream()->gone ? rig_stream() : NULL;
}

/* The far end answers, unless nobody came. */
static void answer(const char *reply)
{
	struct netstack_stream *stream = open_stream();
	if (stream == NULL)
		return;
	if (!stream->connected)
		rig_connected(stream);
	if (!stream->gone)
		rig_stream_read(stream);
	if (!stream->gone)
		rig_stream_write(stream, reply);
}

static void refuse(void)
{
	if (open_stream() != NULL && !open_stream()->connected)
		rig_refuse(open_stream(), NETSTACK_REFUSED);
}

static void leave(int client)
{
	rig_read(client);
	close(client);
	rig_turn();
	while (open_stream() != NULL)
		rig_stream_close(open_stream(), NETSTACK_OK);
	rig_pass(2 * LOOP_SECOND);
}

/* A tunnel through the first member that does not refuse. */
static void talk(bool is_refused)
{
	int client = rig_pool_come();
	say(client, CONNECT, strlen(CONNECT));
	if (is_refused)
		refuse();
	answer("pong");
	say(client, "ping", 4);
	answer("pong");
	leave(client);
}

static void talk_here(void)
{
	talk(false);
}

static void talk_there(void)
{
	talk(true);
}

/* A kept connection, whose member leaves the pool between two requests. */
static void ask(void)
{
	int client = rig_pool_come();
	say(client, GET, strlen(GET));
	refuse();
	answer(OK2);
	say(client, POST, strlen(POST));
	answer(OK2);
	there.generation = 0;
	say(client, GET, strlen(GET));
	answer(OK2);
	there.generation = 7;
	leave(client);
}

/* Of the second member. */
static void associate(void)
{
	static const char login[] = "\1\16u-tunnel-there\1p";
	static const uint8_t request[] = { 5, 3, 0, 1, 198, 51, 100, 7, 0, 9 };
	static const uint8_t datagram[] = { 0, 0, 0, 1, 198, 51, 100, 7, 0, 9, 'x' };
	int ends[2];
	rig.local = rig_host("192.168.1.1", 1080);
	rig.peer = rig.from = rig_host("192.0.2.1", 4000);
	int client = rig_pool_come();
	say(client, "\5\1\2", 3);
	say(client, login, sizeof(login) - 1);
	say(client, request, sizeof(request));
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	const struct message_ack ack = { .request = rig.context.next_want, .slot = there.slot, .generation = there.generation };
	descriptor_request_answer(&rig.context, &ack, ends[1]);
	rig_turn();
	say(ends[0], datagram, sizeof(datagram));
	close(ends[0]);
	leave(client);
}

static void serve_one(void)
{
	int client = rig_pool_come();
	size_t before = rig_stream_count();
	say(client, CONNECT, strlen(CONNECT));
	assert_int_equal(rig_stream_count(), before + 1);
	rig_connected(rig_stream());
	assert_int_equal(strncmp(rig_read(client), "HTTP/1.1 200 ", 13), 0);
	leave(client);
}

static void expect_nobody(void)
{
	assert_null(front.pool->visits);
	assert_int_equal(front.pool->visit_count, 0);
	assert_null(front.connections);
	assert_null(rig.tunnel.connections);
	assert_null(there.connections);
	for (uint32_t member = 1; member <= WORKERS; member++)
		assert_int_equal(chooser_open(front.pool->parts.chooser, member), 0);
}

static void fail_each(void (*story)(void))
{
	unsigned failed = 0;
	for (unsigned allowed = 0;; allowed++) {
		assert_true(allowed < MOST);
		set_up(1);
		heap_fails_once_after(allowed);
		story();
		heap_works();
		unsigned refused = heap_refused();
		expect_nobody();
		serve_one();
		expect_nobody();
		rig_pool_stop(NULL);
		failed += refused;
		if (refused == 0)
			break;
	}
	assert_true(failed >= 5);
}

static void a_client_of_a_member_here(void **state)
{
	(void)state;
	fail_each(talk_here);
}

static void a_client_of_a_member_there(void **state)
{
	(void)state;
	fail_each(talk_there);
}

static void requests_through_several_members(void **state)
{
	(void)state;
	fail_each(ask);
}

static void an_association_there(void **state)
{
	(void)state;
	fail_each(associate);
}

/* A change of the pool is whole or has no effect: what runs goes on, and a later one is taken. */
static void a_change_of_a_pool_that_there_is_no_memory_for(void **state)
{
	(void)state;
	set_up(1);
	for (unsigned allowed = 0;; allowed++) {
		assert_true(allowed < MOST);
		heap_fails_once_after(allowed);
		bool is_prepared = pool_prepare(workers[HERE], &front, POOL, &front.spec);
		heap_works();
		assert_int_equal(is_prepared, heap_refused() == 0);
		serve_one();
		if (is_prepared)
			break;
	}
	pool_abort(front.pool);
	serve_one();
	rig_pool_stop(NULL);
}

/* Nor is one of a pool whose home is elsewhere: the one before stays, with its members. */
static void a_pool_elsewhere_that_there_is_no_memory_for(void **state)
{
	(void)state;
	set_up(1);
	for (unsigned allowed = 0, refused = 1; refused > 0; allowed++) {
		struct pool_elsewhere message = { .pool = POOL, .home = HERE };
		assert_true(allowed < MOST);
		assert_true(spec_copy(&message.spec, &front.spec));
		heap_fails_once_after(allowed);
		pools_take_elsewhere(workers[THERE], &message);
		heap_works();
		refused = heap_refused();
		assert_non_null(chooser_find(pools_find(workers[THERE], POOL)->parts.chooser, 1 + THERE));
	}
	/* And a new one is there or is not. */
	for (unsigned allowed = 0, refused = 1; refused > 0; allowed++) {
		struct pool_elsewhere message = { .pool = POOL + 1, .home = HERE };
		assert_true(allowed < MOST);
		assert_true(spec_copy(&message.spec, &front.spec));
		pools_take_end(workers[THERE], POOL + 1);
		heap_fails_once_after(allowed);
		pools_take_elsewhere(workers[THERE], &message);
		heap_works();
		refused = heap_refused();
		assert_int_equal(pools_find(workers[THERE], POOL + 1) != NULL, refused == 0);
	}
	serve_one();
	rig_pool_stop(NULL);
}

/* A member that there is no memory for is missing, and those before stay. */
static void a_member_that_there_is_no_memory_for(void **state)
{
	(void)state;
	set_up(1);
	assert_true(pool_prepare(workers[HERE], &front, POOL, &front.spec)); /* both choosers take it */
	for (unsigned allowed = 0, refused = 1; refused > 0; allowed++) {
		struct pool_members message = { .pool = POOL, .list = calloc(1, sizeof(*message.list)), .count = 1 };
		struct spec_label *labels = calloc(2, sizeof(*labels));
		message.list[0] =
		    (struct pool_member){ .number = 9, .worker = HERE, .slot = 9, .weight = 1, .labels = labels, .label_count = 2, .id = "nine" };
		for (unsigned i = 0; i < 2; i++)
			labels[i] = (struct spec_label){ .key = strdup(i == 0 ? "a" : "b"), .value = strdup("v") };
		assert_true(allowed < MOST);
		heap_fails_once_after(allowed);
		pools_take_members(workers[HERE], &message, false);
		heap_works();
		refused = heap_refused();
		assert_non_null(chooser_find(front.pool->parts.chooser, 1));
		assert_non_null(chooser_find(front.pool->prepared->chooser, 2));
	}
	assert_non_null(chooser_find(front.pool->parts.chooser, 9));
	assert_non_null(chooser_find(front.pool->prepared->chooser, 9));
	pool_commit(front.pool, &front);
	serve_one();
	rig_pool_stop(NULL);
}

/* The control process gives a descriptor, which is closed, and makes another link when it hears nothing. */
static void a_link_that_there_is_no_memory_for(void **state)
{
	(void)state;
	set_up(1);
	for (unsigned allowed = 0, refused = 1; refused > 0; allowed++) {
		int ends[2];
		char byte;
		assert_true(allowed < MOST);
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
		heap_fails_once_after(allowed);
		pools_take_link(workers[HERE], &(struct peer_link){ .worker = 40 + allowed, .incarnation = 1 }, ends[1]);
		heap_works();
		refused = heap_refused();
		assert_int_equal(pools_link(workers[HERE], 40 + allowed) != NULL, refused == 0);
		assert_int_equal(recv(ends[0], &byte, 1, MSG_DONTWAIT), refused > 0 ? 0 : -1);
		close(ends[0]);
	}
	rig_turn();
	serve_one();
	rig_pool_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_of_a_member_here),
		cmocka_unit_test(a_client_of_a_member_there),
		cmocka_unit_test(requests_through_several_members),
		cmocka_unit_test(an_association_there),
		cmocka_unit_test(a_change_of_a_pool_that_there_is_no_memory_for),
		cmocka_unit_test(a_pool_elsewhere_that_there_is_no_memory_for),
		cmocka_unit_test(a_member_that_there_is_no_memory_for),
		cmocka_unit_test(a_link_that_there_is_no_memory_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
