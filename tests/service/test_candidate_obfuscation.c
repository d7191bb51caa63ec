/* interface.obfuscation, reserved bytes and ranges of keepalives: as JSON, and in the files that users bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "service/spec/spec_json.h"
#include "service/spec/wgquick.h"
#include "tests/service/quoted_json.h"
#include "tests/vectors.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define HEADER_KEY "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8="
#define AWG(members) "{'type':'amneziawg'" members "}"
#define TWELVE ",'s1':12,'s2':12,'s3':12,'s4':12"

/* A document with this obfuscation (a reference that is taken) and these members of the peer. */
static json_t *document_with(json_t *obfuscation, json_t *peer)
{
	json_object_update_missing_new(peer, json_pack("{s:s}", "public_key", PEER));
	return json_pack("{s:{s:{s:s, s:[s], s:o}, s:[o]}}", "spec", "interface", "private_key", KEY, "addresses", "10.2.0.2", "obfuscation",
	                 obfuscation, "peers", peer);
}

static void read_document(struct candidate *candidate, json_t *document, const struct spec *previous)
{
	candidate_init(candidate, SPEC_TUNNEL);
	candidate_read(candidate, document, "");
	candidate_complete(candidate, previous);
	json_decref(document);
}

static void read_quoted(struct candidate *candidate, const char *obfuscation, const char *peer, const struct spec *previous)
{
	read_document(candidate, document_with(quoted_json(obfuscation), quoted_json(peer)), previous);
}

static const struct {
	const char *obfuscation, *peer, *pointer, *code; /* NULL: it is taken */
} cases[] = {
	{ "null", "{}", NULL, NULL },
	{ "{'type':'lwo'}", "{}", NULL, NULL },
	{ AWG(""), "{}", NULL, NULL },
	{ AWG(",'h1':'5-10','h2':11,'h3':30,'h4':'4294967295'"), "{}", NULL, NULL },
	{ AWG(",'i1':''"), "{}", NULL, NULL },
	{ AWG(TWELVE ",'header_protection_key':'" HEADER_KEY "'"), "{}", NULL, NULL },
	{ AWG(",'jc':4,'jmin':40,'jmax':70"), "{'reserved':[1,2,3]}", NULL, NULL },
	{ AWG(",'rekey_timeout':0,'content_padding_addition':'0-64'"), "{}", NULL, NULL },
	{ "null", "{'reserved':[35,74,190],'persistent_keepalive':'25-35'}", NULL, NULL },
	{ "{}", "{}", "obfuscation/type", "required" },
	{ "{'type':'xor'}", "{}", "obfuscation/type", "invalid_value" },
	{ "{'type':'lwo','jc':1}", "{}", "obfuscation/jc", "unknown_member" },
	{ AWG(",'j1':'<b 0x01>'"), "{}", "obfuscation/j1", "unknown_member" },
	{ AWG(",'h2':'1'"), "{}", "obfuscation/h2", "overlap" },
	{ AWG(",'h1':2"), "{}", "obfuscation/h1", "overlap" },
	{ AWG(",'h1':'10-5'"), "{}", "obfuscation/h1", "invalid_range" },
	{ AWG(",'h1':'0x10'"), "{}", "obfuscation/h1", "invalid_range" },
	{ AWG(",'h1':''"), "{}", "obfuscation/h1", "invalid_range" },
	{ AWG(",'h1':'4294967296'"), "{}", "obfuscation/h1", "invalid_range" },
	{ AWG(",'jc':129,'jmax':10"), "{}", "obfuscation/jc", "out_of_range" },
	{ AWG(",'jc':3"), "{}", "obfuscation/jmax", "required" },
	{ AWG(",'jmin':70,'jmax':40"), "{}", "obfuscation/jmax", "out_of_range" },
	{ AWG(",'jmax':1281"), "{}", "obfuscation/jmax", "out_of_range" },
	{ AWG(",'s1':1133"), "{}", "obfuscation/s1", "out_of_range" },
	{ AWG(",'s2':1189"), "{}", "obfuscation/s2", "out_of_range" },
	{ AWG(",'s3':1217"), "{}", "obfuscation/s3", "out_of_range" },
	{ AWG(",'s1':16,'s2':16,'s4':16,'header_protection_key':'" HEADER_KEY "'"), "{}", "obfuscation/s3", "out_of_range" },
	{ AWG(TWELVE ",'header_protection_key':'QEFC'"), "{}", "obfuscation/header_protection_key", "invalid_key" },
	{ AWG(",'rekey_after_time':'0-5'"), "{}", "obfuscation/rekey_after_time", "out_of_range" },
	{ AWG(",'rekey_timeout':'0-5'"), "{}", "obfuscation/rekey_timeout", "out_of_range" },
	{ AWG(",'rekey_timeout':'0-65536'"), "{}", "obfuscation/rekey_timeout", "invalid_range" },
	{ AWG(",'reject_after_time':'0-5'"), "{}", "obfuscation/reject_after_time", "out_of_range" },
	{ AWG(",'keepalive_timeout':'0-5'"), "{}", "obfuscation/keepalive_timeout", "out_of_range" },
	{ AWG(",'max_handshake_attempts':'0-5'"), "{}", "obfuscation/max_handshake_attempts", "out_of_range" },
	{ AWG(",'i1':'<c>'"), "{}", "obfuscation/i1", "invalid_signature" },
	{ AWG(",'i2':'<r 1281>'"), "{}", "obfuscation/i2", "invalid_signature" },
	{ AWG(",'i3':'<r 4>#'"), "{}", "obfuscation/i3", "invalid_signature" },
	{ AWG(",'i4':'plain text'"), "{}", "obfuscation/i4", "invalid_signature" },
	{ AWG(",'random_trailers':1"), "{}", "obfuscation/random_trailers", "wrong_type" },
	{ "{'type':'lwo'}", "{'reserved':[1,2,3]}", "peers/0/reserved", "conflict" },
	{ AWG(",'s4':1"), "{'reserved':[1,2,3]}", "peers/0/reserved", "conflict" },
	{ "null", "{'reserved':[1,2]}", "peers/0/reserved", "invalid_value" },
	{ "null", "{'reserved':[1,2,256]}", "peers/0/reserved", "invalid_value" },
	{ "null", "{'persistent_keepalive':'0-5'}", "peers/0/persistent_keepalive", "out_of_range" },
	{ "null", "{'persistent_keepalive':'9-5'}", "peers/0/persistent_keepalive", "invalid_range" },
};

