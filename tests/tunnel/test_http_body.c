/* Where bodies end. Every input is fed whole, cut at each byte and byte by byte, with the same outcome (X2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http_body.h"

struct outcome {
	enum http_body_state state;
	size_t taken;
	size_t payload;
	char bytes[32768];
};

/* Feeds text[from..to) until the body takes no more; what is taken is also decoded. */
static void feed_part(struct http_body *body, struct http_body *decoder, const char *text, size_t length, struct outcome *outcome)
{
	char *part = malloc(length > 0 ? length : 1);
	size_t payload;
	memcpy(part, text, length);
	size_t taken = http_body_feed(body, part, length);
	assert_true(taken <= length);
	assert_int_equal(http_body_decode(decoder, part, length, &payload), taken);
	assert_int_equal(body->state, decoder->state);
	assert_true(payload <= taken);
	memcpy(outcome->bytes + outcome->payload, part, payload);
	outcome->taken += taken;
	outcome->payload += payload;
	outcome->state = body->state;
	free(part);
}

static void feed_in_steps(enum http_framing framing, uint64_t body_length, const char *text, size_t length, size_t first, size_t step,
                          struct outcome *outcome)
{
	struct http_body body, decoder;
	http_body_init(&body, framing, body_length);
	http_body_init(&decoder, framing, body_length);
	*outcome = (struct outcome){ .state = body.state };
	for (size_t at = 0, n = first; at < length && !http_body_ended(&body) && !http_body_failed(&body); at += n, n = step) {
		n = n > length - at ? length - at : n;
		feed_part(&body, &decoder, text + at, n, outcome);
	}
}

static struct outcome whole, other;

static void feed(enum http_framing framing, uint64_t body_length, const char *text, size_t length)
{
	feed_in_steps(framing, body_length, text, length, length, length, &whole);
	for (size_t cut = 0; cut <= length; cut++) {
		bool one_by_one = cut == 0;
		feed_in_steps(framing, body_length, text, length, one_by_one ? 1 : cut, one_by_one ? 1 : length, &other);
		if (other.state != whole.state)
			fail_msg("another outcome when cut at %zu: %s", cut, text);
		if (whole.state == HTTP_BODY_FAILED)
			continue;
		assert_int_equal(other.taken, whole.taken);
		assert_int_equal(other.payload, whole.payload);
		assert_memory_equal(other.bytes, whole.bytes, whole.payload);
	}
}

static void ends(const char *text, const char *payload, const char *rest)
{
	feed(HTTP_FRAMING_CHUNKED, 0, text, strlen(text));
	if (whole.state != HTTP_BODY_ENDED)
		fail_msg("state %d: %s", (int)whole.state, text);
	whole.bytes[whole.payload] = '\0';
	assert_string_equal(whole.bytes, payload);
	assert_string_equal(text + whole.taken, rest);
}

static void fails(const char *text)
{
	feed(HTTP_FRAMING_CHUNKED, 0, text, strlen(text));
	if (whole.state != HTTP_BODY_FAILED)
		fail_msg("state %d: %s", (int)whole.state, text);
	assert_int_equal(whole.taken, 0);
}

static void counts_lengths(void **state)
{
	(void)state;
	feed(HTTP_FRAMING_LENGTH, 5, "helloGET", 8);
	assert_int_equal(whole.state, HTTP_BODY_ENDED);
	assert_int_equal(whole.taken, 5);
	feed(HTTP_FRAMING_LENGTH, 9, "hello", 5);
	assert_int_equal(whole.state, HTTP_BODY_LENGTH);
	feed(HTTP_FRAMING_LENGTH, 0, "GET", 3);
	assert_int_equal(whole.state, HTTP_BODY_ENDED);
	assert_int_equal(whole.taken, 0);
	feed(HTTP_FRAMING_NONE, 0, "GET", 3);
	assert_int_equal(whole.taken, 0);
	struct http_body body;
	http_body_init(&body, HTTP_FRAMING_LENGTH, UINT64_MAX);
	assert_int_equal(http_body_feed(&body, "x", 1), 1);
	assert_true(body.left == UINT64_MAX - 1);
	assert_int_equal(http_body_feed(&body, "", 0), 0);
	assert_false(http_body_finish(&body));
	assert_true(http_body_failed(&body));
}

static void ends_with_the_connection(void **state)
{
	(void)state;
	struct http_body body;
	feed(HTTP_FRAMING_CLOSE, 0, "0\r\n\r\n", 5);
	assert_int_equal(whole.state, HTTP_BODY_CLOSE);
	assert_int_equal(whole.payload, 5);
	http_body_init(&body, HTTP_FRAMING_CLOSE, 0);
	assert_true(http_body_finish(&body));
	assert_int_equal(http_body_feed(&body, "x", 1), 0);
	http_body_init(&body, HTTP_FRAMING_NONE, 0);
	assert_true(http_body_finish(&body));
	http_body_init(&body, HTTP_FRAMING_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, "0\r\n", 3), 3);
	assert_false(http_body_finish(&body));
}

