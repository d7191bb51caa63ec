/* What runs, handed from one control process to the next: whole, or not at all, whatever the bytes are and whatever memory is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/endpoint.h"
#include "service/inheritance.h"
#include "service/registry/snapshot_make.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

#define PEERS 2

/* The program that takes over. */
static struct {
	struct lock_queue *locks;
	struct registry *registry;
	struct slot_table *slots;
	struct worker worker;
	struct supervisor supervisor;
	struct inheritance_means means;
} heir;

static struct handover handover;
static struct message_writer places; /* slots_save */
static int spare, number;            /* of the UDP socket: a copy, and the descriptor that the bytes name */
static uint16_t port;

static struct snapshot *make_snapshot(const char *id, uint64_t revision)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	spec_init(&spec);
	spec.peers = calloc(PEERS, sizeof(*spec.peers));
	spec.peer_count = PEERS;
	for (uint8_t i = 0; i < PEERS; i++)
		spec.peers[i].public_key.bytes[0] = i + 1;
	assert_true(spec_index_peers(&spec));
	struct snapshot *snapshot = snapshot_make(id, &labels, 0, &spec, NULL, NULL, NULL, 0);
	assert_non_null(snapshot);
	snapshot->revision = revision;
	return snapshot;
}

static struct message_addresses *make_addresses(void)
{
	struct message_addresses *addresses = calloc(PEERS + 1, sizeof(*addresses));
	addresses[0].count = 1;
	addresses[0].list[0].v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(51820) };
	return addresses;
}

/* One that runs; it has a socket, figures, addresses and a reason. */
static void run_tunnel(const char *id)
{
	struct entry *entry = entry_create(id);
	struct socket_pool none = { .count = 0 };
	struct problem problem;
	problem_init(&problem);
	entry->worker = &bench.worker;
	entry->slot = slot_take_tunnel(bench.worker.slots);
	entry->snapshot = make_snapshot(id, 7);
	entry->number = 11;
	entry->addresses = make_addresses();
	assert_true(snapshot_take_slots(entry->snapshot, entry, NULL));
	struct socket_request request = { .spec = &entry->snapshot->spec, .next_id = &entry->next_socket_id, .pointer = "" };
	assert_true(socket_list_want(&entry->sockets, &entry->snapshot->spec));
	assert_true(socket_list_open(&entry->sockets, &request, &none, &problem));
	port = socket_list_udp_port(&entry->sockets);
	status_set_obstacle(entry->status, "no address");
	assert_true(registry_reserve(bench.registry, 1));
	registry_add(bench.registry, entry);
	registry_unreserve(bench.registry, 1);
}

/* What is stored of it, as the next program reads it. */
static struct entry *store_tunnel(const char *id, uint64_t revision)
{
	struct entry *entry = entry_create(id);
	entry->snapshot = make_snapshot(id, revision);
	entry->snapshot->failure = strdup("not restored yet");
	entry->is_unbound = true;
	assert_true(registry_reserve(heir.registry, 1));
	registry_add(heir.registry, entry);
	registry_unreserve(heir.registry, 1);
	return entry;
}

static void open_heir(void)
{
	struct counters *counters;
	int descriptor = counters_create(&counters);
	assert_true(descriptor >= 0);
	heir.locks = lock_queue_create();
	heir.registry = registry_create(heir.locks);
	heir.slots = slot_table_create(2);
	heir.supervisor = (struct supervisor){ .loop = &bench.loop, .workers = &heir.worker, .count = 1 };
	heir.worker = (struct worker){ .supervisor = &heir.supervisor, .state = WORKER_READY, .slots = slots_create(counters, descriptor, 0) };
	heir.means = (struct inheritance_means){ .registry = heir.registry, .supervisor = &heir.supervisor, .slots = heir.slots };
	struct message_reader reader = { .bytes = places.bytes, .left = places.length };
	assert_true(slots_load(heir.worker.slots, &reader));
	/* It is open in the next program, whoever had it before. */
	assert_int_equal(dup2(spare, number), number);
}

static void close_heir(void)
{
	registry_free(heir.registry);
	slot_table_free(heir.slots);
	slots_free(heir.worker.slots);
	lock_queue_free(heir.locks);
}

static int set_up(void **state)
{
	bench_worker_set_up(state);
	const struct inheritance_means means = { .registry = bench.registry, .supervisor = &bench.supervisor, .slots = bench.slots };
	run_tunnel("a");
	handover_begin(&handover);
	inheritance_save(&means, &handover);
	assert_int_equal(handover.count, 1);
	number = handover.descriptors[0];
	spare = dup(number);
	message_writer_init(&places);
	slots_save(bench.worker.slots, &places);
	/* That program is gone. */
	struct entry *entry = registry_entry(bench.registry, "a");
	registry_remove(bench.registry, entry);
	entry_free(entry);
	return handover.writer.failed ? -1 : 0;
}

static int tear_down(void **state)
{
	close(spare);
	message_writer_clear(&places);
	message_writer_clear(&handover.writer);
	free(handover.descriptors);
	return bench_worker_tear_down(state);
}

