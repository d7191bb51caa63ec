#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "service/registry/lock_queue.h"

struct runner {
	struct lock_queue *locks;
	struct lock_claim claim;
	bool runs;
	bool releases_at_once;
	unsigned order;
};

static unsigned counter;

static void run(void *owner)
{
	struct runner *runner = owner;
	runner->runs = true;
	runner->order = ++counter;
	if (runner->releases_at_once) {
		runner->runs = false;
		lock_queue_release(runner->locks, &runner->claim);
	}
}

static void claim(struct runner *runner, struct lock_queue *locks, bool alone, const char *first, const char *second)
{
	const char *ids[2] = { first, second };
	size_t count = second != NULL ? 2 : first != NULL ? 1 : 0;
	runner->locks = locks;
	assert_true(lock_queue_claim(locks, &runner->claim, ids, count, alone, run, runner));
}

static void release(struct runner *runner)
{
	assert_true(runner->runs);
	runner->runs = false;
	lock_queue_release(runner->locks, &runner->claim);
}

static void one_id_is_served_in_order(void **state)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner r[4] = { { .locks = NULL } };
	(void)state;
	for (size_t i = 0; i < 3; i++)
		claim(&r[i], locks, false, "a", NULL);
	claim(&r[3], locks, false, "b", NULL);
	assert_true(r[0].runs && !r[1].runs && !r[2].runs && r[3].runs);
	release(&r[0]);
	assert_true(r[1].runs && !r[2].runs);
	release(&r[1]);
	assert_true(r[2].runs);
	release(&r[2]);
	release(&r[3]);
	assert_true(lock_queue_is_free(locks, "a"));
	lock_queue_free(locks);
}

static void several_ids_wait_for_all(void **state)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner a = { .runs = false }, b = a, both = a, reverse = a, later = a;
	(void)state;
	claim(&a, locks, false, "a", NULL);
	claim(&b, locks, false, "b", NULL);
	claim(&both, locks, false, "a", "b");
	claim(&reverse, locks, false, "b", "a");
	claim(&later, locks, false, "b", NULL);
	release(&a);
	assert_false(both.runs || reverse.runs || later.runs);
	release(&b);
	assert_true(both.runs && !reverse.runs && !later.runs);
	release(&both);
	assert_true(reverse.runs && !later.runs);
	release(&reverse);
	assert_true(later.runs);
	release(&later);
	lock_queue_free(locks);
}

static void one_alone_is_alone(void **state)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner a = { .runs = false }, alone = a, b = a, second = a;
	(void)state;
	claim(&a, locks, false, "a", NULL);
	claim(&alone, locks, true, NULL, NULL);
	claim(&b, locks, false, "b", NULL);
	claim(&second, locks, true, NULL, NULL);
	assert_true(a.runs && !alone.runs && !b.runs);
	release(&a);
	assert_true(alone.runs && !b.runs);
	release(&alone);
	assert_true(b.runs && !second.runs);
	release(&b);
	assert_true(second.runs);
	release(&second);
	lock_queue_free(locks);
}

static void a_run_that_ends_at_once(void **state)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner first = { .runs = false }, r[100];
	(void)state;
	counter = 0;
	claim(&first, locks, false, "a", NULL);
	for (unsigned i = 0; i < 100; i++) {
		r[i] = (struct runner){ .releases_at_once = true };
		claim(&r[i], locks, i % 7 == 3, i % 7 == 3 ? NULL : "a", NULL);
	}
	release(&first);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(r[i].order, i + 2);
	assert_true(lock_queue_is_free(locks, "a"));
	lock_queue_free(locks);
}

static void a_turn_is_told(void **state)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner a = { .runs = false }, later = a, alone = a;
	(void)state;
	assert_true(lock_queue_is_turn(locks, NULL, "a"));
	claim(&a, locks, false, "a", "b");
	claim(&later, locks, false, "a", NULL);
	claim(&alone, locks, true, NULL, NULL);
	assert_true(lock_queue_is_turn(locks, &a.claim, "a") && lock_queue_is_turn(locks, &a.claim, "b") &&
	            !lock_queue_is_turn(locks, &a.claim, "c"));
	assert_false(lock_queue_is_turn(locks, &later.claim, "a") || lock_queue_is_turn(locks, NULL, "b") ||
	             lock_queue_is_turn(locks, &alone.claim, "c"));
	assert_true(lock_queue_is_free(locks, "c"));
	release(&a);
	assert_true(lock_queue_is_turn(locks, &later.claim, "a") && lock_queue_is_free(locks, "b"));
	release(&later);
	assert_true(lock_queue_is_turn(locks, &alone.claim, "c") && !lock_queue_is_free(locks, "c"));
	release(&alone);
	assert_true(lock_queue_is_free(locks, "a") && !lock_queue_is_turn(locks, &a.claim, "a"));
	lock_queue_free(locks);
}

enum { MANY = 10000 };

static void *run_many(void *argument)
{
	struct lock_queue *locks = lock_queue_create();
	struct runner first = { .runs = false }, *many = argument;
	claim(&first, locks, false, "a", NULL);
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = (struct runner){ .releases_at_once = true };
		claim(&many[i], locks, i % 1000 == 3, i % 1000 == 3 ? NULL : "a", NULL);
	}
	release(&first);
	assert_true(lock_queue_is_free(locks, "a"));
	lock_queue_free(locks);
	return NULL;
}

/* Ten thousand that wait for one id and end at once, on a stack that their nesting would overflow. */
static void the_stack_does_not_grow_with_those_that_wait(void **state)
{
	struct runner *many = calloc(MANY, sizeof(*many));
	pthread_attr_t small;
	pthread_t thread;
	(void)state;
	counter = 0;
	pthread_attr_init(&small);
	assert_int_equal(pthread_attr_setstacksize(&small, 128 * 1024), 0);
	assert_int_equal(pthread_create(&thread, &small, run_many, many), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&small);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(many[i].order, i + 2);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_id_is_served_in_order),
		cmocka_unit_test(several_ids_wait_for_all),
		cmocka_unit_test(one_alone_is_alone),
		cmocka_unit_test(a_run_that_ends_at_once),
		cmocka_unit_test(a_turn_is_told),
		cmocka_unit_test(the_stack_does_not_grow_with_those_that_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
