/* Faults of files: those of the last pass, each since when it is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/files/fault_list.h"

static void a_fault_that_stays_keeps_its_time(void **state)
{
	(void)state;
	struct fault_list *list = fault_list_create();
	fault_list_begin(list);
	assert_int_equal(fault_list_add(list, "a.conf", "wrong", 10), 10);
	assert_int_equal(fault_list_count(list), 0);
	fault_list_end(list);
	assert_int_equal(fault_list_count(list), 1);
	fault_list_begin(list);
	assert_int_equal(fault_list_add(list, "a.conf", "wrong", 20), 10);
	assert_int_equal(fault_list_add(list, "b.conf", "wrong", 20), 20);
	fault_list_end(list);
	json_t *json = fault_list_to_json(list);
	assert_int_equal(json_array_size(json), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json, 1), "file")), "b.conf");
	json_decref(json);
	fault_list_begin(list);
	assert_int_equal(fault_list_add(list, "a.conf", "otherwise", 30), 30);
	fault_list_end(list);
	assert_int_equal(fault_list_count(list), 1);
	fault_list_begin(list);
	fault_list_end(list);
	assert_int_equal(fault_list_count(list), 0);
	fault_list_free(list);
}

static void no_more_are_kept_than_anyone_reads(void **state)
{
	(void)state;
	struct fault_list *list = fault_list_create();
	fault_list_begin(list);
	for (int i = 0; i < 1000; i++)
		(void)fault_list_add(list, "a.conf", "wrong", i);
	fault_list_end(list);
	assert_int_equal(fault_list_count(list), 256);
	fault_list_free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_fault_that_stays_keeps_its_time),
		                            cmocka_unit_test(no_more_are_kept_than_anyone_reads) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
