#include "netstack/timer_heap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "netstack/netstack.h"

static void place(struct timer_heap *timers, size_t index, struct timer *timer)
{
	timers->heap[index] = timer;
	timer->index = index;
}

static void sift_up(struct timer_heap *timers, size_t index)
{
	struct timer *timer = timers->heap[index];

	while (index > 0 && timers->heap[(index - 1) / 2]->at > timer->at) {
		place(timers, index, timers->heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	place(timers, index, timer);
}

static void sift_down(struct timer_heap *timers, size_t index)
{
	struct timer *timer = timers->heap[index];

	for (;;) {
		size_t child = 2 * index + 1;
		if (child >= timers->count)
			break;
		if (child + 1 < timers->count && timers->heap[child + 1]->at < timers->heap[child]->at)
			child++;
		if (timers->heap[child]->at >= timer->at)
			break;
		place(timers, index, timers->heap[child]);
		index = child;
	}
	place(timers, index, timer);
}

int timer_heap_add(struct timer_heap *timers, struct timer *timer, void (*run)(struct timer *timer, uint64_t now))
{
	assert(run != NULL);
	if (timers->members == timers->capacity) {
		size_t capacity = timers->capacity == 0 ? 2 : 2 * timers->capacity;
		struct timer **heap = realloc(timers->heap, capacity * sizeof(struct timer *));
		if (heap == NULL)
			return NETSTACK_OUT_OF_MEMORY;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timers->members++;
	*timer = (struct timer){ .at = NETSTACK_NEVER, .run = run };
	return 0;
}

static void unset(struct timer_heap *timers, struct timer *timer)
{
	size_t index = timer->index;
	struct timer *last = timers->heap[--timers->count];

	timer->at = NETSTACK_NEVER;
	if (last == timer)
		return;
	place(timers, index, last);
	sift_up(timers, index);
	sift_down(timers, last->index);
}

void timer_heap_remove(struct timer_heap *timers, struct timer *timer)
{
	if (timer->run == NULL)
		return;
	if (timer->at != NETSTACK_NEVER)
		unset(timers, timer);
	timer->run = NULL;
	timers->members--;
}

void timer_heap_set(struct timer_heap *timers, struct timer *timer, uint64_t at)
{
	if (at < timers->earliest)
		at = timers->earliest;
	if (timer->at == at)
		return;
	if (at == NETSTACK_NEVER) {
		unset(timers, timer);
		return;
	}
	bool was_set = timer->at != NETSTACK_NEVER;
	timer->at = at;
	if (!was_set)
		place(timers, timers->count++, timer);
	sift_up(timers, timer->index);
	sift_down(timers, timer->index);
}

uint64_t timer_heap_next(const struct timer_heap *timers)
{
	return timers->count > 0 ? timers->heap[0]->at : NETSTACK_NEVER;
}

void timer_heap_run(struct timer_heap *timers, uint64_t now)
{
	timers->earliest = now + 1;
	while (timers->count > 0 && timers->heap[0]->at <= now) {
		struct timer *timer = timers->heap[0];
		unset(timers, timer);
		timer->run(timer, now);
	}
	timers->earliest = 0;
}

void timer_heap_clear(struct timer_heap *timers)
{
	free(timers->heap);
	*timers = (struct timer_heap){ 0 };
}
