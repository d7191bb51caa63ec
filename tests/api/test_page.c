/* The web page loads nothing from other hosts, and needs no exception from its own content security policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api/page.h"
#include "api_fixture.h"

static bool contains(const struct api_file *file, const char *text)
{
	return memmem(file->bytes, file->length, text, strlen(text)) != NULL;
}

static void the_page_is_whole(void **state)
{
	(void)state;
	static const char *const paths[] = {
		"/", "/page/style.css", "/page/main.js", "/page/dygraph.js", "/page/qrcode.js", "/openapi.json", "/openapi.yaml"
	};
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		const struct api_file *file = api_page_find(paths[i]);
		assert_non_null(file);
		assert_true(file->length > 100);
	}
	assert_null(api_page_find("/index.html"));
	assert_true(contains(api_page_find("/openapi.yaml"), "openapi: 3.1.0"));
}

static bool is_ours(const struct api_file *file)
{
	return strncmp(file->path, "/page/", 6) == 0 && strcmp(file->path, "/page/dygraph.js") != 0 && strcmp(file->path, "/page/qrcode.js") != 0;
}

/* Inline code and styles would be blocked; markup made from data would be a hole. The token is kept in one place. */
static void nothing_comes_from_outside(void **state)
{
	(void)state;
	static const char *const outside[] = { "http://", "https://", "src=\"//", "@import", "url(" };
	static const char *const unsafe[] = { "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "javascript:" };
	static const char *const inlined[] = { "<script>", "<style", " style=", " onclick=", "javascript:" };
	const struct api_file *html = api_page_find("/");
	size_t scripts = 0;
	for (size_t i = 0; i < sizeof(inlined) / sizeof(inlined[0]); i++)
		assert_false(contains(html, inlined[i]));
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_false(contains(html, outside[i]));
	for (size_t i = 0; i < api_file_count; i++) {
		const struct api_file *file = &api_files[i];
		if (!is_ours(file))
			continue;
		scripts += strcmp(file->type, "text/javascript; charset=utf-8") == 0;
		for (size_t k = 0; k < sizeof(outside) / sizeof(outside[0]); k++)
			assert_false(contains(file, outside[k]));
		for (size_t k = 0; k < sizeof(unsafe) / sizeof(unsafe[0]); k++)
			assert_false(contains(file, unsafe[k]));
		assert_int_equal(contains(file, "localStorage"), strcmp(file->path, "/page/session.js") == 0);
	}
	assert_true(scripts > 10);
}

/* Each `import` names a file that is there. */
static void every_import_is_served(void **state)
{
	(void)state;
	for (size_t i = 0; i < api_file_count; i++) {
		const char *at = is_ours(&api_files[i]) ? (const char *)api_files[i].bytes : NULL,
			   *end = (const char *)api_files[i].bytes + api_files[i].length;
		while (at != NULL && (at = memmem(at, (size_t)(end - at), "from \"./", 8)) != NULL) {
			char path[64];
			at += 8;
			snprintf(path, sizeof(path), "/page/%.*s", (int)strcspn(at, "\""), at);
			assert_non_null(api_page_find(path));
		}
	}
}

static void it_is_served_with_a_strict_policy(void **state)
{
	(void)state;
	struct fixture fixture;
	fixture_start(&fixture, false);
	struct reply reply = fixture_ask_as(&fixture, NULL, "GET", "/", "", "");
	assert_int_equal(reply.status, 200);
	assert_true(reply_has_header(&reply, "Content-Type: text/html; charset=utf-8"));
	const char *policy = strcasestr(reply.head, "Content-Security-Policy: default-src 'none'; ");
	assert_non_null(policy);
	assert_null(strstr(policy, "unsafe-"));
	assert_true(reply_has_header(&reply, "X-Frame-Options: DENY"));
	reply_clear(&reply);
	fixture_stop(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page_is_whole),
		cmocka_unit_test(nothing_comes_from_outside),
		cmocka_unit_test(every_import_is_served),
		cmocka_unit_test(it_is_served_with_a_strict_policy),
	};
	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
