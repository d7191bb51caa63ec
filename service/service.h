/* The control plane as the API sees it. Reads copy references out under a short lock; writes are submitted as changes, which run on
 * the service's own loop and answer by a callback. Every function may be called from any thread unless it says otherwise. */
#ifndef WARREN_SERVICE_SERVICE_H
#define WARREN_SERVICE_SERVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "service/events.h"
#include "service/problem.h"
#include "service/snapshot.h"

struct service;

struct service_options {
	char state_dir[4096];
	unsigned workers; /* 0: one for each CPU */
	bool allow_remote;
	char **allow_socket; /* directories for unix sockets besides STATE_DIR/sockets */
	size_t allow_socket_count;
	bool require_lock;            /* memory of keys must be lockable */
	bool gso;                     /* batches of UDP; off for kernels and networks that cannot */
	size_t memory_budget;         /* bytes of buffers a worker, 0: the default */
	void (*announce_ready)(void); /* called once, when service_is_ready first holds; or NULL */
	void (*announce_alive)(void); /* called at each tick of the main loop; or NULL */
	void (*confine)(void *owner); /* called when the state directory is there and before any thread is; or NULL */
	void *confine_owner;
	bool log_json; /* how the workers write their log lines */
};

/* Scopes of a caller; each includes the ones before it. */
enum scope { SCOPE_NONE = 0, SCOPE_METRICS = 1, SCOPE_READ = 2, SCOPE_WRITE = 4, SCOPE_ADMIN = 8 };

/* Life, from the main thread: start locks the state directory, opens the store, starts the workers and restores the tunnels;
 * `failure` gets one line for the user. service_run is the main loop, until service_stop (async-signal-safe, any thread). */
struct service *service_create(const struct service_options *options, char failure[512]);
void service_run(struct service *service);
void service_stop(struct service *service);
void service_free(struct service *service);
/* The API's own addresses and sockets, which nothing may be pointed at (P1); told once before service_run. */
void service_protect(struct service *service, const struct sockaddr *address);
void service_protect_path(struct service *service, const char *path);
/* Is this process or one of its workers: nobody who may talk to the API. Any thread. */
bool service_has_process(const struct service *service, pid_t pid);
bool service_is_ready(const struct service *service); /* restored, and every worker answers */

/* Reads. */
struct snapshot *service_find(struct service *service, const char *id); /* referenced, or NULL */
/* Another enabled tunnel with the same key towards the same peer, which ends the sessions of this one as this one ends its: its id. */
bool service_find_twin(struct service *service, const struct snapshot *snapshot, char id[64]);
struct service_filter {
	const struct label *labels; /* all must match */
	size_t label_count;
	int state;         /* enum tunnel_state, or -1 */
	const char *after; /* ids greater than this, or NULL */
	size_t limit;      /* 0: all */
};
/* Snapshots in the order of their ids, each referenced; the array is malloc'ed. `more` tells whether there are further ones.
 * SERVICE_LIST_FAILED when out of memory: then there is no array. */
#define SERVICE_LIST_FAILED SIZE_MAX
size_t service_list(struct service *service, const struct service_filter *filter, struct snapshot ***snapshots, bool *more);

struct service_worker_stats {
	uint64_t restarts; /* of all workers */
	unsigned workers, workers_ready;
	uint64_t connect_buckets[COUNTERS_BUCKETS], connect_count;
	double connect_sum; /* seconds */
};
void service_worker_stats(struct service *service, struct service_worker_stats *stats);
struct events *service_events(struct service *service);

/* Writes. An edit is one tunnel's part of a change. */
enum edit_kind { EDIT_CREATE, EDIT_PUT, EDIT_PATCH, EDIT_DELETE, EDIT_PEER_PUT, EDIT_PEER_PATCH, EDIT_PEER_DELETE, EDIT_RECONNECT, EDIT_PROBE };
enum applied { APPLIED_UNCHANGED, APPLIED_CREATED, APPLIED_IN_PLACE, APPLIED_RESTARTED };

struct edit {
	/* asked */
	enum edit_kind kind;
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
	struct snapshot *snapshot;   /* after the edit (before it with DELETE), referenced, or NULL */
	struct message_probed probe; /* EDIT_PROBE */
};

enum change_kind {
	CHANGE_EDITS,        /* the edits, in order */
	CHANGE_DELETE_WHERE, /* every tunnel that has all the labels (none given: all) */
	CHANGE_STATE,        /* `document` {"tunnels": […]} replaces everything, atomically */
	CHANGE_TOKEN_CREATE, /* `token_name`, `token_scopes` */
	CHANGE_TOKEN_DELETE, /* `token_id` */
};

struct change {
	enum change_kind kind;
	struct edit *edits;
	size_t edit_count;
	bool atomic;        /* one fails: nothing is done, `problem` is that one's */
	size_t failed_edit; /* of an atomic change */
	bool dry_run;
	bool wait_up;         /* single edit: answer after the first handshake */
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
	void (*done)(struct change *change, void *owner);
	void *owner;
};

struct change *change_create(enum change_kind kind, size_t edit_count);
void change_free(struct change *change);
/* Takes the change until `done`. During shutdown `done` comes with PROBLEM_WORKER_UNAVAILABLE. */
void service_submit(struct service *service, struct change *change);

/* JSON of a spec; secrets only when asked for (admin). A new reference, or NULL when out of memory. */
json_t *spec_to_json(const struct spec *spec, bool secrets);
/* A wg-quick file of the tunnel, malloc'ed. */
char *spec_to_wgquick(const struct spec *spec, bool secrets);
/* A wg-quick file to the document of a create or put ({"spec": …}); NULL with faults at "/line/N". `warnings` gets
 * [{"line", "code", "detail"}], a new reference. */
json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, struct problem *problem);

/* Tokens (stored hashed), made and deleted by changes. Verification is in constant time and takes no disk. */
unsigned service_token_scope(struct service *service, const char *token); /* enum scope mask, 0 when unknown */
json_t *service_token_list(struct service *service);
unsigned scope_parse(const char *name); /* its bit alone; 0 when unknown */

#endif
