/* Pools in a whole service with fake workers: their life is that of tunnels, and their members follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define PATIENCE_MS 5000 /* against a hang */

static struct mutation *edit(enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->operations[0].kind = kind;
	mutation->operations[0].object = SPEC_POOL;
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	mutation->operations[0].document = json == NULL ? NULL : quoted_json(json);
	mutation->scope = SCOPE_ADMIN | SCOPE_WRITE;
	bench_do(&own_bench, mutation);
	return mutation;
}

static enum problem_code code(enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = edit(kind, id, json);
	enum problem_code found =
	    mutation->operations[0].problem.code != PROBLEM_NONE ? mutation->operations[0].problem.code : mutation->problem.code;
	mutation_free(mutation);
	return found;
}

static void make_tunnel(const char *id)
{
	assert_int_equal(bench_code(&own_bench, OPERATION_CREATE, id, bench_document(NULL)), PROBLEM_NONE);
}

static enum tunnel_state state_of(const char *id)
{
	struct snapshot *snapshot = service_find_pool(own_bench.service, access_whole(), id);
	struct snapshot_status status;
	assert_non_null(snapshot);
	snapshot_status(snapshot, &status);
	snapshot_release(snapshot);
	return status.state;
}

static void await_state(const char *id, enum tunnel_state state)
{
	for (int i = 0; i < PATIENCE_MS && state_of(id) != state; i++)
		usleep(1000);
	assert_int_equal(state_of(id), state);
}

static size_t members_of(const char *id, struct pool_member_view list[64])
{
	struct pool_member_view *views;
	size_t count = service_pool_members(own_bench.service, access_whole(), id, &views);
	assert_int_not_equal(count, SERVICE_NO_POOL);
	assert_true(count <= 64);
	memcpy(list, views, count * sizeof(*views));
	free(views);
	return count;
}

/* What its home was told. */
static void await_told(const char *id, uint64_t members, uint64_t up)
{
	uint64_t told[2] = { UINT64_MAX, UINT64_MAX };
	for (int i = 0; i < PATIENCE_MS && (told[0] != members || told[1] != up); i++) {
		struct snapshot *snapshot = service_find_pool(own_bench.service, access_whole(), id);
		told[0] = counter_read(&snapshot->counters->connections_open[0]);
		told[1] = counter_read(&snapshot->counters->connections_open[1]);
		snapshot_release(snapshot);
		usleep(1000);
	}
	assert_int_equal(told[0], members);
	assert_int_equal(told[1], up);
}

static void a_pool_and_a_tunnel_may_have_one_id(void **state)
{
	(void)state;
	make_tunnel("a");
	assert_int_equal(code(OPERATION_CREATE, "a", "{'spec':{}}"), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "a", "{'spec':{}}"), PROBLEM_POOL_EXISTS);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_null(service_find(own_bench.service, access_whole(), "a"));
	struct snapshot *pool = service_find_pool(own_bench.service, access_whole(), "a");
	assert_non_null(pool);
	assert_int_equal(pool->spec.kind, SPEC_POOL);
	snapshot_release(pool);
	assert_int_equal(code(OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_DELETE, "a", NULL), PROBLEM_NOT_FOUND);
}

static void lists_of_tunnels_have_no_pools(void **state)
{
	(void)state;
	struct tunnel_list_filter filter = { .kind = SPEC_TUNNEL };
	struct snapshot **list;
	bool more;
	make_tunnel("a");
	assert_int_equal(code(OPERATION_CREATE, "a", "{'spec':{}}"), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, "b", "{'spec':{}}"), PROBLEM_NONE);
	assert_int_equal(service_list(own_bench.service, access_whole(), &filter, &list, &more), 1);
	assert_int_equal(list[0]->spec.kind, SPEC_TUNNEL);
	snapshot_release(list[0]);
	free(list);
	filter.kind = SPEC_POOL;
	assert_int_equal(service_list(own_bench.service, access_whole(), &filter, &list, &more), 2);
	snapshot_release(list[0]);
	snapshot_release(list[1]);
	free(list);
}

