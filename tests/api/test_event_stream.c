/* /v1/events over a live connection: both formats, resuming, expiry, slow readers and the end. The fake's log holds 8 events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/event_stream.h"
#include "api_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_start(&fixture, true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static int open_stream(const char *query, const char *headers)
{
	char request[512];
	int length = snprintf(request, sizeof(request), "GET /v1/events%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", query, headers);
	int descriptor = fixture_connect(&fixture);
	fixture_write(descriptor, request, (size_t)length);
	return descriptor;
}

/* Reads up to the end of the text. */
static void expect(int descriptor, const char *wanted)
{
	char seen[256] = "";
	size_t length = 0, size = strlen(wanted);
	while (length < size || memcmp(seen + length - size, wanted, size) != 0) {
		if (length == sizeof(seen)) {
			memmove(seen, seen + length - size, size);
			length = size;
		}
		if (recv(descriptor, seen + length, 1, 0) != 1)
			fail_msg("wanted %s, got %.*s", wanted, (int)length, seen);
		length++;
	}
}

static void publish(const char *tunnel)
{
	events_publish(service_events(fixture.service), EVENT_TUNNEL_STATE, tunnel, "\"state\":\"up\"");
}

static void server_sent_events_flow(void **state)
{
	(void)state;
	int descriptor = open_stream("", "");
	expect(descriptor, "Content-Type: text/event-stream\r\n");
	expect(descriptor, "retry: 2000\n\n");
	publish("a");
	expect(descriptor, "id: 1\nevent: tunnel.state\ndata: {\"id\":1,");
	expect(descriptor, "\"tunnel\":\"a\",\"state\":\"up\"}\n\n");
	publish("b");
	expect(descriptor, "id: 2\nevent: tunnel.state\n");
	close(descriptor);
}

/* Of the next event. */
static unsigned next_id(int descriptor)
{
	unsigned id = 0;
	expect(descriptor, "id: ");
	for (char digit = 0; recv(descriptor, &digit, 1, 0) == 1 && digit != '\n';)
		id = id * 10 + (unsigned)(digit - '0');
	return id;
}

/* An event that is not wanted is skipped, and its id with it. */
static void a_reader_is_given_what_it_asks_for(void **state)
{
	(void)state;
	fake_service_add(fixture.service, "a", "eu", 1, 1);
	static const char *const queries[] = { "?tunnel=a&tunnel=c",
		                               "?type=tunnel.deleted&type=worker.restarted",
		                               "?label=pool!=us&label=pool",
		                               "?label=pool=eu&type=tunnel.state&tunnel=a",
		                               "?pool=a&pool=z",
		                               "?pool=z&tunnel=a",
		                               "?tunnel=&tunnel=/a&pool=a" };
	static const unsigned first[] = { 3, 2, 3, 4, 5, 4, 5 };
	enum { READERS = sizeof(first) / sizeof(first[0]) };
	int readers[READERS];
	for (size_t i = 0; i < READERS; i++) {
		readers[i] = open_stream(queries[i], "");
		expect(readers[i], "retry: 2000\n\n");
	}
	struct events *events = service_events(fixture.service);
	unsigned before = (unsigned)events_last_id(events);
	publish("b");
	events_publish(events, EVENT_WORKER_RESTARTED, NULL, "\"worker\":0");
	events_publish(events, EVENT_TUNNEL_DELETED, "c", "\"labels\":{\"pool\":\"ap\"}");
	publish("a");
	events_publish(events, EVENT_POOL_CREATED, "a", "");
	/* Heartbeats come whatever is asked for. */
	int beats = open_stream("?type=heartbeat", "");
	expect(beats, "retry: 2000\n\n");
	close(beats);
	for (size_t i = 0; i < READERS; i++) {
		assert_int_equal(next_id(readers[i]), before + first[i]);
		close(readers[i]);
	}
}

static void json_lines_resume(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		publish("a");
	int descriptor = open_stream("?since=3", "Accept: application/x-ndjson\r\n");
	expect(descriptor, "Content-Type: application/x-ndjson\r\n");
	expect(descriptor, "{\"id\":3,");
	expect(descriptor, "\"type\":\"heartbeat\",\"tunnel\":null}\n");
	expect(descriptor, "{\"id\":4,");
	expect(descriptor, "{\"id\":5,");
	close(descriptor);
	descriptor = open_stream("", "Last-Event-ID: 4\r\nAccept: text/event-stream\r\n");
	expect(descriptor, "id: 5\n");
	close(descriptor);
}

static void old_and_future_events_are_gone(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		publish("a");
	static const char *const gone[] = { "?since=0", "?since=5", "?since=21", "?since=999999999999" };
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		int descriptor = open_stream(gone[i], "");
		struct reply reply = fixture_read(descriptor, false);
		assert_int_equal(reply.status, 410);
		assert_non_null(strstr(reply.body, "\"code\":\"events_expired\""));
		reply_clear(&reply);
		close(descriptor);
	}
	int descriptor = open_stream("?since=12", "");
	expect(descriptor, "id: 13\n");
	close(descriptor);
	descriptor = open_stream("?since=x", "");
	struct reply reply = fixture_read(descriptor, false);
	assert_int_equal(reply.status, 400);
	reply_clear(&reply);
	close(descriptor);
}

static void slow_readers_are_told(void **state)
{
	(void)state;
	int descriptor = open_stream("", "");
	expect(descriptor, "retry: 2000\n\n");
	/* Far more than the sockets between hold, while nobody reads. */
	static char members[16384];
	memset(members, 'x', sizeof(members) - 1);
	memcpy(members, "\"pad\":\"", 7);
	members[sizeof(members) - 2] = '"';
	for (int i = 0; i < 2000; i++)
		events_publish(service_events(fixture.service), EVENT_TUNNEL_CHANGED, "a", members);
	/* What was still written ends with a last word, and the stream with it. */
	expect(descriptor, "event: problem\ndata: {\"type\":\"urn:warren:problem:events_expired\"");
	expect(descriptor, "\r\n0\r\n\r\n");
	close(descriptor);
}

static void readers_are_told_of_the_end(void **state)
{
	(void)state;
	struct fixture kept = fixture;
	int descriptor = open_stream("", ""), lines = open_stream("", "Accept: application/x-ndjson\r\n");
	expect(descriptor, "retry: 2000\n\n");
	expect(lines, "heartbeat");
	api_quiesce(kept.api);
	expect(descriptor, "event: problem\ndata: {\"type\":\"urn:warren:problem:worker_unavailable\"");
	expect(lines, "{\"type\":\"urn:warren:problem:worker_unavailable\"");
	close(descriptor);
	close(lines);
}

int main(void)
{
#define LIVE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		LIVE(a_reader_is_given_what_it_asks_for), LIVE(server_sent_events_flow), LIVE(json_lines_resume),
		LIVE(old_and_future_events_are_gone),     LIVE(slow_readers_are_told),   LIVE(readers_are_told_of_the_end),
	};
	return cmocka_run_group_tests_name("event stream", tests, NULL, NULL);
}
