/* A stack's timers: a heap ordered by time. A timer is embedded in its owner's struct. timer_heap_add reserves its place, so that setting it cannot
 * fail. */
#ifndef WARREN_NETSTACK_TIMER_HEAP_H
#define WARREN_NETSTACK_TIMER_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t at;  /* NETSTACK_NEVER: not set */
	size_t index; /* place in the heap while set */
	void (*run)(struct timer *timer, uint64_t now);
};

struct timer_heap {
	struct timer **heap;
	size_t count;   /* timers that are set */
	size_t members; /* timers that were added */
	size_t capacity;
	uint64_t earliest; /* while running: the earliest time to which a timer can be set */
};

/* 0 or NETSTACK_OUT_OF_MEMORY. */
int timer_heap_add(struct timer_heap *timers, struct timer *timer, void (*run)(struct timer *timer, uint64_t now));
void timer_heap_remove(struct timer_heap *timers, struct timer *timer);
void timer_heap_set(struct timer_heap *timers, struct timer *timer, uint64_t at);
uint64_t timer_heap_next(const struct timer_heap *timers);
/* Runs each due timer once. One that sets itself to the present waits for the next call; otherwise it could hold the loop. */
void timer_heap_run(struct timer_heap *timers, uint64_t now);
void timer_heap_clear(struct timer_heap *timers);

#endif