static void members_are_those_named_and_those_with_the_labels(void **state)
{
	(void)state;
	struct pool_member_view list[64];
	make_tunnel("up-a");
	make_tunnel("up-b");
	make_tunnel("c");
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['up-b','absent'],'labels':{'x':'1'}}}}"), PROBLEM_NONE);
	assert_int_equal(members_of("p", list), 1);
	assert_string_equal(list[0].tunnel, "up-b");
	/* Later. */
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "c", "{'labels':{'x':'1','warren.weight':'7'}}"), PROBLEM_NONE);
	make_tunnel("absent");
	assert_int_equal(members_of("p", list), 3);
	assert_string_equal(list[0].tunnel, "up-b");
	assert_string_equal(list[1].tunnel, "absent");
	assert_string_equal(list[2].tunnel, "c");
	assert_int_equal(list[2].weight, 7);
	assert_int_equal(list[0].weight, 1);
	await_told("p", 3, 1);
	/* And not any more. */
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "c", "{'labels':{'x':'2'}}"), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "absent", NULL), PROBLEM_NONE);
	assert_int_equal(members_of("p", list), 1);
	await_told("p", 1, 1);
	assert_int_equal(code(OPERATION_PATCH, "p", "{'spec':{'members':{'tunnels':['up-a','up-b']}}}"), PROBLEM_NONE);
	assert_int_equal(members_of("p", list), 2);
	assert_string_equal(list[0].tunnel, "up-a");
	await_told("p", 2, 2);
}

static void members_of_rules_are_told_apart(void **state)
{
	(void)state;
	struct pool_member_view list[64];
	make_tunnel("up-a");
	make_tunnel("up-r");
	const char *document = "{'spec':{'members':{'tunnels':['up-a']},'rules':[{'action':'members','members':{'tunnels':['up-r','up-a']}}]}}";
	assert_int_equal(code(OPERATION_CREATE, "p", document), PROBLEM_NONE);
	assert_int_equal(members_of("p", list), 2);
	assert_string_equal(list[0].tunnel, "up-a");
	assert_true(list[0].is_own);
	assert_false(list[1].is_own);
	/* Only the pool's own keep it up. */
	await_state("p", TUNNEL_UP);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-a", NULL), PROBLEM_NONE);
	await_state("p", TUNNEL_STALE);
}

static void a_pool_is_up_while_a_member_is(void **state)
{
	(void)state;
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['up-a']}}}"), PROBLEM_NONE);
	await_state("p", TUNNEL_STALE);
	make_tunnel("up-a");
	await_state("p", TUNNEL_UP);
	await_told("p", 1, 1);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'enabled':false}}"), PROBLEM_NONE);
	await_state("p", TUNNEL_STALE);
	await_told("p", 1, 0);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "up-a", "{'spec':{'enabled':true}}"), PROBLEM_NONE);
	await_state("p", TUNNEL_UP);
	assert_int_equal(code(OPERATION_PATCH, "p", "{'spec':{'enabled':false}}"), PROBLEM_NONE);
	await_state("p", TUNNEL_DISABLED);
}

static void a_tunnel_that_is_made_again_is_another_member(void **state)
{
	(void)state;
	make_tunnel("up-a");
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['up-a']}}}"), PROBLEM_NONE);
	await_told("p", 1, 1);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-a", NULL), PROBLEM_NONE);
	make_tunnel("up-a");
	await_told("p", 1, 1);
	await_state("p", TUNNEL_UP);
}

/* X: a new process was told nothing, and is told all again. */
static void a_new_worker_is_told_again(void **state)
{
	(void)state;
	struct service_worker_stats stats;
	make_tunnel("up-a");
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['up-a']}}}"), PROBLEM_NONE);
	await_told("p", 1, 1);
	/* It kills its worker; the other has fewer tunnels. */
	assert_int_not_equal(bench_code(&own_bench, OPERATION_CREATE, "crash-a", bench_document(NULL)), PROBLEM_NONE);
	service_worker_stats(own_bench.service, &stats);
	assert_true(stats.restarts > 0);
	bench_wait_ready(&own_bench);
	await_state("p", TUNNEL_UP);
	await_told("p", 1, 1);
}

