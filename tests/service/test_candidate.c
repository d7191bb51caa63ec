/* Documents of tunnels: what is accepted, what is at fault and where, and that what is written out reads back the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/service.h"
#include "service/spec/candidate.h"
#include "tests/service/quoted_json.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define OWN "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=" /* of KEY */
#define OTHER "gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA="

static void read_document(struct candidate *candidate, const char *text)
{
	json_t *document = quoted_json(text);
	candidate_init(candidate, SPEC_TUNNEL);
	candidate_read(candidate, document, "");
	candidate_complete(candidate, NULL);
	json_decref(document);
}

static bool has_fault(const struct problem *problem, const char *pointer, const char *code)
{
	for (size_t i = 0; i < problem->fault_count; i++)
		if (strcmp(problem->faults[i].pointer, pointer) == 0 && strcmp(problem->faults[i].code, code) == 0)
			return true;
	return false;
}

static void assert_only_fault(const char *text, const char *pointer, const char *code)
{
	struct candidate candidate;
	read_document(&candidate, text);
	if (candidate.problem.fault_count != 1 || !has_fault(&candidate.problem, pointer, code)) {
		for (size_t i = 0; i < candidate.problem.fault_count; i++)
			print_message("%s %s: %s\n", candidate.problem.faults[i].pointer, candidate.problem.faults[i].code,
			              candidate.problem.faults[i].detail);
		fail_msg("expected %s at %s in %s", code, pointer, text);
	}
	candidate_clear(&candidate);
}

#define WITH_INTERFACE(more) "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']" more "}}}"
#define WITH(more) "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2','fd00::2']}," more "}}"
#define WITH_PEER(more) WITH("'peers':[{'public_key':'" PEER "'" more "}]")
#define WITH_FORWARD(text) WITH("'forwards':[{'name':'f'," text "}]")

struct fault_case {
	const char *text, *pointer, *code;
};

