/* The scopes of a token by their names, one way and the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/store/scope.h"

static void each_name_is_one_bit(void **state)
{
	(void)state;
	assert_int_equal(scope_parse("metrics"), SCOPE_METRICS);
	assert_int_equal(scope_parse("read"), SCOPE_READ);
	assert_int_equal(scope_parse("write"), SCOPE_WRITE);
	assert_int_equal(scope_parse("admin"), SCOPE_ADMIN);
	assert_int_equal(scope_parse("Admin"), SCOPE_NONE);
	assert_int_equal(scope_parse("admins"), SCOPE_NONE);
	assert_int_equal(scope_parse(""), SCOPE_NONE);
}

static void every_set_is_written_and_read_back(void **state)
{
	(void)state;
	for (unsigned scopes = 0; scopes < 16; scopes++) {
		unsigned read = 0;
		size_t index;
		json_t *value, *list = scope_list_to_json(scopes);
		json_array_foreach (list, index, value)
			read |= scope_parse(json_string_value(value));
		assert_int_equal(read, scopes);
		json_decref(list);
	}
}

static void each_scope_includes_the_ones_before_it(void **state)
{
	(void)state;
	assert_int_equal(scope_with_included(SCOPE_NONE), SCOPE_NONE);
	assert_int_equal(scope_with_included(SCOPE_METRICS), SCOPE_METRICS);
	assert_int_equal(scope_with_included(SCOPE_READ), SCOPE_READ | SCOPE_METRICS);
	assert_int_equal(scope_with_included(SCOPE_WRITE), SCOPE_WRITE | SCOPE_READ | SCOPE_METRICS);
	assert_int_equal(scope_with_included(SCOPE_ADMIN), SCOPE_ADMIN | SCOPE_WRITE | SCOPE_READ | SCOPE_METRICS);
	assert_int_equal(scope_with_included(SCOPE_WRITE | SCOPE_METRICS), SCOPE_WRITE | SCOPE_READ | SCOPE_METRICS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_is_one_bit),
		cmocka_unit_test(every_set_is_written_and_read_back),
		cmocka_unit_test(each_scope_includes_the_ones_before_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
