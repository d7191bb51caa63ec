/* Tunnels are built in their workers: in a window, when there is memory, and a refusal is of that tunnel alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/snapshot_make.h"
#include "service/worker/provisioner.h"
#include "service/worker/runtime.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

#define WINDOW 256

static struct provisioner *provisioner;
static bool lacks_memory; /* for a PREPARE */

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
	lacks_memory = false;
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
	assert_true(bench_worker_answer(MESSAGE_STATUS_NO_MEMORY, "no locked memory"));
}

static void nothing(void *owner)
{
	(void)owner;
}

static unsigned requests(void)
{
	unsigned count = 0;
	for (const struct worker_request *request = bench.worker.first; request != NULL; request = request->next)
		count++;
	return count;
}

static void a_tunnel_that_is_refused_fails(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	provisioner_start(provisioner, entry);
	refuse();
	assert_non_null(entry->snapshot->failure);
	/* And is not built again. */
	provisioner_start(provisioner, entry);
	provisioner_renew(provisioner, entry);
	assert_int_equal(requests(), 0);
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

/* The next process gets it again. */
static void a_refusal_of_a_process_that_is_gone_fails_nothing(void **state)
{
	struct lock_claim turn;
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	provisioner_start(provisioner, entry);
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	refuse();
	bench.worker.incarnation++;
	lock_queue_release(bench.locks, &turn);
	assert_null(entry->snapshot->failure);
}

static void nothing_is_sent_to_a_worker_that_is_not_ready(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	bench.worker.state = WORKER_STARTING;
	provisioner_start(provisioner, entry);
	provisioner_renew(provisioner, entry);
	entry->is_waiting = true;
	provisioner_hurry(provisioner, entry);
	provisioner_tick(provisioner, &bench.supervisor);
	assert_int_equal(requests(), 0);
	assert_int_equal(bench_worker_next(), 0);
	entry->is_waiting = false;
	bench.worker.state = WORKER_READY;
	provisioner_hurry(provisioner, entry);
	assert_int_equal(requests(), 0);
	struct worker *worker = entry->worker;
	entry->worker = NULL;
	provisioner_start(provisioner, entry);
	provisioner_renew(provisioner, entry);
	entry->worker = worker;
	assert_int_equal(requests(), 0);
}

/* Descriptors: each tunnel on its way has copies of its sockets. */
static void thousands_go_in_a_window(void **state)
{
	const unsigned count = WINDOW + 40;
	struct entry *entries[WINDOW + 40];
	(void)state;
	for (unsigned i = 0; i < count; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%u", i);
		entries[i] = bench_worker_add(id, NULL);
		provisioner_start(provisioner, entries[i]);
	}
	assert_int_equal(requests(), WINDOW);
	assert_true(entries[WINDOW]->is_waiting);
	/* One that something depends on does not wait. */
	provisioner_hurry(provisioner, entries[count - 1]);
	assert_int_equal(requests(), WINDOW + 1);
	assert_false(entries[count - 1]->is_waiting);
	for (unsigned answers = 0; answers < count; answers++)
		assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
	assert_int_equal(requests(), 0);
	for (unsigned i = 0; i < count; i++)
		assert_false(entries[i]->is_waiting);
}

enum { NETWORKS = 65536, LARGE = 70 };

static bool take_any(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner, (void)type, (void)body, (void)descriptors, (void)count;
	return true;
}

static void read_all(void)
{
	do {
		assert_int_equal(channel_flush(bench.worker.channel), CHANNEL_OK);
		assert_int_equal(channel_read(bench.far_end, take_any, NULL), CHANNEL_OK);
	} while (channel_wants_write(bench.worker.channel));
}

/* P6: tunnels with as many networks as there may be, more together than is queued for a worker. One that reads slowly gets them piece by piece, and
 * is not taken for one that does not read. */
static void large_tunnels_go_as_the_worker_reads(void **state)
{
	struct wireguard_network *networks = calloc(NETWORKS, sizeof(*networks));
	(void)state;
	for (unsigned i = 0; i < NETWORKS; i++)
		networks[i] = (struct wireguard_network){ .family = AF_INET6, .prefix = 128 };
	for (unsigned i = 0; i < LARGE; i++) {
		char id[16];
		snprintf(id, sizeof(id), "t%u", i);
		struct entry *entry = bench_worker_add(id, NULL);
		struct snapshot *snapshot = entry->snapshot;
		snapshot->spec.peers = calloc(1, sizeof(*snapshot->spec.peers));
		snapshot->spec.peers[0].allowed_ips = malloc(NETWORKS * sizeof(*networks));
		memcpy(snapshot->spec.peers[0].allowed_ips, networks, NETWORKS * sizeof(*networks));
		snapshot->spec.peers[0].allowed_ip_count = NETWORKS;
		snapshot->spec.peer_count = 1;
		slot_release(snapshot->slots[0]);
		free(snapshot->slots);
		free(snapshot->peer_counters);
		assert_true(snapshot_take_slots(snapshot, entry, NULL));
		provisioner_start(provisioner, entry);
	}
	free(networks);
	unsigned built = 0;
	while (built < LARGE) {
		assert_null(bench.worker.fault);
		assert_true(requests() > 0);
		for (; requests() > 0 && built < LARGE; built++)
			assert_true(bench_worker_answer(MESSAGE_STATUS_OK, ""));
		read_all();
		provisioner_tick(provisioner, &bench.supervisor);
	}
	assert_int_equal(requests(), 0);
}

static void what_memory_is_missing_for_waits_for_it(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL), *other = bench_worker_add("b", NULL);
	struct snapshot_status status;
	lacks_memory = true;
	provisioner_start(provisioner, entry);
	provisioner_start(provisioner, other);
	assert_true(entry->is_waiting);
	assert_int_equal(requests(), 0);
	snapshot_status(entry->snapshot, &status);
	assert_string_equal(status.reason, "out of memory or descriptors");
	provisioner_tick(provisioner, &bench.supervisor);
	assert_true(entry->is_waiting && other->is_waiting);
	lacks_memory = false;
	/* A change that is under way sends it itself, or leaves it to the next tick. */
	struct lock_claim turn;
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	provisioner_tick(provisioner, &bench.supervisor);
	assert_true(entry->is_waiting);
	assert_false(other->is_waiting);
	lock_queue_release(bench.locks, &turn);
	provisioner_tick(provisioner, &bench.supervisor);
	assert_false(entry->is_waiting);
	assert_int_equal(requests(), 2);
	heap_fails_after(0);
	provisioner_renew(provisioner, entry);
	heap_works();
	assert_true(entry->is_waiting);
}

