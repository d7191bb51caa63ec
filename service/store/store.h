/* The desired state on disk, written by its own thread: batches of writes are submitted, and returned when they are durable. All batches that wait
 * at the same time share one transaction, because the cost of a commit is the disk's flush. */
#ifndef WARREN_SERVICE_STORE_STORE_H
#define WARREN_SERVICE_STORE_STORE_H

#include "service/store/database.h"
#include "service/store/disk.h"

struct store;

enum store_write_kind {
	STORE_PUT,
	STORE_CHECKPOINT,
	STORE_DELETE,
	STORE_TOKEN_PUT,
	STORE_TOKEN_CHECKPOINT,
	STORE_TOKEN_DELETE,
	STORE_SESSION_PUT,
	STORE_SESSION_DELETE,
	STORE_SESSIONS_PURGE,
};

struct store_write {
	enum store_write_kind kind;
	struct database_tunnel tunnel;    /* PUT, CHECKPOINT, DELETE (key alone) */
	struct snapshot *snapshot;        /* PUT: what tunnel.document is made of, by the store's thread, since it takes long; referenced */
	struct database_token token;      /* TOKEN_PUT, TOKEN_CHECKPOINT, TOKEN_DELETE (id alone) */
	struct database_session *session; /* SESSION…, owned, malloc'ed */
};

/* Writes that are applied atomically. */
struct store_batch {
	struct store_write *writes;
	size_t count;
	uint64_t next_revision;                               /* to be kept with them, or 0 */
	int result;                                           /* 0, or see store_explain */
	void (*done)(struct store_batch *batch, void *owner); /* takes the batch back (store_batch_free) */
	void *owner;
	struct store_batch *next; /* the store's */
};

struct store_batch *store_batch_create(size_t count); /* NULL when out of memory */
void store_batch_free(struct store_batch *batch);

/* What was found at the start, for the callbacks; see database.h. */
struct store_loader {
	bool (*take_tunnel)(void *tunnels, struct database_tunnel *tunnel);
	void *tunnels;
	bool (*take_token)(void *tokens, struct database_token *token);
	void *tokens;
	void (*take_session)(void *sessions, const struct database_session *session); /* after the tunnels; or NULL */
	void *sessions;
};

/* `wake` is called from the store's thread when there is work for store_collect. */
struct store *store_open(const char *directory, const char *vfs, const struct store_loader *loader, void (*wake)(void *owner), void *owner,
                         char failure[512]);
/* Finishes waiting batches, and calls `done` of those not collected yet. */
void store_close(struct store *store);
uint64_t store_next_revision(const struct store *store); /* as found at the start */
/* Takes the batch; `done` is called by store_collect. Any thread. */
void store_submit(struct store *store, struct store_batch *batch);
/* Calls `done` of finished batches, in the caller's thread. */
void store_collect(struct store *store);
/* Waits until no batch is pending, and collects. */
void store_drain(struct store *store);
/* Why a batch failed, for a user. */
void store_explain(const struct store *store, int result, char *text, size_t size);
/* False while the disk is full. The store looks for room every second then, and makes state.reserve whole. Any thread. */
bool store_is_writable(const struct store *store);

#endif
