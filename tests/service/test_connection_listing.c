/* A listing asks the worker a piece at a time and goes on where it was; few run at once; a worker that goes is no failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/connection_record.h"
#include "service/spec/access.h"
#include "service/worker/connection_listing.h"
#include "tests/service/bench_worker.h"

#define RUNNING_MOST 8

static struct connection_lister *lister;
static struct entry *tunnel;
static unsigned done;

static int set_up(void **state)
{
	bench_worker_set_up(state);
	const struct connection_lister_means means = {
		.loop = &bench.loop, .supervisor = &bench.supervisor, .registry = bench.registry, .slots = bench.slots
	};
	lister = connection_lister_create(&means);
	assert_non_null(lister);
	bench.worker.term = 0xabc;
	tunnel = bench_worker_add("a", NULL);
	done = 0;
	return 0;
}

static int tear_down(void **state)
{
	connection_lister_free(lister);
	return bench_worker_tear_down(state);
}

static void on_done(void *owner)
{
	(void)owner;
	done++;
}

static struct connection_listing page(size_t limit)
{
	return (struct connection_listing){ .access = access_whole(), .limit = limit, .filter = { .protocol = QUERY_ANY_PROTOCOL } };
}

static void clear(struct connection_listing *listing)
{
	free(listing->json);
	problem_clear(&listing->problem);
}

/* Answers the oldest question with `count` connections of the tunnel. */
static void answer(size_t count, bool is_over, uint64_t place)
{
	struct worker_request *request = bench.worker.first;
	struct message_writer items;
	assert_non_null(request);
	message_writer_init(&items);
	for (size_t i = 0; i < count; i++) {
		const struct query_connection connection = { .number = i + 1, .slot = slot_index(tunnel->slot) };
		query_encode_connection(&items, &connection);
	}
	const struct worker_reply reply = { .type = MESSAGE_QUERIED,
		                            .queried = { .is_over = is_over,
		                                         .cursor = { .place = place },
		                                         .count = (uint16_t)count,
		                                         .items = { .bytes = items.bytes, .left = items.length } } };
	assert_true(worker_answer(&bench.worker, &reply, request->number, 0, 0));
	message_writer_clear(&items);
}

static struct query last_asked;

static bool take_query(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner;
	(void)descriptors;
	(void)count;
	assert_int_equal(type, MESSAGE_QUERY);
	assert_true(query_decode(body, &last_asked));
	return true;
}

/* The latest question that the worker has got. */
static const struct query *asked(void)
{
	assert_int_equal(channel_read(bench.far_end, take_query, NULL), CHANNEL_OK);
	return &last_asked;
}

static void a_page_ends_when_it_is_full_and_the_next_goes_on_there(void **state)
{
	struct connection_listing first = page(3), second = page(3);
	(void)state;
	connection_lister_run(lister, &first, on_done, NULL);
	assert_int_equal(asked()->limit, 3);
	answer(2, false, 5);
	assert_int_equal(asked()->limit, 1);
	assert_int_equal(asked()->cursor.place, 5);
	answer(1, false, 6);
	assert_int_equal(done, 1);
	assert_int_equal(first.count, 3);
	assert_string_equal(first.next, "0-abc-6-0");
	strcpy(second.after, first.next);
	connection_lister_run(lister, &second, on_done, NULL);
	assert_int_equal(asked()->cursor.place, 6);
	answer(1, true, 9);
	assert_int_equal(done, 2);
	assert_string_equal(second.next, "");
	assert_non_null(strstr(second.json, "\"id\":\"0-abc-1\",\"tunnel\":\"a\""));
	clear(&first);
	clear(&second);
}

static void a_new_process_is_listed_from_its_beginning(void **state)
{
	struct connection_listing listing = page(3);
	(void)state;
	strcpy(listing.after, "0-abb-6-9");
	connection_lister_run(lister, &listing, on_done, NULL);
	assert_int_equal(asked()->cursor.place, 0);
	assert_int_equal(asked()->cursor.within, 0);
	answer(0, true, 0);
	assert_int_equal(done, 1);
}

static void a_token_that_is_none_is_refused(void **state)
{
	static const char *const wrong[] = { "x", "0", "0-abc", "0-abc-6-0-1", "00-abc-6-0", "0-abc-6-", "0-abc-6- 1", "99999999999-1-1-1" };
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct connection_listing listing = page(3);
		strcpy(listing.after, wrong[i]);
		connection_lister_run(lister, &listing, on_done, NULL);
		assert_int_equal(done, i + 1);
		assert_int_equal(listing.problem.code, PROBLEM_INVALID_REQUEST);
		clear(&listing);
	}
	assert_null(bench.worker.first);
}

static void one_is_asked_for_at_its_worker_alone(void **state)
{
	static const char *const nobody[] = { "1-abc-1", "0-abb-1", "0-abc-0", "none" };
	(void)state;
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		struct connection_listing listing = page(1);
		strcpy(listing.id, nobody[i]);
		connection_lister_run(lister, &listing, on_done, NULL);
		assert_int_equal(done, i + 1);
		assert_int_equal(listing.count, 0);
	}
	assert_null(bench.worker.first);
	struct connection_listing listing = page(1);
	strcpy(listing.id, "0-abc-2a");
	connection_lister_run(lister, &listing, on_done, NULL);
	assert_int_equal(asked()->filter.number, 0x2a);
	answer(1, true, 0);
	assert_int_equal(listing.count, 1);
	clear(&listing);
}

