/* SOCKS5 and SOCKS4/4a messages. Every message is read whole and cut at each byte (X2), from memory of just its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tunnel/http/socks.h"

#define LITERAL(text) text, sizeof(text) - 1

static struct socks_greeting greeting;
static struct socks_request request;
static struct credentials credentials;
static size_t taken;

enum message { GREETING, PASSWORD, REQUEST, REQUEST4 };

static enum socks_progress read_once(enum message message, const void *bytes, size_t length)
{
	uint8_t *exact = malloc(length > 0 ? length : 1);
	enum socks_progress progress = SOCKS_MORE;
	memcpy(exact, bytes, length);
	switch (message) {
	case GREETING:
		progress = socks_greeting_read(&greeting, exact, length);
		taken = greeting.length;
		break;
	case PASSWORD: progress = socks_password_read(&credentials, exact, length, &taken); break;
	case REQUEST:
		progress = socks_request_read(&request, exact, length);
		taken = request.length;
		break;
	case REQUEST4:
		progress = socks4_request_read(&request, exact, length);
		taken = request.length;
		break;
	}
	free(exact);
	return progress;
}

/* The outcome must not depend on how many bytes there are, once there are enough for one. */
static enum socks_progress read_message(enum message message, const void *bytes, size_t length)
{
	enum socks_progress progress = read_once(message, bytes, length);
	enum socks_reply refusal = request.refusal;
	size_t whole = taken;
	for (size_t n = 0; n <= length; n++) {
		enum socks_progress part = read_once(message, bytes, n);
		if (part != SOCKS_MORE && part != progress)
			fail_msg("another outcome with %zu bytes", n);
		if (progress == SOCKS_WHOLE && (part == SOCKS_WHOLE) != (n >= whole))
			fail_msg("whole with %zu of %zu bytes", n, whole);
		if (part == SOCKS_WHOLE)
			assert_int_equal(taken, whole);
		if (part == SOCKS_REFUSED && message >= REQUEST)
			assert_int_equal(request.refusal, refusal);
	}
	if (progress == SOCKS_MORE)
		assert_true(length < SOCKS_MESSAGE_MAX);
	return progress;
}

static void refuses(enum message message, const void *bytes, size_t length, enum socks_reply reply)
{
	assert_int_equal(read_message(message, bytes, length), SOCKS_REFUSED);
	assert_int_equal(request.refusal, reply);
}

static void X9_greetings(void **state)
{
	(void)state;
	uint8_t all[257] = { 5, 255 };
	for (size_t i = 0; i < 255; i++)
		all[2 + i] = (uint8_t)i;
	assert_int_equal(read_message(GREETING, all, sizeof(all)), SOCKS_WHOLE);
	assert_true(greeting.offers_none && greeting.offers_password);
	assert_int_equal(read_message(GREETING, LITERAL("\5\1\0\5\1\0\1")), SOCKS_WHOLE);
	assert_int_equal(greeting.length, 3);
	assert_true(greeting.offers_none && !greeting.offers_password);
	assert_int_equal(read_message(GREETING, LITERAL("\5\0")), SOCKS_WHOLE);
	assert_int_equal(socks_method_choose(&greeting, false), SOCKS_METHOD_UNACCEPTABLE);
	assert_int_equal(socks_method_choose(&greeting, true), SOCKS_METHOD_UNACCEPTABLE);
	assert_int_equal(read_message(GREETING, LITERAL("\5\1\1")), SOCKS_WHOLE);
	assert_int_equal(socks_method_choose(&greeting, false), SOCKS_METHOD_UNACCEPTABLE);
	assert_int_equal(read_message(GREETING, LITERAL("\4\1\0")), SOCKS_REFUSED);
	assert_int_equal(read_message(GREETING, LITERAL("\6\1\0")), SOCKS_REFUSED);
	uint8_t out[2];
	assert_int_equal(socks_method_write(out, SOCKS_METHOD_UNACCEPTABLE), 2);
	assert_memory_equal(out, "\5\xff", 2);
	socks_method_write(out, SOCKS_METHOD_PASSWORD);
	assert_memory_equal(out, "\5\2", 2);
}

