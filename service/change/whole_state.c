#include "service/change/whole_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/reach.h"
#include "service/spec/candidate.h"
#include "service/spec/json_reader.h"

/* A whole state is a PUT of each tunnel and pool, and a DELETE of those that are not in it (added when it is its turn). */
struct state_list {
	const char *member;
	enum spec_kind object;
	const char *id_missing, *id_twice;
};

static const struct state_list lists[SPEC_KINDS] = {
	[SPEC_TUNNEL] = { "tunnels", SPEC_TUNNEL, "Each tunnel of a state needs an id.", "Another tunnel of the state has this id." },
	[SPEC_POOL] = { "pools", SPEC_POOL, "Each pool of a state needs an id.", "Another pool of the state has this id." },
};

static_assert(COUNTERS_TUNNELS == 16384, "the text of read_arrays says how many");

/* The arrays, NULL where there is none; returns how many are in them together. */
static size_t read_arrays(struct mutation *mutation, const json_t *arrays[SPEC_KINDS])
{
	static const char *const known[] = { "tunnels", "pools", NULL };
	static const char *const ignored[] = { "left_out", NULL };
	struct json_reader reader;
	json_reader_init(&reader, "", &mutation->problem);
	if (!json_is_object(mutation->document)) {
		json_reader_fault(&reader, "wrong_type", "A state must be an object.");
		return 0;
	}
	json_reader_known(&reader, mutation->document, known, ignored);
	size_t count = 0, most = (size_t)supervisor_serving(mutations_means(mutation->all)->supervisor) * COUNTERS_TUNNELS;
	for (unsigned i = 0; i < SPEC_KINDS; i++) {
		arrays[i] = json_reader_array(&reader, mutation->document, lists[i].member);
		count += json_array_size(arrays[i]);
	}
	if (arrays[SPEC_TUNNEL] == NULL && mutation->problem.code == PROBLEM_NONE)
		json_reader_fault_at(&reader, "tunnels", "required", "A state needs the array tunnels, which may be empty.");
	if (count <= most)
		return count;
	json_reader_fault_at(&reader, json_array_size(arrays[SPEC_TUNNEL]) > most ? "tunnels" : "pools", "too_many",
	                     "A state can have at most 16,384 tunnels and pools per worker.");
	arrays[SPEC_TUNNEL] = arrays[SPEC_POOL] = NULL;
	return 0;
}

/* Returns the number of its faults. */
static size_t read_one(struct mutation *mutation, const struct state_list *list, const json_t *value, size_t index)
{
	size_t at = mutation->operation_count++;
	struct operation *operation = &mutation->operations[at];
	struct candidate *candidate = &mutation->candidates[at];
	char pointer[64], place[80];
	snprintf(pointer, sizeof(pointer), "/%s/%zu", list->member, index);
	operation->kind = OPERATION_PUT;
	operation->object = list->object;
	candidate_init(candidate, list->object);
	mutation->candidate_count = mutation->operation_count;
	candidate_read(candidate, value, pointer);
	candidate_write(candidate);
	snprintf(place, sizeof(place), "%s/id", pointer);
	if (candidate->id[0] == '\0' && candidate->problem.code == PROBLEM_NONE)
		problem_add(&candidate->problem, place, "required", "%s", list->id_missing);
	snprintf(operation->id, sizeof(operation->id), "%s", candidate->id);
	operation_name(operation);
	return candidate->problem.fault_count;
}

