/* Tunnels that go through each other: what may be written, and that they are on one worker. Whole services with fake workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/service/bench_service.h"
#include "tests/service/fake_worker.h"

#define KEY "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define VIA "/spec/interface/via"
#define WAIT_MS 20000

/* A tunnel as an element of a list; `via` NULL: none. A static buffer, of which there are some. */
static const char *tunnel(const char *id, const char *via)
{
	static char texts[8][256];
	static unsigned next;
	char *text = texts[next++ % 8];
	char through[80] = "";
	if (via != NULL)
		snprintf(through, sizeof(through), ",'via':'%s'", via);
	snprintf(text, sizeof(texts[0]), "{'id':'%s','spec':{'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']%s}}}", id, through);
	return text;
}

static void assert_one_fault(const struct problem *problem, const char *pointer, const char *code)
{
	assert_int_equal(problem->code, PROBLEM_VALIDATION_FAILED);
	assert_int_equal(problem->fault_count, 1);
	assert_string_equal(problem->faults[0].pointer, pointer);
	assert_string_equal(problem->faults[0].code, code);
}

static void put(const char *id, const char *via)
{
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, id, tunnel(id, via)), PROBLEM_NONE);
}

static void refused(const char *id, const char *via, const char *code)
{
	struct mutation *mutation = bench_edit(&own_bench, OPERATION_PUT, id, tunnel(id, via));
	assert_one_fault(&mutation->operations[0].problem, VIA, code);
	mutation_free(mutation);
}

static void patch(const char *id, const char *via)
{
	char text[128];
	snprintf(text, sizeof(text), "{'spec':{'interface':{'via':%s%s%s}}}", via == NULL ? "" : "'", via == NULL ? "null" : via,
	         via == NULL ? "" : "'");
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, id, text), PROBLEM_NONE);
}

static int worker_of(const char *id)
{
	struct snapshot *snapshot = bench_find(&own_bench, id);
	int worker = snapshot->worker;
	snapshot_release(snapshot);
	return worker;
}

static void await_same_worker(const char *first, const char *second)
{
	int64_t end = bench_now_ms() + WAIT_MS;
	while (worker_of(first) != worker_of(second) && bench_now_ms() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	assert_int_equal(worker_of(first), worker_of(second));
}

static void one_by_one(void **state)
{
	(void)state;
	refused("b", "a", "unknown_tunnel");
	refused("b", "b", "circle");
	assert_int_equal(bench_code(&own_bench, OPERATION_PUT, "b", tunnel("b", "No")), PROBLEM_VALIDATION_FAILED);
	put("a", NULL);
	put("b", "a");
	put("c", "b");
	put("d", "c");
	refused("e", "d", "too_deep");
	refused("a", "d", "circle");
	refused("a", "a", "circle");
	/* What is inside goes with it. */
	put("x", NULL);
	refused("a", "x", "too_deep");
	patch("d", NULL);
	put("a", "x");
	refused("d", "c", "too_deep");
	struct snapshot *snapshot = bench_find(&own_bench, "b");
	assert_non_null(strstr(snapshot->spec_json, "\"via\":\"a\""));
	assert_int_equal(snapshot->udp_port, 0);
	snapshot_release(snapshot);
	patch("b", NULL);
	snapshot = bench_find(&own_bench, "b");
	assert_null(snapshot->spec.via);
	assert_int_not_equal(snapshot->udp_port, 0);
	snapshot_release(snapshot);
}

/* An outer tunnel may go; what names it can be changed in all else, and it may come back. */
static void the_outer_tunnel_may_be_deleted(void **state)
{
	(void)state;
	put("a", NULL);
	put("b", "a");
	put("c", "b");
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "a", NULL), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "b", "{'labels':{'x':'y'}}"), PROBLEM_NONE);
	put("b", "a");
	refused("d", "a", "unknown_tunnel");
	/* The one that is gone counts. */
	put("d", "c");
	refused("e", "d", "too_deep");
	refused("a", "d", "circle");
	put("z", NULL);
	refused("a", "z", "too_deep");
	put("a", NULL);
	assert_int_equal(worker_of("a"), worker_of("d"));
	/* A pool with the id is no tunnel. */
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = SCOPE_ADMIN;
	mutation->operations[0] = (struct operation){ .kind = OPERATION_PUT, .object = SPEC_POOL, .id = "p", .document = quoted_json("{'spec':{}}") };
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(mutation);
	refused("e", "p", "unknown_tunnel");
}

