/* Replaces a worker by a successor, which may run a newer program: its tunnels move one by one, when they have no open connection, or all when the
 * time for that is up (mover.h). One worker at a time.
 *
 * IDLE ─► STARTING ─ the successor is ready ─► MOVING ─ nothing is left ─► ENDING ─ its process has ended ─► IDLE
 *            └ it ends before: called off
 *
 * From MOVING on the old worker gets no tunnel any more. If it dies, what it had is built on the successor. If the successor takes none for as long
 * as connections are waited for, that is told as a failure; it is tried on, because room may be made. Main thread only, but for one function. */
#ifndef WARREN_SERVICE_WORKER_REPLACER_H
#define WARREN_SERVICE_WORKER_REPLACER_H

#include "service/registry/events.h"
#include "service/worker/mover.h"

struct replacer;

/* Borrowed. */
struct replacer_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct events *events;
	struct mover *mover;
	/* The open connections through a pool. It may be a second late: its home, which is asked to hand it over, knows better. */
	size_t (*open_through)(void *owner, const struct entry *pool);
	void *owner;
	unsigned drain_seconds; /* when none are given, and for workers of another version */
};

enum replacer_error {
	REPLACER_OK = 0,
	REPLACER_NO_WORKER = -1, /* of this index, or it is not in use */
	REPLACER_BUSY = -2,      /* another one is being replaced */
	REPLACER_NOT_READY = -3, /* the worker is starting, or its successor cannot be started */
};

struct replacer *replacer_create(const struct replacer_means *means); /* NULL when out of memory */
void replacer_free(struct replacer *replacer);
void replacer_begin(struct replacer *replacer, struct supervisor *supervisor); /* borrowed; before anything else */
/* Connections are waited for as long as `drain_seconds`. `successor` gets its index. */
int replacer_start(struct replacer *replacer, unsigned index, unsigned drain_seconds, unsigned *successor) __attribute__((warn_unused_result));
unsigned replacer_drain_seconds(const struct replacer *replacer); /* when none are given */
void replacer_worker_ready(struct replacer *replacer, struct worker *worker);
void replacer_worker_died(struct replacer *replacer, struct worker *worker);
/* What keeps the tunnels of the worker, which retires, from moving, besides open connections; empty: nothing. Any thread. */
#define REPLACER_FAILURE_SIZE 256
void replacer_read_failure(struct replacer *replacer, unsigned index, char failure[REPLACER_FAILURE_SIZE]);
/* Every 100 ms: moves what is due. Half a minute after an upgrade it begins with the workers of another version than this program's. */
void replacer_tick(struct replacer *replacer);
/* For the program that takes this one's place. False: it cannot be taken. */
void replacer_save(const struct replacer *replacer, struct message_writer *writer);
bool replacer_load(struct replacer *replacer, struct message_reader *reader);

#endif
