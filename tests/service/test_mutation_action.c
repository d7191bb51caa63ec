/* ACTING: reconnect and probe ask the worker and change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/service/bench_mutations.h"

#define SPEC(more) "{'spec':{" more "'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}"

static struct message_probe asked;

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner, (void)descriptors, (void)count;
	return type != MESSAGE_PROBE || message_decode_probe(body, &asked);
}

static struct entry *create(const char *document)
{
	struct mutation *mutation = bench_mutations_do(OPERATION_CREATE, "a", document);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	while (bench_worker_next() != 0)
		continue;
	return registry_entry(bench.registry, "a");
}

static struct mutation *begin(enum operation_kind kind, const char *json)
{
	struct mutation *mutation = bench_mutations_make(kind, "a", json);
	bench_mutations_start(mutation);
	return mutation;
}

static void assert_answer(struct mutation *mutation, enum problem_code code)
{
	assert_false(mutations_are_under_way(changes.mutations));
	assert_int_equal(bench_mutations_code(mutation), code);
	mutation_free(mutation);
}

/* What the worker is asked for. */
static const struct message_probe *probe(const char *json)
{
	asked = (struct message_probe){ .request = 0 };
	struct mutation *mutation = begin(OPERATION_PROBE, json);
	assert_int_equal(channel_resume(bench.far_end, on_message, NULL), CHANNEL_OK);
	assert_int_equal(channel_read(bench.far_end, on_message, NULL), CHANNEL_OK);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_int_equal(mutation->operations[0].probe.request, asked.request);
	assert_answer(mutation, PROBLEM_NONE);
	return &asked;
}

static void a_probe_is_the_given_one(void **state)
{
	(void)state;
	struct entry *entry = create(SPEC("'probe':{'type':'ping','target':'10.2.0.1'},"));
	const struct message_probe *sent = probe("{'type':'tcp','target':'10.9.9.9:80','count':2,'timeout':3}");
	assert_int_equal(sent->type, SPEC_PROBE_TCP);
	assert_string_equal(sent->target, "10.9.9.9:80");
	assert_int_equal(sent->count, 2);
	assert_int_equal(sent->timeout_ms, 3000);
	assert_int_equal(sent->slot, slot_index(entry->slot));
	assert_int_equal(entry->snapshot->generation, 1);
}

static void a_probe_without_a_target_is_the_tunnels(void **state)
{
	static const char *const documents[] = { NULL, "{}", "{'count':7}" };
	(void)state;
	(void)create(SPEC("'probe':{'type':'ping','target':'10.2.0.1'},"));
	for (size_t i = 0; i < 3; i++) {
		const struct message_probe *sent = probe(documents[i]);
		assert_int_equal(sent->type, SPEC_PROBE_PING);
		assert_string_equal(sent->target, "10.2.0.1");
		assert_int_equal(sent->count, i == 2 ? 7 : 4);
	}
	/* With a target alone it is a ping. */
	assert_string_equal(probe("{'target':'10.2.0.9'}")->target, "10.2.0.9");
}

static void a_probe_that_cannot_be_read_is_refused(void **state)
{
	static const char *const documents[] = { "{}", "{'type':'ping'}", "{'target':'10.2.0.1','count':0}", "{'target':'10.2.0.1','timeout':0}",
		                                 "{'target':'10.2.0.1','more':1}" };
	(void)state;
	(void)create(SPEC(""));
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
		assert_answer(begin(OPERATION_PROBE, documents[i]), PROBLEM_VALIDATION_FAILED);
	assert_int_equal(bench_worker_next(), 0);
}

static void a_reconnect_is_answered_by_the_worker(void **state)
{
	(void)state;
	(void)create(SPEC(""));
	struct mutation *mutation = begin(OPERATION_RECONNECT, NULL);
	assert_int_equal(bench_worker_next(), MESSAGE_RECONNECT);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_answer(mutation, PROBLEM_NONE);
	mutation = begin(OPERATION_RECONNECT, NULL);
	assert_true(bench_worker_answer(MESSAGE_STATUS_UNKNOWN, ""));
	assert_answer(mutation, PROBLEM_WORKER_UNAVAILABLE);
	mutation = begin(OPERATION_RECONNECT, NULL);
	worker_answer_gone(&bench.worker);
	assert_answer(mutation, PROBLEM_WORKER_UNAVAILABLE);
}

static void what_does_not_run_cannot_act(void **state)
{
	(void)state;
	assert_answer(begin(OPERATION_RECONNECT, NULL), PROBLEM_NOT_FOUND);
	struct entry *entry = create(SPEC(""));
	bench.worker.state = WORKER_STARTING;
	assert_answer(begin(OPERATION_RECONNECT, NULL), PROBLEM_WORKER_UNAVAILABLE);
	bench.worker.state = WORKER_READY;
	struct worker *worker = entry->worker;
	entry->worker = NULL;
	assert_answer(begin(OPERATION_RECONNECT, NULL), PROBLEM_WORKER_UNAVAILABLE);
	entry->worker = worker;
	entry->snapshot->failure = strdup("its port was taken");
	assert_answer(begin(OPERATION_RECONNECT, NULL), PROBLEM_WORKER_UNAVAILABLE);
	free(entry->snapshot->failure);
	entry->snapshot->failure = NULL;
}

static void preconditions_hold_for_actions_too(void **state)
{
	(void)state;
	(void)create(SPEC(""));
	struct mutation *mutation = bench_mutations_make(OPERATION_RECONNECT, "a", NULL);
	mutation->operations[0].if_match = strdup("\"999999\"");
	bench_mutations_start(mutation);
	assert_answer(mutation, PROBLEM_PRECONDITION_FAILED);
}

/* It could not be sent yet, for want of memory. */
static void a_tunnel_that_waits_is_sent_first(void **state)
{
	(void)state;
	create(SPEC(""))->is_waiting = true;
	struct mutation *mutation = begin(OPERATION_RECONNECT, NULL);
	assert_int_equal(bench_worker_next(), MESSAGE_PREPARE);
	assert_int_equal(bench_worker_next(), MESSAGE_COMMIT);
	assert_int_equal(bench_worker_next(), MESSAGE_RECONNECT);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_answer(mutation, PROBLEM_NONE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_probe_is_the_given_one),
		TEST(a_probe_without_a_target_is_the_tunnels),
		TEST(a_probe_that_cannot_be_read_is_refused),
		TEST(a_reconnect_is_answered_by_the_worker),
		TEST(what_does_not_run_cannot_act),
		TEST(preconditions_hold_for_actions_too),
		TEST(a_tunnel_that_waits_is_sent_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
