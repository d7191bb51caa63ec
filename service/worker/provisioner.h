/* Builds tunnels in their workers from their current snapshots: at start, or on a worker that was replaced. When memory or descriptors are lacking,
 * a tunnel waits (entry->is_waiting) and is tried again. The worker must not hold another candidate for the tunnel, since the one would replace
 * the other. Main thread only. */
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
/* Provisions a waiting tunnel now, because something that depends on it follows. The caller has the tunnel's turn. */
void provisioner_hurry(struct provisioner *provisioner, struct entry *entry);
/* The worker lacks a tunnel that it should have. The caller has the tunnel's turn. */
void provisioner_renew(struct provisioner *provisioner, struct entry *entry);
void provisioner_tick(struct provisioner *provisioner, struct supervisor *supervisor);

#endif
