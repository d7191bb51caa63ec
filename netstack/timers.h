/* A stack's timers: a heap ordered by time. A timer is embedded in its owner's struct. timers_add reserves its place, so that setting it cannot
 * fail. */
#ifndef WARREN_NETSTACK_TIMERS_H
#define WARREN_NETSTACK_TIMERS_H

#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t at;  /* NETSTACK_NEVER: not set */
	size_t index; /* place in the heap while set */
	void (*run)(struct timer *timer, uint64_t now);
};

struct timers {
	struct timer **heap;
	size_t count;   /* timers that are set */
	size_t members; /* timers that were added */
	size_t capacity;
	uint64_t earliest; /* while running: the earliest time to which a timer can be set */
};

/* 0 or NETSTACK_OUT_OF_MEMORY. */
int timers_add(struct timers *timers, struct timer *timer, void (*run)(struct timer *timer, uint64_t now));
void timers_remove(struct timers *timers, struct timer *timer);
void timers_set(struct timers *timers, struct timer *timer, uint64_t at);
uint64_t timers_next(const struct timers *timers);
/* Runs each due timer once. One that sets itself to the present waits for the next call; otherwise it could hold the loop. */
void timers_run(struct timers *timers, uint64_t now);
void timers_clear(struct timers *timers);

#endif
