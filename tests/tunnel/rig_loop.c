/* tunnel/loop.h with a clock that only tests move, and poll(2) that never waits. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"

#define DEADLINES 2048

struct poller {
	struct poller *next;
	int descriptor, events;
	poller_ready *ready;
	void *owner;
	bool freed;
};

struct loop {
	struct poller *pollers;
	struct deadline *deadlines[DEADLINES];
	struct turn *first_turn, **last_turn;
};

static struct loop the_loop;

struct loop *loop_create(void)
{
	the_loop = (struct loop){ 0 };
	the_loop.last_turn = &the_loop.first_turn;
	return &the_loop;
}

static void sweep_pollers(void)
{
	for (struct poller **at = &the_loop.pollers; *at != NULL;) {
		struct poller *poller = *at;
		if (!poller->freed) {
			at = &poller->next;
			continue;
		}
		*at = poller->next;
		free(poller);
	}
}

void loop_free(struct loop *loop)
{
	sweep_pollers();
	assert_null(loop->pollers);
	for (size_t i = 0; i < DEADLINES; i++)
		assert_null(loop->deadlines[i]);
}

uint64_t loop_now(struct loop *loop)
{
	(void)loop;
	return rig.now;
}

struct poller *poller_create(struct loop *loop, int descriptor, poller_ready *ready, void *owner)
{
	struct poller *poller = calloc(1, sizeof *poller);
	*poller = (struct poller){ .next = loop->pollers, .descriptor = descriptor, .ready = ready, .owner = owner };
	loop->pollers = poller;
	return poller;
}

void poller_set(struct poller *poller, int events)
{
	assert_false(poller->freed);
	assert_true(poller->ready != NULL);
	poller->events = events;
}

int poller_events(const struct poller *poller)
{
	assert_false(poller->freed);
	return poller->events;
}

int poller_descriptor(const struct poller *poller)
{
	assert_false(poller->freed);
	return poller->descriptor;
}

void poller_set_owner(struct poller *poller, poller_ready *ready, void *owner)
{
	poller->ready = ready;
	poller->owner = owner;
}

void poller_free(struct poller *poller)
{
	if (poller == NULL)
		return;
	assert_false(poller->freed);
	close(poller->descriptor);
	poller->freed = true;
}

void deadline_init(struct deadline *deadline, void (*due)(void *owner), void *owner)
{
	*deadline = (struct deadline){ .at = LOOP_NEVER, .due = due, .owner = owner };
}

void deadline_set(struct loop *loop, struct deadline *deadline, uint64_t at)
{
	size_t place = 0, free_place = DEADLINES;
	for (; place < DEADLINES && loop->deadlines[place] != deadline; place++)
		if (loop->deadlines[place] == NULL && free_place == DEADLINES)
			free_place = place;
	deadline->at = at;
	if (place < DEADLINES)
		loop->deadlines[place] = at == LOOP_NEVER ? NULL : deadline;
	else if (at != LOOP_NEVER)
		loop->deadlines[free_place] = deadline;
}

void turn_init(struct turn *turn, void (*end)(void *owner), void *owner)
{
	*turn = (struct turn){ .end = end, .owner = owner };
}

void turn_queue(struct loop *loop, struct turn *turn)
{
	if (turn->queued)
		return;
	turn->queued = true;
	turn->next = NULL;
	*loop->last_turn = turn;
	loop->last_turn = &turn->next;
}

void turn_cancel(struct loop *loop, struct turn *turn)
{
	if (!turn->queued)
		return;
	struct turn **at = &loop->first_turn;
	while (*at != turn)
		at = &(*at)->next;
	*at = turn->next;
	if (loop->last_turn == &turn->next)
		loop->last_turn = at;
	turn->queued = false;
}

/* For udp.c, of which the tests use nothing that would call them. */
void loop_end_turn(struct loop *loop)
{
	(void)loop;
}

static bool end_turns(void)
{
	bool any = false;
	while (the_loop.first_turn != NULL) {
		struct turn *turn = the_loop.first_turn;
		the_loop.first_turn = turn->next;
		if (the_loop.first_turn == NULL)
			the_loop.last_turn = &the_loop.first_turn;
		turn->queued = false;
		turn->end(turn->owner);
		any = true;
	}
	return any;
}

static bool run_deadlines(void)
{
	bool any = false;
	for (size_t i = 0; i < DEADLINES; i++) {
		struct deadline *deadline = the_loop.deadlines[i];
		if (deadline == NULL || deadline->at > rig.now)
			continue;
		the_loop.deadlines[i] = NULL;
		deadline->at = LOOP_NEVER;
		deadline->due(deadline->owner);
		any = true;
	}
	return any;
}

static bool poll_once(void)
{
	bool any = false;
	for (struct poller *poller = the_loop.pollers; poller != NULL; poller = poller->next) {
		struct pollfd ask = { .fd = poller->descriptor };
		if (poller->freed || poller->events == 0)
			continue;
		ask.events = (short)((poller->events & LOOP_READABLE ? POLLIN : 0) | (poller->events & LOOP_WRITABLE ? POLLOUT : 0) |
		                     (poller->events & LOOP_FINISHED ? POLLRDHUP : 0));
		if (poll(&ask, 1, 0) <= 0)
			continue;
		bool error = (ask.revents & (POLLERR | POLLHUP)) != 0, broken = (ask.revents & POLLERR) != 0;
		int events = (ask.revents & POLLIN || error ? LOOP_READABLE : 0) | (ask.revents & POLLOUT || error ? LOOP_WRITABLE : 0) |
		             (ask.revents & POLLRDHUP ? LOOP_FINISHED : 0) | (broken ? LOOP_BROKEN : 0);
		if (!broken && (events & poller->events) == 0)
			continue;
		poller->ready(poller->owner, broken ? events : events & poller->events);
		any = true;
	}
	sweep_pollers();
	return any;
}

void rig_turn(void)
{
	for (int i = 0; i < 100000; i++) {
		bool any = poll_once();
		any = run_deadlines() || any;
		if (!end_turns() && !any)
			return;
	}
	fail_msg("the loop spins");
}

void rig_pass(uint64_t nanoseconds)
{
	uint64_t end = rig.now + nanoseconds;
	rig_turn();
	for (;;) {
		uint64_t next = end;
		for (size_t i = 0; i < DEADLINES; i++)
			if (the_loop.deadlines[i] != NULL && the_loop.deadlines[i]->at < next)
				next = the_loop.deadlines[i]->at;
		rig.now = next > rig.now ? next : rig.now;
		rig_turn();
		if (next == end)
			return;
	}
}