static void each_rule_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct candidate candidate;
		read_quoted(&candidate, cases[i].obfuscation, cases[i].peer, NULL);
		if (cases[i].pointer == NULL) {
			assert_int_equal(candidate.problem.code, PROBLEM_NONE);
		} else {
			assert_int_equal(candidate.problem.fault_count, 1);
			assert_non_null(strstr(candidate.problem.faults[0].pointer, cases[i].pointer));
			assert_string_equal(candidate.problem.faults[0].code, cases[i].code);
		}
		candidate_clear(&candidate);
	}
}

static bool writes(const struct candidate *candidate, const char *part)
{
	json_t *json = spec_to_json(&candidate->spec, false);
	char *text = json_dumps(json, JSON_COMPACT);
	bool has = strstr(text, part) != NULL;
	free(text);
	json_decref(json);
	return has;
}

/* What is written without secrets and read again is the same, with the key that it leaves out. */
static void the_header_key_is_write_only(void **state)
{
	struct candidate first, second;
	(void)state;
	read_quoted(&first, AWG(TWELVE ",'h1':'100-200','i5':'<t>','header_protection_key':'" HEADER_KEY "'"), "{'persistent_keepalive':'25-35'}",
	            NULL);
	assert_false(writes(&first, HEADER_KEY));
	assert_true(writes(&first, "\"header_protection_key_set\":true"));
	assert_true(writes(&first, "\"persistent_keepalive\":\"25-35\""));
	json_t *written = json_pack("{s:o}", "spec", spec_to_json(&first.spec, false));
	read_document(&second, written, &first.spec);
	assert_int_equal(second.problem.code, PROBLEM_NONE);
	assert_true(spec_equal(&first.spec, &second.spec));
	candidate_clear(&second);
	/* null removes it. */
	read_quoted(&second, AWG(TWELVE ",'header_protection_key':null"), "{}", &first.spec);
	assert_true(writes(&second, "\"header_protection_key_set\":false"));
	candidate_clear(&second);
	/* One that is in the way was not written: this is told. */
	read_quoted(&second, AWG(",'s1':86,'s2':34"), "{}", &first.spec);
	assert_int_equal(second.problem.fault_count, 2);
	assert_string_equal(second.problem.faults[0].pointer, "/spec/interface/obfuscation/s3");
	assert_string_equal(
	    second.problem.faults[0].detail,
	    "With the key of header protection that is kept, s1 to s4 must be at least 12; \"header_protection_key\": null removes it.");
	candidate_clear(&second);
	candidate_clear(&first);
}

