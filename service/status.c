#include "service/status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 159

struct runtime_status {
	_Atomic unsigned references;
	pthread_mutex_t lock;
	char *reason, *obstacle; /* NULL: "". Most tunnels have neither */
};

struct runtime_status *status_create(void)
{
	struct runtime_status *status = calloc(1, sizeof(*status));
	if (status == NULL)
		return NULL;
	status->references = 1;
	pthread_mutex_init(&status->lock, NULL);
	return status;
}

struct runtime_status *status_reference(struct runtime_status *status)
{
	status->references++;
	return status;
}

void status_release(struct runtime_status *status)
{
	if (status == NULL || --status->references > 0)
		return;
	pthread_mutex_destroy(&status->lock);
	free(status->reason);
	free(status->obstacle);
	free(status);
}

static void put(struct runtime_status *status, char **place, const char *text)
{
	char *copy = text[0] == '\0' ? NULL : strndup(text, LONGEST);
	pthread_mutex_lock(&status->lock);
	char *old = *place;
	*place = copy;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

void status_set_reason(struct runtime_status *status, const char *reason)
{
	put(status, &status->reason, reason);
}

void status_set_obstacle(struct runtime_status *status, const char *obstacle)
{
	put(status, &status->obstacle, obstacle);
}

void status_get(struct runtime_status *status, char reason[160], char obstacle[160])
{
	pthread_mutex_lock(&status->lock);
	snprintf(reason, LONGEST + 1, "%s", status->reason == NULL ? "" : status->reason);
	snprintf(obstacle, LONGEST + 1, "%s", status->obstacle == NULL ? "" : status->obstacle);
	pthread_mutex_unlock(&status->lock);
}
