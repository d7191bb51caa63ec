/* A tunnel that cannot run. */
#ifndef WARREN_SERVICE_WORKER_FAILURE_H
#define WARREN_SERVICE_WORKER_FAILURE_H

#include "service/registry/events.h"
#include "service/registry/registry.h"

/* Its state is failed from now on. `turn` as in registry_swap. False when out of memory: it is as it was, and the caller tries again. */
bool failure_set(struct registry *registry, struct events *events, struct entry *entry, const struct lock_claim *turn, const char *reason);

#endif
