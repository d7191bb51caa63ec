/* Probes: which targets each type has, and what is expected of the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "tests/service/quoted_json.h"

static struct problem problem;
static struct spec_probe probe;

static void read_text(const char *text)
{
	struct json_reader reader;
	json_t *document = quoted_json(text);
	problem_init(&problem);
	probe = spec_probe_default;
	json_reader_init(&reader, "", &problem);
	candidate_read_probe(&reader, document, &probe);
	json_decref(document);
}

static void clear(void)
{
	struct spec spec;
	spec_init(&spec);
	spec.probe = probe;
	spec_clear(&spec);
	problem_clear(&problem);
}

static void sound_probes_are_taken(void **state)
{
	static const struct {
		const char *text;
		enum spec_probe_type type;
		unsigned low, high;
	} cases[] = {
		{ "{'target':'10.0.0.1'}", SPEC_PROBE_PING, 0, 0 },
		{ "{'type':'ping','target':'fd00::1'}", SPEC_PROBE_PING, 0, 0 },
		{ "{'type':'tcp','target':'web.example:80'}", SPEC_PROBE_TCP, 0, 0 },
		{ "{'type':'tcp','target':'[fd00::1]:80'}", SPEC_PROBE_TCP, 0, 0 },
		{ "{'type':'dns','target':'web.example'}", SPEC_PROBE_DNS, 0, 0 },
		{ "{'type':'http','target':'http://web.example/'}", SPEC_PROBE_HTTP, 0, 0 },
		{ "{'type':'http','target':'http://web.example:8080/x','expected_status':204}", SPEC_PROBE_HTTP, 204, 204 },
		{ "{'type':'exit_ip','target':'http://[fd00::1]/','expected_status':'200-399'}", SPEC_PROBE_EXIT_IP, 200, 399 },
		{ "{'target':'10.0.0.1','expected_status':null}", SPEC_PROBE_PING, 0, 0 },
		/* A change of the type need not remove it. */
		{ "{'type':'ping','target':'10.0.0.1','expected_status':'100-599'}", SPEC_PROBE_PING, 100, 599 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_text(cases[i].text);
		if (problem.code != PROBLEM_NONE)
			fail_msg("%s: %s", cases[i].text, problem.fault_count > 0 ? problem.faults[0].detail : problem.detail);
		assert_int_equal(probe.type, cases[i].type);
		if (cases[i].low != 0) {
			assert_int_equal(probe.status_low, cases[i].low);
			assert_int_equal(probe.status_high, cases[i].high);
		}
		clear();
	}
}

static void others_are_refused_at_their_place(void **state)
{
	static const struct {
		const char *text, *pointer;
	} cases[] = {
		{ "{'type':'smell','target':'10.0.0.1'}", "/type" },
		{ "{'type':'ping'}", "/target" },
		{ "{'type':'ping','target':'web.example'}", "/target" },
		{ "{'type':'ping','target':'10.0.0.0/8'}", "/target" },
		{ "{'type':'tcp','target':'web.example'}", "/target" },
		{ "{'type':'tcp','target':'web.example:0'}", "/target" },
		{ "{'type':'tcp','target':'unix:/tmp/x'}", "/target" },
		{ "{'type':'dns','target':'a b'}", "/target" },
		{ "{'type':'http','target':'https://web.example/'}", "/target" },
		{ "{'type':'http','target':'http:///'}", "/target" },
		{ "{'type':'http','target':'http://u@web.example/'}", "/target" },
		{ "{'type':'exit_ip','target':'http://web.example:0/'}", "/target" },
		{ "{'target':'10.0.0.1','interval':0}", "/interval" },
		{ "{'target':'10.0.0.1','interval':86401}", "/interval" },
		{ "{'target':'10.0.0.1','timeout':31}", "/timeout" },
		{ "{'target':'10.0.0.1','unhealthy_after':1001}", "/unhealthy_after" },
		{ "{'target':'10.0.0.1','expected_status':99}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':600}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':true}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'200'}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'20-399'}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'2x0-399'}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'200-6x0'}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'050-399'}", "/expected_status" },
		{ "{'target':'10.0.0.1','expected_status':'399-200'}", "/expected_status" },
		{ "{'target':'10.0.0.1','more':1}", "/more" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_text(cases[i].text);
		if (problem.fault_count != 1 || strcmp(problem.faults[0].pointer, cases[i].pointer) != 0)
			fail_msg("%s: %zu faults", cases[i].text, problem.fault_count);
		clear();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sound_probes_are_taken), cmocka_unit_test(others_are_refused_at_their_place) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