/* With users set no list of methods bypasses the password. */
static void X10_no_method_downgrade(void **state)
{
	(void)state;
	for (unsigned offered = 0; offered < 4; offered++) {
		struct socks_greeting g = { .offers_none = (offered & 1) != 0, .offers_password = (offered & 2) != 0 };
		assert_int_equal(socks_method_choose(&g, true), g.offers_password ? SOCKS_METHOD_PASSWORD : SOCKS_METHOD_UNACCEPTABLE);
		/* Without users a client that can only log in may. */
		enum socks_method instead = g.offers_password ? SOCKS_METHOD_PASSWORD : SOCKS_METHOD_UNACCEPTABLE;
		assert_int_equal(socks_method_choose(&g, false), g.offers_none ? SOCKS_METHOD_NONE : instead);
	}
}

static void X10_passwords(void **state)
{
	(void)state;
	assert_int_equal(read_message(PASSWORD, LITERAL("\1\4user\4pass\5\1")), SOCKS_WHOLE);
	assert_int_equal(taken, 11);
	assert_memory_equal(credentials.username, "user", 5);
	assert_memory_equal(credentials.password, "pass", 5);
	uint8_t longest[513];
	memset(longest, 'x', sizeof(longest));
	longest[0] = 1;
	longest[1] = longest[257] = 255;
	assert_int_equal(read_message(PASSWORD, longest, sizeof(longest)), SOCKS_WHOLE);
	assert_int_equal(credentials.username_length, 255);
	assert_int_equal(credentials.password_length, 255);
	assert_int_equal(read_message(PASSWORD, LITERAL("\5\4user\4pass")), SOCKS_REFUSED);
	assert_int_equal(read_message(PASSWORD, LITERAL("\0\4user\4pass")), SOCKS_REFUSED);
	/* RFC 1929, 2 wants a byte at least, and no user has such names: but where any login is accepted, these are. */
	static const struct {
		const char *message;
		size_t length, username_length, password_length;
	} odd[] = {
		{ LITERAL("\1\0\4pass"), 0, 4 },      { LITERAL("\1\4user\0"), 4, 0 },      { LITERAL("\1\0\0"), 0, 0 },
		{ LITERAL("\1\4us\0r\4pass"), 4, 4 }, { LITERAL("\1\4user\4pa\nx"), 4, 4 },
	};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(read_message(PASSWORD, odd[i].message, odd[i].length), SOCKS_WHOLE);
		assert_int_equal(taken, odd[i].length);
		struct spec_user users[] = { { (char *)(uintptr_t) "user", (char *)(uintptr_t) "pass" },
			                     { (char *)(uintptr_t) "", (char *)(uintptr_t) "" } };
		assert_false(credentials_admitted(&credentials, &(struct spec){ .users = users, .user_count = 1 }));
		bool is_empty = odd[i].username_length + odd[i].password_length == 0;
		assert_int_equal(credentials_admitted(&credentials, &(struct spec){ .users = users, .user_count = 2 }), is_empty);
	}
	uint8_t out[2];
	assert_int_equal(socks_password_reply_write(out, true), 2);
	assert_memory_equal(out, "\1\0", 2);
	socks_password_reply_write(out, false);
	assert_memory_equal(out, "\1\1", 2);
}

