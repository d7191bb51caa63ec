/* Calls that are made later, once however often they were requested, in order of request. */
#ifndef WARREN_TUNNEL_IO_DEFERRED_H
#define WARREN_TUNNEL_IO_DEFERRED_H

#include <stdbool.h>

/* Embedded by value. */
struct deferred {
	struct deferred *next;
	bool queued;
	void (*call)(void *owner);
	void *owner;
};

/* All zero is an empty list. */
struct deferred_list {
	struct deferred *first, *last;
};

void deferred_init(struct deferred *deferred, void (*call)(void *owner), void *owner);
void deferred_list_add(struct deferred_list *list, struct deferred *deferred);
void deferred_list_remove(struct deferred_list *list, struct deferred *deferred);
/* Makes the calls that were requested before this one. */
void deferred_list_run_once(struct deferred_list *list);
/* Makes the calls until the list is empty, also those that are requested meanwhile. */
void deferred_list_run(struct deferred_list *list);

#endif
