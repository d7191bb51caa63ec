/* Request heads: which are accepted, which are refused, and what is forwarded to the server. Every input is read whole, cut at each byte and byte
 * by byte, with the same outcome (X2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_request.h"

static struct http_request request, again;
static char written[HTTP_HEAD_ROOM], written_again[HTTP_HEAD_ROOM];

static void expect_same_outcome(enum http_progress progress, enum http_progress other, size_t cut)
{
	if (progress != other || request.fault.status != again.fault.status || request.length_of_head != again.length_of_head)
		fail_msg("another outcome when cut at %zu: %d %d", cut, (int)other, again.fault.status);
	if (progress != HTTP_WHOLE || request.asked.connect)
		return;
	size_t length = http_request_write(&request, true, written, sizeof(written));
	assert_int_equal(http_request_write(&again, true, written_again, sizeof(written_again)), length);
	assert_memory_equal(written, written_again, length);
}

/* `text` is copied to memory of exactly its size. */
static enum http_progress read_cut(const char *text, size_t length, size_t cut, struct http_head_search *search)
{
	char *part = malloc(cut > 0 ? cut : 1);
	memcpy(part, text, cut);
	enum http_progress progress = http_request_read(&again, search, part, cut);
	free(part);
	return progress == HTTP_MORE && cut < length ? http_request_read(&again, search, text, length) : progress;
}

/* Once whole, cut at each byte, and byte by byte. */
static enum http_progress read_bytes(const char *text, size_t length)
{
	struct http_head_search search = { 0 };
	enum http_progress progress = http_request_read(&request, &search, text, length), other = HTTP_MORE;
	for (size_t cut = 0; cut <= length; cut++) {
		search = (struct http_head_search){ 0 };
		/* What was found in the part that is freed points there: only when it ended exactly there does nothing follow. */
		if (progress == HTTP_WHOLE && cut >= request.length_of_head)
			break;
		other = read_cut(text, length, cut, &search);
		if (progress != HTTP_MORE)
			expect_same_outcome(progress, other, cut);
		else
			assert_int_equal(other, HTTP_MORE);
	}
	search = (struct http_head_search){ 0 };
	other = HTTP_MORE;
	for (size_t n = 0; n <= length && other == HTTP_MORE; n++)
		other = http_request_read(&again, &search, text, n);
	assert_int_equal(progress, other);
	if (progress != HTTP_MORE)
		expect_same_outcome(progress, other, length);
	return progress;
}

static enum http_progress read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

static void takes(const char *text)
{
	if (read_text(text) != HTTP_WHOLE)
		fail_msg("%d %s: %s", request.fault.status, request.fault.detail == NULL ? "" : request.fault.detail, text);
}

static void refuses(const char *text, unsigned status)
{
	enum http_progress progress = read_text(text);
	if (progress != HTTP_REFUSED || request.fault.status != status)
		fail_msg("%d with %d instead of %u: %s", (int)progress, request.fault.status, status, text);
	assert_non_null(request.fault.detail);
	assert_int_equal(request.fault.error, HTTP_ERROR_HTTP_REQUEST_ERROR);
}

