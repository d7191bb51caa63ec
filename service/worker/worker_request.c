/* Requests to a worker and their answers. A worker is not trusted: an answer counts when its number, slot and generation are those of
 * a request that waits, and is dropped otherwise. */
#include <stdlib.h>

#include "service/worker/worker_process.h"

static struct request *expect(struct worker *worker, uint32_t slot, uint64_t generation, reply_handler *handler, void *owner)
{
	struct request *request = malloc(sizeof(*request));
	if (request == NULL)
		return NULL;
	*request = (struct request){ .number = ++worker->next_number,
		                     .slot = slot,
		                     .generation = generation,
		                     .ticks_left = WORKER_OWING_TICKS,
		                     .handler = handler,
		                     .owner = owner };
	*worker->last = request;
	worker->last = &request->next;
	return request;
}

uint64_t worker_expect(struct worker *worker, uint32_t slot, uint64_t generation, reply_handler *handler, void *owner)
{
	const struct request *request = expect(worker, slot, generation, handler, owner);
	return request == NULL ? 0 : request->number;
}

uint64_t worker_expect_removal(struct worker *worker, uint32_t slot, uint64_t generation, reply_handler *handler, void *owner)
{
	struct request *request = expect(worker, slot, generation, handler, owner);
	if (request == NULL)
		return 0;
	request->is_removal = true;
	worker->removals++;
	return request->number;
}

uint64_t worker_expect_late(struct worker *worker, uint32_t slot, uint64_t generation, uint64_t patience_ms, reply_handler *handler, void *owner)
{
	struct request *request = expect(worker, slot, generation, handler, owner);
	if (request == NULL)
		return 0;
	request->ticks_left += (unsigned)(patience_ms / WORKER_TICK_MS);
	return request->number;
}

bool worker_owes(struct worker *worker)
{
	bool owes = false;
	for (struct request *request = worker->first; request != NULL; request = request->next) {
		owes |= request->ticks_left == 0;
		request->ticks_left -= request->ticks_left > 0;
	}
	return owes;
}

static struct request *take(struct worker *worker, uint64_t number)
{
	for (struct request **at = &worker->first; *at != NULL; at = &(*at)->next) {
		struct request *request = *at;
		if (request->number != number)
			continue;
		*at = request->next;
		if (worker->last == &request->next)
			worker->last = at;
		worker->removals -= request->is_removal;
		return request;
	}
	return NULL;
}

void worker_forget(struct worker *worker, uint64_t number)
{
	free(take(worker, number));
}

void worker_answer(struct worker *worker, const struct reply *reply, uint64_t number, uint32_t slot, uint64_t generation)
{
	for (const struct request *request = worker->first; request != NULL; request = request->next) {
		if (request->number != number)
			continue;
		if (request->slot != slot || request->generation != generation)
			return;
		struct request *taken = take(worker, number);
		taken->handler(taken->owner, reply);
		free(taken);
		return;
	}
}

void worker_answer_gone(struct worker *worker)
{
	const struct reply gone = { .gone = true };
	while (worker->first != NULL) {
		struct request *request = take(worker, worker->first->number);
		request->handler(request->owner, &gone);
		free(request);
	}
}
