/* Changes that are answered after the first handshake of their tunnel. */
#include <stdlib.h>
#include <string.h>

#include "service/change/job.h"
#include "service/registry/status.h"

struct waiter {
	struct waiter *next;
	struct job *job;
	struct runtime_status *status; /* the tunnel's, referenced: another tunnel of the same id has another one */
	uint64_t deadline;
};

static void answer(struct waiter *waiter)
{
	status_release(waiter->status);
	job_answer(waiter->job);
	free(waiter);
}

void waiter_start(struct job *job)
{
	struct mutations *mutations = job->mutations;
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL) {
		job_answer(job);
		return;
	}
	*waiter = (struct waiter){ .next = mutations->waiters,
		                   .job = job,
		                   .status = status_reference(job->operations[0].snapshot->status),
		                   .deadline = uv_now(mutations->means.loop) + 1000ull * job->mutation->timeout };
	mutations->waiters = waiter;
	waiter_check_all(mutations);
}

/* Whether the waiting is over; the operation then says how. */
static bool is_over(struct mutations *mutations, const struct waiter *waiter)
{
	struct operation *operation = &waiter->job->operations[0];
	const struct entry *entry = registry_entry(mutations->means.registry, operation->id);
	struct snapshot_status status;
	if (entry == NULL || entry->status != waiter->status) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "The tunnel was deleted before its first handshake.");
		return true;
	}
	snapshot_status(entry->snapshot, &status);
	if (status.state == TUNNEL_UP)
		return true;
	bool is_hopeless = status.state == TUNNEL_DISABLED && !entry->snapshot->spec.enabled;
	if (!is_hopeless && uv_now(mutations->means.loop) < waiter->deadline)
		return false;
	snapshot_release(operation->snapshot);
	operation->snapshot = snapshot_reference(entry->snapshot);
	problem_set(&operation->problem, PROBLEM_HANDSHAKE_TIMEOUT, "The tunnel exists, but no handshake was completed in time%s%.120s.",
	            status.reason[0] ? ": " : "", status.reason);
	return true;
}

void waiter_check_all(struct mutations *mutations)
{
	for (struct waiter **at = &mutations->waiters; *at != NULL;) {
		struct waiter *waiter = *at;
		if (!is_over(mutations, waiter)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		answer(waiter);
	}
}

void waiter_refuse_all(struct mutations *mutations)
{
	while (mutations->waiters != NULL) {
		struct waiter *waiter = mutations->waiters;
		mutations->waiters = waiter->next;
		problem_set(&waiter->job->mutation->problem, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping.");
		answer(waiter);
	}
}
