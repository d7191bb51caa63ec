#include "service/fleet/object_plan.h"

#include <stdlib.h>
#include <string.h>

#include "ipc/object_id.h"
#include "service/change/reach.h"
#include "service/registry/snapshot_make.h"

#define FORMER_TEXT ((size_t)OBJECT_PLAN_FORMER * FLEET_CLASS_TEXT)

/* ---- Reading ---- */

static struct snapshot *snapshot_of(struct object_record *record, enum spec_kind kind, const char *id, int *error)
{
	struct candidate candidate;
	struct snapshot *snapshot = NULL;
	candidate_init(&candidate, kind);
	candidate_read(&candidate, record->document, "");
	candidate_complete(&candidate, NULL);
	*error = candidate.problem.code == PROBLEM_NONE || candidate.problem.code == PROBLEM_OUT_OF_RESOURCES ? OBJECT_RECORD_NO_MEMORY
	                                                                                                      : OBJECT_RECORD_INVALID;
	if (candidate.problem.code == PROBLEM_NONE) {
		size_t label_count = candidate.label_count;
		candidate.label_count = 0;
		snapshot =
		    snapshot_make(id, &candidate.labels, label_count, &candidate.spec, NULL, &candidate.spec_json, NULL, record->stamp.updated_at);
	}
	candidate_clear(&candidate);
	if (snapshot == NULL)
		return NULL;
	*error = OBJECT_RECORD_OK;
	snapshot->origin = SNAPSHOT_OF_FLEET;
	snapshot->revision = record->stamp.revision;
	snapshot->generation = record->stamp.generation;
	snapshot->created_at = record->stamp.created_at;
	snapshot->former = record->former; /* taken */
	record->former = NULL;
	return snapshot;
}

struct snapshot *object_plan_read(const struct fleet_keyring *ring, const struct fleet_kv *kv, int *error)
{
	struct object_record record;
	struct fleet_key key;
	*error = object_record_read(&record, ring, kv);
	if (*error != OBJECT_RECORD_OK)
		return NULL;
	fleet_key_read(&key, kv->key);
	struct snapshot *snapshot = snapshot_of(&record, key.is_pool ? SPEC_POOL : SPEC_TUNNEL, key.name, error);
	object_record_clear(&record);
	return snapshot;
}

/* ---- Planning ---- */

static void check_id(const struct operation *operation, struct candidate *candidate)
{
	bool is_put = operation->kind == OPERATION_CREATE || operation->kind == OPERATION_PUT;
	if (is_put && !object_id_is_valid(operation->id))
		problem_add(&candidate->problem, "/id", "invalid_id", CANDIDATE_INVALID_ID);
}

static void apply(struct object_plan *plan, const struct policy *policy, const struct mutation *mutation)
{
	struct operation *operation = plan->operation;
	struct candidate candidate;
	delta_read(operation, &candidate, plan->delta.before);
	check_id(operation, &candidate);
	reach_check_before(mutation, plan->delta.before, operation);
	if (operation->problem.code == PROBLEM_NONE)
		delta_apply(&plan->delta, policy, operation, &candidate, mutation->scope);
	if (operation->problem.code == PROBLEM_NONE && plan->delta.after != NULL)
		reach_check_after(mutation, plan->delta.after, operation);
	candidate_clear(&candidate);
}

static bool names_node(const struct spec *spec)
{
	return spec->placement != NULL && spec->placement->node[0] != '\0';
}

static void check_place(struct object_plan *plan, const struct spec *spec)
{
	struct problem *problem = &plan->operation->problem;
	const char *pointer = plan->delta.pointer;
	char place[128];
	snprintf(place, sizeof(place), "%s/spec/placement", pointer);
	if (!object_record_place(&plan->place, spec->kind, plan->operation->id, spec->placement)) {
		problem_add(problem, place, "too_long", "What this asks of a node is longer than 200 characters.");
		return;
	}
	const struct snapshot *known = plan->delta.before;
	bool has_moved = known != NULL && object_record_place(&plan->before, spec->kind, plan->operation->id, known->spec.placement) &&
	                 strcmp(plan->before.class, plan->place.class) != 0;
	if (!has_moved)
		plan->before.kind = FLEET_KEY_OTHER;
	snprintf(place, sizeof(place), "%s/spec/placement/node", pointer);
	if (spec->kind == SPEC_POOL && !names_node(spec))
		problem_add(problem, place, "required", "In a fleet a pool serves the tunnels of one node: name the node.");
	if (spec->via != NULL && !names_node(spec))
		problem_add(problem, place, "required", "A tunnel inside another one runs on that one's node: name the node in both.");
}

