/* The end of bodies. Every input is fed whole, cut at each byte and byte by byte, with the same outcome (X2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_body.h"

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
	struct http_text rest;
	assert_false(http_body_finish(&body, &rest));
	assert_true(http_body_failed(&body));
}

static void ends_with_the_connection(void **state)
{
	(void)state;
	struct http_body body;
	struct http_text rest;
	feed(HTTP_FRAMING_CLOSE, 0, "0\r\n\r\n", 5);
	assert_int_equal(whole.state, HTTP_BODY_CLOSE);
	assert_int_equal(whole.payload, 5);
	http_body_init(&body, HTTP_FRAMING_CLOSE, 0);
	assert_true(http_body_finish(&body, &rest));
	assert_int_equal(http_body_feed(&body, "x", 1), 0);
	http_body_init(&body, HTTP_FRAMING_NONE, 0);
	assert_true(http_body_finish(&body, &rest));
	http_body_init(&body, HTTP_FRAMING_CHUNKED, 0);
	assert_int_equal(http_body_feed(&body, "0\r\n", 3), 3);
	assert_false(http_body_finish(&body, &rest));
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
	/* RFC 9112, 7.1.1 */
	ends("5 ;a\r\nhello\r\n0\t ;x\r\n\r\n", "hello", "");
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
		"5\t\r\n",
		"5 \n",
		"5 a\r\n",
		"5 6;a\r\n",
		" 5;a\r\n",
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
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
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
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(text, sizeof(text), "0\r\nA: b\r\n%s: x\r\n\r\n", names[i]);
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

/* Mended: what goes on, strictly read, is the payload, and nothing is forgotten. */
static void mend_in_steps(const char *text, size_t length, size_t step)
{
	struct http_body body;
	struct http_text rest;
	http_body_init_mended(&body, HTTP_FRAMING_CHUNKED, 0);
	other = (struct outcome){ 0 };
	for (size_t at = 0, end; at < length && !http_body_failed(&body) && !http_body_ended(&body);) {
		end = at + step < length ? at + step : length;
		size_t taken = http_body_feed(&body, text + at, end - at);
		memcpy(other.bytes + other.taken, text + at, taken);
		other.taken += taken;
		at += taken;
		if (at == end || http_body_failed(&body) || http_body_ended(&body))
			continue;
		struct http_text instead = http_body_mend(&body, text[at++]);
		memcpy(other.bytes + other.taken, instead.bytes, instead.length);
		other.taken += instead.length;
	}
	if (!http_body_failed(&body) && http_body_finish(&body, &rest)) {
		memcpy(other.bytes + other.taken, rest.bytes, rest.length);
		other.taken += rest.length;
	}
	other.bytes[other.taken] = '\0';
	other.state = body.state;
}

static void decode_mended(const char *text, const char *payload)
{
	struct http_body body;
	char copy[1000];
	size_t length;
	http_body_init_mended(&body, HTTP_FRAMING_CHUNKED, 0);
	strcpy(copy, text);
	http_body_decode(&body, copy, strlen(copy), &length);
	assert_int_equal(length, strlen(payload));
	assert_memory_equal(copy, payload, length);
}

static void goes_on_as(const char *text, const char *expected, const char *payload)
{
	for (size_t step = 1; step <= strlen(text); step++) {
		mend_in_steps(text, strlen(text), step);
		assert_int_equal(other.state, HTTP_BODY_ENDED);
		assert_string_equal(other.bytes, expected);
	}
	char strictly[1000];
	strcpy(strictly, expected);
	ends(strictly, payload, "");
	decode_mended(text, payload);
}

