#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/lock_queue.h"

struct runner {
	struct lanes *lanes;
	struct lane_claim claim;
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
		lanes_release(runner->lanes, &runner->claim);
	}
}

static void claim(struct runner *runner, struct lanes *lanes, bool alone, const char *first, const char *second)
{
	const char *ids[2] = { first, second };
	size_t count = second != NULL ? 2 : first != NULL ? 1 : 0;
	runner->lanes = lanes;
	assert_true(lanes_claim(lanes, &runner->claim, ids, count, alone, run, runner));
}

static void release(struct runner *runner)
{
	assert_true(runner->runs);
	runner->runs = false;
	lanes_release(runner->lanes, &runner->claim);
}

static void one_id_is_served_in_order(void **state)
{
	struct lanes *lanes = lanes_create();
	struct runner r[4] = { { .lanes = NULL } };
	(void)state;
	for (size_t i = 0; i < 3; i++)
		claim(&r[i], lanes, false, "a", NULL);
	claim(&r[3], lanes, false, "b", NULL);
	assert_true(r[0].runs && !r[1].runs && !r[2].runs && r[3].runs);
	release(&r[0]);
	assert_true(r[1].runs && !r[2].runs);
	release(&r[1]);
	assert_true(r[2].runs);
	release(&r[2]);
	release(&r[3]);
	assert_true(lanes_is_free(lanes, "a"));
	lanes_free(lanes);
}

static void several_ids_wait_for_all(void **state)
{
	struct lanes *lanes = lanes_create();
	struct runner a = { .runs = false }, b = a, both = a, reverse = a, later = a;
	(void)state;
	claim(&a, lanes, false, "a", NULL);
	claim(&b, lanes, false, "b", NULL);
	claim(&both, lanes, false, "a", "b");
	claim(&reverse, lanes, false, "b", "a");
	claim(&later, lanes, false, "b", NULL);
	release(&a);
	assert_false(both.runs || reverse.runs || later.runs);
	release(&b);
	assert_true(both.runs && !reverse.runs && !later.runs);
	release(&both);
	assert_true(reverse.runs && !later.runs);
	release(&reverse);
	assert_true(later.runs);
	release(&later);
	lanes_free(lanes);
}

static void one_alone_is_alone(void **state)
{
	struct lanes *lanes = lanes_create();
	struct runner a = { .runs = false }, alone = a, b = a, second = a;
	(void)state;
	claim(&a, lanes, false, "a", NULL);
	claim(&alone, lanes, true, NULL, NULL);
	claim(&b, lanes, false, "b", NULL);
	claim(&second, lanes, true, NULL, NULL);
	assert_true(a.runs && !alone.runs && !b.runs);
	release(&a);
	assert_true(alone.runs && !b.runs);
	release(&alone);
	assert_true(b.runs && !second.runs);
	release(&b);
	assert_true(second.runs);
	release(&second);
	lanes_free(lanes);
}

static void a_run_that_ends_at_once(void **state)
{
	struct lanes *lanes = lanes_create();
	struct runner first = { .runs = false }, r[100];
	(void)state;
	counter = 0;
	claim(&first, lanes, false, "a", NULL);
	for (unsigned i = 0; i < 100; i++) {
		r[i] = (struct runner){ .releases_at_once = true };
		claim(&r[i], lanes, i % 7 == 3, i % 7 == 3 ? NULL : "a", NULL);
	}
	release(&first);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(r[i].order, i + 2);
	assert_true(lanes_is_free(lanes, "a"));
	lanes_free(lanes);
}

static void a_turn_is_told(void **state)
{
	struct lanes *lanes = lanes_create();
	struct runner a = { .runs = false }, later = a, alone = a;
	(void)state;
	assert_true(lanes_is_turn(lanes, NULL, "a"));
	claim(&a, lanes, false, "a", "b");
	claim(&later, lanes, false, "a", NULL);
	claim(&alone, lanes, true, NULL, NULL);
	assert_true(lanes_is_turn(lanes, &a.claim, "a") && lanes_is_turn(lanes, &a.claim, "b") && !lanes_is_turn(lanes, &a.claim, "c"));
	assert_false(lanes_is_turn(lanes, &later.claim, "a") || lanes_is_turn(lanes, NULL, "b") || lanes_is_turn(lanes, &alone.claim, "c"));
	assert_true(lanes_is_free(lanes, "c"));
	release(&a);
	assert_true(lanes_is_turn(lanes, &later.claim, "a") && lanes_is_free(lanes, "b"));
	release(&later);
	assert_true(lanes_is_turn(lanes, &alone.claim, "c") && !lanes_is_free(lanes, "c"));
	release(&alone);
	assert_true(lanes_is_free(lanes, "a") && !lanes_is_turn(lanes, &a.claim, "a"));
	lanes_free(lanes);
}

enum { MANY = 10000 };

static void *run_many(void *argument)
{
	struct lanes *lanes = lanes_create();
	struct runner first = { .runs = false }, *many = argument;
	claim(&first, lanes, false, "a", NULL);
	for (unsigned i = 0; i < MANY; i++) {
		many[i] = (struct runner){ .releases_at_once = true };
		claim(&many[i], lanes, i % 1000 == 3, i % 1000 == 3 ? NULL : "a", NULL);
	}
	release(&first);
	assert_true(lanes_is_free(lanes, "a"));
	lanes_free(lanes);
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
