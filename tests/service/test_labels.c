/* Labels: read, sorted, refused, copied and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "service/spec/labels.h"

static struct problem problem;

static size_t read_labels(const char *text, struct spec_label **labels)
{
	struct json_reader reader;
	json_t *document = json_loads(text, 0, NULL);
	assert_non_null(document);
	problem_init(&problem);
	json_reader_init(&reader, "/tunnels/3", &problem);
	size_t count = labels_read(&reader, document, labels);
	json_decref(document);
	return count;
}

static void they_are_sorted_and_written_as_they_were(void **state)
{
	struct spec_label *labels, *copy;
	(void)state;
	size_t count = read_labels("{\"labels\":{\"b\":\"2\",\"a\":\"1\",\"c/d.e-f_G\":\"\"}}", &labels);
	assert_int_equal(count, 3);
	assert_string_equal(labels[0].key, "a");
	assert_string_equal(labels[2].key, "c/d.e-f_G");
	assert_true(labels_copy(&copy, labels, count));
	assert_true(labels_equal(labels, count, copy, count));
	copy[1].value[0] = '3';
	assert_false(labels_equal(labels, count, copy, count));
	assert_false(labels_equal(labels, count, copy, count - 1));
	json_t *json = labels_to_json(labels, count);
	assert_int_equal(json_object_size(json), 3);
	assert_string_equal(json_string_value(json_object_get(json, "b")), "2");
	json_decref(json);
	spec_labels_free(labels, count);
	spec_labels_free(copy, count);
}

static const struct {
	const char *text, *pointer, *code;
} refused[] = {
	{ "{\"labels\":[]}", "/tunnels/3/labels", "wrong_type" },
	{ "{\"labels\":{\"a\":1}}", "/tunnels/3/labels/a", "wrong_type" },
	{ "{\"labels\":{\"\":\"x\"}}", "/tunnels/3/labels/", "invalid_label" },
	{ "{\"labels\":{\"a b\":\"x\"}}", "/tunnels/3/labels/a b", "invalid_label" },
	{ "{\"labels\":{\"a/b~\":\"x\"}}", "/tunnels/3/labels/a~1b~0", "invalid_label" },
	{ "{\"labels\":{\"a\":\"\\u0007\"}}", "/tunnels/3/labels/a", "invalid_label" },
};

static void what_is_refused_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct spec_label *labels;
		size_t count = read_labels(refused[i].text, &labels);
		assert_int_equal(count, 0);
		assert_int_equal(problem.fault_count, 1);
		assert_string_equal(problem.faults[0].pointer, refused[i].pointer);
		assert_string_equal(problem.faults[0].code, refused[i].code);
		spec_labels_free(labels, count);
		problem_clear(&problem);
	}
}

static void there_are_at_most_64(void **state)
{
	char text[2048] = "{\"labels\":{\"k0\":\"\"";
	struct spec_label *labels;
	(void)state;
	for (size_t i = 1; i < POOL_SPEC_LABELS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ",\"k%zu\":\"\"", i);
	size_t end = strlen(text);
	snprintf(text + end, sizeof(text) - end, "}}");
	size_t count = read_labels(text, &labels);
	assert_int_equal(count, POOL_SPEC_LABELS_MAX);
	spec_labels_free(labels, count);
	snprintf(text + end, sizeof(text) - end, ",\"more\":\"\"}}");
	assert_int_equal(read_labels(text, &labels), 0);
	assert_string_equal(problem.faults[0].code, "too_many");
	problem_clear(&problem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_sorted_and_written_as_they_were),
		cmocka_unit_test(what_is_refused_is_named),
		cmocka_unit_test(there_are_at_most_64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
