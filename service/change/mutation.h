/* A write, from its submission to its answer: the API's request, the service's answer, and the states in between (mutation_state.h). */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_H
#define WARREN_SERVICE_CHANGE_MUTATION_H

#include <jansson.h>

#include "ipc/message.h"
#include "service/change/mutation_state.h"
#include "service/registry/lock_queue.h"
#include "service/registry/snapshot.h"
#include "service/registry/tunnel_identity.h"
#include "service/socket/socket_list.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"
#include "service/worker/worker_request.h"

struct mutations;
struct candidate;
struct delta;

/* An operation is one tunnel's part of a mutation. */
enum operation_kind {
	OPERATION_CREATE,
	OPERATION_PUT,
	OPERATION_PATCH,
	OPERATION_DELETE,
	OPERATION_PEER_PUT,
	OPERATION_PEER_PATCH,
	OPERATION_PEER_DELETE,
	OPERATION_RECONNECT,
	OPERATION_PROBE
};
enum applied { APPLIED_UNCHANGED, APPLIED_CREATED, APPLIED_IN_PLACE, APPLIED_RESTARTED };

struct operation {
	/* asked */
	enum operation_kind kind;
	char id[64];                /* empty with OPERATION_CREATE: the document's, else chosen by the server */
	json_t *document;           /* owned. CREATE, PUT: {"id", "labels", "spec", …}; PATCH: a merge patch of it (RFC 7396); PEER_*: a peer.
	                               PROBE: NULL, or {"type", "target", "count", "timeout"} */
	bool is_file;               /* PUT: the document comes from a wg-quick file, and members that such a file cannot express are kept */
	struct wireguard_key peer;  /* PEER_* */
	const struct label *labels; /* DELETE: of a tunnel that has them all when its turn comes; borrowed of the mutation */
	size_t label_count;
	char *if_match; /* owned; header values as received, or NULL */
	char *if_none_match;
	/* answered */
	struct problem problem; /* code PROBLEM_NONE: done */
	enum applied applied;
	struct snapshot *snapshot;   /* after the operation (before it with DELETE), referenced, or NULL */
	struct message_probed probe; /* OPERATION_PROBE */
};

enum mutation_kind {
	MUTATION_OPERATIONS,   /* the operations, in order */
	MUTATION_DELETE_WHERE, /* every tunnel that has all the labels (none given: all) */
	MUTATION_STATE,        /* `document` {"tunnels": […]} replaces everything, atomically */
	MUTATION_TOKEN_CREATE, /* `token_name`, `token_scopes` */
	MUTATION_TOKEN_DELETE, /* `token_id` */
};

struct mutation {
	enum mutation_kind kind;
	struct operation *operations;
	size_t operation_count;
	bool atomic;             /* if one fails, nothing is done, and `problem` is that one's */
	size_t failed_operation; /* of an atomic mutation */
	bool dry_run;
	bool wait_up;         /* single operation: answer after the first handshake */
	unsigned timeout;     /* seconds, of wait_up */
	unsigned scope;       /* enum scope of the caller: admin for inbound targets and unix paths */
	struct label *labels; /* DELETE_WHERE, owned */
	size_t label_count;
	json_t *document; /* STATE, owned */
	char *token_name; /* owned */
	unsigned token_scopes;
	char token_id[32];
	/* answered */
	json_t *token;          /* TOKEN_CREATE: {"id", "name", "scopes", "created_at", "token"}, owned */
	struct problem problem; /* of the mutation as a whole */
	size_t created, changed, unchanged, deleted;
	/* Called once, on the service's thread; takes the mutation back (mutation_free). */
	void (*done)(struct mutation *mutation, void *owner);
	void *owner;

	/* The members from here on are private to service/change/. */
	enum mutation_state state;
	enum mutation_course course;
	_Atomic unsigned references; /* the API's, and the service's while it is in progress */
	struct mutations *all;
	struct mutation *next, **before; /* in the inbox, then among all in progress */
	struct mutation *next_waiting;   /* for a worker, or for its tunnel to be up */
	uint64_t deadline;               /* of that wait, uv_now */

	struct candidate *candidates; /* one for each operation; a part borrows its parent's, as it does the operation */
	struct snapshot **bases;      /* what candidates were prepared with, or NULL */
	size_t candidate_count, base_count;

	struct lock_claim claim; /* tickets of the tunnels */
	bool is_claimed;
	struct delta *deltas;
	size_t delta_count;
	uint32_t *index;   /* of deltas by the hash of their ids; delta + 1, 0 is empty */
	size_t index_size; /* a power of two */
	struct socket_pool pool;
	size_t reserved;               /* places in the registry */
	struct worker_request request; /* ACTING */
	size_t pending;                /* outstanding replies of workers, or parts */
	bool worker_gone;              /* one died while it prepared */
	unsigned deaths;               /* of workers, while they prepared this */

	struct mutation *parent; /* of a part */
	size_t cursor;           /* SEQUENCE: the current operation */
	bool is_starting, goes_on;
	struct tunnel_identity awaited; /* SUSPENDED: the tunnel */
};

/* NULL when out of memory. */
struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count);
void mutation_free(struct mutation *mutation);
/* By what it asks for. */
enum mutation_course mutation_course_of(const struct mutation *mutation);

#endif
