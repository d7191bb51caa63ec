/* All mutations share one loop: each does a bounded part of its work in a turn of it, however many tunnels or peers it is about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>

#include "service/change/delta.h"
#include "service/worker/placement.h"
#include "service/worker/runtime.h"
#include "tests/service/bench_mutations.h"
#include "tests/service/quoted_json.h"

enum { TUNNELS = 600, PEERS = 4096 };

/* Work on a tunnel, by kind (see the linker's options). */
enum work { PLAN, OPEN, FURNISH, PREPARE, WRITE, SWAP, CLEAR, WORK_KINDS };
static unsigned work[WORK_KINDS], most[WORK_KINDS], total[WORK_KINDS];

void __real_delta_apply(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope);
void __wrap_delta_apply(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope);
bool __real_socket_list_open(struct socket_list *sockets, const struct socket_request *request, struct socket_pool *pool, struct problem *problem);
bool __wrap_socket_list_open(struct socket_list *sockets, const struct socket_request *request, struct socket_pool *pool, struct problem *problem);
enum placement __real_placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous,
                                        struct snapshot *snapshot, const struct socket_list *sockets, struct message_addresses **addresses);
enum placement __wrap_placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous,
                                        struct snapshot *snapshot, const struct socket_list *sockets, struct message_addresses **addresses);
bool __real_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request);
bool __wrap_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request);
char *__real_socket_list_ports(const struct socket_list *sockets);
char *__wrap_socket_list_ports(const struct socket_list *sockets);
struct snapshot *__real_registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot);
struct snapshot *__wrap_registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot);
void __real_delta_clear(struct delta *delta);
void __wrap_delta_clear(struct delta *delta);

void __wrap_delta_apply(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	work[PLAN]++;
	__real_delta_apply(delta, policy, operation, candidate, scope);
}

bool __wrap_socket_list_open(struct socket_list *sockets, const struct socket_request *request, struct socket_pool *pool, struct problem *problem)
{
	work[OPEN]++;
	return __real_socket_list_open(sockets, request, pool, problem);
}

enum placement __wrap_placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous,
                                        struct snapshot *snapshot, const struct socket_list *sockets, struct message_addresses **addresses)
{
	work[FURNISH]++;
	return __real_placement_furnish(supervisor, entry, previous, snapshot, sockets, addresses);
}

bool __wrap_runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                                 const struct message_addresses *addresses, bool all_fresh, uint64_t request)
{
	work[PREPARE]++;
	return __real_runtime_send_prepare(entry, snapshot, sockets, addresses, all_fresh, request);
}

char *__wrap_socket_list_ports(const struct socket_list *sockets)
{
	work[WRITE]++;
	return __real_socket_list_ports(sockets);
}

struct snapshot *__wrap_registry_swap(struct registry *registry, struct entry *entry, const struct lock_claim *turn, struct snapshot *snapshot)
{
	work[SWAP]++;
	return __real_registry_swap(registry, entry, turn, snapshot);
}

void __wrap_delta_clear(struct delta *delta)
{
	work[CLEAR]++;
	__real_delta_clear(delta);
}

/* The work of the turn that has just ended. */
static unsigned end_turn(void)
{
	unsigned all = 0;
	for (int kind = 0; kind < WORK_KINDS; kind++) {
		all += work[kind];
		total[kind] += work[kind];
		most[kind] = work[kind] > most[kind] ? work[kind] : most[kind];
		work[kind] = 0;
	}
	return all;
}

static void reset_work(void)
{
	for (int kind = 0; kind < WORK_KINDS; kind++)
		work[kind] = most[kind] = total[kind] = 0;
}

/* Until it is answered, turn by turn; the most work of a turn. Answers of the disk and the worker are turns of their own. */
static unsigned run(struct mutation *mutation)
{
	unsigned largest = 0, answered = changes.answered;
	reset_work();
	bench_mutations_start(mutation);
	for (int i = 0; i < 100000 && changes.answered == answered; i++) {
		unsigned done = end_turn();
		largest = done > largest ? done : largest;
		if (i % 3 == 0)
			bench_mutations_turn();
		else if (i % 3 == 1)
			bench_mutations_until_stored();
		else
			(void)bench_worker_answer(MESSAGE_STATUS_OK, "");
	}
	unsigned done = end_turn();
	assert_int_equal(changes.answered, answered + 1);
	return done > largest ? done : largest;
}

