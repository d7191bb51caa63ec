/* Pools' members without a service: memory that is out, what workers tell of pools, and what the next program reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/pool_message.h"
#include "ipc/wall_clock.h"
#include "service/pool/membership.h"
#include "service/registry/snapshot_make.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

static struct session_store *sessions;
static struct membership *membership;
static unsigned told;

static void on_told(void *owner, const struct entry *pool)
{
	(void)owner;
	assert_int_equal(object_key_kind(pool->key), SPEC_POOL);
	told++;
}

static struct membership *make(void)
{
	const struct membership_means means = {
		.loop = &bench.loop, .registry = bench.registry, .events = bench.events, .sessions = sessions, .told = on_told
	};
	return membership_create(&means, 1);
}

/* Those that have ended: their handles are the loop's until it has run out. */
static struct membership *ended[512];
static size_t ended_count;

static void begin_anew(void)
{
	assert_true(ended_count < 512);
	membership_end(membership);
	ended[ended_count++] = membership;
	membership = make();
}

static int set_up(void **state)
{
	bench_worker_set_up(state);
	bench.worker.protocol = MESSAGE_PROTOCOL;
	sessions = session_store_create();
	membership = make();
	told = 0;
	ended_count = 0;
	return sessions == NULL || membership == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	membership_end(membership);
	int result = bench_worker_tear_down(state);
	membership_free(membership);
	for (size_t i = 0; i < ended_count; i++)
		membership_free(ended[i]);
	session_store_free(sessions);
	return result;
}

/* A pool that has the tunnels with these ids, and the bench's worker as its home. */
static struct entry *add_pool(const char *key, uint64_t number, const char *const *ids, size_t count)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	struct entry *entry = entry_create(key);
	spec_init(&spec);
	spec.kind = SPEC_POOL;
	spec.pool.members.tunnels = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; i < count; i++)
		spec.pool.members.tunnels[i] = strdup(ids[i]);
	spec.pool.members.tunnel_count = count;
	entry->snapshot = snapshot_make(entry->id, &labels, 0, &spec, NULL, NULL, NULL, 0);
	assert_non_null(entry->snapshot);
	entry->snapshot->status = status_reference(entry->status);
	entry->number = number;
	entry->worker = &bench.worker;
	assert_true(registry_reserve(bench.registry, 1));
	registry_add(bench.registry, entry);
	registry_unreserve(bench.registry, 1);
	return entry;
}

static struct entry *add_tunnel(const char *id)
{
	struct entry *entry = bench_worker_add(id, NULL);
	entry->snapshot->worker = 0;
	return entry;
}

/* How many members it has; SIZE_MAX when it is none. */
static size_t members_of(const char *id)
{
	struct pool_member_view *views;
	size_t count = membership_read(membership, id, &views);
	free(views);
	return count;
}

static const char *const both[] = { "b", "a" };

/* F1: a member that memory was missing for is there at the next tick, and so is a pool. */
static void what_memory_was_missing_for_comes_with_the_next_tick(void **state)
{
	(void)state;
	add_tunnel("a");
	add_tunnel("b");
	for (unsigned allowed = 0; allowed < 6; allowed++) {
		/* The registry tells of a change of it while memory is out. */
		struct entry *pool = add_pool("/p", 7, both, 0);
		struct snapshot *copy = snapshot_copy(pool->snapshot);
		copy->spec.pool.members.tunnels = reallocarray(copy->spec.pool.members.tunnels, 2, sizeof(char *));
		copy->spec.pool.members.tunnels[0] = strdup("a");
		copy->spec.pool.members.tunnels[1] = strdup("b");
		copy->spec.pool.members.tunnel_count = 2;
		heap_fails_after(allowed);
		struct snapshot *old = registry_swap(bench.registry, pool, NULL, copy);
		heap_works();
		snapshot_release(old);
		membership_tick(membership);
		assert_int_equal(members_of("p"), 2);
		registry_remove(bench.registry, pool);
		entry_free(pool);
		assert_int_equal(members_of("p"), MEMBERSHIP_NONE);
	}
}

static void a_pool_that_memory_was_missing_for_is_made_later(void **state)
{
	(void)state;
	add_tunnel("a");
	add_tunnel("b");
	struct entry *pool = add_pool("/p", 7, both, 2);
	begin_anew();
	assert_int_equal(members_of("p"), MEMBERSHIP_NONE);
	struct snapshot *copy = snapshot_copy(pool->snapshot);
	heap_fails_after(0);
	struct snapshot *old = registry_swap(bench.registry, pool, NULL, copy);
	heap_works();
	snapshot_release(old);
	assert_int_equal(members_of("p"), MEMBERSHIP_NONE);
	membership_tick(membership);
	assert_int_equal(members_of("p"), 2);
	/* A list that cannot be copied is none, and not a short one. */
	struct pool_member_view *views;
	for (unsigned allowed = 0; allowed < 2; allowed++) {
		heap_fails_after(allowed);
		size_t count = membership_read(membership, "p", &views);
		heap_works();
		assert_int_equal(count, MEMBERSHIP_NONE);
	}
}

static void encode_open(struct message_writer *writer, uint64_t pool, uint32_t member, uint32_t open)
{
	struct pool_open message = { .pool = pool, .count = 2, .list = { { member, open }, { 99, 5 } } };
	message_writer_init(writer);
	pool_open_encode(writer, &message);
}

static bool tell_open(const struct worker *worker, uint64_t pool, uint32_t open)
{
	struct message_writer writer;
	encode_open(&writer, pool, 1, open);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	bool is_taken = membership_take_open(membership, worker, &reader);
	message_writer_clear(&writer);
	return is_taken;
}

