/* The first half of a change, which touches no worker: what every tunnel is to become, and its sockets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/transaction_private.h"
#include "service/registry/snapshot_make.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/placement.h"

static uint32_t *index_of(struct transaction *transaction, const char *id)
{
	uint32_t hash = 2166136261u;
	for (const char *c = id; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619u;
	for (size_t at = hash;; at++) {
		uint32_t *place = &transaction->index[at & (transaction->index_size - 1)];
		if (*place == 0 || strcmp(transaction->deltas[*place - 1].id, id) == 0)
			return place;
	}
}

static struct delta *delta_for(struct transaction *transaction, const char *id)
{
	uint32_t *place = index_of(transaction, id);
	if (*place != 0)
		return &transaction->deltas[*place - 1];
	struct delta *delta = &transaction->deltas[transaction->delta_count++];
	*place = (uint32_t)transaction->delta_count;
	*delta = (struct delta){ .entry = registry_entry(transaction->mutations->means.registry, id) };
	snprintf(delta->id, sizeof(delta->id), "%s", id);
	if (delta->entry != NULL) {
		delta->before = snapshot_reference(delta->entry->snapshot);
		delta->after = snapshot_reference(delta->entry->snapshot);
	}
	return delta;
}

static bool make_room(struct transaction *transaction)
{
	size_t count = transaction->request.count;
	transaction->index_size = 16;
	while (transaction->index_size < count * 2)
		transaction->index_size *= 2;
	transaction->deltas = calloc(count + 1, sizeof(*transaction->deltas));
	transaction->index = calloc(transaction->index_size, sizeof(*transaction->index));
	if (transaction->deltas != NULL && transaction->index != NULL)
		return true;
	problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return false;
}

bool transaction_plan(struct transaction *transaction)
{
	const struct transaction_request *request = &transaction->request;
	if (!make_room(transaction))
		return false;
	for (size_t i = 0; i < request->count; i++) {
		struct operation *operation = &request->operations[i];
		if (operation->problem.code == PROBLEM_NONE)
			delta_apply(delta_for(transaction, operation->id), transaction->mutations->means.policy, operation, &request->candidates[i],
			            request->scope);
		if (operation->problem.code == PROBLEM_NONE || transaction->problem.code != PROBLEM_NONE)
			continue;
		transaction->failed_operation = i;
		problem_set(&transaction->problem, operation->problem.code, "%s", operation->problem.detail);
		/* The faults of all of them are wanted where the change is one document; elsewhere the first that fails is the answer. */
		if (!request->alone)
			return false;
	}
	return transaction->problem.code == PROBLEM_NONE;
}

static bool make_entry(struct delta *delta)
{
	if (delta->entry == NULL) {
		delta->entry = entry_create(delta->id);
		delta->is_new = delta->entry != NULL;
	}
	return delta->entry != NULL && socket_list_want(&delta->sockets, &delta->after->spec);
}

static bool collect_released(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->delta_count; i++) {
		const struct delta *delta = &transaction->deltas[i];
		if (!delta_changes(delta) || delta->is_new || delta->entry == NULL)
			continue;
		const struct socket_list *old = &delta->entry->sockets;
		for (size_t k = 0; k < old->count; k++)
			if (!socket_list_has(&delta->sockets, old->list[k].socket) && !socket_pool_add(&transaction->pool, old->list[k].socket))
				return false;
	}
	return true;
}

static bool keep_sockets(struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->delta_count; i++) {
		struct delta *delta = &transaction->deltas[i];
		if (!delta_changes(delta) || delta->after == NULL)
			continue;
		if (!make_entry(delta))
			return false;
		socket_list_keep(&delta->sockets, &delta->after->spec, &delta->entry->sockets);
	}
	return true;
}

static void open_sockets(struct transaction *transaction, struct delta *delta)
{
	struct socket_request request = { .spec = &delta->after->spec,
		                          .roots = transaction->mutations->means.roots,
		                          .next_id = &delta->entry->next_socket_id,
		                          .pointer = delta->pointer };
	/* A dry run may not ask a running tunnel to make way. */
	struct socket_pool none = { .count = 0 };
	bool was_sound = transaction->problem.code == PROBLEM_NONE;
	if (!socket_list_open(&delta->sockets, &request, transaction->request.dry_run ? &none : &transaction->pool, &transaction->problem) &&
	    was_sound)
		transaction_blame(transaction, delta);
	socket_pool_clear(&none);
}

/* What a dry run cannot try out is what is only taken by sockets that this same change gives up. */
static void forget_own_conflicts(struct transaction *transaction)
{
	if (transaction->problem.code == PROBLEM_LISTENER_IN_USE && transaction->pool.count > 0)
		problem_clear(&transaction->problem);
}

static bool furnish(struct transaction *transaction, struct delta *delta)
{
	struct entry *entry = delta->entry;
	if (!snapshot_take_sockets(delta->after, &delta->sockets))
		return false;
	const struct spec *old_spec = delta->before == NULL ? NULL : &delta->before->spec;
	if (!peer_lookup_addresses(&delta->addresses, &delta->after->spec, old_spec, delta->before == NULL ? NULL : entry->addresses))
		return false;
	if (entry->worker == NULL && !placement_choose(transaction->mutations->means.supervisor, entry))
		return false;
	return snapshot_take_slots(delta->after, entry, delta->before);
}

bool transaction_bind(struct transaction *transaction)
{
	if (!keep_sockets(transaction) || !collect_released(transaction)) {
		problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return false;
	}
	for (size_t i = 0; i < transaction->delta_count && transaction->problem.code != PROBLEM_OUT_OF_RESOURCES; i++)
		if (delta_changes(&transaction->deltas[i]) && transaction->deltas[i].after != NULL)
			open_sockets(transaction, &transaction->deltas[i]);
	if (transaction->request.dry_run)
		forget_own_conflicts(transaction);
	if (transaction->problem.code != PROBLEM_NONE)
		return false;
	for (size_t i = 0; i < transaction->delta_count; i++) {
		struct delta *delta = &transaction->deltas[i];
		if (!delta_changes(delta) || delta->after == NULL || transaction->request.dry_run || furnish(transaction, delta))
			continue;
		problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "The limit of tunnels or peers is reached.");
		return false;
	}
	return true;
}
