/* The document that is stored: all that was said of the tunnel, secrets included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/snapshot_json.h"
#include "tests/service/bench_mutations.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="

static void what_is_stored_reads_back_the_same(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a",
	                                 "{'labels':{'k':'v'},'spec':{'interface':{'private_key':'" KEY "','addresses':['10.2.0.2']},"
	                                 "'proxy':{'users':[{'username':'u','password':'secret'}]}}}"));
	struct snapshot *snapshot = registry_entry(bench.registry, "a")->snapshot;
	struct json_writer writer = { .failed = false };
	json_t *document = json_writer_end(&writer, snapshot_to_json(&writer, snapshot));
	assert_non_null(document);
	assert_int_equal(json_object_size(document), 2);
	assert_string_equal(json_string_value(json_object_get(json_object_get(document, "labels"), "k")), "v");
	char *text = json_writer_text(document);
	assert_non_null(strstr(text, KEY));
	assert_non_null(strstr(text, "\"secret\""));
	/* The same again is no change. */
	struct mutation *mutation = bench_mutations_make(OPERATION_PUT, "a", "{}");
	json_decref(mutation->operations[0].document);
	mutation->operations[0].document = document;
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 2);
	assert_int_equal(mutation->operations[0].applied, APPLIED_UNCHANGED);
	mutation_free(mutation);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_stored_reads_back_the_same, bench_mutations_set_up, bench_mutations_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
