/* Restores the stored tunnels: reads them, binds their sockets and passes them to workers. One that cannot run gets the state failed, and never
 * keeps the daemon or another tunnel from starting. Main thread only, except restorer_is_done. */
#ifndef WARREN_SERVICE_RESTORER_H
#define WARREN_SERVICE_RESTORER_H

#include "service/change/policy.h"
#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/store/database.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/provisioner.h"
#include "service/worker/supervisor.h"

struct restorer;

/* Borrowed. */
struct restorer_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct events *events;
	struct provisioner *provisioner;
	const struct peer_lookup_means *lookups;
	const struct policy *policy;
	const struct socket_roots *roots;
};

struct restorer *restorer_create(const struct restorer_means *means); /* NULL when out of memory */
void restorer_free(struct restorer *restorer);
/* A row of the store, taken; `owner` is the restorer. False when out of memory. */
bool restorer_take(void *owner, struct database_tunnel *row);
/* All rows are taken and the workers are made: binds what can be bound. Borrows the supervisor. */
void restorer_start(struct restorer *restorer, struct supervisor *supervisor);
/* Every 100 ms: tries again. */
void restorer_tick(struct restorer *restorer);
bool restorer_is_done(const struct restorer *restorer); /* all are bound, or have failed. Any thread */

#endif
