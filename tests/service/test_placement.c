/* A new tunnel goes to the worker with the fewest tunnels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/worker/placement.h"
#include "service/worker/worker_process.h"

#define WORKERS 3

static struct worker workers[WORKERS];
static struct supervisor supervisor;

static int set_up(void **state)
{
	(void)state;
	log_start(LOG_ERROR, false, "control");
	supervisor = (struct supervisor){ .workers = workers, .count = WORKERS };
	for (unsigned i = 0; i < WORKERS; i++) {
		struct counters *counters;
		int descriptor = counters_create(&counters);
		if (descriptor < 0)
			return -1;
		workers[i] =
		    (struct worker){ .supervisor = &supervisor, .index = i, .state = WORKER_READY, .slots = slots_create(counters, descriptor, i) };
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WORKERS; i++)
		slots_free(workers[i].slots);
	return 0;
}

static void the_one_with_the_fewest_is_chosen(void **state)
{
	struct entry entries[3 * WORKERS] = { { .worker = NULL } };
	size_t of_worker[WORKERS] = { 0 };
	(void)state;
	struct slot *first = slot_take_tunnel(workers[0].slots), *second = slot_take_tunnel(workers[0].slots);
	for (size_t i = 0; i < 3 * WORKERS; i++) {
		assert_true(placement_choose(&supervisor, NULL, &entries[i]));
		assert_int_equal(slot_worker(entries[i].slot), worker_index(entries[i].worker));
		assert_int_equal(counter_read(&slot_tunnel(entries[i].slot)->state), TUNNEL_STARTING);
		of_worker[worker_index(entries[i].worker)]++;
	}
	/* Two were there already. */
	assert_int_equal(of_worker[0], 2);
	assert_in_range(of_worker[1], 3, 4);
	assert_in_range(of_worker[2], 3, 4);
	/* One that a reader still refers to does not count. */
	struct slot *reader = slot_reference(first);
	slot_leave(first);
	slot_leave(second);
	struct entry entry = { .worker = NULL };
	assert_true(placement_choose(&supervisor, NULL, &entry));
	assert_ptr_equal(entry.worker, &workers[0]);
	slot_release(reader);
	slot_leave(entry.slot);
	for (size_t i = 0; i < 3 * WORKERS; i++)
		slot_leave(entries[i].slot);
}

static void there_is_none_when_all_are_full(void **state)
{
	static struct slot *taken[WORKERS][COUNTERS_TUNNELS];
	struct entry entry = { .worker = NULL };
	(void)state;
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned k = 0; k < COUNTERS_TUNNELS; k++)
			taken[i][k] = slot_take_tunnel(workers[i].slots);
	assert_false(placement_choose(&supervisor, NULL, &entry));
	assert_null(entry.slot);
	assert_null(entry.worker);
	struct snapshot snapshot = { .references = 1 };
	struct socket_list sockets = { .count = 0 };
	struct message_addresses *addresses;
	assert_int_equal(placement_furnish(&supervisor, &entry, NULL, &snapshot, &sockets, &addresses), PLACEMENT_USED_UP);
	free(snapshot.listen);
	slot_leave(taken[1][7]);
	assert_true(placement_choose(&supervisor, NULL, &entry));
	assert_ptr_equal(entry.worker, &workers[1]);
	taken[1][7] = entry.slot;
	for (unsigned i = 0; i < WORKERS; i++)
		for (unsigned k = 0; k < COUNTERS_TUNNELS; k++)
			slot_leave(taken[i][k]);
}

static struct entry *put(struct registry *registry, const char *id, const char *via, struct worker *worker)
{
	struct entry *entry = entry_create(id);
	assert_non_null(entry);
	entry->snapshot = calloc(1, sizeof(*entry->snapshot));
	entry->snapshot->references = 1;
	entry->snapshot->spec.via = via == NULL ? NULL : strdup(via);
	entry->worker = worker;
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, entry);
	registry_unreserve(registry, 1);
	return entry;
}

static struct worker *near(struct registry *registry, const char *id, char *via)
{
	return placement_near(registry, id, &(struct spec){ .via = via });
}

/* Beside the outer tunnel, else beside others that name it, else beside those inside. */
static void a_chain_is_on_one_worker(void **state)
{
	char outer[] = "outer", gone[] = "gone", none[] = "none";
	struct lock_queue *locks = lock_queue_create();
	struct registry *registry = registry_create(locks);
	(void)state;
	put(registry, "outer", NULL, &workers[2]);
	put(registry, "b", "gone", NULL);
	put(registry, "c", "gone", &workers[1]);
	assert_ptr_equal(near(registry, "new", outer), &workers[2]);
	assert_ptr_equal(near(registry, "new", gone), &workers[1]);
	assert_ptr_equal(near(registry, "gone", NULL), &workers[1]);
	assert_ptr_equal(near(registry, "gone", none), &workers[1]);
	assert_null(near(registry, "new", none));
	assert_null(near(registry, "new", NULL));
	struct entry entry = { .worker = NULL };
	assert_true(placement_choose(&supervisor, &workers[1], &entry));
	assert_ptr_equal(entry.worker, &workers[1]);
	slot_leave(entry.slot);
	registry_free(registry);
	lock_queue_free(locks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_one_with_the_fewest_is_chosen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_chain_is_on_one_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(there_is_none_when_all_are_full, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
