/* The sticky sessions of pools: which tunnel each key has, as the pools' homes told. They are kept in memory, and written to the disk soon after, so
 * that they outlive workers and the daemon. A pool is told from a later one of the same id by when it was created. Service's thread only, unless it
 * says otherwise. */
#ifndef WARREN_SERVICE_STORE_SESSION_STORE_H
#define WARREN_SERVICE_STORE_SESSION_STORE_H

#include "ipc/pool_message.h"
#include "service/store/store.h"

#define SESSION_STORE_MOST 400000 /* of all pools; what is beyond them is not kept */

struct session_store;

struct session_store *session_store_create(void); /* NULL when out of memory */
void session_store_free(struct session_store *sessions);
/* A row that was found at the start; `is_known`: its pool is there. What is not known is deleted from the disk. */
void session_store_load(struct session_store *sessions, const struct database_session *row, bool is_known);
/* What a home has told. One without a tunnel is deleted. */
void session_store_put(struct session_store *sessions, const char *pool, int64_t born, const struct pool_session *session);
/* Returns how many there were. `key` NULL: all of the pool. */
size_t session_store_forget(struct session_store *sessions, const char *pool, const char *key);
void session_store_drop(struct session_store *sessions, const char *pool); /* the pool was deleted */
/* Writes what has changed, a bounded part; does nothing while an earlier part is being written. */
void session_store_write(struct session_store *sessions, struct store *store);
/* Writes all of it and waits, as long as the disk takes it. Before the end. */
void session_store_flush(struct session_store *sessions, struct store *store);

/* Up to `most` that have not expired, with keys greater than `after` ("" for all), in order. Any thread. */
size_t session_store_read(struct session_store *sessions, const char *pool, const char *after, struct pool_session *list, size_t most);
size_t session_store_count(struct session_store *sessions, const char *pool); /* any thread */

#endif
