/* Mutations with a real store and without a worker's process, in the test's thread: it decides when the disk and the worker answer. */
#ifndef WARREN_TESTS_SERVICE_BENCH_MUTATIONS_H
#define WARREN_TESTS_SERVICE_BENCH_MUTATIONS_H

#include "service/change/mutation_step.h"
#include "tests/service/bench_worker.h"

struct bench_mutations {
	struct mutations *mutations;
	struct mutation_means means;
	struct store *store;
	struct policy policy;
	struct peer_lookup_means lookups;
	char directory[64];
	unsigned answered; /* mutations whose `done` was called */
};

extern struct bench_mutations changes;

int bench_mutations_set_up(void **state);
/* Every mutation must have been answered. */
int bench_mutations_tear_down(void **state);
/* A mutation of one operation; the document is parsed from the text ('…' for "…"), or NULL. */
struct mutation *bench_mutations_make(enum operation_kind kind, const char *id, const char *json);
/* Submits it and starts it. It goes on until it waits for the worker, the disk or the loop; the caller still frees it. */
void bench_mutations_start(struct mutation *mutation);
/* One turn of the loop. */
void bench_mutations_turn(void);
/* Turns of the loop until that many requests wait at the worker, or no mutation is under way. */
void bench_mutations_until_asked(unsigned requests);
/* Until the store has answered what it was given. */
void bench_mutations_until_stored(void);
/* The worker says yes to everything and the disk works, until no mutation is under way. */
void bench_mutations_finish(void);
/* All of that. The mutation with its answer, to be freed. */
struct mutation *bench_mutations_do(enum operation_kind kind, const char *id, const char *json);
/* The problem of the whole, else of its first operation. */
enum problem_code bench_mutations_code(const struct mutation *mutation);
/* The worker dies, and a new process is ready at once. */
void bench_mutations_replace_worker(void);

#endif
