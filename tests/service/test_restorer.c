/* Stored tunnels come back while any allocation fails (F1): a sound one is never failed for want of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "ipc/log.h"
#include "service/restorer.h"
#include "service/worker/protection.h"
#include "service/worker/worker_process.h"
#include "tests/failing_heap.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static const char document[] =
    "{\"labels\":{\"site\":\"berlin\"},\"spec\":{\"interface\":{\"private_key\":\"" KEY "\",\"addresses\":[\"10.2.0.2\"],\"dns\":[\"10.2.0.1\"]},"
    "\"peers\":[{\"public_key\":\"" PEER "\",\"endpoint\":\"192.0.2.1:51820\",\"allowed_ips\":[\"0.0.0.0/0\"],\"preshared_key\":\"" KEY "\"}],"
    "\"proxy\":{\"listen\":[\"127.0.0.1:0\"],\"users\":[{\"username\":\"u\",\"password\":\"p\"}]},"
    "\"forwards\":[{\"name\":\"web\",\"listen\":\"127.0.0.1:0\",\"target\":\"10.9.9.9:80\"}]}}";

/* The daemon's parts, as far as a restorer uses them; no worker has a process, so that nothing is sent. */
static uv_loop_t loop;
static struct worker worker = { .state = WORKER_ABSENT };
static struct supervisor supervisor = { .workers = &worker, .count = 1 };
static struct lock_queue *locks;
static struct registry *registry;
static struct slot_table *table;
static struct events *events;
static struct policy policy;
static struct peer_lookup_means lookups;
static struct restorer *restorer;

static void open_parts(void)
{
	static const struct socket_roots roots = { .count = 0 };
	locks = lock_queue_create();
	registry = registry_create(locks);
	table = slot_table_create(1);
	events = events_create(64, 0);
	policy = (struct policy){ .protection = protection_create(registry), .roots = &roots };
	lookups = (struct peer_lookup_means){ .loop = &loop, .registry = registry, .locks = locks };
	const struct restorer_means means = { .loop = &loop,
		                              .registry = registry,
		                              .locks = locks,
		                              .slots = table,
		                              .events = events,
		                              .lookups = &lookups,
		                              .policy = &policy,
		                              .roots = &roots };
	restorer = restorer_create(&means);
	assert_non_null(restorer);
}

static void close_parts(void)
{
	restorer_free(restorer);
	registry_free(registry);
	protection_free((struct protection *)(uintptr_t)policy.protection);
	events_free(events);
	slot_table_free(table);
	lock_queue_free(locks);
}

static bool take_row(void)
{
	struct database_tunnel row = { .key = "t", .revision = 5, .generation = 3 };
	row.document = strdup(document);
	row.ports = strdup("{\"udp\":0,\"listen\":[0],\"forwards\":[0]}");
	if (row.document != NULL && row.ports != NULL)
		return restorer_take(restorer, &row);
	free(row.document);
	free(row.ports);
	return false;
}

static void assert_sound(void)
{
	struct entry *entry = registry_entry(registry, "t");
	assert_non_null(entry);
	assert_null(entry->snapshot->failure);
	assert_int_equal(entry->snapshot->spec.peer_count, 1);
	assert_true(entry->snapshot->spec.peers[0].has_preshared_key);
	assert_string_equal(entry->snapshot->labels_json, "{\"site\":\"berlin\"}");
}

static void a_row_is_taken_whole_or_not_at_all(void **state)
{
	(void)state;
	for (int for_good = 0; for_good < 2; for_good++) {
		bool is_over = false;
		for (unsigned number = 0; !is_over; number++) {
			open_parts();
			(for_good ? heap_fails_after : heap_fails_once_after)(number);
			bool is_taken = take_row();
			is_over = heap_refused() == 0;
			heap_works();
			assert_true(is_taken || !is_over);
			if (is_taken)
				assert_sound();
			else
				assert_int_equal(registry_count(registry), 0);
			close_parts();
		}
	}
}

static void a_tunnel_that_memory_is_missing_for_is_tried_again(void **state)
{
	(void)state;
	for (int for_good = 0; for_good < 2; for_good++) {
		bool is_over = false;
		for (unsigned number = 0; !is_over; number++) {
			open_parts();
			assert_true(take_row());
			(for_good ? heap_fails_after : heap_fails_once_after)(number);
			restorer_start(restorer, &supervisor);
			is_over = heap_refused() == 0;
			heap_works();
			assert_sound();
			restorer_tick(restorer);
			restorer_tick(restorer);
			assert_true(restorer_is_done(restorer));
			assert_sound();
			assert_int_equal(registry_entry(registry, "t")->snapshot->listen_count, 1);
			close_parts();
		}
	}
}

static void a_broken_row_is_shown_as_failed(void **state)
{
	(void)state;
	open_parts();
	struct database_tunnel row = { .key = "t", .document = strdup("{\"spec\":"), .revision = 5 };
	assert_true(restorer_take(restorer, &row));
	assert_non_null(registry_entry(registry, "t")->snapshot->failure);
	close_parts();
}

/* Another node may have it by now. */
static void what_is_of_a_fleet_does_not_run_without_it(void **state)
{
	(void)state;
	for (int in_fleet = 0; in_fleet < 2; in_fleet++) {
		open_parts();
		policy.is_in_fleet = in_fleet;
		struct database_tunnel row = { .key = "t", .revision = 5 };
		assert_true(asprintf(&row.document, "{\"origin\":\"fleet\",%s", document + 1) > 0);
		row.ports = strdup("{\"udp\":0,\"listen\":[0],\"forwards\":[0]}");
		assert_true(restorer_take(restorer, &row));
		const struct snapshot *snapshot = registry_entry(registry, "t")->snapshot;
		assert_int_equal(snapshot->origin, SNAPSHOT_OF_FLEET);
		assert_int_equal(snapshot->failure == NULL, in_fleet);
		close_parts();
	}
}

int main(void)
{
	struct counters *counters;
	int descriptor = counters_create(&counters);
	if (sodium_init() < 0 || descriptor < 0 || uv_loop_init(&loop) != 0)
		return 1;
	log_start(LOG_ERROR, false, "control");
	json_reader_start();
	worker.supervisor = &supervisor;
	worker.slots = slots_create(counters, descriptor, 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_taken_whole_or_not_at_all),
		cmocka_unit_test(a_tunnel_that_memory_is_missing_for_is_tried_again),
		cmocka_unit_test(a_broken_row_is_shown_as_failed),
		cmocka_unit_test(what_is_of_a_fleet_does_not_run_without_it),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	slots_free(worker.slots);
	uv_loop_close(&loop);
	return failed;
}
