/* Which tunnel leaves a busy worker, and when. Nothing is moved here: the mover is stood in for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/registry/status.h"
#include "service/worker/balancer.h"
#include "service/worker/worker_process.h"
#include "tests/failing_heap.h"

#define WORKERS 3 /* the last one is spare */
#define MB 1000000u

static struct worker workers[WORKERS];
static struct supervisor supervisor;
static struct lock_queue *locks;
static struct registry *registry;
static struct balancer *balancer;
static uint64_t now_ms, passes;

static struct {
	unsigned count;
	const struct entry *entry;
	struct worker *to;
	mover_done *done;
	void *owner;
	bool lacks_memory;
} started;

bool __wrap_mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner);

bool __wrap_mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner)
{
	(void)mover;
	assert_true(only_idle);
	started.count++;
	started.entry = entry;
	started.to = to;
	started.done = done;
	started.owner = owner;
	return !started.lacks_memory;
}

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
		workers[i] = (struct worker){ .supervisor = &supervisor,
			                      .index = i,
			                      .state = WORKER_READY,
			                      .duty = i + 1 < WORKERS ? WORKER_SERVING : WORKER_SPARE,
			                      .slots = slots_create(counters, descriptor, i) };
	}
	locks = lock_queue_create();
	registry = registry_create(locks);
	balancer = balancer_create(&(struct balancer_means){ .registry = registry, .locks = locks });
	started.count = 0;
	started.lacks_memory = false;
	now_ms = passes = 0;
	return locks == NULL || registry == NULL || balancer == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	balancer_free(balancer);
	registry_free(registry);
	lock_queue_free(locks);
	for (unsigned i = 0; i < WORKERS; i++)
		slots_free(workers[i].slots);
	return 0;
}

/* On the first worker, with so many bytes a second. */
static struct entry *add(const char *id, uint64_t rate)
{
	struct entry *entry = entry_create(id);
	assert_non_null(entry);
	entry->snapshot = calloc(1, sizeof(*entry->snapshot));
	entry->snapshot->references = 1;
	strcpy(entry->snapshot->id, id);
	entry->snapshot->status = status_reference(entry->status);
	entry->worker = &workers[0];
	entry->slot = slot_take_tunnel(workers[0].slots);
	counter_set(&slot_tunnel(entry->slot)->throughput_received, rate);
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, entry);
	registry_unreserve(registry, 1);
	return entry;
}

static void set_open(const struct entry *entry, uint64_t count)
{
	counter_set(&slot_tunnel(entry->slot)->connections_open[COUNTERS_CONNECT], count);
}

/* Ten seconds in which each worker takes so much of a core, in percent. */
static void pass(unsigned first, unsigned second)
{
	counter_add(&slots_counters(workers[0].slots)->worker.cpu_us, first * 100000ull);
	counter_add(&slots_counters(workers[1].slots)->worker.cpu_us, second * 100000ull);
	now_ms = 10000ull * ++passes;
	for (int i = 0; i < 10; i++)
		balancer_tick(balancer, &supervisor, now_ms += 100);
}

static void assert_started(const struct entry *entry)
{
	assert_int_equal(started.count, 1);
	assert_ptr_equal(started.entry, entry);
	assert_ptr_equal(started.to, &workers[1]);
	started.count = 0;
}

static void assert_none(void)
{
	assert_int_equal(started.count, 0);
}

/* Also if what is left is the busiest tunnel alone. */
static void what_leaves_both_the_least_goes(void **state)
{
	(void)state;
	add("most", 70 * MB);
	struct entry *some = add("some", 25 * MB);
	add("few", 4 * MB);
	add("none", 0);
	pass(95, 5);
	assert_none(); /* what was before the first look says nothing */
	pass(95, 5);
	assert_started(some);
}

static void a_tunnel_that_is_alone_stays(void **state)
{
	(void)state;
	add("most", 100 * MB);
	add("few", 2 * MB);
	for (int i = 0; i < 3; i++)
		pass(100, 0);
	assert_none();
}

static void two_busy_workers_keep_their_tunnels(void **state)
{
	(void)state;
	add("a", 50 * MB);
	add("b", 50 * MB);
	pass(100, 90);
	pass(100, 90);
	pass(60, 0); /* has enough left */
	assert_none();
}

