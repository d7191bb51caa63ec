/* What the tunnels need on this host to become what they are to be: sockets, slots, addresses. No worker knows of it yet. */

#include "service/change/delta.h"
#include "service/change/mutation_deltas.h"
#include "service/change/mutation_step.h"
#include "service/worker/placement.h"

#define WORKER_WAIT_MS 5000 /* for one that is being replaced */

static bool make_entry(struct registry *registry, struct delta *delta)
{
	if (delta->entry == NULL) {
		delta->entry = entry_create(delta->key);
		delta->is_new = delta->entry != NULL;
		if (delta->is_new) {
			registry_number(registry, delta->entry);
			if (delta->ts_floor != 0)
				entry_raise_floor(delta->entry, delta->ts_floor);
		}
	}
	return delta->entry != NULL && socket_list_want(&delta->sockets, &delta->after->spec);
}

static bool keep_sockets(struct mutation *mutation, struct delta *delta)
{
	if (delta->after == NULL)
		return true;
	if (make_entry(mutations_means(mutation->all)->registry, delta)) {
		socket_list_keep(&delta->sockets, &delta->after->spec, &delta->entry->sockets, delta->binds_again);
		return true;
	}
	problem_out_of_memory(&mutation->problem);
	return false;
}

static bool collect_released(struct mutation *mutation, struct delta *delta)
{
	const struct socket_list *old = &delta->entry->sockets;
	for (size_t i = 0; !delta->is_new && i < old->count; i++) {
		if (socket_list_has(&delta->sockets, old->list[i].socket) || socket_pool_add(&mutation->pool, old->list[i].socket))
			continue;
		problem_out_of_memory(&mutation->problem);
		return false;
	}
	return true;
}

/* Every address that is taken is told, not only the first. */
static bool open_sockets(struct mutation *mutation, struct delta *delta)
{
	if (delta->after == NULL)
		return true;
	struct socket_request request = { .spec = &delta->after->spec,
		                          .roots = mutations_means(mutation->all)->roots,
		                          .is_trial = mutation->dry_run,
		                          .next_id = &delta->entry->next_socket_id,
		                          .pointer = delta->pointer };
	bool was_sound = mutation->problem.code == PROBLEM_NONE;
	if (!socket_list_open(&delta->sockets, &request, &mutation->pool, &mutation->problem) && was_sound)
		mutation_blame(mutation, delta);
	return mutation->problem.code != PROBLEM_OUT_OF_RESOURCES;
}

/* The one that it goes through, if this mutation makes or changes that. */
static struct delta *outer_of(const struct mutation *mutation, const struct delta *delta)
{
	char key[OBJECT_KEY_SIZE];
	if (delta->after->spec.via == NULL)
		return NULL;
	object_key_make(key, SPEC_TUNNEL, delta->after->spec.via);
	struct delta *outer = mutation_find_delta(mutation, key);
	return outer != NULL && outer->after != NULL && delta_changes(outer) ? outer : NULL;
}

/* The outer ones first, whatever their order. False: there is no room. */
static bool place(struct mutation *mutation, struct delta *delta)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	struct delta *outer = outer_of(mutation, delta);
	if (delta->entry->worker != NULL)
		return true;
	if (outer != NULL && !place(mutation, outer))
		return false;
	struct worker *near = outer != NULL ? outer->entry->worker : placement_near(means->registry, delta->entry->id, &delta->after->spec);
	return placement_choose(means->supervisor, near, delta->entry);
}

static enum placement place_and_furnish(struct mutation *mutation, struct delta *delta)
{
	struct registry *registry = mutations_means(mutation->all)->registry;
	if (registry_is_chained(registry, delta->entry->id, &delta->after->spec) && !place(mutation, delta))
		return PLACEMENT_USED_UP;
	return placement_furnish(mutations_means(mutation->all)->supervisor, delta->entry, delta->before, delta->after, &delta->sockets,
	                         &delta->addresses);
}

static bool furnish(struct mutation *mutation, struct delta *delta)
{
	if (mutation->problem.code != PROBLEM_NONE)
		return false;
	if (delta->after == NULL || mutation->dry_run)
		return true;
	switch (place_and_furnish(mutation, delta)) {
	case PLACEMENT_DONE: return true;
	case PLACEMENT_USED_UP: problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "The limit of tunnels or peers is reached."); break;
	case PLACEMENT_NO_MEMORY: problem_out_of_memory(&mutation->problem); break;
	}
	return false;
}

/* Each goes over all tunnels before the next: one tunnel may take over a socket that another gives up. False: the problem says why. */
static bool (*const passes[])(struct mutation *mutation, struct delta *delta) = { keep_sockets, collect_released, open_sockets, furnish };
#define PASSES (sizeof(passes) / sizeof(passes[0]))

static bool changes_anything(const struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->delta_count; i++)
		if (delta_changes(&mutation->deltas[i]))
			return true;
	return false;
}

enum mutation_event mutation_enter_binding(struct mutation *mutation)
{
	for (; mutation->cursor < PASSES * mutation->delta_count; mutation->cursor++) {
		struct delta *delta = &mutation->deltas[mutation->cursor % mutation->delta_count];
		if (!delta_changes(delta))
			continue;
		if (!mutations_take_work(mutation->all, delta_peers(delta)))
			return MUTATION_EVENT_MORE;
		if (!passes[mutation->cursor / mutation->delta_count](mutation, delta))
			return MUTATION_EVENT_FAILED;
	}
	if (mutation->problem.code != PROBLEM_NONE)
		return MUTATION_EVENT_FAILED;
	if (mutation->dry_run || !changes_anything(mutation))
		return MUTATION_EVENT_UNCHANGED;
	mutation->deadline = uv_now(mutations_means(mutation->all)->loop) + WORKER_WAIT_MS;
	return MUTATION_EVENT_BOUND;
}
