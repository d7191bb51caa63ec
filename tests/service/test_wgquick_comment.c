/* Comment lines of wg-quick files that are for us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "service/spec/wgquick.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define HEAD "[Interface]\nPrivateKey = " KEY "\nAddress = 10.0.0.2/32\nMTU = 1420\n" /* as it is written */

/* Reads a file, and what it says as a tunnel. All faults are the file's. */
static void read_file(struct candidate *candidate, const char *text)
{
	json_t *warnings, *lines;
	struct problem problem;
	problem_init(&problem);
	json_t *document = wgquick_to_document(text, strlen(text), &warnings, &lines, &problem);
	candidate_init(candidate, SPEC_TUNNEL);
	problem_add_all(&candidate->problem, "", &problem);
	problem_clear(&problem);
	if (document != NULL) {
		candidate_read(candidate, document, "");
		candidate_complete(candidate, NULL);
	}
	wgquick_locate(lines, &candidate->problem);
	json_decref(document);
	json_decref(lines);
	json_decref(warnings);
}

static char *write_file(const struct candidate *candidate, bool secrets)
{
	return spec_to_wgquick(&candidate->spec, candidate->labels, candidate->label_count, secrets);
}

static void what_wgquick_has_no_word_for_comes_back(void **state)
{
	static const char file[] = HEAD "# warren: via = de-1\n# warren: obfuscation = lwo\n# warren: user = me:p:w=x #y\n# warren: user = you: p\n"
					"# warren: label = a=b=c\n# warren: label = d=\n# warren: listen = 127.0.0.1:1\n# warren: listen = [::1]:2\n";
	struct candidate candidate;
	(void)state;
	read_file(&candidate, file);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_string_equal(candidate.spec.users[0].username, "me");
	assert_string_equal(candidate.spec.users[0].password, "p:w=x #y");
	assert_string_equal(candidate.labels[0].value, "b=c");
	assert_int_equal(candidate.spec.listen[1].port, 2);
	char *written = write_file(&candidate, true);
	assert_string_equal(written, file);
	free(written);
	written = write_file(&candidate, false);
	assert_non_null(strstr(written, "\n# warren: user = me\n"));
	assert_null(strstr(written, "p:w"));
	free(written);
	candidate_clear(&candidate);
	read_file(&candidate, HEAD);
	written = write_file(&candidate, true);
	assert_string_equal(written, HEAD);
	free(written);
	candidate_clear(&candidate);
}

static void the_mark_is_found(void **state)
{
	static const char *const lines[] = { "# warren: via = x", "  #warren:via=x  \r", "#\tWarren : via  =  x" };
	struct candidate candidate;
	char text[256];
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s\n", lines[i]);
		read_file(&candidate, text);
		assert_string_equal(candidate.spec.via, "x");
		candidate_clear(&candidate);
	}
}

static void other_comments_are_none_of_ours(void **state)
{
	struct candidate candidate;
	(void)state;
	read_file(&candidate, HEAD "# warren is a daemon\n#\n\nListenPort = 1 # by warrend: no\n## warren: x\n# caf\xe9\n");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_int_equal(candidate.label_count + candidate.spec.user_count, 0);
	candidate_clear(&candidate);
}

/* Else a port that is meant to ask for a password would be open to everybody. */
static void a_comment_that_is_wrong_is_told_with_its_line(void **state)
{
	static const char *const wrong[] = {
		"# warren: label = a",
		"# warren: label = a b=c",
		"# warren: label = a=b\n# warren: label = a=c",
		"# warren: user = a",
		"# warren: user = :a",
		"# warren: user = a:b\n# warren: user = a:c",
		"# warren: lisen = a",
		"# warren: User = a:b",
		"# warren: viax = a",
		"# warren: via = No",
		"# warren: via",
		"# warren: via = a\n# warren: via = b",
		"# warren:",
		"# warren: listen",
		"# warren: listen = example.org:1",
		"# warren: user = a:\xe9",
		"MTU = 1400 # warren: user = a:b",
		"# warren: obfuscation = x",
		"# warren: obfuscation = lwo\n# warren: obfuscation = lwo",
		"# warren: obfuscation = lwo\nJc = 3",
		"Jc = 0\n# warren: obfuscation = lwo",
	};
	struct candidate candidate;
	char text[512], place[16];
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), HEAD "%s", wrong[i]);
		snprintf(place, sizeof(place), "/line/%d", strchr(wrong[i], '\n') == NULL ? 5 : 6);
		read_file(&candidate, text);
		if (candidate.problem.fault_count != 1 || strcmp(candidate.problem.faults[0].pointer, place) != 0)
			fail_msg("%s: %zu %s", wrong[i], candidate.problem.fault_count,
			         candidate.problem.fault_count > 0 ? candidate.problem.faults[0].pointer : "");
		candidate_clear(&candidate);
	}
}

