#include "service/change/reach.h"

#include <string.h>

#include "service/change/mutation_deltas.h"

bool reach_has(const struct mutation *mutation, const struct snapshot *snapshot)
{
	return access_covers(mutation->access, snapshot->labels, snapshot->label_count);
}

static void tell_taken(struct operation *operation)
{
	problem_set(&operation->problem, operation->object == SPEC_POOL ? PROBLEM_POOL_EXISTS : PROBLEM_TUNNEL_EXISTS,
	            "This id is in use; choose another one.");
}

void reach_check_before(const struct mutation *mutation, const struct snapshot *now, struct operation *operation)
{
	if (now == NULL || reach_has(mutation, now))
		return;
	/* An id is taken once for all callers, so that this much cannot be hidden. */
	if (operation->kind != OPERATION_CREATE && operation->kind != OPERATION_PUT)
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no %s with this id.", spec_kind_name(operation->object));
	else
		tell_taken(operation);
}

static bool selection_names(const struct spec_selection *selection, const char *id)
{
	for (size_t i = 0; i < selection->tunnel_count; i++)
		if (strcmp(selection->tunnels[i], id) == 0)
			return true;
	return false;
}

static bool pool_names(const struct spec_pool *pool, const char *id)
{
	bool names = selection_names(&pool->members, id);
	for (size_t i = 0; i < pool->rule_count && !names; i++)
		names = selection_names(&pool->rules[i].members, id);
	return names;
}

/* A tunnel that goes through the one with this id, or a pool with it, whether it is there or not. */
static bool others_name(const struct mutation *mutation, const char *id)
{
	struct registry *registry = mutations_means(mutation->all)->registry;
	struct entry *entry = NULL;
	while ((entry = registry_next_inside(registry, id, entry)) != NULL)
		if (!reach_has(mutation, entry->snapshot))
			return true;
	/* Pools come first, by their keys. */
	for (size_t i = 0; i < registry_count(registry) && object_key_kind(registry_at(registry, i)->key) == SPEC_POOL; i++) {
		const struct snapshot *pool = registry_at(registry, i)->snapshot;
		if (!reach_has(mutation, pool) && pool_names(&pool->spec.pool, id))
			return true;
	}
	return false;
}

void reach_check_new(const struct mutation *mutation, const char *id, struct operation *operation)
{
	if (operation->object == SPEC_TUNNEL && !access_is_whole(mutation->access) && others_name(mutation, id))
		tell_taken(operation);
}

/* Selects no tunnel that the access does not cover, now or later: labels include the caller's, and named tunnels are there. */
static bool is_selection_within(const struct mutation *mutation, const struct spec_selection *selection)
{
	if (selection->label_count > 0 && !access_covers(mutation->access, selection->labels, selection->label_count))
		return false;
	for (size_t i = 0; i < selection->tunnel_count; i++) {
		const struct snapshot *tunnel = mutation_find_tunnel(mutation, selection->tunnels[i]);
		if (tunnel == NULL || !reach_has(mutation, tunnel))
			return false;
	}
	return true;
}

static bool is_pool_within(const struct mutation *mutation, const struct spec_pool *pool)
{
	bool is_within = is_selection_within(mutation, &pool->members);
	for (size_t i = 0; is_within && i < pool->rule_count; i++)
		is_within = is_selection_within(mutation, &pool->rules[i].members);
	return is_within;
}

void reach_check_after(const struct mutation *mutation, const struct snapshot *left, struct operation *operation)
{
	if (access_is_whole(mutation->access))
		return;
	if (!reach_has(mutation, left))
		problem_set(&operation->problem, PROBLEM_FORBIDDEN, "This token is bound to labels (GET /v1/whoami): the %s must have them.",
		            spec_kind_name(operation->object));
	else if (left->spec.kind == SPEC_POOL && !is_pool_within(mutation, &left->spec.pool))
		problem_set(&operation->problem, PROBLEM_FORBIDDEN,
		            "This token is bound to labels (GET /v1/whoami): a pool may select by labels only with them, and name only tunnels that "
		            "have them.");
}
