#include "service/change/transaction.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/transaction_private.h"

static void answer_and_free(struct transaction *transaction)
{
	/* Before the answer: whoever has it may count on the sockets being closed. */
	for (size_t i = 0; i < transaction->delta_count; i++)
		delta_clear(&transaction->deltas[i]);
	socket_pool_clear(&transaction->pool);
	registry_unreserve(transaction->mutations->means.registry, transaction->reserved);
	transaction->request.done(transaction->request.owner, &transaction->problem, transaction->failed_operation);
	free(transaction->deltas);
	free(transaction->index);
	problem_clear(&transaction->problem);
	lock_queue_release(transaction->mutations->means.locks, &transaction->claim);
	free(transaction);
}

static void keep_ports(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->pool.shared_count; i++)
		host_socket_share(transaction->pool.shared[i], false);
}

void transaction_blame(struct transaction *transaction, const struct delta *delta)
{
	/* The last operation of that tunnel made it what it is. */
	for (size_t i = 0; i < transaction->request.count; i++)
		if (strcmp(transaction->request.operations[i].id, delta->id) == 0)
			transaction->failed_operation = i;
}

void transaction_fail(struct transaction *transaction)
{
	transaction_abort_prepared(transaction);
	keep_ports(transaction);
	struct operation *operations = transaction->request.operations;
	/* One tunnel's problem is the answer of its operation. */
	if (transaction->request.count > 0 && transaction->failed_operation < transaction->request.count &&
	    operations[transaction->failed_operation].problem.code == PROBLEM_NONE) {
		operations[transaction->failed_operation].problem = transaction->problem;
		enum problem_code code = transaction->problem.code;
		problem_init(&transaction->problem);
		problem_set(&transaction->problem, code, "%s", operations[transaction->failed_operation].problem.detail);
	}
	answer_and_free(transaction);
}

static enum applied applied_of(const struct delta *delta, enum applied planned)
{
	if (planned != APPLIED_IN_PLACE || delta->applied != MESSAGE_APPLIED_RESTARTED)
		return planned;
	return APPLIED_RESTARTED;
}

static void write_answers(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->request.count; i++) {
		struct operation *operation = &transaction->request.operations[i];
		const struct delta *delta = NULL;
		for (size_t k = 0; k < transaction->delta_count && delta == NULL; k++) {
			/* In the order of the operations, so that the walk is short: one tunnel has one delta, and mostly one operation. */
			const struct delta *candidate = &transaction->deltas[(i + k) % transaction->delta_count];
			delta = strcmp(candidate->id, operation->id) == 0 ? candidate : NULL;
		}
		if (delta == NULL)
			continue;
		operation->applied = applied_of(delta, operation->applied);
		struct snapshot *shown = operation->kind == OPERATION_DELETE ? delta->before : delta->after;
		operation->snapshot = shown == NULL ? NULL : snapshot_reference(shown);
	}
}

void transaction_finish(struct transaction *transaction)
{
	write_answers(transaction);
	answer_and_free(transaction);
}

static bool changes_anything(const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->delta_count; i++)
		if (delta_changes(&transaction->deltas[i]))
			return true;
	return false;
}

static void on_turn(void *owner)
{
	struct transaction *transaction = owner;
	if (transaction->request.begin != NULL)
		transaction->request.begin(&transaction->request, transaction->request.owner);
	if (!transaction_plan(transaction) || !transaction_bind(transaction)) {
		transaction_fail(transaction);
		return;
	}
	if (transaction->request.dry_run || !changes_anything(transaction)) {
		transaction_finish(transaction);
		return;
	}
	transaction->deadline = uv_now(transaction->mutations->means.loop) + TRANSACTION_WORKER_WAIT_MS;
	transaction_prepare(transaction);
}

static int compare_ids(const void *a, const void *b)
{
	const char *const *first = a, *const *second = b;
	return strcmp(*first, *second);
}

/* Each id once. */
static size_t collect_ids(const struct transaction_request *request, const char **ids)
{
	size_t count = 0;
	for (size_t i = 0; i < request->count; i++)
		ids[i] = request->operations[i].id;
	qsort(ids, request->count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < request->count; i++)
		if (count == 0 || strcmp(ids[count - 1], ids[i]) != 0)
			ids[count++] = ids[i];
	return count;
}

void transaction_start(struct mutations *mutations, const struct transaction_request *request)
{
	assert(request->done != NULL);
	struct problem problem;
	struct transaction *transaction = calloc(1, sizeof(*transaction));
	const char **ids = calloc(request->count + 1, sizeof(*ids));
	bool is_claimed = false;
	if (transaction != NULL && ids != NULL) {
		transaction->mutations = mutations;
		transaction->request = *request;
		problem_init(&transaction->problem);
		/* One that runs alone needs no locks of its own. */
		size_t count = request->alone ? 0 : collect_ids(request, ids);
		is_claimed = lock_queue_claim(mutations->means.locks, &transaction->claim, ids, count, request->alone, on_turn, transaction);
	}
	free(ids);
	if (is_claimed)
		return;
	free(transaction);
	problem_init(&problem);
	problem_set(&problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	request->done(request->owner, &problem, 0);
}
