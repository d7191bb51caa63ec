#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tunnel/io/loop.h"

#define MANY 500

struct alarm {
	struct deadline deadline;
	struct loop *loop;
	unsigned *order, place;
	uint64_t at;
};

static void on_alarm(void *owner)
{
	struct alarm *alarm = owner;
	alarm->place = (*alarm->order)++;
	if (alarm->place == MANY / 2 - 1)
		loop_stop(alarm->loop);
}

/* Half of the deadlines are taken back; the others come in the order of their times. */
static void test_deadlines_come_in_order(void **state)
{
	(void)state;
	static struct alarm alarms[MANY];
	unsigned order = 0;
	struct loop *loop = loop_create();
	assert_non_null(loop);
	srand(1);
	for (int i = 0; i < MANY; i++) {
		alarms[i] = (struct alarm){ .loop = loop, .order = &order, .place = MANY, .at = loop_now(loop) + (uint64_t)(rand() % 1000) * 1000 };
		deadline_init(&alarms[i].deadline, on_alarm, &alarms[i]);
		deadline_set(loop, &alarms[i].deadline, loop_now(loop) + (uint64_t)(rand() % 1000000));
		deadline_set(loop, &alarms[i].deadline, alarms[i].at);
	}
	for (int i = 0; i < MANY; i += 2)
		deadline_set(loop, &alarms[i].deadline, LOOP_NEVER);
	loop_run(loop);
	for (int i = 0; i < MANY; i += 2)
		assert_int_equal(alarms[i].place, MANY);
	for (int i = 1; i < MANY; i += 2)
		for (int j = 1; j < MANY; j += 2)
			assert_false(alarms[i].place < alarms[j].place && alarms[i].at > alarms[j].at);
	loop_free(loop);
}

struct echo {
	struct loop *loop;
	struct poller *poller;
	struct deferred turn;
	int ready, ended;
};

static void on_turn_end(void *owner)
{
	struct echo *echo = owner;
	echo->ended++;
	poller_free(echo->poller);
	loop_stop(echo->loop);
}

static void on_ready(void *owner, int events)
{
	struct echo *echo = owner;
	assert_true((events & LOOP_READABLE) != 0);
	echo->ready++;
	deferred_queue(echo->loop, &echo->turn);
	deferred_queue(echo->loop, &echo->turn);
}

static void test_a_turn_ends_once(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	struct echo echo = { .loop = loop_create() };
	deferred_init(&echo.turn, on_turn_end, &echo);
	echo.poller = poller_create(echo.loop, ends[0], on_ready, &echo);
	poller_set(echo.poller, LOOP_READABLE);
	assert_int_equal(write(ends[1], "x", 1), 1);
	loop_run(echo.loop);
	assert_int_equal(echo.ready, 1);
	assert_int_equal(echo.ended, 1);
	close(ends[1]);
	loop_free(echo.loop);
}

static void test_queued_work_can_be_taken_back(void **state)
{
	(void)state;
	struct loop *loop = loop_create();
	struct echo first = { .loop = loop }, second = { .loop = loop };
	deferred_init(&first.turn, on_turn_end, &first);
	deferred_init(&second.turn, on_turn_end, &second);
	deferred_queue(loop, &first.turn);
	deferred_queue(loop, &second.turn);
	deferred_cancel(loop, &second.turn);
	deferred_cancel(loop, &first.turn);
	deferred_queue(loop, &second.turn);
	loop_end_turn(loop);
	assert_int_equal(first.ended, 0);
	assert_int_equal(second.ended, 1);
	loop_free(loop);
}

struct ear {
	struct loop *loop;
	struct poller *poller, *other;
	int heard, last;
};

static void on_ear(void *owner, int events)
{
	struct ear *ear = owner;
	ear->heard++;
	ear->last = events;
	poller_free(ear->other);
	ear->other = NULL;
	loop_stop(ear->loop);
}

static void on_never(void *owner, int events)
{
	(void)owner;
	fail_msg("events %d", events);
}

/* Wakes the loop when a wait is over in which nothing else was to happen. */
static void on_pause(void *owner)
{
	loop_stop(owner);
}

static void run_for_a_moment(struct loop *loop)
{
	struct deadline pause;
	deadline_init(&pause, on_pause, loop);
	deadline_set(loop, &pause, loop_now(loop) + LOOP_MILLISECOND);
	loop_run(loop);
}

