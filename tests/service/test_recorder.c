/* What tunnels carry is recorded in steps of ten seconds, of so many tunnels and no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/recorder.h"

static struct lock_queue *locks;
static struct registry *registry;
static struct recorder *recorder;
static struct counters_tunnel *counters;

static int set_up(void **state)
{
	(void)state;
	locks = lock_queue_create();
	registry = registry_create(locks);
	recorder = recorder_create(registry, 1000000);
	counters = calloc(RECORDER_MOST + 1, sizeof(*counters));
	return registry == NULL || recorder == NULL || counters == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	recorder_free(recorder);
	registry_free(registry);
	lock_queue_free(locks);
	free(counters);
	return 0;
}

static struct entry *add(size_t number)
{
	char id[16];
	snprintf(id, sizeof(id), "t%zu", number);
	struct entry *entry = entry_create(id);
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	snapshot->references = 1;
	spec_init(&snapshot->spec);
	snapshot->counters = &counters[number];
	snapshot->status = status_reference(entry->status);
	entry->snapshot = snapshot;
	registry_reserve(registry, 1);
	registry_add(registry, entry);
	registry_unreserve(registry, 1);
	return entry;
}

static struct history read_of(const struct entry *entry)
{
	struct history history;
	if (!snapshot_history(entry->snapshot, &history))
		history = (struct history){ .count = 0 };
	return history;
}

static void rates_are_what_was_counted_over_the_time_that_passed(void **state)
{
	(void)state;
	struct entry *entry = add(0);
	counter_set(&counters[0].bytes_sent, 50000);
	recorder_tick(recorder, 1010000);
	counter_set(&counters[0].bytes_sent, 50001);
	counter_set(&counters[0].bytes_received, 400);
	counter_set(&counters[0].connections_open[COUNTERS_CONNECT], 2);
	counter_set(&counters[0].connections_open[COUNTERS_SOCKS5], 3);
	recorder_tick(recorder, 1030000);
	struct history history = read_of(entry);
	assert_int_equal(history.count, 3);
	assert_int_equal(history.until, 1030000);
	assert_int_equal(history_at(&history, 0)->sent, 5000);
	assert_int_equal(history_at(&history, 1)->sent, 0);
	assert_int_equal(history_at(&history, 2)->sent, 1);
	assert_int_equal(history_at(&history, 2)->received, 20);
	assert_int_equal(history_at(&history, 2)->connections, 5);
}

static void a_tunnel_that_carries_nothing_has_no_history(void **state)
{
	(void)state;
	struct entry *entry = add(0);
	recorder_tick(recorder, 1010000);
	assert_int_equal(read_of(entry).count, 0);
	counter_set(&counters[0].bytes_received, 1);
	recorder_tick(recorder, 1020000);
	assert_int_equal(read_of(entry).count, 1);
}

/* Of the program before, which are those of hours. */
static void counters_that_were_taken_over_are_no_rate(void **state)
{
	(void)state;
	struct recorder *successor = recorder_create(registry, 0);
	struct entry *entry = add(0);
	counter_set(&counters[0].bytes_sent, 1ull << 50);
	recorder_tick(successor, 1000000);
	assert_int_equal(read_of(entry).count, 0);
	counter_add(&counters[0].bytes_sent, 70000);
	recorder_tick(successor, 1010000);
	struct history history = read_of(entry);
	assert_int_equal(history.count, 1);
	assert_int_equal(history_at(&history, 0)->sent, 7000);
	recorder_free(successor);
}

/* The numbers come from workers, which are not trusted; and the time of day may be set. */
static void absurd_numbers_and_times_are_bounded(void **state)
{
	(void)state;
	struct entry *entry = add(0);
	counter_set(&counters[0].bytes_sent, UINT64_MAX);
	counter_set(&counters[0].connections_open[0], UINT64_MAX);
	recorder_tick(recorder, 1010000);
	counter_set(&counters[0].bytes_sent, 20000);
	recorder_tick(recorder, 500000);
	struct history history = read_of(entry);
	assert_int_equal(history.count, 2);
	assert_int_equal(history_at(&history, 0)->sent, UINT32_MAX);
	assert_int_equal(history_at(&history, 0)->connections, UINT32_MAX);
	assert_int_equal(history_at(&history, 1)->sent, 2000);
	assert_int_equal(history.until, 500000);
}

static void so_many_have_a_history_and_no_more(void **state)
{
	(void)state;
	size_t kept = 0;
	for (size_t i = 0; i <= RECORDER_MOST; i++) {
		counter_set(&counters[i].bytes_sent, 1000);
		add(i);
	}
	recorder_tick(recorder, 1010000);
	recorder_tick(recorder, 1020000);
	struct entry *without = NULL, *with = NULL;
	for (size_t i = 0; i < registry_count(registry); i++) {
		struct entry *entry = registry_at(registry, i);
		bool has_history = status_has_history(entry->status);
		kept += has_history;
		*(has_history ? &with : &without) = entry;
	}
	assert_int_equal(kept, RECORDER_MOST);
	/* A place is free again with the tunnel that had it. */
	registry_remove(registry, with);
	entry_free(with);
	counter_add((counter *)(uintptr_t)&without->snapshot->counters->bytes_sent, 1000);
	recorder_tick(recorder, 1030000);
	assert_true(status_has_history(without->status));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rates_are_what_was_counted_over_the_time_that_passed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_carries_nothing_has_no_history, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counters_that_were_taken_over_are_no_rate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(absurd_numbers_and_times_are_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(so_many_have_a_history_and_no_more, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