static struct mutation *batch_of(size_t count, const char *const documents[][2])
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, count);
	mutation->scope = SCOPE_ADMIN;
	mutation->atomic = true;
	for (size_t i = 0; i < count; i++) {
		struct operation *operation = &mutation->operations[i];
		snprintf(operation->id, sizeof(operation->id), "%s", documents[i][0]);
		operation->kind = OPERATION_PUT;
		if (documents[i][1] != NULL && strcmp(documents[i][1], "-") == 0)
			operation->kind = OPERATION_DELETE;
		else
			operation->document = quoted_json(tunnel(documents[i][0], documents[i][1]));
	}
	bench_do(&own_bench, mutation);
	return mutation;
}

static void do_batch(size_t count, const char *const documents[][2])
{
	struct mutation *mutation = batch_of(count, documents);
	assert_int_equal(mutation->problem.code, PROBLEM_NONE);
	mutation_free(mutation);
}

static void refuse_batch(size_t count, const char *const documents[][2], size_t failed, const char *code)
{
	struct mutation *mutation = batch_of(count, documents);
	assert_int_equal(mutation->failed_operation, failed);
	assert_one_fault(&mutation->problem, VIA, code);
	mutation_free(mutation);
}

/* The result is judged, whatever the order. */
static void a_batch_in_any_order(void **state)
{
	static const char *const forwards[][2] = { { "a", NULL }, { "b", "a" }, { "c", "b" } };
	static const char *const backwards[][2] = { { "z", "y" }, { "y", "x" }, { "x", NULL } };
	static const char *const turned[][2] = { { "a", "b" }, { "b", "c" }, { "c", NULL } };
	static const char *const round[][2] = { { "n", "m" }, { "m", "l" }, { "l", "n" } };
	static const char *const deep[][2] = { { "e", "d" }, { "d", "c2" }, { "c2", "b2" }, { "b2", "a2" }, { "a2", NULL } };
	static const char *const lost[][2] = { { "c", "-" }, { "b", "c" } };
	static const char *const gone[][2] = { { "b", NULL }, { "c", "-" } };
	(void)state;
	do_batch(3, forwards);
	do_batch(3, backwards);
	assert_int_equal(worker_of("a"), worker_of("c"));
	assert_int_equal(worker_of("x"), worker_of("y"));
	assert_int_equal(worker_of("x"), worker_of("z"));
	do_batch(3, turned);
	await_same_worker("a", "c");
	refuse_batch(3, round, 0, "circle");
	refuse_batch(5, deep, 0, "too_deep");
	refuse_batch(2, lost, 1, "unknown_tunnel");
	do_batch(2, gone);
}

/* An operation on a tunnel's peer makes no way, so nothing but the outer tunnel's change is to blame. */
static void a_batch_with_an_operation_inside(void **state)
{
	(void)state;
	put("x", NULL);
	put("a", NULL);
	put("b", "a");
	put("c", "b");
	put("d", "c");
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 2);
	mutation->scope = SCOPE_ADMIN;
	mutation->atomic = true;
	mutation->operations[0] = (struct operation){ .kind = OPERATION_PUT, .id = "a", .document = quoted_json(tunnel("a", "x")) };
	mutation->operations[1] =
	    (struct operation){ .kind = OPERATION_PEER_PUT, .id = "d", .peer = { { 7 } }, .document = quoted_json("{'persistent_keepalive':5}") };
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->failed_operation, 0);
	assert_one_fault(&mutation->problem, VIA, "too_deep");
	mutation_free(mutation);
}

