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
#include "service/spec/access.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"
#include "service/worker/connection_listing.h"
#include "service/worker/worker_request.h"
#include "service/spec/selector.h"

struct mutations;
struct candidate;
struct delta;
struct store_batch;

/* An operation is the part of a mutation that is about one tunnel or pool. */
enum operation_kind {
	OPERATION_CREATE,
	OPERATION_PUT,
	OPERATION_PATCH,
	OPERATION_DELETE,
	OPERATION_PEER_PUT,
	OPERATION_PEER_PATCH,
	OPERATION_PEER_DELETE,
	OPERATION_RECONNECT,
	OPERATION_PROBE,
	OPERATION_MOVE,   /* to another worker */
	OPERATION_FORGET, /* sticky sessions of a pool */
	OPERATION_COUNT   /* their open connections */
};
/* Sticky sessions of a pool with their open connections. */
struct session_page {
	struct pool_session *list; /* owned */
	size_t count;
	uint32_t *open; /* owned, as many; those from `counted` on are not known */
	size_t counted;
};

enum applied { APPLIED_UNCHANGED, APPLIED_CREATED, APPLIED_IN_PLACE, APPLIED_RESTARTED };

/* What a record of the fleet says of itself. All zeros: it is none. */
struct operation_stamp {
	uint64_t revision, generation;
	int64_t created_at, updated_at; /* UNIX time in ms */
};

struct operation {
	/* asked */
	enum operation_kind kind;
	enum spec_kind object;
	enum snapshot_origin origin;      /* of whoever asks */
	struct operation_stamp stamp;     /* PUT of the fleet: what is stored has these */
	char id[64];                      /* empty with OPERATION_CREATE: the document's, else chosen by the server */
	json_t *document;                 /* owned. CREATE, PUT: {"id", "labels", "spec", …}; PATCH: a merge patch of it (RFC 7396); PEER_*: a peer.
	                                     PROBE: NULL, or {"type", "target", "count", "timeout"}; MOVE: {"worker"} */
	struct problem faults;            /* owned. CREATE, PUT: of the document, found where it was read. It is refused, with what else is wrong */
	bool is_file;                     /* PUT: the document comes from a wg-quick file, and members that such a file cannot express are kept */
	struct wireguard_key peer;        /* PEER_* */
	const struct selector *selectors; /* DELETE: of a tunnel that they accept when its turn comes; borrowed of the mutation */
	size_t selector_count;
	char *session;            /* FORGET: its key, owned; NULL: all */
	struct session_page page; /* COUNT: its list is asked for */
	uint64_t ts_floor;        /* CREATE, PUT: handshakes of a tunnel that is made are to be later; UNIX time in ms, 0: of any time */
	char *if_match;           /* owned; header values as received, or NULL */
	char *if_none_match;
	char key[OBJECT_KEY_SIZE]; /* of its object, by operation_name once the id is known. Private to service/change/ */
	/* answered */
	struct problem problem; /* code PROBLEM_NONE: done */
	enum applied applied;
	struct snapshot *snapshot;       /* after the operation (before it with DELETE), referenced, or NULL */
	struct message_probed probe;     /* OPERATION_PROBE */
	enum spec_probe_type probe_type; /* OPERATION_PROBE: what ran */
	size_t forgotten;                /* OPERATION_FORGET: how many there were */
};

enum mutation_kind {
	MUTATION_OPERATIONS,   /* the operations, in order */
	MUTATION_DELETE_WHERE, /* every one of `object` that the selectors accept (none given: all) */
	MUTATION_STATE,        /* `document` {"tunnels": […], "pools": […]} replaces everything, atomically; without `pools` all but those */
	MUTATION_TOKEN_CREATE, /* `token_name`, `token_scopes`, `token_expires_at`, `token_access` */
	MUTATION_TOKEN_DELETE, /* `token_id` */
	MUTATION_RELOAD,       /* configuration, certificate, logs and files are read again; `reloaded` */
	MUTATION_REPLACE,      /* the process of `worker`, within `drain_seconds`; `successor` */
	MUTATION_LOOK_UP,      /* in a fleet: `object`, `wanted`; what other nodes run, in `found` */
	MUTATION_CONNECTIONS,  /* `listing`: lists connections or ends them, and changes no tunnel */
};

