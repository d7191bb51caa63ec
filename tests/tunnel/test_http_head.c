/* The parser parts shared by request and response heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/http/http_head.h"

static struct http_text text_of(const char *string)
{
	return (struct http_text){ .bytes = string, .length = strlen(string) };
}

static void knows_bytes(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		bool token = c < 128 && (isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL));
		assert_int_equal(http_is_token_byte((unsigned char)c), token);
		assert_int_equal(http_is_value_byte((unsigned char)c), c == '\t' || (c >= 0x20 && c != 0x7f));
	}
	assert_false(http_is_token(text_of("")));
	assert_false(http_is_token(text_of("a b")));
	assert_true(http_is_token(text_of("a-b")));
}

static void knows_fields(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum http_field_kind kind;
	} cases[] = {
		{ "HOST", HTTP_FIELD_HOST },
		{ "Content-Length", HTTP_FIELD_CONTENT_LENGTH },
		{ "transfer-Encoding", HTTP_FIELD_TRANSFER_ENCODING },
		{ "Connection", HTTP_FIELD_CONNECTION },
		{ "Proxy-Connection", HTTP_FIELD_PROXY_CONNECTION },
		{ "Proxy-Authorization", HTTP_FIELD_PROXY_AUTHORIZATION },
		{ "PROXY-x", HTTP_FIELD_PROXY_OTHER },
		{ "Proxy-", HTTP_FIELD_PROXY_OTHER },
		{ "Proxy", HTTP_FIELD_OTHER },
		{ "Keep-Alive", HTTP_FIELD_KEEP_ALIVE },
		{ "TE", HTTP_FIELD_TE },
		{ "Trailer", HTTP_FIELD_TRAILER },
		{ "Upgrade", HTTP_FIELD_UPGRADE },
		{ "Upgrade-Insecure-Requests", HTTP_FIELD_OTHER },
		{ "Expect", HTTP_FIELD_EXPECT },
		{ "Max-Forwards", HTTP_FIELD_MAX_FORWARDS },
		{ "Hosts", HTTP_FIELD_OTHER },
		{ "X", HTTP_FIELD_OTHER },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(http_field_kind(text_of(cases[i].name)), cases[i].kind);
}

static void reads_versions(void **state)
{
	(void)state;
	bool old = false;
	assert_int_equal(http_head_version(text_of("HTTP/1.0"), &old), 1);
	assert_true(old);
	assert_int_equal(http_head_version(text_of("HTTP/1.1"), &old), 1);
	assert_false(old);
	assert_int_equal(http_head_version(text_of("HTTP/2.0"), &old), 0);
	assert_int_equal(http_head_version(text_of("HTTP/2"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTX/1.1"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTP/1;1"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTP/:.1"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTP/1./"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTP//.1"), &old), -1);
	assert_int_equal(http_head_version(text_of("HTTP/1.:"), &old), -1);
}

static void needs_the_empty_line(void **state)
{
	(void)state;
	static struct http_fields fields;
	assert_int_equal(http_fields_read(&fields, text_of("A: b\r\n")), HTTP_FIELDS_MALFORMED);
	assert_int_equal(http_fields_read(&fields, text_of("A: b\r\n\r\n")), 0);
	assert_null(http_fields_find(&fields, HTTP_FIELD_HOST));
}

static enum http_progress find(const char *text, size_t length, size_t *head)
{
	struct http_head_search search = { 0 };
	return http_head_find(&search, text, length, head);
}

static void X2_finds_the_end(void **state)
{
	(void)state;
	size_t head = 0;
	assert_int_equal(find("A\r\n\r\nB", 6, &head), HTTP_WHOLE);
	assert_int_equal(head, 5);
	assert_int_equal(find("\r\n\r\nA\r\nB\r\n\r\n", 12, &head), HTTP_WHOLE);
	assert_int_equal(head, 12);
	assert_int_equal(find("\r\n\r\n\r\n", 6, &head), HTTP_MORE);
	assert_int_equal(find("", 0, &head), HTTP_MORE);
	assert_int_equal(find("A\n\n", 3, &head), HTTP_REFUSED);
	assert_int_equal(find("A\r\n\n", 4, &head), HTTP_REFUSED);
	assert_int_equal(find("\n", 1, &head), HTTP_REFUSED);
	assert_int_equal(find("\x16\x03\x01", 3, &head), HTTP_REFUSED);
}

/* Scanned bytes are not read again, and may even change. */
static void scans_no_byte_twice(void **state)
{
	(void)state;
	struct http_head_search search = { 0 };
	char text[] = "GET x\r\nA: b\r\nC: d\r\n\r\n";
	size_t head;
	assert_int_equal(http_head_find(&search, text, 10, &head), HTTP_MORE);
	assert_int_equal(search.scanned, 10);
	memset(text + 1, '\n', 9);
	assert_int_equal(http_head_find(&search, text, sizeof(text) - 1, &head), HTTP_WHOLE);
	assert_int_equal(head, sizeof(text) - 1);
}

static void overflow_of_a_writer_sticks(void **state)
{
	(void)state;
	char out[4];
	struct http_writer writer = { .out = out, .room = sizeof(out) };
	http_put(&writer, "abc");
	assert_int_equal(http_writer_result(&writer), 3);
	http_put_number(&writer, 12);
	http_put(&writer, "d");
	assert_int_equal(http_writer_result(&writer), 0);
	writer = (struct http_writer){ .out = out, .room = sizeof(out) };
	http_put(&writer, "abcd");
	http_put_bytes(&writer, NULL, 0);
	http_put_framing(&writer, HTTP_FRAMING_NONE, 5);
	http_put_framing(&writer, HTTP_FRAMING_CLOSE, 5);
	assert_int_equal(http_writer_result(&writer), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_bytes),
		cmocka_unit_test(knows_fields),
		cmocka_unit_test(reads_versions),
		cmocka_unit_test(needs_the_empty_line),
		cmocka_unit_test(X2_finds_the_end),
		cmocka_unit_test(scans_no_byte_twice),
		cmocka_unit_test(overflow_of_a_writer_sticks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
