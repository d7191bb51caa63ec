/* STORING and COMMITTING: what the disk refuses is undone, and what it has taken runs, whatever becomes of the worker meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/worker/runtime.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/failing_vfs.h"

static const char tunnel[] = "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}";
static const char patch[] = "{'spec':{'interface':{'mtu':1400}}}";

static bool lacks_memory; /* for a PREPARE, which is the one message with as much in it as the tunnel has */

bool __real_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request);
bool __wrap_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request);

bool __wrap_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request)
{
	return !lacks_memory && __real_runtime_send_prepare(entry, snapshot, sockets, addresses, all_fresh, request);
}

static int set_up(void **state)
{
	failing_vfs_register();
	failing_vfs_make_default();
	lacks_memory = false;
	return bench_mutations_set_up(state);
}

static int tear_down(void **state)
{
	failing_vfs_full(false);
	return bench_mutations_tear_down(state);
}

static struct entry *create(void)
{
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", tunnel));
	while (bench_worker_next() != 0)
		continue;
	struct entry *entry = registry_entry(bench.registry, "a");
	assert_non_null(entry);
	return entry;
}

static void assert_answer(struct mutation *mutation, enum problem_code code)
{
	assert_int_equal(bench_mutations_code(mutation), code);
	mutation_free(mutation);
}

/* Until the worker has prepared it and the disk is to answer. */
static struct mutation *begin(enum operation_kind kind, const char *json)
{
	struct mutation *mutation = bench_mutations_make(kind, "a", json);
	bench_mutations_start(mutation);
	while (mutation->state != MUTATION_STORING) {
		(void)bench_worker_answer(MESSAGE_STATUS_OK, "");
		bench_mutations_turn();
	}
	return mutation;
}

static void what_the_disk_refuses_is_undone(void **state)
{
	(void)state;
	struct entry *entry = create();
	const struct snapshot *before = entry->snapshot;
	failing_vfs_full(true);
	struct mutation *mutation = begin(OPERATION_PATCH, patch);
	assert_int_equal(bench_worker_next(), MESSAGE_PREPARE);
	bench_mutations_finish();
	assert_answer(mutation, PROBLEM_OUT_OF_RESOURCES);
	assert_int_equal(bench_worker_next(), MESSAGE_ABORT);
	assert_int_equal(bench_worker_next(), 0);
	assert_ptr_equal(entry->snapshot, before);
	assert_true(lock_queue_is_free(bench.locks, "a"));
}

/* Until the COMMIT is answered the worker may run either. */
static void both_generations_count_until_the_worker_has_answered(void **state)
{
	(void)state;
	struct entry *entry = create();
	struct mutation *mutation = begin(OPERATION_PATCH, patch);
	bench_mutations_until_stored();
	assert_int_equal(entry->snapshot->generation, 2);
	assert_int_equal(entry->old_generation, 1);
	bench_mutations_finish();
	assert_int_equal(entry->old_generation, 0);
	assert_answer(mutation, PROBLEM_NONE);
}

static void a_worker_that_lost_its_candidate_gets_the_tunnel(void **state)
{
	(void)state;
	(void)create();
	struct mutation *mutation = begin(OPERATION_PATCH, patch);
	bench_mutations_until_stored();
	assert_true(bench_worker_answer(MESSAGE_STATUS_UNKNOWN, ""));
	assert_answer(mutation, PROBLEM_NONE);
	static const enum message_type wanted[] = { MESSAGE_PREPARE, MESSAGE_COMMIT, MESSAGE_REMOVE, MESSAGE_PREPARE, MESSAGE_COMMIT, 0 };
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		assert_int_equal(bench_worker_next(), wanted[i]);
}

/* The worker is replaced between its answer and the disk's. The new process has built the old version. */
static struct mutation *begin_and_replace(enum operation_kind kind, const char *json)
{
	struct mutation *mutation = begin(kind, json);
	bench_mutations_replace_worker();
	struct entry *entry = registry_entry(bench.registry, "a");
	if (entry != NULL)
		provisioner_start(changes.means.provisioner, entry);
	while (bench_worker_next() != 0)
		continue;
	return mutation;
}

