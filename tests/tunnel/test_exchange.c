#include "tests/tunnel/rig_browser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_get_goes_there_and_back(void **state)
{
	(void)state;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	struct netstack_endpoint there = rig_endpoint("198.51.100.7", 80);
	assert_memory_equal(&stream->remote, &there, sizeof(there));
	assert_string_equal(rig_stream_read(stream), "");
	rig_connected(stream);
	assert_string_equal(rig_stream_read(stream), GET_SENT);
	rig_stream_write(stream, OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_int_equal(stream->consumed, stream->shown);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_HTTP]), 1);
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_sent), strlen(GET_SENT));
	assert_int_equal(counter_read(&rig.tunnel.counters->bytes_received), strlen(OK2));
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0); /* an idle connection holds nothing */
	rig_leave();
	assert_int_equal(rig_browser.ended, 1);
	assert_true(stream->released);
}

static void test_connections_are_used_again(void **state)
{
	(void)state;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	for (int i = 0; i < 3; i++) {
		assert_string_equal(rig_stream_read(stream), GET_SENT);
		rig_stream_write(stream, OK2);
		assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
		rig_pass(10 * LOOP_SECOND);
		rig_write(rig_browser.client, GET);
	}
	assert_int_equal(rig_stream_count(), 1);
	rig_stream_write(stream, OK2);
	rig_write(rig_browser.client, "GET http://198.51.100.7:81/ HTTP/1.1\r\nHost: 198.51.100.7:81\r\n\r\n");
	assert_int_equal(rig_stream_count(), 2);
	assert_true(stream->released);
	assert_false(rig_stream()->gone);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_ok[COUNTERS_HTTP]), 4);
	rig_leave();
}

/* X2: split at each byte, and pipelined, the outcome is the same. */
static void test_requests_may_be_split_anywhere(void **state)
{
	(void)state;
	static const char two[] =
	    GET "POST http://198.51.100.7/p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n" GET;
	static const char post[] = "POST /p HTTP/1.1\r\nHost: 198.51.100.7\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
				   "3\r\nabc\r\n0\r\nT: 1\r\n\r\n";
	for (size_t at = 1; at < sizeof(two) - 1; at++) {
		char first[sizeof(two)];
		memcpy(first, two, at);
		first[at] = '\0';
		rig_browse(first);
		if (at < strlen(GET))
			rig_write(rig_browser.client, two + at);
		struct netstack_stream *stream = rig_stream();
		rig_connected(stream);
		assert_string_equal(rig_stream_read(stream), GET_SENT);
		if (at >= strlen(GET))
			rig_write(rig_browser.client, two + at);
		assert_string_equal(rig_stream_read(stream), ""); /* in order: the first answer is awaited */
		rig_stream_write(stream, OK2);
		assert_string_equal(rig_stream_read(stream), post);
		rig_stream_write(stream, OK2);
		assert_string_equal(rig_stream_read(stream), GET_SENT);
		rig_stream_write(stream, OK2);
		assert_string_equal(rig_read(rig_browser.client), OK2_SENT OK2_SENT OK2_SENT);
		assert_false(stream->gone);
		rig_leave();
		assert_int_equal(rig_browser.ended, 1);
	}
}

static void answer_in_pieces(const char *answer, size_t at, bool late, const char *expected)
{
	rig.settles_late = late;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_read(stream);
	rig_stream_write_bytes(stream, answer, at);
	rig_stream_write_bytes(stream, answer + at, strlen(answer) - at);
	assert_string_equal(rig_read(rig_browser.client), expected);
	assert_int_equal(stream->consumed, stream->shown);
	assert_false(stream->gone);
	rig_leave();
	assert_int_equal(rig_browser.ended, 1);
	assert_int_equal(block_pool_in_use(rig.context.blocks), 0);
}

