#include "tunnel/io/agenda.h"

#include <assert.h>
#include <stdlib.h>

static struct agenda *agenda_of(struct loop *loop)
{
	return (struct agenda *)loop;
}

/* The heap. */

static void place(struct agenda *agenda, struct deadline *deadline, size_t at)
{
	agenda->heap[at] = deadline;
	deadline->place = at;
}

static void sift_up(struct agenda *agenda, struct deadline *deadline, size_t at)
{
	for (; at > 1 && agenda->heap[at / 2]->at > deadline->at; at /= 2)
		place(agenda, agenda->heap[at / 2], at);
	place(agenda, deadline, at);
}

static void sift_down(struct agenda *agenda, struct deadline *deadline, size_t at)
{
	for (size_t child; (child = 2 * at) <= agenda->count; at = child) {
		if (child < agenda->count && agenda->heap[child + 1]->at < agenda->heap[child]->at)
			child++;
		if (agenda->heap[child]->at >= deadline->at)
			break;
		place(agenda, agenda->heap[child], at);
	}
	place(agenda, deadline, at);
}

static void heap_remove(struct agenda *agenda, struct deadline *deadline)
{
	size_t at = deadline->place;
	struct deadline *last = agenda->heap[agenda->count--];
	deadline->place = 0;
	if (last == deadline)
		return;
	if (at > 1 && agenda->heap[at / 2]->at > last->at)
		sift_up(agenda, last, at);
	else
		sift_down(agenda, last, at);
}

static void heap_insert(struct agenda *agenda, struct deadline *deadline)
{
	if (agenda->count + 1 >= agenda->capacity) {
		size_t capacity = agenda->capacity * 2;
		struct deadline **heap = realloc(agenda->heap, capacity * sizeof(*heap));
		if (heap == NULL)
			abort(); /* a lost deadline would silently kill a tunnel; better to have the worker replaced */
		agenda->heap = heap;
		agenda->capacity = capacity;
	}
	sift_up(agenda, deadline, ++agenda->count);
}

void deadline_init(struct deadline *deadline, void (*due)(void *owner), void *owner)
{
	*deadline = (struct deadline){ .at = LOOP_NEVER, .due = due, .owner = owner };
}

void deadline_set(struct loop *loop, struct deadline *deadline, uint64_t at)
{
	struct agenda *agenda = agenda_of(loop);
	assert(deadline->due != NULL);
	if (deadline->at == at)
		return;
	if (deadline->place != 0)
		heap_remove(agenda, deadline);
	deadline->at = at;
	if (at != LOOP_NEVER)
		heap_insert(agenda, deadline);
}

uint64_t agenda_next(const struct agenda *agenda)
{
	return agenda->count == 0 ? LOOP_NEVER : agenda->heap[1]->at;
}

bool agenda_run_due(struct agenda *agenda, uint64_t now)
{
	bool any = false;
	while (agenda_next(agenda) <= now && agenda->count > 0) {
		struct deadline *deadline = agenda->heap[1];
		heap_remove(agenda, deadline);
		deadline->at = LOOP_NEVER;
		deadline->due(deadline->owner);
		any = true;
	}
	return any;
}

/* Deferred calls. */

void deferred_queue(struct loop *loop, struct deferred *deferred)
{
	deferred_list_add(&agenda_of(loop)->deferred, deferred);
}

void deferred_cancel(struct loop *loop, struct deferred *deferred)
{
	deferred_list_remove(&agenda_of(loop)->deferred, deferred);
}

void loop_end_turn(struct loop *loop)
{
	deferred_list_run(&agenda_of(loop)->deferred);
}

/* Life. */

bool agenda_init(struct agenda *agenda)
{
	*agenda = (struct agenda){ .capacity = 64 };
	agenda->heap = calloc(agenda->capacity, sizeof(struct deadline *));
	return agenda->heap != NULL;
}

void agenda_clear(struct agenda *agenda)
{
	free(agenda->heap);
	*agenda = (struct agenda){ 0 };
}
