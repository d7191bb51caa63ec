/* A lock per tunnel and per pool, by its key, granted in turns: changes of one run one by one, changes of different ones in parallel, and some alone.
 * First come, first served; a claim of several keys waits for all of them, and cannot deadlock because it queues up for all at once. Service's thread
 * only. */
#ifndef WARREN_SERVICE_REGISTRY_LOCK_QUEUE_H
#define WARREN_SERVICE_REGISTRY_LOCK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "service/registry/object_key.h"

struct lock_queue;

/* A place in the queue of one key. */
struct lock_ticket {
	struct lock_ticket *next;
	struct lock_claim *claim;
	char key[OBJECT_KEY_SIZE];
};

/* Embedded in its owner, so that waiting needs no memory. All members belong to lock_queue.c. */
struct lock_claim {
	struct lock_claim *next; /* at the gate, or among the ready ones */
	void (*run)(void *owner);
	void *owner;
	bool is_alone;
	bool is_running;
	size_t blocked; /* tickets that are not the first of their queue */
	size_t count;
	struct lock_ticket *tickets; /* `own`, or malloc'ed when there are several */
	struct lock_ticket own;
};

struct lock_queue *lock_queue_create(void);
void lock_queue_free(struct lock_queue *locks);
/* `run` is called when it is this claim's turn: at once if it can be, or after the `run` that calls this. The keys (copied) must differ
 * from each other. `alone`: no other claim runs meanwhile, whatever its keys. The claim stays where it is until lock_queue_release.
 * False when out of memory, which one key never is. */
bool lock_queue_claim(struct lock_queue *locks, struct lock_claim *claim, const char *const *keys, size_t count, bool alone, void (*run)(void *owner),
                      void *owner);
/* For the turn of one key. */
void lock_queue_claim_one(struct lock_queue *locks, struct lock_claim *claim, const char *key, void (*run)(void *owner), void *owner);
/* Ends the turn; may call others' `run`, unless it is itself called from one: then they follow after it. The stack does not grow
 * with the number of waiting claims. */
void lock_queue_release(struct lock_queue *locks, struct lock_claim *claim);
/* Whether no claim that covers this key runs or waits: work that waits for nothing may then be done without a claim. */
bool lock_queue_is_free(const struct lock_queue *locks, const char *key);
/* Whether it is this claim's turn for the key. For NULL: lock_queue_is_free. */
bool lock_queue_is_turn(const struct lock_queue *locks, const struct lock_claim *claim, const char *key);

#endif
