/* What workers are told of a pool, and when: each only what it lacks, and none more than it reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/wall_clock.h"
#include "service/pool/audience.h"
#include "service/registry/snapshot_make.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

#define NAME "m"

static struct audience audience;
static struct member_list members;
static struct entry *home;
static struct worker other; /* the pool's home, where the test says so: it is not the bench's worker */
static struct session_store *sessions;
static struct snapshot *tunnel;

static struct snapshot *make_snapshot(const char *id, enum spec_kind kind)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	spec_init(&spec);
	spec.kind = kind;
	if (kind == SPEC_POOL) {
		spec.pool.members.tunnels = calloc(1, sizeof(char *));
		spec.pool.members.tunnels[0] = strdup(NAME);
		spec.pool.members.tunnel_count = 1;
	}
	struct snapshot *snapshot = snapshot_make(id, &labels, 0, &spec, NULL, NULL, NULL, 0);
	assert_non_null(snapshot);
	return snapshot;
}

static int set_up(void **state)
{
	bench_worker_set_up(state);
	bench.worker.protocol = MESSAGE_PROTOCOL;
	other = (struct worker){ .index = 1, .state = WORKER_READY, .incarnation = 1 };
	members = (struct member_list){ .count = 0 };
	home = entry_create("/p");
	home->snapshot = make_snapshot("p", SPEC_POOL);
	home->number = 7;
	home->worker = &other;
	sessions = session_store_create();
	tunnel = make_snapshot(NAME, SPEC_TUNNEL);
	tunnel->worker = 0;
	assert_true(member_list_set_names(&members, &home->snapshot->spec.pool));
	assert_int_equal(member_list_put(&members, &home->snapshot->spec.pool, tunnel), MEMBER_LIST_CHANGED);
	assert_true(audience_init(&audience, 1));
	return 0;
}

static int tear_down(void **state)
{
	audience_clear(&audience);
	member_list_clear(&members);
	snapshot_release(tunnel);
	session_store_free(sessions);
	entry_free(home);
	return bench_worker_tear_down(state);
}

static bool serve(uint64_t now)
{
	return audience_serve(&audience, &bench.supervisor, home, &members, now);
}

static void a_worker_with_members_is_told_once(void **state)
{
	(void)state;
	assert_true(serve(1));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	assert_true(serve(2));
	assert_int_equal(bench_worker_next(), 0);
	audience_list_changed(&audience);
	assert_true(serve(3));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	audience_spec_changed(&audience);
	assert_true(serve(4));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	/* A member that changes, alone. */
	audience_tell(&audience, &bench.supervisor, home, &members, 0);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBER);
	/* A new process knows nothing. */
	bench.worker.incarnation++;
	audience_tell(&audience, &bench.supervisor, home, &members, 0);
	assert_int_equal(bench_worker_next(), 0);
	assert_true(serve(5));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	assert_int_equal(bench_worker_next(), 0);
}

/* Its connections go on when the members have left. */
static void who_had_members_hears_of_the_pool_until_it_ends(void **state)
{
	(void)state;
	struct member kept = members.list[0];
	members.count = 0;
	assert_true(serve(1));
	assert_int_equal(bench_worker_next(), 0);
	audience_end(&audience, &bench.supervisor, home);
	assert_int_equal(bench_worker_next(), 0);
	members.list[0] = kept;
	members.count = 1;
	assert_true(serve(2));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	members.count = 0;
	audience_list_changed(&audience);
	assert_true(serve(3));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	members.count = 1;
	audience_end(&audience, &bench.supervisor, home);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_END);
}

/* Of the program before, nobody knows what it told whom. */
static void what_is_inherited_is_told_to_all(void **state)
{
	(void)state;
	audience.is_inherited = true;
	members.list[0].snapshot->worker = 1;
	assert_true(serve(1));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
}

static void a_worker_that_is_not_ready_is_told_later(void **state)
{
	(void)state;
	bench.worker.state = WORKER_STARTING;
	assert_true(serve(1));
	audience.listeners[0].has_list = true;
	audience_tell(&audience, &bench.supervisor, home, &members, 0);
	audience.listeners[0].knows_pool = true;
	audience_end(&audience, &bench.supervisor, home);
	assert_int_equal(bench_worker_next(), 0);
	/* Nor is anybody while the pool has no home. */
	bench.worker.state = WORKER_READY;
	audience.listeners[0] = (struct listener){ .has_list = false };
	home->worker = NULL;
	assert_true(serve(2));
	assert_int_equal(bench_worker_next(), 0);
}

