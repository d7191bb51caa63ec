/* The worker's event loop: ready descriptors, deadlines in nanoseconds, and calls deferred to the end of a turn.
 * It reads the clock once per turn and is its only reader. Single-threaded. */
#ifndef WARREN_TUNNEL_IO_LOOP_H
#define WARREN_TUNNEL_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/io/deferred.h"

#define LOOP_NEVER UINT64_MAX
#define LOOP_SECOND 1000000000ull
#define LOOP_MILLISECOND 1000000ull

struct loop;

/* Opens descriptors, so it must be called before the sandbox is entered. NULL when that fails. */
struct loop *loop_create(void);
void loop_free(struct loop *loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* CLOCK_BOOTTIME; the same value during a whole turn. */
uint64_t loop_now(struct loop *loop);
/* Reads the clock again, after something slow. */
void loop_refresh(struct loop *loop);

/* A watched non-blocking descriptor. The poller owns it and closes it. */
struct poller;
/* Both READABLE and WRITABLE are reported when the socket has an error. FINISHED: the far end has sent FIN; BROKEN: the connection was reset. These
 * two are reported although nothing is read, and perhaps only once. */
enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2, LOOP_FINISHED = 4, LOOP_BROKEN = 8 };
#define LOOP_LEFT (LOOP_FINISHED | LOOP_BROKEN)
typedef void poller_ready(void *owner, int events);
struct poller *poller_create(struct loop *loop, int descriptor, poller_ready *ready, void *owner);
void poller_set(struct poller *poller, int events); /* 0 stops */
int poller_events(const struct poller *poller);
int poller_descriptor(const struct poller *poller);
void poller_set_owner(struct poller *poller, poller_ready *ready, void *owner);
/* Whether this process alone has the socket, which is not so at first. Then closing it is enough, and saves a system call. */
void poller_set_sole(struct poller *poller, bool is_sole);
/* Safe within its own callback. Closes the descriptor at once. NULL is allowed. */
void poller_free(struct poller *poller);

/* A deadline, embedded in its owner. */
struct deadline {
	uint64_t at;  /* LOOP_NEVER: not set */
	size_t place; /* in the heap, from 1; 0: not in it */
	void (*due)(void *owner);
	void *owner;
};
void deadline_init(struct deadline *deadline, void (*due)(void *owner), void *owner);
void deadline_set(struct loop *loop, struct deadline *deadline, uint64_t at); /* LOOP_NEVER clears */

/* A call at the end of the turn. */
void deferred_queue(struct loop *loop, struct deferred *deferred);
void deferred_cancel(struct loop *loop, struct deferred *deferred);
/* Makes the deferred calls now, because one of them holds something that is needed. */
void loop_end_turn(struct loop *loop);

#endif