static void a_new_worker_gets_what_is_stored(void **state)
{
	(void)state;
	(void)create();
	struct mutation *mutation = begin_and_replace(OPERATION_PATCH, patch);
	bench_mutations_finish();
	assert_answer(mutation, PROBLEM_NONE);
	assert_int_equal(bench_worker_next(), MESSAGE_REMOVE);
	assert_int_equal(bench_worker_next(), MESSAGE_PREPARE);
	assert_int_equal(bench_worker_next(), MESSAGE_COMMIT);
	assert_int_equal(bench_worker_next(), 0);
}

static void a_new_worker_gets_a_new_tunnel(void **state)
{
	(void)state;
	struct mutation *mutation = begin_and_replace(OPERATION_CREATE, tunnel);
	bench_mutations_finish();
	assert_answer(mutation, PROBLEM_NONE);
	assert_int_equal(bench_worker_next(), MESSAGE_PREPARE);
	assert_int_equal(bench_worker_next(), MESSAGE_COMMIT);
	assert_int_equal(bench_worker_next(), 0);
}

/* Nothing that is stored depends on memory: the tunnel waits for it, and is not asked to commit what it was never sent. */
static void a_new_worker_gets_what_is_stored_when_there_is_memory(void **state)
{
	(void)state;
	struct entry *entry = create();
	struct mutation *mutation = begin_and_replace(OPERATION_PATCH, patch);
	lacks_memory = true;
	bench_mutations_finish();
	assert_answer(mutation, PROBLEM_NONE);
	assert_int_equal(bench_worker_next(), MESSAGE_REMOVE);
	assert_int_equal(bench_worker_next(), 0);
	assert_true(entry->is_waiting);
	provisioner_tick(changes.means.provisioner, &bench.supervisor);
	assert_true(entry->is_waiting);
	lacks_memory = false;
	provisioner_tick(changes.means.provisioner, &bench.supervisor);
	assert_false(entry->is_waiting);
	assert_int_equal(bench_worker_next(), MESSAGE_PREPARE);
	assert_int_equal(bench_worker_next(), MESSAGE_COMMIT);
	assert_int_equal(bench_worker_next(), 0);
}

/* S1: its sockets are closed only when the worker has closed its copies, and the answer comes after that. */
static void a_delete_is_answered_when_the_worker_has_let_go(void **state)
{
	(void)state;
	struct entry *entry = create();
	assert_true(entry->sockets.count > 0);
	struct mutation *mutation = begin(OPERATION_DELETE, NULL);
	bench_mutations_until_stored();
	assert_null(registry_entry(bench.registry, "a"));
	for (int i = 0; i < 5; i++)
		bench_mutations_turn();
	assert_int_equal(changes.answered, 1);
	assert_int_equal(bench_worker_next(), MESSAGE_REMOVE);
	assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_int_equal(changes.answered, 2);
	assert_answer(mutation, PROBLEM_NONE);
}

static void a_worker_that_dies_at_the_end_does_not_undo_it(void **state)
{
	(void)state;
	struct entry *entry = create();
	struct mutation *mutation = begin(OPERATION_PATCH, patch);
	bench_mutations_until_stored();
	worker_answer_gone(&bench.worker);
	assert_int_equal(changes.answered, 2);
	assert_answer(mutation, PROBLEM_NONE);
	assert_int_equal(entry->snapshot->generation, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_disk_refuses_is_undone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(both_generations_count_until_the_worker_has_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_that_lost_its_candidate_gets_the_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_worker_gets_what_is_stored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_worker_gets_a_new_tunnel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_new_worker_gets_what_is_stored_when_there_is_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_delete_is_answered_when_the_worker_has_let_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_that_dies_at_the_end_does_not_undo_it, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