static void a_home_gets_the_list_with_the_pool_and_again_when_it_is_provisioned_again(void **state)
{
	(void)state;
	home->worker = &bench.worker;
	home->is_waiting = true;
	assert_true(serve(1));
	assert_int_equal(bench_worker_next(), 0);
	home->is_waiting = false;
	home->snapshot->failure = strdup("why");
	assert_true(serve(2));
	assert_int_equal(bench_worker_next(), 0);
	free(home->snapshot->failure);
	home->snapshot->failure = NULL;
	home->provisionings = 1;
	assert_true(serve(3));
	/* Its PREPARE had the spec. */
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	assert_true(serve(4));
	assert_int_equal(bench_worker_next(), 0);
	home->provisionings = 2;
	assert_true(serve(5));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
}

static void long_lists_are_not_sent_all_the_time(void **state)
{
	(void)state;
	size_t count = members.count;
	assert_true(serve(100));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL);
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	/* As many as take 5 ms; only the first is described. */
	struct member *list = calloc(50, sizeof(*list));
	for (size_t i = 0; i < 50; i++)
		list[i] = members.list[0];
	struct member_list many = { .list = list, .count = 50, .unnamed = 1 };
	audience_list_changed(&audience);
	assert_false(audience_serve(&audience, &bench.supervisor, home, &many, 104));
	assert_int_equal(bench_worker_next(), 0);
	assert_true(audience_serve(&audience, &bench.supervisor, home, &many, 105));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	assert_int_equal(members.count, count);
	free(list);
}

/* The far end reads nothing meanwhile. */
static void fill(size_t bytes)
{
	static uint8_t block[1 << 16];
	while (worker_queued_bytes(&bench.worker) < bytes) {
		struct message_writer writer;
		message_writer_init(&writer);
		message_put_bytes(&writer, block, sizeof(block));
		worker_send(&bench.worker, MESSAGE_POOL, &writer, NULL, 0);
	}
}

static void a_worker_that_does_not_read_gets_the_list_once_it_has_read(void **state)
{
	(void)state;
	assert_true(serve(1));
	fill(4u << 20);
	/* A single change is dropped for the list that follows. */
	audience_tell(&audience, &bench.supervisor, home, &members, 0);
	assert_false(audience.listeners[0].has_list);
	assert_false(serve(2));
	home->worker = &bench.worker;
	assert_false(serve(3));
	assert_true(audience_send_sessions(&audience, home, sessions));
	for (int i = 0; i < 1000 && worker_queued_bytes(&bench.worker) > 0; i++) {
		while (bench_worker_next() != 0)
			continue;
		uv_run(&bench.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(worker_queued_bytes(&bench.worker), 0);
	while (bench_worker_next() != 0)
		continue;
	assert_true(serve(4));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
}

static void sessions_follow_the_list_in_pieces_and_once(void **state)
{
	struct pool_session session = { .tunnel = NAME, .expires_at = (uint64_t)wall_clock_ms() / 1000 + 1000 };
	(void)state;
	home->worker = &other;
	other.state = WORKER_STARTING;
	assert_true(audience_send_sessions(&audience, home, sessions));
	home->worker = &bench.worker;
	/* Not before the list. */
	assert_true(audience_send_sessions(&audience, home, sessions));
	assert_int_equal(bench_worker_next(), 0);
	for (unsigned i = 0; i < 64 * POOL_SESSIONS_PIECE + 1; i++) {
		snprintf(session.key, sizeof(session.key), "%06u", i);
		session_store_put(sessions, "p", 0, &session);
	}
	assert_true(serve(1));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_MEMBERS);
	assert_false(audience_send_sessions(&audience, home, sessions));
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(bench_worker_next(), MESSAGE_POOL_SESSIONS);
	assert_int_equal(bench_worker_next(), 0);
	assert_true(audience_send_sessions(&audience, home, sessions));
	assert_int_equal(bench_worker_next(), MESSAGE_POOL_SESSIONS);
	assert_true(audience_send_sessions(&audience, home, sessions));
	assert_int_equal(bench_worker_next(), 0);
	/* Provisioned again, it has lost them. */
	home->provisionings++;
	assert_true(serve(2));
	assert_false(audience_send_sessions(&audience, home, sessions));
}

static void no_memory_no_audience(void **state)
{
	struct audience none;
	(void)state;
	heap_fails_after(0);
	bool is_made = audience_init(&none, 4);
	heap_works();
	assert_false(is_made);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_worker_with_members_is_told_once),
		TEST(who_had_members_hears_of_the_pool_until_it_ends),
		TEST(what_is_inherited_is_told_to_all),
		TEST(a_worker_that_is_not_ready_is_told_later),
		TEST(a_home_gets_the_list_with_the_pool_and_again_when_it_is_provisioned_again),
		TEST(long_lists_are_not_sent_all_the_time),
		TEST(a_worker_that_does_not_read_gets_the_list_once_it_has_read),
		TEST(sessions_follow_the_list_in_pieces_and_once),
		cmocka_unit_test(no_memory_no_audience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
