/* The OpenAPI document and the route table agree: neither has a path or method that the other lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/page.h"
#include "api/route.h"
#include "service/service.h"
#include "service/spec/problem.h"

static json_t *document;

static int load(void **state)
{
	(void)state;
	const struct api_file *file = api_page_find("/openapi.json");
	document = json_loadb((const char *)file->bytes, file->length, JSON_REJECT_DUPLICATES, NULL);
	return document != NULL ? 0 : -1;
}

static int unload(void **state)
{
	(void)state;
	json_decref(document);
	return 0;
}

static void lower(const char *method, char out[16])
{
	size_t at = 0;
	for (; method[at] && at < 15; at++)
		out[at] = (char)tolower((unsigned char)method[at]);
	out[at] = '\0';
}

static void every_route_is_documented(void **state)
{
	(void)state;
	for (size_t i = 0; i < api_route_count(); i++) {
		const struct api_route *route = api_route_at(i);
		char method[16];
		lower(route->method, method);
		json_t *operation = json_object_get(json_object_get(json_object_get(document, "paths"), route->path), method);
		if (operation == NULL)
			fail_msg("%s %s is not documented", route->method, route->path);
		/* What takes no token says so. */
		json_t *security = json_object_get(operation, "security");
		assert_int_equal(route->scope == SCOPE_NONE, json_is_array(security) && json_array_size(security) == 0);
		assert_int_equal((route->body & (API_BODY_JSON | API_BODY_MERGE | API_BODY_WGQUICK)) != 0 && route->operation != OPERATION_RECONNECT,
		                 json_object_get(operation, "requestBody") != NULL);
	}
}

static bool is_served(const char *path, const char *method)
{
	for (size_t i = 0; i < api_route_count(); i++) {
		char served[16];
		lower(api_route_at(i)->method, served);
		if (strcmp(api_route_at(i)->path, path) == 0 && (strcmp(served, method) == 0 || strcmp(method, "head") == 0))
			return true;
	}
	return false;
}

static void every_documented_operation_is_served(void **state)
{
	(void)state;
	const char *path, *method;
	json_t *item, *operation;
	json_object_foreach (json_object_get(document, "paths"), path, item)
		json_object_foreach (item, method, operation)
			if (strcmp(method, "parameters") != 0 && !is_served(path, method))
				fail_msg("%s %s is not served", method, path);
}

/* The parameter itself, behind its reference. */
static json_t *resolve(json_t *parameter)
{
	const char *reference = json_string_value(json_object_get(parameter, "$ref"));
	if (reference == NULL)
		return parameter;
	json_t *parameters = json_object_get(json_object_get(document, "components"), "parameters");
	return json_object_get(parameters, strrchr(reference, '/') + 1);
}

static void every_query_parameter_is_known_to_both(void **state)
{
	(void)state;
	for (size_t i = 0; i < api_route_count(); i++) {
		const struct api_route *route = api_route_at(i);
		char method[16], known[256];
		lower(route->method, method);
		snprintf(known, sizeof(known), "%s", route->query);
		json_t *operation = json_object_get(json_object_get(json_object_get(document, "paths"), route->path), method), *parameter;
		size_t index, documented = 0, served = 0;
		json_array_foreach (json_object_get(operation, "parameters"), index, parameter) {
			const json_t *one = resolve(parameter);
			if (strcmp(json_string_value(json_object_get(one, "in")), "query") != 0)
				continue;
			documented++;
			if (!api_route_knows_query(route, json_string_value(json_object_get(one, "name"))))
				fail_msg("%s %s does not know %s", method, route->path, json_string_value(json_object_get(one, "name")));
		}
		for (char *name = strtok(known, " "); name != NULL; name = strtok(NULL, " "))
			served++;
		if (documented != served)
			fail_msg("%s %s: %zu query parameters are documented, %zu served", method, route->path, documented, served);
	}
}

static void every_problem_is_documented(void **state)
{
	(void)state;
	json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
	json_t *codes = json_object_get(json_object_get(json_object_get(json_object_get(schemas, "Problem"), "properties"), "code"), "enum");
	assert_int_equal(json_array_size(codes), PROBLEM_CODE_COUNT - 1);
	for (int code = PROBLEM_NONE + 1; code < PROBLEM_CODE_COUNT; code++) {
		size_t index;
		json_t *name;
		bool found = false;
		json_array_foreach (codes, index, name)
			found = found || strcmp(json_string_value(name), problem_code_name((enum problem_code)code)) == 0;
		if (!found)
			fail_msg("%s is not documented", problem_code_name((enum problem_code)code));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_is_documented),
		cmocka_unit_test(every_documented_operation_is_served),
		cmocka_unit_test(every_query_parameter_is_known_to_both),
		cmocka_unit_test(every_problem_is_documented),
	};
	return cmocka_run_group_tests_name("openapi", tests, load, unload);
}