static struct mutation *state_of(const char *first, const char *second, const char *third)
{
	char text[1024];
	snprintf(text, sizeof(text), "{'tunnels':[%s,%s,%s]}", first, second, third);
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	mutation->scope = SCOPE_ADMIN;
	mutation->document = quoted_json(text);
	bench_do(&own_bench, mutation);
	return mutation;
}

static void a_whole_state_in_any_order(void **state)
{
	(void)state;
	struct mutation *mutation = state_of(tunnel("a", "b"), tunnel("b", "c"), tunnel("c", NULL));
	assert_int_equal(mutation->created, 3);
	mutation_free(mutation);
	assert_int_equal(worker_of("a"), worker_of("b"));
	assert_int_equal(worker_of("a"), worker_of("c"));
	mutation = state_of(tunnel("c", NULL), tunnel("b", "a"), tunnel("a", "b"));
	assert_int_equal(mutation->problem.fault_count, 2);
	assert_string_equal(mutation->problem.faults[0].pointer, "/tunnels/1/spec/interface/via");
	assert_string_equal(mutation->problem.faults[1].code, "circle");
	mutation_free(mutation);
	mutation = state_of(tunnel("a", "b"), tunnel("b", "c"), tunnel("d", NULL));
	assert_one_fault(&mutation->problem, "/tunnels/1/spec/interface/via", "unknown_tunnel");
	mutation_free(mutation);
}

static _Atomic unsigned done_count;

static void on_done(struct mutation *mutation, void *owner)
{
	(void)mutation;
	(void)owner;
	done_count++;
}

static struct mutation *submit(struct access *access, enum operation_kind kind, const char *id, const char *document)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = SCOPE_ADMIN;
	mutation->operations[0] = (struct operation){ .kind = kind, .document = quoted_json(document) };
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	mutation->done = on_done;
	service_submit(own_bench.service, access, mutation);
	return mutation;
}

static void await_done(unsigned count)
{
	for (unsigned waited = 0; done_count < count && waited < WAIT_MS; waited++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(done_count, count);
}

/* Two changes, each of which is sound by itself. */
static void two_changes_at_once_close_no_circle(void **state)
{
	(void)state;
	put("a", NULL);
	put("b", NULL);
	for (unsigned i = 0; i < 20; i++) {
		done_count = 0;
		struct mutation *first = submit(access_whole(), OPERATION_PUT, "a", tunnel("a", "b"));
		struct mutation *second = submit(access_whole(), OPERATION_PUT, "b", tunnel("b", "a"));
		await_done(2);
		bool first_is_done = first->operations[0].problem.code == PROBLEM_NONE;
		assert_true(first_is_done != (second->operations[0].problem.code == PROBLEM_NONE));
		assert_one_fault(first_is_done ? &second->operations[0].problem : &first->operations[0].problem, VIA, "circle");
		mutation_free(first);
		mutation_free(second);
		patch("a", NULL);
		patch("b", NULL);
	}
}

#define RED "'labels':{'team':'red'}"
#define BLUE "'labels':{'team':'blue'}"
#define DARK "'interface':{'private_key':'" KEY "','addresses':['10.0.0.2']"

/* What a token that is bound to the label team=red is told of a tunnel x of its own. */
static enum problem_code red_makes_x(enum operation_kind kind)
{
	struct spec_label team = { .key = (char[]){ "team" }, .value = (char[]){ "red" } };
	struct access *red = access_create(&team, 1);
	done_count = 0;
	struct mutation *mutation = submit(red, kind, "x", "{'id':'x'," RED ",'spec':{" DARK "}}}");
	await_done(1);
	enum problem_code code = mutation->operations[0].problem.code;
	mutation_free(mutation);
	access_release(red);
	return code;
}

static void do_put(enum spec_kind object, const char *id, const char *document)
{
	struct mutation *mutation = mutation_create(MUTATION_OPERATIONS, 1);
	mutation->scope = SCOPE_ADMIN;
	mutation->operations[0] = (struct operation){ .kind = OPERATION_PUT, .object = object, .document = quoted_json(document) };
	snprintf(mutation->operations[0].id, sizeof(mutation->operations[0].id), "%s", id);
	bench_do(&own_bench, mutation);
	assert_int_equal(mutation->operations[0].problem.code, PROBLEM_NONE);
	mutation_free(mutation);
}

/* P2: it would carry the datagrams, or the clients, of those who named a tunnel that is gone. */
static void an_id_that_others_name_is_not_vacant(void **state)
{
	(void)state;
	put("x", NULL);
	do_put(SPEC_TUNNEL, "in", "{" BLUE ",'spec':{" DARK ",'via':'x'}}}");
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "x", NULL), PROBLEM_NONE);
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_TUNNEL_EXISTS);
	assert_int_equal(red_makes_x(OPERATION_CREATE), PROBLEM_TUNNEL_EXISTS);
	/* Of red it may be the outer one. */
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "in", "{" RED "}"), PROBLEM_NONE);
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_PATCH, "in", "{" BLUE "}"), PROBLEM_NONE);
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_NONE); /* it is its own already */
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "x", NULL), PROBLEM_NONE);
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "in", NULL), PROBLEM_NONE);
	do_put(SPEC_POOL, "p", "{" BLUE ",'spec':{'members':{'tunnels':['x']}}}");
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_TUNNEL_EXISTS);
	do_put(SPEC_POOL, "p", "{" BLUE ",'spec':{'rules':[{'ports':['443'],'action':'members','members':{'tunnels':['x']}}]}}");
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_TUNNEL_EXISTS);
	do_put(SPEC_POOL, "p", "{" RED ",'spec':{'members':{'tunnels':['x']}}}");
	assert_int_equal(red_makes_x(OPERATION_PUT), PROBLEM_NONE);
}