static const struct fault_case cases[] = {
	{ "7", "", "wrong_type" },
	{ "{'spec':7}", "/spec", "wrong_type" },
	{ "{'id':'A','spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']}}}", "/id", "invalid_id" },
	{ "{'id':'-a','spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']}}}", "/id", "invalid_id" },
	{ "{'labels':{'a b':'c'},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']}}}", "/labels/a b", "invalid_label" },
	{ "{'labels':{'a/b':7},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']}}}", "/labels/a~1b", "wrong_type" },
	{ "{'spec':{'interface':{'addresses':['10.0.0.2']}}}", "/spec/interface/private_key", "required" },
	{ "{'spec':{'interface':{'private_key':'" KEY "'}}}", "/spec/interface/addresses", "required" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':[]}}}", "/spec/interface/addresses", "required" },
	{ "{'spec':{'interface':{'private_key':'short','addresses':['10.0.0.2']}}}", "/spec/interface/private_key", "invalid_key" },
	{ "{'spec':{'interface':{'private_key':7,'addresses':['10.0.0.2']}}}", "/spec/interface/private_key", "wrong_type" },
	{ "{'spec':{'interface':{'private_key':'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=','addresses':['10.0.0.2']}}}",
	  "/spec/interface/private_key", "invalid_key" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2','10.0.0.3']}}}", "/spec/interface/addresses/1", "too_many" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':['fd00::1','fd00::2','fd00::3','fd00::4']}}}", "/spec/interface/addresses/3",
	  "too_many" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2','10.0.0.2/24']}}}", "/spec/interface/addresses/1", "duplicate" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':['127.0.0.1']}}}", "/spec/interface/addresses/0", "invalid_address" },
	{ "{'spec':{'interface':{'private_key':'" KEY "','addresses':['x']}}}", "/spec/interface/addresses/0", "invalid_address" },
	{ WITH_INTERFACE(",'mtu':575"), "/spec/interface/mtu", "out_of_range" },
	{ WITH_INTERFACE(",'mtu':1420.0"), "/spec/interface/mtu", "wrong_type" },
	{ WITH_INTERFACE(",'mtu':9001"), "/spec/interface/mtu", "out_of_range" },
	{ WITH_INTERFACE(",'listen_port':65536"), "/spec/interface/listen_port", "out_of_range" },
	{ WITH_INTERFACE(",'listen_port':-1"), "/spec/interface/listen_port", "out_of_range" },
	{ WITH_INTERFACE(",'dns':['dns.example']"), "/spec/interface/dns/0", "invalid_address" },
	{ WITH_INTERFACE(",'dns':[7]"), "/spec/interface/dns/0", "wrong_type" },
	{ WITH_INTERFACE(",'Mtu':1420"), "/spec/interface/Mtu", "unknown_member" },
	{ WITH("'enabled':1"), "/spec/enabled", "wrong_type" },
	{ WITH("'x':1"), "/spec/x", "unknown_member" },
	{ WITH("'peers':{}"), "/spec/peers", "wrong_type" },
	{ WITH("'peers':[{}]"), "/spec/peers/0/public_key", "required" },
	{ WITH("'peers':[7]"), "/spec/peers/0", "wrong_type" },
	{ WITH("'peers':[{'public_key':'x'}]"), "/spec/peers/0/public_key", "invalid_key" },
	{ WITH("'peers':[{'public_key':'" PEER "'},{'public_key':'" PEER "'}]"), "/spec/peers/1/public_key", "duplicate" },
	{ WITH_PEER(",'preshared_key':'x'"), "/spec/peers/0/preshared_key", "invalid_key" },
	{ WITH_PEER(",'endpoint':'host'"), "/spec/peers/0/endpoint", "invalid_address" },
	{ WITH_PEER(",'endpoint':'host:0'"), "/spec/peers/0/endpoint", "out_of_range" },
	{ WITH_PEER(",'endpoint':'unix:/x'"), "/spec/peers/0/endpoint", "invalid_address" },
	{ WITH_PEER(",'endpoint':'a\\u0000b:1'"), "/spec/peers/0/endpoint", "invalid_value" },
	{ WITH_PEER(",'allowed_ips':['10.0.0.0/8','x']"), "/spec/peers/0/allowed_ips/1", "invalid_network" },
	{ WITH_PEER(",'allowed_ips':'10.0.0.0/8'"), "/spec/peers/0/allowed_ips", "wrong_type" },
	{ WITH_PEER(",'persistent_keepalive':65536"), "/spec/peers/0/persistent_keepalive", "out_of_range" },
	{ WITH("'proxy':{'listen':['localhost:1']}"), "/spec/proxy/listen/0", "invalid_address" },
	{ WITH("'proxy':{'listen':['127.0.0.1:1','127.0.0.1:1']}"), "/spec/proxy/listen/1", "duplicate" },
	{ WITH("'proxy':{'protocols':[]}"), "/spec/proxy/protocols", "required" },
	{ WITH("'proxy':{'protocols':['ftp']}"), "/spec/proxy/protocols/0", "invalid_value" },
	{ WITH("'proxy':{'protocols':['http','http']}"), "/spec/proxy/protocols/1", "duplicate" },
	{ WITH("'proxy':{'users':[{'password':'p'}]}"), "/spec/proxy/users/0/username", "required" },
	{ WITH("'proxy':{'users':[{'username':'u'}]}"), "/spec/proxy/users/0/password", "required" },
	{ WITH("'proxy':{'users':[{'username':'a:b','password':'p'}]}"), "/spec/proxy/users/0/username", "invalid_value" },
	{ WITH("'proxy':{'users':[{'username':'u','password':''}]}"), "/spec/proxy/users/0/password", "invalid_value" },
	{ WITH("'proxy':{'users':[{'username':'u','password':'p'},{'username':'u','password':'q'}]}"), "/spec/proxy/users/1/username", "duplicate" },
	{ WITH("'proxy':{'connect_timeout':0}"), "/spec/proxy/connect_timeout", "out_of_range" },
	{ WITH("'proxy':{'allow_private_targets':'yes'}"), "/spec/proxy/allow_private_targets", "wrong_type" },
	{ WITH_FORWARD("'target':'10.0.0.1:1'"), "/spec/forwards/0/listen", "required" },
	{ WITH_FORWARD("'listen':'127.0.0.1:1'"), "/spec/forwards/0/target", "required" },
	{ WITH_FORWARD("'listen':'127.0.0.1:1','target':'10.0.0.1:0'"), "/spec/forwards/0/target", "out_of_range" },
	{ WITH_FORWARD("'listen':'name:1','target':'10.0.0.1:1'"), "/spec/forwards/0/listen", "invalid_address" },
	{ WITH_FORWARD("'listen':'127.0.0.1:1','target':'unix:/x'"), "/spec/forwards/0/target", "invalid_address" },
	{ WITH_FORWARD("'direction':'inbound','listen':'10.0.0.3:1','target':'127.0.0.1:1'"), "/spec/forwards/0/listen", "invalid_address" },
	{ WITH_FORWARD("'direction':'inbound','listen':'10.0.0.2:0','target':'127.0.0.1:1'"), "/spec/forwards/0/listen", "out_of_range" },
	{ WITH_FORWARD("'direction':'up','listen':'127.0.0.1:1','target':'10.0.0.1:1'"), "/spec/forwards/0/direction", "invalid_value" },
	{ WITH("'forwards':[{'listen':'127.0.0.1:1','target':'10.0.0.1:1'}]"), "/spec/forwards/0/name", "required" },
	{ WITH("'forwards':[{'name':'f','listen':'127.0.0.1:1','target':'10.0.0.1:1'},{'name':'f','listen':'127.0.0.1:2','target':'10.0.0.1:1'}]"),
	  "/spec/forwards/1/name", "duplicate" },
	{ WITH("'forwards':[{'name':'f','listen':'127.0.0.1:1','target':'10.0.0.1:1'},{'name':'g','listen':'127.0.0.1:1','target':'10.0.0.1:1'}]"),
	  "/spec/forwards/1/listen", "duplicate" },
	{ WITH("'limits':{'connections':1000001}"), "/spec/limits/connections", "out_of_range" },
	{ WITH("'probe':{'type':'https','target':'x'}"), "/spec/probe/type", "invalid_value" },
	{ WITH("'probe':{'type':'ping'}"), "/spec/probe/target", "required" },
	{ WITH("'probe':{'type':'ping','target':'name'}"), "/spec/probe/target", "invalid_value" },
	{ WITH("'probe':{'type':'tcp','target':'10.0.0.1'}"), "/spec/probe/target", "invalid_value" },
	{ WITH("'probe':{'type':'ping','target':'10.0.0.1','interval':0}"), "/spec/probe/interval", "out_of_range" },
	{ WITH("'placement':[]"), "/spec/placement", "wrong_type" },
	{ WITH("'placement':{'nodes':'a'}"), "/spec/placement/nodes", "unknown_member" },
	{ WITH("'placement':{'node':'A/B'}"), "/spec/placement/node", "invalid_id" },
	{ WITH("'placement':{'labels':{'a b':''}}"), "/spec/placement/labels/a b", "invalid_label" },
	{ WITH("'placement':{'labels':{'a':'','b':'','c':'','d':'','e':'','f':'','g':'','h':'','i':'','j':'','k':'','l':'','m':'','n':'','o':'',"
	       "'p':'','q':''}}"),
	  "/spec/placement/labels", "too_many" },
	{ WITH("'placement':{'on_isolation':'end'}"), "/spec/placement/on_isolation", "invalid_value" },
};