/* Reads the first bytes, behind the handover's own head, into the heir. */
static bool load(size_t length)
{
	struct handover read = { .memory = -1, .reader = { .bytes = handover.writer.bytes + 8, .left = length } };
	bool is_loaded = inheritance_load(&heir.means, &read);
	free(read.descriptors);
	return is_loaded;
}

static size_t whole(void)
{
	return handover.writer.length - 8;
}

static void what_ran_runs_on(void **state)
{
	struct status_report told = { .state = TUNNEL_STARTING };
	char reason[160], obstacle[160];
	(void)state;
	open_heir();
	struct entry *entry = store_tunnel("a", 7), *other = store_tunnel("b", 7);
	assert_true(load(whole()));
	assert_int_equal(entry->number, 11);
	assert_ptr_equal(entry->worker, &heir.worker);
	assert_null(entry->snapshot->failure);
	assert_false(entry->is_unbound);
	assert_int_equal(entry->snapshot->udp_port, port);
	assert_int_equal(entry->addresses[0].count, 1);
	assert_int_equal(entry->addresses[1].count, 0);
	assert_non_null(entry->snapshot->slots[PEERS]);
	status_get(entry->status, &told, 0, reason, obstacle);
	assert_string_equal(obstacle, "no address");
	assert_ptr_equal(slot_table_at(heir.slots, 0, slot_index(entry->slot)), entry);
	/* What did not run is left to the restorer. */
	assert_true(other->is_unbound);
	assert_null(other->slot);
	close_heir();
}

static void what_does_not_agree_with_the_disk_is_refused(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		open_heir();
		struct entry *entry = i == 0 ? NULL : store_tunnel("a", i == 1 ? 8 : 7);
		if (i == 2)
			entry->snapshot->generation++;
		if (i == 3)
			entry->snapshot->spec.peer_count--;
		assert_false(load(whole()));
		if (i == 3)
			entry->snapshot->spec.peer_count++;
		if (entry != NULL && i != 3)
			assert_null(entry->slot);
		close_heir();
	}
	/* Of a worker that is not there. */
	open_heir();
	store_tunnel("a", 7);
	heir.supervisor.count = 0;
	assert_false(load(whole()));
	heir.supervisor.count = 1;
	close_heir();
}

static void no_part_of_it_is_enough(void **state)
{
	(void)state;
	for (size_t length = 0; length < whole(); length++) {
		open_heir();
		store_tunnel("a", 7);
		if (load(length))
			fail_msg("%zu of %zu bytes", length, whole());
		close_heir();
	}
}

/* Any one byte may be another: it is refused, or what is loaded is sound enough to be freed. */
static void a_byte_that_is_another_harms_nothing(void **state)
{
	(void)state;
	uint8_t *bytes = handover.writer.bytes + 8;
	for (size_t at = 0; at < whole(); at++) {
		uint8_t before = bytes[at];
		bytes[at] = 0xff;
		open_heir();
		store_tunnel("a", 7);
		(void)load(whole());
		close_heir();
		bytes[at] = before;
	}
}

/* F1 */
static void memory_that_is_out_refuses_it(void **state)
{
	bool is_done = false;
	unsigned refused = 0;
	(void)state;
	for (unsigned allowed = 0; !is_done; allowed++) {
		open_heir();
		const struct entry *entry = store_tunnel("a", 7);
		heap_fails_once_after(allowed);
		bool is_loaded = load(whole());
		is_done = heap_refused() == 0;
		heap_works();
		refused += !is_loaded;
		/* A reason is the one thing that it can do without. */
		assert_true(!is_loaded || (entry->snapshot->failure == NULL && entry->snapshot->udp_port == port && entry->addresses != NULL));
		assert_true(is_loaded || !is_done);
		close_heir();
	}
	assert_true(refused > 5);
}

/* What is not whole on a worker starts anew. */
static void only_what_runs_is_handed_over(void **state)
{
	const struct inheritance_means means = { .registry = bench.registry, .supervisor = &bench.supervisor, .slots = bench.slots };
	(void)state;
	struct entry *entry = bench_worker_add("c", NULL);
	for (int i = 0; i < 4; i++) {
		struct slot *slot = entry->slot;
		struct handover none;
		handover_begin(&none);
		entry->is_waiting = i == 0;
		entry->is_unbound = i == 1;
		entry->slot = i == 2 ? NULL : slot;
		entry->snapshot->failure = i == 3 ? strdup("why") : NULL;
		inheritance_save(&means, &none);
		assert_int_equal(none.writer.length, 8 + 4);
		free(entry->snapshot->failure);
		entry->snapshot->failure = NULL;
		entry->slot = slot;
		entry->is_unbound = false;
		message_writer_clear(&none.writer);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_ran_runs_on),
		TEST(what_does_not_agree_with_the_disk_is_refused),
		TEST(no_part_of_it_is_enough),
		TEST(a_byte_that_is_another_harms_nothing),
		TEST(memory_that_is_out_refuses_it),
		TEST(only_what_runs_is_handed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
