/* Lists the connections of all workers in pages, or ends them. The workers own the connections: they are asked for a piece at a time, and answer
 * from their data path in bounded steps. A worker that is being replaced has none. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_CONNECTION_LISTING_H
#define WARREN_SERVICE_WORKER_CONNECTION_LISTING_H

#include <uv.h>

#include "ipc/query.h"
#include "service/spec/problem.h"
#include "service/worker/worker_request.h"

struct access;
struct registry;
struct slot_table;
struct supervisor;
struct connection_lister;

#define CONNECTION_LISTING_TOKEN_SIZE 64

struct connection_listing {
	/* asked */
	char id[64];                               /* of the one connection that is meant; empty: all that the rest means */
	char tunnel[64];                           /* empty: of any tunnel */
	char pool[64];                             /* empty: of any pool, or none */
	const struct access *access;               /* of the caller, borrowed: tunnels that it does not cover have no connections */
	bool matches_none;                         /* a condition that no connection satisfies */
	struct query_filter filter;                /* without number, slot and pool */
	bool ends;                                 /* they are ended */
	bool only_counts;                          /* `json` stays empty, and `limit` is not obeyed */
	size_t limit;                              /* of a page */
	char after[CONNECTION_LISTING_TOKEN_SIZE]; /* `next` of the page before; empty: the first page */
	/* answered */
	struct problem problem;
	size_t count;
	char *json; /* owned: their objects (connection_record.h), separated by commas */
	size_t length, capacity;
	char next[CONNECTION_LISTING_TOKEN_SIZE]; /* empty: nothing is behind this page */
	bool is_incomplete;                       /* a worker was not asked to its end, because its answers came late */

	/* The members from here on are the lister's. */
	struct connection_lister *lister;
	struct connection_listing *next_waiting;
	bool is_walk;    /* of the tunnels that the access covers, one after the other: `tunnel` is the one that is asked about */
	bool is_checked; /* the connection `id` is one that the access covers */
	unsigned worker; /* the one that is asked */
	uint64_t term;   /* its, for which the cursor is */
	struct query_cursor cursor;
	unsigned pieces;   /* that it has sent */
	uint64_t began_at; /* when it was asked for the first, in the loop's time */
	struct worker_request request;
	void (*done)(void *owner);
	void *owner;
};

/* Borrowed. */
struct connection_lister_means {
	uv_loop_t *loop;
	struct supervisor *supervisor;
	struct registry *registry;
	struct slot_table *slots;
};
struct connection_lister *connection_lister_create(const struct connection_lister_means *means); /* NULL when out of memory */
void connection_lister_free(struct connection_lister *lister);                                   /* when no listing is in progress */
/* Borrows the listing until `done`, which may be called before this returns. Few run at the same time; the others wait. */
void connection_lister_run(struct connection_lister *lister, struct connection_listing *listing, void (*done)(void *owner), void *owner);

#endif
