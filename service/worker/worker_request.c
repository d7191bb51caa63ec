/* Requests to a worker and their answers. A worker is not trusted: an answer counts when its number, slot and generation are those of
 * a request that waits, and is dropped otherwise. One of the wrong type would be read as what it is not. */
#include <assert.h>

#include "service/worker/worker_process.h"

void worker_expect(struct worker *worker, struct worker_request *request)
{
	assert(request->number == 0);
	request->number = ++worker->next_number;
	worker->owed_peers += request->peers;
	/* How long a worker may keep what it is to give away does not depend on other tunnels (WIREGUARD_TRANSFER_JUMP). */
	uint64_t patience_ms = request->patience_ms + (request->is_removal ? 0 : worker->owed_peers * WORKER_PEER_MS);
	request->ticks_left = WORKER_OWING_TICKS + (unsigned)(patience_ms / WORKER_TICK_MS);
	request->next = NULL;
	*worker->last = request;
	worker->last = &request->next;
	worker->removals += request->is_removal;
}

bool worker_owes(struct worker *worker)
{
	bool owes = false;
	for (struct worker_request *request = worker->first; request != NULL; request = request->next) {
		owes |= request->ticks_left == 0;
		request->ticks_left -= request->ticks_left > 0;
	}
	return owes;
}

static void take(struct worker *worker, struct worker_request **at)
{
	struct worker_request *request = *at;
	*at = request->next;
	if (worker->last == &request->next)
		worker->last = at;
	worker->removals -= request->is_removal;
	worker->owed_peers -= request->peers;
	request->number = 0;
}

static struct worker_request **find(struct worker *worker, uint64_t number)
{
	struct worker_request **at = &worker->first;
	while (*at != NULL && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

const char *worker_removing(const struct worker *worker, uint32_t slot)
{
	const struct worker_request *request = worker->first;
	while (request != NULL && (request->slot != slot || request->removed == NULL))
		request = request->next;
	return request == NULL ? NULL : request->removed;
}

void worker_forget(struct worker *worker, struct worker_request *request)
{
	struct worker_request **at = find(worker, request->number);
	if (*at == request)
		take(worker, at);
}

void worker_was_asked(struct worker *worker)
{
	allowance_return(&worker->messages, WORKER_MESSAGES_PER_SECOND);
}

bool worker_answer(struct worker *worker, const struct worker_reply *reply, uint64_t number, uint32_t slot, uint64_t generation)
{
	struct worker_request **at = find(worker, number), *request = *at;
	if (request == NULL || request->slot != slot || request->generation != generation)
		return true;
	if (request->reply != reply->type)
		return false;
	/* The handler may free what the request is part of. */
	take(worker, at);
	worker_was_asked(worker);
	request->handler(request->owner, reply);
	return true;
}

void worker_answer_gone(struct worker *worker)
{
	const struct worker_reply gone = { .gone = true };
	while (worker->first != NULL) {
		struct worker_request *request = worker->first;
		take(worker, &worker->first);
		request->handler(request->owner, &gone);
	}
}
