/* Proxy, users, forwards, limits and probe of a document: what is read, and what is at fault and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

#define WITH(more) "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.0.0.2','fd00::2']}," more "}}"
#define PROXY(more) WITH("'proxy':{" more "}")
#define FORWARD(more) WITH("'forwards':[{'name':'f'," more "}]")
#define PROBE(more) WITH("'probe':{" more "}")
#define IN "'direction':'inbound',"
#define UDP "'protocol':'udp',"

static struct candidate candidate;

static void read_text(const char *text)
{
	json_t *document = quoted_json(text);
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	json_decref(document);
}

static bool has_fault(const char *pointer, const char *code)
{
	for (size_t i = 0; i < candidate.problem.fault_count; i++)
		if (strcmp(candidate.problem.faults[i].pointer, pointer) == 0 && strcmp(candidate.problem.faults[i].code, code) == 0)
			return true;
	return false;
}

struct one_fault {
	const char *text, *pointer, *code;
};

static void assert_faults(const struct one_fault *faults, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		read_text(faults[i].text);
		if (candidate.problem.fault_count != 1 || !has_fault(faults[i].pointer, faults[i].code))
			fail_msg("%s: %zu faults, and not %s at %s", faults[i].text, candidate.problem.fault_count, faults[i].code,
			         faults[i].pointer);
		candidate_clear(&candidate);
	}
}
#define ASSERT_FAULTS(faults) assert_faults(faults, sizeof(faults) / sizeof((faults)[0]))

static void assert_sound(const char *text)
{
	read_text(text);
	if (candidate.problem.code != PROBLEM_NONE)
		fail_msg("%s: %s %s", text, candidate.problem.detail, candidate.problem.fault_count > 0 ? candidate.problem.faults[0].detail : "");
}

static void listeners(void **state)
{
	static const struct one_fault faults[] = {
		{ PROXY("'listen':7"), "/spec/proxy/listen", "wrong_type" },
		{ PROXY("'listen':[7]"), "/spec/proxy/listen/0", "wrong_type" },
		{ PROXY("'listen':['here']"), "/spec/proxy/listen/0", "invalid_address" },
		{ PROXY("'listen':['localhost:1080']"), "/spec/proxy/listen/0", "invalid_address" },
		{ PROXY("'listen':['127.0.0.1:1080','127.0.0.1:1080']"), "/spec/proxy/listen/1", "duplicate" },
		{ PROXY("'listen':['unix:/a','unix:/b','unix:/a']"), "/spec/proxy/listen/2", "duplicate" },
	};
	(void)state;
	ASSERT_FAULTS(faults);
	assert_sound(PROXY("'listen':[]"));
	assert_int_equal(candidate.spec.listen_count, 0);
	candidate_clear(&candidate);
	static const char *const left_out[] = { WITH("'proxy':null"), PROXY("'listen':null"), PROXY("'idle_timeout':9") };
	for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
		assert_sound(left_out[i]);
		assert_int_equal(candidate.spec.listen_count, 1);
		assert_int_equal(candidate.spec.listen[0].port, 0);
		candidate_clear(&candidate);
	}
	/* Ports that the system is to choose are no duplicates. */
	assert_sound(PROXY("'listen':['127.0.0.1:0','127.0.0.1:0','[::1]:1080']"));
	assert_int_equal(candidate.spec.listen_count, 3);
	candidate_clear(&candidate);
}

static json_t *many(size_t count, const char *text)
{
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, quoted_json(text));
	return list;
}

static void assert_too_many(const char *object, const char *member, json_t *list, const char *pointer)
{
	json_t *document = quoted_json(WITH("'proxy':{}"));
	json_t *spec = json_object_get(document, "spec");
	json_object_set_new(object == NULL ? spec : json_object_get(spec, object), member, list);
	candidate_init(&candidate, SPEC_TUNNEL);
	candidate_read(&candidate, document, "");
	json_decref(document);
	assert_int_equal(candidate.problem.fault_count, 1);
	assert_true(has_fault(pointer, "too_many"));
	candidate_clear(&candidate);
}

/* P6 */
static void lists_have_a_limit(void **state)
{
	(void)state;
	assert_too_many("proxy", "listen", many(SPEC_LISTEN_MAX + 1, "7"), "/spec/proxy/listen");
	assert_too_many("proxy", "users", many(SPEC_USER_MAX + 1, "{}"), "/spec/proxy/users");
	assert_too_many(NULL, "forwards", many(SPEC_FORWARD_MAX + 1, "{}"), "/spec/forwards");
}

