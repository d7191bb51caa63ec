/* What was submitted is taken in its order, and after the end not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "service/change/inbox.h"

#define THREADS 4
#define EACH 1000

static struct inbox *inbox;
static struct mutation mutations[THREADS][EACH];

static void in_the_order_of_coming(void **state)
{
	(void)state;
	inbox = inbox_create();
	assert_null(inbox_take_all(inbox));
	for (size_t i = 0; i < 3; i++)
		assert_true(inbox_put(inbox, &mutations[0][i]));
	struct mutation *first = inbox_take_all(inbox);
	for (size_t i = 0; i < 3; i++, first = first->next)
		assert_ptr_equal(first, &mutations[0][i]);
	assert_null(first);
	assert_null(inbox_take_all(inbox));
	inbox_free(inbox);
}

static void what_came_before_the_close_is_there(void **state)
{
	(void)state;
	inbox = inbox_create();
	mutations[0][0].next = NULL;
	assert_true(inbox_put(inbox, &mutations[0][0]));
	inbox_close(inbox);
	assert_false(inbox_put(inbox, &mutations[0][1]));
	assert_ptr_equal(inbox_take_all(inbox), &mutations[0][0]);
	assert_null(inbox_take_all(inbox));
	inbox_free(inbox);
}

static void *put_all(void *argument)
{
	struct mutation *list = argument;
	for (size_t i = 0; i < EACH; i++) {
		list[i].cursor = i;
		list[i].next = NULL;
		if (!inbox_put(inbox, &list[i]))
			return NULL;
	}
	return argument;
}

static void many_threads_lose_nothing(void **state)
{
	pthread_t threads[THREADS];
	size_t next[THREADS] = { 0 }, count = 0;
	(void)state;
	inbox = inbox_create();
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_all, mutations[i]), 0);
	while (count < (size_t)THREADS * EACH) {
		for (struct mutation *mutation = inbox_take_all(inbox); mutation != NULL; mutation = mutation->next, count++) {
			size_t thread = (size_t)(mutation - &mutations[0][0]) / EACH;
			assert_int_equal(mutation->cursor, next[thread]++);
		}
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	inbox_free(inbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_the_order_of_coming),
		cmocka_unit_test(what_came_before_the_close_is_there),
		cmocka_unit_test(many_threads_lose_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
