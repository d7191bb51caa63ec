/* The proxy's own replies: complete, bounded, and without anything from a client's request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_error.h"
#include "tunnel/http/http_request.h"
#include "tunnel/http/http_response.h"

static void writes_a_reply(void **state)
{
	(void)state;
	char out[HTTP_ERROR_ROOM];
	struct http_fault fault = { .error = HTTP_ERROR_CONNECTION_REFUSED, .detail = "the \"target\" refused \\" };
	size_t length = http_error_write(out, sizeof(out), &fault, 0);
	out[length] = '\0';
	assert_string_equal(
	    out, "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: warren; error=connection_refused; details=\"the \\\"target\\\" refused \\\\\"\r\n"
		 "Content-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: 40\r\nConnection: close\r\n\r\n"
		 "502 Bad Gateway: the \"target\" refused \\\n");
	for (size_t room = 0; room < length; room++) {
		char *exact = malloc(room > 0 ? room : 1);
		assert_int_equal(http_error_write(exact, room, &fault, 0), 0);
		free(exact);
	}
	length = http_error_write(out, sizeof(out), &fault, HTTP_ERROR_KEEP_ALIVE | HTTP_ERROR_NO_BODY);
	out[length] = '\0';
	assert_non_null(strstr(out, "Content-Length: 40\r\nConnection: keep-alive\r\n\r\n"));
	assert_memory_equal(out + length - 4, "\r\n\r\n", 4);
}

static void X8_asks_for_credentials(void **state)
{
	(void)state;
	char out[HTTP_ERROR_ROOM];
	size_t length =
	    http_error_write(out, sizeof(out), &(struct http_fault){ .status = 407, .error = HTTP_ERROR_HTTP_REQUEST_DENIED }, HTTP_ERROR_KEEP_ALIVE);
	out[length] = '\0';
	assert_non_null(strstr(out, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Status: warren; error=http_request_denied\r\n"
	                            "Proxy-Authenticate: Basic realm=\"warren\", charset=\"UTF-8\"\r\n"));
}

/* Every error's reply is a response that our own parser accepts, with a body of the stated length. */
static void replies_are_well_formed(void **state)
{
	(void)state;
	static struct http_response response;
	static const struct http_asked asked = { .keep_alive = true };
	char hostile[400], out[HTTP_ERROR_ROOM];
	memset(hostile, '"', sizeof(hostile) - 1);
	hostile[sizeof(hostile) - 1] = '\0';
	memcpy(hostile, "a\r\nX: b\x80", 8);
	for (unsigned i = 0; i < 2 * HTTP_ERRORS; i++) {
		struct http_fault fault = { .error = (enum http_error)(i / 2), .detail = i % 2 == 0 ? "" : hostile };
		struct http_head_search search = { 0 };
		size_t length = http_error_write(out, sizeof(out), &fault, 0);
		assert_int_equal(http_response_read(&response, &asked, &search, out, length), HTTP_WHOLE);
		assert_int_equal(response.status, http_error_status(fault.error));
		assert_int_equal(response.length, length - response.length_of_head);
		assert_int_equal(response.fields.count, 5);
		assert_true(strcmp(http_error_phrase((uint16_t)response.status), "Error") != 0);
	}
	assert_string_equal(http_error_phrase(299), "Error");
}

/* X5: a successful CONNECT has neither length nor coding. */
static void X5_connected(void **state)
{
	(void)state;
	char out[HTTP_ERROR_ROOM];
	size_t length = http_error_write_connected(out, sizeof(out));
	assert_memory_equal(out, "HTTP/1.1 200 ", 13);
	assert_memory_equal(out + length - 4, "\r\n\r\n", 4);
	assert_null(memmem(out, length, "Content-Length", 14));
	assert_null(memmem(out, length, "Transfer-Encoding", 17));
	assert_int_equal(http_error_write_connected(out, length - 1), 0);
}

/* X17: a request full of canaries that is refused, for each reason there is. */
static void X17_echoes_nothing(void **state)
{
	(void)state;
	static const char *const requests[] = {
		"CANARY http://canary/?canary HTTP/9.9\r\nCanary: canary\r\n\r\n",
		"GET http://canary@canary@canary/canary?canary HTTP/1.1\r\nHost: canary\r\nProxy-Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==\r\n\r\n",
		"GET http://canary/canary?canary HTTP/1.1\r\nHost: canary\r\nHost: canary\r\nCookie: canary\r\n\r\n",
		"POST http://canary/ HTTP/1.1\r\nHost: canary\r\nContent-Length: canary\r\n\r\n",
		"POST http://canary/ HTTP/1.1\r\nHost: canary\r\nExpect: canary\r\n\r\n",
		"POST http://canary/ HTTP/1.1\r\nHost: canary\r\ncanary canary\r\n\r\n",
		"POST http://canary/ HTTP/1.1\r\nHost: canary\r\nConnection: can ary\r\n\r\n",
		"TRACE http://canary/ HTTP/1.1\r\nHost: canary\r\nMax-Forwards: 0\r\nCookie: canary\r\n\r\n",
		"CONNECT canary HTTP/1.1\r\nHost: canary\r\n\r\n",
		"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n",
		"canary\n",
		"CANARYCANARYCANARYCANARYCANARYCANARY http://canary/ HTTP/1.1\r\nHost: canary\r\n\r\n",
	};
	static struct http_request request;
	char out[HTTP_ERROR_ROOM];
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct http_head_search search = { 0 };
		assert_int_equal(http_request_read(&request, &search, requests[i], strlen(requests[i])), HTTP_REFUSED);
		size_t length = http_error_write(out, sizeof(out), &request.fault, 0);
		assert_true(length > 0);
		out[length] = '\0';
		assert_null(strcasestr(out, "canary"));
		assert_null(strstr(out, "Y2Fu"));
	}
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_reply), cmocka_unit_test(X8_asks_for_credentials), cmocka_unit_test(replies_are_well_formed),
		cmocka_unit_test(X5_connected),   cmocka_unit_test(X17_echoes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
