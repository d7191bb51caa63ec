/* Tunnels are brought to the worker of the tunnel that they go through. The mover is replaced: the test says how a move ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/snapshot_make.h"
#include "service/worker/gatherer.h"
#include "tests/service/bench_worker.h"

static struct worker other;
static struct gatherer *gatherer;
static unsigned moves;
static bool has_memory;
static mover_done *last_done;
static void *last_owner;

bool __wrap_mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner);
bool __wrap_mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner)
{
	(void)mover;
	assert_string_equal(entry->id, "inner");
	assert_ptr_equal(to, &other);
	assert_false(only_idle);
	moves++;
	last_done = done;
	last_owner = owner;
	return has_memory;
}

static int set_up(void **state)
{
	bench_worker_set_up(state);
	other = (struct worker){ .index = 1 };
	gatherer = gatherer_create(bench.registry, NULL);
	moves = 0;
	has_memory = true;
	return gatherer == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	gatherer_free(gatherer);
	return bench_worker_tear_down(state);
}

static void change(struct entry *entry, const char *via, const char *failure)
{
	struct snapshot *copy = snapshot_copy(entry->snapshot);
	assert_non_null(copy);
	free(copy->spec.via);
	copy->spec.via = via == NULL ? NULL : strdup(via);
	free(copy->failure);
	copy->failure = failure == NULL ? NULL : strdup(failure);
	snapshot_release(registry_swap(bench.registry, entry, NULL, copy));
}

static void ticks(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		gatherer_tick(gatherer);
}

static void a_tunnel_that_was_parted_is_moved_once(void **state)
{
	(void)state;
	struct entry *outer = bench_worker_add("outer", NULL), *inner = bench_worker_add("inner", NULL);
	change(inner, "outer", NULL);
	ticks(3);
	assert_int_equal(moves, 0); /* both are on one worker */
	outer->worker = &other;
	change(inner, "outer", NULL);
	ticks(3);
	assert_int_equal(moves, 1); /* and not again while it is under way */
	last_done(last_owner, MOVER_DONE, NULL);
	ticks(200);
	assert_int_equal(moves, 1);
	outer->worker = &bench.worker;
}

static void one_that_could_not_be_moved_is_tried_again_later(void **state)
{
	(void)state;
	struct entry *outer = bench_worker_add("outer", NULL), *inner = bench_worker_add("inner", NULL);
	outer->worker = &other;
	change(inner, "outer", NULL);
	ticks(1);
	assert_int_equal(moves, 1);
	last_done(last_owner, MOVER_FAILED, "why");
	ticks(49);
	assert_int_equal(moves, 1);
	has_memory = false;
	ticks(1);
	assert_int_equal(moves, 2);
	/* Memory was missing: it is not under way, and is tried again, too. */
	has_memory = true;
	ticks(50);
	assert_int_equal(moves, 3);
	last_done(last_owner, MOVER_DONE, NULL);
	outer->worker = &bench.worker;
}

static void one_that_runs_nowhere_stays(void **state)
{
	(void)state;
	struct entry *outer = bench_worker_add("outer", NULL), *inner = bench_worker_add("inner", NULL);
	outer->worker = &other;
	change(inner, "outer", "failed");
	ticks(1);
	change(inner, "absent", NULL);
	ticks(1);
	inner->worker = NULL;
	change(inner, "outer", NULL);
	ticks(1);
	assert_int_equal(moves, 0);
	outer->worker = inner->worker = &bench.worker;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tunnel_that_was_parted_is_moved_once),
		TEST(one_that_could_not_be_moved_is_tried_again_later),
		TEST(one_that_runs_nowhere_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
