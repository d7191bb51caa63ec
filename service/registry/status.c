#include "service/registry/status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 159

struct runtime_status {
	_Atomic unsigned references;
	pthread_mutex_t lock;
	bool is_up;
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

static char *copy_of(const char *text)
{
	return text[0] == '\0' ? NULL : strndup(text, LONGEST);
}

void status_set_reason(struct runtime_status *status, bool is_up, const char *reason)
{
	char *copy = copy_of(reason);
	pthread_mutex_lock(&status->lock);
	char *old = status->reason;
	status->reason = copy;
	status->is_up = is_up;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

void status_set_obstacle(struct runtime_status *status, const char *obstacle)
{
	char *copy = copy_of(obstacle);
	pthread_mutex_lock(&status->lock);
	char *old = status->obstacle;
	status->obstacle = copy;
	pthread_mutex_unlock(&status->lock);
	free(old);
}

void status_get(struct runtime_status *status, bool is_up, char reason[160], char obstacle[160])
{
	pthread_mutex_lock(&status->lock);
	bool has_reason = status->reason != NULL && (!is_up || status->is_up);
	snprintf(reason, LONGEST + 1, "%s", has_reason ? status->reason : "");
	snprintf(obstacle, LONGEST + 1, "%s", status->obstacle == NULL ? "" : status->obstacle);
	pthread_mutex_unlock(&status->lock);
}
