#include "tests/tunnel/rig_browser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tunnel/login.h"

static void test_rate_limits_hold(void **state)
{
	(void)state;
	char body[60001];
	memset(body, 'y', 60000);
	body[60000] = '\0';
	bucket_set_limit(&rig.tunnel.rx_limit, 80000, rig.now);
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
	rig_stream_write(rig_stream(), body);
	size_t got = strlen(rig_read(rig_browser.client));
	assert_int_equal(got, 0);
	for (int i = 1; i <= 7; i++) {
		rig_pass(LOOP_SECOND);
		got += strlen(rig_read(rig_browser.client));
		assert_true(got <= (size_t)i * 10000);
	}
	assert_int_equal(got, 60000 + strlen("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\nConnection: keep-alive\r\n\r\n"));
	rig_leave();
}

static uint64_t quota_used(void)
{
	return counter_read(&rig.tunnel.counters->bytes_sent) + counter_read(&rig.tunnel.counters->bytes_received);
}

/* P6: a body that waits behind its head is held to the quota, too, and the client need not wait for more. */
static void test_a_body_behind_its_head_keeps_to_the_quota(void **state)
{
	(void)state;
	char answer[4001];
	memset(answer, 'y', 4000);
	answer[4000] = '\0';
	memcpy(answer, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", 42);
	rig_browse(GET);
	rig_connected(rig_stream());
	rig.tunnel.spec.limits.total_bytes = quota_used() + 300;
	rig_stream_write(rig_stream(), answer);
	assert_in_range(quota_used(), 1, rig.tunnel.spec.limits.total_bytes);
	assert_int_equal(rig_browser.ended, 1);
	assert_true(rig_stream()->aborted);
	rig.tunnel.spec.limits.total_bytes = 0;
	close(rig_browser.client);
}

static void test_an_upload_over_the_quota_is_refused(void **state)
{
	(void)state;
	rig_browse("POST http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\nContent-Length: 60000\r\n\r\n");
	rig_connected(rig_stream());
	rig_stream_read(rig_stream());
	rig.tunnel.spec.limits.total_bytes = quota_used();
	rig_write(rig_browser.client, "more");
	rig.tunnel.spec.limits.total_bytes = 0;
	rig_expect_failure("HTTP/1.1 503 ", false);
	close(rig_browser.client);
}

/* P6: not a turn's worth more than limits.total_bytes says. */
static void test_a_quota_is_not_overshot(void **state)
{
	(void)state;
	char body[60001];
	memset(body, 'y', 60000);
	body[60000] = '\0';
	rig.tunnel.spec.limits.total_bytes = 20000;
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
	rig_stream_write(rig_stream(), body);
	for (int i = 0; i < 5; i++) {
		rig_pass(LOOP_SECOND);
		(void)rig_read(rig_browser.client);
		assert_in_range(quota_used(), 1, 20000);
	}
	assert_int_equal(quota_used(), 20000);
	assert_int_equal(rig_browser.ended, 1);
	rig.tunnel.spec.limits.total_bytes = 0;
	close(rig_browser.client);
}

/* P6: a head that waits for the client holds the far end's window as a body does. */
static void test_interim_heads_wait_for_the_client(void **state)
{
	(void)state;
	char interim[2049], hint[2000];
	memset(hint, 'h', sizeof(hint));
	snprintf(interim, sizeof(interim), "HTTP/1.1 103 Early Hints\r\nLink: %.*s\r\n\r\n", 1950, hint);
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	for (int i = 0; i < 30; i++)
		rig_stream_write(stream, interim);
	assert_true(stream->consumed < stream->shown / 2); /* the rest is with us, the client does not read */
	size_t got = strlen(rig_read(rig_browser.client));
	assert_int_equal(got, stream->shown);
	assert_int_equal(stream->consumed, stream->shown);
	rig_stream_write(stream, OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_int_equal(stream->consumed, stream->shown);
	rig_leave();
}

static void test_a_head_in_parts_holds_the_window(void **state)
{
	(void)state;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Le");
	assert_int_equal(stream->consumed, 0);
	rig_stream_write(stream, "ngth: 2\r\n\r\nhi");
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_int_equal(stream->consumed, stream->shown);
	rig_leave();
}

static void expect_interims_refused(const char *interim, size_t times)
{
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	size_t passed = 0;
	for (size_t i = 0; i < times; i++) {
		assert_false(stream->gone);
		rig_stream_write(stream, interim);
		const char *seen = rig_read(rig_browser.client);
		passed += strlen(seen) == strlen(interim);
	}
	assert_int_equal(passed, times);
	rig_stream_write(stream, interim);
	rig_expect_failure("HTTP/1.1 502 ", true);
	assert_true(stream->aborted);
	rig_leave();
}

static void test_interim_heads_are_few_and_small(void **state)
{
	(void)state;
	char large[20001], hint[20000];
	expect_interims_refused("HTTP/1.1 103 Early Hints\r\n\r\n", 32);
	memset(hint, 'h', sizeof(hint));
	snprintf(large, sizeof(large), "HTTP/1.1 103 Early Hints\r\nLink: %.*s\r\n\r\n", 19950, hint);
	expect_interims_refused(large, 3);
}

/* A server that goes on after its answer is not read while the client takes the answer. */
static void test_what_nobody_asked_for_holds_the_window(void **state)
{
	(void)state;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_write(stream, OK2 "and more");
	assert_true(stream->consumed <= strlen(OK2));
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_true(stream->gone);
	rig_leave();
}

static void set_user(void)
{
	rig.tunnel.spec.users = calloc(1, sizeof(struct spec_user));
	rig.tunnel.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	rig.tunnel.spec.user_count = 1;
}

#define WITH(credentials) "GET http://198.51.100.7/a?b HTTP/1.1\r\nHost: 198.51.100.7\r\nProxy-Authorization: Basic " credentials "\r\n\r\n"

static void test_every_request_needs_its_credentials(void **state)
{
	(void)state;
	set_user();
	rig_browse(GET);
	rig_expect_failure("HTTP/1.1 407 ", true); /* absent: at once */
	assert_null(rig.tunnel.logins);
	for (unsigned i = 0; i < 7; i++) {
		uint64_t delay = 100 * LOOP_MILLISECOND << (i < 4 ? i : 4);
		rig_write(rig_browser.client, WITH("dTp4"));
		rig_pass(delay - 1);
		assert_string_equal(rig_read(rig_browser.client), "");
		rig_pass(1);
		rig_expect_failure("HTTP/1.1 407 ", true);
	}
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_AUTHENTICATION]), 8);
	assert_null(rig.streams);
	rig_write(rig_browser.client, WITH("dTpw"));
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), GET_SENT); /* and they never leave (X3) */
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_write(rig_browser.client, GET);
	rig_expect_failure("HTTP/1.1 407 ", true);
	rig_leave();
}

