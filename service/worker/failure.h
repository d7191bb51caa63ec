/* Marks a tunnel that cannot run. */
#ifndef WARREN_SERVICE_WORKER_FAILURE_H
#define WARREN_SERVICE_WORKER_FAILURE_H

#include "service/registry/events.h"
#include "service/registry/registry.h"

/* Sets its state to failed. `turn` as in registry_swap. False when out of memory: nothing has changed, and the caller tries again. */
bool failure_set(struct registry *registry, struct events *events, struct entry *entry, const struct lock_claim *turn, const char *reason);

#endif