/* A failure that cannot be noted is no success: the tunnel is tried again. */
static void a_refusal_that_memory_is_missing_for_is_tried_again(void **state)
{
	(void)state;
	struct entry *entry = bench_worker_add("a", NULL);
	provisioner_start(provisioner, entry);
	heap_fails_after(0);
	refuse();
	heap_works();
	assert_null(entry->snapshot->failure);
	assert_true(entry->is_waiting);
	provisioner_tick(provisioner, &bench.supervisor);
	refuse();
	assert_non_null(entry->snapshot->failure);
}

static void there_is_none_without_memory(void **state)
{
	const struct provisioner_means means = { .registry = bench.registry };
	(void)state;
	for (unsigned number = 0; number < 2; number++) {
		heap_fails_once_after(number);
		struct provisioner *none = provisioner_create(&means, 1);
		heap_works();
		assert_null(none);
	}
	provisioner_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_tunnel_that_is_refused_fails),
		TEST(a_refusal_is_not_of_the_next_tunnel_of_its_id),
		TEST(a_refusal_of_a_process_that_is_gone_fails_nothing),
		TEST(nothing_is_sent_to_a_worker_that_is_not_ready),
		TEST(thousands_go_in_a_window),
		TEST(large_tunnels_go_as_the_worker_reads),
		TEST(what_memory_is_missing_for_waits_for_it),
		TEST(a_refusal_that_memory_is_missing_for_is_tried_again),
		TEST(there_is_none_without_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
