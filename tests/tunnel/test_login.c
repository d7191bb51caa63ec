/* Logins by source: when each is looked at and told, in milliseconds (X8). */
#include "tests/tunnel/rig.h"

#include <stdlib.h>
#include <string.h>

#include "tunnel/login.h"

#define MANY 1100

struct guess {
	struct connection connection;
	struct login login;
	bool is_right, is_admitted, is_told;
	uint64_t looked_at, told_at;
};

static struct guess guesses[MANY];
static uint64_t start;

static uint64_t now(void)
{
	return (rig.now - start) / LOOP_MILLISECOND;
}

static void look(void *owner)
{
	struct guess *guess = owner;
	struct credentials offered;
	if (!login_has_turn(&guess->login))
		return;
	const char *password = guess->is_right ? "p" : "x";
	assert_int_equal(credentials_set(&offered, "u", 1, password, 1), 0);
	guess->looked_at = now();
	guess->is_admitted = login_is_right(&guess->login, &offered);
}

static void tell(void *owner)
{
	struct guess *guess = owner;
	guess->is_told = true;
	guess->told_at = now();
}

static void begin(struct guess *guess, uint64_t source, bool is_right)
{
	*guess = (struct guess){ .is_right = is_right };
	connection_add(&guess->connection, &rig.tunnel, COUNTERS_HTTP, rig_never_end);
	guess->connection.source = source;
	login_init(&guess->login, &guess->connection, look, tell, guess);
	look(guess);
}

static void end(struct guess *guess)
{
	login_cancel(&guess->login);
	connection_remove(&guess->connection);
}

static void end_all(size_t count)
{
	for (size_t i = 0; i < count; i++)
		end(&guesses[i]);
}

static int set_up(void **state)
{
	int result = rig_start(state);
	rig.tunnel.spec.users = calloc(1, sizeof(struct spec_user));
	rig.tunnel.spec.users[0] = (struct spec_user){ .username = strdup("u"), .password = strdup("p") };
	rig.tunnel.spec.user_count = 1;
	start = rig.now;
	return result;
}

static void pass_to(uint64_t milliseconds)
{
	rig_pass(start + milliseconds * LOOP_MILLISECOND - rig.now);
}

/* Each row comes at its time; in the end it was looked at and told (wrong) or admitted (right) as it says. */
struct row {
	uint64_t at, source;
	bool is_right;
	uint64_t looked_at, told_at;
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		pass_to(rows[i].at);
		begin(&guesses[i], rows[i].source, rows[i].is_right);
	}
	for (unsigned i = 0; i < 1000; i++)
		rig_pass(10 * LOOP_MILLISECOND);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(guesses[i].looked_at, rows[i].looked_at);
		assert_int_equal(guesses[i].is_admitted, rows[i].is_right);
		assert_int_equal(guesses[i].is_told, !rows[i].is_right);
		assert_int_equal(guesses[i].told_at, rows[i].told_at);
	}
	end_all(count);
}

