/* A worker's request for a socket is granted to the tunnel that it was for, as it was, or to none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/worker/want.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

static struct want *make(const struct entry *entry)
{
	const struct message_want message = { .request = 1, .slot = slot_index(entry->slot), .generation = entry->snapshot->generation };
	struct want *want = want_create(&bench.worker, entry, MESSAGE_WANT_DIAL, &message);
	assert_non_null(want);
	return want;
}

static void it_is_for_the_tunnel_as_it_was(void **state)
{
	struct worker other = { .index = 1 };
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	struct want *want = make(entry);
	assert_int_equal(want->incarnation, bench.worker.incarnation);
	assert_ptr_equal(want_entry(want, bench.registry), entry);
	/* Changed. */
	entry->snapshot->generation++;
	assert_null(want_entry(want, bench.registry));
	entry->snapshot->generation--;
	/* Moved. */
	entry->worker = &other;
	assert_null(want_entry(want, bench.registry));
	entry->worker = &bench.worker;
	want->message.slot++;
	assert_null(want_entry(want, bench.registry));
	want->message.slot--;
	assert_ptr_equal(want_entry(want, bench.registry), entry);
	/* Deleted, and another one has its id, its slot and its generation. */
	bench_worker_remove(entry);
	assert_null(want_entry(want, bench.registry));
	(void)bench_worker_add("a", NULL);
	assert_null(want_entry(want, bench.registry));
	want_free(want);
}

static void no_memory_no_want(void **state)
{
	const struct message_want message = { .request = 1 };
	(void)state;
	const struct entry *entry = bench_worker_add("a", NULL);
	heap_fails_after(0);
	const struct want *want = want_create(&bench.worker, entry, MESSAGE_WANT_UDP, &message);
	heap_works();
	assert_null(want);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_worker_set_up, bench_worker_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(it_is_for_the_tunnel_as_it_was), TEST(no_memory_no_want) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
