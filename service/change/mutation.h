/* A write, as the API asks for it and gets it answered. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_H
#define WARREN_SERVICE_CHANGE_MUTATION_H

#include <jansson.h>

#include "ipc/message.h"
#include "service/registry/snapshot.h"
#include "service/spec/labels.h"
#include "service/spec/problem.h"

/* An operation is one tunnel's part of a change. */
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
	char id[64];               /* empty with EDIT_CREATE: the document's, else made by the server */
	json_t *document;          /* owned. CREATE, PUT: {"id", "labels", "spec", …}; PATCH: a merge patch of it (RFC 7396); PEER_*: a peer.
	                              PROBE: NULL, or {"type", "target", "count", "timeout"} */
	bool is_file;              /* PUT: the document is of a wg-quick file, and what such a file has no words for stays */
	struct wireguard_key peer; /* PEER_* */
	char *if_match;            /* owned; header values as they came, or NULL */
	char *if_none_match;
	/* answered */
	struct problem problem; /* code PROBLEM_NONE: done */
	enum applied applied;
	struct snapshot *snapshot;   /* after the operation (before it with DELETE), referenced, or NULL */
	struct message_probed probe; /* EDIT_PROBE */
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
	bool atomic;             /* one fails: nothing is done, `problem` is that one's */
	size_t failed_operation; /* of an atomic change */
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
	struct problem problem; /* of the change as a whole */
	size_t created, changed, unchanged, deleted;
	/* Called once, on the service's thread; it takes the change back (change_free). */
	void (*done)(struct mutation *mutation, void *owner);
	void *owner;
};

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count);
void mutation_free(struct mutation *mutation);

#endif