static void never_look(void *owner)
{
	(void)owner;
	fail();
}

static void ignore(void *owner)
{
	(void)owner;
}

/* X8: who was refused often waits before the next password is looked at, even a right one, for one back-off. */
static void test_many_wrong_passwords_hold_the_next(void **state)
{
	struct connection other;
	struct login guess;
	(void)state;
	set_user();
	connection_add(&other, &rig.tunnel, COUNTERS_CONNECT, rig_never_end);
	other.source = 1;
	login_init(&guess, &other, never_look, ignore, NULL);
	for (unsigned i = 0; i < 8; i++)
		assert_false(login_is_right(&guess, NULL));
	rig_browse(WITH("dTpw"));
	rig_pass(1600 * LOOP_MILLISECOND - 1);
	assert_null(rig.streams);
	rig_pass(1);
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), GET_SENT);
	assert_true(login_has_turn(&guess)); /* the right one is the end of it */
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	login_cancel(&guess);
	connection_remove(&other);
	rig_leave();
}

static void test_over_the_limit(void **state)
{
	(void)state;
	struct connection other;
	rig.tunnel.spec.limits.connections = 1;
	connection_add(&other, &rig.tunnel, COUNTERS_CONNECT, rig_never_end);
	rig_browse(GET);
	rig_expect_failure("HTTP/1.1 503 ", false);
	rig_leave();
	connection_remove(&other);
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_leave();
}

static void test_slow_clients_are_cut(void **state)
{
	(void)state;
	rig_browse("GET http://198.51.100.7/ HT");
	for (int i = 0; i < 9; i++) {
		rig_pass(LOOP_SECOND);
		rig_write(rig_browser.client, "T");
	}
	assert_int_equal(rig_browser.ended, 0);
	rig_pass(LOOP_SECOND);
	assert_non_null(strstr(rig_read(rig_browser.client), "HTTP/1.1 408 "));
	assert_int_equal(rig_browser.ended, 1);
	rig_leave();
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
	rig_connected(rig_stream());
	for (int i = 0; i < 59; i++) {
		rig_pass(LOOP_SECOND);
		rig_write(rig_browser.client, "b");
		rig_stream_read(rig_stream());
	}
	assert_int_equal(rig_browser.ended, 0);
	rig_pass(LOOP_SECOND);
	assert_non_null(strstr(rig_read(rig_browser.client), "HTTP/1.1 408 "));
	assert_true(rig_stream()->aborted);
	rig_leave();
	rig_use_once();
	rig_pass(299 * LOOP_SECOND);
	assert_int_equal(rig_browser.ended, 0);
	rig_pass(LOOP_SECOND);
	assert_int_equal(rig_browser.ended, 1);
	rig_leave();
}

static void test_slow_servers_are_cut(void **state)
{
	(void)state;
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_read(rig_stream());
	rig_pass(299 * LOOP_SECOND);
	assert_string_equal(rig_read(rig_browser.client), "");
	rig_pass(LOOP_SECOND);
	rig_expect_failure("HTTP/1.1 504 ", false);
	rig_leave();
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na");
	rig_pass(200 * LOOP_SECOND);
	rig_stream_write(rig_stream(), "b");
	rig_pass(299 * LOOP_SECOND);
	assert_int_equal(rig_browser.ended, 0);
	rig_pass(LOOP_SECOND);
	rig_read(rig_browser.client);
	assert_true(rig_is_reset(rig_browser.client));
	rig_leave();
}

static void test_a_delayed_refusal_may_be_aborted(void **state)
{
	(void)state;
	set_user();
	rig_browse(WITH("dTp4"));
	rig_end_browser(&rig_browser.connection);
	rig_leave();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_rate_limits_hold),
		TEST(test_a_quota_is_not_overshot),
		TEST(test_a_body_behind_its_head_keeps_to_the_quota),
		TEST(test_an_upload_over_the_quota_is_refused),
		TEST(test_interim_heads_wait_for_the_client),
		TEST(test_a_head_in_parts_holds_the_window),
		TEST(test_interim_heads_are_few_and_small),
		TEST(test_what_nobody_asked_for_holds_the_window),
		TEST(test_every_request_needs_its_credentials),
		TEST(test_many_wrong_passwords_hold_the_next),
		TEST(test_over_the_limit),
		TEST(test_slow_clients_are_cut),
		TEST(test_slow_servers_are_cut),
		TEST(test_a_delayed_refusal_may_be_aborted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
