/* READING: ids, and what is read ahead of the turn and read again on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "ipc/key.h"
#include "ipc/object_id.h"
#include "service/store/scope.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

#define TUNNEL "'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}"
#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

static void a_tunnel_without_an_id_gets_one(void **state)
{
	char before[64] = "";
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct mutation *mutation = bench_mutations_do(OPERATION_CREATE, "", "{" TUNNEL "}");
		const char *id = mutation->operations[0].id;
		assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
		assert_int_equal(strlen(id), 15);
		assert_memory_equal(id, "t-", 2);
		assert_true(object_id_is_valid(id));
		assert_string_not_equal(id, before);
		snprintf(before, sizeof(before), "%s", id);
		mutation_free(mutation);
	}
}

static void an_id_of_the_document_is_taken(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_do(OPERATION_CREATE, "", "{'id':'mine'," TUNNEL "}");
	assert_string_equal(mutation->operations[0].id, "mine");
	mutation_free(mutation);
}

/* The path's id is not in the document, whose reader checks one. */
static void an_id_of_the_path_is_checked(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_do(OPERATION_PUT, "No Id", "{" TUNNEL "}");
	const struct problem *problem = &mutation->operations[0].problem;
	assert_int_equal(problem->code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(problem->fault_count, 1);
	assert_string_equal(problem->faults[0].pointer, "/id");
	assert_string_equal(problem->faults[0].code, "invalid_id");
	mutation_free(mutation);
}

static void finish(struct mutation **list, size_t count)
{
	bench_mutations_finish();
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(bench_mutations_code(list[i]), PROBLEM_NONE);
		mutation_free(list[i]);
	}
}

/* All are read before the first has its turn, and each is on top of the ones before it. */
static void what_changed_meanwhile_is_read_again(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", "{" TUNNEL "}"));
	struct mutation *list[] = {
		bench_mutations_make(OPERATION_PATCH, "a", "{'spec':{'interface':{'mtu':1350}}}"),
		bench_mutations_make(OPERATION_PATCH, "a", "{'labels':{'k':'v'}}"),
		bench_mutations_make(OPERATION_PEER_PUT, "a", "{'allowed_ips':['10.9.0.0/16']}"),
		bench_mutations_make(OPERATION_PEER_PATCH, "a", "{'persistent_keepalive':25}"),
	};
	for (size_t i = 0; i < 4; i++)
		assert_true(key_parse(PEER, &list[i]->operations[0].peer));
	for (size_t i = 0; i < 4; i++)
		bench_mutations_start(list[i]);
	finish(list, 4);
	const struct snapshot *snapshot = registry_entry(bench.registry, "a")->snapshot;
	assert_int_equal(snapshot->generation, 5);
	assert_int_equal(snapshot->spec.mtu, 1350);
	assert_string_equal(snapshot->labels_json, "{\"k\":\"v\"}");
	assert_int_equal(snapshot->spec.peer_count, 1);
	assert_int_equal(snapshot->spec.peers[0].persistent_keepalive, 25);
	assert_int_equal(snapshot->spec.peers[0].allowed_ip_count, 1);
}

static void a_put_after_another_keeps_no_secret_of_before(void **state)
{
	(void)state;
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", "{" TUNNEL "}"));
	struct mutation *list[] = {
		bench_mutations_make(OPERATION_DELETE, "a", NULL),
		bench_mutations_make(OPERATION_PUT, "a", "{'spec':{'interface':{'addresses':['10.2.0.2']}}}"),
	};
	bench_mutations_start(list[0]);
	bench_mutations_start(list[1]);
	bench_mutations_finish();
	assert_int_equal(bench_mutations_code(list[0]), PROBLEM_NONE);
	/* It was read when there was a key to keep, and on its turn there is none. */
	assert_int_equal(bench_mutations_code(list[1]), PROBLEM_VALIDATION_FAILED);
	mutation_free(list[0]);
	mutation_free(list[1]);
}

static void memory_that_is_missing_refuses_it_at_once(void **state)
{
	(void)state;
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", "{" TUNNEL "}");
	heap_fails_once_after(0);
	bench_mutations_start(mutation);
	heap_works();
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_OUT_OF_RESOURCES);
	mutation_free(mutation);
}

/* An operation after its end is answered in the submitter's thread. */
static void after_the_end_nothing_is_taken(void **state)
{
	(void)state;
	mutations_stop(changes.mutations);
	struct mutation *mutation = bench_mutations_make(OPERATION_CREATE, "a", "{" TUNNEL "}");
	bench_mutations_start(mutation);
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_WORKER_UNAVAILABLE);
	mutation_free(mutation);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_tunnel_without_an_id_gets_one),
		TEST(an_id_of_the_document_is_taken),
		TEST(an_id_of_the_path_is_checked),
		TEST(what_changed_meanwhile_is_read_again),
		TEST(a_put_after_another_keeps_no_secret_of_before),
		TEST(memory_that_is_missing_refuses_it_at_once),
		TEST(after_the_end_nothing_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
