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

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define KEY2 "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static json_t *read_text(const char *text, size_t length, json_t **warnings, struct problem *problem)
{
	problem_init(problem);
	json_t *lines, *document = wgquick_to_document(text, length, warnings, &lines, problem);
	json_decref(lines);
	if (problem->code == PROBLEM_NONE)
		return document;
	json_decref(document); /* what of it can be judged */
	return NULL;
}

static void read_spec(const char *text, struct candidate *candidate, size_t warning_count)
{
	json_t *warnings;
	struct problem problem;
	json_t *document = read_text(text, strlen(text), &warnings, &problem);
	if (document == NULL)
		fail_msg("%s %s", problem.faults[0].pointer, problem.faults[0].detail);
	assert_int_equal(json_array_size(warnings), warning_count);
	candidate_init(candidate, SPEC_TUNNEL);
	candidate_read(candidate, document, "");
	candidate_complete(candidate, NULL);
	if (candidate->problem.code != PROBLEM_NONE)
		fail_msg("%s", candidate->problem.faults[0].pointer);
	json_decref(document);
	json_decref(warnings);
}

static void a_file_as_providers_give_it(void **state)
{
	struct candidate candidate;
	(void)state;
	read_spec("\xef\xbb\xbf# from the provider\r\n[Interface]\r\nPrivateKey = " KEY "\r\nAddress = 10.2.0.2/32, fd00::2/128\r\n"
	          "Address=fd00::3\r\nDNS = 10.2.0.1, example.org\r\nDNS = 10.2.0.3\r\nMTU=1380\r\nPostUp = iptables -A FORWARD; true # x\r\n"
	          "Table = off\r\nFwMark = 0x1\r\nSaveConfig = true\r\n\r\n[peer]\r\npublickey=" PEER " # a comment\r\n"
	          "AllowedIPs = 0.0.0.0/0\r\nAllowedIPs = ::/0, 10.0.0.0/8\r\nEndpoint = [2001:db8::1]:51820\r\nPersistentKeepalive = 25",
	          &candidate, 5);
	const struct spec *spec = &candidate.spec;
	assert_int_equal(spec->address_count, 3);
	assert_int_equal(spec->dns_count, 2);
	assert_int_equal(spec->mtu, 1380);
	assert_int_equal(spec->peer_count, 1);
	assert_int_equal(spec->peers[0].allowed_ip_count, 3);
	assert_string_equal(spec->peers[0].endpoint.host, "2001:db8::1");
	assert_int_equal(spec->peers[0].persistent_keepalive, 25);
	candidate_clear(&candidate);
}

static void warnings_have_lines(void **state)
{
	json_t *warnings;
	struct problem problem;
	(void)state;
	static const char text[] = "[Interface]\nPrivateKey=" KEY "\nAddress=10.0.0.2\nPostDown = x\n";
	json_t *document = read_text(text, strlen(text), &warnings, &problem);
	assert_non_null(document);
	json_t *warning = json_array_get(warnings, 0);
	assert_int_equal(json_integer_value(json_object_get(warning, "line")), 4);
	assert_string_equal(json_string_value(json_object_get(warning, "code")), "ignored_key");
	json_decref(document);
	json_decref(warnings);
}

static void assert_fault(const char *text, size_t length, const char *pointer)
{
	json_t *warnings;
	struct problem problem;
	json_t *document = read_text(text, length, &warnings, &problem);
	assert_null(document);
	bool found = pointer == NULL;
	for (size_t i = 0; i < problem.fault_count; i++)
		found |= pointer != NULL && strcmp(problem.faults[i].pointer, pointer) == 0;
	if (!found)
		fail_msg("no fault at %s", pointer);
	problem_clear(&problem);
	json_decref(warnings);
}

