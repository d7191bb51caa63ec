/* The middle of a change: the workers build what is to be, inactive. */
#include <stdio.h>
#include <string.h>

#include "service/change/transaction_private.h"
#include "service/worker/runtime.h"

static bool is_for_worker(const struct delta *delta)
{
	return delta_changes(delta) && delta->after != NULL;
}

void transaction_abort_prepared(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->delta_count; i++) {
		struct delta *delta = &transaction->deltas[i];
		if (!delta->is_prepared)
			continue;
		delta->is_prepared = false;
		runtime_send(delta->entry->worker, MESSAGE_ABORT, 0, slot_index(delta->entry->slot), delta->after->generation);
	}
}

static void tell_refusal(struct transaction *transaction, const struct delta *delta, const struct message_prepared *prepared)
{
	char pointer[96];
	/* A worker is not trusted: its text is of its own making, and shown as such. */
	int length = (int)strnlen(prepared->detail, sizeof(prepared->detail));
	if (transaction->problem.code != PROBLEM_NONE)
		return;
	transaction_blame(transaction, delta);
	if (prepared->ack.status != MESSAGE_STATUS_INVALID) {
		problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "The worker could not start the tunnel: %.*s.", length,
		            prepared->detail);
		return;
	}
	snprintf(pointer, sizeof(pointer), "%s/spec", delta->pointer);
	problem_add(&transaction->problem, pointer, "cannot_run", "This tunnel cannot run: %.*s.", length, prepared->detail);
}

static void wait_for_worker(struct transaction *transaction)
{
	transaction->next_waiting = transaction->mutations->waiting;
	transaction->mutations->waiting = transaction;
}

static void all_answered(struct transaction *transaction)
{
	bool is_late = uv_now(transaction->mutations->means.loop) >= transaction->deadline;
	if (transaction->problem.code == PROBLEM_NONE && !transaction->worker_gone) {
		transaction_store(transaction);
		return;
	}
	if (transaction->problem.code != PROBLEM_NONE) {
		transaction_fail(transaction);
		return;
	}
	transaction_abort_prepared(transaction);
	transaction->worker_gone = false;
	if (!is_late && ++transaction->deaths < TRANSACTION_DEATHS_MAX) {
		wait_for_worker(transaction);
		return;
	}
	problem_set(&transaction->problem, PROBLEM_WORKER_UNAVAILABLE, "The worker died while it was starting the tunnel.");
	transaction_fail(transaction);
}

static void on_prepared(void *owner, const struct reply *reply)
{
	struct delta *delta = owner;
	struct transaction *transaction = delta->transaction;
	delta->request = 0;
	if (reply->gone) {
		transaction->worker_gone = true;
		delta->is_prepared = false;
	} else if (reply->type != MESSAGE_PREPARED || reply->prepared.ack.status != MESSAGE_STATUS_OK) {
		/* The worker keeps nothing of what it refused. */
		delta->is_prepared = false;
		tell_refusal(transaction, delta, &reply->prepared);
	} else {
		delta->applied = reply->prepared.applied;
	}
	if (--transaction->pending == 0)
		all_answered(transaction);
}

static bool send_prepare(struct transaction *transaction, struct delta *delta)
{
	struct worker *worker = delta->entry->worker;
	uint32_t slot = slot_index(delta->entry->slot);
	delta->transaction = transaction;
	provisioner_hurry(transaction->mutations->means.provisioner, delta->entry);
	delta->request = worker_expect(worker, slot, delta->after->generation, on_prepared, delta);
	if (delta->request == 0)
		return false;
	/* A tunnel that this worker does not hold (it failed before, or could not be sent) needs every socket. */
	bool all_fresh = delta->is_new || delta->before == NULL || delta->before->failure != NULL || delta->entry->is_waiting;
	if (runtime_send_prepare(delta->entry, delta->after, &delta->sockets, delta->addresses, all_fresh, delta->request)) {
		delta->is_prepared = true;
		delta->incarnation = worker_incarnation(worker);
		transaction->pending++;
		return true;
	}
	worker_forget(worker, delta->request);
	delta->request = 0;
	return false;
}

static bool all_ready(const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->delta_count; i++)
		if (is_for_worker(&transaction->deltas[i]) && !worker_is_ready(transaction->deltas[i].entry->worker))
			return false;
	return true;
}

void transaction_prepare(struct transaction *transaction)
{
	if (!all_ready(transaction)) {
		wait_for_worker(transaction);
		return;
	}
	/* One more than is sent, so that an answer that comes at once does not end the sending. */
	transaction->pending = 1;
	for (size_t i = 0; i < transaction->delta_count && transaction->problem.code == PROBLEM_NONE; i++)
		if (is_for_worker(&transaction->deltas[i]) && !send_prepare(transaction, &transaction->deltas[i]))
			problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory or descriptors.");
	if (--transaction->pending == 0)
		all_answered(transaction);
}

void transaction_check_waiting(struct mutations *mutations)
{
	struct transaction *list = mutations->waiting;
	mutations->waiting = NULL;
	while (list != NULL) {
		struct transaction *transaction = list;
		list = transaction->next_waiting;
		if (all_ready(transaction)) {
			transaction_prepare(transaction);
		} else if (!mutations->is_stopping && uv_now(mutations->means.loop) < transaction->deadline) {
			wait_for_worker(transaction);
		} else {
			problem_set(&transaction->problem, PROBLEM_WORKER_UNAVAILABLE,
			            "The worker of this tunnel is being replaced; try again in a moment.");
			transaction_fail(transaction);
		}
	}
}