static void protocols(void **state)
{
	static const struct one_fault faults[] = {
		{ PROXY("'protocols':'http'"), "/spec/proxy/protocols", "wrong_type" },
		{ PROXY("'protocols':[]"), "/spec/proxy/protocols", "required" },
		{ PROXY("'protocols':[7]"), "/spec/proxy/protocols/0", "wrong_type" },
		{ PROXY("'protocols':['http','ftp']"), "/spec/proxy/protocols/1", "invalid_value" },
		{ PROXY("'protocols':['http','socks5','http']"), "/spec/proxy/protocols/2", "duplicate" },
	};
	(void)state;
	ASSERT_FAULTS(faults);
	assert_sound(PROXY("'protocols':['socks4','http']"));
	assert_int_equal(candidate.spec.protocols, SPEC_SOCKS4 | SPEC_HTTP);
	candidate_clear(&candidate);
}

#define LETTERS_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LETTERS_255 LETTERS_64 LETTERS_64 LETTERS_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* RFC 1929, 2 and RFC 7617, 2 (X10) */
static void users(void **state)
{
	static const struct one_fault faults[] = {
		{ PROXY("'users':7"), "/spec/proxy/users", "wrong_type" },
		{ PROXY("'users':[7]"), "/spec/proxy/users/0", "wrong_type" },
		{ PROXY("'users':[{'password':'p'}]"), "/spec/proxy/users/0/username", "required" },
		{ PROXY("'users':[{'username':null,'password':'p'}]"), "/spec/proxy/users/0/username", "required" },
		{ PROXY("'users':[{'username':7,'password':'p'}]"), "/spec/proxy/users/0/username", "wrong_type" },
		{ PROXY("'users':[{'username':'','password':'p'}]"), "/spec/proxy/users/0/username", "invalid_value" },
		{ PROXY("'users':[{'username':'a:b','password':'p'}]"), "/spec/proxy/users/0/username", "invalid_value" },
		{ PROXY("'users':[{'username':'a\\nb','password':'p'}]"), "/spec/proxy/users/0/username", "invalid_value" },
		{ PROXY("'users':[{'username':'a\\u007f','password':'p'}]"), "/spec/proxy/users/0/username", "invalid_value" },
		{ PROXY("'users':[{'username':'" LETTERS_255 "a','password':'p'}]"), "/spec/proxy/users/0/username", "invalid_value" },
		{ PROXY("'users':[{'username':'u','password':7}]"), "/spec/proxy/users/0/password", "wrong_type" },
		{ PROXY("'users':[{'username':'u','password':''}]"), "/spec/proxy/users/0/password", "invalid_value" },
		{ PROXY("'users':[{'username':'u','password':'\\u0001'}]"), "/spec/proxy/users/0/password", "invalid_value" },
		{ PROXY("'users':[{'username':'u','password':'p','more':1}]"), "/spec/proxy/users/0/more", "unknown_member" },
		{ PROXY("'users':[{'username':'u','password':'p'},{'username':'u','password':'q'}]"), "/spec/proxy/users/1/username", "duplicate" },
	};
	(void)state;
	ASSERT_FAULTS(faults);
	assert_sound(
	    PROXY("'users':[{'username':'" LETTERS_255 "','password':'p:q','password_set':true},{'username':'v'},{'username':'w','password':null}]"));
	assert_int_equal(candidate.spec.user_count, 3);
	assert_string_equal(candidate.spec.users[0].password, "p:q");
	assert_int_equal(candidate.passwords[0], CANDIDATE_SECRET_SET);
	assert_int_equal(candidate.passwords[1], CANDIDATE_SECRET_ABSENT);
	assert_int_equal(candidate.passwords[2], CANDIDATE_SECRET_REMOVED);
	candidate_clear(&candidate);
}

