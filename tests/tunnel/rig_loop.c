/* tunnel/io/loop.h with a clock that only tests move, and poll(2) that never waits. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/tunnel/rig.h"
#include "tunnel/io/agenda.h"

struct poller {
	struct poller *next;
	int descriptor, events;
	poller_ready *ready;
	void *owner;
	bool freed;
};

struct loop {
	struct agenda agenda; /* first: agenda.c finds it so */
	struct poller *pollers;
};

static struct loop the_loop;

struct loop *loop_create(void)
{
	the_loop = (struct loop){ 0 };
	assert_true(agenda_init(&the_loop.agenda));
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
	assert_int_equal(agenda_next(&loop->agenda), LOOP_NEVER);
	agenda_clear(&loop->agenda);
}

uint64_t loop_now(struct loop *loop)
{
	(void)loop;
	return rig.now;
}

struct poller *poller_create(struct loop *loop, int descriptor, poller_ready *ready, void *owner)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	if (poller == NULL)
		return NULL;
	*poller = (struct poller){ .next = loop->pollers, .descriptor = descriptor, .ready = ready, .owner = owner };
	loop->pollers = poller;
	return poller;
}

void poller_set_sole(struct poller *poller, bool is_sole)
{
	(void)poller, (void)is_sole;
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
		any = agenda_run_due(&the_loop.agenda, rig.now) || any;
		any = the_loop.agenda.deferred.first != NULL || any;
		loop_end_turn(&the_loop);
		if (!any)
			return;
	}
	fail_msg("the loop spins");
}

void rig_pass(uint64_t nanoseconds)
{
	uint64_t end = rig.now + nanoseconds;
	rig_turn();
	for (;;) {
		uint64_t next = agenda_next(&the_loop.agenda) < end ? agenda_next(&the_loop.agenda) : end;
		rig.now = next > rig.now ? next : rig.now;
		rig_turn();
		if (next == end)
			return;
	}
}
