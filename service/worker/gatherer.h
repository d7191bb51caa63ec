/* Brings tunnels to the worker of the tunnel that they go through, after a change has parted them: moves them there (mover.h). */
#ifndef WARREN_SERVICE_WORKER_GATHERER_H
#define WARREN_SERVICE_WORKER_GATHERER_H

#include "service/worker/mover.h"

struct gatherer;

/* Borrows both. NULL when out of memory. */
struct gatherer *gatherer_create(struct registry *registry, struct mover *mover);
void gatherer_free(struct gatherer *gatherer);
/* Looks for such tunnels if there may be any. One that could not be moved is tried again every few seconds. */
void gatherer_tick(struct gatherer *gatherer);

#endif
