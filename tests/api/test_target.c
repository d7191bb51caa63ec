/* Request targets and the route table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "api/request_target.h"
#include "api/route.h"

static void segments_are_decoded_alone(void **state)
{
	(void)state;
	struct api_request_target target;
	assert_int_equal(api_request_target_parse(&target, "/v1/tunnels/a%2Fb%20c?x=1&y=a+b%26&&z&label=k%3dv=w"), TARGET_OK);
	assert_int_equal(target.segment_count, 3);
	assert_string_equal(target.segments[2], "a/b c");
	assert_int_equal(target.parameter_count, 4);
	assert_string_equal(api_request_target_parameter(&target, "y"), "a b&");
	assert_string_equal(api_request_target_parameter(&target, "z"), "");
	assert_string_equal(api_request_target_parameter(&target, "label"), "k=v=w");
	assert_null(api_request_target_parameter(&target, "w"));
	api_request_target_clear(&target);
}

static void absolute_form_has_an_authority(void **state)
{
	(void)state;
	struct api_request_target target;
	assert_int_equal(api_request_target_parse(&target, "HTTP://host:80/livez?a=b"), TARGET_OK);
	assert_string_equal(target.authority, "host:80");
	assert_int_equal(target.segment_count, 1);
	assert_string_equal(target.segments[0], "livez");
	assert_string_equal(api_request_target_parameter(&target, "a"), "b");
	api_request_target_clear(&target);
}

static void malformed_targets_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "*", "livez", "/%", "/%4", "/%zz", "/a%00", "/a?b=%00", "http://host", "ftp://host/", "/?%g0" };
	struct api_request_target target;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (api_request_target_parse(&target, bad[i]) != TARGET_MALFORMED)
			fail_msg("%s", bad[i]);
	assert_int_equal(api_request_target_parse(&target, "/1/2/3/4/5/6/7/8"), TARGET_OK);
	api_request_target_clear(&target);
	assert_int_equal(api_request_target_parse(&target, "/1/2/3/4/5/6/7/8/9"), TARGET_TOO_DEEP);
	char many[400] = "/?";
	for (size_t i = 0; i < TARGET_PARAMETERS_MAX + 1; i++)
		strcat(many, "a=b&");
	assert_int_equal(api_request_target_parse(&target, many), TARGET_MALFORMED);
}

static const struct api_route *find(const char *method, const char *path, bool *is_known, char id[32])
{
	struct api_request_target target;
	const char *parameters[API_ROUTE_PARAMETERS_MAX];
	assert_int_equal(api_request_target_parse(&target, path), TARGET_OK);
	const struct api_route *route = api_route_find(method, &target, parameters, is_known);
	id[0] = '\0';
	if (route != NULL && parameters[0] != NULL)
		strncat(id, parameters[0], 31);
	api_request_target_clear(&target);
	return route;
}

static void routes_are_found(void **state)
{
	(void)state;
	bool is_known;
	char id[32];
	const struct api_route *route = find("GET", "/v1/tunnels/ams-1", &is_known, id);
	assert_non_null(route);
	assert_string_equal(route->path, "/v1/tunnels/{id}");
	assert_string_equal(id, "ams-1");
	assert_ptr_equal(find("HEAD", "/v1/tunnels/ams-1", &is_known, id), route);
	assert_string_equal(find("PUT", "/v1/tunnels/a/peers/k", &is_known, id)->path, "/v1/tunnels/{id}/peers/{key}");
	assert_string_equal(find("GET", "/", &is_known, id)->path, "/");
	assert_null(find("BREW", "/v1/tunnels", &is_known, id));
	assert_true(is_known);
	static const char *const unknown[] = { "/v1", "/v1/",       "/v1/tunnels/", "/v1/tunnels//status", "/v2/tunnels", "/v1/tunnels/a/peers/",
		                               "//",  "/V1/tunnels" };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_null(find("GET", unknown[i], &is_known, id));
		assert_false(is_known);
	}
}

static void queries_are_known_by_whole_names(void **state)
{
	(void)state;
	bool is_known;
	char id[32];
	const struct api_route *route = find("GET", "/v1/tunnels", &is_known, id);
	assert_true(api_route_knows_query(route, "page_size"));
	static const char *const unknown[] = { "", " ", "page", "size", "page_siz", "page_size page_token", "dry_run", "lable" };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_false(api_route_knows_query(route, unknown[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_are_decoded_alone),       cmocka_unit_test(absolute_form_has_an_authority),
		cmocka_unit_test(malformed_targets_are_refused),    cmocka_unit_test(routes_are_found),
		cmocka_unit_test(queries_are_known_by_whole_names),
	};
	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