static void test_X8_eight_in_a_row_are_told_later_each_time_and_others_wait(void **state)
{
	static const struct row rows[] = {
		{ 0, 1, false, 0, 100 },       { 100, 1, false, 100, 300 },   { 100, 2, false, 100, 200 }, /* of another source */
		{ 300, 1, false, 300, 700 },   { 700, 1, false, 700, 1500 },  { 700, 1, false, 700, 2300 },
		{ 700, 1, false, 700, 2300 },  { 700, 1, false, 700, 2300 },  { 700, 1, false, 700, 2300 }, /* the eighth */
		{ 710, 1, false, 2300, 5500 },                                /* the first of those that wait, and … */
		{ 720, 1, false, 5500, 8700 }, { 730, 1, false, 2300, 5500 }, /* the last */
		{ 740, 2, true, 740, 0 },
	};
	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_X8_a_right_password_lets_those_that_wait_go_on(void **state)
{
	static const struct row rows[] = {
		{ 0, 1, false, 0, 100 },  { 0, 1, false, 0, 200 },      { 0, 1, false, 0, 400 },  { 0, 1, false, 0, 800 },
		{ 0, 1, false, 0, 1600 }, { 0, 1, false, 0, 1600 },     { 0, 1, false, 0, 1600 }, { 0, 1, false, 0, 1600 },
		{ 10, 1, true, 1600, 0 }, { 20, 1, false, 1600, 1800 }, { 30, 1, true, 1600, 0 }, { 2000, 1, true, 2000, 0 },
	};
	(void)state;
	check(rows, sizeof(rows) / sizeof(rows[0]));
}

/* Guesses that go on as soon as they are answered, or give up after `patience` ticks of 10 ms and come again: one answer each 1.6 s, and an
 * honest client is in after two turns. */
static void crowd(uint64_t patience, uint64_t honest_comes)
{
	enum { CROWD = 500, HONEST = CROWD, SECONDS = 60 };
	unsigned answers = 0;
	for (size_t i = 0; i < CROWD; i++)
		begin(&guesses[i], 1, false);
	for (uint64_t at = 0; at < SECONDS * 1000; at += 10) {
		pass_to(at);
		if (at == honest_comes)
			begin(&guesses[HONEST], 1, true);
		for (size_t i = 0; i < CROWD; i++) {
			answers += guesses[i].is_told;
			if (!guesses[i].is_told && (at / 10 + i) % patience != 0)
				continue;
			end(&guesses[i]);
			begin(&guesses[i], 1, false);
		}
	}
	/* Eight at the start, and eight more after the right one; fewer where they do not wait for it. */
	assert_in_range(answers, 8, 16 + SECONDS * 1000 / 1600);
	assert_true(guesses[HONEST].is_admitted);
	assert_in_range(guesses[HONEST].looked_at, honest_comes, honest_comes + 2 * 3200);
	end_all(CROWD + 1);
}

static void test_X8_a_crowd_that_waits_gets_one_answer_a_step(void **state)
{
	(void)state;
	crowd(1000000, 10);
	rig_pass(100 * LOOP_SECOND);
	start = rig.now;
	crowd(1000000, 41000);
}

static void test_X8_a_crowd_that_comes_again_gets_one_answer_a_step(void **state)
{
	(void)state;
	crowd(200, 10);
	rig_pass(100 * LOOP_SECOND);
	start = rig.now;
	crowd(200, 41000);
}

static void test_one_that_leaves_gives_up_its_turn(void **state)
{
	(void)state;
	for (size_t i = 0; i < 12; i++)
		begin(&guesses[i], 1, false);
	end(&guesses[11]);
	end(&guesses[8]);
	rig_pass(1600 * LOOP_MILLISECOND);
	assert_int_equal(guesses[10].looked_at, 1600);
	end(&guesses[9]);
	for (size_t i = 0; i < 8; i++)
		end(&guesses[i]);
	end(&guesses[10]);
	rig_pass(5000 * LOOP_MILLISECOND);
}

static void test_a_minute_of_peace_forgets(void **state)
{
	(void)state;
	for (size_t i = 0; i < 8; i++)
		begin(&guesses[i], 1, false);
	pass_to(59999);
	begin(&guesses[8], 1, false);
	pass_to(59999 + 60000);
	begin(&guesses[9], 1, false);
	rig_pass(100 * LOOP_MILLISECOND);
	assert_int_equal(guesses[8].told_at, 59999 + 1600);
	assert_int_equal(guesses[9].told_at, 119999 + 100);
	end_all(10);
}

/* X8: who guesses from many addresses gains no guess at any, and the table is bounded: the source refused longest ago goes. */
static void test_many_sources_do_not_wash_each_other_out(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 8; round++)
		for (uint64_t source = 0; source < 1024; source++) {
			begin(&guesses[source], source, false);
			end(&guesses[source]);
		}
	for (size_t source = 0; source < 1024; source += 2)
		begin(&guesses[source], source, true);
	for (size_t i = 0; i < 1024; i += 2)
		assert_false(guesses[i].is_admitted);
	begin(&guesses[1024], 5000, false); /* the place of one for which nobody waits */
	begin(&guesses[1025], 1, true);
	assert_true(guesses[1025].is_admitted);
	rig_pass(1600 * LOOP_MILLISECOND);
	for (size_t i = 0; i < 1024; i += 2)
		assert_true(guesses[i].is_admitted);
	for (size_t i = 0; i < 1024; i += 2)
		end(&guesses[i]);
	end(&guesses[1024]);
	end(&guesses[1025]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_X8_eight_in_a_row_are_told_later_each_time_and_others_wait, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_X8_a_right_password_lets_those_that_wait_go_on, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_X8_a_crowd_that_waits_gets_one_answer_a_step, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_X8_a_crowd_that_comes_again_gets_one_answer_a_step, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_one_that_leaves_gives_up_its_turn, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_a_minute_of_peace_forgets, set_up, rig_stop),
		cmocka_unit_test_setup_teardown(test_many_sources_do_not_wash_each_other_out, set_up, rig_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
