/* Response heads: framing in every case of RFC 9112, 6.3, and what is forwarded to the client. Each is read whole and cut at each byte (X2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_response.h"

static struct http_response response, again;
static char written[HTTP_HEAD_ROOM];
static const struct http_asked get = { .keep_alive = true };
static const struct http_asked head = { .keep_alive = true, .head = true };
static const struct http_asked old = { .old = true };
static const struct http_asked upgrade = { .keep_alive = true, .upgrade = true };

/* Reading repairs in place, so each try has its own copy; `response` points into `kept`. */
static char kept[HTTP_HEAD_MAX + 100], tried[HTTP_HEAD_MAX + 100];

static enum http_progress read_bytes(const struct http_asked *asked, const char *text, size_t length)
{
	struct http_head_search search = { 0 };
	memcpy(kept, text, length);
	enum http_progress progress = http_response_read(&response, asked, &search, kept, length);
	for (size_t cut = 0; cut < length && (progress != HTTP_WHOLE || cut < response.length_of_head); cut++) {
		char *part = malloc(cut > 0 ? cut : 1);
		memcpy(part, text, cut);
		memcpy(tried, text, length);
		search = (struct http_head_search){ 0 };
		enum http_progress other = http_response_read(&again, asked, &search, part, cut);
		free(part);
		if (other == HTTP_MORE)
			other = http_response_read(&again, asked, &search, tried, length);
		if (other != progress ||
		    (progress == HTTP_REFUSED && (again.fault.status != response.fault.status || again.fault.error != response.fault.error)))
			fail_msg("another outcome when cut at %zu: %s", cut, text);
	}
	return progress;
}

static void takes(const struct http_asked *asked, const char *text)
{
	if (read_bytes(asked, text, strlen(text)) != HTTP_WHOLE)
		fail_msg("%s: %s", response.fault.detail == NULL ? "" : response.fault.detail, text);
	assert_int_equal(response.length_of_head, strlen(text));
}

static void refuses(const struct http_asked *asked, const char *text, enum http_error error)
{
	if (read_bytes(asked, text, strlen(text)) != HTTP_REFUSED)
		fail_msg("taken: %s", text);
	assert_int_equal(response.fault.status, 502);
	assert_int_equal(response.fault.error, error);
	assert_non_null(response.fault.detail);
}

static void goes_on_as(const struct http_asked *asked, const char *text, const char *expected)
{
	takes(asked, text);
	size_t length = http_response_write(&response, asked, true, written, sizeof(written));
	written[length] = '\0';
	assert_string_equal(written, expected);
	assert_true(http_response_write(&response, asked, false, written, sizeof(written)) > 0);
	assert_true(response.interim || response.upgraded || strstr(written, "\r\nConnection: close\r\n") != NULL);
	for (size_t room = 0; room < length; room++)
		assert_int_equal(http_response_write(&response, asked, true, written, room), 0);
}

static void reads_status_lines(void **state)
{
	(void)state;
	takes(&get, "HTTP/1.1 200 OK\r\n\r\n");
	assert_int_equal(response.status, 200);
	assert_memory_equal(response.reason.bytes, "OK", 2);
	takes(&get, "HTTP/1.0 599 \r\n\r\n");
	assert_int_equal(response.reason.length, 0);
	takes(&get, "HTTP/1.1 404\r\n\r\n");
	takes(&get, "HTTP/1.9 200 Not \xc3\xa4\tat all\r\n\r\n");
	static const char *const bad[] = {
		"HTTP/2 200 OK",   "HTTP/2.0 200 OK", "HTTP/1.1 20 OK",   "HTTP/1.1 099 OK",  "HTTP/1.1 2000 OK",
		"HTTP/1.1 +20 OK", "HTTP/1.1 2:0 OK", "HTTP/1.1200 OK",   "HTTP/1.12 200 OK", "HTTP/1.1 4294967496 OK",
		"ICY 200 OK",      "HTTP/1.1",        " HTTP/1.1 200 OK", "SSH-2.0-x",        "A: b",
	};
	char text[100];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s\r\nA: b\r\n\r\n", bad[i]);
		refuses(&get, text, HTTP_ERROR_HTTP_PROTOCOL_ERROR);
	}
	refuses(&get, "<html>hello\n", HTTP_ERROR_HTTP_PROTOCOL_ERROR);
	/* Before a line end comes, which may be never. */
	refuses(&get, "220 mail", HTTP_ERROR_HTTP_PROTOCOL_ERROR);
	refuses(&get, "\x05\xff", HTTP_ERROR_HTTP_PROTOCOL_ERROR);
}

