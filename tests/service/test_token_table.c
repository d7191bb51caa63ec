/* Tokens: what they open, how long, and what a disk that fails does to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/service/bench_service.h"
#include "tests/service/failing_vfs.h"
#include "tests/service/fake_worker.h"

/* The change of a new token, to be freed. */
static struct mutation *make(const char *name, unsigned scopes)
{
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_CREATE, 0);
	mutation->token_name = strdup(name);
	mutation->token_scopes = scopes;
	bench_do(&own_bench, mutation);
	return mutation;
}

static enum problem_code delete (const char *id) {
	struct mutation *mutation = mutation_create(MUTATION_TOKEN_DELETE, 0); snprintf(mutation->token_id, sizeof(mutation->token_id), "%s", id);
	bench_do(&own_bench, mutation);
	enum problem_code code = mutation->problem.code;
	mutation_free(mutation);
	return code;
}

static const char *member(const struct mutation *mutation, const char *name)
{
	return json_string_value(json_object_get(mutation->token, name));
}

static size_t listed(void)
{
	json_t *list = service_token_list(own_bench.service);
	size_t count = json_array_size(list);
	json_decref(list);
	return count;
}

static void restart(void)
{
	bench_stop(&own_bench);
	assert_true(bench_start(&own_bench));
}

static void open_what_their_scopes_say(void **state)
{
	(void)state;
	struct mutation *made = make("ci", scope_parse("read"));
	assert_int_equal(made->problem.code, PROBLEM_NONE);
	assert_int_equal(service_token_scope(own_bench.service, member(made, "token")), SCOPE_METRICS | SCOPE_READ);
	assert_int_equal(service_token_scope(own_bench.service, "warren_x"), 0);
	restart();
	assert_int_equal(service_token_scope(own_bench.service, member(made, "token")), SCOPE_METRICS | SCOPE_READ);
	json_t *list = service_token_list(own_bench.service);
	assert_int_equal(json_array_size(list), 1);
	assert_null(json_object_get(json_array_get(list, 0), "token"));
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 0), "scopes")), 1);
	json_decref(list);
	assert_int_equal(delete (member(made, "id")), PROBLEM_NONE);
	assert_int_equal(service_token_scope(own_bench.service, member(made, "token")), 0);
	assert_int_equal(delete (member(made, "id")), PROBLEM_NOT_FOUND);
	assert_int_equal(delete ("nope"), PROBLEM_NOT_FOUND);
	mutation_free(made);
	assert_int_equal(scope_parse("metrics"), SCOPE_METRICS);
	assert_int_equal(scope_parse("nothing"), 0);
}

static void one_that_was_not_stored_is_none(void **state)
{
	(void)state;
	failing_vfs_full(true);
	struct mutation *made = make("ci", SCOPE_READ);
	failing_vfs_full(false);
	assert_int_equal(made->problem.code, PROBLEM_OUT_OF_RESOURCES);
	assert_null(made->token);
	mutation_free(made);
	assert_int_equal(listed(), 0);
}

/* It stays revoked and can be deleted again until the disk succeeds; otherwise it would silently be valid again after a restart. */
static void one_that_the_disk_keeps_is_deleted_again(void **state)
{
	(void)state;
	struct mutation *made = make("ci", SCOPE_READ);
	const char *id = member(made, "id"), *text = member(made, "token");
	failing_vfs_full(true);
	assert_int_equal(delete (id), PROBLEM_OUT_OF_RESOURCES);
	assert_int_equal(service_token_scope(own_bench.service, text), 0);
	assert_int_equal(listed(), 1);
	assert_int_equal(delete (id), PROBLEM_OUT_OF_RESOURCES);
	failing_vfs_full(false);
	assert_int_equal(delete (id), PROBLEM_NONE);
	assert_int_equal(listed(), 0);
	restart();
	assert_int_equal(service_token_scope(own_bench.service, text), 0);
	mutation_free(made);
}

static void many_are_kept(void **state)
{
	enum { MANY = 100 };
	struct mutation *made[MANY];
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		made[i] = make("", SCOPE_READ);
		assert_int_equal(made[i]->problem.code, PROBLEM_NONE);
	}
	assert_int_equal(listed(), MANY);
	for (unsigned i = 0; i < MANY; i += 2)
		assert_int_equal(delete (member(made[i], "id")), PROBLEM_NONE);
	restart();
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(service_token_scope(own_bench.service, member(made[i], "token")) != 0, i % 2 == 1);
		mutation_free(made[i]);
	}
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	failing_vfs_make_default();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(open_what_their_scopes_say, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_not_stored_is_none, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_that_the_disk_keeps_is_deleted_again, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(many_are_kept, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
