/* Links a request whose connection is suspended with its change. The link can be cut: a request whose answer does not come in time for a shutdown
 * goes on without it, because stopping the library with a suspended connection would abort the process. */
#include "api/suspended_request.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "api/clock.h"
#include "api/reply.h"

struct suspended_request {
	struct suspended_request *next, *previous;
	struct api_suspended_requests *all;
	struct api_request *request; /* NULL when the link was cut */
};

struct api_suspended_requests {
	pthread_mutex_t lock;
	pthread_cond_t emptied;
	struct suspended_request *first;
	bool is_closed;    /* drained: no request is suspended any more */
	size_t references; /* the API's own and one of each suspended request, those that were cut included */
};

struct api_suspended_requests *api_suspended_requests_create(void)
{
	struct api_suspended_requests *all = calloc(1, sizeof(*all));
	if (all == NULL)
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

/* Called with the lock, which it releases. */
static void unlock_and_release(struct api_suspended_requests *all)
{
	bool is_last = --all->references == 0;
	pthread_mutex_unlock(&all->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&all->emptied);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

void api_suspended_requests_free(struct api_suspended_requests *suspended_requests)
{
	if (suspended_requests == NULL)
		return;
	pthread_mutex_lock(&suspended_requests->lock);
	unlock_and_release(suspended_requests);
}

static void unlink_suspended(struct suspended_request *suspended)
{
	struct api_suspended_requests *all = suspended->all;
	if (suspended->previous != NULL)
		suspended->previous->next = suspended->next;
	else
		all->first = suspended->next;
	if (suspended->next != NULL)
		suspended->next->previous = suspended->previous;
	if (all->first == NULL)
		pthread_cond_broadcast(&all->emptied);
}

/* On the service's thread, or within service_submit. */
static void answered(struct mutation *mutation, void *owner)
{
	struct suspended_request *suspended = owner;
	struct api_suspended_requests *all = suspended->all;
	pthread_mutex_lock(&all->lock);
	struct api_request *request = suspended->request;
	if (request != NULL) {
		request->mutation = mutation;
		unlink_suspended(suspended);
		MHD_resume_connection(request->connection);
	}
	unlock_and_release(all);
	if (request == NULL)
		mutation_free(mutation);
	free(suspended);
}

/* Suspends the request; false if the API is stopping. */
static bool enter(struct api_suspended_requests *all, struct suspended_request *suspended)
{
	pthread_mutex_lock(&all->lock);
	bool is_open = !all->is_closed;
	if (is_open) {
		suspended->next = all->first;
		if (all->first != NULL)
			all->first->previous = suspended;
		all->first = suspended;
		all->references++;
		MHD_suspend_connection(suspended->request->connection);
	}
	pthread_mutex_unlock(&all->lock);
	return is_open;
}

void api_suspended_request_send(struct api_request *request, struct mutation *mutation,
                                void (*finish)(struct api_request *request, struct mutation *mutation))
{
	struct api_suspended_requests *all = request->api->suspended_requests;
	struct suspended_request *suspended = calloc(1, sizeof(*suspended));
	if (suspended == NULL) {
		mutation_free(mutation);
		api_reply_out_of_memory(request);
		return;
	}
	*suspended = (struct suspended_request){ .all = all, .request = request };
	mutation->scope = request->caller.scopes;
	mutation->done = answered;
	mutation->owner = suspended;
	request->finish = finish;
	request->stage = API_REQUEST_WAITING;
	api_http_connection_enter(request->api->connections, request->client, CONNECTION_WAITING, api_clock_ms());
	if (enter(all, suspended)) {
		service_submit(request->api->service, request->caller.access, mutation);
		return;
	}
	free(suspended);
	mutation_free(mutation);
	api_reply_failure(request, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
}

static void cut(struct suspended_request *suspended)
{
	struct api_request *request = suspended->request;
	suspended->request = NULL;
	unlink_suspended(suspended);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): submissions in the list have a request. */
	MHD_resume_connection(request->connection);
}

void api_suspended_requests_drain(struct api_suspended_requests *suspended_requests, unsigned patience_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += patience_ms / 1000;
	pthread_mutex_lock(&suspended_requests->lock);
	while (suspended_requests->first != NULL &&
	       pthread_cond_timedwait(&suspended_requests->emptied, &suspended_requests->lock, &until) != ETIMEDOUT)
		continue;
	suspended_requests->is_closed = true;
	while (suspended_requests->first != NULL)
		cut(suspended_requests->first);
	pthread_mutex_unlock(&suspended_requests->lock);
}
