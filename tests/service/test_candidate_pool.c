/* Documents of pools: what is accepted, what is at fault and where, and that what is written out reads back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "service/spec/spec_json.h"
#include "tests/service/quoted_json.h"

static void read_json(struct candidate *candidate, const json_t *document)
{
	candidate_init(candidate, SPEC_POOL);
	candidate_read(candidate, document, "");
	candidate_complete(candidate, NULL);
}

static void read_document(struct candidate *candidate, const char *text)
{
	json_t *document = quoted_json(text);
	read_json(candidate, document);
	json_decref(document);
}

static void print_faults(const struct problem *problem)
{
	for (size_t i = 0; i < problem->fault_count; i++)
		print_message("%s %s: %s\n", problem->faults[i].pointer, problem->faults[i].code, problem->faults[i].detail);
}

static const char whole[] =
    "{'id':'eu','labels':{'team':'x'},'spec':{'enabled':false,'proxy':{'listen':['127.0.0.1:3128'],'protocols':['http','socks5'],"
    "'users':[{'username':'u','password':'p'}],'connect_timeout':5,'idle_timeout':60,'allow_private_targets':false},"
    "'members':{'tunnels':['ams-1','lon.2'],'labels':{'pool':'eu','zone':'1'}},'strategy':'failover','sticky':{'by':'session','ttl':30},'retries':3,"
    "'rules':[{'domains':['Example.COM.','a.example'],'networks':['203.0.113.0/24','2001:db8::/32'],'ports':['443','8000-8100'],'users':['u'],"
    "'action':'members','members':{'labels':{'country':'us'}}},{'domains':['ads.example'],'action':'reject'}],'limits':{'connections':7}}}";

static void a_whole_document_is_read(void **state)
{
	(void)state;
	struct candidate candidate;
	read_document(&candidate, whole);
	print_faults(&candidate.problem);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	const struct spec *spec = &candidate.spec;
	const struct spec_rule *rule = &spec->pool.rules[0];
	assert_int_equal(spec->kind, SPEC_POOL);
	assert_false(spec->enabled || spec->allow_private_targets);
	assert_int_equal(spec->limits.connections, 7);
	assert_int_equal(spec->pool.strategy, SPEC_FAILOVER);
	assert_int_equal(spec->pool.sticky_by, SPEC_STICKY_SESSION);
	assert_int_equal(spec->pool.sticky_ttl, 30);
	assert_int_equal(spec->pool.retries, 3);
	assert_int_equal(spec->pool.members.tunnel_count, 2);
	assert_string_equal(spec->pool.members.tunnels[1], "lon.2");
	assert_int_equal(spec->pool.members.label_count, 2);
	assert_int_equal(spec->pool.rule_count, 2);
	assert_string_equal(rule->domains[0], "example.com");
	assert_int_equal(rule->network_count, 2);
	assert_int_equal(rule->ports[0].last, 443);
	assert_int_equal(rule->ports[1].first, 8000);
	assert_string_equal(rule->members.labels[0].value, "us");
	assert_int_equal(spec->pool.rules[1].action, SPEC_RULE_REJECT);
	candidate_clear(&candidate);
}

static void what_is_left_out_has_its_default(void **state)
{
	(void)state;
	struct candidate candidate;
	read_document(&candidate, "{'spec':{}}");
	print_faults(&candidate.problem);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_int_equal(candidate.spec.limits.connections, 0);
	assert_int_equal(candidate.spec.pool.strategy, SPEC_ROUND_ROBIN);
	assert_int_equal(candidate.spec.pool.sticky_by, SPEC_STICKY_NONE);
	assert_int_equal(candidate.spec.pool.sticky_ttl, 600);
	assert_int_equal(candidate.spec.pool.retries, 1);
	assert_int_equal(candidate.spec.listen_count, 1);
	candidate_clear(&candidate);
}

static void what_is_written_reads_back_the_same(void **state)
{
	(void)state;
	struct candidate first, second;
	read_document(&first, whole);
	json_t *document = json_pack("{s:o}", "spec", spec_to_json(&first.spec, true));
	read_json(&second, document);
	print_faults(&second.problem);
	assert_int_equal(second.problem.code, PROBLEM_NONE);
	assert_true(spec_equal(&first.spec, &second.spec));
	json_decref(document);
	candidate_clear(&first);
	candidate_clear(&second);
}

/* P8 */
static void passwords_are_written_only_on_request(void **state)
{
	(void)state;
	struct candidate candidate;
	read_document(&candidate, whole);
	json_t *spec = spec_to_json(&candidate.spec, false);
	const json_t *user = json_array_get(json_object_get(json_object_get(spec, "proxy"), "users"), 0);
	assert_null(json_object_get(user, "password"));
	assert_true(json_is_true(json_object_get(user, "password_set")));
	json_decref(spec);
	candidate_clear(&candidate);
}