static void read_file(struct candidate *candidate, const char *text, const struct spec *previous, struct problem *problem)
{
	json_t *warnings, *lines;
	problem_init(problem);
	json_t *document = wgquick_to_document(text, strlen(text), &warnings, &lines, problem);
	candidate_init(candidate, SPEC_TUNNEL);
	if (document != NULL && problem->code == PROBLEM_NONE)
		read_document(candidate, document, previous);
	else
		json_decref(document);
	wgquick_locate(lines, &candidate->problem);
	json_decref(lines);
	json_decref(warnings);
}

/* A file that is imported, written and imported again is the same tunnel; without secrets, too, where the tunnel was. */
static void comes_back(const struct candidate *candidate)
{
	for (unsigned secrets = 0; secrets < 2; secrets++) {
		struct candidate again;
		struct problem problem;
		char *text = spec_to_wgquick(&candidate->spec, NULL, 0, secrets != 0);
		read_file(&again, text, secrets != 0 ? NULL : &candidate->spec, &problem);
		assert_int_equal(problem.code, PROBLEM_NONE);
		assert_int_equal(again.problem.code, PROBLEM_NONE);
		assert_true(spec_equal(&candidate->spec, &again.spec));
		candidate_clear(&again);
		problem_clear(&problem);
		free(text);
	}
}

#define FILE_WITH(lines, peer)                                                                                                                       \
	"[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2/32\n" lines "[Peer]\nPublicKey = " PEER "\nAllowedIPs = 0.0.0.0/0\n" peer

static void a_file_says_all_of_it(void **state)
{
	struct candidate candidate;
	struct problem problem;
	(void)state;
	read_file(&candidate,
	          FILE_WITH("JC = 5 # five\nJmin = 10\njmax=50\nS1 = 72\nS2 = 56\nS3 = 32\nS4 = 16\nH1 = 134567 - 245678\nH2=3456789\nI1 = <r 2><t>\n"
	                    "I2 =\nHeaderProtectionKey = " HEADER_KEY "\nContentPaddingAddition = 1-64\nRandomTrailers = On\nDisableCookies = 1\n"
	                    "RekeyAfterTime = 100-120\n",
	                    "PersistentKeepalive = 25-35\n"),
	          NULL, &problem);
	assert_int_equal(problem.code, PROBLEM_NONE);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	const struct obfuscation *obfuscation = candidate.spec.obfuscation;
	assert_int_equal(obfuscation->junk_count, 5);
	assert_int_equal(obfuscation->message_types[0].high, 245678);
	assert_string_equal(obfuscation->signatures[0], "<r 2><t>");
	assert_null(obfuscation->signatures[1]);
	assert_true(obfuscation_has_header_key(obfuscation) && obfuscation->random_trailers && obfuscation->disable_cookies);
	assert_int_equal(candidate.spec.peers[0].persistent_keepalive_most, 35);
	comes_back(&candidate);
	candidate_clear(&candidate);
	static const char *const reserved[] = { FILE_WITH("Jc = 4\nJmin = 40\nJmax = 70\n", "Reserved = 35, 74, 190\n"),
		                                FILE_WITH("Jc = 4\nJmin = 40\nJmax = 70\n", "Reserved = [35,74,190]\n"),
		                                FILE_WITH("Jc = 4\nJmin = 40\nJmax = 70\n", "Reserved = I0q+\n") };
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		read_file(&candidate, reserved[i], NULL, &problem);
		assert_int_equal(candidate.problem.code, PROBLEM_NONE);
		assert_memory_equal(candidate.spec.peers[0].reserved, "\x23\x4a\xbe", 3);
		comes_back(&candidate);
		candidate_clear(&candidate);
	}
}

