#include "tunnel/io/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tunnel/io/agenda.h"

/* A wake-up this late does no harm and saves a system call. */
#define TIMER_SLACK (200 * 1000ull)

#define EVENTS_MAX 512 /* of one wait; more come with the next */

/* Theory of operation: epoll is level-triggered and keeps the last registered events of each poller. Events that a poller wants in addition
 * are registered once, before the wait. Events that it no longer wants stay registered until one of that kind occurs, and READABLE, which each will
 * want, is registered from the start. So a connection that stops and resumes reading within a turn costs no system call. */
struct loop {
	struct agenda agenda; /* first, because agenda.c relies on it */
	int epoll;
	struct poller *timer;
	struct poller *changed; /* their registered events may differ from the wanted ones */
	struct poller *dead;    /* freed once no event of this wait can refer to them */
	uint64_t timer_at;
	uint64_t now;
	bool now_is_fresh;
	bool stopped;
};

struct poller {
	struct loop *loop;
	struct poller *next; /* in `changed`, or in `dead` */
	int descriptor;      /* -1: dead */
	uint8_t events;      /* wanted */
	uint8_t held;        /* registered with epoll; 0: not registered */
	bool is_changed;
	bool is_sole; /* no other process has the socket */
	poller_ready *ready;
	void *owner;
};

uint64_t loop_now(struct loop *loop)
{
	if (!loop->now_is_fresh)
		loop_refresh(loop);
	return loop->now;
}

void loop_refresh(struct loop *loop)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	loop->now = (uint64_t)now.tv_sec * LOOP_SECOND + (uint64_t)now.tv_nsec;
	loop->now_is_fresh = true;
}

static void arm_timer(struct loop *loop)
{
	uint64_t at = agenda_next(&loop->agenda);
	/* A wake-up that is too early finds nothing due and arms again, which is cheaper than arming at each change. */
	if (at == LOOP_NEVER || (loop->timer_at != LOOP_NEVER && loop->timer_at <= at && loop->timer_at > loop_now(loop)))
		return;
	uint64_t when = at < loop_now(loop) + TIMER_SLACK ? loop_now(loop) + TIMER_SLACK : at;
	struct itimerspec spec = { .it_value = { .tv_sec = (time_t)(when / LOOP_SECOND), .tv_nsec = (long)(when % LOOP_SECOND) } };
	timerfd_settime(poller_descriptor(loop->timer), TFD_TIMER_ABSTIME, &spec, NULL);
	loop->timer_at = when;
}

static void on_timer(void *owner, int events)
{
	(void)events;
	struct loop *loop = owner;
	uint64_t expirations;
	ssize_t got = read(poller_descriptor(loop->timer), &expirations, sizeof(expirations));
	(void)got; /* EAGAIN: it was armed again meanwhile */
	loop->timer_at = LOOP_NEVER;
}

/* Pollers. */

static void note_change(struct poller *poller)
{
	if (poller->is_changed)
		return;
	poller->is_changed = true;
	poller->next = poller->loop->changed;
	poller->loop->changed = poller;
}

static void forget_change(struct poller *poller)
{
	if (!poller->is_changed)
		return;
	struct poller **at = &poller->loop->changed;
	while (*at != poller)
		at = &(*at)->next;
	*at = poller->next;
	poller->is_changed = false;
}

/* A client's departure is reported once: no read or write clears it, and epoll reports EPOLLHUP whatever is registered. */
static uint32_t epoll_events(uint8_t wanted)
{
	uint32_t events = (wanted & LOOP_READABLE ? EPOLLIN : 0) | (wanted & LOOP_WRITABLE ? EPOLLOUT : 0);
	if (events == 0)
		events = EPOLLET;
	return events | (wanted & LOOP_FINISHED ? EPOLLRDHUP : 0);
}

/* With nothing wanted it is removed from epoll, which would otherwise keep reporting errors. */
static void tell_epoll(struct poller *poller)
{
	int act = poller->events == 0 ? EPOLL_CTL_DEL : poller->held == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
	uint8_t held = act == EPOLL_CTL_ADD ? poller->events | LOOP_READABLE : poller->events;
	struct epoll_event event = { .events = epoll_events(held), .data.ptr = poller };
	if (epoll_ctl(poller->loop->epoll, act, poller->descriptor, &event) < 0)
		abort(); /* out of memory: a descriptor that is never served would hang silently; better to have the worker replaced */
	poller->held = held;
}

