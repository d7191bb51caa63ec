/* A mutation's turn of the tunnels that it is about, and what each of them is to become. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/delta.h"
#include "service/change/mutation_step.h"
#include "service/change/whole_state.h"
#include "service/registry/id_hash.h"

static int compare_ids(const void *a, const void *b)
{
	const char *const *first = a, *const *second = b;
	return strcmp(*first, *second);
}

/* Each id once. */
static size_t collect_ids(const struct mutation *mutation, const char **ids)
{
	size_t count = 0;
	for (size_t i = 0; i < mutation->operation_count; i++)
		ids[i] = mutation->operations[i].id;
	qsort(ids, mutation->operation_count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < mutation->operation_count; i++)
		if (count == 0 || strcmp(ids[count - 1], ids[i]) != 0)
			ids[count++] = ids[i];
	return count;
}

static void on_turn(void *owner)
{
	mutation_step(owner, MUTATION_EVENT_TURN_CAME);
}

/* The turn may come from within, and the mutation be gone by the time of the return. */
enum mutation_event mutation_enter_locking(struct mutation *mutation)
{
	bool is_exclusive = mutation_rules_of(mutation->course)->is_exclusive;
	const char **ids = calloc(mutation->operation_count + 1, sizeof(*ids));
	if (ids != NULL) {
		/* One that runs alone needs no tickets of its own. */
		size_t count = is_exclusive ? 0 : collect_ids(mutation, ids);
		mutation->is_claimed = true;
		bool is_queued =
		    lock_queue_claim(mutations_means(mutation->all)->locks, &mutation->claim, ids, count, is_exclusive, on_turn, mutation);
		free(ids);
		if (is_queued)
			return MUTATION_EVENT_NONE;
	}
	mutation->is_claimed = false;
	problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return MUTATION_EVENT_FAILED;
}

static uint32_t *index_of(const struct mutation *mutation, const char *id)
{
	for (size_t at = id_hash(id);; at++) {
		uint32_t *place = &mutation->index[at & (mutation->index_size - 1)];
		if (*place == 0 || strcmp(mutation->deltas[*place - 1].id, id) == 0)
			return place;
	}
}

const struct delta *mutation_find_delta(const struct mutation *mutation, const char *id)
{
	uint32_t place = mutation->index == NULL ? 0 : *index_of(mutation, id);
	return place == 0 ? NULL : &mutation->deltas[place - 1];
}

static struct delta *delta_for(struct mutation *mutation, const char *id)
{
	uint32_t *place = index_of(mutation, id);
	if (*place != 0)
		return &mutation->deltas[*place - 1];
	struct delta *delta = &mutation->deltas[mutation->delta_count++];
	*place = (uint32_t)mutation->delta_count;
	*delta = (struct delta){ .entry = registry_entry(mutations_means(mutation->all)->registry, id) };
	snprintf(delta->id, sizeof(delta->id), "%s", id);
	if (delta->entry != NULL) {
		delta->before = snapshot_reference(delta->entry->snapshot);
		delta->after = snapshot_reference(delta->entry->snapshot);
	}
	return delta;
}

static bool make_room(struct mutation *mutation)
{
	size_t count = mutation->operation_count;
	mutation->index_size = 16;
	while (mutation->index_size < count * 2)
		mutation->index_size *= 2;
	mutation->deltas = calloc(count + 1, sizeof(*mutation->deltas));
	mutation->index = calloc(mutation->index_size, sizeof(*mutation->index));
	if (mutation->deltas != NULL && mutation->index != NULL)
		return true;
	problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return false;
}

void mutation_blame(struct mutation *mutation, const struct delta *delta)
{
	/* The last operation of that tunnel made it what it is. */
	for (size_t i = 0; i < mutation->operation_count; i++)
		if (strcmp(mutation->operations[i].id, delta->id) == 0)
			mutation->failed_operation = i;
}

enum mutation_event mutation_enter_planning(struct mutation *mutation)
{
	if (mutation->course == MUTATION_WHOLE_STATE)
		whole_state_begin(mutation);
	if (!make_room(mutation))
		return MUTATION_EVENT_FAILED;
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct operation *operation = &mutation->operations[i];
		struct candidate *candidate = mutation->candidates == NULL ? NULL : &mutation->candidates[i];
		if (operation->problem.code == PROBLEM_NONE)
			delta_apply(delta_for(mutation, operation->id), mutations_means(mutation->all)->policy, operation, candidate,
			            mutation->scope);
		if (operation->problem.code == PROBLEM_NONE || mutation->problem.code != PROBLEM_NONE)
			continue;
		mutation->failed_operation = i;
		problem_set(&mutation->problem, operation->problem.code, "%s", operation->problem.detail);
		if (!mutation_rules_of(mutation->course)->wants_all_faults)
			break;
	}
	return mutation->problem.code == PROBLEM_NONE ? MUTATION_EVENT_PLANNED : MUTATION_EVENT_FAILED;
}
