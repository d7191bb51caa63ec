#include "tunnel/io/deferred.h"

#include <assert.h>
#include <stddef.h>

void deferred_init(struct deferred *deferred, void (*call)(void *owner), void *owner)
{
	*deferred = (struct deferred){ .call = call, .owner = owner };
}

void deferred_list_add(struct deferred_list *list, struct deferred *deferred)
{
	assert(deferred->call != NULL);
	if (deferred->queued)
		return;
	deferred->queued = true;
	deferred->next = NULL;
	if (list->first == NULL)
		list->first = deferred;
	else
		list->last->next = deferred;
	list->last = deferred;
}

void deferred_list_remove(struct deferred_list *list, struct deferred *deferred)
{
	struct deferred *before = NULL;
	if (!deferred->queued)
		return;
	for (struct deferred *at = list->first; at != deferred; at = at->next)
		before = at;
	if (before == NULL)
		list->first = deferred->next;
	else
		before->next = deferred->next;
	if (list->last == deferred)
		list->last = before;
	deferred->queued = false;
}

static void run_first(struct deferred_list *list)
{
	struct deferred *deferred = list->first;
	list->first = deferred->next;
	deferred->queued = false;
	deferred->call(deferred->owner);
}

void deferred_list_run_once(struct deferred_list *list)
{
	const struct deferred *last = list->last;
	bool goes_on = true;
	while (goes_on && list->first != NULL) {
		goes_on = list->first != last;
		run_first(list);
	}
}

void deferred_list_run(struct deferred_list *list)
{
	while (list->first != NULL)
		run_first(list);
}
