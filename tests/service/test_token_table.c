/* Tokens: what they open, how long, and what a disk that fails does to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
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

static unsigned scopes_of(const char *token)
{
	struct token_bearer bearer;
	if (!service_token_find(own_bench.service, token, &bearer))
		return 0;
	access_release(bearer.access);
	return bearer.scopes;
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
	assert_int_equal(scopes_of(member(made, "token")), SCOPE_METRICS | SCOPE_READ);
	assert_int_equal(scopes_of("warren_x"), 0);
	restart();
	assert_int_equal(scopes_of(member(made, "token")), SCOPE_METRICS | SCOPE_READ);
	json_t *list = service_token_list(own_bench.service);
	assert_int_equal(json_array_size(list), 1);
	assert_null(json_object_get(json_array_get(list, 0), "token"));
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 0), "scopes")), 1);
	json_decref(list);
	assert_int_equal(delete (member(made, "id")), PROBLEM_NONE);
	assert_int_equal(scopes_of(member(made, "token")), 0);
	assert_int_equal(delete (member(made, "id")), PROBLEM_NOT_FOUND);
	assert_int_equal(delete ("nope"), PROBLEM_NOT_FOUND);
	mutation_free(made);
	assert_int_equal(scope_parse("metrics"), SCOPE_METRICS);
	assert_int_equal(scope_parse("nothing"), 0);
}

/* The wall clock decides, also one that is set back. */
static void they_are_refused_once_expired(void **state)
{
	struct token_table *tokens = token_table_create();
	struct database_token row = {
		.id = "t1", .name = strdup("ci"), .labels = strdup("{\"team\":\"red\"}"), .scopes = SCOPE_READ, .expires_at = 5000
	};
	struct token_bearer bearer;
	struct spec_label red = { .key = (char[]){ "team" }, .value = (char[]){ "red" } };
	(void)state;
	crypto_generichash(row.hash, 32, (const uint8_t *)"secret", 6, NULL, 0);
	assert_true(token_table_load(tokens, &row));
	assert_true(token_table_find(tokens, "secret", 4999, &bearer));
	assert_string_equal(bearer.name, "ci");
	assert_int_equal(bearer.expires_at, 5000);
	assert_false(access_covers(bearer.access, NULL, 0));
	assert_true(access_covers(bearer.access, &red, 1));
	access_release(bearer.access);
	assert_false(bearer.has_expired);
	assert_false(token_table_find(tokens, "secret", 5000, &bearer));
	assert_true(bearer.has_expired);
	assert_false(token_table_find(tokens, "other", 5000, &bearer));
	assert_false(bearer.has_expired);
	assert_false(token_table_holds(tokens, "t1", 5000));
	assert_true(token_table_holds(tokens, "t1", 4999));
	assert_false(token_table_holds(tokens, "t2", 0));
	token_table_free(tokens);
}

/* Labels that are damaged must not pass for none. */
static void one_whose_labels_cannot_be_read_opens_nothing(void **state)
{
	static const char *const damaged[] = { "", "{", "[]", "7", "{\"a\":7}", "{\"\":\"x\"}", "{\"a\":\"1\",\"a\":\"2\"}", "null" };
	(void)state;
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		struct token_table *tokens = token_table_create();
		struct database_token row = { .id = "t1", .name = strdup(""), .labels = strdup(damaged[i]), .scopes = SCOPE_READ };
		struct token_bearer bearer;
		crypto_generichash(row.hash, 32, (const uint8_t *)"secret", 6, NULL, 0);
		assert_true(token_table_load(tokens, &row));
		if (token_table_find(tokens, "secret", 0, &bearer))
			fail_msg("a token with the labels '%s' was found", damaged[i]);
		token_table_free(tokens);
	}
}

static const char *last_use(json_t **list)
{
	*list = service_token_list(own_bench.service);
	return json_string_value(json_object_get(json_array_get(*list, 0), "last_used_at"));
}

static void the_last_use_is_kept(void **state)
{
	json_t *list;
	(void)state;
	struct mutation *made = make("ci", SCOPE_READ);
	assert_null(last_use(&list));
	json_decref(list);
	assert_int_equal(scopes_of(member(made, "token")), SCOPE_METRICS | SCOPE_READ);
	const char *used = last_use(&list);
	assert_non_null(used);
	restart();
	json_t *after;
	assert_string_equal(last_use(&after), used);
	json_decref(after);
	json_decref(list);
	mutation_free(made);
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
	assert_int_equal(scopes_of(text), 0);
	assert_int_equal(listed(), 1);
	assert_int_equal(delete (id), PROBLEM_OUT_OF_RESOURCES);
	failing_vfs_full(false);
	assert_int_equal(delete (id), PROBLEM_NONE);
	assert_int_equal(listed(), 0);
	restart();
	assert_int_equal(scopes_of(text), 0);
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
		assert_int_equal(scopes_of(member(made[i], "token")) != 0, i % 2 == 1);
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
		cmocka_unit_test(they_are_refused_once_expired),
		cmocka_unit_test(one_whose_labels_cannot_be_read_opens_nothing),
		cmocka_unit_test_setup_teardown(the_last_use_is_kept, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_that_was_not_stored_is_none, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(one_that_the_disk_keeps_is_deleted_again, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(many_are_kept, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