static void mends_a_servers_chunks(void **state)
{
	(void)state;
	goes_on_as("2;a\r\nhe\r\n0\r\nT: r\r\n\r\n", "2;a\r\nhe\r\n0\r\nT: r\r\n\r\n", "he");
	goes_on_as("2 \r\nhe\r\n0\t \r\n\r\n", "2\r\nhe\r\n0\r\n\r\n", "he");
	goes_on_as(" 2\r\nhe\r\n 0\r\n\r\n", "2\r\nhe\r\n0\r\n\r\n", "he");
	goes_on_as("2 ;a=b\r\nhe\r\n0 ; c\r\n\r\n", "2;a=b\r\nhe\r\n0; c\r\n\r\n", "he");
	goes_on_as("2;\x01\x7f\r\nhe\r\n0\r\n\r\n", "2;\r\nhe\r\n0\r\n\r\n", "he");
	goes_on_as("2\nhe\n1 \nl\r\n0;x\nA: b\n\n", "2\r\nhe\r\n1\r\nl\r\n0;x\r\nA: b\r\n\r\n", "hel");
	goes_on_as("0\r\n", "0\r\n\r\n", "");
	goes_on_as("0\r\nA: b\r\n", "0\r\nA: b\r\n\r\n", "");
	goes_on_as("0\r\nA: b\x01\x7f c\r\n\r\n", "0\r\nA: b c\r\n\r\n", "");
	goes_on_as("2;a\rb\r\nhe\r\n0\r\nA: b\rc\r\r\n\r\n", "2;ab\r\nhe\r\n0\r\nA: bc\r\n\r\n", "he");
	/* curl takes what follows a size for an extension. The line end behind the data proves that the size is right. */
	goes_on_as("2,x\r\nhe\r\n0\r\n\r\n", "2;x\r\nhe\r\n0\r\n\r\n", "he");
	goes_on_as("2 junk\r\nhe\r\n0\r\n\r\n", "2;junk\r\nhe\r\n0\r\n\r\n", "he");
	goes_on_as("2 , =\nhe\r\n0\r\n\r\n", "2; =\r\nhe\r\n0\r\n\r\n", "he");
}

/* X3: a trailer that no server should send does not go on; those beside it do. */
static void X3_leaves_out_trailers(void **state)
{
	(void)state;
	static const char *const lines[] = { "Content-Length: 5",
		                             "transfer-encoding: chunked",
		                             "HOST: a",
		                             "Connection: close",
		                             "Proxy-Other: x",
		                             "Trailer: A",
		                             "no colon",
		                             "nocolon",
		                             ": x",
		                             " folded",
		                             "A b: c",
		                             "A : b",
		                             "\xe9: x",
		                             "A\x01: b",
		                             "" };
	char text[100];
	for (size_t i = 0; lines[i][0] != '\0'; i++) {
		snprintf(text, sizeof(text), "0\r\nA: b\r\n%s\r\nC: d\r\n\r\n", lines[i]);
		goes_on_as(text, "0\r\nA: b\r\nC: d\r\n\r\n", "");
		snprintf(text, sizeof(text), "0\n%s\nC: d\n\n", lines[i]);
		goes_on_as(text, "0\r\nC: d\r\n\r\n", "");
	}
	char name[HTTP_BODY_NAME_MAX + 2] = { 0 };
	memset(name, 'x', HTTP_BODY_NAME_MAX + 1);
	snprintf(text, sizeof(text), "0\r\n%.60s: b\r\n\r\n", name);
	goes_on_as(text, text, "");
	char longer[200];
	snprintf(longer, sizeof(longer), "0\r\n%s: b\r\n\r\n", name);
	goes_on_as(longer, "0\r\n\r\n", "");
}

static void X1_what_cannot_be_mended_fails(void **state)
{
	(void)state;
	static const char *const bad[] = { "\n",          "\r\n",
		                           ";a\n",        "+5\r\n",
		                           "0x5\r\n",     "5 6\r\n",
		                           "5 a\r\n",     "5\rx",
		                           "5\r\nhelloX", "0,x\r\n", /* nothing proves that this is the end */
		                           "0 junk\r\n",  "5x\r\n",  /* curl takes this, too, but also 0x5 as the end */
		                           "0\r\n\rX",    "8000000000000000\n",
		                           "5\nhello5\n", "5\nhe\r\n0\r\n" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		for (size_t step = 1; step <= strlen(bad[i]); step++) {
			mend_in_steps(bad[i], strlen(bad[i]), step);
			if (other.state != HTTP_BODY_FAILED)
				fail_msg("state %d: %s", (int)other.state, bad[i]);
		}
	static char blanks[HTTP_BODY_EXTENSION_MAX + 10];
	memset(blanks, ' ', sizeof(blanks));
	blanks[0] = '5';
	mend_in_steps(blanks, sizeof(blanks), sizeof(blanks));
	assert_int_equal(other.state, HTTP_BODY_FAILED);
	static char trailer[HTTP_BODY_TRAILER_MAX + 10];
	memset(trailer, 'x', sizeof(trailer));
	memcpy(trailer, "0\r\n", 3);
	mend_in_steps(trailer, sizeof(trailer), sizeof(trailer));
	assert_int_equal(other.state, HTTP_BODY_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_lengths),
		cmocka_unit_test(ends_with_the_connection),
		cmocka_unit_test(decodes_chunks),
		cmocka_unit_test(X1_refuses_chunks),
		cmocka_unit_test(X3_refuses_trailers),
		cmocka_unit_test(X1_bounds),
		cmocka_unit_test(mends_a_servers_chunks),
		cmocka_unit_test(X3_leaves_out_trailers),
		cmocka_unit_test(X1_what_cannot_be_mended_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
