#include "tests/tunnel/rig_browser.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_rate_limits_hold(void **state)
{
	(void)state;
	char body[8001];
	memset(body, 'y', 8000);
	body[8000] = '\0';
	rig.tunnel.downward.bits_per_second = 8000;
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 8000\r\n\r\n");
	rig_stream_write(rig_stream(), body);
	size_t got = strlen(rig_read(rig_browser.client));
	assert_true(got <= 1000);
	for (int i = 0; i < 9; i++) {
		rig_pass(LOOP_SECOND);
		size_t more = strlen(rig_read(rig_browser.client));
		assert_true(more <= 1000);
		got += more;
	}
	assert_int_equal(got, 8000 + strlen("HTTP/1.1 200 OK\r\nContent-Length: 8000\r\nConnection: keep-alive\r\n\r\n"));
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
	assert_int_equal(rig.tunnel.refused_logins, 0);
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
	assert_int_equal(rig.tunnel.refused_logins, 0);
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), GET_SENT); /* and they never leave (X3) */
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_write(rig_browser.client, GET);
	rig_expect_failure("HTTP/1.1 407 ", true);
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
		TEST(test_rate_limits_hold),     TEST(test_every_request_needs_its_credentials),
		TEST(test_over_the_limit),       TEST(test_slow_clients_are_cut),
		TEST(test_slow_servers_are_cut), TEST(test_a_delayed_refusal_may_be_aborted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
