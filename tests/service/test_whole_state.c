/* A whole state: what it must be, and what becomes of what it does not name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/store/scope.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define SPEC "'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}"
#define TUNNEL(id) "{'id':'" id "'," SPEC "}"
#define POOL(id) "{'id':'" id "','spec':{'proxy':{'listen':['127.0.0.1:0']},'members':{'tunnels':['a']}}}"

static struct mutation *put(json_t *document)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->scope = scope_with_included(SCOPE_ADMIN);
	mutation->document = document;
	bench_mutations_start(mutation);
	bench_mutations_finish();
	return mutation;
}

static void assert_fault(json_t *document, const char *pointer, const char *code)
{
	struct mutation *mutation = put(document);
	assert_int_equal(mutation->problem.code, PROBLEM_VALIDATION_FAILED);
	bool is_there = false;
	for (size_t i = 0; i < mutation->problem.fault_count; i++)
		is_there |= strcmp(mutation->problem.faults[i].pointer, pointer) == 0 && strcmp(mutation->problem.faults[i].code, code) == 0;
	if (!is_there)
		fail_msg("no %s at «%s», but %s at «%s»", code, pointer, mutation->problem.faults[0].code, mutation->problem.faults[0].pointer);
	mutation_free(mutation);
	assert_int_equal(registry_count(bench.registry), 0);
}

static json_t *nothings(size_t count)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_null());
	return list;
}

static void what_is_no_state_is_refused(void **state)
{
	(void)state;
	assert_fault(quoted_json("7"), "", "wrong_type");
	assert_fault(quoted_json("[]"), "", "wrong_type");
	assert_fault(quoted_json("{}"), "/tunnels", "required");
	assert_fault(quoted_json("{'tunnels':{}}"), "/tunnels", "wrong_type");
	assert_fault(quoted_json("{'tunnels':[],'more':1}"), "/more", "unknown_member");
	assert_fault(quoted_json("{'tunnels':[7]}"), "/tunnels/0", "wrong_type");
	assert_fault(quoted_json("{'tunnels':[" TUNNEL("a") ",{" SPEC "}]}"), "/tunnels/1/id", "required");
	assert_fault(quoted_json("{'tunnels':[" TUNNEL("a") "," TUNNEL("b") "," TUNNEL("a") "]}"), "/tunnels/2/id", "duplicate");
	assert_fault(quoted_json("{'tunnels':[],'pools':[" POOL("p") "," POOL("p") "]}"), "/pools/1/id", "duplicate");
	assert_fault(quoted_json("{'tunnels':[" TUNNEL("a") "],'pools':[" POOL("p") ",{'spec':{}}]}"), "/pools/1/id", "required");
}

/* P6: of what one request can ask for. */
static void what_no_worker_could_hold_is_refused_unread(void **state)
{
	(void)state;
	assert_fault(json_pack("{s:o}", "tunnels", nothings(COUNTERS_TUNNELS + 1)), "/tunnels", "too_many");
	assert_fault(json_pack("{s:o, s:o}", "tunnels", nothings(1), "pools", nothings(COUNTERS_TUNNELS)), "/pools", "too_many");
}

static void all_becomes_as_it_says(void **state)
{
	(void)state;
	struct mutation *mutation = put(quoted_json("{'tunnels':[" TUNNEL("b") "," TUNNEL("a") "],'pools':[" POOL("a") "]}"));
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(mutation->created, 3);
	mutation_free(mutation);
	/* A pool may have the id of a tunnel; what is not named goes, and what is the same stays as it was. */
	mutation = put(quoted_json("{'tunnels':[" TUNNEL("c") "," TUNNEL("a") "],'pools':[" POOL("p") "]}"));
	assert_int_equal(mutation->created, 2);
	assert_int_equal(mutation->unchanged, 1);
	assert_int_equal(mutation->deleted, 2);
	mutation_free(mutation);
	assert_int_equal(registry_count(bench.registry), 3);
	/* One that was saved before there were pools deletes none. */
	mutation = put(quoted_json("{'tunnels':[" TUNNEL("a") "]}"));
	assert_int_equal(mutation->deleted, 1);
	mutation_free(mutation);
	assert_int_equal(registry_count(bench.registry), 2);
	mutation = put(quoted_json("{'tunnels':[],'pools':[]}"));
	assert_int_equal(mutation->deleted, 2);
	mutation_free(mutation);
	assert_int_equal(registry_count(bench.registry), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_state_is_refused),
		TEST(what_no_worker_could_hold_is_refused_unread),
		TEST(all_becomes_as_it_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
