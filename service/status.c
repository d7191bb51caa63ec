#include "service/status.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct runtime_status {
	_Atomic unsigned references;
	pthread_mutex_t lock;
	char reason[160];
	char obstacle[160];
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
	free(status);
}

void status_set_reason(struct runtime_status *status, const char *reason)
{
	pthread_mutex_lock(&status->lock);
	snprintf(status->reason, sizeof(status->reason), "%s", reason);
	pthread_mutex_unlock(&status->lock);
}

void status_set_obstacle(struct runtime_status *status, const char *obstacle)
{
	pthread_mutex_lock(&status->lock);
	snprintf(status->obstacle, sizeof(status->obstacle), "%s", obstacle);
	pthread_mutex_unlock(&status->lock);
}

void status_get(struct runtime_status *status, char reason[160], char obstacle[160])
{
	pthread_mutex_lock(&status->lock);
	snprintf(reason, 160, "%s", status->reason);
	snprintf(obstacle, 160, "%s", status->obstacle);
	pthread_mutex_unlock(&status->lock);
}
