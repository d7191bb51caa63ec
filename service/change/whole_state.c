#include "service/change/whole_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/spec/candidate.h"
#include "service/spec/json_reader.h"

static void require_id(struct operation *operation, struct candidate *candidate, const char *pointer)
{
	char place[80];
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (candidate->id[0] == '\0' && candidate->problem.code == PROBLEM_NONE)
		problem_add(&candidate->problem, place, "required", "Each tunnel of a state needs an id.");
	snprintf(operation->id, sizeof(operation->id), "%s", candidate->id);
}

/* A whole state is a PUT of each tunnel, and a DELETE of those that are not in it (added when it is its turn). */
static_assert(COUNTERS_TUNNELS == 16384, "the text of whole_state_read says how many");

bool whole_state_read(struct mutation *mutation)
{
	static const char *const known[] = { "tunnels", NULL };
	struct json_reader reader;
	json_reader_init(&reader, "", &mutation->problem);
	if (!json_is_object(mutation->document)) {
		json_reader_fault(&reader, "wrong_type", "A state must be an object.");
		return true;
	}
	json_reader_known(&reader, mutation->document, known, NULL);
	const json_t *list = json_reader_array(&reader, mutation->document, "tunnels");
	if (list == NULL && mutation->problem.code == PROBLEM_NONE)
		json_reader_fault_at(&reader, "tunnels", "required", "A state needs the array tunnels, which may be empty.");
	size_t count = json_array_size(list), most = (size_t)supervisor_count(mutations_means(mutation->all)->supervisor) * COUNTERS_TUNNELS,
	       faults = 0;
	if (count > most) {
		json_reader_fault_at(&reader, "tunnels", "too_many", "A state can have at most 16,384 tunnels per worker.");
		count = 0;
	}
	free(mutation->operations);
	mutation->operations = calloc(count + 1, sizeof(*mutation->operations));
	mutation->candidates = calloc(count + 1, sizeof(*mutation->candidates));
	if (mutation->operations == NULL || mutation->candidates == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		char pointer[64];
		/* A body full of faults does not deserve the memory for all its tunnels. */
		if (faults >= PROBLEM_FAULT_MAX) {
			problem_set(&mutation->problem, PROBLEM_VALIDATION_FAILED, "The state has many faults; these are the first.");
			break;
		}
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu", i);
		mutation->operations[i].kind = OPERATION_PUT;
		candidate_init(&mutation->candidates[i]);
		mutation->operation_count = mutation->candidate_count = i + 1;
		candidate_read(&mutation->candidates[i], json_array_get(list, i), pointer);
		candidate_write(&mutation->candidates[i]);
		require_id(&mutation->operations[i], &mutation->candidates[i], pointer);
		faults += mutation->candidates[i].problem.fault_count;
	}
	return true;
}

static int compare_operations(const void *a, const void *b)
{
	const struct operation *const *first = a, *const *second = b;
	int order = strcmp((*first)->id, (*second)->id);
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

/* Sorts them by id, finds duplicate ids, and counts the tunnels that are not listed. */
static bool sort_state(struct mutation *mutation, const struct operation ***sorted)
{
	*sorted = calloc(mutation->operation_count + 1, sizeof(**sorted));
	if (*sorted == NULL)
		return false;
	for (size_t i = 0; i < mutation->operation_count; i++)
		(*sorted)[i] = &mutation->operations[i];
	qsort(*sorted, mutation->operation_count, sizeof(**sorted), compare_operations);
	for (size_t i = 1; i < mutation->operation_count; i++) {
		if ((*sorted)[i]->id[0] == '\0' || strcmp((*sorted)[i]->id, (*sorted)[i - 1]->id) != 0)
			continue;
		char pointer[64];
		snprintf(pointer, sizeof(pointer), "/tunnels/%zu/id", (size_t)((*sorted)[i] - mutation->operations));
		problem_add(&mutation->problem, pointer, "duplicate", "Another tunnel of the state has this id.");
	}
	return true;
}

static bool has_id(const struct operation *const *sorted, size_t count, const char *id)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(sorted[middle]->id, id);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

void whole_state_begin(struct mutation *mutation)
{
	struct registry *registry = mutations_means(mutation->all)->registry;
	const struct operation **sorted = NULL;
	size_t count = mutation->operation_count, room = count + registry_count(registry) + 1;
	struct operation *operations = calloc(room, sizeof(*operations));
	struct candidate *candidates = calloc(room, sizeof(*candidates));
	if (operations == NULL || candidates == NULL || !sort_state(mutation, &sorted)) {
		free(operations);
		free(candidates);
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		operations[i] = mutation->operations[i];
		candidates[i] = mutation->candidates[i];
	}
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		if (has_id(sorted, count, entry->id))
			continue;
		operations[mutation->operation_count].kind = OPERATION_DELETE;
		memcpy(operations[mutation->operation_count].id, entry->id, sizeof(entry->id));
		candidate_init(&candidates[mutation->operation_count++]);
	}
	free(sorted);
	free(mutation->operations);
	free(mutation->candidates);
	mutation->operations = operations;
	mutation->candidates = candidates;
	mutation->candidate_count = mutation->operation_count;
}

void whole_state_fail(struct mutation *mutation)
{
	struct problem *all = &mutation->problem;
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct problem *one = &mutation->operations[i].problem;
		for (size_t k = 0; k < one->fault_count; k++)
			problem_add(all, one->faults[k].pointer, one->faults[k].code, "%s", one->faults[k].detail);
	}
}

void whole_state_finish(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct operation *operation = &mutation->operations[i];
		mutation->deleted += operation->kind == OPERATION_DELETE;
		mutation->created += operation->kind == OPERATION_PUT && operation->applied == APPLIED_CREATED;
		mutation->unchanged += operation->kind == OPERATION_PUT && operation->applied == APPLIED_UNCHANGED;
		mutation->changed +=
		    operation->kind == OPERATION_PUT && (operation->applied == APPLIED_IN_PLACE || operation->applied == APPLIED_RESTARTED);
	}
}