static void pools_outlive_the_daemon(void **state)
{
	(void)state;
	make_tunnel("up-a");
	struct mutation *made = edit(OPERATION_CREATE, "p",
	                             "{'labels':{'l':'v'},'spec':{'members':{'tunnels':['up-a']},'strategy':'failover',"
	                             "'proxy':{'users':[{'username':'u','password':'p'}]}}}");
	assert_int_equal(made->operations[0].problem.code, PROBLEM_NONE);
	const struct snapshot *pool = made->operations[0].snapshot;
	struct spec spec;
	char listen[64];
	uint64_t revision = pool->revision;
	assert_true(spec_copy(&spec, &pool->spec));
	snprintf(listen, sizeof(listen), "%s", pool->listen[0]);
	mutation_free(made);
	bench_stop(&own_bench);
	assert_true(bench_start(&own_bench));
	bench_wait_ready(&own_bench);
	struct snapshot *found = service_find_pool(own_bench.service, access_whole(), "p");
	assert_non_null(found);
	assert_true(spec_equal(&found->spec, &spec));
	assert_int_equal(found->revision, revision);
	assert_string_equal(found->labels[0].value, "v");
	/* On the same port. */
	assert_string_equal(found->listen[0], listen);
	snapshot_release(found);
	spec_clear(&spec);
	await_state("p", TUNNEL_UP);
	await_told("p", 1, 1);
}

static struct mutation *put_state(const char *json)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->document = quoted_json(json);
	mutation->scope = SCOPE_ADMIN | SCOPE_WRITE;
	bench_do(&own_bench, mutation);
	return mutation;
}

static bool has_fault(const struct mutation *mutation, const char *pointer)
{
	for (size_t i = 0; i < mutation->problem.fault_count; i++)
		if (strcmp(mutation->problem.faults[i].pointer, pointer) == 0)
			return true;
	return false;
}

static void a_state_without_pools_leaves_them_alone(void **state)
{
	(void)state;
	make_tunnel("a");
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{}}"), PROBLEM_NONE);
	struct mutation *mutation = put_state("{'tunnels':[]}");
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	struct snapshot *pool = service_find_pool(own_bench.service, access_whole(), "p");
	assert_non_null(pool);
	snapshot_release(pool);
	mutation = put_state("{'tunnels':[],'pools':[{'id':'q','spec':{}},{'id':'r','spec':{}}]}");
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	assert_int_equal(mutation->created, 2);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	assert_null(service_find_pool(own_bench.service, access_whole(), "p"));
	mutation = put_state("{'tunnels':[],'pools':[]}");
	assert_int_equal(mutation->deleted, 2);
	mutation_free(mutation);
}

static void faults_of_a_state_have_their_places(void **state)
{
	(void)state;
	struct mutation *mutation =
	    put_state("{'tunnels':[],'pools':[{'id':'q','spec':{}},{'spec':{}},{'id':'q','spec':{}},{'id':'s','spec':{'retries':99}}]}");
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	assert_true(has_fault(mutation, "/pools/1/id"));
	assert_true(has_fault(mutation, "/pools/2/id"));
	assert_true(has_fault(mutation, "/pools/3/spec/retries"));
	assert_null(service_find_pool(own_bench.service, access_whole(), "q"));
	mutation_free(mutation);
	mutation = put_state("{'pools':[]}");
	assert_true(has_fault(mutation, "/tunnels"));
	mutation_free(mutation);
}

