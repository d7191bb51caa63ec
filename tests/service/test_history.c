/* The last hour of a tunnel, in steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "service/registry/status.h"

static void the_newest_hour_is_kept(void **state)
{
	(void)state;
	struct history *history = history_create();
	for (uint32_t i = 1; i <= HISTORY_POINTS + 7; i++)
		history_add(history, &(struct history_point){ .sent = i }, i * HISTORY_STEP_MS, 1);
	assert_int_equal(history->count, HISTORY_POINTS);
	assert_int_equal(history_at(history, 0)->sent, 8);
	assert_int_equal(history_at(history, HISTORY_POINTS - 1)->sent, HISTORY_POINTS + 7);
	assert_int_equal(history->until, (HISTORY_POINTS + 7) * HISTORY_STEP_MS);
	free(history);
}

/* After a suspend the points before it are as old as they are. */
static void steps_that_were_missed_are_empty(void **state)
{
	(void)state;
	struct history *history = history_create();
	history_add(history, &(struct history_point){ .sent = 1 }, 10000, 5);
	assert_int_equal(history->count, 1);
	history_add(history, &(struct history_point){ .sent = 2 }, 40000, 3);
	assert_int_equal(history->count, 4);
	assert_int_equal(history_at(history, 0)->sent, 1);
	assert_int_equal(history_at(history, 1)->sent, 0);
	assert_int_equal(history_at(history, 2)->sent, 0);
	assert_int_equal(history_at(history, 3)->sent, 2);
	history_add(history, &(struct history_point){ .sent = 3 }, 1ll << 40, SIZE_MAX);
	assert_int_equal(history->count, HISTORY_POINTS);
	assert_int_equal(history_at(history, 0)->sent, 0);
	assert_int_equal(history_at(history, HISTORY_POINTS - 1)->sent, 3);
	free(history);
}

static void an_hour_of_nothing_is_forgotten(void **state)
{
	(void)state;
	const struct history_point busy = { .connections = 1 }, idle = { .rtt_us = 5 };
	struct runtime_status *status = status_create();
	struct history copy;
	assert_false(status_get_history(status, &copy));
	assert_true(status_record(status, &busy, 10000, 1));
	for (int i = 1; i < HISTORY_POINTS; i++)
		assert_false(status_record(status, &idle, 10000 + i * HISTORY_STEP_MS, 1));
	assert_true(status_get_history(status, &copy));
	assert_int_equal(copy.count, HISTORY_POINTS);
	assert_int_equal(copy.points[0].connections, 1);
	assert_true(status_has_history(status));
	assert_false(status_record(status, &idle, 10000 + HISTORY_POINTS * HISTORY_STEP_MS, 1));
	assert_false(status_has_history(status));
	assert_true(status_record(status, &busy, 20000 + HISTORY_POINTS * HISTORY_STEP_MS, 1));
	status_release(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_hour_is_kept),
		cmocka_unit_test(steps_that_were_missed_are_empty),
		cmocka_unit_test(an_hour_of_nothing_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