/* The keys are known, so an unknown member is not what is wrong. */
static void keys_of_amneziawg_beside_lwo_are_a_conflict(void **state)
{
	static const char *const files[] = { HEAD "# warren: obfuscation = lwo\nJc = 3", HEAD "Jc = 3\n# warren: obfuscation = lwo" };
	struct candidate candidate;
	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		read_file(&candidate, files[i]);
		assert_int_equal(candidate.problem.fault_count, 1);
		assert_string_equal(candidate.problem.faults[0].code, "conflict");
		candidate_clear(&candidate);
	}
}

/* Blanks at the ends of a line's value would be cut. */
static void users_that_a_plain_line_cannot_hold_come_back(void **state)
{
	static const char *const users[][2] = { { " a", "b" }, { "a ", "b" }, { "a", "b " }, { "{\"username\"", "b" }, { "\"\\", " " } };
	(void)state;
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		struct candidate candidate, again;
		read_file(&candidate, HEAD "# warren: user = x:y");
		struct spec_user *user = &candidate.spec.users[0];
		free(user->username);
		free(user->password);
		user->username = strdup(users[i][0]);
		user->password = strdup(users[i][1]);
		for (unsigned secrets = 0; secrets < 2; secrets++) {
			char *written = write_file(&candidate, secrets != 0);
			read_file(&again, written);
			/* Without its password and the key, which are known where the tunnel is. */
			assert_int_equal(again.problem.fault_count, secrets == 0 ? 2 : 0);
			assert_string_equal(again.spec.users[0].username, users[i][0]);
			if (secrets != 0)
				assert_string_equal(again.spec.users[0].password, users[i][1]);
			free(written);
			candidate_clear(&again);
		}
		candidate_clear(&candidate);
	}
}

/* What is no user in JSON is a name and a password. */
static void a_name_may_begin_like_json(void **state)
{
	struct candidate candidate;
	(void)state;
	read_file(&candidate, HEAD "# warren: user = {x:y\n# warren: user = {\"a\":1}");
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_string_equal(candidate.spec.users[0].username, "{x");
	assert_string_equal(candidate.spec.users[1].username, "{\"a\"");
	candidate_clear(&candidate);
}

/* A blank at its end would be cut, and the tunnel have another label: where it is kept, it stays as it is. */
static void a_label_that_a_line_cannot_hold_is_left_out(void **state)
{
	struct candidate candidate;
	(void)state;
	read_file(&candidate, HEAD "# warren: label = a= b\n# warren: label = c=d");
	free(candidate.labels[1].value);
	candidate.labels[1].value = strdup("d ");
	char *written = write_file(&candidate, true);
	candidate_clear(&candidate);
	assert_string_equal(written, HEAD "# warren: label = a= b\n# Label c is left out: its value ends with a blank\n");
	read_file(&candidate, written);
	assert_int_equal(candidate.problem.code, PROBLEM_NONE);
	assert_int_equal(candidate.label_count, 1);
	free(written);
	candidate_clear(&candidate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_wgquick_has_no_word_for_comes_back),
		cmocka_unit_test(the_mark_is_found),
		cmocka_unit_test(other_comments_are_none_of_ours),
		cmocka_unit_test(a_comment_that_is_wrong_is_told_with_its_line),
		cmocka_unit_test(keys_of_amneziawg_beside_lwo_are_a_conflict),
		cmocka_unit_test(users_that_a_plain_line_cannot_hold_come_back),
		cmocka_unit_test(a_name_may_begin_like_json),
		cmocka_unit_test(a_label_that_a_line_cannot_hold_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
