/* Links between workers: who gets an end, and how often one that was broken is renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/pool_message.h"
#include "service/worker/peer_links.h"
#include "tests/service/bench_worker.h"

static struct worker workers[3]; /* only the first has a channel: the bench's */

static int set_up(void **state)
{
	bench_worker_set_up(state);
	for (unsigned i = 0; i < 3; i++)
		workers[i] = (struct worker){ .supervisor = &bench.supervisor, .index = i, .state = WORKER_ABSENT, .incarnation = 1 };
	return 0;
}

/* The bench's worker is the first of three while this runs. */
static void join(struct worker *fresh)
{
	struct supervisor three = { .loop = &bench.loop, .workers = workers, .count = 3 };
	peer_links_join(&three, fresh);
}

static bool take(uint32_t other, uint32_t incarnation, struct worker *worker)
{
	struct supervisor three = { .loop = &bench.loop, .workers = workers, .count = 3 };
	const struct peer_link message = { .worker = other, .incarnation = incarnation };
	struct message_writer writer;
	message_writer_init(&writer);
	peer_link_encode(&writer, &message);
	struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
	bool is_taken = peer_links_take_broken(&three, worker, &reader);
	message_writer_clear(&writer);
	return is_taken;
}

static unsigned links_sent(void)
{
	unsigned count = 0;
	for (enum message_type type = bench_worker_next(); type != 0; type = bench_worker_next())
		count += type == MESSAGE_PEER_LINK;
	return count;
}

static void only_those_that_are_ready_are_joined(void **state)
{
	(void)state;
	/* It is not joined with itself, nor with those that are not there. */
	workers[1].state = WORKER_STARTING;
	workers[0].state = WORKER_READY;
	join(&workers[0]);
	assert_int_equal(links_sent(), 0);
	join(&bench.worker);
	assert_int_equal(links_sent(), 1);
}

static void what_is_no_link_breaks_the_protocol(void **state)
{
	(void)state;
	assert_false(take(3, 1, &bench.worker));
	assert_false(take(0, 1, &bench.worker)); /* itself */
	struct message_reader none = { .left = 0 };
	assert_false(peer_links_take_broken(&bench.supervisor, &bench.worker, &none));
}

static void a_broken_link_is_renewed_now_and_then(void **state)
{
	(void)state;
	workers[1].state = WORKER_STARTING;
	assert_true(take(1, 1, &bench.worker));
	workers[1].state = WORKER_READY;
	/* Of a process that has a successor, which gets links of its own. */
	assert_true(take(1, 2, &bench.worker));
	assert_int_equal(links_sent(), 0);
	for (unsigned i = 0; i < 20; i++)
		assert_true(take(1, 1, &bench.worker));
	assert_int_equal(links_sent(), 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, bench_worker_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_those_that_are_ready_are_joined),
		TEST(what_is_no_link_breaks_the_protocol),
		TEST(a_broken_link_is_renewed_now_and_then),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