static void test_answers_may_be_split_anywhere(void **state)
{
	(void)state;
	static const char answer[] =
	    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\n"
	    "Trailer: T\r\nX-Y: z\r\n\r\n5;e=1\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n";
	static const char expected[] = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n"
				       "Connection: keep-alive\r\n\r\n5;e=1\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n";
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), answer);
	char seen[sizeof(answer) + 128];
	snprintf(seen, sizeof(seen), "%s", rig_read(rig_browser.client));
	rig_leave();
	/* Trailer is hop by hop or not, as the codec decides; the rest is as expected. */
	assert_non_null(strstr(seen, strstr(expected, "5;e=1")));
	for (size_t at = 1; at < sizeof(answer) - 1; at++) {
		answer_in_pieces(answer, at, false, seen);
		answer_in_pieces(answer, at, true, seen);
	}
}

static void expect_answer(const char *request, const char *answer, const char *expected, bool kept)
{
	rig_browse(request);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_write(stream, answer);
	assert_string_equal(rig_read(rig_browser.client), expected);
	assert_int_equal(rig_browser.ended, kept ? 0 : 1);
	if (!kept)
		assert_true(rig_is_at_end(rig_browser.client));
	rig_leave();
}

static void test_answers_without_a_body(void **state)
{
	(void)state;
	expect_answer("HEAD http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
	              "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nConnection: keep-alive\r\n\r\n", true);
	expect_answer(GET, "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n", true);
	expect_answer(GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
	              "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nConnection: keep-alive\r\n\r\n", true);
	expect_answer(GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	              "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true);
}

static void test_an_old_client_gets_no_chunks(void **state)
{
	(void)state;
	expect_answer("GET http://198.51.100.7/ HTTP/1.0\r\n\r\n",
	              "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
	              "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world", false);
	assert_int_equal(rig_stream()->consumed, rig_stream()->shown);
}

static void test_a_body_until_close(void **state)
{
	(void)state;
	rig_browse(GET);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_write(stream, "HTTP/1.0 200 OK\r\n\r\nsome");
	rig_stream_write(stream, " more");
	assert_false(rig_is_at_end(rig_browser.client));
	rig_stream_finish(stream);
	assert_string_equal(rig_read(rig_browser.client), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome more");
	assert_true(rig_is_at_end(rig_browser.client));
	assert_int_equal(rig_browser.ended, 1);
	assert_true(stream->released);
	rig_leave();
}

static void test_a_body_cut_short_resets_the_client(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		rig_browse(GET);
		struct netstack_stream *stream = rig_stream();
		rig_connected(stream);
		rig_stream_write(stream, how == 2 ? "HTTP/1.1 200 OK\r\n\r\n12345" : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
		if (how == 0)
			rig_stream_finish(stream);
		else
			rig_stream_close(stream, NETSTACK_RESET);
		assert_non_null(strstr(rig_read(rig_browser.client), "12345"));
		assert_true(rig_is_reset(rig_browser.client));
		assert_int_equal(rig_browser.ended, 1);
		rig_leave();
	}
}

static void test_a_server_that_says_nothing(void **state)
{
	(void)state;
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_finish(rig_stream());
	rig_expect_failure("HTTP/1.1 502 ", true);
	rig_write(rig_browser.client, GET);
	rig_connected(rig_stream());
	rig_stream_close(rig_stream(), NETSTACK_RESET);
	rig_expect_failure("HTTP/1.1 502 ", true);
	rig_write(rig_browser.client, GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "SSH-2.0-OpenSSH\r\n\r\n");
	rig_expect_failure("HTTP/1.1 502 ", true);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed_by_protocol[COUNTERS_HTTP]), 3);
	rig_leave();
}

static void test_a_lost_connection_is_replaced_once(void **state)
{
	(void)state;
	rig_use_once();
	struct netstack_stream *stale = rig_stream();
	rig_write(rig_browser.client, GET);
	assert_string_equal(rig_stream_read(stale), GET_SENT);
	rig_stream_close(stale, NETSTACK_RESET);
	assert_int_equal(rig_stream_count(), 2);
	rig_connected(rig_stream());
	assert_string_equal(rig_stream_read(rig_stream()), GET_SENT);
	rig_stream_close(rig_stream(), NETSTACK_RESET);
	assert_int_equal(rig_stream_count(), 2);
	rig_expect_failure("HTTP/1.1 502 ", true);
	rig_leave();
}

