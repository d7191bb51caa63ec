/* Members of a document by their types, with the place of every fault (RFC 6901). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "service/spec/json_reader.h"

static struct problem problem;
static struct json_reader reader;
static json_t *document;

static void begin(const char *text)
{
	problem_init(&problem);
	json_reader_init(&reader, "/tunnels/0", &problem);
	document = json_loads(text, JSON_ALLOW_NUL, NULL);
	assert_non_null(document);
}

static void end(void)
{
	json_decref(document);
	problem_clear(&problem);
}

static void expect_fault(size_t index, const char *pointer, const char *code)
{
	assert_true(index < problem.fault_count);
	assert_string_equal(problem.faults[index].pointer, pointer);
	assert_string_equal(problem.faults[index].code, code);
}

static void what_is_absent_or_null_leaves_the_value(void **state)
{
	bool flag = true;
	uint64_t number = 7;
	(void)state;
	begin("{\"flag\":null,\"number\":null}");
	json_reader_bool(&reader, document, "flag", &flag);
	json_reader_bool(&reader, document, "other", &flag);
	json_reader_integer(&reader, document, "number", 1, 9, &number);
	json_reader_integer(&reader, document, "other", 1, 9, &number);
	assert_true(flag);
	assert_int_equal(number, 7);
	assert_null(json_reader_string(&reader, document, "other"));
	assert_true(json_reader_is_null(document, "flag"));
	assert_false(json_reader_is_null(document, "other"));
	assert_int_equal(problem.code, PROBLEM_NONE);
	end();
}

static void another_type_is_a_fault_at_its_place(void **state)
{
	bool flag = true;
	uint64_t number = 7;
	(void)state;
	begin("{\"a/b\":1,\"c~d\":\"x\",\"s\":[],\"n\":\"a\\u0000b\"}");
	json_reader_bool(&reader, document, "a/b", &flag);
	json_reader_integer(&reader, document, "c~d", 1, 9, &number);
	assert_null(json_reader_object(&reader, document, "s"));
	assert_null(json_reader_string(&reader, document, "n"));
	assert_int_equal(problem.fault_count, 4);
	expect_fault(0, "/tunnels/0/a~1b", "wrong_type");
	expect_fault(1, "/tunnels/0/c~0d", "wrong_type");
	expect_fault(2, "/tunnels/0/s", "wrong_type");
	expect_fault(3, "/tunnels/0/n", "invalid_value");
	end();
}

static void a_number_is_within_its_range(void **state)
{
	static const struct {
		const char *text;
		bool is_taken;
	} cases[] = { { "{\"n\":1}", true },   { "{\"n\":9}", true },   { "{\"n\":0}", false },
		      { "{\"n\":10}", false }, { "{\"n\":-1}", false }, { "{\"n\":5.0}", false } };
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t number = 77;
		begin(cases[i].text);
		json_reader_integer(&reader, document, "n", 1, 9, &number);
		assert_int_equal(number != 77, cases[i].is_taken);
		assert_int_equal(problem.fault_count, !cases[i].is_taken);
		end();
	}
}

static void members_that_nobody_knows_are_named(void **state)
{
	static const char *const known[] = { "a", "b", NULL }, *const ignored[] = { "etag", NULL };
	(void)state;
	begin("{\"a\":1,\"B\":2,\"etag\":3}");
	json_reader_known(&reader, document, known, ignored);
	assert_int_equal(problem.fault_count, 1);
	expect_fault(0, "/tunnels/0/B", "unknown_member");
	json_reader_known(&reader, document, known, NULL);
	assert_int_equal(problem.fault_count, 3);
	end();
}

/* A place deeper than there is room for is cut, and the way back is right. */
static void the_way_back_is_where_it_came_from(void **state)
{
	char name[600];
	(void)state;
	begin("{}");
	size_t outer = json_reader_enter(&reader, "peers"), inner = json_reader_enter_index(&reader, 12);
	json_reader_fault(&reader, "required", "Here.");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	size_t deep = json_reader_enter(&reader, name);
	json_reader_leave(&reader, deep);
	json_reader_leave(&reader, inner);
	json_reader_fault(&reader, "required", "Here.");
	json_reader_leave(&reader, outer);
	json_reader_fault(&reader, "required", "Here.");
	expect_fault(0, "/tunnels/0/peers/12", "required");
	expect_fault(1, "/tunnels/0/peers", "required");
	expect_fault(2, "/tunnels/0", "required");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_absent_or_null_leaves_the_value),
		cmocka_unit_test(another_type_is_a_fault_at_its_place),
		cmocka_unit_test(a_number_is_within_its_range),
		cmocka_unit_test(members_that_nobody_knows_are_named),
		cmocka_unit_test(the_way_back_is_where_it_came_from),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
