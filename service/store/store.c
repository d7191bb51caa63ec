#include "service/store/store.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ipc/log.h"
#include "service/registry/snapshot_json.h"
#include "service/spec/json_writer.h"

struct queue {
	struct store_batch *first, **last;
};

#define ROOM_INTERVAL 1 /* seconds between two looks for room on a full disk */

struct store {
	struct database *database;
	struct disk disk;
	struct timespec look_at; /* for room, while the disk is full; the thread's alone */
	pthread_t thread;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t changed;
	struct queue waiting, finished;
	bool ends, is_busy;
	uint64_t next_revision;
	void (*wake)(void *owner);
	void *owner;
};

static void queue_add(struct queue *queue, struct store_batch *batch)
{
	batch->next = NULL;
	*queue->last = batch;
	queue->last = &batch->next;
}

static void queue_init(struct queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

static struct store_batch *queue_take_all(struct queue *queue)
{
	struct store_batch *first = queue->first;
	queue_init(queue);
	return first;
}

struct store_batch *store_batch_create(size_t count)
{
	struct store_batch *batch = calloc(1, sizeof(*batch));
	if (batch == NULL)
		return NULL;
	batch->writes = calloc(count + 1, sizeof(*batch->writes));
	batch->count = count;
	if (batch->writes != NULL)
		return batch;
	free(batch);
	return NULL;
}

void store_batch_free(struct store_batch *batch)
{
	if (batch == NULL)
		return;
	for (size_t i = 0; i < batch->count; i++) {
		database_tunnel_clear(&batch->writes[i].tunnel);
		database_token_clear(&batch->writes[i].token);
		free(batch->writes[i].session);
		snapshot_release(batch->writes[i].snapshot);
	}
	free(batch->writes);
	free(batch);
}

static char *document_of(const struct snapshot *snapshot)
{
	struct json_writer writer = { .failed = false };
	json_t *document = snapshot_to_json(&writer, snapshot);
	if (snapshot->origin != SNAPSHOT_OF_API)
		json_writer_set(&writer, document, "origin", json_string(snapshot_origin_name(snapshot->origin)));
	document = json_writer_end(&writer, document);
	char *text = json_writer_text(document);
	json_decref(document);
	return text;
}

static int put_tunnel(struct database *database, const struct store_write *write)
{
	struct database_tunnel row = write->tunnel;
	row.document = document_of(write->snapshot);
	if (row.document == NULL)
		return SQLITE_NOMEM;
	int result = database_put_tunnel(database, &row);
	sodium_memzero(row.document, strlen(row.document));
	free(row.document);
	return result;
}

static int apply_write(struct database *database, const struct store_write *write)
{
	int result = SQLITE_OK;
	switch (write->kind) {
	case STORE_PUT: result = put_tunnel(database, write); break;
	case STORE_CHECKPOINT: result = database_checkpoint_tunnel(database, &write->tunnel); break;
	case STORE_DELETE: result = database_delete_tunnel(database, write->tunnel.key); break;
	case STORE_TOKEN_PUT: result = database_put_token(database, &write->token); break;
	case STORE_TOKEN_CHECKPOINT: result = database_checkpoint_token(database, &write->token); break;
	case STORE_TOKEN_DELETE: result = database_delete_token(database, write->token.id); break;
	case STORE_SESSION_PUT: result = database_put_session(database, write->session); break;
	case STORE_SESSION_DELETE: result = database_delete_session(database, write->session); break;
	case STORE_SESSIONS_PURGE: result = database_purge_sessions(database, write->session); break;
	}
	return result;
}

static int apply_batch(struct database *database, const struct store_batch *batch)
{
	int result = SQLITE_OK;
	for (size_t i = 0; i < batch->count && result == SQLITE_OK; i++)
		result = apply_write(database, &batch->writes[i]);
	if (result == SQLITE_OK && batch->next_revision != 0)
		result = database_put_next_revision(database, batch->next_revision);
	return result;
}

/* One transaction for the batches from `first` up to (not with) `end`. */
static int commit_group(struct database *database, struct store_batch *first, const struct store_batch *end)
{
	int result = database_begin(database);
	for (struct store_batch *batch = first; batch != end && result == SQLITE_OK; batch = batch->next)
		result = apply_batch(database, batch);
	if (result == SQLITE_OK)
		result = database_commit(database);
	if (result != SQLITE_OK)
		database_rollback(database);
	return result;
}

/* A flush that failed may have thrown the pages away: what it was to save counts as failed, and is never tried until it «works» (D4). */
static bool is_flush_failure(int result)
{
	return result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_DIR_FSYNC;
}

static void empty_log(struct database *database)
{
	int result = database_truncate_log(database);
	if (result != SQLITE_OK)
		log_line(LOG_WARN, NULL, "the write-ahead log of state.db could not be emptied; deleted keys may still be in it: %s",
		         database_error(result));
}

/* On a full disk, tries once more with the reserve's space, which is free again when the log is empty. */
static int commit(struct store *store, struct store_batch *first, const struct store_batch *end)
{
	struct database *database = store->database;
	int result = commit_group(database, first, end);
	if (!database_is_full(database, result))
		return result;
	disk_note(&store->disk, true);
	if (!database_wants_reserve(database, result))
		return result;
	database_lend_reserve(database);
	result = commit_group(database, first, end);
	empty_log(database);
	(void)database_take_reserve(database); /* look_for_room tries again */
	return result;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void look_for_room(struct store *store)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!atomic_load(&store->disk.is_full) || is_later(&store->look_at, &now))
		return;
	store->look_at = now;
	store->look_at.tv_sec += ROOM_INTERVAL;
	if (database_has_room(store->database))
		disk_note(&store->disk, false);
}