static void X11_requests(void **state)
{
	(void)state;
	assert_int_equal(read_message(REQUEST, LITERAL("\5\1\0\1\xc0\0\2\1\0\120early")), SOCKS_WHOLE);
	assert_int_equal(request.length, 10);
	assert_int_equal(request.command, SOCKS_CONNECT);
	assert_string_equal(request.target.host, "192.0.2.1");
	assert_int_equal(request.target.address.family, AF_INET);
	assert_int_equal(request.target.port, 80);
	assert_int_equal(request.target.address.port, 80);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\1\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\1\xbb")), SOCKS_WHOLE);
	assert_string_equal(request.target.host, "2001:db8::1");
	assert_int_equal(request.target.port, 443);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\1\0\3\013Example.com\1\xbb")), SOCKS_WHOLE);
	assert_string_equal(request.target.host, "example.com");
	assert_true(target_is_name(&request.target));
	/* A literal sent as a name is checked as an address. */
	assert_int_equal(read_message(REQUEST, LITERAL("\5\1\0\3\011127.0.0.1\0\x50")), SOCKS_WHOLE);
	assert_int_equal(target_class(&request.target.address), TARGET_LOOPBACK);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\1\0\3\3::1\0\x50")), SOCKS_WHOLE);
	assert_int_equal(target_class(&request.target.address), TARGET_LOOPBACK);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\3\0\1\0\0\0\0\0\0")), SOCKS_WHOLE);
	assert_int_equal(request.command, SOCKS_UDP_ASSOCIATE);
	assert_int_equal(request.target.port, 0);
	/* A name claims nothing of where datagrams will come from, whatever it is. */
	assert_int_equal(read_message(REQUEST, LITERAL("\5\3\0\3\0\0\x50")), SOCKS_WHOLE);
	assert_int_equal(request.target.port, 0);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\3\0\3\013Example.com\1\xbb")), SOCKS_WHOLE);
	assert_int_equal(request.target.address.family + request.target.port, 0);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\3\0\3\4a\r\nb\0\x50")), SOCKS_WHOLE);
	assert_int_equal(read_message(REQUEST, LITERAL("\5\3\0\1\xc0\0\2\1\0\x50")), SOCKS_WHOLE);
	assert_int_equal(request.target.address.family, AF_INET);
	assert_int_equal(request.target.port, 80);
}

