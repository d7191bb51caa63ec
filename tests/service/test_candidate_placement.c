/* spec.placement: the node of a fleet that a tunnel asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

#define INTERFACE "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}"

static struct candidate candidate;

static bool has_fault(const char *pointer, const char *code)
{
	for (size_t i = 0; i < candidate.problem.fault_count; i++)
		if (strcmp(candidate.problem.faults[i].pointer, pointer) == 0 && strcmp(candidate.problem.faults[i].code, code) == 0)
			return true;
	return false;
}

static void read_placement(const char *placement)
{
	char text[1024];
	snprintf(text, sizeof(text), "{'spec':{" INTERFACE ",'placement':%s}}", placement);
	json_t *document = quoted_json(text);
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	json_decref(document);
}

static void what_is_asked_for_is_kept(void **state)
{
	(void)state;
	read_placement("{'node':'berlin-1','labels':{'site':'b','disk':'ssd'},'on_isolation':'stop'}");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	const struct placement_spec *placement = candidate.spec.placement;
	assert_string_equal(placement->node, "berlin-1");
	assert_int_equal(placement->label_count, 2);
	assert_string_equal(placement->labels[0].key, "disk");
	assert_true(placement->stops);
	candidate_clear(&candidate);
	read_placement("{'on_isolation':'keep'}");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_string_equal(candidate.spec.placement->node, "");
	assert_false(candidate.spec.placement->stops);
	candidate_clear(&candidate);
	read_placement("null");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_null(candidate.spec.placement);
	candidate_clear(&candidate);
}

static void what_is_none_is_refused_at_its_place(void **state)
{
	static const struct {
		const char *placement, *pointer, *code;
	} cases[] = {
		{ "7", "/spec/placement", "wrong_type" },
		{ "{'node':'No Node'}", "/spec/placement/node", "invalid_id" },
		{ "{'node':7}", "/spec/placement/node", "wrong_type" },
		{ "{'on_isolation':'hide'}", "/spec/placement/on_isolation", "invalid_value" },
		{ "{'on_isolation':true}", "/spec/placement/on_isolation", "wrong_type" },
		{ "{'where':'x'}", "/spec/placement/where", "unknown_member" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_placement(cases[i].placement);
		if (candidate.problem.fault_count != 1 || !has_fault(cases[i].pointer, cases[i].code))
			fail_msg("%s: %zu faults", cases[i].placement, candidate.problem.fault_count);
		candidate_clear(&candidate);
	}
}

static void a_node_is_asked_for_sixteen_labels_at_most(void **state)
{
	char text[512];
	(void)state;
	for (unsigned most = 16; most <= 17; most++) {
		size_t length = (size_t)snprintf(text, sizeof(text), "{'labels':{");
		for (unsigned i = 0; i < most; i++)
			length += (size_t)snprintf(text + length, sizeof(text) - length, "%s'k%u':'v'", i == 0 ? "" : ",", i);
		snprintf(text + length, sizeof(text) - length, "}}");
		read_placement(text);
		assert_int_equal(has_fault("/spec/placement/labels", "too_many"), most == 17);
		candidate_clear(&candidate);
	}
}

static void memory_that_is_out_is_said(void **state)
{
	bool is_done = false;
	(void)state;
	json_t *document = quoted_json("{'spec':{" INTERFACE ",'placement':{'node':'a','labels':{'x':'1'}}}}");
	for (unsigned allowed = 0; !is_done; allowed++) {
		candidate_init(&candidate, SPEC_TUNNEL);
		heap_fails_once_after(allowed);
		candidate_read(&candidate, document, "");
		heap_works();
		is_done = heap_refused() == 0;
		assert_int_equal(candidate.problem.code, is_done ? PROBLEM_NONE : PROBLEM_OUT_OF_RESOURCES);
		candidate_clear(&candidate);
	}
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked_for_is_kept),
		cmocka_unit_test(what_is_none_is_refused_at_its_place),
		cmocka_unit_test(a_node_is_asked_for_sixteen_labels_at_most),
		cmocka_unit_test(memory_that_is_out_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
