#include "service/store/session_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/lower_bound.h"
#include "ipc/wall_clock.h"

#define PART 2048       /* rows of a write */
#define PURGE_ROWS 1024 /* that one purge deletes, so that it needs little room on a full disk */
#define EXPIRY_PARTS 16 /* what has expired is looked for with every sixteenth */
#define SLACK 5         /* seconds for which one that has expired is kept: its home may be about to prolong it */

struct session {
	char *key;
	char tunnel[64];
	uint64_t expires_at; /* UNIX time in seconds */
	bool is_dirty;       /* to be written */
	bool is_gone;        /* to be deleted from the disk, and then forgotten */
};

/* The sessions of one pool, sorted by key. */
struct table {
	struct table *next;
	char pool[64];
	int64_t born;
	struct session **list;
	size_t count, capacity, gone;
	size_t purges; /* of a pool that was deleted: how many are still to be done */
	bool is_dropped;
};

struct session_store {
	pthread_mutex_t lock;
	struct table *tables;
	size_t count, dirty;
	bool is_full_told; /* that one was not kept, for want of room; once in the daemon's life */
	bool is_under_way; /* a part is being written */
	unsigned parts;    /* that could have been written so far */
};

struct session_store *session_store_create(void)
{
	struct session_store *sessions = calloc(1, sizeof(*sessions));
	if (sessions != NULL)
		pthread_mutex_init(&sessions->lock, NULL);
	return sessions;
}

static void free_session(struct session *session)
{
	free(session->key);
	free(session);
}

static void free_table(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free_session(table->list[i]);
	free(table->list);
	free(table);
}

void session_store_free(struct session_store *sessions)
{
	if (sessions == NULL)
		return;
	while (sessions->tables != NULL) {
		struct table *table = sessions->tables;
		sessions->tables = table->next;
		free_table(table);
	}
	pthread_mutex_destroy(&sessions->lock);
	free(sessions);
}

static struct table *find_table(const struct session_store *sessions, const char *pool, int64_t born)
{
	struct table *table = sessions->tables;
	while (table != NULL && (table->born != born || strcmp(table->pool, pool) != 0))
		table = table->next;
	return table;
}

/* That of the pool which is there now. */
static struct table *find_live(const struct session_store *sessions, const char *pool)
{
	struct table *table = sessions->tables;
	while (table != NULL && (table->is_dropped || strcmp(table->pool, pool) != 0))
		table = table->next;
	return table;
}

static struct table *make_table(struct session_store *sessions, const char *pool, int64_t born)
{
	struct table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return NULL;
	snprintf(table->pool, sizeof(table->pool), "%s", pool);
	table->born = born;
	table->next = sessions->tables;
	sessions->tables = table;
	return table;
}

static int compare_key(const void *key, const void *element)
{
	const struct session *const *session = element;
	return strcmp(key, (*session)->key);
}

static size_t position(const struct table *table, const char *key)
{
	return lower_bound(key, table->list, table->count, sizeof(struct session *), compare_key);
}

static struct session *find_session(const struct table *table, const char *key)
{
	size_t at = position(table, key);
	return at < table->count && strcmp(table->list[at]->key, key) == 0 ? table->list[at] : NULL;
}

static bool make_room(struct table *table)
{
	if (table->count < table->capacity)
		return true;
	size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
	struct session **grown = realloc(table->list, capacity * sizeof(*grown));
	if (grown == NULL)
		return false;
	table->list = grown;
	table->capacity = capacity;
	return true;
}

static bool is_full(struct session_store *sessions, const struct table *table)
{
	if (sessions->count < SESSION_STORE_MOST)
		return false;
	if (!sessions->is_full_told)
		log_line(LOG_WARN, NULL, "pool %s: %d sticky sessions are stored, and no more are: a restart of the pool's worker loses the others",
		         table->pool, SESSION_STORE_MOST);
	sessions->is_full_told = true;
	return true;
}

/* NULL when there is no room: it is not kept. */
static struct session *add_session(struct session_store *sessions, struct table *table, const char *key)
{
	struct session *session = is_full(sessions, table) || !make_room(table) ? NULL : calloc(1, sizeof(*session));
	if (session == NULL)
		return NULL;
	session->key = strdup(key);
	if (session->key == NULL) {
		free(session);
		return NULL;
	}
	size_t at = position(table, key);
	memmove(&table->list[at + 1], &table->list[at], (table->count - at) * sizeof(*table->list));
	table->list[at] = session;
	table->count++;
	sessions->count++;
	return session;
}

static void set_dirty(struct session_store *sessions, struct session *session)
{
	sessions->dirty += !session->is_dirty;
	session->is_dirty = true;
}

static void set_gone(struct session_store *sessions, struct table *table, struct session *session)
{
	table->gone += !session->is_gone;
	session->is_gone = true;
	set_dirty(sessions, session);
}