static void a4_each_fault_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].text, "7") == 0 || strcmp(cases[i].text, "{'spec':7}") == 0) {
			struct candidate candidate;
			read_document(&candidate, cases[i].text);
			assert_true(has_fault(&candidate.problem, cases[i].pointer, cases[i].code));
			candidate_clear(&candidate);
			continue;
		}
		assert_only_fault(cases[i].text, cases[i].pointer, cases[i].code);
	}
}

static void all_faults_at_once(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate,
	              "{'id':'?','x':1,'labels':[],'spec':{'interface':{'mtu':1,'y':2},'peers':[{'public_key':'a'},{}],'limits':{'z':1}}}");
	static const char *const pointers[] = { "/id",
		                                "/x",
		                                "/labels",
		                                "/spec/interface/mtu",
		                                "/spec/interface/y",
		                                "/spec/interface/addresses",
		                                "/spec/interface/private_key",
		                                "/spec/peers/0/public_key",
		                                "/spec/peers/1/public_key",
		                                "/spec/limits/z" };
	assert_int_equal(candidate.problem.fault_count, sizeof(pointers) / sizeof(pointers[0]));
	for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		bool found = false;
		for (size_t k = 0; k < candidate.problem.fault_count; k++)
			found |= strcmp(candidate.problem.faults[k].pointer, pointers[i]) == 0;
		if (!found)
			fail_msg("%s", pointers[i]);
	}
	candidate_clear(&candidate);
}

static void faults_are_counted_past_the_most(void **state)
{
	struct candidate candidate;
	char *text = malloc(65536);
	(void)state;
	size_t length = (size_t)sprintf(text, "{'spec':{");
	for (int i = 0; i < 1000; i++)
		length += (size_t)sprintf(text + length, "'m%d':1,", i);
	sprintf(text + length, "'n':1}}");
	read_document(&candidate, text);
	assert_int_equal(candidate.problem.fault_count, PROBLEM_FAULT_MAX);
	assert_non_null(strstr(candidate.problem.detail, "more than 256"));
	candidate_clear(&candidate);
	free(text);
}

static void a_tunnel_is_not_its_own_peer(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate, WITH("'peers':[{'public_key':'" OWN "'}]"));
	assert_true(has_fault(&candidate.problem, "/spec/peers/0/public_key", "own_key"));
	candidate_clear(&candidate);
}

