/* Edits of one or several tunnels that are done together or not at all, in this order: plan, bind, prepare in the
 * worker, commit to the store, swap, retire, answer. Any step that fails undoes those before it. */
#ifndef WARREN_SERVICE_CHANGE_TRANSACTION_H
#define WARREN_SERVICE_CHANGE_TRANSACTION_H

#include "service/change/mutations.h"
#include "service/spec/candidate.h"

struct transaction;

struct transaction_request {
	struct operation *operations; /* borrowed until `done`; their answers are written there */
	struct candidate *candidates; /* one for each operation, borrowed */
	size_t count;
	bool alone; /* no other change runs meanwhile */
	bool dry_run;
	unsigned scope;
	/* Called when it is this one's turn, before anything is planned: may replace operations, candidates and count. May be NULL. */
	void (*begin)(struct transaction_request *request, void *owner);
	/* `problem` is borrowed: PROBLEM_NONE, or why nothing was done; `failed_operation` is the operation's that it came from. */
	void (*done)(void *owner, const struct problem *problem, size_t failed_operation);
	void *owner;
};

/* `done` is called in any case, perhaps from within. */
void transaction_start(struct mutations *mutations, const struct transaction_request *request);
/* A worker is there again, or time has passed. */
void transaction_check_waiting(struct mutations *mutations);

#endif