static void tell_changes(struct loop *loop)
{
	while (loop->changed != NULL) {
		struct poller *poller = loop->changed;
		loop->changed = poller->next;
		poller->is_changed = false;
		if (poller->events != poller->held)
			tell_epoll(poller);
	}
}

static void dispatch(struct poller *poller, uint32_t events)
{
	if (poller->descriptor < 0)
		return;
	/* An error or the end is found, and cleared, by the read or write that follows. */
	uint8_t fired = (events & EPOLLIN ? LOOP_READABLE : 0) | (events & EPOLLOUT ? LOOP_WRITABLE : 0);
	if (events & (EPOLLERR | EPOLLHUP))
		fired |= LOOP_READABLE | LOOP_WRITABLE;
	fired |= (events & EPOLLRDHUP ? LOOP_FINISHED & poller->events : 0) | (events & EPOLLERR ? LOOP_BROKEN : 0);
	if (fired & ~poller->events & poller->held || poller->events == 0)
		note_change(poller);
	if (events & EPOLLERR && poller->events != 0)
		poller->ready(poller->owner, fired);
	else if (fired & poller->events)
		poller->ready(poller->owner, fired & poller->events);
	/* After the far end's FIN it stays readable. */
	if ((events & EPOLLRDHUP) != 0 && poller->descriptor >= 0 && (poller->held & ~poller->events & LOOP_READABLE) != 0)
		note_change(poller);
}

static void bury(struct loop *loop)
{
	while (loop->dead != NULL) {
		struct poller *poller = loop->dead;
		loop->dead = poller->next;
		free(poller);
	}
}

struct poller *poller_create(struct loop *loop, int descriptor, poller_ready *ready, void *owner)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	if (poller != NULL)
		*poller = (struct poller){ .loop = loop, .descriptor = descriptor, .ready = ready, .owner = owner };
	return poller;
}

void poller_set(struct poller *poller, int events)
{
	assert(poller->ready != NULL);
	poller->events = (uint8_t)events;
	if (events & ~poller->held)
		note_change(poller);
}

int poller_events(const struct poller *poller)
{
	return poller->events;
}

int poller_descriptor(const struct poller *poller)
{
	return poller->descriptor;
}

void poller_set_owner(struct poller *poller, poller_ready *ready, void *owner)
{
	poller->ready = ready;
	poller->owner = owner;
}

void poller_set_sole(struct poller *poller, bool is_sole)
{
	poller->is_sole = is_sole;
}

void poller_free(struct poller *poller)
{
	if (poller == NULL)
		return;
	forget_change(poller);
	/* Closing is not enough where another process has the socket too. */
	poller->events = 0;
	if (poller->held != 0 && !poller->is_sole)
		tell_epoll(poller);
	close(poller->descriptor);
	poller->descriptor = -1;
	poller->next = poller->loop->dead;
	poller->loop->dead = poller;
}

/* Life. */

struct loop *loop_create(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return NULL;
	bool has_agenda = agenda_init(&loop->agenda);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	int timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	loop->timer_at = LOOP_NEVER;
	if (timer >= 0 && (loop->timer = poller_create(loop, timer, on_timer, loop)) == NULL)
		close(timer);
	if (!has_agenda || loop->epoll < 0 || loop->timer == NULL) {
		loop_free(loop);
		return NULL;
	}
	poller_set(loop->timer, LOOP_READABLE);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	poller_free(loop->timer);
	bury(loop);
	if (loop->epoll >= 0)
		close(loop->epoll);
	agenda_clear(&loop->agenda);
	free(loop);
}

static void run_once(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	tell_changes(loop);
	arm_timer(loop);
	int count = epoll_wait(loop->epoll, events, EVENTS_MAX, -1);
	loop->now_is_fresh = false;
	for (int i = 0; i < count; i++)
		dispatch(events[i].data.ptr, events[i].events);
	bury(loop);
	agenda_run_due(&loop->agenda, loop_now(loop));
	loop_end_turn(loop);
}

void loop_run(struct loop *loop)
{
	loop_end_turn(loop);
	while (!loop->stopped)
		run_once(loop);
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