#define MUTATION_DRAIN_DEFAULT UINT32_MAX

struct mutation {
	enum mutation_kind kind;
	struct operation *operations;
	size_t operation_count;
	bool atomic;             /* if one fails, nothing is done, and `problem` is that one's */
	size_t failed_operation; /* of an atomic mutation */
	bool dry_run;
	bool wait_up;               /* single operation: answer after the first handshake */
	unsigned timeout;           /* seconds, of wait_up */
	unsigned scope;             /* enum scope of the caller: admin for inbound targets and unix paths */
	struct access *access;      /* of the caller: what it may see and touch; a reference */
	enum spec_kind object;      /* DELETE_WHERE */
	struct selector *selectors; /* DELETE_WHERE, owned */
	size_t selector_count;
	json_t *document; /* STATE, owned */
	char *token_name; /* owned */
	unsigned token_scopes;
	int64_t token_expires_at;    /* milliseconds since 1970, 0: never */
	struct access *token_access; /* of the new token; a reference */
	char token_id[32];
	struct connection_listing *listing; /* asked and answered; owned, malloc'ed as its json is */
	unsigned worker;                    /* REPLACE */
	char wanted[64];                    /* LOOK_UP: an id; empty: all tunnels and pools */
	unsigned drain_seconds;             /* or MUTATION_DRAIN_DEFAULT; answered, too */
	/* answered */
	unsigned successor;     /* REPLACE: the worker that takes its place */
	json_t *token;          /* TOKEN_CREATE: {"id", "name", "scopes", …, "token"}, owned */
	json_t *reloaded;       /* RELOAD: {"reloaded": […], "restart_needed": […]}, owned; with faults too */
	struct problem problem; /* of the mutation as a whole */
	size_t created, changed, unchanged, deleted;
	struct snapshot **found; /* LOOK_UP: owned, with references */
	size_t found_count;
	/* Called once, on the service's thread; takes the mutation back (mutation_free). */
	void (*done)(struct mutation *mutation, void *owner);
	void *owner;

	/* The members from here on are private to service/change/. */
	enum mutation_state state;
	enum mutation_course course;
	size_t cursor;               /* what the state has done of its work */
	_Atomic unsigned references; /* the API's, and the service's while it is in progress */
	struct mutations *all;
	struct mutation *next, **before; /* in the inbox, then among all in progress */
	struct mutation *next_waiting;   /* for a worker, for its tunnel to be up, or for the loop's next turn */
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
	struct store_batch *batch;     /* STORING: while it is being written */
	struct worker_request request; /* ACTING */
	size_t pending;                /* outstanding replies of workers, or parts */
	bool worker_gone;              /* one died while it prepared */
	unsigned deaths;               /* of workers, while they prepared this */

	struct mutation *parent; /* of a part */
	bool is_starting, goes_on;
	struct tunnel_identity awaited; /* SUSPENDED: the tunnel */
};

/* NULL when out of memory. */
struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count);
/* For who has made it, and has the answer: frees its documents here, in a thread that may take its time, and what the service still needs later. */
void mutation_free(struct mutation *mutation);
void mutation_release(struct mutation *mutation);           /* the service's reference, and that to a part */
void operation_choose_id(struct operation *operation);      /* CREATE: the document's, else one is made */
bool operation_is_write(const struct operation *operation); /* and no action */
void operation_name(struct operation *operation);           /* gives it the key of its object and id */
/* With `wait=up`: whether the answer need not wait any more, for how it is `now` (NULL: it is gone). The operation then has the result. */
bool operation_is_waiting_over(struct operation *operation, struct snapshot *now, bool is_late);
void operation_delete(struct operation *operation, enum spec_kind object, const char *id); /* makes it a DELETE */
/* By what it asks for. */
enum mutation_course mutation_course_of(const struct mutation *mutation);

#endif