static void repairs_status_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line, *written;
	} cases[] = {
		{ "HTTP/1.1 999 Request denied", "HTTP/1.1 999 Request denied" },
		{ "HTTP/1.1 600 x", "HTTP/1.1 600 x" },
		{ "HTTP/1.1 404: x", "HTTP/1.1 404 x" },
		{ "HTTP/1.1 404:", "HTTP/1.1 404 " },
		{ "HTTP/1.1  404 \t x", "HTTP/1.1 404 x" },
		{ "HTTP/1.1\t404\tx", "HTTP/1.1 404 x" },
		{ "http/1.1 404 x", "HTTP/1.1 404 x" },
		{ "hTTp/1.0 404 x", "HTTP/1.1 404 x" },
		{ "HTTP/1.1 404 a\rb\x01\x7f"
		  "c",
		  "HTTP/1.1 404 a b  c" },
		{ "\r\n\r\nHTTP/1.1 404 x", "HTTP/1.1 404 x" },
		{ "\n\r\nHTTP/1.1 404 x", "HTTP/1.1 404 x" },
	};
	char text[100], expected[100];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", cases[i].line);
		snprintf(expected, sizeof(expected), "%s\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", cases[i].written);
		goes_on_as(&get, text, expected);
	}
}

static void repairs_fields(void **state)
{
	(void)state;
	static const struct {
		const char *lines, *written;
	} cases[] = {
		{ "A: b\nC: d\n", "A: b\r\nC: d\r\n" },
		{ "A: b\r\n c\r\n\td\r\nE: f\r\n", "A: b   c  \td\r\nE: f\r\n" },
		{ "A: b\n c\n", "A: b  c\r\n" },
		{ "A:\r\n b\r\n", "A: b\r\n" },
		{ "A: b\r\n \r\nC: d\r\n", "A: b\r\nC: d\r\n" },
		{ " folded: x\r\n more\r\nA: b\r\n", "A: b\r\n" },
		{ "no colon\r\n folded: x\r\nA: b\r\n", "A: b\r\n" },
		{ "A: b\r\n Content-Length: 5\r\n", "A: b   Content-Length: 5\r\n" },
		{ "A: \x01"
		  "b\rc\x7f\r\n",
		  "A: b c\r\n" },
		{ ": x\r\n", "" },
		{ "A b: c\r\n", "" },
		{ "\xc3\xa4: c\r\n", "" },
		{ "A\x01: c\r\n", "A: c\r\n" },
		{ "A\x01"
		  "b: c\r\n",
		  "" },
		{ "HTTP/1.1 200 OK\r\n", "" },
		{ "Connection: Keep-Alive; timeout=5\r\n", "" },
		{ "Connection: a b, X\r\nX: y\r\n", "" },
		{ "Content-Length: 0\r\n", "" },
		{ "Content-Length:\r\n 0, 0\r\n", "" },
		{ "Transfer-Encoding: identity\r\n", "" },
		{ "Transfer-Encoding:\r\n", "" },
	};
	char text[200], expected[200];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n", cases[i].lines);
		snprintf(expected, sizeof(expected), "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", cases[i].written);
		goes_on_as(&get, text, expected);
	}
	static const char nul[] = "HTTP/1.1 204 a\0b\r\nA: b\0c\r\n\r\n";
	assert_int_equal(read_bytes(&get, nul, sizeof(nul) - 1), HTTP_WHOLE);
	written[http_response_write(&response, &get, true, written, sizeof(written))] = '\0';
	assert_string_equal(written, "HTTP/1.1 204 a b\r\nA: b c\r\nConnection: keep-alive\r\n\r\n");
}

static void frames_bodies(void **state)
{
	(void)state;
	takes(&get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_LENGTH);
	assert_int_equal(response.length, 5);
	assert_true(response.keep_alive);
	takes(&get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_CHUNKED);
	static const char *const chunked[] = { "chunked, chunked", "identity,chunked,", "chunked\r\nTransfer-Encoding: chunked" };
	char coded[100];
	for (size_t i = 0; i < sizeof(chunked) / sizeof(chunked[0]); i++) {
		snprintf(coded, sizeof(coded), "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n", chunked[i]);
		takes(&get, coded);
		assert_int_equal(response.framing, HTTP_FRAMING_CHUNKED);
		assert_true(response.keep_alive);
	}
	takes(&get, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_CHUNKED);
	assert_false(response.keep_alive);
	takes(&get, "HTTP/1.1 200 OK\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_CLOSE);
	assert_false(response.keep_alive);
	assert_false(http_response_keeps_client(&response, &get));
	takes(&head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_NONE);
	assert_true(response.keep_alive);
	takes(&head, "HTTP/1.1 200 OK\r\n\r\n");
	assert_int_equal(response.framing, HTTP_FRAMING_NONE);
	static const unsigned empty[] = { 100, 103, 204, 304 };
	char text[100];
	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 %u x\r\nContent-Length: 5\r\n\r\n", empty[i]);
		takes(&get, text);
		assert_int_equal(response.framing, HTTP_FRAMING_NONE);
		assert_int_equal(response.interim, empty[i] < 200);
		assert_true(response.keep_alive);
	}
}

