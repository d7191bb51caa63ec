/* All changes that are under way, and what they work with. Service's thread only, but for what says otherwise. */
#ifndef WARREN_SERVICE_CHANGE_MUTATIONS_H
#define WARREN_SERVICE_CHANGE_MUTATIONS_H

#include <uv.h>

#include "service/change/mutation.h"
#include "service/change/policy.h"
#include "service/registry/events.h"
#include "service/registry/slot_table.h"
#include "service/store/token_table.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/provisioner.h"
#include "service/worker/supervisor.h"

/* Borrowed. */
struct mutation_means {
	uv_loop_t *loop;
	struct registry *registry;
	struct lock_queue *locks;
	struct slot_table *slots;
	struct events *events;
	struct store *store;
	struct token_table *tokens;
	struct supervisor *supervisor;
	struct provisioner *provisioner;
	const struct peer_lookup_means *lookups;
	const struct policy *policy;
	const struct socket_roots *roots;
};

struct mutations {
	struct mutation_means means;
	uint64_t next_revision;
	bool is_stopping;
	struct job *jobs;            /* all that are under way */
	struct transaction *waiting; /* for a worker that is being replaced */
	struct waiter *waiters;      /* for the first handshake of their tunnel */
};

#endif
