/* Records every ten seconds what the tunnels carry, for GET /v1/tunnels/{id}/history. A tunnel has a history from its first byte or connection
 * until an hour after its last, and at most RECORDER_MOST have one, which takes 12 MB. Service's thread. */
#ifndef WARREN_SERVICE_RECORDER_H
#define WARREN_SERVICE_RECORDER_H

#include "service/registry/registry.h"

#define RECORDER_MOST 2048

struct recorder;

/* Borrows the registry. `since` is when the counters began, UNIX time in ms; 0: they are those of the program before, so that the first tick only
 * reads them. NULL when out of memory. */
struct recorder *recorder_create(struct registry *registry, int64_t since);
void recorder_free(struct recorder *recorder);
/* Every HISTORY_STEP_MS. */
void recorder_tick(struct recorder *recorder, int64_t now_ms);

#endif