/* What a newcomer sends: there is one fault, and it says what is wrong. */
static void faults_say_what_is_wrong(void **state)
{
	static const struct {
		const char *text;
		size_t length; /* 0: of the string */
		const char *said;
	} cases[] = {
		{ "", 0, "The body is empty." },
		{ "[Interface]PrivateKey = " KEY "Address = 10.2.0.2", 0, "curl -d removes them" },
		{ "\xff\xfe[\0I\0n\0", 8, "save it as UTF-8" },
		{ "[Interface]\nAdress = 1\n", 0, "Unknown key Adress in [Interface]." },
		{ "[Interface]\n" KEY "\n", 0, "Unknown key in [Interface]." },
		{ "[Interface]\nMTU = 1500x\n", 0, "MTU: This must be a number from 0 to 9000." },
		{ "[Interface]\nAddress = 10.2.0.2/33\n", 0, "from 0 to 32" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = vpn.example\n", 0, "The port is missing" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = vpn.example:99999\n", 0, "The port must be" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = 2001:db8::1\n", 0, "needs brackets" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *warnings;
		struct problem problem;
		json_t *document = read_text(cases[i].text, cases[i].length == 0 ? strlen(cases[i].text) : cases[i].length, &warnings, &problem);
		assert_null(document);
		if (problem.fault_count != 1 || strstr(problem.faults[0].detail, cases[i].said) == NULL)
			fail_msg("%s: %zu: %s", cases[i].said, problem.fault_count, problem.faults[0].detail);
		json_decref(warnings);
		problem_clear(&problem);
	}
}

static void faults_have_lines(void **state)
{
	static const struct {
		const char *text, *pointer;
	} cases[] = {
		{ "", "/line/1" },
		{ "[Interface]\nColour = blue\n", "/line/2" },
		{ "[Interface]\nPrivateKey = x\n", "/line/2" },
		{ "[Interface]\n[Peer]\nEndpoint = 1.2.3.4\nPublicKey = " PEER, "/line/3" },
		{ "[Interface]\n\n[Peer]\n", "/line/3" },
		{ "[Interface]\nnonsense\n", "/line/2" },
		{ "[Wires]\n", "/line/1" },
		{ "PrivateKey = " KEY "\n[Interface]\n", "/line/1" },
		{ "[Interface]\nMTU = 99999\n", "/line/2" },
		{ "[Interface]\nMTU = -1\n", "/line/2" },
		{ "[Interface]\nMTU = 1 420\n", "/line/2" },
		{ "[Interface]\nPrivateKey =\n", "/line/2" },
		{ "[Interface]\nListenPort = no-such-service\n", "/line/2" },
		{ "[Interface]\nAddress = 10.0.0.2 x\n", "/line/2" },
		{ "[Interface]\nDNS = 10.2.0.1:53\n", "/line/2" },
		{ "[Interface]\n[Peer]\nPublicKey =\n", "/line/3" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nPresharedKey =\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = [2001:db8::1]51820\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = :51820\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = 192.0.2.1:0\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nEndpoint = 192.0.2.1:70000\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nAllowedIPs = 10.0.0.0/8 10.1.0.0/16\n", "/line/4" },
		{ "[Interface]\nAddress = 10.0.0.2/33\n", "/line/2" },
		{ "[Interface]\nDNS = 1.2.3\n", "/line/2" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nAllowedIPs = 10.0.0.0/8,\n", "/line/4" },
		{ "[Interface]\n[Peer]\nPublicKey = " PEER "\nPersistentKeepalive = on\n", "/line/4" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_fault(cases[i].text, strlen(cases[i].text), cases[i].pointer);
	assert_fault("[Interface]\nMTU = 14\0"
	             "20\n",
	             24, "/line/2");
	assert_fault("\xff\xfe", 2, NULL);
}

#define HEAD "[Interface]\nPrivateKey=" KEY "\nAddress=10.2.0.2\n"
#define PEER_HEAD HEAD "[Peer]\nPublicKey=" PEER "\n"

/* Each as the tools take it; tests/e2e/test_wgquick_files.py has their verdict. */
static void lists_and_empty_values_are_read_as_the_tools_read_them(void **state)
{
	static const struct {
		const char *text;
		size_t addresses, dns, warnings;
		unsigned mtu, listen_port;
	} cases[] = {
		{ HEAD "DNS = 1.1.1.1,\n", 1, 1, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = ,1.1.1.1,,9.9.9.9 ,\n", 1, 2, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = 1.1.1.1 9.9.9.9\t2620:fe::fe\n", 1, 3, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS =\n", 1, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = ,\n", 1, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = 10.2.0.1, ~.\n", 1, 1, 1, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = 10.2.0.1 ~corp .lan -x a_b b\xc3\xbc"
		       "cher\n",
		  1, 1, 5, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = 1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4 1.0.0.5 1.0.0.6 1.0.0.7 1.0.0.8 1.0.0.9\n", 1, 8, 1, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "Address = fd00::1 fd00::2/64\n", 3, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "Address = fd00::1,\nAddress =\n", 2, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "Address = 10.2.0.2/24, fd00::1/64 fd00::1\n", 2, 0, 2, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "DNS = 127.0.0.53, 10.2.0.1, ::1\n", 1, 1, 2, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "MTU =\n", 1, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "MTU = 1400\nmtu = 01380\n", 1, 0, 0, 1380, 0 },
		{ HEAD "ListenPort =\n", 1, 0, 0, SPEC_MTU_DEFAULT, 0 },
		{ HEAD "ListenPort = 051820\n", 1, 0, 0, SPEC_MTU_DEFAULT, 51820 },
		{ HEAD "Listen Port = 5 1820\n", 1, 0, 0, SPEC_MTU_DEFAULT, 51820 },
		{ HEAD "# caf\xe9\n", 1, 0, 0, SPEC_MTU_DEFAULT, 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		read_spec(cases[i].text, &candidate, cases[i].warnings);
		assert_int_equal(candidate.spec.address_count, cases[i].addresses);
		assert_int_equal(candidate.spec.dns_count, cases[i].dns);
		assert_int_equal(candidate.spec.mtu, cases[i].mtu);
		assert_int_equal(candidate.spec.listen_port, cases[i].listen_port);
		candidate_clear(&candidate);
	}
}

static void peers_are_read_as_the_tools_read_them(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port, keepalive;
		size_t networks;
	} cases[] = {
		{ PEER_HEAD "Endpoint = [2001:db8::1]:51820\n", "2001:db8::1", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = [192.0.2.1]:51820\n", "192.0.2.1", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = [vpn.example]:51820\n", "vpn.example", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = 192.0.2.1:051820\n", "192.0.2.1", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = 192.0.2.1 : 51820\n", "192.0.2.1", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = [ 2001:db8::1 ] : 51820\n", "2001:db8::1", 51820, 0, 0 },
		{ PEER_HEAD "Endpoint = 192.0.2.1:domain\n", "192.0.2.1", 53, 0, 0 },
		{ PEER_HEAD "Endpoint =\n", NULL, 0, 0, 0 },
		{ PEER_HEAD "PersistentKeepalive =\n", NULL, 0, 0, 0 },
		{ PEER_HEAD "PersistentKeepalive = 0025\n", NULL, 0, 25, 0 },
		{ PEER_HEAD "Persistent Keepalive = OFF\n", NULL, 0, 0, 0 },
		{ PEER_HEAD "AllowedIPs = 10.0.0.0/08, ::/00, 192.0.2.1\n", NULL, 0, 0, 3 },
		{ HEAD "[ Peer ]\nPublic Key = " PEER "\nAllowedIPs =\n", NULL, 0, 0, 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		read_spec(cases[i].text, &candidate, 0);
		const struct spec_peer *peer = &candidate.spec.peers[0];
		assert_int_equal(peer->endpoint.port, cases[i].port);
		if (cases[i].host != NULL)
			assert_string_equal(peer->endpoint.host, cases[i].host);
		else
			assert_int_equal(peer->endpoint.kind, SPEC_PLACE_NONE);
		assert_int_equal(peer->persistent_keepalive, cases[i].keepalive);
		assert_int_equal(peer->allowed_ip_count, cases[i].networks);
		candidate_clear(&candidate);
	}
}

static void peers_of_one_key_are_one_peer(void **state)
{
	struct candidate candidate;
	(void)state;
	read_spec(PEER_HEAD "AllowedIPs = 0.0.0.0/0\nEndpoint = 192.0.2.1:1\nPersistentKeepalive = 5\n[Peer]\nPublicKey = " KEY2
	                    "\n[Peer]\nAllowedIPs = ::/0\nPersistentKeepalive = 25\nPublicKey = " PEER "\n",
	          &candidate, 1);
	assert_int_equal(candidate.spec.peer_count, 2);
	assert_int_equal(candidate.spec.peers[0].allowed_ip_count, 2);
	assert_int_equal(candidate.spec.peers[0].endpoint.port, 1);
	assert_int_equal(candidate.spec.peers[0].persistent_keepalive, 25);
	candidate_clear(&candidate);
}

/* As getaddrinfo takes numbers; an IPv6 address without brackets may not be what was meant. */
static void endpoints_are_read_as_the_tools_read_them(void **state)
{
	static const struct {
		const char *endpoint, *host;
		size_t warnings;
	} cases[] = {
		{ "192.000.002.001:51820", "192.0.2.1", 0 },   { "10.1:51820", "10.0.0.1", 0 },
		{ "[2001:db8::1]:51820", "2001:db8::1", 0 },   { "2001:db8::1:51820", "2001:db8::1", 1 },
		{ "1.vpn.example:51820", "1.vpn.example", 0 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		char text[256];
		snprintf(text, sizeof(text), PEER_HEAD "AllowedIPs = 0.0.0.0/0\nEndpoint = %s\n", cases[i].endpoint);
		read_spec(text, &candidate, cases[i].warnings);
		assert_string_equal(candidate.spec.peers[0].endpoint.host, cases[i].host);
		assert_int_equal(candidate.spec.peers[0].endpoint.port, 51820);
		candidate_clear(&candidate);
	}
}

/* Absent: removed, as wg setconf has it. A file that was written without secrets says that it has left one out. */
static void a_missing_preshared_key_is_none(void **state)
{
	static const struct {
		const char *rest;
		size_t warnings;
		enum candidate_secret secret;
	} cases[] = {
		{ "", 0, CANDIDATE_SECRET_REMOVED },
		{ "# PresharedKey = none\n", 0, CANDIDATE_SECRET_REMOVED },
		{ "PresharedKey = " KEY "\n", 0, CANDIDATE_SECRET_SET },
		{ WGQUICK_PRESHARED_KEY_LEFT_OUT "\n", 0, CANDIDATE_SECRET_ABSENT },
		{ "PresharedKey = " KEY "\n[Peer]\nPublicKey=" PEER "\n", 1, CANDIDATE_SECRET_SET },
		{ "[Peer]\nPublicKey=" PEER "\nPresharedKey = " KEY "\n", 1, CANDIDATE_SECRET_SET },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		char text[512];
		snprintf(text, sizeof(text), PEER_HEAD "%s", cases[i].rest);
		read_spec(text, &candidate, cases[i].warnings);
		assert_int_equal(candidate.preshared_keys[0], cases[i].secret);
		candidate_clear(&candidate);
	}
}

static void keepalive_may_be_off(void **state)
{
	struct candidate candidate;
	(void)state;
	read_spec("[Interface]\nPrivateKey=" KEY "\nAddress=10.0.0.2\n[Peer]\nPublicKey=" PEER "\nAllowedIPs=\nPersistentKeepalive=off\n", &candidate,
	          0);
	assert_int_equal(candidate.spec.peers[0].persistent_keepalive, 0);
	assert_int_equal(candidate.spec.peers[0].allowed_ip_count, 0);
	candidate_clear(&candidate);
}

static void what_is_written_reads_back(void **state)
{
	struct candidate first, second;
	(void)state;
	read_spec("[Interface]\nPrivateKey=" KEY "\nAddress=10.0.0.2/24,fd00::1\nDNS=10.0.0.1\nListenPort=51820\n[Peer]\nPublicKey=" PEER
	          "\nPresharedKey=" KEY "\nAllowedIPs=0.0.0.0/0\nEndpoint=vpn.example:51820\n",
	          &first, 0);
	char *text = spec_to_wgquick(&first.spec, NULL, 0, true);
	read_spec(text, &second, 0);
	assert_true(spec_equal(&first.spec, &second.spec));
	free(text);
	text = spec_to_wgquick(&first.spec, NULL, 0, false);
	assert_null(strstr(text, KEY));
	free(text);
	candidate_clear(&first);
	candidate_clear(&second);
}

/* P1: else the copy's datagrams would leave from the host. */
static void the_outer_tunnel_is_kept(void **state)
{
	static const char *const lines[] = { "# warren: via = de-1", " #warren:via=de-1 \r", "#\twarren: via  =  de-1" };
	struct candidate first, second;
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[256];
		snprintf(text, sizeof(text), "[Interface]\nPrivateKey=" KEY "\nAddress=10.0.0.2\n%s\n", lines[i]);
		read_spec(text, &first, 0);
		assert_string_equal(first.spec.via, "de-1");
		char *written = spec_to_wgquick(&first.spec, NULL, 0, true);
		assert_non_null(strstr(written, "\n# warren: via = de-1\n"));
		read_spec(written, &second, 0);
		assert_true(spec_equal(&first.spec, &second.spec));
		free(written);
		candidate_clear(&first);
		candidate_clear(&second);
	}
}

/* P1: nor may one that is meant to go through another leave from the host because its name is missing. */
static void an_outer_tunnel_without_a_name_is_refused(void **state)
{
	static const char *const lines[] = { "# warren: via", "# warren: via =", "#warren:via \r" };
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[256];
		struct candidate candidate;
		struct problem problem;
		json_t *warnings;
		snprintf(text, sizeof(text), "[Interface]\nPrivateKey=" KEY "\nAddress=10.0.0.2\n%s\n", lines[i]);
		json_t *document = read_text(text, strlen(text), &warnings, &problem);
		candidate_init(&candidate, SPEC_TUNNEL);
		candidate_read(&candidate, document, "");
		assert_int_equal(candidate.problem.fault_count, 1);
		assert_string_equal(candidate.problem.faults[0].pointer, "/spec/interface/via");
		candidate_clear(&candidate);
		json_decref(document);
		json_decref(warnings);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_as_providers_give_it),
		cmocka_unit_test(warnings_have_lines),
		cmocka_unit_test(faults_have_lines),
		cmocka_unit_test(endpoints_are_read_as_the_tools_read_them),
		cmocka_unit_test(a_missing_preshared_key_is_none),
		cmocka_unit_test(faults_say_what_is_wrong),
		cmocka_unit_test(lists_and_empty_values_are_read_as_the_tools_read_them),
		cmocka_unit_test(peers_are_read_as_the_tools_read_them),
		cmocka_unit_test(peers_of_one_key_are_one_peer),
		cmocka_unit_test(keepalive_may_be_off),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(the_outer_tunnel_is_kept),
		cmocka_unit_test(an_outer_tunnel_without_a_name_is_refused),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
