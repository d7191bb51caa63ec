/* A3: bodies that are not valid JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_body.h"

static enum problem_code parse(const char *bytes, size_t length)
{
	struct problem problem;
	problem_init(&problem);
	json_t *document = api_json_body_parse(bytes, length, &problem);
	enum problem_code code = problem.code;
	assert_true((document == NULL) == (code != PROBLEM_NONE));
	assert_null(strstr(problem.detail, "secret"));
	json_decref(document);
	problem_clear(&problem);
	return code;
}

static void nest(char *out, size_t depth, char open, char close)
{
	memset(out, open, depth);
	memset(out + depth, close, depth);
}

static void a3_depth_is_bounded(void **state)
{
	(void)state;
	char text[5000];
	nest(text, DOCUMENT_DEPTH_MAX, '[', ']');
	assert_int_equal(parse(text, 2 * DOCUMENT_DEPTH_MAX), PROBLEM_NONE);
	nest(text, DOCUMENT_DEPTH_MAX + 1, '[', ']');
	assert_int_equal(parse(text, 2 * (DOCUMENT_DEPTH_MAX + 1)), PROBLEM_INVALID_JSON);
	nest(text, 2000, '{', '}');
	assert_int_equal(parse(text, 4000), PROBLEM_INVALID_JSON);
	/* Brackets in strings count for nothing, escaped quotes end no string. */
	static const char strings[] = "{\"a\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}";
	assert_int_equal(parse(strings, sizeof(strings) - 1), PROBLEM_NONE);
}

static void a3_mistakes_are_invalid_json(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"null",
		"\"secret\"",
		"12",
		"{\"secret\":1,\"secret\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}",
		"{\"a\":1e999}",
		"{\"a\":-1e999}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\\udc00\\ud800\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"\\u0000\":1}",
		"{\"a\":\"\xc0\xaf\"}",
		"{\"a\":01}",
		"{\"a\":+1}",
		"{'a':1}",
		"{\"a\":1,}",
		"{\"a\":NaN}",
		"{} {}",
		"{\"a\":\"secret\n\"}",
		"{\"a\":secret}",
		"\xef\xbb\xbf{}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse(bad[i], strlen(bad[i])) != PROBLEM_INVALID_JSON)
			fail_msg("%s", bad[i]);
	assert_int_equal(parse("{\0}", 3), PROBLEM_INVALID_JSON);
}

static void a_good_document_is_taken(void **state)
{
	(void)state;
	static const char good[] = "{\"a\":[1,2.5,true,null,\"secret\"],\"b\":{}}";
	assert_int_equal(parse(good, sizeof(good) - 1), PROBLEM_NONE);
}

static void unknown_members_are_faults(void **state)
{
	(void)state;
	static const char *const known[] = { "a", NULL };
	struct problem problem;
	problem_init(&problem);
	json_t *object = json_pack("{s:i, s:i}", "a", 1, "b/c~d", 2);
	api_json_body_check_members(object, "/x", known, &problem);
	assert_int_equal(problem.code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(problem.fault_count, 1);
	assert_string_equal(problem.faults[0].pointer, "/x/b~1c~0d");
	problem_clear(&problem);
	json_decref(object);
}

/* A name that is cut stays UTF-8. */
static void a_long_unknown_name_is_cut_between_characters(void **state)
{
	(void)state;
	static const char *const known[] = { NULL };
	struct problem problem;
	char name[1001] = "";
	for (size_t i = 0; i + 2 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa9", 3);
	problem_init(&problem);
	json_t *object = json_pack("{s:i}", name, 1);
	api_json_body_check_members(object, "/xy", known, &problem);
	assert_int_equal(problem.fault_count, 1);
	json_t *written = json_string(problem.faults[0].pointer);
	assert_non_null(written); /* jansson takes no other text */
	json_decref(written);
	problem_clear(&problem);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a3_depth_is_bounded),
		cmocka_unit_test(a3_mistakes_are_invalid_json),
		cmocka_unit_test(a_good_document_is_taken),
		cmocka_unit_test(unknown_members_are_faults),
		cmocka_unit_test(a_long_unknown_name_is_cut_between_characters),
	};
	return cmocka_run_group_tests_name("document", tests, NULL, NULL);
}
