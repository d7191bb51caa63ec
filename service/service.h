/* The control plane's interface for the API. Reads take references under a short lock; writes are submitted as changes, which run on
 * the service's own loop and answer by a callback. Every function may be called from any thread unless it says otherwise. */
#ifndef WARREN_SERVICE_SERVICE_H
#define WARREN_SERVICE_SERVICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "fleet/fleet_options.h"
#include "ipc/aead_backend.h"
#include "ipc/handover.h"
#include "service/change/mutation.h"
#include "service/fleet/roster.h"
#include "service/registry/events.h"
#include "service/registry/pool_member_view.h"
#include "service/registry/snapshot.h"
#include "service/registry/tunnel_list.h"
#include "service/spec/access.h"
#include "service/spec/spec_json.h"
#include "service/spec/wgquick.h"
#include "service/store/scope.h"
#include "service/store/token_table.h"

struct service;

#define SERVICE_DRAIN_MOST 604800u /* seconds: a week */
#define SERVICE_DRAIN_DEFAULT 3600u

struct service_options {
	char state_dir[4096];
	unsigned workers; /* 0: one per CPU */
	bool allow_remote;
	char **allow_socket; /* directories permitted for unix sockets besides STATE_DIR/sockets */
	size_t allow_socket_count;
	bool require_lock;            /* fail if the memory of keys cannot be locked */
	enum aead_backend aead;       /* of the workers */
	bool gso;                     /* UDP segmentation and receive offload; off where they do not work */
	unsigned drain_seconds;       /* for which a worker that is replaced waits for connections to end */
	size_t memory_budget;         /* bytes of buffers per worker, 0: the default */
	void (*announce_ready)(void); /* called once, when service_is_ready first holds; or NULL */
	void (*announce_alive)(void); /* called at each tick of the main loop; or NULL */
	void (*confine)(void *owner); /* called after the state directory exists and before any thread does; or NULL */
	void *confine_owner;
	/* Reads options and certificate again, and adds what is wrong to `problem`, the names of what was taken to `reloaded`, and of options that
	 * differ but are only read at the start to `restart_needed`. On the service's thread; or NULL */
	void (*reload)(void *owner, struct problem *problem, json_t *reloaded, json_t *restart_needed);
	void *reload_owner;
	bool log_json;                     /* format of the workers' log lines */
	char tunnels_dir[4096];            /* directory of files that make tunnels; empty for none */
	char credentials_dir[4096];        /* where such files may have their secrets, too; or empty */
	const struct fleet_options *fleet; /* borrowed; NULL: it is in none */
	char access_log[4096];             /* a file, "-" for the standard output, empty for none */
	/* What service_upgrade runs first (the program, its arguments, NULL), borrowed; or NULL: there is no upgrade. */
	const char *const *check;
	struct handover *handover; /* of the program before, read up to the service's part; or NULL */
	/* With it: called when it cannot be taken over, before anything of it is ended. Returns only if nobody else can take it either. */
	void (*give_back)(void *owner, const char *why);
	void *give_back_owner;
};

/* Life, from the main thread: start locks the state directory, opens the store, starts the workers and restores the tunnels;
 * `failure` gets one line for the user. service_run is the main loop, until service_stop (async-signal-safe, any thread). */
struct service *service_create(const struct service_options *options, char failure[512]);
/* True: everything is quiet, so that service_save can be called; nothing runs until service_run is called again. False: it has ended. */
bool service_run(struct service *service);
/* Tries the program that now stands at this one's path, and then leaves service_run. Async-signal-safe, any thread. */
void service_upgrade(struct service *service);
/* The part of the service; service_create of the next program takes it over. After it service_unsave, or nothing. */
void service_save(struct service *service, struct handover *handover);
/* The next program could not be started: everything goes on with the next service_run. */
void service_unsave(struct service *service, const char *why);
void service_stop(struct service *service);
bool service_is_to_stop(const struct service *service);
/* Async-signal-safe, any thread. */
void service_reopen_logs(struct service *service);
void service_reload(struct service *service); /* and the log tells what came of it */
void service_free(struct service *service);
/* The API's own addresses and sockets, which no tunnel may use as a target (P1); set once, before service_run. False when
 * out of memory: the API must not be opened then. */