static void a_delete_of_all_tunnels_keeps_pools(void **state)
{
	(void)state;
	make_tunnel("a");
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['a']}}}"), PROBLEM_NONE);
	struct mutation *mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->scope = SCOPE_WRITE;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	assert_int_equal(state_of("p"), TUNNEL_STALE);
	mutation = mutation_create(MUTATION_DELETE_WHERE, 0);
	mutation->scope = SCOPE_WRITE;
	mutation->object = SPEC_POOL;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	assert_null(service_find_pool(own_bench.service, access_whole(), "p"));
}

/* P9 */
static void a_pool_that_is_deleted_leaves_nothing(void **state)
{
	(void)state;
	make_tunnel("up-a");
	size_t descriptors = descriptors_count();
	for (int i = 0; i < 100; i++) {
		assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'tunnels':['up-a']}}}"), PROBLEM_NONE);
		assert_int_equal(code(OPERATION_DELETE, "p", NULL), PROBLEM_NONE);
	}
	assert_int_equal(descriptors_count(), descriptors);
	struct pool_member_view *views;
	assert_int_equal(service_pool_members(own_bench.service, access_whole(), "p", &views), SERVICE_NO_POOL);
}

/* A pool's key is its id behind a slash, which a client may write into a path as %2F; and one that is too long is nobody's. */
static void a_pools_key_is_no_tunnels_id(void **state)
{
	char longest[64], longer[65];
	(void)state;
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	snprintf(longest, sizeof(longest), "%.63s", longer);
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'labels':{'pool':'a'}}}}"), PROBLEM_NONE);
	assert_int_equal(code(OPERATION_CREATE, longest, "{'spec':{'members':{'labels':{'pool':'a'}}}}"), PROBLEM_NONE);
	assert_null(service_find(own_bench.service, access_whole(), "/p"));
	assert_null(service_find_pool(own_bench.service, access_whole(), longer));
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "/p", "{\"labels\":{\"k\":\"v\"}}"), PROBLEM_NOT_FOUND);
	assert_int_equal(bench_code(&own_bench, OPERATION_RECONNECT, "/p", NULL), PROBLEM_NOT_FOUND);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "/p", NULL), PROBLEM_NOT_FOUND);
	struct snapshot *pool = service_find_pool(own_bench.service, access_whole(), "p");
	assert_non_null(pool);
	snapshot_release(pool);
}

static void a_thousand_members_are_told_in_pieces(void **state)
{
	(void)state;
	enum { COUNT = 600 };
	char text[64];
	assert_int_equal(code(OPERATION_CREATE, "p", "{'spec':{'members':{'labels':{'pool':'a'}}}}"), PROBLEM_NONE);
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	json_t *list = json_array();
	for (int i = 0; i < COUNT; i++) {
		json_t *tunnel = quoted_json(
		    "{'labels':{'pool':'a'},'spec':{'interface':{'generate_private_key':true,'addresses':['10.0.0.2']},'proxy':{'listen':[]}}}");
		snprintf(text, sizeof(text), "up-%d", i);
		json_object_set_new(tunnel, "id", json_string(text));
		json_array_append_new(list, tunnel);
	}
	mutation->document = json_pack("{s:o}", "tunnels", list);
	mutation->scope = SCOPE_ADMIN;
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	await_told("p", COUNT, COUNT);
}

int main(int argc, char **argv)
{
	int code_of_worker;
	if (fake_worker_runs(argc, argv, &code_of_worker))
		return code_of_worker;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pool_and_a_tunnel_may_have_one_id, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(lists_of_tunnels_have_no_pools, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(members_are_those_named_and_those_with_the_labels, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(members_of_rules_are_told_apart, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_pool_is_up_while_a_member_is, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_that_is_made_again_is_another_member, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_new_worker_is_told_again, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(pools_outlive_the_daemon, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_state_without_pools_leaves_them_alone, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(faults_of_a_state_have_their_places, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_delete_of_all_tunnels_keeps_pools, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_pool_that_is_deleted_leaves_nothing, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_thousand_members_are_told_in_pieces, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_pools_key_is_no_tunnels_id, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
