/* All mutations in progress, and the objects that they use. Service's thread, except mutations_submit. */
#ifndef WARREN_SERVICE_CHANGE_MUTATIONS_H
#define WARREN_SERVICE_CHANGE_MUTATIONS_H

#include <uv.h>

#include "service/change/mutation.h"
#include "service/change/policy.h"
#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/store/session_store.h"
#include "service/store/token_table.h"
#include "service/worker/mover.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/provisioner.h"
#include "service/worker/replacer.h"
#include "service/worker/supervisor.h"

struct mutations;

/* Pieces of work in one turn of the loop: one step of one tunnel, or of each 64 peers of it. */
#define MUTATIONS_TURN_WORK 64

/* Borrowed. */
struct mutation_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct events *events;
	struct store *store;
	struct token_table *tokens;
	struct session_store *sessions;
	struct supervisor *supervisor;
	struct provisioner *provisioner;
	struct mover *mover;
	struct replacer *replacer;
	struct connection_lister *lister;
	const struct peer_lookup_means *lookups;
	const struct policy *policy;
	const struct socket_roots *roots;
	/* Reads everything again, into the mutation's answer; `done` is called later or before this returns. */
	void (*reload)(void *owner, struct mutation *mutation, void (*done)(void *mutation));
	void *reload_owner;
};

/* What runs a mutation (mutation_step.c). Here only from outside, so that its states may use what is here. */
struct mutation_machine {
	bool (*read)(struct mutation *mutation); /* before the first step; false when out of memory. Any thread */
	/* Handles an event, which the mutation's state must allow. Afterwards it may have been answered and freed. */
	void (*step)(struct mutation *mutation, enum mutation_event event);
	bool (*has_workers)(const struct mutation *mutation); /* all workers that it needs are ready */
	bool (*is_waiting_over)(struct mutation *mutation);   /* SUSPENDED; if so, the operation has the result */
};

/* NULL when out of memory. */
struct mutations *mutations_create(const struct mutation_machine *machine);
/* Before the first is submitted. */
void mutations_start(struct mutations *mutations, const struct mutation_means *means);
void mutations_free(struct mutations *mutations); /* when none is in progress */
/* Takes the mutation until `done`, which is called before this returns if it is refused. mutations_run starts it. Any thread. */
void mutations_submit(struct mutations *mutations, struct mutation *mutation);
/* Starts submitted mutations. */
void mutations_run(struct mutations *mutations);
/* A worker is ready again, or time has passed. */
void mutations_check_workers(struct mutations *mutations);
/* Time has passed. */
void mutations_check_suspended(struct mutations *mutations);
/* This tunnel may be up. It looks at those that wait for it, and hardly at others: each handshake of any tunnel comes here. */
void mutations_check_suspended_of(struct mutations *mutations, const char *key);
/* Accepts no more mutations, and answers those that wait for a tunnel to be up. */
void mutations_stop(struct mutations *mutations);
void mutations_resume(struct mutations *mutations); /* accepts them again */
/* The loop's next turn: those that stopped for lack of time go on. Called by a handle of its own, or by who does not run the loop any more. */
void mutations_go_on(struct mutations *mutations);
bool mutations_are_under_way(const struct mutations *mutations);

/* For the files of change/. */
/* Something that the mutation waited for has happened. Afterwards it may have been answered and freed. */
void mutations_step(struct mutation *mutation, enum mutation_event event);
bool mutations_enqueue(struct mutation *mutation); /* false when they are being stopped */
const struct mutation_means *mutations_means(const struct mutations *mutations);
uint64_t mutations_take_revision(struct mutations *mutations);
uint64_t mutations_next_revision(const struct mutations *mutations);
/* Takes the next piece of work, on a tunnel with that many peers. False: this turn of the loop has had its share, and the state's action
 * returns MUTATION_EVENT_MORE. */
bool mutations_take_work(struct mutations *mutations, size_t peers);
void mutations_go_on_later(struct mutation *mutation);
void mutations_await_worker(struct mutation *mutation);
void mutations_suspend(struct mutation *mutation);
bool mutations_are_stopping(const struct mutations *mutations);
void mutations_refuse_to_wait(struct mutation *mutation); /* its change is stored; the daemon stops before the answer was due */
void mutations_leave(struct mutation *mutation);          /* it is no longer in progress, if it was */

#endif
