/* Mutations of several operations that are each for itself: every operation is a mutation of its own, a part. */
#include <stdlib.h>
#include <string.h>

#include "service/change/mutation_step.h"
#include "service/spec/candidate.h"

/* A part borrows its operation and its candidate. It is read with its parent, so that it starts where the inbox ends. */
static void start_part(struct mutation *parent, size_t index)
{
	bool is_stopping = mutations_are_stopping(parent->all);
	struct mutation *part = is_stopping ? NULL : calloc(1, sizeof(*part));
	if (part == NULL) {
		struct problem *problem = &parent->operations[index].problem;
		if (is_stopping)
			problem_set(problem, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
		else
			problem_out_of_memory(problem);
		mutation_part_done(parent, &parent->operations[index].problem);
		return;
	}
	part->state = MUTATION_QUEUED;
	part->references = 1;
	part->all = parent->all;
	part->parent = parent;
	part->operations = &parent->operations[index];
	part->operation_count = 1;
	/* A DELETE has none. */
	part->candidates = index < parent->candidate_count ? &parent->candidates[index] : NULL;
	part->dry_run = parent->dry_run;
	part->scope = parent->scope;
	part->access = access_reference(parent->access);
	part->course = mutation_course_of(part);
	mutations_step(part, mutation_rules_of(part->course)->start);
}

/* One after the other, because a later operation may count on an earlier one (a port that was given up). A loop and no recursion: thousands
 * of operations that fail at once would grow the stack. True when all are done. */
static bool go_on(struct mutation *mutation)
{
	mutation->is_starting = true;
	do {
		mutation->goes_on = false;
		if (mutation->cursor == mutation->operation_count)
			return true;
		start_part(mutation, mutation->cursor);
	} while (mutation->goes_on);
	mutation->is_starting = false;
	return false;
}

static void count_deleted(struct mutation *mutation, const struct problem *problem)
{
	if (problem->code == PROBLEM_NONE)
		mutation->deleted++;
	else if (problem->code != PROBLEM_NOT_FOUND && mutation->problem.code == PROBLEM_NONE)
		problem_set(&mutation->problem, problem->code, "%s", problem->detail);
}

void mutation_part_done(struct mutation *parent, const struct problem *problem)
{
	if (parent->course == MUTATION_MANY_DELETES) {
		count_deleted(parent, problem);
		if (--parent->pending == 0)
			mutations_step(parent, MUTATION_EVENT_PARTS_DONE);
		return;
	}
	parent->cursor++;
	if (parent->is_starting)
		parent->goes_on = true;
	else if (go_on(parent))
		mutations_step(parent, MUTATION_EVENT_PARTS_DONE);
}

/* Of the tunnels that match now; each is compared again on its turn (delta_apply). */
static bool list_deletes(struct mutation *mutation)
{
	struct registry *registry = mutations_means(mutation->all)->registry;
	struct operation *operations = calloc(registry_count(registry) + 1, sizeof(*operations));
	if (operations == NULL)
		return false;
	free(mutation->operations);
	mutation->operations = operations;
	mutation->operation_count = 0;
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct entry *entry = registry_at(registry, i);
		const struct snapshot *snapshot = entry->snapshot;
		if (snapshot->spec.kind != mutation->object || !access_covers(mutation->access, snapshot->labels, snapshot->label_count) ||
		    !selectors_accept(mutation->selectors, mutation->selector_count, snapshot->labels, snapshot->label_count))
			continue;
		struct operation *operation = &operations[mutation->operation_count++];
		operation_delete(operation, mutation->object, entry->id);
		operation->selectors = mutation->selectors;
		operation->selector_count = mutation->selector_count;
	}
	return true;
}

enum mutation_event mutation_enter_running_parts(struct mutation *mutation)
{
	if (mutation->course == MUTATION_SEQUENCE)
		return go_on(mutation) ? MUTATION_EVENT_PARTS_DONE : MUTATION_EVENT_NONE;
	if (!list_deletes(mutation)) {
		problem_out_of_memory(&mutation->problem);
		return MUTATION_EVENT_PARTS_DONE;
	}
	/* Side by side: what they wait for (the disk, the workers) takes them together. One more than there are, so that those that are
	 * done at once do not end the starting. */
	mutation->pending = mutation->operation_count + 1;
	for (size_t i = 0; i < mutation->operation_count; i++)
		start_part(mutation, i);
	return --mutation->pending == 0 ? MUTATION_EVENT_PARTS_DONE : MUTATION_EVENT_NONE;
}