/* The next best goes meanwhile; and it goes itself as soon as it has none. */
static void no_connection_is_cut(void **state)
{
	(void)state;
	struct entry *first = add("a", 45 * MB), *second = add("b", 35 * MB);
	set_open(first, 2);
	set_open(second, 1);
	pass(100, 0);
	pass(100, 0);
	pass(100, 0);
	assert_none();
	set_open(second, 0);
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_started(second);
	started.done(started.owner, MOVER_DONE, NULL);
	set_open(first, 0);
	pass(100, 0); /* what is seen now is in part from before the move */
	assert_none();
}

static void a_client_that_comes_meanwhile_is_not_cut(void **state)
{
	(void)state;
	struct entry *entry = add("a", 50 * MB);
	set_open(add("b", 50 * MB), 1);
	pass(100, 0);
	pass(100, 0);
	assert_started(entry);
	balancer_tick(balancer, &supervisor, now_ms += 5000);
	assert_none(); /* one at a time */
	started.done(started.owner, MOVER_BUSY, NULL);
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_started(entry);
	started.done(started.owner, MOVER_BUSY, NULL);
	balancer_tick(balancer, &supervisor, now_ms += 900);
	assert_none();
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_started(entry);
}

static void chains_and_what_does_not_run_stay(void **state)
{
	(void)state;
	add("outer", 30 * MB);
	struct entry *inside = add("inside", 30 * MB), *failed = add("failed", 30 * MB), *waiting = add("waiting", 30 * MB);
	registry_remove(registry, inside);
	inside->snapshot->spec.via = strdup("outer");
	assert_true(registry_reserve(registry, 1));
	registry_add(registry, inside);
	registry_unreserve(registry, 1);
	failed->snapshot->failure = strdup("why");
	waiting->is_waiting = true;
	pass(100, 0);
	pass(100, 0);
	assert_none();
}

static void a_worker_that_cannot_take_it_gets_none(void **state)
{
	(void)state;
	struct entry *entry = add("a", 50 * MB);
	set_open(add("b", 50 * MB), 1);
	set_open(entry, 1);
	pass(100, 0);
	pass(100, 0);
	set_open(entry, 0);
	workers[1].state = WORKER_ABSENT;
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_none();
	workers[1].state = WORKER_READY;
	workers[1].duty = WORKER_RETIRING;
	pass(100, 0);
	assert_none();
}

static void one_that_is_gone_is_forgotten(void **state)
{
	(void)state;
	struct entry *entry = add("a", 50 * MB);
	set_open(entry, 1);
	set_open(add("b", 50 * MB), 1);
	pass(100, 0);
	pass(100, 0);
	slot_leave(entry->slot);
	entry->slot = NULL;
	registry_remove(registry, entry);
	entry_free(entry);
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_none();
}

/* More tunnels than are kept in mind. */
static void the_best_of_many_goes(void **state)
{
	char id[] = "t00";
	struct entry *entries[20];
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		id[1] = (char)('0' + i / 10);
		id[2] = (char)('0' + i % 10);
		entries[i] = add(id, (i * 7 % 20) * MB);
		set_open(entries[i], 1);
	}
	/* 190 MB a second in all: one of 40 or more would gain a fifth. */
	pass(100, 0);
	pass(100, 0);
	assert_none();
	counter_set(&slot_tunnel(entries[3]->slot)->throughput_sent, 60 * MB);
	counter_set(&slot_tunnel(entries[5]->slot)->throughput_sent, 70 * MB);
	pass(100, 0);
	for (unsigned i = 0; i < 20; i++)
		set_open(entries[i], 0);
	balancer_tick(balancer, &supervisor, now_ms += 100);
	assert_started(entries[5]);
}

static void memory_that_is_missing_changes_nothing(void **state)
{
	(void)state;
	struct entry *entry = add("a", 50 * MB);
	set_open(add("b", 50 * MB), 1);
	heap_fails_after(0);
	balancer_tick(balancer, &supervisor, now_ms += 100);
	heap_works();
	started.lacks_memory = true;
	pass(100, 0);
	pass(100, 0);
	assert_started(entry);
	balancer_tick(balancer, &supervisor, now_ms += 2000);
	assert_none();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_leaves_both_the_least_goes),
		TEST(a_tunnel_that_is_alone_stays),
		TEST(two_busy_workers_keep_their_tunnels),
		TEST(no_connection_is_cut),
		TEST(a_client_that_comes_meanwhile_is_not_cut),
		TEST(chains_and_what_does_not_run_stay),
		TEST(a_worker_that_cannot_take_it_gets_none),
		TEST(one_that_is_gone_is_forgotten),
		TEST(the_best_of_many_goes),
		TEST(memory_that_is_missing_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
