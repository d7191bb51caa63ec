/* What the tunnels need on this host to become what they are to be: sockets, slots, addresses. No worker knows of it yet. */

#include "service/change/delta.h"
#include "service/change/mutation_step.h"
#include "service/worker/placement.h"

#define WORKER_WAIT_MS 5000 /* for one that is being replaced */

static bool make_entry(struct delta *delta)
{
	if (delta->entry == NULL) {
		delta->entry = entry_create(delta->id);
		delta->is_new = delta->entry != NULL;
	}
	return delta->entry != NULL && socket_list_want(&delta->sockets, &delta->after->spec);
}

static bool collect_released(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++) {
		const struct delta *delta = &mutation->deltas[i];
		if (!delta_changes(delta) || delta->is_new || delta->entry == NULL)
			continue;
		const struct socket_list *old = &delta->entry->sockets;
		for (size_t k = 0; k < old->count; k++)
			if (!socket_list_has(&delta->sockets, old->list[k].socket) && !socket_pool_add(&mutation->pool, old->list[k].socket))
				return false;
	}
	return true;
}

static bool keep_sockets(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++) {
		struct delta *delta = &mutation->deltas[i];
		if (!delta_changes(delta) || delta->after == NULL)
			continue;
		if (!make_entry(delta))
			return false;
		socket_list_keep(&delta->sockets, &delta->after->spec, &delta->entry->sockets, delta->binds_again);
	}
	return true;
}

static void open_sockets(struct mutation *mutation, struct delta *delta)
{
	struct socket_request request = { .spec = &delta->after->spec,
		                          .roots = mutations_means(mutation->all)->roots,
		                          .is_trial = mutation->dry_run,
		                          .next_id = &delta->entry->next_socket_id,
		                          .pointer = delta->pointer };
	bool was_sound = mutation->problem.code == PROBLEM_NONE;
	if (!socket_list_open(&delta->sockets, &request, &mutation->pool, &mutation->problem) && was_sound)
		mutation_blame(mutation, delta);
}

static bool furnish(struct mutation *mutation, struct delta *delta)
{
	const char *why = NULL;
	switch (placement_furnish(mutations_means(mutation->all)->supervisor, delta->entry, delta->before, delta->after, &delta->sockets,
	                          &delta->addresses)) {
	case PLACEMENT_DONE: return true;
	case PLACEMENT_USED_UP: why = "The limit of tunnels or peers is reached."; break;
	case PLACEMENT_NO_MEMORY: why = "Out of memory."; break;
	}
	problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "%s", why);
	return false;
}

static bool bind_all(struct mutation *mutation)
{
	if (!keep_sockets(mutation) || !collect_released(mutation)) {
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return false;
	}
	for (size_t i = 0; i < mutation->delta_count && mutation->problem.code != PROBLEM_OUT_OF_RESOURCES; i++)
		if (delta_changes(&mutation->deltas[i]) && mutation->deltas[i].after != NULL)
			open_sockets(mutation, &mutation->deltas[i]);
	if (mutation->problem.code != PROBLEM_NONE)
		return false;
	for (size_t i = 0; i < mutation->delta_count; i++) {
		struct delta *delta = &mutation->deltas[i];
		if (delta_changes(delta) && delta->after != NULL && !mutation->dry_run && !furnish(mutation, delta))
			return false;
	}
	return true;
}

static bool changes_anything(const struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++)
		if (delta_changes(&mutation->deltas[i]))
			return true;
	return false;
}

enum mutation_event mutation_enter_binding(struct mutation *mutation)
{
	if (!bind_all(mutation))
		return MUTATION_EVENT_FAILED;
	if (mutation->dry_run || !changes_anything(mutation))
		return MUTATION_EVENT_UNCHANGED;
	mutation->deadline = uv_now(mutations_means(mutation->all)->loop) + WORKER_WAIT_MS;
	return MUTATION_EVENT_BOUND;
}
