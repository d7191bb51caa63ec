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

#include "service/change/mutation.h"
#include "service/registry/events.h"
#include "service/registry/snapshot.h"
#include "service/registry/tunnel_list.h"
#include "service/spec/spec_json.h"
#include "service/spec/wgquick.h"
#include "service/store/scope.h"

struct service;

struct service_options {
	char state_dir[4096];
	unsigned workers; /* 0: one per CPU */
	bool allow_remote;
	char **allow_socket; /* directories permitted for unix sockets besides STATE_DIR/sockets */
	size_t allow_socket_count;
	bool require_lock;            /* fail if the memory of keys cannot be locked */
	bool gso;                     /* UDP segmentation and receive offload; off where they do not work */
	size_t memory_budget;         /* bytes of buffers per worker, 0: the default */
	void (*announce_ready)(void); /* called once, when service_is_ready first holds; or NULL */
	void (*announce_alive)(void); /* called at each tick of the main loop; or NULL */
	void (*confine)(void *owner); /* called after the state directory exists and before any thread does; or NULL */
	void *confine_owner;
	bool log_json; /* format of the workers' log lines */
};

/* Life, from the main thread: start locks the state directory, opens the store, starts the workers and restores the tunnels;
 * `failure` gets one line for the user. service_run is the main loop, until service_stop (async-signal-safe, any thread). */
struct service *service_create(const struct service_options *options, char failure[512]);
void service_run(struct service *service);
void service_stop(struct service *service);
void service_free(struct service *service);
/* The API's own addresses and sockets, which no tunnel may use as a target (P1); set once, before service_run. False when
 * out of memory: the API must not be opened then. */
bool service_protect(struct service *service, const struct sockaddr *address);
bool service_protect_path(struct service *service, const char *path);
/* Whether this is our process or one of its workers, which may not use the API. Any thread. */
bool service_has_process(const struct service *service, pid_t pid);
bool service_is_ready(const struct service *service); /* restored, and every worker answers */

/* Reads. */
struct snapshot *service_find(struct service *service, const char *id); /* referenced, or NULL */
/* The id of another enabled tunnel with the same key and the same peer: each of the two ends the other's sessions. */
bool service_find_twin(struct service *service, const struct snapshot *snapshot, char id[64]);
/* As tunnel_list_read. */
size_t service_list(struct service *service, const struct tunnel_list_filter *filter, struct snapshot ***snapshots, bool *more);

struct service_worker_stats {
	uint64_t restarts; /* of all workers */
	unsigned workers, workers_ready;
	uint64_t connect_buckets[COUNTERS_BUCKETS], connect_count;
	double connect_sum; /* seconds */
};
void service_worker_stats(struct service *service, struct service_worker_stats *stats);
struct events *service_events(struct service *service);

/* Writes. Takes the change until `done`. During shutdown `done` is called with PROBLEM_WORKER_UNAVAILABLE. */
void service_submit(struct service *service, struct mutation *mutation);

/* Tokens (stored as hashes), created and deleted by changes. Verification takes constant time and no disk access. */
unsigned service_token_scope(struct service *service, const char *token); /* enum scope mask, 0 when unknown */
json_t *service_token_list(struct service *service);

#endif