static void forwards(void **state)
{
	static const struct one_fault faults[] = {
		{ WITH("'forwards':{}"), "/spec/forwards", "wrong_type" },
		{ WITH("'forwards':[7]"), "/spec/forwards/0", "wrong_type" },
		{ WITH("'forwards':[{'listen':'127.0.0.1:1','target':'a:1'}]"), "/spec/forwards/0/name", "required" },
		{ WITH("'forwards':[{'name':'A','listen':'127.0.0.1:1','target':'a:1'}]"), "/spec/forwards/0/name", "invalid_value" },
		{ FORWARD("'target':'a:1'"), "/spec/forwards/0/listen", "required" },
		{ FORWARD("'listen':null,'target':'a:1'"), "/spec/forwards/0/listen", "required" },
		{ FORWARD("'listen':'127.0.0.1:1'"), "/spec/forwards/0/target", "required" },
		{ FORWARD("'listen':'x','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD("'listen':'host.example:1','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD(UDP "'listen':'unix:/a','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD("'listen':'127.0.0.1:1','target':'unix:/a'"), "/spec/forwards/0/target", "invalid_address" },
		{ FORWARD("'listen':'127.0.0.1:1','target':'a:0'"), "/spec/forwards/0/target", "out_of_range" },
		{ FORWARD("'direction':'up','listen':'127.0.0.1:1','target':'a:1'"), "/spec/forwards/0/direction", "invalid_value" },
		{ FORWARD("'protocol':'sctp','listen':'127.0.0.1:1','target':'a:1'"), "/spec/forwards/0/protocol", "invalid_value" },
		{ FORWARD(IN "'listen':'10.0.0.3:1','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD(IN "'listen':'[fd00::3]:1','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD(IN "'listen':'name.example:1','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD(IN "'listen':'unix:/a','target':'a:1'"), "/spec/forwards/0/listen", "invalid_address" },
		{ FORWARD(IN "'listen':'10.0.0.2:0','target':'a:1'"), "/spec/forwards/0/listen", "out_of_range" },
		{ FORWARD(IN UDP "'listen':'10.0.0.2:1','target':'unix:/a'"), "/spec/forwards/0/target", "invalid_address" },
		{ WITH("'forwards':[{'name':'f','listen':'127.0.0.1:1','target':'a:1'},{'name':'f','listen':'127.0.0.1:2','target':'a:1'}]"),
		  "/spec/forwards/1/name", "duplicate" },
		{ WITH("'forwards':[{'name':'f','listen':'127.0.0.1:1','target':'a:1'},{'name':'g','listen':'127.0.0.1:1','target':'b:1'}]"),
		  "/spec/forwards/1/listen", "duplicate" },
		{ WITH("'forwards':[{'name':'f','listen':'unix:/a','target':'a:1'},{'name':'g','listen':'unix:/a','target':'b:1'}]"),
		  "/spec/forwards/1/listen", "duplicate" },
	};
	static const char *const sound[] = {
		FORWARD("'listen':'unix:/a','target':'a:1'"),
		FORWARD(IN "'listen':'10.0.0.2:1','target':'unix:/a'"),
		FORWARD(IN "'listen':'0.0.0.0:1','target':'a:1'"),
		FORWARD(IN "'listen':'[::]:1','target':'a:1'"),
		FORWARD(IN UDP "'listen':'[fd00::2]:1','target':'[::1]:1'"),
		/* Not the same: the other transport, the other direction, ports that the system chooses. */
		WITH("'forwards':[{'name':'f','listen':'127.0.0.1:1','target':'a:1'},{'name':'g'," UDP "'listen':'127.0.0.1:1','target':'a:1'}]"),
		WITH("'forwards':[{'name':'f','listen':'0.0.0.0:1','target':'a:1'},{'name':'g'," IN "'listen':'0.0.0.0:1','target':'a:1'}]"),
		WITH("'forwards':[{'name':'f','listen':'127.0.0.1:0','target':'a:1'},{'name':'g','listen':'127.0.0.1:0','target':'a:1'}]"),
	};
	(void)state;
	ASSERT_FAULTS(faults);
	for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
		assert_sound(sound[i]);
		candidate_clear(&candidate);
	}
}

static void limits_and_timeouts(void **state)
{
	static const struct one_fault faults[] = {
		{ PROXY("'connect_timeout':0"), "/spec/proxy/connect_timeout", "out_of_range" },
		{ PROXY("'idle_timeout':604801"), "/spec/proxy/idle_timeout", "out_of_range" },
		{ PROXY("'allow_private_targets':1"), "/spec/proxy/allow_private_targets", "wrong_type" },
		{ WITH("'limits':7"), "/spec/limits", "wrong_type" },
		{ WITH("'limits':{'connections':1000001}"), "/spec/limits/connections", "out_of_range" },
		{ WITH("'limits':{'total_bytes':-1}"), "/spec/limits/total_bytes", "out_of_range" },
		{ WITH("'limits':{'bytes':1}"), "/spec/limits/bytes", "unknown_member" },
	};
	(void)state;
	ASSERT_FAULTS(faults);
	assert_sound(WITH("'limits':{'connections':5,'rx_bits_per_second':6,'tx_bits_per_second':7,'total_bytes':8}"));
	assert_int_equal(candidate.spec.limits.connections, 5);
	assert_int_equal(candidate.spec.limits.rx_bits_per_second, 6);
	assert_int_equal(candidate.spec.limits.tx_bits_per_second, 7);
	assert_int_equal(candidate.spec.limits.total_bytes, 8);
	candidate_clear(&candidate);
}

static void probes(void **state)
{
	static const struct one_fault faults[] = {
		{ PROBE("'target':'10.0.0.1','type':'https'"), "/spec/probe/type", "invalid_value" },
		{ PROBE("'type':'https','target':'https://x/'"), "/spec/probe/type", "invalid_value" },
		{ PROBE("'type':'http','target':'x'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'http','target':'https://x/'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x:0/'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'exit_ip','target':'http://u@x/'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'exit_ip','target':'http://x/ y'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':99"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':600"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':'200'"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':'300-200'"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':'200-'"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':'200-299-'"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'http','target':'http://x/','expected_status':[200]"), "/spec/probe/expected_status", "invalid_value" },
		{ PROBE("'type':'ping','target':'10.0.0.1','timeout':31"), "/spec/probe/timeout", "out_of_range" },
		{ PROBE("'type':'ping','target':'10.0.0.1','unhealthy_after':0"), "/spec/probe/unhealthy_after", "out_of_range" },
		{ PROBE("'type':'ping'"), "/spec/probe/target", "required" },
		{ PROBE("'target':'host.example'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'target':'10.0.0.0/24'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'tcp','target':'10.0.0.1'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'tcp','target':'unix:/a'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'tcp','target':'10.0.0.1:0'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'type':'dns','target':'a b'"), "/spec/probe/target", "invalid_value" },
		{ PROBE("'target':'10.0.0.1','interval':0"), "/spec/probe/interval", "out_of_range" },
	};
	static const struct {
		const char *text;
		enum spec_probe_type type;
		uint16_t low, high;
	} sound[] = {
		{ PROBE("'target':'10.0.0.1'"), SPEC_PROBE_PING, 200, 399 },
		{ PROBE("'type':'ping','target':'fd00::1'"), SPEC_PROBE_PING, 200, 399 },
		{ PROBE("'type':'tcp','target':'host.example:443'"), SPEC_PROBE_TCP, 200, 399 },
		{ PROBE("'type':'dns','target':'host.example'"), SPEC_PROBE_DNS, 200, 399 },
		{ PROBE("'type':'http','target':'http://host.example/x?y'"), SPEC_PROBE_HTTP, 200, 399 },
		{ PROBE("'type':'http','target':'http://[fd00::1]','expected_status':204"), SPEC_PROBE_HTTP, 204, 204 },
		{ PROBE("'type':'http','target':'HTTP://10.0.0.1:81/','expected_status':'100-599'"), SPEC_PROBE_HTTP, 100, 599 },
		{ PROBE("'type':'exit_ip','target':'http://10.0.0.1','expected_status':null"), SPEC_PROBE_EXIT_IP, 200, 399 },
	};
	(void)state;
	ASSERT_FAULTS(faults);
	for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++) {
		assert_sound(sound[i].text);
		assert_int_equal(candidate.spec.probe.type, sound[i].type);
		assert_non_null(candidate.spec.probe.target);
		assert_int_equal(candidate.spec.probe.status_low, sound[i].low);
		assert_int_equal(candidate.spec.probe.status_high, sound[i].high);
		candidate_clear(&candidate);
	}
}

