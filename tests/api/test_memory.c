/* Every allocation of the API's threads fails in turn (F1): a reply is complete and correct, or reports that memory ran out, or the connection ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "api_fixture.h"
#include "tests/failing_heap.h"

static struct fixture fixture;

static int start(void **state)
{
	(void)state;
	json_set_alloc_funcs(malloc, free);
	heap_spares_this_thread();
	fixture_start(&fixture, false);
	for (unsigned i = 0; i < 8; i++) {
		char id[16] = { 't', (char)('a' + i) };
		fake_service_add(fixture.service, id, "pool", 3, 4);
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

/* Without the digits, since times and counters go on; of the metrics, what is of tunnels alone. */
static char *shape(const struct reply *reply, bool is_metrics)
{
	char *shape = calloc(1, reply->body_length + 1), *to = shape;
	char *walked = strdup(reply->body), *rest = walked;
	for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
		if (is_metrics && strstr(line, "tunnel=\"") == NULL && strstr(line, "interface=\"") == NULL)
			continue;
		for (; *line != '\0'; line++)
			if (!isdigit((unsigned char)*line) && *line != '.')
				*to++ = *line;
	}
	free(walked);
	return shape;
}

static void each_allocation_fails(const char *method, const char *path, const char *body)
{
	bool is_metrics = strcmp(path, "/metrics") == 0;
	const char *headers = body == NULL ? "" : JSON;
	struct reply whole = fixture_ask(&fixture, method, path, headers, body == NULL ? "" : body);
	assert_in_range(whole.status, 200, 201);
	char *wanted = shape(&whole, is_metrics);
	unsigned refused = 1;
	for (unsigned number = 0; refused > 0; number++) {
		assert_true(number < 2000);
		heap_fails_once_after(number);
		struct reply reply = fixture_ask(&fixture, method, path, headers, body == NULL ? "" : body);
		heap_works();
		refused = heap_refused();
		if (reply.status == whole.status) {
			char *got = shape(&reply, is_metrics);
			assert_string_equal(got, wanted);
			free(got);
		} else if (reply.status != 0 && reply.status != 503 && reply.status != 500) {
			fail_msg("%s %s: %d with allocation %u failing: %s", method, path, reply.status, number, reply.body);
		}
		reply_clear(&reply);
	}
	free(wanted);
	reply_clear(&whole);
}

static void reads_are_whole_or_refused(void **state)
{
	static const char *const paths[] = {
		"/v1/tunnels",
		"/v1/tunnels?page_size=3&label=pool%3Dpool",
		"/v1/tunnels?label=pool&label=none!=x&state=up&state=stale&healthy=false",
		"/v1/tunnels/ta",
		"/v1/tunnels/ta/peers",
		"/v1/tunnels/ta/stats",
		"/v1/tunnels/ta/history",
		"/v1/stats",
		"/v1/stats?tunnel=ta&tunnel=tb&label=pool!=x",
		"/v1/state",
		"/v1/state?include_secrets=true",
		"/metrics",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		each_allocation_fails("GET", paths[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_are_whole_or_refused, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
