/* What is asked of connections reaches the service as it was meant, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api_fixture.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_start(&fixture, false);
	fake_service_add(fixture.service, "ams-1", "eu", 1, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static void expect(const char *token, const char *method, const char *path, int status, const char *body)
{
	struct reply reply = token == NULL ? fixture_ask(&fixture, method, path, "", "") : fixture_ask_as(&fixture, token, method, path, "", "");
	if (reply.status != status || (body != NULL && strstr(reply.body, body) == NULL))
		fail_msg("%s %s: %d %s", method, path, reply.status, reply.body);
	reply_clear(&reply);
}

static void filters_reach_the_service(void **state)
{
	(void)state;
	expect(NULL, "GET", "/v1/connections", 200,
	       "{\"connections\":[{\"tunnel\":\"\",\"user\":\"\",\"target\":\"\",\"client\":\"\",\"protocol\":7,\"after\":\"\",\"limit\":100}],"
	       "\"next_page_token\":\"\"}");
	expect(NULL, "GET", "/v1/connections?tunnel=ams-1&user=Anna&target=WWW.Example:443&client=192.0.2.1:80&protocol=udp&page_size=5", 200,
	       "{\"tunnel\":\"ams-1\",\"user\":\"Anna\",\"target\":\"www.example:443\",\"client\":\"192.0.2.1:80\",\"protocol\":6,\"after\":\"\","
	       "\"limit\":5}");
	expect(NULL, "GET", "/v1/tunnels/ams-1/connections?client=2001:db8::1", 200,
	       "{\"tunnel\":\"ams-1\",\"user\":\"\",\"target\":\"\",\"client\":\"[2001:db8::1]:0\"");
	expect(NULL, "GET", "/v1/connections?target=unix:/run/App.sock", 200, "\"target\":\"unix:/run/App.sock\"");
	expect(NULL, "GET", "/v1/connections?client=::ffff:192.0.2.1", 200, "\"client\":\"192.0.2.1:0\"");
	expect(NULL, "GET", "/v1/tunnels/none/connections", 404, "not_found");
	expect(NULL, "GET", "/v1/connections?pool=eu", 200, "{\"connections\":[],\"next_page_token\":\"\"}");
}

static void a_page_leads_to_the_next(void **state)
{
	char path[256], *end;
	(void)state;
	struct reply reply = fixture_ask(&fixture, "GET", "/v1/connections?page_size=1", "", "");
	const char *token = strstr(reply.body, "\"next_page_token\":\"");
	assert_non_null(token);
	snprintf(path, sizeof(path), "/v1/connections?page_token=%s", token + strlen("\"next_page_token\":\""));
	end = strchr(path, '"');
	*end = '\0';
	reply_clear(&reply);
	expect(NULL, "GET", path, 200, "\"after\":\"0-1-2-3\"");
	expect(NULL, "GET", "/v1/connections?page_token=%2B%2B", 400, "page_token");
	expect(NULL, "GET", "/v1/connections?page_size=1001", 400, "page_size");
}

static void a_faulty_filter_reaches_nobody(void **state)
{
	static const char *const faulty[] = { "protocol=tcp", "protocol=",     "client=host",      "client=1.2.3.4:", "client=1.2.3.4:99999",
		                              "client=",      "user=",         "target=",          "tunnel=",         "pool=",
		                              "users=a",      "user=a&user=b", "tunnel=a&tunnel=b" };
	(void)state;
	fake_service_hold(fixture.service, true);
	for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
		char path[128];
		snprintf(path, sizeof(path), "/v1/connections?%s", faulty[i]);
		expect(NULL, "GET", path, 400, "invalid_request");
		expect(NULL, "DELETE", path, 400, "invalid_request");
	}
	expect(NULL, "DELETE", "/v1/connections?dry_run=perhaps", 400, "dry_run");
	assert_int_equal(fake_service_waiting(fixture.service), 0);
	fake_service_hold(fixture.service, false);
}

static void one_is_found_by_its_id(void **state)
{
	char path[256];
	(void)state;
	expect(NULL, "GET", "/v1/connections/1-2-3", 200, "\"limit\":1}");
	expect(NULL, "DELETE", "/v1/connections/1-2-3", 204, NULL);
	expect(NULL, "GET", "/v1/connections/1-2-4", 404, "not_found");
	expect(NULL, "DELETE", "/v1/connections/1-2-4", 404, "not_found");
	snprintf(path, sizeof(path), "/v1/connections/1-2-3%0200d", 0);
	expect(NULL, "DELETE", path, 404, "not_found");
}

static void reading_lists_and_writing_cuts(void **state)
{
	(void)state;
	expect(FAKE_READ_TOKEN, "GET", "/v1/connections", 200, NULL);
	expect(FAKE_READ_TOKEN, "DELETE", "/v1/connections", 403, "forbidden");
	expect(FAKE_READ_TOKEN, "DELETE", "/v1/connections/1-2-3", 403, "forbidden");
	expect(FAKE_METRICS_TOKEN, "GET", "/v1/connections", 403, "forbidden");
	expect(FAKE_WRITE_TOKEN, "DELETE", "/v1/connections?dry_run=true", 200, "{\"closed\":1}");
	expect(FAKE_WRITE_TOKEN, "DELETE", "/v1/connections", 200, "{\"closed\":7}");
}

static void what_is_missing_is_told(void **state)
{
	(void)state;
	expect(NULL, "GET", "/v1/connections?user=of%20a%20slow%20worker", 200, "],\"next_page_token\":\"\",\"incomplete\":true}");
	expect(NULL, "DELETE", "/v1/connections?user=of%20a%20slow%20worker", 200, "{\"closed\":7,\"incomplete\":true}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(filters_reach_the_service, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_page_leads_to_the_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_faulty_filter_reaches_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_is_found_by_its_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_missing_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reading_lists_and_writing_cuts, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