/* The value of a UAPI member as a document has it. */
static json_t *value_of(const struct obfuscation_field *field, const char *text)
{
	unsigned char bytes[64];
	char base64[128];
	size_t length = 0;
	char *end;
	long number = strtol(text, &end, 10);
	switch (field->value) {
	case OBFUSCATION_NUMBER: return *end == '\0' && *text != '\0' ? json_integer(number) : json_string(text);
	case OBFUSCATION_SWITCH: return strcmp(text, "1") == 0 ? json_true() : strcmp(text, "0") == 0 ? json_false() : json_string(text);
	case OBFUSCATION_KEY:
		if (sodium_hex2bin(bytes, sizeof(bytes), text, strlen(text), NULL, &length, NULL) == 0 && length * 2 == strlen(text))
			return json_string(sodium_bin2base64(base64, sizeof(base64), bytes, length, sodium_base64_VARIANT_ORIGINAL));
		return json_string(text);
	case OBFUSCATION_RANGE:
	case OBFUSCATION_TEXT: break;
	}
	return json_string(text);
}

static void add_line(json_t *obfuscation, json_t *peer, const char *line)
{
	char name[64];
	const char *equals = strchr(line, '=');
	snprintf(name, sizeof(name), "%.*s", (int)(equals - line), line);
	if (strcmp(name, "persistent_keepalive_interval") == 0)
		json_object_set_new(peer, "persistent_keepalive", json_string(equals + 1));
	for (size_t i = 0; i < obfuscation_field_count; i++)
		if (strcmp(obfuscation_fields[i].member, name) == 0)
			json_object_set_new(obfuscation, name, value_of(&obfuscation_fields[i], equals + 1));
	if (strcmp(name, "persistent_keepalive_interval") != 0 && json_object_get(obfuscation, name) == NULL)
		json_object_set_new(obfuscation, name, json_string(equals + 1));
}

static void sets_of_parameters(void **state)
{
	json_t *root = vectors_load("obfuscation/awg-parameters.json"), *set, *line;
	size_t s, l;
	(void)state;
	json_array_foreach (json_object_get(root, "sets"), s, set) {
		const char *should = json_string_value(json_object_get(set, "should"));
		json_t *obfuscation = json_pack("{s:s}", "type", "amneziawg"), *peer = json_object();
		struct candidate candidate;
		json_array_foreach (json_object_get(set, "lines"), l, line)
			add_line(obfuscation, peer, json_string_value(line));
		/* Whether a key is one is asked with the padding that it needs. */
		if (json_object_get(obfuscation, "header_protection_key") != NULL)
			json_object_update_missing_new(obfuscation, quoted_json("{'s1':12,'s2':12,'s3':12,'s4':12}"));
		read_document(&candidate, document_with(obfuscation, peer), NULL);
		bool is_taken = candidate.problem.code == PROBLEM_NONE;
		/* What only files may say is refused in JSON. */
		bool should_take = (strncmp(should, "accept", 6) == 0 && strstr(should, "in a file") == NULL) || strcmp(should, "warn") == 0;
		if (is_taken != should_take)
			fail_msg("%s: %s", json_string_value(json_object_get(set, "what")), should);
		candidate_clear(&candidate);
	}
	assert_int_equal(s, 46);
	json_decref(root);
}

/* Whether the fault is at a line and names this key, as files spell it. */
static bool is_at(const struct problem_fault *fault, const char *key)
{
	return strncmp(fault->pointer, "/line/", strlen("/line/")) == 0 && strstr(fault->detail, key) != NULL;
}