static void X11_refusals(void **state)
{
	(void)state;
	refuses(REQUEST, LITERAL("\4\1\0\1\xc0\0\2\1\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\2\0\1\xc0\0\2\1\0\x50"), SOCKS_COMMAND_NOT_SUPPORTED);
	refuses(REQUEST, LITERAL("\5\0\0\1\xc0\0\2\1\0\x50"), SOCKS_COMMAND_NOT_SUPPORTED);
	refuses(REQUEST, LITERAL("\5\xff"), SOCKS_COMMAND_NOT_SUPPORTED);
	refuses(REQUEST, LITERAL("\5\1\1\1\xc0\0\2\1\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\2\xc0\0\2\1\0\x50"), SOCKS_ADDRESS_TYPE_NOT_SUPPORTED);
	refuses(REQUEST, LITERAL("\5\1\0\0"), SOCKS_ADDRESS_TYPE_NOT_SUPPORTED);
	refuses(REQUEST, LITERAL("\5\1\0\1\xc0\0\2\1\0\0"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\3\0\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\3\3a\0b\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\3\4a\r\nb\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\3\5a%00b\0\x50"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST, LITERAL("\5\1\0\3\0060x7f.1\0\x50"), SOCKS_GENERAL_FAILURE);
}

static enum socks_progress read_name(size_t length, bool final_dot)
{
	uint8_t message[4 + 1 + 255 + 2] = { 5, 1, 0, 3, (uint8_t)length };
	for (size_t i = 0; i < length; i++)
		message[5 + i] = i % 50 == 49 || (final_dot && i + 1 == length) ? '.' : 'a';
	message[5 + length + 1] = 80;
	return read_message(REQUEST, message, 5 + length + 2);
}

static void X11_lengths_of_names(void **state)
{
	(void)state;
	assert_int_equal(read_name(1, false), SOCKS_WHOLE);
	assert_int_equal(read_name(253, false), SOCKS_WHOLE);
	assert_int_equal(strlen(request.target.host), 253);
	assert_int_equal(read_name(254, false), SOCKS_REFUSED);
	assert_int_equal(read_name(254, true), SOCKS_WHOLE);
	assert_int_equal(read_name(255, false), SOCKS_REFUSED);
	assert_int_equal(read_name(255, true), SOCKS_REFUSED);
	assert_int_equal(request.refusal, SOCKS_GENERAL_FAILURE);
}

static void X12_replies(void **state)
{
	(void)state;
	uint8_t out[SOCKS_REPLY_MAX];
	for (unsigned reply = 0; reply <= 8; reply++) {
		assert_int_equal(socks_reply_write(out, (enum socks_reply)reply, NULL), 10);
		assert_int_equal(out[1], reply);
		assert_memory_equal(out + 2, "\0\1\0\0\0\0\0\0", 8);
	}
	struct netstack_endpoint bound = { .family = AF_INET, .bytes = { 10, 2, 0, 2 }, .port = 0x1234 };
	assert_int_equal(socks_reply_write(out, SOCKS_SUCCEEDED, &bound), 10);
	assert_memory_equal(out, "\5\0\0\1\x0a\2\0\2\x12\x34", 10);
	bound.family = AF_INET6;
	assert_int_equal(socks_reply_write(out, SOCKS_SUCCEEDED, &bound), 22);
	assert_memory_equal(out, "\5\0\0\4\x0a\2\0\2\0\0\0\0\0\0\0\0\0\0\0\0\x12\x34", 22);
}

static void X12_codes(void **state)
{
	(void)state;
	static const enum socks_reply codes[HTTP_ERRORS] = {
		[HTTP_ERROR_NONE] = SOCKS_SUCCEEDED,
		[HTTP_ERROR_CONNECTION_REFUSED] = SOCKS_CONNECTION_REFUSED,
		[HTTP_ERROR_DESTINATION_IP_UNROUTABLE] = SOCKS_HOST_UNREACHABLE,
		[HTTP_ERROR_DNS_ERROR] = SOCKS_HOST_UNREACHABLE,
		[HTTP_ERROR_DNS_TIMEOUT] = SOCKS_HOST_UNREACHABLE,
		[HTTP_ERROR_CONNECTION_TIMEOUT] = SOCKS_TTL_EXPIRED,
		[HTTP_ERROR_DESTINATION_IP_PROHIBITED] = SOCKS_NOT_ALLOWED,
		[HTTP_ERROR_HTTP_REQUEST_DENIED] = SOCKS_NOT_ALLOWED,
		[HTTP_ERROR_PROXY_LOOP_DETECTED] = SOCKS_NOT_ALLOWED,
	};
	for (unsigned error = 0; error < HTTP_ERRORS; error++) {
		enum socks_reply expected = codes[error] == SOCKS_SUCCEEDED && error != HTTP_ERROR_NONE ? SOCKS_GENERAL_FAILURE : codes[error];
		assert_int_equal(socks_reply_of((enum http_error)error), expected);
	}
}

static void reads_socks4(void **state)
{
	(void)state;
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\0\x50\xc0\0\2\1user\0early")), SOCKS_WHOLE);
	assert_int_equal(request.length, 13);
	assert_string_equal(request.target.host, "192.0.2.1");
	assert_int_equal(request.target.port, 80);
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\1\xbb\0\0\0\1\0Example.com\0")), SOCKS_WHOLE);
	assert_string_equal(request.target.host, "example.com");
	assert_int_equal(request.target.port, 443);
	assert_int_equal(request.length, 21);
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\0\x50\0\0\0\0\0")), SOCKS_WHOLE);
	assert_int_equal(target_class(&request.target.address), TARGET_UNSPECIFIED);
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\0\x50\0\1\0\1\0")), SOCKS_WHOLE);
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\0\x50\0\0\1\1\0")), SOCKS_WHOLE);
	refuses(REQUEST4, LITERAL("\5\1\0\x50\xc0\0\2\1\0"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST4, LITERAL("\4\2\0\x50\xc0\0\2\1\0"), SOCKS_COMMAND_NOT_SUPPORTED);
	refuses(REQUEST4, LITERAL("\4\1\0\0\xc0\0\2\1\0"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST4, LITERAL("\4\1\0\x50\0\0\0\1\0\0"), SOCKS_GENERAL_FAILURE);
	refuses(REQUEST4, LITERAL("\4\1\0\x50\0\0\0\1\0a b\0"), SOCKS_GENERAL_FAILURE);
	assert_int_equal(read_message(REQUEST4, LITERAL("\4\1\0\x50\xc0\0\2\1user")), SOCKS_MORE);
	uint8_t out[8];
	assert_int_equal(socks4_reply_write(out, true), 8);
	assert_memory_equal(out, "\0\x5a\0\0\0\0\0\0", 8);
	socks4_reply_write(out, false);
	assert_memory_equal(out, "\0\x5b\0\0\0\0\0\0", 8);
}

static void bounds_of_socks4(void **state)
{
	(void)state;
	uint8_t message[SOCKS_MESSAGE_MAX + 10] = { 4, 1, 0, 80, 0, 0, 0, 1 };
	memset(message + 8, 'u', 255);
	for (size_t i = 0; i < 253; i++)
		message[264 + i] = i % 50 == 49 ? '.' : 'a';
	assert_int_equal(read_message(REQUEST4, message, 264 + 254), SOCKS_WHOLE);
	memset(message + 264, 'a', sizeof(message) - 264);
	refuses(REQUEST4, message, SOCKS_MESSAGE_MAX, SOCKS_GENERAL_FAILURE);
	message[263] = 'u';
	refuses(REQUEST4, message, sizeof(message), SOCKS_GENERAL_FAILURE);
	assert_int_equal(read_message(REQUEST4, message, 263), SOCKS_MORE);
}

static int read_datagram(struct target *target, const void *bytes, size_t length)
{
	uint8_t *exact = malloc(length > 0 ? length : 1);
	memcpy(exact, bytes, length);
	int result = socks_datagram_read(target, exact, length);
	free(exact);
	return result;
}

static void reads_datagrams(void **state)
{
	(void)state;
	struct target target;
	assert_int_equal(read_datagram(&target, LITERAL("\0\0\0\1\xc0\0\2\1\0\x35payload")), 10);
	assert_string_equal(target.host, "192.0.2.1");
	assert_int_equal(target.port, 53);
	assert_int_equal(read_datagram(&target, LITERAL("\0\0\0\3\1a\0\x35")), 8);
	assert_true(target_is_name(&target));
	assert_int_equal(read_datagram(&target, LITERAL("\0\0\0\4\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x35")), 22);
	static const struct {
		const char *bytes;
		size_t length;
	} bad[] = {
		{ LITERAL("") },
		{ LITERAL("\0\0\0\1\xc0\0\2\1\0") },
		{ LITERAL("\0\0\1\1\xc0\0\2\1\0\x35") },
		{ LITERAL("\0\0\x80\1\xc0\0\2\1\0\x35") },
		{ LITERAL("\0\1\0\1\xc0\0\2\1\0\x35") },
		{ LITERAL("\0\0\0\2\xc0\0\2\1\0\x35") },
		{ LITERAL("\0\0\0\1\xc0\0\2\1\0\0") },
		{ LITERAL("\0\0\0\3\0\0\x35") },
		{ LITERAL("\0\0\0\3\2a\0\0\x35") },
		{ LITERAL("\0\0\0\3\1") },
		{ LITERAL("\0\0\0") },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(read_datagram(&target, bad[i].bytes, bad[i].length), -1);
	struct netstack_endpoint from = { .family = AF_INET, .bytes = { 10, 2, 0, 2 }, .port = 53 };
	uint8_t out[SOCKS_DATAGRAM_HEADER_MAX];
	assert_int_equal(socks_datagram_header_write(out, &from), 10);
	assert_int_equal(read_datagram(&target, out, 10), 10);
	assert_memory_equal(target.address.bytes, from.bytes, sizeof(from.bytes));
	assert_int_equal(target.address.family, AF_INET);
	assert_int_equal(target.address.port, 53);
	from.family = AF_INET6;
	assert_int_equal(socks_datagram_header_write(out, &from), 22);
}

int main(void)
{
	if (sodium_init() < 0)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(X9_greetings),    cmocka_unit_test(X10_no_method_downgrade),
		cmocka_unit_test(X10_passwords),   cmocka_unit_test(X11_requests),
		cmocka_unit_test(X11_refusals),    cmocka_unit_test(X11_lengths_of_names),
		cmocka_unit_test(X12_replies),     cmocka_unit_test(X12_codes),
		cmocka_unit_test(reads_socks4),    cmocka_unit_test(bounds_of_socks4),
		cmocka_unit_test(reads_datagrams),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
