/* Mutations made and freed, and their steps. */
#include "service/change/mutation.h"

#include <assert.h>
#include <stdlib.h>

#include "service/change/mutation_entries.h"

typedef enum mutation_event entry_action(struct mutation *mutation);

static entry_action *const entries[MUTATION_STATE_COUNT] = {
	[MUTATION_QUEUED] = mutation_enter_queued,       [MUTATION_LOCKING] = mutation_enter_locking,
	[MUTATION_PLANNING] = mutation_enter_planning,   [MUTATION_BINDING] = mutation_enter_binding,
	[MUTATION_PREPARING] = mutation_enter_preparing, [MUTATION_WAITING_FOR_WORKER] = mutation_enter_waiting_for_worker,
	[MUTATION_STORING] = mutation_enter_storing,     [MUTATION_COMMITTING] = mutation_enter_committing,
	[MUTATION_FINISHING] = mutation_enter_finishing, [MUTATION_UNDOING] = mutation_enter_undoing,
	[MUTATION_SUSPENDED] = mutation_enter_suspended, [MUTATION_RUNNING_PARTS] = mutation_enter_running_parts,
	[MUTATION_ACTING] = mutation_enter_acting,       [MUTATION_WRITING_TOKEN] = mutation_enter_writing_token,
	[MUTATION_ANSWERED] = mutation_enter_answered,
};

/* A loop, so that the steps of one mutation do not pile up on the stack. */
void mutation_step(struct mutation *mutation, enum mutation_event event)
{
	while (event != MUTATION_EVENT_NONE) {
		assert(mutation_allows(mutation->state, event));
		mutation->state = mutation_next(mutation->state, event);
		event = entries[mutation->state](mutation);
	}
}

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count)
{
	struct mutation *mutation = calloc(1, sizeof(*mutation));
	if (mutation == NULL)
		return NULL;
	mutation->kind = kind;
	mutation->references = 1;
	mutation->operations = calloc(operation_count + 1, sizeof(*mutation->operations));
	mutation->operation_count = operation_count;
	if (mutation->operations != NULL)
		return mutation;
	free(mutation);
	return NULL;
}

static void clear_operation(struct operation *operation)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): as many operations are there as are counted. */
	json_decref(operation->document);
	free(operation->if_match);
	free(operation->if_none_match);
	problem_clear(&operation->problem);
	snapshot_release(operation->snapshot);
}

void mutation_free(struct mutation *mutation)
{
	if (mutation == NULL || --mutation->references > 0)
		return;
	for (size_t i = 0; mutation->parent == NULL && i < mutation->operation_count; i++)
		clear_operation(&mutation->operations[i]);
	if (mutation->parent == NULL)
		free(mutation->operations);
	labels_free(mutation->labels, mutation->label_count);
	json_decref(mutation->document);
	json_decref(mutation->token);
	free(mutation->token_name);
	problem_clear(&mutation->problem);
	free(mutation);
}