static void has_parameters(const struct spec *spec, const json_t *expected)
{
	json_t *json = spec_to_json(spec, true), *walked = json_incref((json_t *)(uintptr_t)expected), *value;
	const json_t *obfuscation = json_object_get(json_object_get(json, "interface"), "obfuscation");
	const char *name;
	json_object_foreach (walked, name, value) {
		const json_t *found = json_object_get(obfuscation, name);
		/* A default is left out. */
		bool is_default = json_is_integer(value) ? json_integer_value(value) == 0
		                                         : name[0] == 'h' && json_is_string(value) && strcmp(json_string_value(value), name + 1) == 0;
		assert_true(is_default ? found == NULL : json_equal(found, value));
	}
	json_decref(walked);
	json_decref(json);
}

/* Programs of Amnezia take a file for theirs only if it has all keys of version 1.0. */
static void has_first_keys(const struct spec *spec)
{
	static const char *const keys[] = { "\nJc = ", "\nJmin = ", "\nJmax = ", "\nS1 = ", "\nS2 = ", "\nH1 = ", "\nH2 = ", "\nH3 = ", "\nH4 = " };
	char *written = spec_to_wgquick(spec, NULL, 0, true);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(strstr(written, keys[i]));
	free(written);
}

/* What is written has the file's own lines, so that whatever read the file reads it. */
static void keeps_lines(const struct spec *spec, const char *file)
{
	char *written = spec_to_wgquick(spec, NULL, 0, true);
	for (size_t i = 0; i < obfuscation_field_count; i++) {
		char begin[64];
		snprintf(begin, sizeof(begin), "\n%s = ", obfuscation_fields[i].key);
		const char *line = strstr(file, begin);
		if (line == NULL || obfuscation_is_default(spec->obfuscation, &obfuscation_fields[i]))
			continue;
		char *whole = strndup(line, 1 + strcspn(line + 1, "\n") + 1);
		assert_non_null(strstr(written, whole));
		free(whole);
	}
	free(written);
}

static void files_that_users_bring(void **state)
{
	json_t *root = vectors_load("obfuscation/configurations.json"), *file, *key;
	size_t f, k;
	(void)state;
	json_array_foreach (json_object_get(root, "files"), f, file) {
		const char *text = json_string_value(json_object_get(file, "text"));
		const json_t *refused = json_object_get(file, "refused");
		struct candidate candidate;
		struct problem problem;
		read_file(&candidate, text, NULL, &problem);
		const struct problem *found = problem.code != PROBLEM_NONE ? &problem : &candidate.problem;
		assert_int_equal(found->fault_count, json_array_size(refused));
		json_array_foreach (refused, k, key)
			if (!is_at(&found->faults[k], json_string_value(key)))
				fail_msg("%s: %s %s", json_string_value(key), found->faults[k].pointer, found->faults[k].detail);
		if (refused == NULL) {
			has_parameters(&candidate.spec, json_object_get(file, "amneziawg"));
			comes_back(&candidate);
			keeps_lines(&candidate.spec, text);
			has_first_keys(&candidate.spec);
		}
		candidate_clear(&candidate);
		problem_clear(&problem);
	}
	assert_int_equal(f, 10);
	json_decref(root);
}

#define RESERVED "Reserved: This must be three numbers from 0 to 255, with commas between them, or three bytes in base64."