/* Unwanted events are not reported, even if epoll still has them registered; wanted again, they are. */
static void test_what_is_not_wanted_is_not_told(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct ear ear = { .loop = loop_create() };
	struct poller *poller = poller_create(ear.loop, ends[0], on_never, &ear);
	poller_set(poller, LOOP_READABLE);
	run_for_a_moment(ear.loop);
	poller_set(poller, 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	struct loop *loop = ear.loop;
	run_for_a_moment(loop);
	poller_set_owner(poller, on_ear, &ear);
	poller_set(poller, LOOP_READABLE);
	run_for_a_moment(loop);
	assert_int_equal(ear.heard, 1);
	assert_int_equal(ear.last, LOOP_READABLE);
	poller_free(poller);
	close(ends[1]);
	loop_free(loop);
}

/* Two are ready in the same turn, and whichever comes first frees the other. */
static void test_a_poller_freed_in_its_turn_is_silent(void **state)
{
	(void)state;
	int first[2], second[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, first), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
	struct loop *loop = loop_create();
	struct ear one = { .loop = loop }, two = { .loop = loop };
	one.poller = two.other = poller_create(loop, first[0], on_ear, &one);
	two.poller = one.other = poller_create(loop, second[0], on_ear, &two);
	poller_set(one.poller, LOOP_READABLE);
	poller_set(two.poller, LOOP_READABLE);
	assert_int_equal(write(first[1], "x", 1), 1);
	assert_int_equal(write(second[1], "x", 1), 1);
	loop_run(loop);
	assert_int_equal(one.heard + two.heard, 1);
	poller_free(one.heard ? one.poller : two.poller);
	close(first[1]);
	close(second[1]);
	loop_free(loop);
}

/* A copy of the descriptor elsewhere keeps the socket alive, but not the poller. */
static void test_a_copied_socket_is_let_go(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	struct loop *loop = loop_create();
	struct poller *poller = poller_create(loop, ends[0], on_never, NULL);
	poller_set_sole(poller, true);
	poller_set(poller, LOOP_READABLE);
	run_for_a_moment(loop);
	poller_set_sole(poller, false);
	int copy = dup(ends[0]);
	poller_free(poller);
	assert_int_equal(write(ends[1], "x", 1), 1);
	run_for_a_moment(loop);
	close(copy);
	close(ends[1]);
	loop_free(loop);
}

/* A reset is reported even to a poller that only waits for room. */
static void test_an_error_is_told_whatever_is_wanted(void **state)
{
	(void)state;
	int ends[2], listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(at);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &length), 0);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(ends[0], (struct sockaddr *)&at, sizeof(at)), 0);
	ends[1] = accept(listener, NULL, NULL);
	struct linger now = { .l_onoff = 1 };
	setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(ends[1]);
	struct ear ear = { .loop = loop_create() };
	ear.poller = poller_create(ear.loop, ends[0], on_ear, &ear);
	poller_set(ear.poller, LOOP_WRITABLE);
	loop_run(ear.loop);
	assert_int_equal(ear.heard, 1);
	assert_int_equal(ear.last, LOOP_READABLE | LOOP_WRITABLE | LOOP_BROKEN);
	poller_free(ear.poller);
	close(listener);
	loop_free(ear.loop);
}

struct parting {
	struct poller *poller;
	int finished, broken;
};

static void on_parting(void *owner, int events)
{
	struct parting *parting = owner;
	parting->finished += (events & LOOP_FINISHED) != 0;
	parting->broken += (events & LOOP_BROKEN) != 0;
	if ((events & LOOP_FINISHED) != 0)
		poller_set(parting->poller, LOOP_BROKEN);
}

/* The far end's end is told once, without a byte read and without spinning, and a break that comes after it is told too. */
static void test_who_leaves_is_noticed_without_reading(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct loop *loop = loop_create();
	struct parting parting = { 0 };
	parting.poller = poller_create(loop, ends[0], on_parting, &parting);
	poller_set(parting.poller, LOOP_LEFT);
	assert_int_equal(write(ends[1], "unread", 6), 6);
	run_for_a_moment(loop);
	assert_int_equal(parting.finished + parting.broken, 0);
	shutdown(ends[1], SHUT_WR);
	run_for_a_moment(loop);
	assert_int_equal(parting.finished, 1);
	assert_int_equal(parting.broken, 0);
	assert_int_equal(write(ends[0], "unread", 6), 6); /* what makes a reset of the close */
	close(ends[1]);
	run_for_a_moment(loop);
	assert_int_equal(parting.finished, 1);
	assert_true(parting.broken >= 1 && parting.broken <= 2);
	poller_free(parting.poller);
	loop_free(loop);
}

static void on_last_bytes(void *owner, int events)
{
	struct parting *parting = owner;
	assert_int_equal(events & LOOP_BROKEN, 0);
	parting->finished++;
	poller_set(parting->poller, LOOP_BROKEN);
}

/* Reading stops at the end of what the far end sent, or before it for lack of room: then it goes on. */
static void test_reading_resumes_after_the_far_end_finished(void **state)
{
	(void)state;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct loop *loop = loop_create();
	struct parting parting = { 0 };
	parting.poller = poller_create(loop, ends[0], on_last_bytes, &parting);
	assert_int_equal(write(ends[1], "last", 4), 4);
	shutdown(ends[1], SHUT_WR);
	for (int round = 1; round <= 3; round++) {
		poller_set(parting.poller, LOOP_READABLE | LOOP_LEFT);
		run_for_a_moment(loop);
		assert_int_equal(parting.finished, round);
	}
	poller_free(parting.poller);
	close(ends[1]);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines_come_in_order),
		cmocka_unit_test(test_a_turn_ends_once),
		cmocka_unit_test(test_queued_work_can_be_taken_back),
		cmocka_unit_test(test_what_is_not_wanted_is_not_told),
		cmocka_unit_test(test_a_poller_freed_in_its_turn_is_silent),
		cmocka_unit_test(test_a_copied_socket_is_let_go),
		cmocka_unit_test(test_an_error_is_told_whatever_is_wanted),
		cmocka_unit_test(test_who_leaves_is_noticed_without_reading),
		cmocka_unit_test(test_reading_resumes_after_the_far_end_finished),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
