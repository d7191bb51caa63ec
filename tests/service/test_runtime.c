/* The messages about a tunnel to its worker: PREPARE has all of it, with its own descriptors, or is not sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "ipc/key.h"
#include "service/worker/runtime.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_mutations.h"

#define PEER "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define TUNNEL(peers)                                                                                                                                \
	"{'spec':{'interface':{'private_key':'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=','addresses':['10.2.0.2']},"                              \
	"'peers':[" peers "],'proxy':{'listen':['127.0.0.1:0']}}}"

static struct message_prepare got;
static size_t got_descriptors;
static unsigned got_count;

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner, (void)descriptors;
	if (type != MESSAGE_PREPARE)
		return true;
	got_count++;
	got_descriptors = count;
	message_prepare_clear(&got);
	return message_decode_prepare(body, &got);
}

static void read_all(void)
{
	got_count = 0;
	assert_int_equal(channel_resume(bench.far_end, on_message, NULL), CHANNEL_OK);
	assert_int_equal(channel_read(bench.far_end, on_message, NULL), CHANNEL_OK);
}

static int tear_down(void **state)
{
	message_prepare_clear(&got);
	got = (struct message_prepare){ .request = 0 };
	return bench_mutations_tear_down(state);
}

static struct entry *create(const char *document)
{
	struct mutation *mutation = bench_mutations_do(OPERATION_CREATE, "a", document);
	assert_int_equal(bench_mutations_code(mutation), PROBLEM_NONE);
	mutation_free(mutation);
	read_all();
	return registry_entry(bench.registry, "a");
}

static bool send_it(const struct entry *entry, bool all_fresh)
{
	return runtime_send_prepare(entry, entry->snapshot, &entry->sockets, entry->addresses, all_fresh, 42);
}

static void a_prepare_has_the_whole_tunnel(void **state)
{
	(void)state;
	struct entry *entry = create(TUNNEL("{'public_key':'" PEER "','endpoint':'192.0.2.9:51820'}"));
	memset(entry->timestamp_floor, 7, sizeof(entry->timestamp_floor));
	entry->total_bytes = 1234;
	assert_true(send_it(entry, true));
	read_all();
	assert_int_equal(got_count, 1);
	assert_int_equal(got.request, 42);
	assert_int_equal(got.slot, slot_index(entry->slot));
	assert_int_equal(got.generation, 1);
	assert_int_equal(got.total_bytes_used, 1234);
	assert_int_equal(got.timestamp_floor[11], 7);
	assert_int_equal(got.socket_count, 2);
	assert_int_equal(got_descriptors, 2);
	assert_int_equal(got.spec.peer_count, 1);
	assert_int_equal(got.peer_slots[0], slot_index(entry->snapshot->slots[1]));
	assert_int_equal(got.endpoints[0].count, 1);
	/* What was counted since is more than what was stored. */
	counter_set(&slot_tunnel(entry->slot)->total_bytes_used, 5678);
	assert_true(send_it(entry, true));
	read_all();
	assert_int_equal(got.total_bytes_used, 5678);
}

/* The worker has the others already. */
static void only_fresh_sockets_are_sent(void **state)
{
	(void)state;
	struct entry *entry = create(TUNNEL(""));
	entry->sockets.list[1].is_fresh = true;
	assert_true(send_it(entry, false));
	read_all();
	assert_int_equal(got.socket_count, 2);
	assert_int_equal(got_descriptors, 1);
	assert_false(got.sockets[0].fresh);
	assert_true(got.sockets[1].fresh);
}

static void addresses_of_names_are_those_that_were_found(void **state)
{
	struct message_addresses found = { .count = 3 };
	(void)state;
	struct entry *entry = create(TUNNEL("{'public_key':'" PEER "','endpoint':'192.0.2.9:51820'}"));
	for (size_t i = 0; i < 3; i++)
		found.list[i].v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(0xc0000201u) };
	assert_true(runtime_send_prepare(entry, entry->snapshot, &entry->sockets, &found, true, 1));
	read_all();
	assert_int_equal(got.endpoints[0].count, 3);
}

/* F1: a part of a tunnel is never sent for the whole, and no descriptor is lost. */
static void memory_that_is_missing_sends_nothing(void **state)
{
	(void)state;
	struct entry *entry = create(TUNNEL("{'public_key':'" PEER "','endpoint':'192.0.2.9:51820'}"));
	int before = dup(0);
	close(before);
	bool is_over = false;
	for (unsigned number = 0; !is_over; number++) {
		heap_fails_once_after(number);
		bool is_sent = send_it(entry, true);
		is_over = heap_refused() == 0;
		heap_works();
		if (bench.worker.state == WORKER_DYING || !is_sent)
			assert_false(is_over);
		if (!is_sent) {
			read_all();
			assert_int_equal(got_count, 0);
		}
		int now = dup(0);
		close(now);
		/* What was sent is still on its way. */
		if (!is_sent)
			assert_int_equal(now, before);
		if (is_sent && !is_over)
			break; /* the channel itself lacked memory, and is shut down */
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_mutations_set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_prepare_has_the_whole_tunnel),
		TEST(only_fresh_sockets_are_sent),
		TEST(addresses_of_names_are_those_that_were_found),
		TEST(memory_that_is_missing_sends_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
