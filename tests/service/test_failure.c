/* A tunnel that cannot run: what the worker, readers and events are told, and what becomes of its sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/worker/failure.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

static uint64_t events;

/* The text of the next event of this test, to be freed, or NULL. */
static char *next_event(enum event_type *type)
{
	char *json = NULL;
	return events_next(bench.events, events, &events, type, &json) == EVENTS_GOT ? json : NULL;
}

static int set_up(void **state)
{
	events = 0;
	return bench_worker_set_up(state);
}

static void a_failed_tunnel_leaves_its_worker_and_its_sockets(void **state)
{
	struct snapshot_status status;
	enum event_type type;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	assert_int_not_equal(entry->snapshot->udp_port, 0);
	assert_true(failure_set(bench.registry, bench.events, entry, NULL, "no \"memory\""));
	snapshot_status(entry->snapshot, &status);
	assert_int_equal(status.state, TUNNEL_FAILED);
	assert_string_equal(status.reason, "no \"memory\"");
	assert_int_equal(entry->snapshot->udp_port, 0);
	assert_int_equal(socket_list_udp_port(&entry->sockets), 0);
	assert_int_equal(bench_worker_next(), MESSAGE_REMOVE);
	char *json = next_event(&type);
	assert_non_null(json);
	assert_int_equal(type, EVENT_TUNNEL_STATE);
	assert_non_null(strstr(json, "\"state\":\"failed\",\"reason\":\"no \\\"memory\\\"\""));
	free(json);
	/* The same again is nothing new. */
	assert_true(failure_set(bench.registry, bench.events, entry, NULL, "no \"memory\""));
	assert_null(next_event(&type));
	assert_int_equal(bench_worker_next(), 0);
	assert_true(failure_set(bench.registry, bench.events, entry, NULL, "another"));
	free(next_event(&type));
	assert_string_equal(entry->snapshot->failure, "another");
}

static void a_worker_that_is_not_there_is_not_told(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	bench.worker.state = WORKER_STARTING;
	assert_true(failure_set(bench.registry, bench.events, entry, NULL, "why"));
	bench.worker.state = WORKER_READY;
	assert_int_equal(bench_worker_next(), 0);
	struct entry *placeless = bench_worker_add("b", NULL);
	placeless->worker = NULL;
	assert_true(failure_set(bench.registry, bench.events, placeless, NULL, "why"));
	assert_int_equal(bench_worker_next(), 0);
	placeless->worker = &bench.worker;
}

/* F1: it fails as a whole, or nothing has changed. An event that memory is missing for has an id, so that readers read anew. */
static void memory_that_is_out_changes_nothing(void **state)
{
	bool is_done = false;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	unsigned tries = 0;
	for (; !is_done; tries++) {
		uint64_t before = events_last_id(bench.events);
		uint16_t port = entry->snapshot->udp_port;
		heap_fails_once_after(tries);
		is_done = failure_set(bench.registry, bench.events, entry, NULL, "why");
		heap_works();
		if (is_done) {
			assert_string_equal(entry->snapshot->failure, "why");
			assert_int_equal(events_last_id(bench.events), before + 1);
		} else {
			assert_null(entry->snapshot->failure);
			assert_int_equal(entry->snapshot->udp_port, port);
			assert_int_equal(events_last_id(bench.events), before);
		}
	}
	assert_true(tries > 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bench_worker_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_tunnel_leaves_its_worker_and_its_sockets),
		TEST(a_worker_that_is_not_there_is_not_told),
		TEST(memory_that_is_out_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