/* A change that parts them moves what is inside to the outer tunnel's worker, and what is inside that. */
static void a_running_tunnel_is_moved(void **state)
{
	(void)state;
	put("up-a", NULL);
	put("up-b", NULL);
	put("up-c", "up-b");
	assert_int_not_equal(worker_of("up-a"), worker_of("up-b"));
	unsigned port = bench_port(&own_bench, "up-b");
	patch("up-b", "up-a");
	await_same_worker("up-a", "up-b");
	await_same_worker("up-a", "up-c");
	assert_int_equal(bench_port(&own_bench, "up-b"), port);
	patch("up-b", NULL);
	patch("up-c", NULL);
	put("up-d", "up-c");
	assert_int_equal(worker_of("up-d"), worker_of("up-c"));
	assert_int_equal(bench_code(&own_bench, OPERATION_DELETE, "up-b", NULL), PROBLEM_NONE);
}

/* At a start they are found in the order of their ids. */
static void a_chain_is_restored_together(void **state)
{
	static const char *const ids[] = { "a", "b", "c", "d" };
	(void)state;
	put("c", NULL);
	put("a", "c");
	put("d", "a");
	put("b", "d");
	for (unsigned i = 0; i < 2; i++) {
		bench_stop(&own_bench);
		assert_true(bench_start(&own_bench));
		bench_wait_ready(&own_bench);
		for (unsigned k = 1; k < 4; k++)
			await_same_worker(ids[0], ids[k]);
	}
}

int main(int argc, char **argv)
{
	int code;
	if (fake_worker_runs(argc, argv, &code))
		return code;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_by_one, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(the_outer_tunnel_may_be_deleted, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_batch_in_any_order, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_batch_with_an_operation_inside, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_whole_state_in_any_order, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(two_changes_at_once_close_no_circle, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(an_id_that_others_name_is_not_vacant, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_running_tunnel_is_moved, bench_set_up, bench_tear_down),
		cmocka_unit_test_setup_teardown(a_chain_is_restored_together, bench_set_up, bench_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
