/* One worker, shared by the files of the supervisor. */
#ifndef WARREN_SERVICE_WORKER_WORKER_PROCESS_H
#define WARREN_SERVICE_WORKER_WORKER_PROCESS_H

#include "ipc/channel.h"
#include "ipc/program_version.h"
#include "service/registry/allowance.h"
#include "service/worker/supervisor.h"

#define WORKER_TICK_MS 500
#define WORKER_HUNG_TICKS 10     /* 5 s without a heartbeat */
#define WORKER_IMPATIENT_TICKS 4 /* while a REMOVE waits */
#define WORKER_OWING_TICKS 20    /* 10 s for a reply, for READY, for its end once it is dismissed, and without reading a byte of queued data */
#define WORKER_PEER_MS 2u        /* a peer is prepared in a tenth of that, on a busy machine */
/* More messages than an honest worker needs: one per second and tunnel, and eight at once. */
#define WORKER_MESSAGES_PER_SECOND COUNTERS_TUNNELS
#define WORKER_MESSAGES_BURST (8 * COUNTERS_TUNNELS)
/* More connections than an honest worker can carry. */
#define WORKER_LINES_PER_SECOND 16384u
#define WORKER_LINES_BURST 65536u
#define WORKER_BACKOFF_MS 1000 /* one that dies at once is started once a second */

enum worker_state {
	WORKER_ABSENT,   /* no process: a start is due */
	WORKER_STARTING, /* spawned, READY has not come */
	WORKER_READY,
	WORKER_DYING, /* killed or closed; its exit has not been seen yet. Nothing is sent */
	WORKER_ENDED, /* stopped for good */
};

struct worker {
	struct supervisor *supervisor;
	unsigned index;
	_Atomic enum worker_state state;
	_Atomic enum worker_duty duty;
	bool is_dismissed; /* it was told to end */
	struct slots *slots;
	struct channel *channel;
	uv_poll_t *poll;
	uv_process_t *process; /* NULL: none, or started by the program before */
	_Atomic pid_t pid;     /* 0: none */
	uv_timer_t backoff;
	uint32_t protocol;          /* MESSAGE_PROTOCOL of the program that it runs */
	_Atomic bool is_taken_over; /* from the program before: its process is of taken_version */
	char taken_version[PROGRAM_VERSION_SIZE];
	_Atomic unsigned incarnation, first_incarnation; /* goes up with each process; and of the one that came into this place */
	uint64_t term;                                   /* of the process: when it was spawned, UNIX time in ms, and later than the one before */
	uint64_t spawned_at;                             /* uv_now of the last start */
	uint64_t heartbeat;
	unsigned silent_ticks, starting_ticks, ending_ticks, deaf_ticks;
	uint64_t sent; /* to it, at the last tick */
	struct allowance messages;
	struct allowance renewals;            /* of links that it has closed */
	struct allowance lines;               /* of the access log */
	const char *fault;                    /* how it broke the protocol, or NULL: it is killed after its channel was read */
	struct worker_request *first, **last; /* in order of sending */
	unsigned removals;
	size_t owed_peers; /* of what waits */
	uint64_t next_number;
};

struct supervisor {
	uv_loop_t *loop;
	struct supervisor_options options;
	struct supervisor_events events;
	struct worker *workers;
	unsigned count;
	uv_timer_t tick, grace;
	uv_signal_t children; /* for workers that libuv did not start */
	_Atomic uint64_t restarts;
	_Atomic unsigned ready_count; /* of those that serve */
	bool stops, is_paused;
	void (*stopped)(void *owner);
	void *stopped_owner;
};

/* worker_process.c */
void worker_start(struct worker *worker);
void worker_start_in(struct worker *worker, uint64_t delay_ms);
void worker_kill(struct worker *worker, const char *why);
void worker_watch(struct worker *worker); /* what its channel waits for has changed */
void worker_save(const struct worker *worker, struct handover *handover);
bool worker_resume(struct worker *worker, struct handover *handover);
void worker_reap(struct worker *worker); /* one that the program before started may have ended */
/* worker_request.c */
/* False when the answer is of another type than the request's. */
bool worker_answer(struct worker *worker, const struct worker_reply *reply, uint64_t number, uint32_t slot, uint64_t generation);
void worker_answer_gone(struct worker *worker);
bool worker_owes(struct worker *worker); /* at each tick: whether the time of an answer is up */
/* supervisor.c */
void supervisor_worker_ready(struct worker *worker);
void supervisor_worker_exited(struct worker *worker);

#endif
