/* Keeps one busy tunnel from holding up the others: when a worker has little left of its core and another one much, a tunnel moves there (mover.h).
 *
 * Which one: that after whose move the busier of both has the least to do, each tunnel's part of a worker's time being taken as its part of the
 * bytes. So the others may leave a worker to its busiest tunnel, and one that is alone stays. No connection is ever cut for it: a tunnel waits until
 * it has none, and then the next best goes that has none. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_BALANCER_H
#define WARREN_SERVICE_WORKER_BALANCER_H

#include "service/worker/mover.h"

struct balancer;

/* Borrowed. */
struct balancer_means {
	struct registry *registry;
	struct lock_queue *locks;
	struct mover *mover;
};

struct balancer *balancer_create(const struct balancer_means *means); /* NULL when out of memory */
void balancer_free(struct balancer *balancer);                        /* after the mover */
/* Every 100 ms; `now_ms` is of a monotonic clock. */
void balancer_tick(struct balancer *balancer, struct supervisor *supervisor, uint64_t now_ms);

#endif