static struct mutation *make_state(unsigned count)
{
	struct mutation *mutation = mutation_create(MUTATION_STATE, 0);
	json_t *list = json_array();
	for (unsigned i = 0; i < count; i++) {
		json_t *tunnel = quoted_json(
		    "{'spec':{'enabled':false,'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}");
		char id[16];
		snprintf(id, sizeof(id), "t%05u", i);
		json_object_set_new(tunnel, "id", json_string(id));
		json_array_append_new(list, tunnel);
	}
	mutation->scope = 15;
	mutation->document = json_pack("{s:o}", "tunnels", list);
	return mutation;
}

static void a_whole_state_takes_turns(void **state)
{
	(void)state;
	struct mutation *mutation = make_state(TUNNELS);
	assert_in_range(run(mutation), 1, MUTATIONS_TURN_WORK);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	assert_int_equal(mutation->created, TUNNELS);
	mutation_free(mutation);
	for (int kind = 0; kind < WORK_KINDS; kind++)
		assert_in_range(total[kind], TUNNELS, 2 * TUNNELS);
	assert_int_equal(registry_count(bench.registry), TUNNELS);
	mutation = make_state(0);
	assert_in_range(run(mutation), 1, MUTATIONS_TURN_WORK);
	assert_int_equal(mutation->deleted, TUNNELS);
	mutation_free(mutation);
	assert_int_equal(registry_count(bench.registry), 0);
}

static struct mutation *make_large(enum operation_kind kind, unsigned seed)
{
	struct mutation *mutation = bench_mutations_make(kind, "large",
	                                                 "{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=',"
	                                                 "'addresses':['10.2.0.2']}}}");
	json_t *peers = json_array();
	for (unsigned i = 0; i < PEERS; i++) {
		uint8_t key[32] = { (uint8_t)i, (uint8_t)(i >> 8), (uint8_t)seed, 9 };
		char text[64], network[32];
		sodium_bin2base64(text, sizeof(text), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
		snprintf(network, sizeof(network), "10.9.%u.%u/32", i >> 8, i & 255);
		json_array_append_new(peers, json_pack("{s:s, s:[s]}", "public_key", text, "allowed_ips", network));
	}
	json_object_set_new(json_object_get(mutation->operations[0].document, "spec"), "peers", peers);
	return mutation;
}

/* Each step of such a tunnel takes milliseconds, so no two of them are in one turn. */
static void many_peers_take_a_turn_for_each_step(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 2; seed++) {
		struct mutation *mutation = make_large(OPERATION_PUT, seed);
		assert_int_equal(run(mutation), 1);
		assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
		mutation_free(mutation);
		for (int kind = 0; kind < WORK_KINDS; kind++)
			assert_int_equal(total[kind], 1);
	}
}

/* They share the turns, and none of them is forgotten. */
static void changes_side_by_side_are_all_answered(void **state)
{
	struct mutation *list[2 * MUTATIONS_TURN_WORK];
	const unsigned count = sizeof(list) / sizeof(list[0]);
	(void)state;
	for (unsigned i = 0; i < count; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%u", i);
		list[i] = bench_mutations_make(OPERATION_PUT, id,
		                               "{'spec':{'enabled':false,'interface':{'private_key':"
		                               "'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']}}}");
		bench_mutations_start(list[i]);
	}
	assert_int_equal(changes.answered, 0);
	bench_mutations_finish();
	assert_int_equal(changes.answered, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(bench_mutations_code(list[i]), PROBLEM_NONE);
		mutation_free(list[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_state_takes_turns, bench_mutations_set_up, bench_mutations_tear_down),
		cmocka_unit_test_setup_teardown(many_peers_take_a_turn_for_each_step, bench_mutations_set_up, bench_mutations_tear_down),
		cmocka_unit_test_setup_teardown(changes_side_by_side_are_all_answered, bench_mutations_set_up, bench_mutations_tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