/* curl takes these, as the number that they begin with, and none can be another one. It also takes «5.5», «5e1» and «5 6», which can. */
static void repairs_lengths(void **state)
{
	(void)state;
	static const char *const fives[] = { "00000000000000000000005", "5.0", "5.", "5;", "5; x=y", "5 bytes", "5, 05, 5.00" };
	char text[200];
	for (size_t i = 0; i < sizeof(fives) / sizeof(fives[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", fives[i]);
		goes_on_as(&get, text, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	}
	takes(&get, "HTTP/1.1 200 OK\r\nContent-Length: 000\r\n\r\n");
	assert_int_equal(response.length, 0);
}

/* Line ends that were doubled by a text mode; curl takes them. */
static void an_empty_line_may_end_with_two_crs(void **state)
{
	(void)state;
	goes_on_as(&get, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\r\n\r\r\n",
	           "HTTP/1.1 200 OK \r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

static void X1_refuses_framing(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 6\r\n",
		"Content-Length: 5, 6\r\n",
		"Content-Length: 5 5\r\n",
		"Content-Length: 0x5\r\n",
		"Content-Length: 5.5\r\n",
		"Content-Length: 5e1\r\n",
		"Content-Length: 5 x6\r\n",
		"Content-Length: 5;6\r\n",
		"Content-Length: bytes 5\r\n",
		"Content-Length: 5.0, 6\r\n",
		"Content-Length: 00018446744073709551616\r\n",
		"Content-Length: 5\r\n 5\r\n",
		"Content-Length: +5\r\n",
		"Content-Length: -1\r\n",
		"Content-Length: 18446744073709551616\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: chunked, gzip\r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked;q=1\r\n",
		"Transfer-Encoding: identity chunked\r\n",
	};
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%s\r\n", bad[i]);
		refuses(&get, text, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING);
		refuses(&head, text, HTTP_ERROR_HTTP_RESPONSE_TRANSFER_CODING);
	}
}

static void keeps_the_servers_connection(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool kept;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, CLOSE, keep-alive\r\n\r\n", false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\nConnection: x\r\n\r\n", true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nProxy-Connection: Keep-Alive\r\n\r\n", false },
		{ "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive; timeout=5\r\n\r\n", false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: \"keep-alive\"\r\n\r\n", false },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		takes(&get, cases[i].text);
		assert_int_equal(response.keep_alive, cases[i].kept);
	}
}

static void X3_writes_for_the_client(void **state)
{
	(void)state;
	goes_on_as(&get,
	           "HTTP/1.0 200 Fine\r\nServer: s\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: "
	           "Basic\r\nUpgrade: h2\r\n"
	           "Trailer: a\r\nSet-Cookie: a\r\nContent-Length: 007\r\nSet-Cookie: b\r\nProxy-Status: x\r\n\r\n",
	           "HTTP/1.1 200 Fine\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 200 OK\r\ntransfer-encoding:CHUNKED\r\n\r\n",
	           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 204\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 304 x\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n");
	goes_on_as(&get, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
	/* RFC 9112, 5.1 */
	goes_on_as(&get, "HTTP/1.1 200 OK\r\nContent-Length \t: 1\r\nA : b\r\n\r\n",
	           "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n");
}

static void writes_for_an_old_client(void **state)
{
	(void)state;
	goes_on_as(&old, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	goes_on_as(&old, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

static void X3_upgrades(void **state)
{
	(void)state;
	goes_on_as(&upgrade, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 4\r\n\r\n",
	           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
	assert_true(response.upgraded);
	assert_false(response.interim || response.keep_alive);
	assert_false(http_response_keeps_client(&response, &upgrade));
	refuses(&get, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", HTTP_ERROR_HTTP_UPGRADE_FAILED);
	refuses(&upgrade, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n", HTTP_ERROR_HTTP_UPGRADE_FAILED);
	goes_on_as(&upgrade, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
	           "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

static void bounds_of_a_head(void **state)
{
	(void)state;
	static char text[HTTP_HEAD_MAX + 100];
	struct http_head_search search = { 0 };
	memset(text, 'x', sizeof(text));
	memcpy(text, "HTTP/1.1 200 OK\r\nX:", 19);
	assert_int_equal(http_response_read(&response, &get, &search, text, HTTP_HEAD_MAX - 1), HTTP_MORE);
	assert_int_equal(http_response_read(&response, &get, &search, text, sizeof(text)), HTTP_REFUSED);
	assert_int_equal(response.fault.error, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE);
	strcpy(text, "HTTP/1.1 200 OK\r\n");
	for (size_t i = 0; i <= HTTP_FIELD_MAX; i++)
		strcat(text, "a:\r\n");
	strcat(text, "\r\n");
	search = (struct http_head_search){ 0 };
	assert_int_equal(http_response_read(&response, &get, &search, text, strlen(text)), HTTP_REFUSED);
	assert_int_equal(response.fault.error, HTTP_ERROR_HTTP_RESPONSE_HEADER_SECTION_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_status_lines),
		cmocka_unit_test(repairs_status_lines),
		cmocka_unit_test(repairs_fields),
		cmocka_unit_test(frames_bodies),
		cmocka_unit_test(X1_refuses_framing),
		cmocka_unit_test(repairs_lengths),
		cmocka_unit_test(an_empty_line_may_end_with_two_crs),
		cmocka_unit_test(keeps_the_servers_connection),
		cmocka_unit_test(X3_writes_for_the_client),
		cmocka_unit_test(writes_for_an_old_client),
		cmocka_unit_test(X3_upgrades),
		cmocka_unit_test(bounds_of_a_head),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
