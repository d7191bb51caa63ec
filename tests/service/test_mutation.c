/* A write without the service: its id, its course, and what is freed when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/object_id.h"
#include "service/change/mutation.h"
#include "tests/failing_heap.h"
#include "tests/service/quoted_json.h"

static int set_up(void **state)
{
	(void)state;
	return sodium_init() < 0 ? -1 : 0;
}

/* The id that an operation has chosen, in a static buffer. */
static const char *chosen(enum operation_kind kind, enum spec_kind object, const char *asked, const char *json)
{
	static char id[64];
	struct operation operation = { .kind = kind, .object = object, .document = json == NULL ? NULL : quoted_json(json) };
	snprintf(operation.id, sizeof(operation.id), "%s", asked);
	operation_choose_id(&operation);
	json_decref(operation.document);
	memcpy(id, operation.id, sizeof(id));
	return id;
}

static void an_id_is_the_one_asked_for_or_made(void **state)
{
	char first[64];
	(void)state;
	assert_string_equal(chosen(OPERATION_CREATE, SPEC_TUNNEL, "path", "{'id':'document'}"), "path");
	assert_string_equal(chosen(OPERATION_CREATE, SPEC_TUNNEL, "", "{'id':'document'}"), "document");
	/* Only a create has one made: elsewhere an empty id is none. */
	assert_string_equal(chosen(OPERATION_PUT, SPEC_TUNNEL, "", "{'id':'document'}"), "");
	/* What is no id is refused later, when the document is read. */
	for (size_t i = 0; i < 3; i++) {
		static const char *const documents[] = { NULL, "{'id':'No Id'}", "{'id':7}" };
		snprintf(first, sizeof(first), "%s", chosen(OPERATION_CREATE, SPEC_TUNNEL, "", documents[i]));
		assert_memory_equal(first, "t-", 2);
		assert_true(object_id_is_valid(first));
		assert_string_not_equal(chosen(OPERATION_CREATE, SPEC_TUNNEL, "", documents[i]), first);
	}
	assert_memory_equal(chosen(OPERATION_CREATE, SPEC_POOL, "", NULL), "p-", 2);
}

static void a_delete_names_its_object(void **state)
{
	struct operation operation = { .kind = OPERATION_PUT };
	(void)state;
	operation_delete(&operation, SPEC_POOL, "a");
	assert_int_equal(operation.kind, OPERATION_DELETE);
	assert_int_equal(object_key_kind(operation.key), SPEC_POOL);
	assert_string_equal(object_key_id(operation.key), "a");
	assert_true(operation_is_write(&operation));
}

static enum mutation_course course(enum operation_kind kind, size_t count, bool is_atomic, bool is_dry)
{
	struct operation operations[2] = { { .kind = kind }, { .kind = kind } };
	const struct mutation mutation = {
		.kind = MUTATION_OPERATIONS, .operations = operations, .operation_count = count, .atomic = is_atomic, .dry_run = is_dry
	};
	return mutation_course_of(&mutation);
}

static void the_course_is_by_what_is_asked(void **state)
{
	static const enum operation_kind actions[] = { OPERATION_RECONNECT, OPERATION_PROBE, OPERATION_MOVE, OPERATION_FORGET, OPERATION_COUNT };
	static const enum mutation_course others[] = {
		[MUTATION_DELETE_WHERE] = MUTATION_MANY_DELETES,
		[MUTATION_STATE] = MUTATION_WHOLE_STATE,
		[MUTATION_TOKEN_CREATE] = MUTATION_TOKEN,
		[MUTATION_TOKEN_DELETE] = MUTATION_TOKEN,
		[MUTATION_RELOAD] = MUTATION_ACTION,
		[MUTATION_REPLACE] = MUTATION_ACTION,
		[MUTATION_LOOK_UP] = MUTATION_ACTION,
		[MUTATION_CONNECTIONS] = MUTATION_ACTION,
	};
	(void)state;
	for (int kind = OPERATION_CREATE; kind <= OPERATION_PEER_DELETE; kind++)
		assert_int_equal(course((enum operation_kind)kind, 1, false, false), MUTATION_SINGLE);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(course(actions[i], 1, false, false), MUTATION_ACTION);
		/* What is only tried does not act. */
		assert_int_equal(course(actions[i], 1, false, true), MUTATION_SINGLE);
	}
	assert_int_equal(course(OPERATION_PUT, 1, true, false), MUTATION_ATOMIC);
	assert_int_equal(course(OPERATION_PUT, 2, true, false), MUTATION_ATOMIC);
	assert_int_equal(course(OPERATION_PUT, 2, false, false), MUTATION_SEQUENCE);
	assert_int_equal(course(OPERATION_PUT, 0, true, false), MUTATION_SEQUENCE);
	for (int kind = MUTATION_DELETE_WHERE; kind <= MUTATION_CONNECTIONS; kind++)
		assert_int_equal(mutation_course_of(&(struct mutation){ .kind = (enum mutation_kind)kind }), others[kind]);
}

/* The service may still need the operations when the caller has its answer; the documents go at once. */
static void the_last_reference_frees_it(void **state)
{
	(void)state;
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	struct operation *operation = &mutation->operations[0];
	json_t *document = quoted_json("{'a':1}");
	operation->document = json_incref(document);
	operation->if_match = strdup("*");
	operation->session = strdup("key");
	problem_add(&operation->problem, "/x", "invalid_value", "x");
	mutation->listing = calloc(1, sizeof(*mutation->listing));
	mutation->listing->json = strdup("[]");
	mutation->token_name = strdup("ci");
	mutation->references = 2;
	mutation_free(mutation);
	assert_int_equal(document->refcount, 1);
	assert_string_equal(operation->if_match, "*");
	assert_int_equal(operation->problem.fault_count, 1);
	mutation_release(mutation);
	mutation_free(NULL);
	json_decref(document);
}

/* Its operation is its parent's. */
static void a_part_leaves_the_operation(void **state)
{
	(void)state;
	struct mutation *parent = mutation_create(MUTATION_OPERATIONS, 1), *part = mutation_create(MUTATION_OPERATIONS, 0);
	free(part->operations);
	part->parent = parent;
	part->operations = parent->operations;
	part->operation_count = 1;
	parent->operations[0].if_match = strdup("*");
	mutation_release(part);
	assert_string_equal(parent->operations[0].if_match, "*");
	mutation_free(parent);
}

static void no_half_of_it_when_memory_is_out(void **state)
{
	(void)state;
	for (unsigned allowed = 0; allowed < 2; allowed++) {
		heap_fails_after(allowed);
		struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 3);
		heap_works();
		assert_null(mutation);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_is_the_one_asked_for_or_made), cmocka_unit_test(a_delete_names_its_object),
		cmocka_unit_test(the_course_is_by_what_is_asked),     cmocka_unit_test(the_last_reference_frees_it),
		cmocka_unit_test(a_part_leaves_the_operation),        cmocka_unit_test(no_half_of_it_when_memory_is_out),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