static bool tell_session(const struct worker *worker, uint64_t pool, const char *key)
{
	static struct pool_sessions message;
	struct message_writer writer;
	message = (struct pool_sessions){ .pool = pool, .count = 1 };
	snprintf(message.list[0].key, sizeof(message.list[0].key), "%s", key);
	snprintf(message.list[0].tunnel, sizeof(message.list[0].tunnel), "a");
	message.list[0].expires_at = (uint64_t)wall_clock_ms() / 1000 + 1000;
	message_writer_init(&writer);
	pool_sessions_encode(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	bool is_taken = membership_take_sessions(membership, worker, &reader);
	message_writer_clear(&writer);
	return is_taken;
}

static void only_its_home_tells_of_a_pool(void **state)
{
	struct worker other = { .index = 1 };
	struct message_reader none = { .left = 0 };
	(void)state;
	add_tunnel("a");
	add_tunnel("b");
	struct entry *pool = add_pool("/p", 7, both, 2);
	assert_true(tell_open(&bench.worker, 7, 3));
	assert_int_equal(membership_open_count(membership, pool), 3);
	/* Of another worker, or of a pool that is gone: it is out of date. */
	assert_true(tell_open(&other, 7, 4));
	assert_true(tell_open(&bench.worker, 8, 4));
	assert_int_equal(membership_open_count(membership, pool), 3);
	assert_true(tell_session(&bench.worker, 7, "k"));
	assert_true(tell_session(&other, 7, "l"));
	assert_true(tell_session(&bench.worker, 8, "m"));
	assert_int_equal(session_store_count(sessions, "p"), 1);
	assert_false(membership_take_open(membership, &bench.worker, &none));
	none = (struct message_reader){ .left = 0 };
	assert_false(membership_take_sessions(membership, &bench.worker, &none));
	/* They go with the pool. */
	registry_remove(bench.registry, pool);
	assert_int_equal(session_store_count(sessions, "p"), 0);
	assert_int_equal(membership_open_count(membership, pool), 0);
	entry_free(pool);
}

static void run_turns(void)
{
	for (int i = 0; i < 20; i++)
		uv_run(&bench.loop, UV_RUN_NOWAIT);
}

static void a_pool_is_what_its_members_are(void **state)
{
	char reason[160];
	int64_t since;
	(void)state;
	struct entry *a = add_tunnel("a");
	struct entry *pool = add_pool("/p", 7, both, 2);
	bench.worker.state = WORKER_STARTING;
	membership_start(membership, &bench.supervisor);
	assert_int_equal(status_get_state(pool->status, reason, &since), TUNNEL_STARTING);
	bench.worker.state = WORKER_READY;
	counter_set(&slot_tunnel(a->slot)->state, TUNNEL_STALE);
	membership_worker_changed(membership);
	assert_int_equal(status_get_state(pool->status, reason, &since), TUNNEL_STALE);
	assert_string_equal(reason, "no member is up");
	counter_set(&slot_tunnel(a->slot)->state, TUNNEL_UP);
	unsigned before = told;
	membership_tell(membership, a);
	assert_int_equal(status_get_state(pool->status, reason, &since), TUNNEL_UP);
	assert_int_equal(told, before + 1);
	membership_tell(membership, a);
	assert_int_equal(told, before + 1);
	/* Its home is told of all of it. */
	run_turns();
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	while (bench_worker_next() != 0)
		continue;
	counter_set(&slot_tunnel(a->slot)->state, TUNNEL_STALE);
	membership_tell(membership, a);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBER);
	/* Provisioned anew, it knows nothing. */
	pool->provisionings++;
	membership_tick(membership);
	run_turns();
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	registry_remove(bench.registry, pool);
	entry_free(pool);
}

static void the_next_program_knows_members_by_the_same_numbers(void **state)
{
	struct message_writer writer;
	(void)state;
	add_tunnel("a");
	add_tunnel("b");
	struct entry *pool = add_pool("/p", 7, both, 2);
	assert_true(tell_open(&bench.worker, 7, 3));
	message_writer_init(&writer);
	membership_save(membership, &writer);
	/* The same tunnels and pools, found on the disk. */
	for (size_t length = 0; length <= writer.length; length++) {
		struct message_reader reader = { .bytes = writer.bytes, .left = length };
		begin_anew();
		snapshot_release(registry_swap(bench.registry, pool, NULL, snapshot_copy(pool->snapshot)));
		assert_int_equal(members_of("p"), 2);
		if (membership_load(membership, &reader) != (length == writer.length))
			fail_msg("%zu of %zu bytes", length, writer.length);
	}
	assert_int_equal(membership_open_count(membership, pool), 3);
	/* A member that is new has a number that none had. */
	assert_true(tell_open(&bench.worker, 7, 6));
	assert_int_equal(membership_open_count(membership, pool), 6);
	/* A pool that is not there is no agreement with the disk. */
	registry_remove(bench.registry, pool);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	assert_false(membership_load(membership, &reader));
	entry_free(pool);
	message_writer_clear(&writer);
}

static void no_memory_no_membership(void **state)
{
	const struct membership_means means = { .loop = NULL };
	(void)state;
	heap_fails_after(0);
	const struct membership *none = membership_create(&means, 1);
	heap_works();
	assert_null(none);
	membership_end(NULL);
	membership_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_memory_was_missing_for_comes_with_the_next_tick),
		TEST(a_pool_that_memory_was_missing_for_is_made_later),
		TEST(only_its_home_tells_of_a_pool),
		TEST(a_pool_is_what_its_members_are),
		TEST(the_next_program_knows_members_by_the_same_numbers),
		cmocka_unit_test(no_memory_no_membership),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
