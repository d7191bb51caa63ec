/* Spawns, watches and replaces the worker processes. Main thread only, except for reading counters. */
#ifndef WARREN_SERVICE_WORKER_SUPERVISOR_H
#define WARREN_SERVICE_WORKER_SUPERVISOR_H

#include <uv.h>

#include "ipc/aead_backend.h"
#include "ipc/handover.h"
#include "service/registry/slot.h"
#include "service/worker/worker_request.h"

struct supervisor;
struct worker;

struct supervisor_options {
	unsigned workers;
	enum aead_backend aead;
	bool gso, require_lock, log_json, access_log;
	size_t memory_budget;
	bool is_in_fleet;          /* workers' deadline is what supervisor_set_deadline says, and that of the program before until then */
	struct handover *handover; /* the workers run already, and are those of the program before; or NULL */
};

/* What a worker is there for. There is one more than serve, so that a successor can start beside the one that it replaces (replacer.h). */
enum worker_duty {
	WORKER_SERVING,
	WORKER_SPARE,    /* there is no process */
	WORKER_JOINING,  /* a successor that is not ready yet */
	WORKER_RETIRING, /* it has a successor, and is given no tunnel any more */
};

/* Callbacks for the owner. */
struct supervisor_events {
	void (*ready)(void *owner, struct worker *worker); /* sandboxed and empty: a first start, or a replacement */
	/* Its sockets are closed; its requests were answered before, with `gone`. Not called for one that was dismissed. */
	void (*died)(void *owner, struct worker *worker);
	/* A message other than READY or a reply. False if it breaks the protocol: the worker is then replaced. */
	bool (*message)(void *owner, struct worker *worker, enum message_type type, struct message_reader *body);
	void *owner;
};

struct supervisor *supervisor_create(uv_loop_t *loop, const struct supervisor_options *options, const struct supervisor_events *events,
                                     char failure[512]);
/* Asks the workers to exit, and kills those that do not within `grace_ms`; `done` is called when all are gone. */
void supervisor_stop(struct supervisor *supervisor, unsigned grace_ms, void (*done)(void *owner), void *owner);
/* For the program that takes this one's place. It is quiet when every worker is ready, owes nothing and has nothing half-way. While it is paused,
 * nothing is read from workers. */
bool supervisor_is_quiet(const struct supervisor *supervisor);
void supervisor_pause(struct supervisor *supervisor, bool on);
/* Until when workers may send for tunnels that are silent in isolation: CLOCK_BOOTTIME in ms; 0: not at all. */
void supervisor_set_deadline(struct supervisor *supervisor, uint64_t deadline_ms);
void supervisor_tell_log_level(struct supervisor *supervisor); /* this process's, to every worker */
void supervisor_save(const struct supervisor *supervisor, struct handover *handover);
/* After it is stopped and the loop has no more work. */
void supervisor_free(struct supervisor *supervisor);

unsigned supervisor_serving(const struct supervisor *supervisor); /* how many are to serve */
unsigned supervisor_count(const struct supervisor *supervisor);   /* the spare one included */
struct worker *supervisor_worker(struct supervisor *supervisor, unsigned index);
uint64_t supervisor_restarts(const struct supervisor *supervisor);    /* any thread */
unsigned supervisor_ready_count(const struct supervisor *supervisor); /* any thread */

bool supervisor_has_process(const struct supervisor *supervisor, pid_t pid); /* any thread */

/* Starts a process in the spare place: JOINING, and SERVING when it is ready. One that ends before leaves the place spare again. NULL: there is no
 * spare place, it cannot be started, or the supervisor stops. */
struct worker *supervisor_call_successor(struct supervisor *supervisor);
void worker_retire(struct worker *worker);
/* Ends a retiring worker that has no tunnel any more: it is told to, and killed if it has not ended after ten seconds. */
void worker_dismiss(struct worker *worker);
bool worker_has_process(const struct worker *worker);
/* A retiring one without process and tunnels: its place is spare. */
void worker_vacate(struct worker *worker);

unsigned worker_index(const struct worker *worker);
enum worker_duty worker_duty(const struct worker *worker);    /* any thread */
bool worker_is_ready(const struct worker *worker);            /* any thread */
bool worker_is_dying(const struct worker *worker);            /* it was killed, and its process has not ended yet */
pid_t worker_pid(const struct worker *worker);                /* 0: no process; any thread */
unsigned worker_restarts(const struct worker *worker);        /* any thread */
bool worker_is_of_other_version(const struct worker *worker); /* than this program, which is what a start would run */
const char *worker_version(const struct worker *worker);      /* of the program that it runs; any thread */
unsigned worker_incarnation(const struct worker *worker);     /* goes up with each process */
uint32_t worker_protocol(const struct worker *worker);        /* MESSAGE_PROTOCOL of the program that it runs */
uint64_t worker_term(const struct worker *worker);            /* the same, and over restarts of the daemon, too */
struct slots *worker_slots(struct worker *worker);
/* The key of what is being removed from a slot, or NULL. */
const char *worker_removing(const struct worker *worker, uint32_t slot);
size_t worker_queued_bytes(const struct worker *worker);       /* on their way to it */
size_t worker_queued_descriptors(const struct worker *worker); /* on their way to it */
/* A message of it, which was asked for and so is bounded by what was asked, does not count against it. */
void worker_was_asked(struct worker *worker);
/* Sends one message; takes the descriptors, even on failure, and clears the writer. */
void worker_send(struct worker *worker, enum message_type type, struct message_writer *writer, const int *descriptors, size_t count);

#endif