/* Of the classes that it was in, those that may still have it; writes them into `text`. False: there are too many. */
static bool list_former(const struct object_plan *plan, const struct object_plan_means *means, char *known, char text[FORMER_TEXT])
{
	bool has_moved = plan->before.kind == FLEET_KEY_OBJECT;
	size_t count = 0, length = 0;
	text[0] = '\0';
	for (const char *class = strsep(&known, " "); class != NULL; class = strsep(&known, " ")) {
		bool is_over = means->has_let_go != NULL && means->has_let_go(means->owner, class, plan->operation->key, plan->revision);
		bool is_left = has_moved && strcmp(class, plan->before.class) == 0;
		if (is_over || is_left || strlen(class) >= FLEET_CLASS_TEXT)
			continue;
		if (++count == OBJECT_PLAN_FORMER)
			return false;
		length += (size_t)snprintf(text + length, FORMER_TEXT - length, "%s%s", length == 0 ? "" : " ", class);
	}
	if (has_moved)
		snprintf(text + length, FORMER_TEXT - length, "%s%s", length == 0 ? "" : " ", plan->before.class);
	return true;
}

static void name_former(struct object_plan *plan, const struct object_plan_means *means)
{
	struct problem *problem = &plan->operation->problem;
	struct snapshot *after = plan->delta.after;
	const char *before = plan->delta.before == NULL || plan->delta.before->former == NULL ? "" : plan->delta.before->former;
	char text[FORMER_TEXT], *known = strdup(before);
	bool fits = known != NULL && list_former(plan, means, *known == '\0' ? NULL : known, text);
	if (known == NULL)
		problem_out_of_memory(problem);
	else if (!fits)
		problem_set(problem, PROBLEM_FLEET_UNAVAILABLE,
		            "It is still on its way from where it was before: nothing was changed. Try again in a moment.");
	free(known);
	after->former = fits && text[0] != '\0' ? strdup(text) : NULL;
	if (fits && text[0] != '\0' && after->former == NULL)
		problem_out_of_memory(problem);
}

static void write_value(struct object_plan *plan, const struct fleet_keyring *ring)
{
	struct snapshot *after = plan->delta.after, *before = plan->delta.before;
	/* What is sealed is bound to this time, which therefore differs with each change. */
	if (before != NULL && after->updated_at <= before->updated_at)
		after->updated_at = before->updated_at + 1;
	after->origin = SNAPSHOT_OF_FLEET;
	int error = object_record_write(&plan->value, ring, after);
	if (error == OBJECT_RECORD_NO_MEMORY)
		problem_out_of_memory(&plan->operation->problem);
	else if (error == OBJECT_RECORD_TOO_LARGE)
		problem_add(&plan->operation->problem, "/spec", "too_large", "In a fleet this can have at most 1 MB.");
}

static void write_answer(struct object_plan *plan)
{
	struct operation *operation = plan->operation;
	const struct delta *delta = &plan->delta;
	struct snapshot *shown = operation->kind == OPERATION_DELETE ? delta->before : delta->after;
	if (operation->applied == APPLIED_IN_PLACE && delta->before != NULL && spec_needs_restart(&delta->before->spec, &delta->after->spec))
		operation->applied = APPLIED_RESTARTED;
	operation->snapshot = snapshot_reference(shown);
}

void object_plan_make(struct object_plan *plan, const struct object_plan_means *means, const struct mutation *mutation, struct operation *operation,
                      struct snapshot *before)
{
	*plan = (struct object_plan){ .operation = operation, .revision = before == NULL ? 0 : (int64_t)before->revision };
	operation_name(operation);
	memcpy(plan->delta.key, operation->key, sizeof(plan->delta.key));
	plan->delta.before = before;
	plan->delta.after = before == NULL ? NULL : snapshot_reference(before);
	if (before != NULL)
		object_record_place(&plan->place, before->spec.kind, before->id, before->spec.placement);
	apply(plan, means->policy, mutation);
	if (operation->problem.code == PROBLEM_NONE && plan->delta.after != NULL)
		check_place(plan, &plan->delta.after->spec);
	bool is_written = operation->problem.code == PROBLEM_NONE && plan->delta.after != NULL && object_plan_changes(plan);
	if (is_written)
		name_former(plan, means);
	if (is_written && operation->problem.code == PROBLEM_NONE)
		write_value(plan, means->ring);
	if (operation->problem.code == PROBLEM_NONE)
		write_answer(plan);
}

void object_plan_clear(struct object_plan *plan)
{
	delta_clear(&plan->delta);
	free(plan->value);
	plan->value = NULL;
}

bool object_plan_changes(const struct object_plan *plan)
{
	return delta_changes(&plan->delta);
}

int object_plan_difference(const struct object_plan *plan)
{
	return (plan->delta.after != NULL) - (plan->delta.before != NULL);
}

void object_plan_written(struct object_plan *plan, int64_t revision)
{
	if (plan->delta.after != NULL)
		plan->delta.after->revision = (uint64_t)revision;
}
