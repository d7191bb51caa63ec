/* A pool as JSON is a document that makes the same pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "service/spec/spec_pool_json.h"
#include "tests/service/quoted_json.h"

/* What is written of the pool that the text makes. */
static json_t *written(const char *text)
{
	struct candidate candidate;
	struct json_writer writer = { .failed = false };
	json_t *document = json_pack("{s:o}", "spec", quoted_json(text));
	candidate_init(&candidate, SPEC_POOL);
	candidate_read(&candidate, document, "");
	json_decref(document);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	json_t *object = json_object();
	spec_pool_to_json(&writer, object, &candidate.spec.pool);
	candidate_clear(&candidate);
	object = json_writer_end(&writer, object);
	assert_non_null(object);
	return object;
}

static void assert_written(const char *text, const char *wanted)
{
	json_t *object = written(text), *other = quoted_json(wanted);
	char *told = json_dumps(object, JSON_SORT_KEYS);
	if (!json_equal(object, other))
		fail_msg("%s", told);
	free(told);
	json_decref(object);
	json_decref(other);
}

static void what_is_left_out_is_written_as_it_is(void **state)
{
	(void)state;
	json_t *object = written("{}");
	assert_int_equal(json_array_size(json_object_get(json_object_get(object, "members"), "tunnels")), 0);
	assert_string_equal(json_string_value(json_object_get(object, "strategy")), "round_robin");
	assert_string_equal(json_string_value(json_object_get(json_object_get(object, "sticky"), "by")), "none");
	assert_true(json_is_integer(json_object_get(object, "retries")));
	assert_int_equal(json_array_size(json_object_get(object, "rules")), 0);
	json_decref(object);
}

/* Lists of a rule that are empty match all, and are not there. */
static void rules_have_what_they_ask_for_alone(void **state)
{
#define REST "'strategy':'failover','sticky':{'by':'user','ttl':60},'retries':2,'members':{'tunnels':['b','a'],'labels':{'x':'1'}}"
	static const char text[] = "{" REST ",'rules':[{'ports':['80','8000-8100'],'action':'reject'},"
				   "{'domains':['a.example'],'networks':['10.0.0.0/8','fd00::/8'],'users':['u'],'action':'members',"
				   "'members':{'tunnels':['c'],'labels':{}}}]}";
	(void)state;
	assert_written(text, text);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_left_out_is_written_as_it_is),
		                            cmocka_unit_test(rules_have_what_they_ask_for_alone) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
