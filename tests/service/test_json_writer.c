/* Documents that are whole or not at all; the values that memory is missing for are NULL here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/json_writer.h"

static void what_is_whole_comes_back(void **state)
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_object(), *array = json_array();
	(void)state;
	json_writer_add(&writer, array, json_integer(1));
	json_writer_set(&writer, object, "list", array);
	json_writer_set(&writer, object, "text", json_string("\"\n"));
	assert_ptr_equal(json_writer_end(&writer, object), object);
	char *text = json_writer_text(object);
	assert_string_equal(text, "{\"list\":[1],\"text\":\"\\\"\\n\"}");
	free(text);
	json_decref(object);
}

/* One value that could not be made, wherever, and there is no document. */
static void what_misses_a_value_does_not(void **state)
{
	(void)state;
	for (int missing = 0; missing < 4; missing++) {
		struct json_writer writer = { .failed = false };
		json_t *object = json_object(), *array = json_array();
		json_writer_add(&writer, array, missing == 0 ? NULL : json_integer(1));
		json_writer_set(&writer, object, "list", array);
		json_writer_set(&writer, object, "text", missing == 1 ? NULL : json_string("x"));
		json_writer_set(&writer, missing == 2 ? NULL : object, "more", json_string("y"));
		json_writer_add(&writer, missing == 3 ? NULL : array, json_string("z"));
		assert_true(writer.failed);
		assert_null(json_writer_end(&writer, object));
	}
	assert_null(json_writer_text(NULL));
}

static void a_copy_shares_its_members(void **state)
{
	struct json_writer writer = { .failed = false };
	json_t *object = json_pack("{s:{s:i},s:n}", "inner", "a", 1, "none");
	(void)state;
	json_t *copy = json_writer_copy(&writer, object), *empty = json_writer_copy(&writer, NULL);
	assert_false(writer.failed);
	assert_true(json_equal(copy, object));
	assert_ptr_equal(json_object_get(copy, "inner"), json_object_get(object, "inner"));
	json_object_del(copy, "none");
	assert_int_equal(json_object_size(object), 2);
	assert_int_equal(json_object_size(empty), 0);
	json_decref(object);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(copy, "inner"), "a")), 1);
	json_decref(copy);
	json_decref(empty);
}

/* Of any size, past each growth of the buffer. */
static void texts_of_all_sizes(void **state)
{
	(void)state;
	for (size_t size = 0; size < 3000; size += size < 600 ? 1 : 251) {
		char *value = calloc(1, size + 1);
		memset(value, 'x', size);
		json_t *json = json_string(value);
		char *text = json_writer_text(json);
		assert_int_equal(strlen(text), size + 2);
		assert_memory_equal(text + 1, value, size);
		free(text);
		free(value);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_whole_comes_back),
		cmocka_unit_test(what_misses_a_value_does_not),
		cmocka_unit_test(a_copy_shares_its_members),
		cmocka_unit_test(texts_of_all_sizes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
