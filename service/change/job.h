/* A change on its way. Service's thread, but for job_create. */
#ifndef WARREN_SERVICE_CHANGE_JOB_H
#define WARREN_SERVICE_CHANGE_JOB_H

#include "service/change/mutations.h"
#include "service/spec/candidate.h"

struct job {
	struct job *next; /* in the inbox, then among all that are under way */
	struct mutations *mutations;
	struct mutation *mutation;
	struct operation *operations; /* the change's, or the job's own */
	struct candidate *candidates;
	size_t operation_count, candidate_count;
	struct snapshot **bases; /* what candidates were prepared with, one for each operation of the change, or NULL */
	bool owns_operations;
	size_t cursor; /* of operations that are done one after the other */
	bool is_running, goes_on;
	size_t pending; /* of transactions that run side by side */
};

/* Reads what can be read without knowing what there is. Any thread. NULL when out of memory. */
struct job *job_create(struct mutations *mutations, struct mutation *mutation);
void job_run(struct job *job);
/* The daemon ends. */
void job_refuse(struct job *job);
/* Frees the job and hands the change back. */
void job_answer(struct job *job);

/* waiter.c: answers when the job's tunnel is up, or when its time is over. */
void waiter_start(struct job *job);
void waiter_check_all(struct mutations *mutations);
void waiter_refuse_all(struct mutations *mutations);

#endif
