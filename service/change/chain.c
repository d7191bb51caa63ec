#include "service/change/chain.h"

#include <stdio.h>
#include <string.h>

#include "service/change/delta.h"
#include "service/change/mutation_deltas.h"
#include "service/change/reach.h"

static bool makes_tunnel(const struct operation *operation)
{
	return operation->object == SPEC_TUNNEL &&
	       (operation->kind == OPERATION_CREATE || operation->kind == OPERATION_PUT || operation->kind == OPERATION_PATCH);
}

bool chain_is_concerned(const struct mutation *mutation)
{
	for (size_t i = 0; mutation->candidates != NULL && i < mutation->operation_count; i++)
		if (makes_tunnel(&mutation->operations[i]) && mutation->candidates[i].spec.via != NULL)
			return true;
	return false;
}

enum fault { FAULT_NONE, FAULT_CIRCLE, FAULT_LENGTH, FAULT_MISSING };

/* Of the way from this tunnel outwards. One that leads to a tunnel that is gone counts as if that were there. */
static enum fault judge_way(const struct mutation *mutation, const struct snapshot *tunnel)
{
	const struct snapshot *at = tunnel;
	for (unsigned length = 0; at != NULL && at->spec.via != NULL; length++) {
		if (strcmp(at->spec.via, tunnel->id) == 0)
			return FAULT_CIRCLE;
		if (length == SPEC_VIA_MOST)
			return FAULT_LENGTH;
		at = mutation_find_tunnel(mutation, at->spec.via);
	}
	return FAULT_NONE;
}

/* Whether it is judged here. One whose way the mutation makes is judged by itself, and one that is deleted not at all. */
static bool goes_along(const struct mutation *mutation, const struct entry *inside)
{
	const struct delta *delta = mutation_find_delta(mutation, inside->key);
	return delta == NULL || (delta->after != NULL && !delta->makes_way);
}

/* Of the tunnel and those inside it that go along. */
static enum fault judge_inside(const struct mutation *mutation, const struct snapshot *tunnel, unsigned depth)
{
	enum fault fault = judge_way(mutation, tunnel);
	struct registry *registry = mutations_means(mutation->all)->registry;
	struct entry *entry = NULL;
	while (fault == FAULT_NONE && depth <= SPEC_VIA_MOST && (entry = registry_next_inside(registry, tunnel->id, entry)) != NULL)
		if (goes_along(mutation, entry))
			fault = judge_inside(mutation, entry->snapshot, depth + 1);
	return fault;
}

/* A tunnel may keep what it names: an outer one that was gone before, or that the caller does not see. */
static bool is_missing(const struct mutation *mutation, const struct delta *delta)
{
	const char *via = delta->after->spec.via;
	const struct snapshot *outer = mutation_find_tunnel(mutation, via);
	bool is_kept = delta->before != NULL && spec_has_via(&delta->before->spec, via);
	if (outer != NULL)
		return !is_kept && !reach_has(mutation, outer);
	return !is_kept || registry_outer(mutations_means(mutation->all)->registry, &delta->after->spec) != NULL;
}

static enum fault judge(const struct mutation *mutation, const struct delta *delta)
{
	if (delta->after->spec.via != NULL && is_missing(mutation, delta))
		return FAULT_MISSING;
	return judge_inside(mutation, delta->after, 0);
}

/* The tunnels of the circle, if the caller may see all of them. */
static void describe_circle(const struct mutation *mutation, const char *id, char *text, size_t size)
{
	const struct snapshot *at = mutation_find_tunnel(mutation, id);
	size_t length = (size_t)snprintf(text, size, "This way leads back to the tunnel: %s", id);
	for (unsigned i = 0; at != NULL && at->spec.via != NULL && reach_has(mutation, at) && i <= SPEC_VIA_MOST; i++) {
		if (strcmp(at->spec.via, id) == 0) {
			snprintf(text + length, size - length, ".");
			return;
		}
		length += (size_t)snprintf(text + length, size - length, ", %s", at->spec.via);
		at = mutation_find_tunnel(mutation, at->spec.via);
	}
	snprintf(text, size, "This way leads back to the tunnel.");
}

static void tell(struct mutation *mutation, size_t index, enum fault fault)
{
	static const char *const codes[] = { NULL, "circle", "too_deep", "unknown_tunnel" };
	static const char *const details[] = { NULL, NULL, "At most four tunnels can go through each other.",
		                               "There is no tunnel with the id that via names." };
	struct operation *operation = &mutation->operations[index];
	const char *pointer = mutation->candidates == NULL ? "" : mutation->candidates[index].pointer;
	char place[128], circle[512];
	if (fault == FAULT_CIRCLE)
		describe_circle(mutation, operation->id, circle, sizeof(circle));
	snprintf(place, sizeof(place), "%s/spec/interface/via", pointer);
	problem_add(&operation->problem, place, codes[fault], "%s", fault == FAULT_CIRCLE ? circle : details[fault]);
}

/* What the operation makes of its tunnel; NULL: nothing whose way is to be judged. */
static struct delta *way_made(const struct mutation *mutation, const struct operation *operation)
{
	if (!makes_tunnel(operation) || operation->problem.code != PROBLEM_NONE)
		return NULL;
	struct delta *delta = mutation_find_delta(mutation, operation->key);
	return delta == NULL || delta->after == NULL ? NULL : delta;
}

size_t chain_check(struct mutation *mutation)
{
	size_t first = mutation->operation_count;
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct delta *delta = way_made(mutation, &mutation->operations[i]);
		if (delta != NULL)
			delta->makes_way = true;
	}
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct delta *delta = way_made(mutation, &mutation->operations[i]);
		enum fault fault = delta == NULL ? FAULT_NONE : judge(mutation, delta);
		if (fault == FAULT_NONE)
			continue;
		tell(mutation, i, fault);
		first = i < first ? i : first;
	}
	return first;
}
