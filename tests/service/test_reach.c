/* What a caller with labels may do to what others have, and what it may not leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/store/scope.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define INTERFACE "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}"
#define MINE "{'labels':{'team':'a'},'spec':{" INTERFACE "}}"
#define THEIRS "{'labels':{'team':'b'},'spec':{" INTERFACE "}}"

/* Of team a, unless it is NULL. */
static enum problem_code code_of(const char *team, enum spec_kind object, enum operation_kind kind, const char *id, const char *json)
{
	struct mutation *mutation = bench_mutations_make(kind, id, json);
	struct spec_label label = { .key = (char[]){ "team" }, .value = (char[]){ "a" } };
	mutation->operations[0].object = object;
	if (team != NULL) {
		label.value[0] = team[0];
		mutation->access = access_create(&label, 1);
	}
	bench_mutations_start(mutation);
	bench_mutations_finish();
	enum problem_code code = bench_mutations_code(mutation);
	mutation_free(mutation);
	return code;
}

static void others_tunnels_are_not_there(void **state)
{
	(void)state;
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_CREATE, "theirs", THEIRS), PROBLEM_NONE);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_PATCH, "theirs", "{}"), PROBLEM_NOT_FOUND);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_DELETE, "theirs", NULL), PROBLEM_NOT_FOUND);
	/* An id is taken once for all. */
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "theirs", MINE), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_PUT, "theirs", MINE), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(code_of("b", SPEC_TUNNEL, OPERATION_PATCH, "theirs", "{}"), PROBLEM_NONE);
	assert_int_equal(code_of("b", SPEC_TUNNEL, OPERATION_DELETE, "theirs", NULL), PROBLEM_NONE);
}

static void what_is_left_keeps_the_labels(void **state)
{
	(void)state;
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "t", THEIRS), PROBLEM_FORBIDDEN);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "t", MINE), PROBLEM_NONE);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_PATCH, "t", "{'labels':{'team':null}}"), PROBLEM_FORBIDDEN);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_PATCH, "t", "{'labels':{'more':'x'}}"), PROBLEM_NONE);
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_PATCH, "t", "{'labels':{'team':'b'}}"), PROBLEM_NONE);
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_DELETE, "t", NULL), PROBLEM_NONE);
}

/* Else it would carry their traffic. */
static void an_id_that_others_name_is_taken(void **state)
{
	static const char *const pools[] = {
		"{'labels':{'team':'b'},'spec':{'members':{'tunnels':['x']}}}",
		"{'labels':{'team':'b'},'spec':{'rules':[{'ports':['80'],'action':'members','members':{'tunnels':['y','x']}}]}}",
	};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(code_of(NULL, SPEC_POOL, OPERATION_CREATE, "p", pools[i]), PROBLEM_NONE);
		assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "x", MINE), PROBLEM_TUNNEL_EXISTS);
		assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "free", MINE), PROBLEM_NONE);
		/* Those with the pool's labels, and those with all, may. */
		assert_int_equal(code_of("b", SPEC_TUNNEL, OPERATION_CREATE, "x", THEIRS), PROBLEM_NONE);
		assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_DELETE, "x", NULL), PROBLEM_NONE);
		assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_DELETE, "free", NULL), PROBLEM_NONE);
		assert_int_equal(code_of(NULL, SPEC_POOL, OPERATION_DELETE, "p", NULL), PROBLEM_NONE);
	}
}

static void an_id_that_others_go_through_is_taken(void **state)
{
	(void)state;
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_CREATE, "x", THEIRS), PROBLEM_NONE);
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_CREATE, "inner",
	                         "{'labels':{'team':'b'},'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=',"
	                         "'addresses':['10.2.0.2'],'via':'x'}}}"),
	                 PROBLEM_NONE);
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_DELETE, "x", NULL), PROBLEM_NONE);
	assert_int_equal(code_of("a", SPEC_TUNNEL, OPERATION_CREATE, "x", MINE), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(code_of("b", SPEC_TUNNEL, OPERATION_CREATE, "x", THEIRS), PROBLEM_NONE);
}

static void a_pool_has_only_what_its_maker_may_use(void **state)
{
	static const struct {
		const char *spec;
		enum problem_code code;
	} cases[] = {
		{ "{'members':{'tunnels':['mine']}}", PROBLEM_NONE },
		{ "{'members':{'tunnels':['mine','theirs']}}", PROBLEM_FORBIDDEN },
		{ "{'members':{'tunnels':['absent']}}", PROBLEM_FORBIDDEN },
		{ "{'members':{'labels':{'team':'a','x':'1'}}}", PROBLEM_NONE },
		{ "{'members':{'labels':{'x':'1'}}}", PROBLEM_FORBIDDEN },
		{ "{'members':{'labels':{'team':'b'}}}", PROBLEM_FORBIDDEN },
		{ "{'rules':[{'ports':['80'],'action':'members','members':{'tunnels':['mine']}}]}", PROBLEM_NONE },
		{ "{'rules':[{'ports':['80'],'action':'members','members':{'tunnels':['mine']}},{'ports':['81'],'action':'members','members':{'"
		  "tunnels':['theirs']}}]}",
		  PROBLEM_FORBIDDEN },
		{ "{'rules':[{'ports':['80'],'action':'reject'}]}", PROBLEM_NONE },
	};
	(void)state;
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_CREATE, "mine", MINE), PROBLEM_NONE);
	assert_int_equal(code_of(NULL, SPEC_TUNNEL, OPERATION_CREATE, "theirs", THEIRS), PROBLEM_NONE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char json[512] = "{'labels':{'team':'a'},'spec':";
		strcat(strcat(json, cases[i].spec), "}");
		enum problem_code code = code_of("a", SPEC_POOL, OPERATION_PUT, "p", json);
		if (code != cases[i].code)
			fail_msg("case %zu: %s", i, problem_code_name(code));
	}
	/* Who has all may have all. */
	assert_int_equal(code_of(NULL, SPEC_POOL, OPERATION_PUT, "q", "{'spec':{'members':{'tunnels':['theirs','absent']}}}"), PROBLEM_NONE);
	assert_int_equal(code_of("a", SPEC_POOL, OPERATION_CREATE, "q", "{'labels':{'team':'a'},'spec':{}}"), PROBLEM_POOL_EXISTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(others_tunnels_are_not_there),          TEST(what_is_left_keeps_the_labels),          TEST(an_id_that_others_name_is_taken),
		TEST(an_id_that_others_go_through_is_taken), TEST(a_pool_has_only_what_its_maker_may_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