static void a_tunnels_are_asked_for_by_its_slot(void **state)
{
	struct connection_listing listing = page(10), other = page(10);
	(void)state;
	strcpy(listing.tunnel, "a");
	connection_lister_run(lister, &listing, on_done, NULL);
	assert_int_equal(asked()->filter.slot, slot_index(tunnel->slot));
	answer(1, true, 0);
	strcpy(other.tunnel, "/a");
	connection_lister_run(lister, &other, on_done, NULL);
	assert_int_equal(done, 2);
	assert_int_equal(other.count, 0);
	clear(&listing);
}

/* A worker ends before it tells: what the access does not cover is never asked to be ended. */
static void a_foreign_connection_is_not_ended(void **state)
{
	struct spec_label team = { .key = (char[]){ "team" }, .value = (char[]){ "red" } };
	struct access *red = access_create(&team, 1);
	struct connection_listing one = page(1), all = page(10);
	(void)state;
	one.access = all.access = red;
	one.ends = all.ends = true;
	all.only_counts = true;
	strcpy(one.id, "0-abc-1");
	connection_lister_run(lister, &one, on_done, NULL);
	assert_false(asked()->ends);
	answer(1, true, 0);
	assert_int_equal(one.count, 0);
	connection_lister_run(lister, &all, on_done, NULL);
	strcpy(all.tunnel, "a");
	connection_lister_run(lister, &all, on_done, NULL);
	assert_int_equal(done, 3);
	assert_null(bench.worker.first);
	assert_int_equal(all.count, 0);
	access_release(red);
}

static void a_worker_that_goes_ends_its_part(void **state)
{
	struct connection_listing listing = page(10);
	(void)state;
	connection_lister_run(lister, &listing, on_done, NULL);
	answer(1, false, 5);
	bench.worker.state = WORKER_DYING;
	worker_answer_gone(&bench.worker);
	assert_int_equal(done, 1);
	assert_int_equal(listing.problem.code, PROBLEM_NONE);
	assert_int_equal(listing.count, 1);
	assert_false(listing.is_incomplete); /* what it had has ended with it */
	assert_string_equal(listing.next, "");
	clear(&listing);
}

/* Neither by endless pieces nor by late ones does a worker keep a listing, which others wait for (P7). */
static void a_worker_that_does_not_come_to_an_end_is_left(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		struct connection_listing listing = page(10);
		unsigned pieces = 0;
		connection_lister_run(lister, &listing, on_done, NULL);
		for (; done == n && pieces < 10000; pieces++) {
			(void)asked();
			bench.loop.time += n * 9000;
			answer(0, false, pieces + 1);
		}
		assert_int_equal(done, n + 1);
		assert_int_equal(pieces, n == 0 ? 8192 : 3);
		assert_int_equal(listing.problem.code, PROBLEM_NONE);
		assert_true(listing.is_incomplete);
		assert_string_equal(listing.next, "");
		clear(&listing);
	}
}

/* Nobody knows whether it is there. */
static void one_that_is_not_found_in_time_is_a_failure(void **state)
{
	struct connection_listing listing = page(1);
	(void)state;
	strcpy(listing.id, "0-abc-2a");
	connection_lister_run(lister, &listing, on_done, NULL);
	bench.loop.time += 20000;
	answer(0, false, 1);
	assert_int_equal(done, 1);
	assert_int_equal(listing.problem.code, PROBLEM_WORKER_UNAVAILABLE);
	clear(&listing);
	listing = page(1);
	strcpy(listing.id, "0-abc-2a");
	connection_lister_run(lister, &listing, on_done, NULL);
	bench.loop.time += 20000;
	answer(1, false, 1);
	assert_int_equal(listing.problem.code, PROBLEM_NONE);
	assert_int_equal(listing.count, 1);
	clear(&listing);
}

static void few_run_at_once_and_the_others_in_turn(void **state)
{
	enum { COUNT = 3 * RUNNING_MOST };
	static struct connection_listing all[COUNT];
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		all[i] = page(10);
		connection_lister_run(lister, &all[i], on_done, NULL);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned waiting = 0;
		for (const struct worker_request *request = bench.worker.first; request != NULL; request = request->next)
			waiting++;
		assert_int_equal(waiting, COUNT - i < RUNNING_MOST ? COUNT - i : RUNNING_MOST);
		answer(0, true, 0);
		assert_int_equal(done, i + 1);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_page_ends_when_it_is_full_and_the_next_goes_on_there),
		TEST(a_new_process_is_listed_from_its_beginning),
		TEST(a_token_that_is_none_is_refused),
		TEST(one_is_asked_for_at_its_worker_alone),
		TEST(a_tunnels_are_asked_for_by_its_slot),
		TEST(a_foreign_connection_is_not_ended),
		TEST(a_worker_that_goes_ends_its_part),
		TEST(a_worker_that_does_not_come_to_an_end_is_left),
		TEST(one_that_is_not_found_in_time_is_a_failure),
		TEST(few_run_at_once_and_the_others_in_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
