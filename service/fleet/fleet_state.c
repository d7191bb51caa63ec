#include "service/fleet/fleet_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/reach.h"
#include "service/change/whole_state.h"
#include "service/registry/registry.h"
#include "service/spec/candidate.h"

static const char *const members[SPEC_KINDS] = { [SPEC_TUNNEL] = "tunnels", [SPEC_POOL] = "pools" };

/* ---- What is to be done ---- */

/* Each operation reads its own document when it is planned. */
static void drop_candidates(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->candidate_count; i++)
		candidate_clear(&mutation->candidates[i]);
	free(mutation->candidates);
	mutation->candidates = NULL;
	mutation->candidate_count = 0;
}

/* The document's faults are all told at once, and before anything is done. */
static bool read_document(struct mutation *mutation)
{
	if (!whole_state_read(mutation)) {
		drop_candidates(mutation);
		problem_out_of_memory(&mutation->problem);
		return false;
	}
	for (size_t i = 0; i < mutation->candidate_count; i++) {
		struct problem *problem = &mutation->candidates[i].problem;
		for (size_t k = 0; k < problem->fault_count; k++)
			problem_add(&mutation->problem, problem->faults[k].pointer, problem->faults[k].code, "%s", problem->faults[k].detail);
		if (problem->fault_count == 0 && problem->code != PROBLEM_NONE)
			problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	}
	drop_candidates(mutation);
	if (mutation->problem.code == PROBLEM_NONE && !whole_state_check_ids(mutation))
		problem_out_of_memory(&mutation->problem);
	return mutation->problem.code == PROBLEM_NONE;
}

/* The place of an operation of the document; tunnels come first. */
static void point_to(const struct mutation *mutation, const struct operation *operation, char pointer[64])
{
	size_t index = 0;
	for (const struct operation *at = mutation->operations; at != operation; at++)
		index += at->kind == OPERATION_PUT && at->object == operation->object;
	snprintf(pointer, 64, "/%s/%zu", members[operation->object], index);
}

static void take_documents(struct mutation *mutation)
{
	size_t next[SPEC_KINDS] = { 0 };
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct operation *operation = &mutation->operations[i];
		json_t *list = json_object_get(mutation->document, members[operation->object]);
		operation->document = json_incref(json_array_get(list, next[operation->object]++));
	}
}

/* It would be two objects of one id: this node's, and the fleet's. */
static void refuse_own(struct mutation *mutation, struct registry *registry)
{
	char pointer[64];
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct operation *operation = &mutation->operations[i];
		const struct entry *entry = registry_entry(registry, operation->key);
		if (entry == NULL || entry->snapshot->origin == SNAPSHOT_OF_FLEET)
			continue;
		point_to(mutation, operation, pointer);
		problem_add(&mutation->problem, pointer, "not_allowed",
		            "This node has it of its own, and not the fleet: leave it out, and change it apart.");
	}
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_kept(const struct mutation *mutation, const struct snapshot *found, const char *const *sorted, bool keeps_pools)
{
	char key[OBJECT_KEY_SIZE];
	const char *wanted = key;
	object_key_make(key, found->spec.kind, found->id);
	return (found->spec.kind == SPEC_POOL && keeps_pools) || !reach_has(mutation, found) ||
	       (mutation->operation_count > 0 && bsearch(&wanted, sorted, mutation->operation_count, sizeof(*sorted), compare_keys) != NULL);
}

/* Deletions come first: they set ports free. */
static bool add_deletions(struct mutation *mutation)
{
	size_t count = mutation->operation_count, deletions = 0;
	bool keeps_pools = !json_is_array(json_object_get(mutation->document, members[SPEC_POOL]));
	struct operation *all = calloc(count + mutation->found_count + 1, sizeof(*all));
	const char **sorted = calloc(count + 1, sizeof(*sorted));
	for (size_t i = 0; sorted != NULL && i < count; i++)
		sorted[i] = mutation->operations[i].key;
	if (sorted != NULL && count > 1)
		qsort(sorted, count, sizeof(*sorted), compare_keys);
	for (size_t i = 0; all != NULL && sorted != NULL && i < mutation->found_count; i++) {
		const struct snapshot *found = mutation->found[i];
		if (!is_kept(mutation, found, sorted, keeps_pools))
			operation_delete(&all[deletions++], found->spec.kind, found->id);
	}
	bool is_made = all != NULL && sorted != NULL;
	free(sorted);
	if (!is_made) {
		free(all);
		problem_out_of_memory(&mutation->problem);
		return false;
	}
	memcpy(&all[deletions], mutation->operations, count * sizeof(*all));
	free(mutation->operations);
	mutation->operations = all;
	mutation->operation_count = count + deletions;
	return true;
}

bool fleet_state_plan(struct mutation *mutation, struct registry *registry)
{
	if (mutation->problem.code != PROBLEM_NONE || !read_document(mutation))
		return false;
	take_documents(mutation);
	refuse_own(mutation, registry);
	return mutation->problem.code == PROBLEM_NONE && add_deletions(mutation);
}

/* ---- What was done ---- */

static void tell_failed(struct mutation *mutation, const struct operation *operation)
{
	const struct problem *problem = &operation->problem;
	char pointer[64] = "", place[320];
	if (operation->kind == OPERATION_PUT)
		point_to(mutation, operation, pointer);
	for (size_t k = 0; k < problem->fault_count; k++) {
		snprintf(place, sizeof(place), "%s%.240s", pointer, problem->faults[k].pointer);
		problem_add(&mutation->problem, place, problem->faults[k].code, "%s", problem->faults[k].detail);
	}
	if (problem->fault_count == 0)
		problem_add(&mutation->problem, pointer, problem_code_name(problem->code), "%s %s: %s", spec_kind_name(operation->object),
		            operation->id, problem->detail);
}

static void count(struct mutation *mutation, const struct operation *operation)
{
	bool is_put = operation->kind == OPERATION_PUT;
	mutation->deleted += !is_put;
	mutation->created += is_put && operation->applied == APPLIED_CREATED;
	mutation->unchanged += is_put && operation->applied == APPLIED_UNCHANGED;
	mutation->changed += is_put && (operation->applied == APPLIED_IN_PLACE || operation->applied == APPLIED_RESTARTED);
}

void fleet_state_finish(struct mutation *mutation)
{
	enum problem_code code = PROBLEM_NONE;
	size_t failed = 0;
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct operation *operation = &mutation->operations[i];
		/* What others have deleted meanwhile is as it is to be. */
		bool is_gone = operation->kind == OPERATION_DELETE && operation->problem.code == PROBLEM_NOT_FOUND;
		if (operation->problem.code == PROBLEM_NONE)
			count(mutation, operation);
		if (operation->problem.code == PROBLEM_NONE || is_gone)
			continue;
		code = code == PROBLEM_NONE ? operation->problem.code : code;
		tell_failed(mutation, operation);
		failed++;
	}
	if (failed == 0)
		return;
	mutation->failed_operation = mutation->operation_count;
	mutation->problem.code = code;
	snprintf(mutation->problem.detail, sizeof(mutation->problem.detail),
	         "%zu of %zu objects are not as the document says; the others are (%zu created, %zu changed, %zu unchanged, %zu deleted).", failed,
	         mutation->operation_count, mutation->created, mutation->changed, mutation->unchanged, mutation->deleted);
}