static void set(struct table *table, struct session *session, const char *tunnel, uint64_t expires_at)
{
	table->gone -= session->is_gone;
	session->is_gone = false;
	snprintf(session->tunnel, sizeof(session->tunnel), "%s", tunnel);
	session->expires_at = expires_at;
}

void session_store_load(struct session_store *sessions, const struct database_session *row, bool is_known)
{
	struct table *table = find_table(sessions, row->pool, row->born);
	if (table == NULL)
		table = make_table(sessions, row->pool, row->born);
	if (table == NULL)
		return;
	table->is_dropped = !is_known;
	table->purges += !is_known;
	struct session *session = is_known ? add_session(sessions, table, row->key) : NULL;
	if (session != NULL)
		set(table, session, row->tunnel, row->expires_at);
}

static void put(struct session_store *sessions, const char *pool, int64_t born, const struct pool_session *told)
{
	struct table *table = find_table(sessions, pool, born);
	if (table == NULL)
		table = make_table(sessions, pool, born);
	if (table == NULL)
		return;
	struct session *session = find_session(table, told->key);
	if (told->tunnel[0] == '\0') {
		if (session != NULL)
			set_gone(sessions, table, session);
		return;
	}
	if (session == NULL)
		session = add_session(sessions, table, told->key);
	if (session == NULL)
		return;
	set(table, session, told->tunnel, told->expires_at);
	set_dirty(sessions, session);
}

void session_store_put(struct session_store *sessions, const char *pool, int64_t born, const struct pool_session *session)
{
	pthread_mutex_lock(&sessions->lock);
	put(sessions, pool, born, session);
	pthread_mutex_unlock(&sessions->lock);
}

static size_t forget(struct session_store *sessions, struct table *table, const char *key)
{
	size_t before = table->count - table->gone;
	struct session *session = key == NULL ? NULL : find_session(table, key);
	if (session != NULL)
		set_gone(sessions, table, session);
	for (size_t i = 0; key == NULL && i < table->count; i++)
		set_gone(sessions, table, table->list[i]);
	return before - (table->count - table->gone);
}

size_t session_store_forget(struct session_store *sessions, const char *pool, const char *key)
{
	pthread_mutex_lock(&sessions->lock);
	struct table *table = find_live(sessions, pool);
	size_t count = table == NULL ? 0 : forget(sessions, table, key);
	pthread_mutex_unlock(&sessions->lock);
	return count;
}

void session_store_drop(struct session_store *sessions, const char *pool)
{
	pthread_mutex_lock(&sessions->lock);
	struct table *table = find_live(sessions, pool);
	if (table != NULL) {
		table->is_dropped = true;
		table->purges = table->count / PURGE_ROWS + 1;
		for (size_t i = 0; i < table->count; i++) {
			sessions->dirty -= table->list[i]->is_dirty;
			free_session(table->list[i]);
		}
		sessions->count -= table->count;
		table->count = table->gone = 0;
	}
	pthread_mutex_unlock(&sessions->lock);
}

/* Writing. */

static bool fill_row(struct store_write *write, const struct table *table, const char *key)
{
	struct database_session *row = write->session = calloc(1, sizeof(*row));
	if (row == NULL)
		return false;
	snprintf(row->pool, sizeof(row->pool), "%s", table->pool);
	row->born = table->born;
	snprintf(row->key, sizeof(row->key), "%s", key);
	return true;
}

static bool fill_write(struct store_write *write, const struct table *table, const struct session *session)
{
	if (!fill_row(write, table, session->key))
		return false;
	write->kind = session->is_gone ? STORE_SESSION_DELETE : STORE_SESSION_PUT;
	snprintf(write->session->tunnel, sizeof(write->session->tunnel), "%s", session->tunnel);
	write->session->expires_at = session->expires_at;
	return true;
}

static size_t fill_from(struct session_store *sessions, const struct table *table, struct store_write *writes, size_t most)
{
	size_t count = 0;
	if (table->is_dropped && table->purges > 0 && fill_row(&writes[0], table, ""))
		writes[count++].kind = STORE_SESSIONS_PURGE;
	for (size_t i = 0; sessions->dirty > 0 && i < table->count && count < most; i++) {
		struct session *session = table->list[i];
		if (!session->is_dirty || !fill_write(&writes[count], table, session))
			continue;
		session->is_dirty = false;
		sessions->dirty--;
		count++;
	}
	return count;
}

static void expire(struct session_store *sessions, struct table *table)
{
	uint64_t now = (uint64_t)wall_clock_ms() / 1000;
	for (size_t i = 0; i < table->count; i++)
		if (!table->list[i]->is_gone && table->list[i]->expires_at + SLACK < now)
			set_gone(sessions, table, table->list[i]);
}