bool whole_state_read(struct mutation *mutation)
{
	const json_t *arrays[SPEC_KINDS] = { NULL };
	size_t count = read_arrays(mutation, arrays), faults = 0;
	free(mutation->operations);
	mutation->operations = calloc(count + 1, sizeof(*mutation->operations));
	mutation->candidates = calloc(count + 1, sizeof(*mutation->candidates));
	if (mutation->operations == NULL || mutation->candidates == NULL)
		return false;
	for (unsigned kind = 0; kind < SPEC_KINDS; kind++)
		for (size_t i = 0; i < json_array_size(arrays[kind]) && faults < PROBLEM_FAULT_MAX; i++)
			faults += read_one(mutation, &lists[kind], json_array_get(arrays[kind], i), i);
	/* A body full of faults does not deserve the memory for all that it has. */
	if (mutation->operation_count < count)
		problem_set(&mutation->problem, PROBLEM_VALIDATION_FAILED, "The state has many faults; these are the first.");
	return true;
}

static int compare_operations(const void *a, const void *b)
{
	const struct operation *const *first = a, *const *second = b;
	int order = strcmp((*first)->key, (*second)->key);
	return order != 0 ? order : (*first > *second) - (*first < *second);
}

static void blame_twin(struct mutation *mutation, const struct operation *operation)
{
	/* Tunnels come first. */
	size_t index = (size_t)(operation - mutation->operations);
	for (size_t i = 0; operation->object == SPEC_POOL && mutation->operations[i].object == SPEC_TUNNEL; i++)
		index--;
	char pointer[64];
	snprintf(pointer, sizeof(pointer), "/%s/%zu/id", lists[operation->object].member, index);
	problem_add(&mutation->problem, pointer, "duplicate", "%s", lists[operation->object].id_twice);
}

/* Sorts them by key, and finds duplicate ones. */
static bool sort_state(struct mutation *mutation, const struct operation ***sorted)
{
	*sorted = calloc(mutation->operation_count + 1, sizeof(**sorted));
	if (*sorted == NULL)
		return false;
	for (size_t i = 0; i < mutation->operation_count; i++)
		(*sorted)[i] = &mutation->operations[i];
	qsort(*sorted, mutation->operation_count, sizeof(**sorted), compare_operations);
	for (size_t i = 1; i < mutation->operation_count; i++)
		if ((*sorted)[i]->id[0] != '\0' && strcmp((*sorted)[i]->key, (*sorted)[i - 1]->key) == 0)
			blame_twin(mutation, (*sorted)[i]);
	return true;
}

bool whole_state_check_ids(struct mutation *mutation)
{
	const struct operation **sorted;
	bool has_memory = sort_state(mutation, &sorted);
	free(sorted);
	return has_memory;
}

static int compare_key(const void *key, const void *element)
{
	const struct operation *const *operation = element;
	return strcmp(key, (*operation)->key);
}

static bool has_key(const struct operation *const *sorted, size_t count, const char *key)
{
	return bsearch(key, sorted, count, sizeof(struct operation *), compare_key) != NULL;
}

void whole_state_begin(struct mutation *mutation)
{
	struct registry *registry = mutations_means(mutation->all)->registry;
	const struct policy *policy = mutations_means(mutation->all)->policy;
	const struct operation **sorted = NULL;
	bool keeps_pools = !json_is_array(json_object_get(mutation->document, lists[SPEC_POOL].member));
	size_t count = mutation->operation_count, room = count + registry_count(registry) + 1;
	struct operation *operations = calloc(room, sizeof(*operations));
	struct candidate *candidates = calloc(room, sizeof(*candidates));
	if (operations == NULL || candidates == NULL || !sort_state(mutation, &sorted)) {
		free(operations);
		free(candidates);
		problem_out_of_memory(&mutation->problem);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		operations[i] = mutation->operations[i];
		candidates[i] = mutation->candidates[i];
	}
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		enum spec_kind object = object_key_kind(entry->key);
		bool is_of_file = policy->has_files && entry->snapshot->origin == SNAPSHOT_OF_FILE;
		bool is_kept = is_of_file || (object == SPEC_POOL && keeps_pools) || !reach_has(mutation, entry->snapshot);
		if (is_kept || has_key(sorted, count, entry->key))
			continue;
		operation_delete(&operations[mutation->operation_count], object, entry->id);
		candidate_init(&candidates[mutation->operation_count++], object);
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
