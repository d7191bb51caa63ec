/* Turns: changes of one tunnel one after the other, changes of different tunnels side by side, and some alone. First come, first served;
 * a claim of several ids waits for all of them, and cannot deadlock because it queues up for all at once. Service's thread only. */
#ifndef WARREN_SERVICE_REGISTRY_LOCK_QUEUE_H
#define WARREN_SERVICE_REGISTRY_LOCK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct lanes;

/* A place in the lane of one id. */
struct lane_ticket {
	struct lane_ticket *next;
	struct lane_claim *claim;
	char id[64];
};

/* Embedded in what waits for its turn, so that waiting needs no memory. All members belong to lanes.c. */
struct lane_claim {
	struct lane_claim *next; /* at the gate, or among those that can run */
	void (*run)(void *owner);
	void *owner;
	bool is_alone;
	bool is_running;
	size_t blocked; /* tickets that are not the first of their lane */
	size_t count;
	struct lane_ticket *tickets; /* `own`, or malloc'ed when there are several */
	struct lane_ticket own;
};

struct lanes *lanes_create(void);
void lanes_free(struct lanes *lanes);
/* `run` is called when it is this claim's turn: at once if it can be, or after the `run` that calls this. The ids (copied) must differ
 * from each other. `alone`: no other claim runs meanwhile, whatever its ids. The claim stays where it is until lanes_release.
 * False when out of memory, which one id never is. */
bool lanes_claim(struct lanes *lanes, struct lane_claim *claim, const char *const *ids, size_t count, bool alone, void (*run)(void *owner),
                 void *owner);
/* For the turn of one id. */
void lanes_claim_one(struct lanes *lanes, struct lane_claim *claim, const char *id, void (*run)(void *owner), void *owner);
/* The turn is over; others' `run` may be called from here, unless this is called from one: then they follow it. The stack does not grow
 * with those that wait. */
void lanes_release(struct lanes *lanes, struct lane_claim *claim);
/* No claim runs or waits that could touch this id: what is done without waiting for anything may be done without a claim. */
bool lanes_is_free(const struct lanes *lanes, const char *id);
/* It is this claim's turn for the id. NULL: lanes_is_free. */
bool lanes_is_turn(const struct lanes *lanes, const struct lane_claim *claim, const char *id);

#endif
