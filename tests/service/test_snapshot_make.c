/* Snapshots are copied and get their places whole or not at all (F1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "service/registry/snapshot_make.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"

#define TUNNEL                                                                                                                                       \
	"{'labels':{'k':'v'},'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']},"           \
	"'peers':[{'public_key':'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg='},{'public_key':'gN65BkIKy1eCE9pP1wdc8ROUtkHLF2PfAqYdyYBz6EA='}],"     \
	"'proxy':{'listen':['127.0.0.1:0']},'forwards':[{'name':'in','direction':'inbound','listen':'10.2.0.2:1','target':'127.0.0.1:1'},"           \
	"{'name':'out','listen':'127.0.0.1:0','target':'10.2.0.9:1'}]}}"

static struct entry *create(void)
{
	mutation_free(bench_mutations_do(OPERATION_CREATE, "a", TUNNEL));
	struct entry *entry = registry_entry(bench.registry, "a");
	assert_non_null(entry);
	return entry;
}

static void assert_same(const struct snapshot *copy, const struct snapshot *from)
{
	assert_int_equal(copy->revision, from->revision);
	assert_int_equal(copy->generation, from->generation);
	assert_string_equal(copy->labels_json, from->labels_json);
	assert_string_equal(copy->spec_json, from->spec_json);
	assert_int_equal(copy->listen_count, from->listen_count);
	assert_string_equal(copy->listen[0], from->listen[0]);
	assert_null(copy->forwards[0]);
	assert_string_equal(copy->forwards[1], from->forwards[1]);
	assert_ptr_equal(copy->slots[2], from->slots[2]);
	assert_ptr_equal(copy->peer_counters[1], from->peer_counters[1]);
}

static void a_copy_is_whole_or_none(void **state)
{
	bool is_over = false;
	(void)state;
	const struct entry *entry = create();
	for (unsigned number = 0; !is_over; number++) {
		heap_fails_once_after(number);
		struct snapshot *copy = snapshot_copy(entry->snapshot);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(copy != NULL || !is_over); /* what cannot be copied may be made anew */
		if (copy != NULL)
			assert_same(copy, entry->snapshot);
		snapshot_release(copy);
	}
}

/* With thousands of peers that would hold the loop for 30 ms. */
static void a_copy_makes_no_text_anew(void **state)
{
	(void)state;
	struct spec_label *labels = NULL;
	struct spec spec;
	spec_init(&spec);
	spec.peer_count = SPEC_MANY + 1;
	spec.peers = calloc(SPEC_MANY + 1, sizeof(struct spec_peer));
	for (size_t i = 0; i <= SPEC_MANY; i++)
		memcpy(spec.peers[i].public_key.bytes, &i, sizeof(i));
	assert_true(spec_index_peers(&spec));
	char *text = strdup("{\"as\":\"it was\"}");
	struct snapshot *made = snapshot_make("a", &labels, 0, &spec, NULL, &text, NULL, 1000);
	assert_non_null(made);
	struct snapshot *copy = snapshot_copy(made);
	assert_string_equal(copy->spec_json, "{\"as\":\"it was\"}");
	assert_true(made->wire.length > 0 && copy->wire.length == made->wire.length);
	assert_memory_equal(copy->wire.bytes, made->wire.bytes, made->wire.length);
	assert_true(spec_equal(&copy->spec, &made->spec));
	snapshot_release(made);
	snapshot_release(copy);
}

/* What is kept of a small spec would be memory of each tunnel. */
static void only_a_large_spec_is_kept_as_workers_get_it(void **state)
{
	(void)state;
	for (size_t networks = SPEC_MANY - 1; networks <= SPEC_MANY; networks++) {
		struct spec_label *labels = NULL;
		struct spec spec = { .peer_count = 1, .peers = calloc(1, sizeof(struct spec_peer)) };
		spec.peers[0].allowed_ips = calloc(networks, sizeof(struct wireguard_network));
		spec.peers[0].allowed_ip_count = networks;
		for (size_t i = 0; i < networks; i++)
			spec.peers[0].allowed_ips[i] =
			    (struct wireguard_network){ .family = AF_INET, .prefix = 32, .bytes = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i } };
		struct snapshot *made = snapshot_make("a", &labels, 0, &spec, NULL, NULL, NULL, 1000);
		assert_non_null(made);
		struct message_writer writer;
		message_writer_init(&writer);
		spec_encode(&writer, &made->spec);
		assert_int_equal(made->wire.length, networks < SPEC_MANY ? 0 : writer.length);
		assert_true(networks < SPEC_MANY || memcmp(made->wire.bytes, writer.bytes, writer.length) == 0);
		message_writer_clear(&writer);
		snapshot_release(made);
	}
}

/* As when its worker has died: the counters go with it. */
static void places_on_another_worker_are_all_there_or_none(void **state)
{
	bool is_over = false;
	(void)state;
	const struct entry *entry = create();
	counter_set(&slot_peer(entry->snapshot->slots[2])->bytes_received, 77);
	for (unsigned number = 0; !is_over; number++) {
		struct snapshot *copy = snapshot_copy(entry->snapshot);
		struct entry moved = { .worker = entry->worker, .slot = slot_take_tunnel(bench.worker.slots) };
		heap_fails_once_after(number);
		bool has_places = snapshot_move_slots(copy, &moved);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(has_places == is_over);
		if (has_places) {
			snapshot_copy_counters(copy, entry->snapshot);
			assert_ptr_not_equal(copy->slots[2], entry->snapshot->slots[2]);
			assert_int_equal(counter_read(&copy->peer_counters[1]->bytes_received), 77);
			assert_ptr_equal(copy->counters, slot_tunnel(moved.slot));
		}
		snapshot_release(copy);
		slot_leave(moved.slot);
	}
}

static void addresses_that_lack_memory_are_told(void **state)
{
	bool is_over = false;
	(void)state;
	const struct entry *entry = create();
	struct snapshot *copy = snapshot_copy(entry->snapshot);
	for (unsigned number = 0; !is_over; number++) {
		heap_fails_once_after(number);
		bool is_made = snapshot_take_sockets(copy, &entry->sockets);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(is_made == is_over);
	}
	assert_same(copy, entry->snapshot);
	snapshot_release(copy);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, bench_mutations_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_copy_makes_no_text_anew),
		TEST(only_a_large_spec_is_kept_as_workers_get_it),
		TEST(a_copy_is_whole_or_none),
		TEST(places_on_another_worker_are_all_there_or_none),
		TEST(addresses_that_lack_memory_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
