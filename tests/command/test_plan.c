#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/plan.h"

static json_t *read_json(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	assert_non_null(json);
	return json;
}

static void expect(const char *before_text, const char *after_text, const char *differences)
{
	json_t *before = read_json(before_text), *after = read_json(after_text), *list = plan_differences(before, after);
	char *text = json_dumps(list, JSON_COMPACT);
	assert_string_equal(text, differences);
	free(text);
	json_decref(list);
	json_decref(after);
	json_decref(before);
}

static void differences_name_the_members(void **state)
{
	(void)state;
	expect("{\"labels\":{},\"spec\":{\"a\":1}}", "{\"labels\":{},\"spec\":{\"a\":1}}", "[]");
	expect("{\"spec\":{\"a\":{\"b\":1,\"c\":2}}}", "{\"spec\":{\"a\":{\"b\":3,\"c\":2}}}", "[[\"a.b\",1,3]]");
	expect("{\"spec\":{\"a\":null}}", "{\"spec\":{\"a\":{\"x\":1}}}", "[[\"a\",null,{\"x\":1}]]");
	expect("{\"labels\":{\"x\":\"1\"},\"spec\":{}}", "{\"labels\":{\"y\":\"2\"},\"spec\":{}}",
	       "[[\"labels.x\",\"1\",null],[\"labels.y\",null,\"2\"]]");
	expect("{\"spec\":{\"l\":[\"a\"]}}", "{\"spec\":{\"l\":[\"a\",\"b\"]}}", "[[\"l\",[\"a\"],[\"a\",\"b\"]]]");
	expect("{\"spec\":{\"p\":[{\"k\":1,\"e\":2}]}}", "{\"spec\":{\"p\":[{\"k\":1,\"e\":3}]}}", "[[\"p.0.e\",2,3]]");
	/* What the daemon alone writes is no difference. */
	expect("{\"etag\":\"1\",\"spec\":{},\"status\":{\"state\":\"up\"}}", "{\"etag\":\"2\",\"spec\":{},\"status\":{}}", "[]");
}

/* A plan that creates a, changes b and the secret of c, keeps d and deletes e. */
static void make(struct plan *plan)
{
	static const struct {
		const char *before, *after;
	} pairs[] = {
		{ NULL, "{\"id\":\"a\",\"applied\":\"created\",\"spec\":{}}" },
		{ "{\"id\":\"b\",\"etag\":\"2\",\"spec\":{\"n\":1}}", "{\"id\":\"b\",\"applied\":\"restarted\",\"spec\":{\"n\":\"\\u001b[31m\"}}" },
		{ "{\"id\":\"c\",\"etag\":\"3\",\"spec\":{}}", "{\"id\":\"c\",\"applied\":\"in_place\",\"spec\":{}}" },
		{ "{\"id\":\"d\",\"etag\":\"4\",\"spec\":{}}", "{\"id\":\"d\",\"applied\":\"unchanged\",\"spec\":{}}" },
	};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		json_t *before = pairs[i].before != NULL ? read_json(pairs[i].before) : NULL, *after = read_json(pairs[i].after);
		plan_add(plan, "tunnel", i, before, after);
		json_decref(before);
		json_decref(after);
	}
	json_t *present = read_json("[{\"id\":\"b\"},{\"id\":\"e\",\"etag\":\"5\"},{\"id\":\"f\",\"origin\":\"file\"}]");
	plan_prune(plan, "tunnel", present);
	json_decref(present);
}

static void the_plan_is_shown(void **state)
{
	(void)state;
	struct plan plan = { 0 };
	char *text = NULL;
	size_t length;
	make(&plan);
	FILE *to = open_memstream(&text, &length);
	plan_write(&plan, to, false);
	fclose(to);
	assert_string_equal(text, "+ create tunnel a\n"
	                          "~ change tunnel b (restarts it)\n    n: 1 -> \"\\u001B[31m\"\n"
	                          "~ change tunnel c\n    a key or a password\n"
	                          "- delete tunnel e\n"
	                          "1 to create, 2 to change, 1 to delete, 1 unchanged\n");
	assert_string_equal(plan.items[1].etag, "2");
	assert_int_equal(plan_count(&plan, PLAN_DELETE), 1);
	free(text);
	plan_clear(&plan);
}

static void the_plan_is_told_as_json(void **state)
{
	(void)state;
	struct plan plan = { 0 };
	make(&plan);
	json_t *json = plan_json(&plan);
	char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"created\":[\"a\"],\"changed\":[{\"id\":\"b\",\"members\":[\"n\"]},{\"id\":\"c\",\"members\":[]}],"
	                          "\"unchanged\":[\"d\"],\"deleted\":[\"e\"]}");
	free(text);
	json_decref(json);
	plan_clear(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(differences_name_the_members),
		cmocka_unit_test(the_plan_is_shown),
		cmocka_unit_test(the_plan_is_told_as_json),
	};
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