static bool holds_delete(const struct store_batch *batch)
{
	for (; batch != NULL; batch = batch->next)
		for (size_t i = 0; i < batch->count; i++)
			if (batch->writes[i].kind == STORE_DELETE && batch->result == SQLITE_OK)
				return true;
	return false;
}

static void work_off(struct store *store, struct store_batch *first)
{
	struct database *database = store->database;
	int result = commit(store, first, NULL);
	bool is_group = first->next != NULL;
	for (struct store_batch *batch = first; batch != NULL; batch = batch->next) {
		/* Separately, so that a batch that fails does not fail the others of its transaction. */
		bool alone = result != SQLITE_OK && is_group && !is_flush_failure(result);
		batch->result = alone ? commit(store, batch, batch->next) : result;
		if (batch->result != SQLITE_OK)
			log_line(LOG_ERROR, NULL, "a write to state.db failed: %s", database_error(batch->result));
	}
	if (holds_delete(first))
		empty_log(database);
	result = database_forget(database);
	if (result != SQLITE_OK)
		log_line(LOG_WARN, NULL, "keys may still be in SQLite's memory: %s", database_error(result));
}

static void hand_back(struct store *store, struct store_batch *first)
{
	pthread_mutex_lock(&store->lock);
	while (first != NULL) {
		struct store_batch *next = first->next;
		queue_add(&store->finished, first);
		first = next;
	}
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
	store->wake(store->owner);
}

/* Until there is something to do: batches, the end, or on a full disk the next look for room. */
static void await_work(struct store *store)
{
	int result = 0;
	while (store->waiting.first == NULL && !store->ends && result == 0)
		result = atomic_load(&store->disk.is_full) ? pthread_cond_timedwait(&store->changed, &store->lock, &store->look_at)
		                                           : pthread_cond_wait(&store->changed, &store->lock);
}

static void *run(void *argument)
{
	struct store *store = argument;
	pthread_mutex_lock(&store->lock);
	for (;;) {
		await_work(store);
		struct store_batch *first = queue_take_all(&store->waiting);
		if (first == NULL && store->ends)
			break;
		store->is_busy = true;
		pthread_mutex_unlock(&store->lock);
		if (first != NULL) {
			work_off(store, first);
			hand_back(store, first);
		}
		look_for_room(store);
		pthread_mutex_lock(&store->lock);
		store->is_busy = false;
		pthread_cond_broadcast(&store->changed);
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

static bool load(struct store *store, const struct store_loader *loader, char failure[512])
{
	store->next_revision = database_next_revision(store->database);
	bool is_loaded = database_load_tunnels(store->database, loader->take_tunnel, loader->tunnels, failure) &&
	                 database_load_tokens(store->database, loader->take_token, loader->tokens, failure) &&
	                 (loader->take_session == NULL || database_load_sessions(store->database, loader->take_session, loader->sessions, failure));
	/* A disk that is full at start is no reason not to start: this is only about memory. */
	(void)database_forget(store->database);
	if (is_loaded)
		disk_note(&store->disk, !database_take_reserve(store->database));
	return is_loaded;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

struct store *store_open(const char *directory, const char *vfs, const struct store_loader *loader, void (*wake)(void *owner), void *owner,
                         char failure[512])
{
	assert(loader->take_tunnel != NULL && loader->take_token != NULL && wake != NULL);
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL) {
		snprintf(failure, 512, "out of memory");
		return NULL;
	}
	store->wake = wake;
	store->owner = owner;
	queue_init(&store->waiting);
	queue_init(&store->finished);
	pthread_mutex_init(&store->lock, NULL);
	init_condition(&store->changed);
	disk_init(&store->disk, directory);
	store->database = database_open(directory, vfs, failure);
	if (store->database != NULL && load(store, loader, failure)) {
		if (pthread_create(&store->thread, NULL, run, store) == 0)
			return store;
		snprintf(failure, 512, "cannot start a thread");
	}
	database_close(store->database);
	free(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	pthread_mutex_lock(&store->lock);
	store->ends = true;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
	pthread_join(store->thread, NULL);
	store_collect(store);
	database_close(store->database);
	pthread_cond_destroy(&store->changed);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

uint64_t store_next_revision(const struct store *store)
{
	return store->next_revision;
}

void store_explain(const struct store *store, int result, char *text, size_t size)
{
	if ((result & 0xff) == SQLITE_FULL)
		disk_explain(&store->disk, text, size);
	else
		snprintf(text, size, "%s", database_error(result));
}

bool store_is_writable(const struct store *store)
{
	return !atomic_load(&store->disk.is_full);
}

void store_submit(struct store *store, struct store_batch *batch)
{
	assert(batch->done != NULL);
	pthread_mutex_lock(&store->lock);
	queue_add(&store->waiting, batch);
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

void store_collect(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	struct store_batch *first = queue_take_all(&store->finished);
	pthread_mutex_unlock(&store->lock);
	while (first != NULL) {
		struct store_batch *next = first->next;
		first->done(first, first->owner);
		first = next;
	}
}

void store_drain(struct store *store)
{
	pthread_mutex_lock(&store->lock);
	while (store->waiting.first != NULL || store->is_busy)
		pthread_cond_wait(&store->changed, &store->lock);
	pthread_mutex_unlock(&store->lock);
	store_collect(store);
}
