/* WRITING_TOKEN: a token is answered when the disk has it, and not before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "ipc/wall_clock.h"
#include "service/store/scope.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/failing_vfs.h"

static struct mutation *begin(enum mutation_kind kind, const char *text)
{
	struct mutation *mutation = mutation_create(kind, 0);
	assert_non_null(mutation);
	if (kind == MUTATION_TOKEN_CREATE)
		mutation->token_name = strdup(text);
	else
		snprintf(mutation->token_id, sizeof(mutation->token_id), "%s", text);
	mutation->token_scopes = scope_parse("read");
	bench_mutations_start(mutation);
	return mutation;
}

static bool is_found(const char *token)
{
	struct token_bearer bearer;
	bool found = token_table_find(changes.means.tokens, token, wall_clock_ms(), &bearer);
	if (found)
		access_release(bearer.access);
	return found;
}

static const char *member(const struct mutation *mutation, const char *name)
{
	return json_string_value(json_object_get(mutation->token, name));
}

static void a_token_is_answered_when_it_is_stored(void **state)
{
	(void)state;
	struct mutation *made = begin(MUTATION_TOKEN_CREATE, "ci");
	assert_int_equal(changes.answered, 0);
	bench_mutations_until_stored();
	assert_int_equal(changes.answered, 1);
	assert_int_equal(made->problem.code, PROBLEM_NONE);
	assert_true(is_found(member(made, "token")));
	struct mutation *gone = begin(MUTATION_TOKEN_DELETE, member(made, "id"));
	/* It opens nothing from now on, though the disk has not answered. */
	assert_false(is_found(member(made, "token")));
	assert_int_equal(changes.answered, 1);
	bench_mutations_until_stored();
	assert_int_equal(changes.answered, 2);
	assert_int_equal(gone->problem.code, PROBLEM_NONE);
	mutation_free(gone);
	mutation_free(made);
}

static void a_token_that_is_not_there_is_not_found(void **state)
{
	(void)state;
	struct mutation *mutation = begin(MUTATION_TOKEN_DELETE, "nope");
	bench_mutations_until_stored();
	assert_int_equal(changes.answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_NOT_FOUND);
	mutation_free(mutation);
}

static void a_token_that_the_disk_refuses_is_none(void **state)
{
	(void)state;
	failing_vfs_full(true);
	struct mutation *mutation = begin(MUTATION_TOKEN_CREATE, "ci");
	bench_mutations_until_stored();
	failing_vfs_full(false);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(mutation->problem.code, PROBLEM_OUT_OF_RESOURCES);
	assert_null(mutation->token);
	json_t *list = token_table_list(changes.means.tokens);
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);
	mutation_free(mutation);
}

static int set_up(void **state)
{
	failing_vfs_make_default();
	return bench_mutations_set_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_is_answered_when_it_is_stored, set_up, bench_mutations_tear_down),
		cmocka_unit_test_setup_teardown(a_token_that_is_not_there_is_not_found, set_up, bench_mutations_tear_down),
		cmocka_unit_test_setup_teardown(a_token_that_the_disk_refuses_is_none, set_up, bench_mutations_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
