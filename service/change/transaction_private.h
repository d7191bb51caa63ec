/* What the files of the transaction share. */
#ifndef WARREN_SERVICE_CHANGE_TRANSACTION_PRIVATE_H
#define WARREN_SERVICE_CHANGE_TRANSACTION_PRIVATE_H

#include "service/change/delta.h"
#include "service/change/transaction.h"
#include "service/store/store.h"

#define TRANSACTION_WORKER_WAIT_MS 5000
#define TRANSACTION_DEATHS_MAX 2 /* the first may be a coincidence; one that kills workers must not go on harming their other tunnels */

struct transaction {
	struct mutations *mutations;
	struct transaction_request request;
	struct lock_claim claim;
	struct transaction *next_waiting;
	struct delta *deltas;
	size_t delta_count;
	uint32_t *index;   /* of deltas by the hash of their ids; delta + 1, 0 is empty */
	size_t index_size; /* a power of two */
	struct socket_pool pool;
	size_t reserved;   /* places in the registry */
	size_t pending;    /* answers of workers that are waited for */
	bool worker_gone;  /* one died while it prepared */
	unsigned deaths;   /* of workers, while they prepared this */
	uint64_t deadline; /* for the worker to be there */
	struct problem problem;
	size_t failed_operation;
};

/* transaction_plan.c */
bool transaction_plan(struct transaction *transaction); /* false with the problem */
bool transaction_bind(struct transaction *transaction); /* false with the problem */
/* transaction.c */
void transaction_fail(struct transaction *transaction); /* undoes everything and answers */
void transaction_finish(struct transaction *transaction);
void transaction_blame(struct transaction *transaction, const struct delta *delta); /* the problem is of that tunnel's operation */
/* transaction_prepare.c */
void transaction_prepare(struct transaction *transaction);
void transaction_abort_prepared(struct transaction *transaction);
/* transaction_commit.c */
void transaction_store(struct transaction *transaction);

#endif
