/* The middle of a change: the workers build what is to be, inactive. */
#include <stdio.h>
#include <string.h>

#include "service/change/transaction_private.h"

static bool is_for_worker(const struct plan *plan)
{
	return plan_changes(plan) && plan->after != NULL;
}

void transaction_abort_prepared(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->plan_count; i++) {
		struct plan *plan = &transaction->plans[i];
		if (!plan->is_prepared)
			continue;
		plan->is_prepared = false;
		establish_send_ack(plan->entry->worker, MESSAGE_ABORT, 0, seat_index(plan->entry->seat), plan->after->generation);
	}
}

static void tell_refusal(struct transaction *transaction, const struct plan *plan, const struct message_prepared *prepared)
{
	char pointer[96];
	/* A worker is not trusted: its text is of its own making, and shown as such. */
	int length = (int)strnlen(prepared->detail, sizeof(prepared->detail));
	if (transaction->problem.code != PROBLEM_NONE)
		return;
	transaction_blame(transaction, plan);
	if (prepared->ack.status != MESSAGE_STATUS_INVALID) {
		problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "The worker could not start the tunnel: %.*s.", length,
		            prepared->detail);
		return;
	}
	snprintf(pointer, sizeof(pointer), "%s/spec", plan->pointer);
	problem_add(&transaction->problem, pointer, "cannot_run", "This tunnel cannot run: %.*s.", length, prepared->detail);
}

static void wait_for_worker(struct transaction *transaction)
{
	transaction->next_waiting = transaction->service->waiting;
	transaction->service->waiting = transaction;
}

static void all_answered(struct transaction *transaction)
{
	bool is_late = uv_now(&transaction->service->loop) >= transaction->deadline;
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
	struct plan *plan = owner;
	struct transaction *transaction = plan->transaction;
	plan->request = 0;
	if (reply->gone) {
		transaction->worker_gone = true;
		plan->is_prepared = false;
	} else if (reply->type != MESSAGE_PREPARED || reply->prepared.ack.status != MESSAGE_STATUS_OK) {
		/* The worker keeps nothing of what it refused. */
		plan->is_prepared = false;
		tell_refusal(transaction, plan, &reply->prepared);
	} else {
		plan->applied = reply->prepared.applied;
	}
	if (--transaction->pending == 0)
		all_answered(transaction);
}

static bool send_prepare(struct transaction *transaction, struct plan *plan)
{
	struct worker *worker = plan->entry->worker;
	uint32_t slot = seat_index(plan->entry->seat);
	plan->transaction = transaction;
	establish_hurry(transaction->service, plan->entry);
	plan->request = worker_expect(worker, slot, plan->after->generation, on_prepared, plan);
	if (plan->request == 0)
		return false;
	/* A tunnel that this worker does not hold (it failed before, or could not be sent) needs every socket. */
	bool all_fresh = plan->is_new || plan->before == NULL || plan->before->failure != NULL || plan->entry->is_waiting;
	if (establish_send_prepare(plan->entry, plan->after, &plan->sockets, plan->addresses, all_fresh, plan->request)) {
		plan->is_prepared = true;
		plan->incarnation = worker_incarnation(worker);
		transaction->pending++;
		return true;
	}
	worker_forget(worker, plan->request);
	plan->request = 0;
	return false;
}

static bool all_ready(const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->plan_count; i++)
		if (is_for_worker(&transaction->plans[i]) && !worker_is_ready(transaction->plans[i].entry->worker))
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
	for (size_t i = 0; i < transaction->plan_count && transaction->problem.code == PROBLEM_NONE; i++)
		if (is_for_worker(&transaction->plans[i]) && !send_prepare(transaction, &transaction->plans[i]))
			problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory or descriptors.");
	if (--transaction->pending == 0)
		all_answered(transaction);
}

void transaction_check_waiting(struct service *service)
{
	struct transaction *list = service->waiting;
	service->waiting = NULL;
	while (list != NULL) {
		struct transaction *transaction = list;
		list = transaction->next_waiting;
		if (all_ready(transaction)) {
			transaction_prepare(transaction);
		} else if (!service->is_stopping && uv_now(&service->loop) < transaction->deadline) {
			wait_for_worker(transaction);
		} else {
			problem_set(&transaction->problem, PROBLEM_WORKER_UNAVAILABLE,
			            "The worker of this tunnel is being replaced; try again in a moment.");
			transaction_fail(transaction);
		}
	}
}
