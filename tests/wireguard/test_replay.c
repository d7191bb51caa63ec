/* The replay window (W9): the kernel's own list, and ten million random counters against a set. */
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/replay.h"
#include "tunnel/wireguard/session.h"

#define WINDOW UINT64_C(8128)
#define LIMIT (WINDOW + 1)
#define REJECT WIREGUARD_REJECT_AFTER_MESSAGES

/* A session asks about counters below the limit only. */
static bool accept_counter(struct wireguard_replay *replay, uint64_t counter)
{
	return counter < REJECT && wireguard_replay_accept(replay, counter);
}

static void test_w9_the_kernels_list(void **state)
{
	static const struct {
		uint64_t counter;
		bool is_accepted;
	} list[] = {
		{ 0, true },
		{ 1, true },
		{ 1, false },
		{ 9, true },
		{ 8, true },
		{ 7, true },
		{ 7, false },
		{ LIMIT, true },
		{ LIMIT - 1, true },
		{ LIMIT - 1, false },
		{ LIMIT - 2, true },
		{ 2, true },
		{ 2, false },
		{ LIMIT + 16, true },
		{ 3, false },
		{ LIMIT + 16, false },
		{ LIMIT * 4, true },
		{ LIMIT * 4 - (LIMIT - 1), true },
		{ 10, false },
		{ LIMIT * 4 - LIMIT, false },
		{ LIMIT * 4 - (LIMIT + 1), false },
		{ LIMIT * 4 - (LIMIT - 2), true },
		{ LIMIT * 4 + 1 - LIMIT, false },
		{ 0, false },
		{ REJECT, false },
		{ REJECT - 1, true },
		{ REJECT, false },
		{ REJECT - 1, false },
		{ REJECT - 2, true },
		{ REJECT + 1, false },
		{ REJECT + 2, false },
		{ REJECT - 2, false },
		{ REJECT - 3, true },
		{ 0, false },
		{ UINT64_MAX, false },
	};
	struct wireguard_replay replay = { 0 };
	(void)state;

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		assert_int_equal(accept_counter(&replay, list[i].counter), list[i].is_accepted);
	wireguard_replay_clear(&replay);
}

/* first, first +- 1, ... last are all new. */
static void run(struct wireguard_replay *replay, uint64_t first, uint64_t last)
{
	for (uint64_t counter = first;; counter += first < last ? 1 : UINT64_MAX) {
		assert_true(accept_counter(replay, counter));
		if (counter == last)
			return;
	}
}

static void test_w9_the_kernels_six_runs(void **state)
{
	struct wireguard_replay replays[6] = { { 0 } };
	(void)state;

	run(&replays[0], 1, WINDOW);
	assert_true(accept_counter(&replays[0], 0));
	assert_false(accept_counter(&replays[0], 0));
	run(&replays[1], 2, WINDOW + 1);
	assert_true(accept_counter(&replays[1], 1));
	assert_false(accept_counter(&replays[1], 0));
	run(&replays[2], WINDOW, 0);
	run(&replays[3], WINDOW + 1, 1);
	assert_false(accept_counter(&replays[3], 0));
	run(&replays[4], WINDOW, 1);
	assert_true(accept_counter(&replays[4], WINDOW + 1));
	assert_false(accept_counter(&replays[4], 0));
	run(&replays[5], WINDOW, 1);
	assert_true(accept_counter(&replays[5], 0));
	assert_true(accept_counter(&replays[5], WINDOW + 1));
	for (size_t i = 0; i < sizeof(replays) / sizeof(replays[0]); i++)
		wireguard_replay_clear(&replays[i]);
}

/* The first packet of a session has the counter 0, and a jump may be of any size. */
static void test_w9_first_packets_and_jumps(void **state)
{
	static const uint64_t jumps[] = { 1, 63, 64, 65, 127, 128, 8127, 8128, 8129, 8191, 8192, 8193, 16384, UINT64_C(1) << 32, UINT64_C(1) << 63 };
	(void)state;

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		struct wireguard_replay replay = { 0 };
		assert_true(accept_counter(&replay, 0));
		assert_true(accept_counter(&replay, jumps[i]));
		assert_false(accept_counter(&replay, jumps[i]));
		assert_false(accept_counter(&replay, 0));
		assert_int_equal(accept_counter(&replay, jumps[i] - 1), jumps[i] > 1);
		uint64_t oldest = jumps[i] > WINDOW ? jumps[i] - WINDOW : 1;
		assert_int_equal(accept_counter(&replay, oldest), oldest < jumps[i] - 1);
		if (oldest > 1)
			assert_false(accept_counter(&replay, oldest - 1));
		wireguard_replay_clear(&replay);
	}
}

/* An idle tunnel's sessions take no ring, and nothing is forgotten when there is one. */
static void test_the_ring_comes_with_the_65th_counter(void **state)
{
	struct wireguard_replay replay = { 0 };
	(void)state;

	for (uint64_t counter = 0; counter < 64; counter += 2)
		assert_true(accept_counter(&replay, counter));
	assert_true(accept_counter(&replay, 63));
	assert_false(accept_counter(&replay, 62));
	assert_null(replay.ring);
	assert_true(accept_counter(&replay, 64));
	assert_non_null(replay.ring);
	for (uint64_t counter = 0; counter < 64; counter++)
		assert_int_equal(accept_counter(&replay, counter), counter % 2 == 1 && counter != 63);
	wireguard_replay_clear(&replay);
	assert_null(replay.ring);
}

static void test_w9_ten_million_against_a_set(void **state)
{
	enum { STEPS = 10000000, RANGE = 1 << 26 };
	uint8_t *seen = calloc(RANGE / 8, 1);
	struct wireguard_replay replay = { 0 };
	uint64_t random = 7, highest = 0, wrong = 0;
	bool any = false;
	(void)state;

	for (unsigned i = 0; i < STEPS; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		uint64_t chance = random >> 33 & 0xffff, distance = random >> 49 & 0x3fff, counter;
		if (chance < 40)
			counter = highest + distance; /* a jump */
		else if (chance < 30000)
			counter = highest + 1;
		else
			counter = highest - (distance % 9000 < highest ? distance % 9000 : highest);
		assert_true(counter < RANGE);
		bool is_new = (seen[counter / 8] & 1 << counter % 8) == 0 && (!any || counter + WINDOW >= highest);
		wrong += accept_counter(&replay, counter) != is_new;
		seen[counter / 8] |= (uint8_t)(is_new << counter % 8);
		highest = counter > highest ? counter : highest;
		any = true;
	}
	assert_int_equal(wrong, 0);
	assert_true(highest > 1000000);
	wireguard_replay_clear(&replay);
	free(seen);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_w9_the_kernels_list),          cmocka_unit_test(test_w9_the_kernels_six_runs),
		cmocka_unit_test(test_w9_first_packets_and_jumps),   cmocka_unit_test(test_the_ring_comes_with_the_65th_counter),
		cmocka_unit_test(test_w9_ten_million_against_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