/* F1: nothing that is missing passes for what was never asked for. */
static void memory_that_is_missing_is_told(void **state)
{
	json_t *document =
	    quoted_json(WITH("'proxy':{'listen':['127.0.0.1:1','[::1]:2','unix:/a','unix:/b'],'users':[{'username':'u','password':'p'}]},"
	                     "'forwards':[{'name':'f','listen':'127.0.0.1:3','target':'a.example:1'}],"
	                     "'probe':{'type':'http','target':'http://a.example/'}"));
	bool is_over = false;
	(void)state;
	for (unsigned number = 0; !is_over; number++) {
		candidate_init(&candidate, SPEC_TUNNEL);
		heap_fails_once_after(number);
		candidate_read(&candidate, document, "");
		is_over = heap_refused() == 0;
		heap_works();
		assert_int_equal(candidate.problem.code, is_over ? PROBLEM_NONE : PROBLEM_OUT_OF_RESOURCES);
		candidate_clear(&candidate);
	}
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listeners), cmocka_unit_test(lists_have_a_limit),
		cmocka_unit_test(protocols), cmocka_unit_test(users),
		cmocka_unit_test(forwards),  cmocka_unit_test(limits_and_timeouts),
		cmocka_unit_test(probes),    cmocka_unit_test(memory_that_is_missing_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
