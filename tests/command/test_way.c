/* Which tunnels lose their way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "command/way.h"

static char a[] = "a", b[] = "b", c[] = "c";

static void expect(char *got, const char *wanted)
{
	if (wanted == NULL)
		assert_null(got);
	else
		assert_string_equal(got, wanted);
	free(got);
}

static json_t *through(const char *id, const char *via)
{
	return json_pack("{s:s, s:{s:{s:s?}}}", "id", id, "spec", "interface", "via", via);
}

static void test_of_a_list(void **state)
{
	(void)state;
	char *gone[] = { a, b, NULL }, *leaf[] = { c, NULL };
	json_t *tunnels = json_pack("[o, o, o, o]", through("a", NULL), through("b", "a"), through("c", "b"), through("d", "a"));
	expect(way_lost(tunnels, gone), "c, d");
	expect(way_lost(tunnels, leaf), NULL);
	json_decref(tunnels);
}

static void test_of_a_header(void **state)
{
	(void)state;
	char *gone[] = { a, b, NULL };
	expect(way_lost_of("b, c", gone), "c");
	expect(way_lost_of("b", gone), NULL);
	expect(way_lost_of("bb,c-1", gone), "bb, c-1");
	expect(way_lost_of("", gone), NULL);
}

static void test_many_are_counted(void **state)
{
	(void)state;
	char *gone[] = { a, NULL }, id[16];
	json_t *tunnels = json_array();
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "t%d", i);
		json_array_append_new(tunnels, through(id, "a"));
	}
	expect(way_lost(tunnels, gone), "t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15 and 4 more");
	json_decref(tunnels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_list),
		cmocka_unit_test(test_of_a_header),
		cmocka_unit_test(test_many_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
