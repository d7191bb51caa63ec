#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/place.h"

static void check_place(const char *text, const char *expected)
{
	struct spec_place place;
	bool is_read = place_parse(text, &place);
	char *formatted = is_read ? place_format(&place) : NULL;
	bool is_right = expected == NULL ? !is_read : formatted != NULL && strcmp(formatted, expected) == 0;
	if (!is_right)
		fail_msg("%s: «%s»", text, formatted == NULL ? "refused" : formatted);
	free(formatted);
	place_clear(&place);
}

static void places(void **state)
{
	(void)state;
	check_place("127.0.0.1:80", "127.0.0.1:80");
	check_place("[::1]:0", "[::1]:0");
	check_place("[2001:DB8::0:1]:65535", "[2001:db8::1]:65535");
	check_place("[::ffff:1.2.3.4]:5", "1.2.3.4:5");
	check_place("vpn.example:51820", "vpn.example:51820");
	check_place("a_b.example.:1", "a_b.example.:1");
	check_place("unix:/run/x.sock", "unix:/run/x.sock");
	static const char *const wrong[] = {
		"",      ":",     "a",           "a:",      ":1",         "a:65536",     "a:-1",        "a:+1",       "a:01", "a: 1", "::1:80",
		"[::1]", "[a]:1", "[1.2.3.4]:1", "1.2.3:4", "1.2.3.4.:5", "300.1.1.1:1", "a..b:1",      ".a:1",       "-a:1", "a-:1", "a b:1",
		"a/b:1", "unix:", "unix:x",      "unix:/",  "unix:/a/",   "unix:/a\nb",  "user@host:1", "[::1%lo]:1", "a:1:2"
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		check_place(wrong[i], NULL);
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + 64, ".b:1");
	check_place(longest, NULL);
	memset(longest, 'a', 63);
	check_place(longest + 1, longest + 1);
}

static void faults_say_what_is_wrong(void **state)
{
	char path[200] = "unix:/", fault[PLACE_FAULT_SIZE];
	static const struct {
		const char *text;
		bool is_endpoint;
		const char *said;
	} cases[] = {
		{ "vpn.example", true, "The port is missing" },
		{ "[::1]", true, "The port is missing" },
		{ "", false, "The port is missing" },
		{ "vpn.example:99999", true, "from 1 to 65535" },
		{ "vpn.example:0", true, "from 1 to 65535" },
		{ "127.0.0.1:x", false, "from 0 to 65535" },
		{ "2001:db8::1:51820", true, "needs brackets" },
		{ "a b:1", true, "The host must be" },
		{ "unix:x", false, "must be absolute" },
		{ "unix:/x", true, "The port must be" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		place_fault(cases[i].text, cases[i].is_endpoint, fault);
		if (strstr(fault, cases[i].said) == NULL)
			fail_msg("%s: «%s»", cases[i].text, fault);
	}
	memset(path + 6, 'a', 119);
	place_fault(path, false, fault);
	assert_non_null(strstr(fault, "at most 107 bytes; this one has 120"));
}

/* RFC 1123, 2.1: 253 characters and labels of 63; a number is no name, so that "10.1" is none. */
static void names(void **state)
{
	static const char *const right[] = { "a", "A-b.c_d", "1.a", "_x._y", "1a", "a.", "xn--a", "0x1" };
	static const char *const wrong[] = { "",   ".",  "a..b", "a..",  "1",   "10.1",  "a.1", "a.1.",
		                             "-a", "a-", "a-.b", "a.-b", "a b", "a\x80", "a/b", "a:b" };
	char longest[256];
	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		if (!name_is_valid(right[i]))
			fail_msg("%s", right[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (name_is_valid(wrong[i]))
			fail_msg("%s", wrong[i]);
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 63; i < sizeof(longest); i += 64)
		longest[i] = '.';
	longest[253] = '\0';
	assert_true(name_is_valid(longest));
	longest[253] = 'a';
	longest[254] = '\0';
	assert_false(name_is_valid(longest));
}

static void literals_become_addresses(void **state)
{
	struct spec_place place;
	union wireguard_endpoint address;
	char text[64];
	(void)state;
	assert_true(place_parse("127.0.0.2:80", &place));
	assert_true(place_address(&place, &address) && place_is_literal(&place) && place_is_loopback(&place));
	endpoint_format(&address, text);
	assert_string_equal(text, "127.0.0.2:80");
	place_clear(&place);
	assert_true(place_parse("[2001:db8::1]:443", &place));
	assert_true(place_address(&place, &address) && !place_is_loopback(&place));
	endpoint_format(&address, text);
	assert_string_equal(text, "[2001:db8::1]:443");
	place_clear(&place);
	assert_true(place_parse("localhost:80", &place));
	assert_false(place_is_literal(&place) || place_is_loopback(&place));
	place_clear(&place);
	assert_true(place_parse("unix:/run/x", &place));
	assert_false(place_is_literal(&place) || place_is_loopback(&place));
	place_clear(&place);
	assert_int_equal(place.kind, SPEC_PLACE_NONE);
	assert_null(place_format(&place));
	assert_false(place_address(&place, &address));
	assert_int_equal(address.any.sa_family, AF_UNSPEC);
}

/* As long as sun_path takes, with its end. */
static void a_unix_path_fits_an_address(void **state)
{
	char text[5 + 109];
	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + 107] = '\0';
	check_place(text, text);
	text[5 + 107] = 'a';
	text[5 + 108] = '\0';
	check_place(text, NULL);
	check_place("unix:/a\x7f", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		cmocka_unit_test(faults_say_what_is_wrong),
		cmocka_unit_test(names),
		cmocka_unit_test(literals_become_addresses),
		cmocka_unit_test(a_unix_path_fits_an_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
