/* Lists in pages: every tunnel once and in order, whatever comes and goes between two pages, and filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "api_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_start(&fixture, true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

/* The ids of a page, each with a blank after it, and the token of the next one ("": it was the last). */
static void read_page(const char *query, char ids[512], char token[128])
{
	char path[256];
	snprintf(path, sizeof(path), "/v1/tunnels?%s", query);
	struct reply reply = fixture_ask(&fixture, "GET", path, "", "");
	assert_int_equal(reply.status, 200);
	ids[0] = '\0';
	for (const char *at = strstr(reply.body, "{\"id\":\""); at != NULL; at = strstr(at + 1, "{\"id\":\"")) {
		size_t length = strlen(ids);
		snprintf(ids + length, 512 - length, "%.*s ", (int)strcspn(at + 7, "\""), at + 7);
	}
	const char *next = strstr(reply.body, "\"next_page_token\":\"");
	assert_non_null(next);
	snprintf(token, 128, "%.*s", (int)strcspn(next + 19, "\""), next + 19);
	reply_clear(&reply);
}

static void add(const char *id, const char *pool)
{
	fake_service_add(fixture.service, id, pool, 1, 1);
}

static void assert_page(const char *query, const char *wanted, bool is_last)
{
	char ids[512], token[128];
	read_page(query, ids, token);
	assert_string_equal(ids, wanted);
	assert_true(is_last == (token[0] == '\0'));
}

static void pages_are_in_order(void **state)
{
	char ids[512], token[128], query[256];
	static const char *const pages[] = { "a b ", "c d ", "e " };
	(void)state;
	for (const char *id = "ecadb"; *id != '\0'; id++)
		add((char[]){ *id, '\0' }, "eu");
	snprintf(query, sizeof(query), "page_size=2");
	for (size_t i = 0; i < 3; i++) {
		read_page(query, ids, token);
		assert_string_equal(ids, pages[i]);
		snprintf(query, sizeof(query), "page_size=2&page_token=%s", token);
	}
	assert_string_equal(token, "");
	/* An empty token is the beginning, and a page that is just full has no other. */
	assert_page("page_size=2&page_token=", "a b ", false);
	assert_page("page_size=5", "a b c d e ", true);
	assert_page("", "a b c d e ", true);
}

/* A token is a place, and not a tunnel that must still be there. */
static void what_goes_between_two_pages_moves_no_other(void **state)
{
	char ids[512], token[128], query[256];
	(void)state;
	for (const char *id = "abcd"; *id != '\0'; id++)
		add((char[]){ *id, '\0' }, "eu");
	read_page("page_size=2", ids, token);
	struct reply reply = fixture_ask(&fixture, "DELETE", "/v1/tunnels/b", "", "");
	assert_int_equal(reply.status, 204);
	reply_clear(&reply);
	add("bb", "eu");
	snprintf(query, sizeof(query), "page_size=9&page_token=%s", token);
	assert_page(query, "bb c d ", true);
}

static void filters_and_pages_go_together(void **state)
{
	char ids[512], token[128], query[256];
	(void)state;
	for (const char *id = "abcdef"; *id != '\0'; id++)
		add((char[]){ *id, '\0' }, *id % 2 == 0 ? "eu" : "us");
	read_page("label=pool=eu&page_size=2", ids, token);
	assert_string_equal(ids, "b d ");
	snprintf(query, sizeof(query), "label=pool=eu&page_size=2&page_token=%s", token);
	assert_page(query, "f ", true);
	assert_page("label=pool=eu&label=pool=us", "", true);
	assert_page("label=nobody", "", true);
}

static void what_cannot_be_read_is_refused(void **state)
{
	static const char *const queries[] = { "page_token=%25", "page_token=YQ==", "page_token=!", "page_size=0",    "page_size=1001",
		                               "page_size=x",    "page_size=",      "state=upp",    "state=up,stale", "label=%3Dx" };
	char path[64], long_token[256];
	(void)state;
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		snprintf(path, sizeof(path), "/v1/tunnels?%s", queries[i]);
		struct reply reply = fixture_ask(&fixture, "GET", path, "", "");
		if (reply.status != 400)
			fail_msg("%s: %d", path, reply.status);
		reply_clear(&reply);
	}
	/* Longer than any id. */
	int length = snprintf(long_token, sizeof(long_token), "/v1/tunnels?page_token=");
	memset(long_token + length, 'Q', 120);
	long_token[length + 120] = '\0';
	struct reply reply = fixture_ask(&fixture, "GET", long_token, "", "");
	assert_int_equal(reply.status, 400);
	reply_clear(&reply);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(pages_are_in_order),
		TEST(what_goes_between_two_pages_moves_no_other),
		TEST(filters_and_pages_go_together),
		TEST(what_cannot_be_read_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