static void what_the_server_writes_is_ignored(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate, "{'etag':'x','generation':1,'created_at':'','updated_at':'','status':{},'applied':'created','spec':{'interface':"
	                          "{'private_key':'" KEY "','addresses':['10.0.0.2']},'peers':[{'public_key':'" PEER "','preshared_key_set':true}],"
	                          "'proxy':{'users':[{'username':'u','password':'p','password_set':true}]}}}");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	candidate_clear(&candidate);
}

static void defaults_are_those_of_the_contract(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate, WITH_INTERFACE(""));
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	json_t *json = spec_to_json(&candidate.spec, false);
	json_t *expected = quoted_json("{'enabled':true,'interface':{'addresses':['10.0.0.2/32'],'dns':[],'mtu':1420,'listen_port':0},'peers':[],"
	                               "'proxy':{'listen':['127.0.0.1:0'],'protocols':['http','socks5','socks4'],'users':[],'connect_timeout':30,"
	                               "'idle_timeout':300,'allow_private_targets':true},'forwards':[],'limits':{'connections':1024,"
	                               "'rx_bits_per_second':0,'tx_bits_per_second':0,'total_bytes':0}}");
	assert_true(json_equal(json, expected));
	json_decref(json);
	json_decref(expected);
	candidate_clear(&candidate);
}

static const char whole[] =
    "{'spec':{'enabled':false,'interface':{'private_key':'" KEY "','addresses':['10.2.0.2/24','fd00::2/64'],'dns':['10.2.0.1','fd00::1'],'mtu':1300,"
    "'listen_port':51820},'peers':[{'public_key':'" PEER "','preshared_key':'" KEY "','endpoint':'[2001:db8::1]:51820',"
    "'allowed_ips':['0.0.0.0/0','::/0'],'persistent_keepalive':25},{'public_key':'" OTHER "','allowed_ips':['10.0.0.0/8']}],"
    "'proxy':{'listen':['127.0.0.1:1080','unix:/run/p.sock'],'protocols':['socks5'],'users':[{'username':'u','password':'p'}],'connect_timeout':5,"
    "'idle_timeout':60,'allow_private_targets':false},'forwards':[{'name':'db','direction':'outbound','protocol':'tcp','listen':'127.0.0.1:5432',"
    "'target':'db.inner:5432'},{'name':'web','direction':'inbound','protocol':'udp','listen':'0.0.0.0:80','target':'host.example:8080'}],"
    "'limits':{'connections':7,'rx_bits_per_second':1,'tx_bits_per_second':2,'total_bytes':3},'probe':{'type':'tcp','target':'10.2.0.1:80','interval'"
    ":9},'placement':{'node':'ams-1','labels':{'region':'eu','tier':'2'},'on_isolation':'stop'}}}";

static void what_is_written_reads_back(void **state)
{
	struct candidate first, second;
	(void)state;
	read_document(&first, whole);
	assert_int_equal(first.problem.code, PROBLEM_NONE);
	json_t *document = json_pack("{s:o}", "spec", spec_to_json(&first.spec, true));
	candidate_init(&second, SPEC_TUNNEL);
	candidate_read(&second, document, "");
	candidate_complete(&second, NULL);
	assert_int_equal(second.problem.code, PROBLEM_NONE);
	assert_true(spec_equal(&first.spec, &second.spec));
	json_decref(document);
	candidate_clear(&first);
	candidate_clear(&second);
}

static void a_mapped_name_server_is_an_ipv4_one(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate, "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2/24'],'dns':['::ffff:10.2.0.1']}}}");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_int_equal(candidate.spec.dns_count, 1);
	assert_int_equal(candidate.spec.dns[0].family, AF_INET);
	assert_int_equal(candidate.spec.dns[0].bytes[0], 10);
	candidate_clear(&candidate);
	read_document(&candidate, "{'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2/24'],'dns':['::ffff:127.0.0.1']}}}");
	assert_int_equal(candidate.problem.code, PROBLEM_VALIDATION_FAILED);
	candidate_clear(&candidate);
}

static void secrets_are_not_written_unasked(void **state)
{
	struct candidate candidate;
	(void)state;
	read_document(&candidate, whole);
	json_t *json = spec_to_json(&candidate.spec, false);
	char *text = json_dumps(json, 0);
	assert_null(strstr(text, KEY));
	assert_null(strstr(text, "\"password\":"));
	free(text);
	json_decref(json);
	candidate_clear(&candidate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a4_each_fault_has_its_place),         cmocka_unit_test(all_faults_at_once),
		cmocka_unit_test(faults_are_counted_past_the_most),    cmocka_unit_test(a_tunnel_is_not_its_own_peer),
		cmocka_unit_test(what_the_server_writes_is_ignored),   cmocka_unit_test(defaults_are_those_of_the_contract),
		cmocka_unit_test(a_mapped_name_server_is_an_ipv4_one), cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(secrets_are_not_written_unasked),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