static void decodes_chunks(void **state)
{
	(void)state;
	ends("0\r\n\r\n", "", "");
	ends("000\r\n\r\nGET", "", "GET");
	ends("5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /");
	ends("1\r\na\r\n00000000000000a\r\n0123\r\n4567\r\n0\r\n\r\n", "a0123\r\n4567", "");
	ends("A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "");
	ends("5;a=b;c=\"d e\";\tf\r\nhello\r\n0;x\r\n\r\n", "hello", "");
	ends("0\r\nX-Sum: abc\r\nEmpty:\r\nx-long-name-of-a-trailer-field: \t\xc3\xa4\r\n\r\nrest", "", "rest");
	ends("0\r\nproxyx: a\r\nteX: a\r\nhosts: b\r\ntransfer-encodings: b\r\n\r\n", "", "");
}

static void X1_refuses_chunks(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\r\n",
		"\n",
		";a\r\n",
		" 5\r\n",
		"5 \r\n",
		"5\t;a\r\n",
		"+5\r\n",
		"-1\r\n",
		"0x5\r\n",
		"5h\r\n",
		"g\r\n",
		"5\n",
		"5\rx",
		"5;a\nb",
		"5;a\rb",
		"5;\x01\r\n",
		"5;\x7f\r\n",
		"8000000000000000\r\n",
		"ffffffffffffffff\r\n",
		"10000000000000000\r\n",
		"00000000000000005\r\n",
		"5\r\nhello0\r\n",
		"5\r\nhelloX",
		"5\r\nhello\n",
		"5\r\nhello\rX",
		"5\r\nhello\r\n\r\n",
		"3\r\nhello\r\n",
		"0\r\n\n",
		"0\r\n\rX",
		"0\r\n:a\r\n",
		"0\r\n a: b\r\n",
		"0\r\na : b\r\n",
		"0\r\na\r\n",
		"0\r\na: b\n",
		"0\r\na: b\rc",
		"0\r\na: \x01\r\n",
		"0\r\na: b\r\n c\r\n",
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		fails(bad[i]);
	struct http_body body;
	http_body_init(&body, HTTP_FRAMING_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, "7fffffffffffffff\r\nx", 19), 19);
	assert_true(body.left == (uint64_t)INT64_MAX - 1);
	http_body_init(&body, HTTP_FRAMING_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, "5;\0", 3), 0);
	assert_true(http_body_failed(&body));
	assert_int_equal(http_body_feed(&body, "5\r\n", 3), 0);
}

/* X3: what the head drops must not come back through the trailers. */
static void X3_refuses_trailers(void **state)
{
	(void)state;
	static const char *const names[] = { "Content-Length",
		                             "transfer-encoding",
		                             "HOST",
		                             "Connection",
		                             "Keep-Alive",
		                             "Proxy-Authorization",
		                             "Proxy-Connection",
		                             "proxy-",
		                             "Proxy-Something-Rather-Long",
		                             "TE",
		                             "Trailer",
		                             "Upgrade",
		                             "Expect",
		                             "Max-Forwards" };
	char text[100];
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(text, sizeof text, "0\r\nA: b\r\n%s: x\r\n\r\n", names[i]);
		fails(text);
	}
}

static void feed_repeated(const char *start, char filler, size_t count, const char *end)
{
	static char text[32768];
	size_t length = strlen(start);
	memcpy(text, start, length);
	memset(text + length, filler, count);
	memcpy(text + length + count, end, strlen(end));
	length += count + strlen(end);
	feed_in_steps(HTTP_FRAMING_CHUNKED, 0, text, length, length, length, &whole);
	feed_in_steps(HTTP_FRAMING_CHUNKED, 0, text, length, 1, 1, &other);
	assert_int_equal(whole.state, other.state);
}

static void X1_bounds(void **state)
{
	(void)state;
	feed_repeated("1;", 'x', HTTP_BODY_EXTENSION_MAX, "\r\na\r\n0\r\n\r\n");
	assert_int_equal(whole.state, HTTP_BODY_ENDED);
	feed_repeated("1;", 'x', HTTP_BODY_EXTENSION_MAX + 1, "\r\na\r\n0\r\n\r\n");
	assert_int_equal(whole.state, HTTP_BODY_FAILED);
	feed_repeated("0\r\na:", 'x', HTTP_BODY_TRAILER_MAX - 4, "\r\n\r\n");
	assert_int_equal(whole.state, HTTP_BODY_ENDED);
	feed_repeated("0\r\na:", 'x', HTTP_BODY_TRAILER_MAX - 2, "\r\n\r\n");
	assert_int_equal(whole.state, HTTP_BODY_FAILED);
	feed_repeated("0\r\n", 'x', HTTP_BODY_TRAILER_MAX + 1, "\r\n\r\n");
	assert_int_equal(whole.state, HTTP_BODY_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_lengths),    cmocka_unit_test(ends_with_the_connection), cmocka_unit_test(decodes_chunks),
		cmocka_unit_test(X1_refuses_chunks), cmocka_unit_test(X3_refuses_trailers),      cmocka_unit_test(X1_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
