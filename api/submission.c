/* A submission links a request with its change. The link can be cut: a request whose answer does not come in time for a shutdown
 * goes on without it, because stopping the library with a suspended connection would abort the process. */
#include "api/submission.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "api/clock.h"
#include "api/reply.h"

struct submission {
	struct submission *next, *previous;
	struct api_submissions *all;
	struct api_request *request; /* NULL when it was cut */
};

struct api_submissions {
	pthread_mutex_t lock;
	pthread_cond_t emptied;
	struct submission *first;
	bool is_closed;    /* drained: nothing is suspended any more */
	size_t references; /* the API's own and one of each submission, those that were cut included */
};

struct api_submissions *api_submissions_create(void)
{
	struct api_submissions *all = calloc(1, sizeof(*all));
	if (!all)
		return NULL;
	all->references = 1;
	pthread_mutex_init(&all->lock, NULL);
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&all->emptied, &attributes);
	pthread_condattr_destroy(&attributes);
	return all;
}

/* Called with the lock, which it gives up. */
static void unlock_and_release(struct api_submissions *all)
{
	bool is_last = --all->references == 0;
	pthread_mutex_unlock(&all->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&all->emptied);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

void api_submissions_free(struct api_submissions *submissions)
{
	if (!submissions)
		return;
	pthread_mutex_lock(&submissions->lock);
	unlock_and_release(submissions);
}

static void unlink_submission(struct submission *submission)
{
	struct api_submissions *all = submission->all;
	if (submission->previous)
		submission->previous->next = submission->next;
	else
		all->first = submission->next;
	if (submission->next)
		submission->next->previous = submission->previous;
	if (!all->first)
		pthread_cond_broadcast(&all->emptied);
}

/* On the service's thread, or within service_submit. */
static void answered(struct change *change, void *owner)
{
	struct submission *submission = owner;
	struct api_submissions *all = submission->all;
	pthread_mutex_lock(&all->lock);
	struct api_request *request = submission->request;
	if (request) {
		request->change = change;
		unlink_submission(submission);
		MHD_resume_connection(request->connection);
	}
	unlock_and_release(all);
	if (!request)
		change_free(change);
	free(submission);
}

/* Suspends, unless the API is being stopped: then false. */
static bool enter(struct api_submissions *all, struct submission *submission)
{
	pthread_mutex_lock(&all->lock);
	bool is_open = !all->is_closed;
	if (is_open) {
		submission->next = all->first;
		if (all->first)
			all->first->previous = submission;
		all->first = submission;
		all->references++;
		MHD_suspend_connection(submission->request->connection);
	}
	pthread_mutex_unlock(&all->lock);
	return is_open;
}

void api_submission_send(struct api_request *request, struct change *change, void (*finish)(struct api_request *request, struct change *change))
{
	struct api_submissions *all = request->api->submissions;
	struct submission *submission = calloc(1, sizeof(*submission));
	if (!submission) {
		change_free(change);
		api_reply_failure(request, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	*submission = (struct submission){ .all = all, .request = request };
	change->scope = request->scope;
	change->done = answered;
	change->owner = submission;
	request->finish = finish;
	request->stage = API_REQUEST_WAITING;
	api_connection_enter(request->api->connections, request->client, CONNECTION_WAITING, api_clock_ms());
	if (enter(all, submission)) {
		service_submit(request->api->service, change);
		return;
	}
	free(submission);
	change_free(change);
	api_reply_failure(request, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping.");
}

static void cut(struct submission *submission)
{
	struct api_request *request = submission->request;
	submission->request = NULL;
	unlink_submission(submission);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what is in the list has its request. */
	MHD_resume_connection(request->connection);
}

void api_submissions_drain(struct api_submissions *submissions, unsigned patience_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += patience_ms / 1000;
	pthread_mutex_lock(&submissions->lock);
	while (submissions->first && pthread_cond_timedwait(&submissions->emptied, &submissions->lock, &until) != ETIMEDOUT)
		continue;
	submissions->is_closed = true;
	while (submissions->first)
		cut(submissions->first);
	pthread_mutex_unlock(&submissions->lock);
}