static bool has_work(struct session_store *sessions)
{
	bool has_purges = false, looks = sessions->parts++ % EXPIRY_PARTS == 0;
	for (struct table *table = sessions->tables; table != NULL; table = table->next) {
		has_purges |= table->purges > 0;
		if (looks)
			expire(sessions, table);
	}
	return has_purges || sessions->dirty > 0;
}

static void settle(struct session_store *sessions, const struct store_write *write, bool is_written)
{
	struct table *table = find_table(sessions, write->session->pool, write->session->born);
	if (table == NULL)
		return;
	if (write->kind == STORE_SESSIONS_PURGE) {
		table->purges -= is_written && table->purges > 0;
		return;
	}
	struct session *session = find_session(table, write->session->key);
	if (session != NULL && !is_written)
		set_dirty(sessions, session);
}

/* Those that are deleted from the disk. */
static void sweep(struct session_store *sessions, struct table *table)
{
	size_t kept = 0;
	for (size_t i = 0; table->gone > 0 && i < table->count; i++) {
		struct session *session = table->list[i];
		if (!session->is_gone || session->is_dirty) {
			table->list[kept++] = session;
			continue;
		}
		free_session(session);
		sessions->count--;
		if (--table->gone == 0) {
			memmove(&table->list[kept], &table->list[i + 1], (table->count - i - 1) * sizeof(*table->list));
			table->count -= i + 1 - kept;
			return;
		}
	}
	if (table->gone > 0)
		table->count = kept;
}

static void sweep_all(struct session_store *sessions)
{
	for (struct table **at = &sessions->tables; *at != NULL;) {
		struct table *table = *at;
		sweep(sessions, table);
		if (table->is_dropped && table->purges == 0) {
			*at = table->next;
			free_table(table);
		} else {
			at = &table->next;
		}
	}
}

static void on_written(struct store_batch *batch, void *owner)
{
	struct session_store *sessions = owner;
	pthread_mutex_lock(&sessions->lock);
	for (size_t i = 0; i < batch->count; i++)
		settle(sessions, &batch->writes[i], batch->result == 0);
	sweep_all(sessions);
	pthread_mutex_unlock(&sessions->lock);
	sessions->is_under_way = false;
	store_batch_free(batch);
}

static struct store_batch *make_part(struct session_store *sessions)
{
	struct store_batch *batch = has_work(sessions) ? store_batch_create(PART) : NULL;
	if (batch == NULL)
		return NULL;
	batch->count = 0;
	for (struct table *table = sessions->tables; table != NULL && batch->count < PART; table = table->next)
		batch->count += fill_from(sessions, table, &batch->writes[batch->count], PART - batch->count);
	return batch;
}

/* What is beyond a part follows with the next. */
void session_store_write(struct session_store *sessions, struct store *store)
{
	if (sessions->is_under_way)
		return;
	pthread_mutex_lock(&sessions->lock);
	struct store_batch *batch = make_part(sessions);
	pthread_mutex_unlock(&sessions->lock);
	if (batch == NULL)
		return;
	sessions->is_under_way = true;
	batch->done = on_written;
	batch->owner = sessions;
	store_submit(store, batch);
}

static size_t count_dirty(struct session_store *sessions)
{
	pthread_mutex_lock(&sessions->lock);
	size_t dirty = sessions->dirty;
	pthread_mutex_unlock(&sessions->lock);
	return dirty;
}

void session_store_flush(struct session_store *sessions, struct store *store)
{
	size_t before, left = SIZE_MAX;
	do {
		before = left;
		session_store_write(sessions, store);
		store_drain(store);
		left = count_dirty(sessions);
	} while (left > 0 && left < before);
}

size_t session_store_read(struct session_store *sessions, const char *pool, const char *after, struct pool_session *list, size_t most)
{
	size_t count = 0;
	uint64_t now = (uint64_t)wall_clock_ms() / 1000;
	pthread_mutex_lock(&sessions->lock);
	const struct table *table = find_live(sessions, pool);
	size_t at = table == NULL ? 0 : position(table, after);
	if (table != NULL && at < table->count && strcmp(table->list[at]->key, after) == 0)
		at++;
	for (; table != NULL && at < table->count && count < most; at++) {
		const struct session *session = table->list[at];
		if (session->is_gone || session->expires_at <= now)
			continue;
		snprintf(list[count].key, sizeof(list[count].key), "%s", session->key);
		snprintf(list[count].tunnel, sizeof(list[count].tunnel), "%s", session->tunnel);
		list[count++].expires_at = session->expires_at;
	}
	pthread_mutex_unlock(&sessions->lock);
	return count;
}

size_t session_store_count(struct session_store *sessions, const char *pool)
{
	pthread_mutex_lock(&sessions->lock);
	const struct table *table = find_live(sessions, pool);
	size_t count = table == NULL ? 0 : table->count - table->gone;
	pthread_mutex_unlock(&sessions->lock);
	return count;
}
