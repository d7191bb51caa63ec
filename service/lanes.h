/* Turns: changes of one tunnel one after the other, changes of different tunnels side by side, and some alone. First come, first served;
 * a claim of several ids waits for all of them, and cannot deadlock because it queues up for all at once. Service's thread only. */
#ifndef WARREN_SERVICE_LANES_H
#define WARREN_SERVICE_LANES_H

#include <stdbool.h>
#include <stddef.h>

struct lanes;
struct lane_claim;

struct lanes *lanes_create(void);
void lanes_free(struct lanes *lanes);
/* `run` is called when it is this claim's turn, at once if it can be. The ids (copied) must differ from each other.
 * `alone`: no other claim runs meanwhile, whatever its ids. The claim is written to `claim` before `run` is called, for lanes_release.
 * False when out of memory. */
bool lanes_claim(struct lanes *lanes, struct lane_claim **claim, const char *const *ids, size_t count, bool alone, void (*run)(void *owner),
                 void *owner);
/* The turn is over; others' `run` may be called from here. */
void lanes_release(struct lanes *lanes, struct lane_claim *claim);
size_t lanes_running(const struct lanes *lanes);

#endif
