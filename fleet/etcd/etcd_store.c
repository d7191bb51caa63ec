#include "fleet/etcd/etcd_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/etcd/etcd_body.h"

#define PAGE_SHRINKS 8 /* times smaller, when an answer was too large */

struct etcd_job {
	struct etcd_store *store;
	struct etcd_store_listener listener;
	struct etcd_call call;
	struct etcd_job *next, **before; /* in its list */
	bool is_started;                 /* in the list of those under way, else among those that wait */
	char *body;                      /* until it is sent; owned */
	bool is_folder, is_write;
	unsigned page;             /* records of a page */
	char key[FLEET_KEY_TEXT];  /* of a read */
	char last[FLEET_KEY_TEXT]; /* of its last page; "": there was none */
	int64_t revision;          /* of all pages */
	struct etcd_object object; /* being told */
	bool *is_cancelled;        /* while a listener runs: to be set */
};

struct etcd_store {
	struct etcd_gateway *gateway;
	struct etcd_job *started, *waiting, **last_waiting;
	size_t started_count;
};

/* ---- Jobs and their lists ---- */

static void unlink_job(struct etcd_job *job)
{
	struct etcd_store *store = job->store;
	*job->before = job->next;
	if (job->next != NULL)
		job->next->before = job->before;
	else if (!job->is_started)
		store->last_waiting = job->before;
	store->started_count -= job->is_started;
}

static void job_free(struct etcd_job *job)
{
	if (job->is_cancelled != NULL)
		*job->is_cancelled = true;
	etcd_gateway_cancel(&job->call);
	unlink_job(job);
	etcd_object_clear(&job->object);
	free(job->body);
	free(job);
}

static void link_started(struct etcd_job *job)
{
	struct etcd_store *store = job->store;
	job->is_started = true;
	job->next = store->started;
	job->before = &store->started;
	if (job->next != NULL)
		job->next->before = &job->next;
	store->started = job;
	store->started_count++;
}

static bool send_job(struct etcd_job *job);

static void finish(struct etcd_job *job, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	const struct etcd_store_listener listener = job->listener;
	job_free(job);
	listener.done(listener.owner, error, has_succeeded, error == ETCD_OK ? revision : 0);
}

/* In the place of one that has ended. */
static void start_waiting(struct etcd_store *store)
{
	while (store->waiting != NULL && store->started_count < ETCD_CALLS) {
		struct etcd_job *job = store->waiting;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a job that is freed has left the list. */
		unlink_job(job);
		link_started(job);
		if (!send_job(job))
			finish(job, ETCD_NO_MEMORY, false, 0);
	}
}

static void end(struct etcd_job *job, enum etcd_error error, bool has_succeeded, int64_t revision)
{
	struct etcd_store *store = job->store;
	finish(job, error, has_succeeded, revision);
	start_waiting(store);
}

/* ---- What comes back ---- */

/* ETCD_OK, or why it ends; the job is gone when `is_cancelled` says so. */
static enum etcd_error tell_records(struct etcd_job *job, const struct etcd_answer *answer, bool *is_cancelled)
{
	const char *prefix = etcd_gateway_prefix(job->store->gateway);
	for (size_t i = 0; i < answer->record_count; i++) {
		int error = etcd_answer_object(answer, i, prefix, &job->object);
		if (error == ETCD_NO_MEMORY)
			return error;
		if (error != ETCD_OK)
			continue;
		memcpy(job->last, job->object.key, sizeof(job->last));
		job->listener.record(job->listener.owner, &job->object.kv);
		if (*is_cancelled)
			return ETCD_OK;
	}
	return ETCD_OK;
}

static void answer_read(struct etcd_job *job, const struct etcd_answer *answer)
{
	char before[FLEET_KEY_TEXT];
	bool is_cancelled = false;
	memcpy(before, job->last, sizeof(before));
	if (job->revision == 0)
		job->revision = answer->revision;
	job->is_cancelled = &is_cancelled;
	enum etcd_error error = tell_records(job, answer, &is_cancelled);
	if (is_cancelled)
		return;
	job->is_cancelled = NULL;
	/* A page that leads no further would be read for ever. */
	if (error == ETCD_OK && answer->has_more && strcmp(job->last, before) <= 0)
		error = ETCD_MALFORMED;
	if (error == ETCD_OK && answer->has_more && send_job(job))
		return;
	end(job, error == ETCD_OK && answer->has_more ? ETCD_NO_MEMORY : error, true, job->revision);
}

