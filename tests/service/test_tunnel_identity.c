/* What belongs to a tunnel that waits: not to the next one with its id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/registry/tunnel_identity.h"
#include "tests/service/bench_worker.h"

static void a_tunnel_that_is_made_again_is_another(void **state)
{
	struct tunnel_identity identity = { .status = NULL };
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	tunnel_identity_take(&identity, entry->snapshot);
	assert_string_equal(identity.key, "a");
	assert_ptr_equal(tunnel_identity_find(&identity, bench.registry), entry);
	bench_worker_remove(entry);
	assert_null(tunnel_identity_find(&identity, bench.registry));
	/* It may even have its place in memory. */
	struct entry *next = bench_worker_add("a", NULL);
	assert_int_equal(next->snapshot->generation, 1);
	assert_null(tunnel_identity_find(&identity, bench.registry));
	tunnel_identity_release(&identity);
	tunnel_identity_release(&identity);
	assert_null(identity.status);
}

static void a_pool_is_not_the_tunnel_of_its_id(void **state)
{
	struct tunnel_identity identity = { .status = NULL };
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	entry->snapshot->spec.kind = SPEC_POOL;
	tunnel_identity_take(&identity, entry->snapshot);
	entry->snapshot->spec.kind = SPEC_TUNNEL;
	assert_string_equal(identity.key, "/a");
	assert_null(tunnel_identity_find(&identity, bench.registry));
	tunnel_identity_release(&identity);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_worker_set_up, bench_worker_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(a_tunnel_that_is_made_again_is_another), TEST(a_pool_is_not_the_tunnel_of_its_id) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
