#include "service/change/inbox.h"

#include <pthread.h>
#include <stdlib.h>

struct inbox {
	pthread_mutex_t lock; /* of all below */
	struct mutation *first, **last;
	bool is_closed;
};

struct inbox *inbox_create(void)
{
	struct inbox *inbox = calloc(1, sizeof(*inbox));
	if (inbox == NULL)
		return NULL;
	pthread_mutex_init(&inbox->lock, NULL);
	inbox->last = &inbox->first;
	return inbox;
}

void inbox_free(struct inbox *inbox)
{
	if (inbox == NULL)
		return;
	pthread_mutex_destroy(&inbox->lock);
	free(inbox);
}

bool inbox_put(struct inbox *inbox, struct mutation *mutation)
{
	pthread_mutex_lock(&inbox->lock);
	bool is_taken = !inbox->is_closed;
	if (is_taken) {
		*inbox->last = mutation;
		inbox->last = &mutation->next;
	}
	pthread_mutex_unlock(&inbox->lock);
	return is_taken;
}

struct mutation *inbox_take_all(struct inbox *inbox)
{
	pthread_mutex_lock(&inbox->lock);
	struct mutation *first = inbox->first;
	inbox->first = NULL;
	inbox->last = &inbox->first;
	pthread_mutex_unlock(&inbox->lock);
	return first;
}

static void set_closed(struct inbox *inbox, bool is_closed)
{
	pthread_mutex_lock(&inbox->lock);
	inbox->is_closed = is_closed;
	pthread_mutex_unlock(&inbox->lock);
}

void inbox_close(struct inbox *inbox)
{
	set_closed(inbox, true);
}

void inbox_reopen(struct inbox *inbox)
{
	set_closed(inbox, false);
}
