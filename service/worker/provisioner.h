/* Builds tunnels in their workers from what they are: at the start, or on a worker that was replaced. One that memory or descriptors are
 * missing for waits (entry->is_waiting) and is tried again. Nothing that is prepared for it may wait for its commit in the worker's process: the
 * one would take the other's place. Main thread only. */
#ifndef WARREN_SERVICE_WORKER_PROVISIONER_H
#define WARREN_SERVICE_WORKER_PROVISIONER_H

#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/worker/supervisor.h"

struct provisioner;

/* Borrowed. */
struct provisioner_means {
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct events *events;
};

struct provisioner *provisioner_create(const struct provisioner_means *means, unsigned workers); /* NULL when out of memory */
void provisioner_free(struct provisioner *provisioner);
void provisioner_start(struct provisioner *provisioner, struct entry *entry);
/* One that waits goes now, because something that builds on it follows. The caller has the tunnel's turn. */
void provisioner_hurry(struct provisioner *provisioner, struct entry *entry);
/* The worker does not hold a tunnel that it should. The caller has the tunnel's turn. */
void provisioner_renew(struct provisioner *provisioner, struct entry *entry);
void provisioner_tick(struct provisioner *provisioner, struct supervisor *supervisor);

#endif
