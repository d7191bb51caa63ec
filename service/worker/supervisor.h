/* Spawns, watches and replaces the worker processes. Main thread only, except for reading counters. */
#ifndef WARREN_SERVICE_WORKER_SUPERVISOR_H
#define WARREN_SERVICE_WORKER_SUPERVISOR_H

#include <uv.h>

#include "service/registry/slot.h"
#include "service/worker/worker_request.h"

struct supervisor;
struct worker;

struct supervisor_options {
	unsigned workers;
	bool gso, require_lock, log_json;
	size_t memory_budget;
};

/* Callbacks for the owner. */
struct supervisor_events {
	void (*ready)(void *owner, struct worker *worker); /* sandboxed and empty: a first start, or a replacement */
	void (*died)(void *owner, struct worker *worker);  /* its sockets are closed; its requests were answered before, with `gone` */
	/* A message other than READY or a reply. False if it breaks the protocol: the worker is then replaced. */
	bool (*message)(void *owner, struct worker *worker, enum message_type type, struct message_reader *body);
	void *owner;
};

struct supervisor *supervisor_create(uv_loop_t *loop, const struct supervisor_options *options, const struct supervisor_events *events,
                                     char failure[512]);
/* Asks the workers to exit, and kills those that do not within `grace_ms`; `done` is called when all are gone. */
void supervisor_stop(struct supervisor *supervisor, unsigned grace_ms, void (*done)(void *owner), void *owner);
/* After it is stopped and the loop has no more work. */
void supervisor_free(struct supervisor *supervisor);

unsigned supervisor_count(const struct supervisor *supervisor);
struct worker *supervisor_worker(struct supervisor *supervisor, unsigned index);
uint64_t supervisor_restarts(const struct supervisor *supervisor);    /* any thread */
unsigned supervisor_ready_count(const struct supervisor *supervisor); /* any thread */

bool supervisor_has_process(const struct supervisor *supervisor, pid_t pid); /* any thread */

unsigned worker_index(const struct worker *worker);
bool worker_is_ready(const struct worker *worker);
unsigned worker_incarnation(const struct worker *worker); /* goes up with each process */
struct slots *worker_slots(struct worker *worker);
size_t worker_queued_descriptors(const struct worker *worker); /* on their way to it */
/* Sends one message; takes the descriptors, even on failure, and clears the writer. */
void worker_send(struct worker *worker, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count);

#endif
