#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "ipc/url.h"

static void a_url_is_split(void **state)
{
	(void)state;
	static const char *const texts[][3] = {
		{ "http://a.example", "a.example", "/" },
		{ "HTTP://a.example/", "a.example", "/" },
		{ "http://10.0.0.1:81/x/y?z=1/2", "10.0.0.1:81", "/x/y?z=1/2" },
		{ "http://[fd00::1]:80?q", "[fd00::1]:80", "/?q" },
		{ "http://a/http://b", "a", "/http://b" },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct url url;
		assert_int_equal(url_split(texts[i][0], &url), 0);
		assert_string_equal(url.authority, texts[i][1]);
		assert_string_equal(url.path, texts[i][2]);
	}
}

static void all_else_is_refused(void **state)
{
	(void)state;
	static const char *const malformed[] = { "",
		                                 "a.example",
		                                 "http:/a",
		                                 "http://",
		                                 "http:///x",
		                                 "http://?x",
		                                 "http://u@a/",
		                                 "http://u:p@a/",
		                                 "http://a/#x",
		                                 "http://a#x",
		                                 "http://a b/",
		                                 "http://a/\n",
		                                 "http://a/\r\nX: y",
		                                 "http://a/\xc3\xa4",
		                                 "http://a/\x7f" };
	struct url url;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_int_equal(url_split(malformed[i], &url), URL_MALFORMED);
	assert_int_equal(url_split("https://a/", &url), URL_NOT_HTTP);
	assert_int_equal(url_split("ftp://a/", &url), URL_NOT_HTTP);
	char longest[URL_MAX + 2] = "http://a/";
	memset(longest + 9, 'x', URL_MAX - 9);
	assert_int_equal(url_split(longest, &url), 0);
	longest[URL_MAX] = 'x';
	assert_int_equal(url_split(longest, &url), URL_MALFORMED);
	/* The slash that is added has room. */
	memset(longest + 8, '?', 1);
	longest[URL_MAX] = '\0';
	assert_int_equal(url_split(longest, &url), 0);
	assert_int_equal(strlen(url.path), URL_MAX - 8 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_url_is_split), cmocka_unit_test(all_else_is_refused) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