static void test_what_has_a_body_is_not_repeated(void **state)
{
	(void)state;
	rig_use_once();
	rig_write(rig_browser.client, "POST http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(rig_stream_count(), 1); /* in use a moment ago */
	rig_stream_finish(rig_stream());
	rig_expect_failure("HTTP/1.1 502 ", true);
	assert_int_equal(rig_stream_count(), 1);
	rig_leave();
	rig_use_once();
	rig_pass(3 * LOOP_SECOND);
	rig_write(rig_browser.client, "POST http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(rig_stream_count(), 3); /* the kept one may be gone by now: a fresh one */
	rig_leave();
}

static void test_a_kept_connection_that_ends_or_speaks_is_dropped(void **state)
{
	(void)state;
	rig_use_once();
	rig_stream_finish(rig_stream());
	assert_true(rig_stream()->gone);
	rig_leave();
	rig_use_once();
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\n\r\nnobody asked");
	assert_true(rig_stream()->gone);
	assert_string_equal(rig_read(rig_browser.client), "");
	rig_leave();
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), OK2 "HTTP/1.1 200 OK\r\nX: smuggled\r\n\r\n");
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_true(rig_stream()->gone);
	rig_leave();
}

static void test_changed_policy_counts_for_kept_connections(void **state)
{
	(void)state;
	rig_browse("GET http://10.9.8.7/ HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), OK2);
	rig_read(rig_browser.client);
	rig.tunnel.spec.allow_private_targets = false;
	rig_write(rig_browser.client, "GET http://10.9.8.7/ HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_expect_failure("HTTP/1.1 403 ", true);
	assert_true(rig_stream()->gone);
	rig_leave();
}

static void test_bodies_go_up(void **state)
{
	(void)state;
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
	struct netstack_stream *stream = rig_stream();
	rig_write(rig_browser.client, "45");
	rig_connected(stream);
	assert_non_null(strstr(rig_stream_read(stream), "Content-Length: 10\r\nConnection: keep-alive\r\n\r\n12345"));
	rig_write(rig_browser.client, "67890" GET);
	assert_string_equal(rig_stream_read(stream), "67890");
	rig_stream_write(stream, OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_string_equal(rig_stream_read(stream), GET_SENT);
	rig_leave();
}

static void test_a_large_body_waits_for_room(void **state)
{
	(void)state;
	enum { SIZE = 300000 };
	char *sent = malloc(SIZE), *got = malloc(SIZE + 1);
	for (size_t i = 0; i < SIZE; i++)
		sent[i] = (char)('a' + i * 7 % 26);
	rig.stream_room = 10000;
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_read(stream);
	size_t up = 0, arrived = 0;
	while (arrived < SIZE) {
		ssize_t step = up < SIZE ? send(rig_browser.client, sent + up, SIZE - up, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
		up += step > 0 ? (size_t)step : 0;
		rig_turn();
		assert_true(netstack_stream_room(stream) <= 10000);
		assert_true(block_pool_in_use(rig.context.blocks) <= 5 * 65536);
		const char *more = rig_stream_read(stream);
		memcpy(got + arrived, more, strlen(more));
		arrived += strlen(more);
	}
	assert_memory_equal(sent, got, SIZE);
	rig_stream_write(stream, OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_leave();
	free(sent);
	free(got);
}

/* X14: a client that does not read holds at most the window, and gets everything when it reads. */
static void test_a_slow_reader_gets_all(void **state)
{
	(void)state;
	enum { PIECE = 10000, PIECES = 60 };
	char piece[PIECE + 1];
	memset(piece, 'x', PIECE);
	piece[PIECE] = '\0';
	for (int late = 0; late < 2; late++) {
		rig.settles_late = late == 1;
		rig_browse(GET);
		struct netstack_stream *stream = rig_stream();
		rig_connected(stream);
		rig_stream_write(stream, "HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n");
		for (int i = 0; i < PIECES; i++)
			rig_stream_write(stream, piece);
		assert_true(stream->consumed < stream->shown / 2);
		const char *all = rig_read(rig_browser.client);
		assert_int_equal(strspn(strstr(all, "\r\n\r\n") + 4, "x"), PIECE * PIECES);
		assert_int_equal(stream->consumed, stream->shown);
		rig_leave();
	}
}

static void test_malformed_bodies_go_nowhere(void **state)
{
	(void)state;
	rig_browse("POST http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
	assert_null(rig.streams);
	rig_expect_failure("HTTP/1.1 400 ", false);
	rig_leave();
	rig_browse("POST http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	rig_connected(rig_stream());
	rig_write(rig_browser.client, "-1\r\n");
	rig_expect_failure("HTTP/1.1 400 ", false);
	assert_true(rig_stream()->aborted);
	rig_leave();
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	rig_stream_write(rig_stream(), "5 6\r\n");
	assert_non_null(strstr(rig_read(rig_browser.client), "1\r\na\r\n"));
	assert_true(rig_is_reset(rig_browser.client));
	rig_leave();
}

/* Dropped and inserted bytes do not count as the stream's. */
static void test_chunks_are_mended(void **state)
{
	(void)state;
	static const char answer[] = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2 \nhe\n3\t;x\r\nllo\r\n0\nHost: a\nA: b\n\n";
	static const char mended[] = "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\n";
	for (size_t step = 1; step < sizeof(answer); step++) {
		rig.settles_late = step % 2 == 1;
		rig_browse(GET);
		struct netstack_stream *stream = rig_stream();
		rig_connected(stream);
		for (size_t at = 0; at < sizeof(answer) - 1; at += step) {
			char piece[sizeof(answer)];
			snprintf(piece, sizeof(piece), "%.*s", (int)step, answer + at);
			rig_stream_write(stream, piece);
			assert_true(stream->consumed <= stream->shown);
		}
		assert_string_equal(strstr(rig_read(rig_browser.client), "\r\n\r\n") + 4, mended);
		assert_int_equal(stream->consumed, stream->shown);
		rig_leave();
	}
}

static void test_expectations_are_passed_on(void **state)
{
	(void)state;
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	assert_non_null(strstr(rig_stream_read(stream), "Expect: 100-continue\r\n"));
	rig_stream_write(stream, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_string_equal(rig_read(rig_browser.client), "HTTP/1.1 100 Continue\r\n\r\n");
	rig_write(rig_browser.client, "abc");
	assert_string_equal(rig_stream_read(stream), "abc");
	rig_stream_write(stream, OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_leave();
}

/* A final response before the body is complete: it is unknown where the next request would begin. */
static void test_an_early_answer_closes(void **state)
{
	(void)state;
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\nabc");
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(rig_read(rig_browser.client), "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	assert_int_equal(rig_browser.ended, 1);
	assert_true(rig_stream()->aborted);
	rig_leave();
}

static void test_upgrades_become_relays(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		rig.settles_late = late == 1;
		rig_browse("GET http://198.51.100.7/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
		struct netstack_stream *stream = rig_stream();
		rig_connected(stream);
		assert_non_null(strstr(rig_stream_read(stream), "Upgrade: websocket\r\n"));
		rig_stream_write(stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nframe");
		const char *seen = rig_read(rig_browser.client);
		assert_non_null(strstr(seen, "HTTP/1.1 101 "));
		assert_non_null(strstr(seen, "\r\n\r\nframe"));
		assert_string_equal(rig_stream_read(stream), "early");
		rig_write(rig_browser.client, "up");
		assert_string_equal(rig_stream_read(stream), "up");
		rig_stream_write(stream, "down");
		assert_string_equal(rig_read(rig_browser.client), "down");
		assert_int_equal(stream->consumed, stream->shown);
		rig_stream_finish(stream);
		assert_true(rig_is_at_end(rig_browser.client));
		assert_int_equal(rig_browser.ended, 0);
		rig_leave();
		assert_int_equal(rig_browser.ended, 1);
		assert_true(stream->released);
	}
}

static void test_an_upgrade_that_nobody_asked_for(void **state)
{
	(void)state;
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
	rig_expect_failure("HTTP/1.1 502 ", true);
	rig_leave();
}

static void test_connect_is_handed_back(void **state)
{
	(void)state;
	static const char connect[] = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nearly";
	rig_use_once();
	rig_write(rig_browser.client, connect);
	assert_int_equal(rig_browser.handed_back, 1);
	assert_string_equal(rig_browser.back, connect);
	assert_true(rig_stream()->released);
	rig_leave();
}

static void test_failures_to_connect(void **state)
{
	(void)state;
	static const struct {
		enum netstack_error why;
		const char *status;
	} failures[] = {
		{ NETSTACK_REFUSED, "HTTP/1.1 502 " },
		{ NETSTACK_TIMED_OUT, "HTTP/1.1 504 " },
		{ NETSTACK_UNREACHABLE, "HTTP/1.1 502 " },
	};
	rig_browse("");
	for (size_t i = 0; i < 3; i++) {
		rig_write(rig_browser.client, GET);
		rig_refuse(rig_stream(), failures[i].why);
		rig_expect_failure(failures[i].status, true);
	}
	rig_write(rig_browser.client, "GET http://nowhere.example/ HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_name("nowhere.example", NULL);
	rig_expect_failure("HTTP/1.1 502 ", true);
	rig_write(rig_browser.client, "GET http://sneaky.example/ HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_name("sneaky.example", "127.0.0.1");
	rig_expect_failure("HTTP/1.1 403 ", true);
	rig_write(rig_browser.client, "GET http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_expect_failure("HTTP/1.1 403 ", true);
	rig.down = true;
	rig_write(rig_browser.client, GET);
	rig_expect_failure("HTTP/1.1 503 ", true);
	rig.down = false;
	rig_write(rig_browser.client, GET);
	rig_pass(30 * LOOP_SECOND);
	rig_expect_failure("HTTP/1.1 504 ", true);
	rig_write(rig_browser.client, "POST http://127.0.0.1/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
	rig_expect_failure("HTTP/1.1 403 ", false);
	rig_leave();
}

static void test_a_dead_kept_connection_in_a_dead_tunnel(void **state)
{
	(void)state;
	rig_use_once();
	rig.down = true;
	rig_write(rig_browser.client, GET);
	rig_expect_failure("HTTP/1.1 503 ", true);
	assert_int_equal(rig.wanted, 1);
	rig_leave();
}

static void test_malformed_requests_close(void **state)
{
	(void)state;
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/ HTTP/1.1\r\n\r\n",
		"GET http://a/ HTTP/1.1\nHost: a\n\n",
		"POST http://a/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET http://u@p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		rig_browse(requests[i]);
		rig_expect_failure("HTTP/1.1 400 ", false);
		rig_leave();
	}
	assert_null(rig.streams);
	rig_browse("GET http://a/ HTTP/1.1\r\nHost: a\r\n");
	char line[1003];
	memset(line, 'v', 1000);
	memcpy(line, "X: ", 3);
	memcpy(line + 1000, "\r\n", 3);
	for (int i = 0; i < 70 && rig_browser.ended == 0; i++)
		rig_write(rig_browser.client, line);
	rig_expect_failure("HTTP/1.1 431 ", false);
	rig_leave();
}

static void test_aborts_leave_nothing(void **state)
{
	(void)state;
	static const char *const firsts[] = { "GET http://a", GET, "GET http://name.example/ HTTP/1.1\r\nHost: a\r\n\r\n" };
	for (size_t i = 0; i < 3; i++) {
		rig_browse(firsts[i]);
		rig_end_browser(&rig_browser.connection);
		rig_leave();
	}
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na");
	rig_end_browser(&rig_browser.connection);
	assert_true(rig_stream()->aborted);
	rig_leave();
	rig_use_once();
	rig_end_browser(&rig_browser.connection);
	rig_leave();
}

static void test_a_client_that_leaves_early(void **state)
{
	(void)state;
	rig_browse("PUT http://198.51.100.7/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123");
	rig_connected(rig_stream());
	rig_leave();
	assert_int_equal(rig_browser.ended, 1);
	assert_true(rig_stream()->aborted);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_CLIENT_GONE]), 1);
	rig_browse(GET);
	rig_connected(rig_stream());
	rig_leave();
	rig_stream_write(rig_stream(), OK2);
	assert_int_equal(rig_browser.ended, 1);
	rig_browse(GET);
	rig_connected(rig_stream());
	shutdown(rig_browser.client, SHUT_WR); /* a half-close: the answer is still wanted (X14) */
	rig_turn();
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	assert_int_equal(rig_browser.ended, 1);
	close(rig_browser.client);
}

/* It may have gone: it is not waited for longer than 10 s while nothing moves, before a connection, an answer, or the rest of one. */
static void test_a_client_that_finishes_is_not_waited_for(void **state)
{
	(void)state;
	for (int stage = 0; stage < 3; stage++) {
		rig_browse(GET);
		if (stage > 0)
			rig_connected(rig_stream());
		if (stage > 1)
			rig_stream_write(rig_stream(), "HTTP/1.1 200 OK\r\n\r\nsome");
		rig_pass(20 * LOOP_SECOND);
		shutdown(rig_browser.client, SHUT_WR);
		rig_pass(9 * LOOP_SECOND);
		assert_int_equal(rig_browser.ended, 0);
		if (stage > 1) {
			rig_stream_write(rig_stream(), "more");
			rig_pass(9 * LOOP_SECOND);
			assert_int_equal(rig_browser.ended, 0);
		}
		rig_pass(2 * LOOP_SECOND);
		assert_non_null(strstr(rig_read(rig_browser.client), stage > 1 ? "somemore" : "HTTP/1.1 504 "));
		close(rig_browser.client);
		rig_turn();
		assert_int_equal(rig_browser.ended, 1);
	}
}

/* A server may end in order without having answered, or in the middle; a body without a length ends with it. */
static void test_a_server_that_closes_in_order(void **state)
{
	static const struct {
		const char *answer, *expected;
	} cases[] = {
		{ "", "HTTP/1.1 502 " },
		{ "HTTP/1.1 200", "HTTP/1.1 502 " },
		{ "HTTP/1.1 200 OK\r\n\r\nall of it", "HTTP/1.1 200 OK\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_browse(GET);
		rig_connected(rig_stream());
		if (cases[i].answer[0] != '\0')
			rig_stream_write(rig_stream(), cases[i].answer);
		rig_stream_close(rig_stream(), NETSTACK_OK);
		const char *seen = rig_read(rig_browser.client);
		assert_int_equal(strncmp(seen, cases[i].expected, strlen(cases[i].expected)), 0);
		if (i == 2)
			assert_non_null(strstr(seen, "all of it"));
		rig_leave();
	}
}

/* The client's body is still on its way when the server changes the protocol: the rest of it comes first. */
static void test_an_upgrade_before_the_body_is_whole(void **state)
{
	static const char post[] = "POST http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\nConnection: upgrade\r\nUpgrade: x\r\n"
				   "Content-Length: 10\r\n\r\n12345";
	(void)state;
	rig_browse(post);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_read(stream);
	rig_stream_write(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nfirst");
	rig_write(rig_browser.client, "67890");
	assert_string_equal(rig_stream_read(stream), "67890");
	assert_non_null(strstr(rig_read(rig_browser.client), "first"));
	rig_write(rig_browser.client, "other protocol");
	assert_string_equal(rig_stream_read(stream), "other protocol");
	rig_stream_write(stream, "both ways");
	assert_string_equal(rig_read(rig_browser.client), "both ways");
	rig_stream_close(stream, NETSTACK_RESET);
	rig_leave();
}

/* The client has not read what came, and closes in the middle of its body: its kernel resets. */
static void test_a_reset_in_an_upload_ends_it(void **state)
{
	static const char post[] = "POST http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\nContent-Length: 99\r\n\r\n12345";
	(void)state;
	rig_browse(post);
	struct netstack_stream *stream = rig_stream();
	rig_connected(stream);
	rig_stream_read(stream);
	rig_stream_write(stream, "HTTP/1.1 100 Continue\r\n\r\n");
	close(rig_browser.client);
	rig_turn();
	assert_int_equal(rig_browser.ended, 1);
	assert_true(stream->aborted);
	assert_int_equal(counter_read(&rig.tunnel.counters->connections_failed[COUNTERS_FAILED_CLIENT_GONE]), 1);
	rig_browser.client = -1;
}

/* What is used up between two requests on a kept connection is told for the second. */
static void test_a_kept_connection_ends_with_the_quota(void **state)
{
	(void)state;
	rig_use_once();
	rig.tunnel.spec.limits.total_bytes = 1;
	rig_write(rig_browser.client, GET);
	assert_int_equal(strncmp(rig_read(rig_browser.client), "HTTP/1.1 503 ", 13), 0);
	assert_int_equal(rig_stream_count(), 1);
	rig_leave();
	rig.tunnel.spec.limits.total_bytes = 0;
}

/* A HEAD that fails has no body, and the connection goes on. */
static void test_a_head_that_fails_has_no_body(void **state)
{
	(void)state;
	rig_browse("HEAD http://198.51.100.7/ HTTP/1.1\r\nHost: 198.51.100.7\r\n\r\n");
	rig_refuse(rig_stream(), NETSTACK_REFUSED);
	const char *seen = rig_read(rig_browser.client);
	assert_int_equal(strncmp(seen, "HTTP/1.1 502 ", 13), 0);
	assert_string_equal(strstr(seen, "\r\n\r\n"), "\r\n\r\n");
	rig_write(rig_browser.client, GET);
	rig_connected(rig_stream());
	rig_stream_write(rig_stream(), OK2);
	assert_string_equal(rig_read(rig_browser.client), OK2_SENT);
	rig_leave();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_start, rig_stop)
	const struct CMUnitTest tests[] = {
		TEST(test_a_server_that_closes_in_order),
		TEST(test_an_upgrade_before_the_body_is_whole),
		TEST(test_a_reset_in_an_upload_ends_it),
		TEST(test_a_kept_connection_ends_with_the_quota),
		TEST(test_a_head_that_fails_has_no_body),
		TEST(test_get_goes_there_and_back),
		TEST(test_connections_are_used_again),
		TEST(test_requests_may_be_split_anywhere),
		TEST(test_answers_may_be_split_anywhere),
		TEST(test_answers_without_a_body),
		TEST(test_an_old_client_gets_no_chunks),
		TEST(test_a_body_until_close),
		TEST(test_a_body_cut_short_resets_the_client),
		TEST(test_a_server_that_says_nothing),
		TEST(test_a_lost_connection_is_replaced_once),
		TEST(test_what_has_a_body_is_not_repeated),
		TEST(test_a_kept_connection_that_ends_or_speaks_is_dropped),
		TEST(test_changed_policy_counts_for_kept_connections),
		TEST(test_bodies_go_up),
		TEST(test_a_large_body_waits_for_room),
		TEST(test_a_slow_reader_gets_all),
		TEST(test_malformed_bodies_go_nowhere),
		TEST(test_chunks_are_mended),
		TEST(test_expectations_are_passed_on),
		TEST(test_an_early_answer_closes),
		TEST(test_upgrades_become_relays),
		TEST(test_an_upgrade_that_nobody_asked_for),
		TEST(test_connect_is_handed_back),
		TEST(test_failures_to_connect),
		TEST(test_a_dead_kept_connection_in_a_dead_tunnel),
		TEST(test_malformed_requests_close),
		TEST(test_aborts_leave_nothing),
		TEST(test_a_client_that_leaves_early),
		TEST(test_a_client_that_finishes_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
