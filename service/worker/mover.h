/* Moves tunnels that run from one worker to another, with their WireGuard sessions.
 *
 * CLAIMING ─► WAITING ─► PREPARING ─► HANDING_OVER ─► swap, COMMIT: done
 *                             │ fails      │ it has connections, and must be idle: it stays where it is
 *
 * The next worker prepares the tunnel with copies of its sockets. Then the worker that has it ends it and tells its sessions, which are passed on;
 * after its answer nothing of the tunnel is left there, and the other one begins. A worker that dies leaves the tunnel on the one that it was on, or
 * was to come to if it had left already, where it is restored as after any death. A move waits while those under way may still fill what is queued
 * for a worker (CHANNEL_QUEUED_BYTES). Main thread only. */
#ifndef WARREN_SERVICE_WORKER_MOVER_H
#define WARREN_SERVICE_WORKER_MOVER_H

#include "service/registry/slot_table.h"
#include "service/worker/provisioner.h"
#include "service/worker/supervisor.h"

struct mover;

/* Borrowed. */
struct mover_means {
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct provisioner *provisioner;
};

enum mover_result {
	MOVER_DONE,   /* the tunnel is on the other worker, or was deleted meanwhile */
	MOVER_BUSY,   /* it has connections, and stays */
	MOVER_FAILED, /* it stays */
};

/* `failure` says why it failed. */
typedef void mover_done(void *owner, enum mover_result result, const char *failure);

struct mover *mover_create(const struct mover_means *means); /* NULL when out of memory */
void mover_free(struct mover *mover);                        /* moves that are under way end without an answer */
/* Waits for the tunnel's turn and moves it; with `only_idle` not while it has a connection. `done` may be called before this returns. False when
 * out of memory: then it is not called. */
bool mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner);
/* Every 100 ms: begins moves that wait because too much is on its way. */
void mover_tick(struct mover *mover);
/* A TRANSFER of a worker. One that is of no move is out of date and dropped. False if it breaks the protocol. */
bool mover_take_transfer(struct mover *mover, struct worker *worker, struct message_reader *body);
/* Puts a tunnel that no worker runs on another one, where it is built when that is ready. The caller has its turn, NULL: nobody else has or
 * waits for it. False: it stays. */
bool mover_place(struct mover *mover, struct entry *entry, const struct lock_claim *turn, struct worker *to);

#endif