static void on_done(void *owner, enum etcd_error error, const struct etcd_answer *answer)
{
	struct etcd_job *job = owner;
	if (error == ETCD_TOO_LARGE && job->is_folder && job->page > 1) {
		job->page = job->page / PAGE_SHRINKS > 0 ? job->page / PAGE_SHRINKS : 1;
		if (send_job(job))
			return;
		error = ETCD_NO_MEMORY;
	}
	if (error == ETCD_OK && !job->is_write)
		answer_read(job, answer);
	else
		end(job, error, answer->has_succeeded, answer->revision);
}

/* ---- What is asked ---- */

static char *body_of_read(const struct etcd_job *job)
{
	const char *prefix = etcd_gateway_prefix(job->store->gateway), *after = job->last[0] == '\0' ? NULL : job->last;
	return job->is_folder ? etcd_body_range(prefix, job->key, after, job->revision, job->page) : etcd_body_read(prefix, job->key);
}

/* Its next page; the only one of others. */
static bool send_job(struct etcd_job *job)
{
	const struct etcd_call_listener listener = { job, NULL, on_done };
	char *body = job->is_write ? job->body : body_of_read(job);
	job->body = NULL;
	return etcd_gateway_post(job->store->gateway, &job->call, job->is_write ? "/v3/kv/txn" : "/v3/kv/range", body, false, &listener);
}

static void wait_for_turn(struct etcd_job *job)
{
	struct etcd_store *store = job->store;
	job->before = store->last_waiting;
	*store->last_waiting = job;
	store->last_waiting = &job->next;
}

static struct etcd_job *begin(struct etcd_job *job)
{
	if (job->store->started_count >= ETCD_CALLS || job->store->waiting != NULL) {
		wait_for_turn(job);
		return job;
	}
	link_started(job);
	if (send_job(job))
		return job;
	job_free(job);
	return NULL;
}

static struct etcd_job *job_create(struct etcd_store *store, const struct etcd_store_listener *listener)
{
	struct etcd_job *job = calloc(1, sizeof(*job));
	if (job != NULL)
		*job = (struct etcd_job){ .store = store, .listener = *listener, .page = ETCD_PAGE };
	return job;
}

struct etcd_job *etcd_store_read(struct etcd_store *store, const char *key, const struct etcd_store_listener *listener)
{
	struct etcd_job *job = job_create(store, listener);
	size_t length = strlen(key);
	if (job == NULL)
		return NULL;
	assert(length > 0 && length < sizeof(job->key));
	memcpy(job->key, key, length + 1);
	job->is_folder = key[length - 1] == '/';
	return begin(job);
}

struct etcd_job *etcd_store_write(struct etcd_store *store, const struct fleet_txn *txn, const struct etcd_store_listener *listener)
{
	char *body = etcd_body_txn(etcd_gateway_prefix(store->gateway), txn);
	struct etcd_job *job = body == NULL ? NULL : job_create(store, listener);
	if (job == NULL) {
		free(body);
		return NULL;
	}
	job->body = body;
	job->is_write = true;
	return begin(job);
}

void etcd_store_cancel(struct etcd_job *job)
{
	job_free(job);
}

/* ---- The store ---- */

struct etcd_store *etcd_store_create(uv_loop_t *loop, const struct etcd_client_config *config)
{
	struct etcd_store *store = calloc(1, sizeof(*store));
	if (store == NULL)
		return NULL;
	store->last_waiting = &store->waiting;
	store->gateway = etcd_gateway_create(loop, config);
	if (store->gateway != NULL)
		return store;
	free(store);
	return NULL;
}

void etcd_store_free(struct etcd_store *store)
{
	if (store == NULL)
		return;
	while (store->started != NULL)
		job_free(store->started); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list */
	while (store->waiting != NULL)
		job_free(store->waiting); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list */
	etcd_gateway_free(store->gateway);
	free(store);
}
