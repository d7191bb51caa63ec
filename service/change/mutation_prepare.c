/* The middle of a mutation: the workers build what is to be, inactive. */
#include <stdio.h>
#include <string.h>

#include "service/change/delta.h"
#include "service/change/mutation_deltas.h"
#include "service/change/mutation_step.h"
#include "service/worker/runtime.h"

#define DEATHS_MAX 2 /* the first may be a coincidence; a change that kills workers must not keep harming their other tunnels */

static bool is_for_worker(const struct delta *delta)
{
	return delta_changes(delta) && delta->after != NULL;
}

void mutation_abort_prepared(struct delta *delta)
{
	if (!delta->is_prepared)
		return;
	delta->is_prepared = false;
	runtime_send(delta->entry->worker, MESSAGE_ABORT, 0, slot_index(delta->entry->slot), delta->after->generation);
}

static void tell_refusal(struct mutation *mutation, const struct delta *delta, const struct message_prepared *prepared)
{
	char pointer[96];
	/* A worker is not trusted: its text may be anything, and is quoted as such. */
	int length = (int)strnlen(prepared->detail, sizeof(prepared->detail));
	if (mutation->problem.code != PROBLEM_NONE)
		return;
	mutation_blame(mutation, delta);
	if (prepared->ack.status != MESSAGE_STATUS_INVALID) {
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "The worker could not start the tunnel: %.*s.", length, prepared->detail);
		return;
	}
	snprintf(pointer, sizeof(pointer), "%s/spec", delta->pointer);
	problem_add(&mutation->problem, pointer, "cannot_run", "This tunnel cannot run: %.*s.", length, prepared->detail);
}

/* Every worker has answered. */
static enum mutation_event outcome(struct mutation *mutation)
{
	if (mutation->problem.code != PROBLEM_NONE)
		return MUTATION_EVENT_FAILED;
	if (!mutation->worker_gone)
		return MUTATION_EVENT_PREPARED;
	for (size_t i = 0; i < mutation->delta_count; i++)
		mutation_abort_prepared(&mutation->deltas[i]);
	mutation->worker_gone = false;
	if (uv_now(mutations_means(mutation->all)->loop) < mutation->deadline && ++mutation->deaths < DEATHS_MAX)
		return MUTATION_EVENT_WORKER_GONE;
	problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE, "The worker died while it was starting the tunnel.");
	return MUTATION_EVENT_FAILED;
}

static void on_prepared(void *owner, const struct worker_reply *reply)
{
	struct delta *delta = owner;
	struct mutation *mutation = delta->mutation;
	if (reply->gone) {
		mutation->worker_gone = true;
		delta->is_prepared = false;
	} else if (reply->prepared.ack.status != MESSAGE_STATUS_OK) {
		/* A worker keeps nothing of a candidate that it refused. */
		delta->is_prepared = false;
		tell_refusal(mutation, delta, &reply->prepared);
	} else {
		delta->applied = reply->prepared.applied;
	}
	if (--mutation->pending == 0)
		mutations_step(mutation, outcome(mutation));
}

static bool send_prepare(struct mutation *mutation, struct delta *delta)
{
	struct worker *worker = delta->entry->worker;
	uint32_t slot = slot_index(delta->entry->slot);
	delta->mutation = mutation;
	provisioner_hurry(mutations_means(mutation->all)->provisioner, delta->entry);
	delta->request = (struct worker_request){ .slot = slot,
		                                  .generation = delta->after->generation,
		                                  .reply = MESSAGE_PREPARED,
		                                  .peers = delta->after->spec.peer_count,
		                                  .handler = on_prepared,
		                                  .owner = delta };
	worker_expect(worker, &delta->request);
	/* A tunnel that this worker does not have (it failed before, or could not be sent) needs every socket. */
	bool all_fresh = delta->is_new || delta->before == NULL || delta->before->failure != NULL || delta->entry->is_waiting;
	if (runtime_send_prepare(delta->entry, delta->after, &delta->sockets, delta->addresses, all_fresh, delta->request.number)) {
		delta->is_prepared = true;
		delta->incarnation = worker_incarnation(worker);
		mutation->pending++;
		return true;
	}
	worker_forget(worker, &delta->request);
	return false;
}

bool mutation_has_workers(const struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++)
		if (is_for_worker(&mutation->deltas[i]) && !worker_is_ready(mutation->deltas[i].entry->worker))
			return false;
	return true;
}

enum mutation_event mutation_enter_preparing(struct mutation *mutation)
{
	bool begins = mutation->pending == 0;
	if (begins && !mutation_has_workers(mutation))
		return MUTATION_EVENT_WORKER_GONE;
	/* One more than is sent, so that replies do not end it before all are sent. */
	if (begins)
		mutation->pending = 1;
	for (; mutation->cursor < mutation->delta_count && mutation->problem.code == PROBLEM_NONE && !mutation->worker_gone; mutation->cursor++) {
		struct delta *delta = &mutation->deltas[mutation->cursor];
		if (!is_for_worker(delta))
			continue;
		if (!mutations_take_work(mutation->all, delta_peers(delta)))
			return MUTATION_EVENT_MORE;
		if (!worker_is_ready(delta->entry->worker))
			mutation->worker_gone = true;
		else if (!send_prepare(mutation, delta))
			problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory or descriptors.");
	}
	return --mutation->pending == 0 ? outcome(mutation) : MUTATION_EVENT_NONE;
}

enum mutation_event mutation_enter_waiting_for_worker(struct mutation *mutation)
{
	mutations_await_worker(mutation);
	return MUTATION_EVENT_NONE;
}