/* A request with one or more field lines of its own. */
static const char *with(const char *fields)
{
	static char text[70000];
	snprintf(text, sizeof(text), "POST http://a/ HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	return text;
}

static void goes_on_as(const char *text, const char *expected)
{
	takes(text);
	size_t length = http_request_write(&request, true, written, sizeof(written));
	written[length] = '\0';
	assert_string_equal(written, expected);
}

static void reads_absolute_form(void **state)
{
	(void)state;
	takes("GET http://Example.COM:8080/a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\n\r\nrest");
	assert_string_equal(request.target.host, "example.com");
	assert_int_equal(request.target.port, 8080);
	assert_memory_equal(request.path.bytes, "/a/b?c=d", request.path.length);
	assert_int_equal(request.path.length, 8);
	assert_int_equal(request.length_of_head, strlen("GET http://Example.COM:8080/a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"));
	assert_int_equal(request.framing, HTTP_FRAMING_NONE);
	assert_true(request.asked.keep_alive);
	assert_false(request.asked.connect || request.asked.head || request.asked.upgrade || request.asked.old || request.expect_continue);
	takes("HEAD HTTP://192.0.2.1 HTTP/1.1\r\nHost:192.0.2.1\r\n\r\n");
	assert_true(request.asked.head);
	assert_int_equal(request.target.address.family, 2);
	assert_int_equal(request.target.port, 80);
	takes("PROPFIND http://[2001:db8::1]:81/ HTTP/1.2\r\nHost: [2001:db8::1]:81\r\n\r\n");
	assert_string_equal(request.target.host, "2001:db8::1");
	takes("\r\n\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_int_equal(request.length_of_head, 39);
}

static void reads_every_method(void **state)
{
	(void)state;
	static const char *const methods[] = { "GET",   "HEAD",  "POST",  "PUT",      "DELETE", "OPTIONS",
		                               "TRACE", "PATCH", "MKCOL", "M-SEARCH", "get",    "a!#$%&'*+-.^_`|~9" };
	char text[200], expected[200];
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(text, sizeof(text), "%s http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", methods[i]);
		snprintf(expected, sizeof(expected), "%s /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", methods[i]);
		goes_on_as(text, expected);
	}
	refuses("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 501);
}

static void refuses_other_targets(void **state)
{
	(void)state;
	refuses("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	assert_non_null(strstr(request.fault.detail, "proxy"));
	refuses("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("connect a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://u@b@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://u[@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://u\x01@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://\xc3\xa4@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://u@/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://@ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a:0/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a:65536/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a\\@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a/x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a#y HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://0x7f.1/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
}

static void refuses_request_lines(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"GET",
		"GET http://a/",
		"GET  http://a/ HTTP/1.1",
		"GET http://a/  HTTP/1.1",
		"GET http://a/ HTTP/1.1 ",
		" GET http://a/ HTTP/1.1",
		"GET\thttp://a/ HTTP/1.1",
		"GET http://a/ HTTP/1.10",
		"GET http://a/ HTTP/1",
		"GET http://a/ http/1.1",
		"GET http://a/ HTTP/x.1",
		"GET http://a/ HTTP/1.x",
		"GET http://a/ HTTP/1,1",
		"G(T http://a/ HTTP/1.1",
		"GET  HTTP/1.1",
		"GET http://a/ b HTTP/1.1",
		"GET http://a/\x7f HTTP/1.1",
		": HTTP/1.1",
		"\x16\x03\x01",
		"{\"a\": 1}",
		"GET http://a/ ",
	};
	char text[200];
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "%s\r\nHost: a\r\n\r\n", lines[i]);
		refuses(text, 400);
	}
	refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
	refuses("GET http://a/ HTTP/0.9\r\nHost: a\r\n\r\n", 505);
	refuses("GET http://a/ HTTP/3.0\r\nHost: a\r\n\r\n", 505);
}

static void X1_framing(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 6\r\n",
		"Content-Length: 5, 5\r\n",
		"Content-Length: 5,\r\n",
		"Content-Length: +5\r\n",
		"Content-Length: 0x5\r\n",
		"Content-Length: -1\r\n",
		"Content-Length: 18446744073709551616\r\n",
		"Content-Length: 18446744073709551615\r\n",
		"Content-Length: 9223372036854775808\r\n",
		"Content-Length: 99999999999999999999\r\n",
		"Content-Length: \r\n",
		"Content-Length: 5 5\r\n",
		"Content-Length: 5;\r\n",
		"Content-Length: five\r\n",
		"Content-Length: 5.0\r\n",
		"Content-Length: \"5\"\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: chunked, chunked\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: gzip\r\n",
		"Transfer-Encoding: identity\r\n",
		"Transfer-Encoding: chunked, identity\r\n",
		"Transfer-Encoding: \r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding: chunked;q=1\r\n",
		"Transfer-Encoding: chunked,\r\n",
		"Transfer-Encoding: \013chunked\r\n",
		"Transfer-Encoding: \"chunked\"\r\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(with(bad[i]), 400);
	refuses("POST http://a/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
	takes(with("Transfer-Encoding: ChUnKeD\r\n"));
	assert_int_equal(request.framing, HTTP_FRAMING_CHUNKED);
	takes(with("transfer-encoding:chunked \t\r\n"));
	assert_int_equal(request.framing, HTTP_FRAMING_CHUNKED);
	takes(with("Content-Length: 9223372036854775807\r\n"));
	assert_int_equal(request.framing, HTTP_FRAMING_LENGTH);
	assert_true(request.length == INT64_MAX);
	takes(with("Content-Length: 0\r\n"));
	assert_int_equal(request.length, 0);
}

static void X1_field_lines(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"Content-Length : 5\r\n",
		"X: a\r\n b\r\n",
		"X: a\r\n\tb\r\n",
		" X: a\r\n",
		": a\r\n",
		"X\r\n",
		"X a: b\r\n",
		"X\t: b\r\n",
		"X(: b\r\n",
		"X: a\rb\r\n",
		"X: \x01\r\n",
		"X: \x7f\r\n",
		"X: a\r\r\n",
		"\xc3\xa4: b\r\n",
		"X: a\n",
		"X: a\nY: b\r\n",
		"X: a\r\n\nY: b\r\n",
		"X: a\n\r\n",
		"Transfer-Encoding\x0b: chunked\r\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(with(bad[i]), 400);
	static const char nul[] = "GET http://a/ HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
			  name[] = "GET http://a/ HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", path[] = "GET http://a/\0 HTTP/1.1\r\nHost: a\r\n\r\n";
	assert_int_equal(read_bytes(nul, sizeof(nul) - 1), HTTP_REFUSED);
	assert_int_equal(read_bytes(name, sizeof(name) - 1), HTTP_REFUSED);
	assert_int_equal(read_bytes(path, sizeof(path) - 1), HTTP_REFUSED);
	refuses("GET http://a/ HTTP/1.1\nHost: a\n\n", 400);
	refuses("\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400);
	takes(with("X:\r\nY: \t \r\nZ:\xc3\xa4 \t, a\r\n"));
	assert_int_equal(request.fields.count, 4);
	assert_int_equal(request.fields.list[2].value.length, 0);
	assert_int_equal(request.fields.list[3].value.length, 7);
}

static void X1_hosts(void **state)
{
	(void)state;
	refuses("GET http://a/ HTTP/1.1\r\n\r\n", 400);
	refuses("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400);
	refuses("GET http://a/ HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", 400);
	refuses("GET http://a/ HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400);
	static const char *const bad[] = { "a b", "a, b", "u@a", "a:b", "a:0", "a:65536", "http://a", "a/", "[::1", "a^b", "a\\b", ":80" };
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "GET http://a/ HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
		refuses(text, 400);
		snprintf(text, sizeof(text), "GET http://a/ HTTP/1.0\r\nHost: %s\r\n\r\n", bad[i]);
		refuses(text, 400);
	}
	/* RFC 9112, 3.2: a client whose target has no authority of its own sends it empty, and some always do. */
	/* Legal names (RFC 3986, 3.2.2) that cannot be a target; beside one they say nothing. */
	static const char *const legal[] = { "123", "a!b", "%61", "127.1", "a,b", "123:80", "a!b:" };
	for (size_t i = 0; i < sizeof(legal) / sizeof(legal[0]); i++) {
		snprintf(text, sizeof(text), "GET http://a/ HTTP/1.1\r\nHost: %s\r\n\r\n", legal[i]);
		goes_on_as(text, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
		snprintf(text, sizeof(text), "GET http://%s/ HTTP/1.1\r\nHost: a\r\n\r\n", legal[i]);
		refuses(text, 400);
	}
	goes_on_as("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://a/ HTTP/1.0\r\nHost: \r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	takes("CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n");
	/* RFC 9110, 4.2.4: userinfo is not forwarded. */
	goes_on_as("GET http://me:pw@a:0000081/x@y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x@y HTTP/1.1\r\nHost: a:81\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://@a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://u%40:!$&'()*+,;=-._~@[::2]/ HTTP/1.1\r\nHost: a\r\n\r\n",
	           "GET / HTTP/1.1\r\nHost: [::2]\r\nConnection: keep-alive\r\n\r\n");
	/* RFC 9112, 3.2.2: the target takes precedence. */
	goes_on_as("GET http://a:81/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:81\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://[::2]/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::2]\r\nConnection: keep-alive\r\n\r\n");
}

static void X3_hop_by_hop(void **state)
{
	(void)state;
	goes_on_as("POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close, X-One ,, te\r\nX-One: 1\r\nX-Two: 2\r\nKeep-Alive: timeout=5\r\nTE: "
	           "trailers\r\n"
	           "Trailer: X-Sum\r\nUpgrade: h2c\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic dTpw\r\nProxy-Authenticate: "
	           "Basic\r\nProxy-Thing: x\r\n"
	           "Via: 1.0 b\r\nTransfer-Encoding: chunked\r\nx-one: again\r\nConnection: x-three\r\nX-Three: 3\r\n\r\n",
	           "POST / HTTP/1.1\r\nHost: a\r\nX-Two: 2\r\nVia: 1.0 b\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
	assert_false(request.asked.keep_alive);
	/* Fields that the message depends on are kept, whatever Connection says. */
	goes_on_as(with("Connection: content-length, host\r\nContent-Length: 5\r\n"),
	           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	refuses(with("Connection: a b\r\n"), 400);
	refuses(with("Connection: \"a\"\r\n"), 400);
	refuses(with("Proxy-Connection: @\r\n"), 400);
	takes(with("Proxy-Connection: close\r\n"));
	assert_false(request.asked.keep_alive);
	char many[400] = "Connection: a";
	for (size_t i = 0; i < 63; i++)
		strcat(many, ",a");
	takes(with(strcat(many, "\r\n")));
	memcpy(many + strlen(many) - 2, ",b\r\n", 5);
	refuses(with(many), 400);
}

static void X3_upgrade(void **state)
{
	(void)state;
	goes_on_as(
	    "GET http://a/chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
	    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade\r\n\r\n");
	assert_true(request.asked.upgrade);
	goes_on_as(with("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n"),
	           "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 2\r\nConnection: upgrade\r\n\r\n");
	assert_true(request.asked.upgrade);
	takes(with("Connection: upgrade\r\n"));
	assert_false(request.asked.upgrade);
	takes(with("Upgrade: websocket\r\n"));
	assert_false(request.asked.upgrade);
	takes("GET http://a/ HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	assert_false(request.asked.upgrade);
	takes(with("Proxy-Connection: upgrade\r\nUpgrade: x\r\n"));
	assert_false(request.asked.upgrade);
}

static void X4_control_bytes(void **state)
{
	(void)state;
	static const char *const bad[] = { "http://a%0d%0ab/", "http://a%00/",  "http://%61/", "http://a/%0d%0aX:1", "http://a/%00",
		                           "http://a/%0A?x",   "http://a/%0Dx", "http://a/\r", "http://a\rb/",       "http://a/b\x0b" };
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
		refuses(text, 400);
	}
	/* In a query they are what a form sends; other encodings stay as they are. */
	goes_on_as("GET http://a/%41%zz%?text=1%0D%0A2&x=\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
	           "GET /%41%zz%?text=1%0D%0A2&x=\xc3\xa4 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	takes("GET http://a/% HTTP/1.1\r\nHost: a\r\n\r\n");
	takes("GET http://a/%0 HTTP/1.1\r\nHost: a\r\n\r\n");
	takes("GET http://a/%20%0%1 HTTP/1.1\r\nHost: a\r\n\r\n");
	takes("GET http://a/%09 HTTP/1.1\r\nHost: a\r\n\r\n");
}

static void X5_connect(void **state)
{
	(void)state;
	takes("CONNECT Example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n\x16\x03\x01 early data");
	assert_true(request.asked.connect);
	assert_string_equal(request.target.host, "example.com");
	assert_int_equal(request.target.port, 443);
	assert_int_equal(request.length_of_head, 59);
	takes("CONNECT [2001:db8::1]:22 HTTP/1.1\r\nHost: [2001:db8::1]:22\r\n\r\n");
	assert_string_equal(request.target.host, "2001:db8::1");
	takes("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
	assert_false(request.asked.upgrade);
	takes("CONNECT a:1 HTTP/1.0\r\n\r\n");
	assert_false(request.asked.keep_alive);
	takes("CONNECT a:65535 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(request.framing, HTTP_FRAMING_NONE);
	static const char *const bad[] = { "a",
		                           "a:",
		                           "a:0",
		                           "a:65536",
		                           "a:x",
		                           "u@a:443",
		                           "u:p@a:443",
		                           "[::1]",
		                           "[::1",
		                           "::1:443",
		                           "http://a:443",
		                           "http://a/",
		                           "/",
		                           "*",
		                           ":443",
		                           "a:443/",
		                           "a:443?",
		                           "a%2e:443",
		                           "[fe80::1%25eth0]:443",
		                           "0x7f.1:443",
		                           "a:44 3" };
	char text[200];
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
		refuses(text, 400);
	}
	refuses("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 400);
	refuses("CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
	refuses("CONNECT a:443 HTTP/1.1\r\n\r\n", 400);
}

static void X8_credentials(void **state)
{
	(void)state;
	takes(with(""));
	assert_false(request.has_credentials);
	takes(with("proxy-authorization: bAsic dXNlcjpwYXNz\r\n"));
	assert_true(request.has_credentials);
	assert_memory_equal(request.credentials.username, "user", 5);
	assert_memory_equal(request.credentials.password, "pass", 5);
	struct credentials none = { 0 };
	http_request_clear(&request);
	assert_false(request.has_credentials);
	assert_memory_equal(&request.credentials, &none, sizeof(none));
	static const char *const bad[] = { "Proxy-Authorization: Basic dXNlcjpwYXN\r\n", "Proxy-Authorization: Basic dXNlcg==\r\n",
		                           "Proxy-Authorization: \r\n", "Proxy-Authorization: Basic dTpw\r\nProxy-Authorization: Basic dTpw\r\n",
		                           "Authorization: Basic dTpw\r\n" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		takes(with(bad[i]));
		assert_false(request.has_credentials);
	}
}

static void writes_origin_form(void **state)
{
	(void)state;
	goes_on_as("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("OPTIONS http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /?b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("PUT http://a:/x HTTP/1.1\r\nHost: a:\r\nContent-Length:0005\r\nB:c\r\n\r\n",
	           "PUT /x HTTP/1.1\r\nHost: a\r\nB: c\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	size_t length = http_request_write(&request, false, written, sizeof(written));
	written[length] = '\0';
	assert_non_null(strstr(written, "\r\nConnection: close\r\n\r\n"));
	for (size_t room = 0; room < length; room++) {
		char *out = malloc(room > 0 ? room : 1);
		assert_int_equal(http_request_write(&request, false, out, room), 0);
		free(out);
	}
	assert_int_equal(http_request_write(&request, false, written, length), length);
}

static void reads_expectations(void **state)
{
	(void)state;
	takes(with("Expect: 100-Continue\r\nContent-Length: 5\r\n"));
	assert_true(request.expect_continue);
	size_t length = http_request_write(&request, true, written, sizeof(written));
	written[length] = '\0';
	assert_non_null(strstr(written, "Expect: 100-Continue\r\n"));
	takes(with("Expect: 100-continue\r\n"));
	assert_false(request.expect_continue);
	takes(with("Expect: 100-continue\r\nConnection: expect\r\nContent-Length: 5\r\n"));
	assert_false(request.expect_continue);
	refuses(with("Expect: 200-ok\r\n"), 417);
	refuses(with("Expect: 100-continue\r\nExpect: 100-continue\r\n"), 417);
	goes_on_as("POST http://a/ HTTP/1.0\r\nExpect: anything\r\nContent-Length: 5\r\n\r\n",
	           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");
	assert_true(request.asked.old);
	takes("GET http://a/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	assert_false(request.asked.keep_alive);
}

static void counts_forwards(void **state)
{
	(void)state;
	goes_on_as("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 10\r\n\r\n",
	           "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\nConnection: keep-alive\r\n\r\n");
	goes_on_as("GET http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
	           "GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: keep-alive\r\n\r\n");
	refuses("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 501);
	refuses("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n", 400);
	refuses("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards:\r\n\r\n", 400);
	refuses("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1x\r\n\r\n", 400);
	refuses("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1234567890\r\n\r\n", 400);
	takes("PATCH http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n");
	takes("REPORTS http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n");
	refuses("TRACE http://a/ HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\nMax-Forwards: 2\r\n\r\n", 400);
}

static void X2_pipelined(void **state)
{
	(void)state;
	static const char text[] = "GET http://a/1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST http://b/2 HTTP/1.1\r\nHost: b\r\nContent-Length: "
				   "3\r\n\r\nabcGET http://c/3 HTTP/1.0\r\n\r\n";
	static const char *const hosts[] = { "a", "b", "c" };
	size_t at = 0;
	for (size_t i = 0; i < 3; i++) {
		takes(text + at);
		assert_string_equal(request.target.host, hosts[i]);
		at += request.length_of_head + (size_t)request.length;
	}
	assert_int_equal(at, sizeof(text) - 1);
	assert_int_equal(read_text(text + at), HTTP_MORE);
}

/* Only whole and in pieces of 1,000 bytes: each cut of 64 KB takes too long. */
static enum http_progress read_large(const char *text, size_t length)
{
	struct http_head_search search = { 0 }, other = { 0 };
	enum http_progress progress = http_request_read(&request, &search, text, length), result = HTTP_MORE;
	for (size_t n = 0; result == HTTP_MORE && n <= length; n = n == length ? n + 1 : n + 1000 > length ? length : n + 1000)
		result = http_request_read(&again, &other, text, n);
	assert_int_equal(progress, result);
	assert_int_equal(request.fault.status, again.fault.status);
	return progress;
}

static void bounds_of_a_head(void **state)
{
	(void)state;
	static char text[HTTP_HEAD_MAX + 100];
	static const char start[] = "GET http://a/ HTTP/1.1\r\nHost: a\r\nX:";
	memset(text, 'x', sizeof(text));
	memcpy(text, start, sizeof(start) - 1);
	memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(read_large(text, HTTP_HEAD_MAX), HTTP_WHOLE);
	assert_true(http_request_write(&request, true, written, sizeof(written)) > 65000);
	assert_int_equal(read_large(text, HTTP_HEAD_MAX - 1), HTTP_MORE);
	memset(text + HTTP_HEAD_MAX - 4, 'x', 4);
	memcpy(text + HTTP_HEAD_MAX - 3, "\r\n\r\n", 4);
	assert_int_equal(read_large(text, HTTP_HEAD_MAX + 1), HTTP_REFUSED);
	assert_int_equal(request.fault.status, 431);
	memset(text + HTTP_HEAD_MAX - 3, 'x', 4);
	text[HTTP_HEAD_MAX] = '\n';
	assert_int_equal(read_large(text, sizeof(text)), HTTP_REFUSED);
	assert_int_equal(request.fault.status, 431);
}

static void bounds_of_the_fields(void **state)
{
	(void)state;
	static char text[8000];
	strcpy(text, "GET http://a/ HTTP/1.1\r\nHost: a\r\n");
	for (size_t i = 0; i < HTTP_FIELD_MAX - 1; i++)
		strcat(text, "a:\r\n");
	strcat(text, "\r\n");
	assert_int_equal(read_large(text, strlen(text)), HTTP_WHOLE);
	assert_int_equal(request.fields.count, HTTP_FIELD_MAX);
	assert_true(http_request_write(&request, true, written, strlen(text) + HTTP_HEAD_ROOM - HTTP_HEAD_MAX) > 0);
	memcpy(text + strlen(text) - 2, "a:\r\n\r\n", 7);
	assert_int_equal(read_large(text, strlen(text)), HTTP_REFUSED);
	assert_int_equal(request.fault.status, 431);
}

/* X16: nothing of one client's request is left for the next one. */
static void X16_no_canary(void **state)
{
	(void)state;
	takes("POST http://canary/canary?canary HTTP/1.1\r\nHost: canary\r\nCookie: canary\r\nProxy-Authorization: Basic "
	      "Y2FuYXJ5OmNhbmFyeQ==\r\nContent-Length: 9\r\n\r\n");
	size_t length = http_request_write(&request, true, written, sizeof(written));
	memset(written + length, 0, sizeof(written) - length);
	takes("GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n");
	assert_false(request.has_credentials);
	length = http_request_write(&request, true, written, sizeof(written));
	assert_null(memmem(written, length, "canary", 6));
	assert_null(memmem(&request.credentials, sizeof(request.credentials), "canary", 6));
	assert_string_equal(request.target.host, "b");
	assert_int_equal(request.length, 0);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_absolute_form),
		cmocka_unit_test(reads_every_method),
		cmocka_unit_test(refuses_other_targets),
		cmocka_unit_test(refuses_request_lines),
		cmocka_unit_test(X1_framing),
		cmocka_unit_test(X1_field_lines),
		cmocka_unit_test(X1_hosts),
		cmocka_unit_test(X3_hop_by_hop),
		cmocka_unit_test(X3_upgrade),
		cmocka_unit_test(X4_control_bytes),
		cmocka_unit_test(X5_connect),
		cmocka_unit_test(X8_credentials),
		cmocka_unit_test(writes_origin_form),
		cmocka_unit_test(reads_expectations),
		cmocka_unit_test(counts_forwards),
		cmocka_unit_test(X2_pipelined),
		cmocka_unit_test(bounds_of_a_head),
		cmocka_unit_test(bounds_of_the_fields),
		cmocka_unit_test(X16_no_canary),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
