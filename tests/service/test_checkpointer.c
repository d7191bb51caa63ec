/* Values that change by themselves are written once, together, and again if the disk did not take them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/store/checkpointer.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/failing_vfs.h"

#define TUNNEL                                                                                                                                       \
	"{'spec':{'limits':{'total_bytes':1000},'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}" \
	"}}"

static struct checkpointer *checkpointer;
static struct entry *entry;

static int set_up(void **state)
{
	failing_vfs_register();
	failing_vfs_make_default();
	bench_mutations_set_up(state);
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", TUNNEL));
	entry = registry_entry(bench.registry, "a");
	checkpointer = checkpointer_create(bench.registry, changes.store, changes.means.tokens);
	return checkpointer == NULL;
}

static int tear_down(void **state)
{
	failing_vfs_full(false);
	bench_mutations_until_stored();
	checkpointer_free(checkpointer);
	return bench_mutations_tear_down(state);
}

static void use(uint64_t bytes)
{
	counter_set(&slot_tunnel(entry->slot)->total_bytes_used, bytes);
}

static void what_was_used_is_written_once(void **state)
{
	(void)state;
	use(500);
	checkpointer_write(checkpointer);
	assert_int_equal(entry->total_bytes, 500);
	assert_false(entry->is_dirty);
	/* One at a time. */
	use(600);
	checkpointer_write(checkpointer);
	assert_int_equal(entry->total_bytes, 500);
	bench_mutations_until_stored();
	checkpointer_write(checkpointer);
	assert_int_equal(entry->total_bytes, 600);
	bench_mutations_until_stored();
	/* It never steps back, and nothing new is nothing to write. */
	use(10);
	checkpointer_write(checkpointer);
	assert_int_equal(entry->total_bytes, 600);
	assert_false(entry->is_dirty);
}

static void what_the_disk_refuses_stays_to_be_written(void **state)
{
	(void)state;
	failing_vfs_full(true);
	use(500);
	checkpointer_write(checkpointer);
	assert_false(entry->is_dirty);
	bench_mutations_until_stored();
	assert_true(entry->is_dirty);
	failing_vfs_full(false);
	checkpointer_write(checkpointer);
	bench_mutations_until_stored();
	assert_false(entry->is_dirty);
}

static void a_tunnel_that_is_deleted_meanwhile_is_forgotten(void **state)
{
	(void)state;
	failing_vfs_full(true);
	use(500);
	checkpointer_write(checkpointer);
	registry_remove(bench.registry, entry);
	bench_mutations_until_stored();
	assert_false(entry->is_dirty);
	assert_true(registry_reserve(bench.registry, 1));
	registry_add(bench.registry, entry);
	registry_unreserve(bench.registry, 1);
}

static void memory_that_is_missing_loses_nothing(void **state)
{
	(void)state;
	use(500);
	heap_fails_after(0);
	checkpointer_write(checkpointer);
	assert_null(checkpointer_create(bench.registry, changes.store, changes.means.tokens));
	heap_works();
	assert_true(entry->is_dirty);
	checkpointer_write(checkpointer);
	assert_false(entry->is_dirty);
}

static void what_is_urgent_is_so_until_it_is_written(void **state)
{
	(void)state;
	assert_false(checkpointer_is_urgent(checkpointer));
	checkpointer_hurry(checkpointer);
	assert_true(checkpointer_is_urgent(checkpointer));
	checkpointer_write(checkpointer);
	assert_false(checkpointer_is_urgent(checkpointer));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_was_used_is_written_once),
		TEST(what_the_disk_refuses_stays_to_be_written),
		TEST(a_tunnel_that_is_deleted_meanwhile_is_forgotten),
		TEST(memory_that_is_missing_loses_nothing),
		TEST(what_is_urgent_is_so_until_it_is_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
