/* A mutation of a fleet's objects on its way to etcd. Each operation is planned on what a linearizable read finds; what it makes of it is written if
 * that is still there, and planned anew if it is not. An atomic mutation is one transaction, others have one for each operation.
 *
 * Nothing is believed of a write but etcd's answer: without one it may have been done, and that is what the caller is told. Service's thread. */
#ifndef WARREN_SERVICE_FLEET_WRITE_JOB_H
#define WARREN_SERVICE_FLEET_WRITE_JOB_H

#include "fleet/etcd/etcd_store.h"
#include "service/fleet/object_fetch.h"

#define WRITE_JOB_MOST 32  /* operations of an atomic one: with the longest keys they fit into a struct fleet_txn */
#define WRITE_JOB_MOVES 16 /* … if one of them changes its place */

struct shard_count;

struct write_job {
	struct write_job *next, **before; /* the writer's */
	struct etcd_store *store;
	struct object_plan_means means;
	struct mutation *mutation;
	void (*written)(struct write_job *job, void *owner); /* from the loop: every operation is done, or has its problem */
	void *owner;
	size_t index;   /* of the operation */
	unsigned tries; /* of what is being written */
	bool is_stepping, must_step;
	struct object_fetch fetch; /* what the operation finds */
	struct etcd_job *asked;
	/* of the transaction */
	struct object_plan *plans;
	size_t plan_count;
	struct shard_count *counts; /* of the shards that it changes */
	size_t count_count, count_cursor;
	bool lacks_memory; /* for what a count is */
	/* done */
	struct written_place {
		struct fleet_key place;
		int64_t revision; /* 0: nothing was written */
	} * places;               /* of each operation */
	uint64_t deadline;        /* the writer's */
};

/* NULL when out of memory; the mutation is then the caller's. Nothing is told from within. */
struct write_job *write_job_create(struct etcd_store *store, const struct object_plan_means *means, struct mutation *mutation,
                                   void (*written)(struct write_job *job, void *owner), void *owner);
void write_job_begin(struct write_job *job); /* tells from within when nothing is to be asked */
/* Tells nothing more. The mutation is the caller's. */
void write_job_free(struct write_job *job);
/* Every operation that is not done yet fails with that. Tells nothing. */
void write_job_fail(struct write_job *job, enum problem_code code, const char *detail);
/* Whether etcd was asked to write and has not answered. */
bool write_job_is_writing(const struct write_job *job);

#endif