/* Ranges and conditions, too, are told where they are written, in the words of files. */
static void what_is_wrong_in_a_file_is_told_there(void **state)
{
	static const struct {
		const char *lines, *pointer, *detail;
	} faults[] = {
		{ "Jc = 129\n", "/line/4", "Jc: This must be a number from 0 to 128." },
		{ "Jc = x\n", "/line/4", "Jc: This must be a number from 0 to 128." },
		{ "jmin = 10\njc = 3\njMAX = 5\n", "/line/6", "Jmax: jmax must not be less than jmin." },
		{ "S1 = 0\nJc = 3\n", "/line/4", "Jmax: Junk needs a size: jmin and jmax." },
		{ "S1 = 1133\n", "/line/4", "S1: This must be a number from 0 to 1132." },
		{ "H1 = 5-10\nH2 = 10-12\n", "/line/5", "H2: h1 to h4 must not overlap; one that is left out has its number." },
		{ "H1 = 10-5\n", "/line/4", "H1: This must be a number, or a range such as 5-10, from 0 to 4294967295." },
		{ "S1 = 20\nS2 = 20\nS4 = 20\nHeaderProtectionKey = " KEY "\n", "/line/4",
		  "S3: With a key of header protection s1 to s4 must be at least 12." },
		{ "[Peer]\nPublicKey = " PEER "\nReserved = 1, 2\n", "/line/6", RESERVED },
		{ "[Peer]\nPublicKey = " PEER "\nReserved = 1, 2, 3, 4\n", "/line/6", RESERVED },
		{ "[Peer]\nPublicKey = " PEER "\nReserved = 1, 2, 256\n", "/line/6", RESERVED },
		{ "[Peer]\nPublicKey = " PEER "\nReserved = [1, 2\n", "/line/6", RESERVED },
		{ "[Peer]\nPublicKey = " PEER "\nReserved = I0q\n", "/line/6", RESERVED },
		{ "S1 = 20\n[Peer]\nPublicKey = " PEER "\nReserved = 1, 2, 3\n", "/line/7", "Reserved: " CANDIDATE_RESERVED_CONFLICT },
		{ "MTU = 9001\n", "/line/4", "MTU: This must be a number from 0 to 9000." },
		{ "MTU = 100\n", "/line/4", "MTU: This must be from 576 to 9000." },
		{ "[Peer]\nPublicKey = " KEY "x\n", "/line/5", "PublicKey: A key must be 32 bytes in base64: 44 characters, the last one =." },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct candidate candidate;
		struct problem problem;
		char text[512];
		snprintf(text, sizeof(text), "[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2/32\n%s", faults[i].lines);
		read_file(&candidate, text, NULL, &problem);
		const struct problem *found = problem.code != PROBLEM_NONE ? &problem : &candidate.problem;
		assert_true(found->fault_count > 0);
		assert_string_equal(found->faults[0].detail, faults[i].detail);
		assert_string_equal(found->faults[0].pointer, faults[i].pointer);
		candidate_clear(&candidate);
		problem_clear(&problem);
	}
}

/* What awg takes is taken with the same value; an empty I is none, as the app writes it. */
static void lines_that_users_bring(void **state)
{
	json_t *root = vectors_load("obfuscation/configurations.json"), *line;
	size_t l;
	(void)state;
	json_array_foreach (json_object_get(root, "lines"), l, line) {
		char text[512];
		struct candidate candidate;
		struct problem problem;
		const char *tool = json_string_value(json_object_get(line, "awg_tool"));
		snprintf(text, sizeof(text), FILE_WITH("Jmax = 9\n%s\n", ""), json_string_value(json_object_get(line, "text")));
		read_file(&candidate, text, NULL, &problem);
		bool is_taken = problem.code == PROBLEM_NONE && candidate.problem.code == PROBLEM_NONE;
		/* A blank before the key changes nothing for us, and an empty value is none. */
		bool should_take = strncmp(tool, "refused", 7) != 0 || strchr(tool, '(') != NULL;
		if (is_taken != should_take)
			fail_msg("%s: %s", json_string_value(json_object_get(line, "text")), tool);
		candidate_clear(&candidate);
		problem_clear(&problem);
	}
	assert_int_equal(l, 16);
	json_decref(root);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_is_kept),
		cmocka_unit_test(the_header_key_is_write_only),
		cmocka_unit_test(a_file_says_all_of_it),
		cmocka_unit_test(sets_of_parameters),
		cmocka_unit_test(what_is_wrong_in_a_file_is_told_there),
		cmocka_unit_test(files_that_users_bring),
		cmocka_unit_test(lines_that_users_bring),
	};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