static const struct fault_case {
	const char *text, *pointer, *code;
} cases[] = {
	{ "{}", "/spec", "required" },
	{ "{'spec':{'interface':{}}}", "/spec/interface", "unknown_member" },
	{ "{'spec':{'peers':[]}}", "/spec/peers", "unknown_member" },
	{ "{'spec':{'forwards':[]}}", "/spec/forwards", "unknown_member" },
	{ "{'spec':{'probe':null,'members':7}}", "/spec/members", "wrong_type" },
	{ "{'spec':{'limits':{'total_bytes':1}}}", "/spec/limits/total_bytes", "unknown_member" },
	{ "{'spec':{'members':{'tunnel':['a']}}}", "/spec/members/tunnel", "unknown_member" },
	{ "{'spec':{'members':{'tunnels':['a','B']}}}", "/spec/members/tunnels/1", "invalid_id" },
	{ "{'spec':{'members':{'tunnels':['a','b','a']}}}", "/spec/members/tunnels/2", "duplicate" },
	{ "{'spec':{'members':{'tunnels':['a',7]}}}", "/spec/members/tunnels/1", "wrong_type" },
	{ "{'spec':{'members':{'labels':{'a b':'c'}}}}", "/spec/members/labels/a b", "invalid_label" },
	{ "{'spec':{'strategy':'best'}}", "/spec/strategy", "invalid_value" },
	{ "{'spec':{'strategy':1}}", "/spec/strategy", "wrong_type" },
	{ "{'spec':{'sticky':{'by':'cookie'}}}", "/spec/sticky/by", "invalid_value" },
	{ "{'spec':{'sticky':{'ttl':0}}}", "/spec/sticky/ttl", "out_of_range" },
	{ "{'spec':{'sticky':{'ttl':2592001}}}", "/spec/sticky/ttl", "out_of_range" },
	{ "{'spec':{'sticky':{'for':1}}}", "/spec/sticky/for", "unknown_member" },
	{ "{'spec':{'retries':17}}", "/spec/retries", "out_of_range" },
	{ "{'spec':{'retries':-1}}", "/spec/retries", "out_of_range" },
	{ "{'spec':{'rules':[7]}}", "/spec/rules/0", "wrong_type" },
	{ "{'spec':{'rules':[{}]}}", "/spec/rules/0/action", "required" },
	{ "{'spec':{'rules':[{'action':'drop'}]}}", "/spec/rules/0/action", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'members'}]}}", "/spec/rules/0/members", "required" },
	{ "{'spec':{'rules':[{'action':'reject','members':{}}]}}", "/spec/rules/0/members", "not_allowed" },
	{ "{'spec':{'rules':[{'action':'reject','domains':['1.2.3.4']}]}}", "/spec/rules/0/domains/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','domains':['.example.com']}]}}", "/spec/rules/0/domains/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','domains':['*.example.com']}]}}", "/spec/rules/0/domains/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','networks':['203.0.113.0/33']}]}}", "/spec/rules/0/networks/0", "invalid_network" },
	{ "{'spec':{'rules':[{'action':'reject','ports':[443]}]}}", "/spec/rules/0/ports/0", "wrong_type" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['0']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['65536']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['2-1']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['1-']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['-1']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','ports':['1-2-3']}]}}", "/spec/rules/0/ports/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','users':['']}]}}", "/spec/rules/0/users/0", "invalid_value" },
	{ "{'spec':{'rules':[{'action':'reject','hosts':[]}]}}", "/spec/rules/0/hosts", "unknown_member" },
};

static void each_fault_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		read_document(&candidate, cases[i].text);
		const struct problem *problem = &candidate.problem;
		bool is_right = false;
		for (size_t k = 0; k < problem->fault_count; k++)
			is_right |= strcmp(problem->faults[k].pointer, cases[i].pointer) == 0 && strcmp(problem->faults[k].code, cases[i].code) == 0;
		if (!is_right)
			print_faults(problem);
		if (!is_right)
			fail_msg("expected %s at %s in %s", cases[i].code, cases[i].pointer, cases[i].text);
		candidate_clear(&candidate);
	}
}

static json_t *many(size_t count, const char *suffix)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_sprintf("t%zu%s", i, suffix));
	return list;
}

static enum problem_code code_with(const char *member, json_t *value)
{
	struct candidate candidate;
	json_t *document = json_pack("{s:{s:o}}", "spec", member, value);
	read_json(&candidate, document);
	enum problem_code code = candidate.problem.code;
	json_decref(document);
	candidate_clear(&candidate);
	return code;
}

/* P6 */
static void lists_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(code_with("members", json_pack("{s:o}", "tunnels", many(POOL_SPEC_TUNNELS_MAX, ""))), PROBLEM_NONE);
	assert_int_equal(code_with("members", json_pack("{s:o}", "tunnels", many(POOL_SPEC_TUNNELS_MAX + 1, ""))), PROBLEM_VALIDATION_FAILED);
	json_t *rules = json_array();
	for (size_t i = 0; i < POOL_SPEC_RULES_MAX; i++)
		json_array_append_new(rules, json_pack("{s:s}", "action", "reject"));
	assert_int_equal(code_with("rules", json_incref(rules)), PROBLEM_NONE);
	json_array_append_new(rules, json_pack("{s:s}", "action", "reject"));
	assert_int_equal(code_with("rules", rules), PROBLEM_VALIDATION_FAILED);
	json_t *domains = many(POOL_SPEC_TERMS_MAX, ".example");
	assert_int_equal(code_with("rules", json_pack("[{s:s,s:O}]", "action", "reject", "domains", domains)), PROBLEM_NONE);
	json_array_append_new(domains, json_string("one.more"));
	assert_int_equal(code_with("rules", json_pack("[{s:s,s:o}]", "action", "reject", "domains", domains)), PROBLEM_VALIDATION_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_document_is_read),
		cmocka_unit_test(what_is_left_out_has_its_default),
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(passwords_are_written_only_on_request),
		cmocka_unit_test(each_fault_has_its_place),
		cmocka_unit_test(lists_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