bool service_protect(struct service *service, const struct sockaddr *address);
bool service_protect_path(struct service *service, const char *path);
/* Whether this is our process or one of its workers, which may not use the API. Any thread. */
bool service_has_process(const struct service *service, pid_t pid);
bool service_is_ready(const struct service *service); /* restored, and every worker answers */
/* Whether there is a tunnels directory: what is of a file is changed by its file alone. */
bool service_has_files(const struct service *service);
/* What is wrong with its files: [{"file", "detail", "at"}], a new reference; empty without a directory, and for an access that is not whole, since
 * a file that cannot be read has no labels. NULL when out of memory. */
json_t *service_file_faults(struct service *service, const struct access *access);
size_t service_file_fault_count(struct service *service);
bool service_can_store(const struct service *service); /* false while the disk is full: tunnels run on, but nothing can be created */

/* This node's name in its fleet, borrowed; NULL: it is in none. */
const char *service_node(const struct service *service);
/* The fleet. Without one there are no nodes, and no summary (false). */
struct roster_node *service_nodes(struct service *service, size_t *count); /* as roster_nodes */
bool service_fleet(struct service *service, struct roster_summary *summary);
void service_drain(struct service *service, bool is_draining); /* this node; nothing without a fleet */

/* Reads, of what the caller's access covers. */
struct snapshot *service_find(struct service *service, const struct access *access, const char *id);      /* a tunnel, referenced, or NULL */
struct snapshot *service_find_pool(struct service *service, const struct access *access, const char *id); /* referenced, or NULL */
/* As membership_read, for the pool. */
size_t service_pool_members(struct service *service, const struct access *access, const char *id, struct pool_member_view **views);
#define SERVICE_NO_POOL SIZE_MAX
/* As session_store_read and session_store_count; a tunnel that is not covered has an empty name. */
size_t service_pool_sessions(struct service *service, const struct access *access, const char *id, const char *after, struct pool_session *list,
                             size_t most);
size_t service_pool_session_count(struct service *service, const char *id);
/* The id of another enabled tunnel with the same key and the same peer: each of the two ends the other's sessions. */
bool service_find_twin(struct service *service, const struct access *access, const struct snapshot *snapshot, char id[64]);
/* As tunnel_list_inside. */
size_t service_find_inside(struct service *service, const struct access *access, const char *id, struct snapshot **snapshots, size_t most);
/* As tunnel_list_read. */
size_t service_list(struct service *service, const struct access *access, const struct tunnel_list_filter *filter, struct snapshot ***snapshots,
                    bool *more);

struct service_worker_stats {
	uint64_t restarts;               /* of all workers */
	unsigned workers, workers_ready; /* that are to serve, and do */
	unsigned places;                 /* one of them may have a worker that is being replaced, or none */
	uint64_t connect_buckets[COUNTERS_BUCKETS], connect_count;
	double connect_sum; /* seconds */
	uint64_t access_log_dropped;
};
struct service_worker_usage {
	uint64_t cpu_us;
	uint64_t resident_bytes; /* 0: not known */
	pid_t pid;               /* 0: none now */
	bool is_ready, is_retiring;
	bool is_spare;  /* there is none */
	size_t tunnels; /* and pools */
	unsigned restarts;
	char failure[256];   /* what keeps the tunnels of one that retires from moving, besides open connections; or empty */
	const char *version; /* of the program that it runs; borrowed from the service */
};
/* Of one worker, below service_worker_stats.places. */
void service_worker_usage(struct service *service, unsigned index, struct service_worker_usage *usage);
void service_worker_stats(struct service *service, struct service_worker_stats *stats);
struct events *service_events(struct service *service);

/* Writes, to what the access covers, of which a reference is taken. Takes the change until `done`. During shutdown `done` is called with
 * PROBLEM_WORKER_UNAVAILABLE. */
void service_submit(struct service *service, struct access *access, struct mutation *mutation);

/* Tokens (stored as hashes), created and deleted by changes. Verification takes constant time and no disk access. */
bool service_token_find(struct service *service, const char *token, struct token_bearer *bearer); /* as token_table_find, now */
bool service_token_holds(struct service *service, const char *id);
uint64_t service_token_revocations(const struct service *service);
json_t *service_token_list(struct service *service);

#endif
