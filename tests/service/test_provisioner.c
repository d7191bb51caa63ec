/* A worker's refusal to build a tunnel waits for the tunnel's turn, and is of that tunnel alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/worker/provisioner.h"
#include "tests/service/bench_worker.h"

static struct provisioner *provisioner;

static int set_up(void **state)
{
	bench_worker_set_up(state);
	const struct provisioner_means means = { .registry = bench.registry, .locks = bench.locks, .slots = bench.slots, .events = bench.events };
	provisioner = provisioner_create(&means, 1);
	assert_non_null(provisioner);
	return 0;
}

static int tear_down(void **state)
{
	worker_answer_gone(&bench.worker);
	bench_worker_tear_down(state);
	provisioner_free(provisioner);
	return 0;
}

/* The answer to the oldest request. */
static void refuse(void)
{
	const struct worker_request *request = bench.worker.first;
	const struct worker_reply reply = { .type = MESSAGE_PREPARED,
		                            .prepared = { .ack = { .request = request->number,
		                                                   .slot = request->slot,
		                                                   .generation = request->generation,
		                                                   .status = MESSAGE_STATUS_NO_MEMORY } } };
	worker_answer(&bench.worker, &reply, request->number, request->slot, request->generation);
}

static void nothing(void *owner)
{
	(void)owner;
}

static void a_tunnel_that_is_refused_fails(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	provisioner_start(provisioner, entry);
	refuse();
	assert_non_null(entry->snapshot->failure);
}

static void a_refusal_is_not_of_the_next_tunnel_of_its_id(void **state)
{
	struct lock_claim turn;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	provisioner_start(provisioner, entry);
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	refuse();
	bench_worker_remove(entry);
	struct entry *next = bench_worker_add("a", NULL);
	lock_queue_release(bench.locks, &turn);
	assert_null(next->snapshot->failure);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_tunnel_that_is_refused_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_refusal_is_not_of_the_next_tunnel_of_its_id, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
