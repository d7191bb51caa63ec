/* A mutation's turn of the tunnels that it is about, and what each of them is to become. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/chain.h"
#include "service/change/delta.h"
#include "service/change/mutation_deltas.h"
#include "service/change/mutation_step.h"
#include "service/change/reach.h"
#include "service/change/whole_state.h"

static int compare_keys(const void *a, const void *b)
{
	const char *const *first = a, *const *second = b;
	return strcmp(*first, *second);
}

/* Each key once. */
static size_t collect_keys(const struct mutation *mutation, const char **keys)
{
	size_t count = 0;
	for (size_t i = 0; i < mutation->operation_count; i++)
		keys[i] = mutation->operations[i].key;
	qsort(keys, mutation->operation_count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < mutation->operation_count; i++)
		if (count == 0 || strcmp(keys[count - 1], keys[i]) != 0)
			keys[count++] = keys[i];
	return count;
}

static void on_turn(void *owner)
{
	mutations_step(owner, MUTATION_EVENT_TURN_CAME);
}

/* The turn may come from within, and the mutation be gone by the time of the return. */
enum mutation_event mutation_enter_locking(struct mutation *mutation)
{
	bool is_exclusive = mutation_rules_of(mutation->course)->is_exclusive || chain_is_concerned(mutation);
	const char **keys = calloc(mutation->operation_count + 1, sizeof(*keys));
	if (keys != NULL) {
		/* One that runs alone needs no tickets of its own. */
		size_t count = is_exclusive ? 0 : collect_keys(mutation, keys);
		mutation->is_claimed = true;
		bool is_queued =
		    lock_queue_claim(mutations_means(mutation->all)->locks, &mutation->claim, keys, count, is_exclusive, on_turn, mutation);
		free(keys);
		if (is_queued)
			return MUTATION_EVENT_NONE;
	}
	mutation->is_claimed = false;
	problem_out_of_memory(&mutation->problem);
	return MUTATION_EVENT_FAILED;
}

/* Between what the caller may see before and what it may leave behind. */
static void apply(struct mutation *mutation, struct delta *delta, struct operation *operation, struct candidate *candidate)
{
	reach_check_before(mutation, delta->after, operation);
	if (operation->problem.code == PROBLEM_NONE)
		delta_apply(delta, mutations_means(mutation->all)->policy, operation, candidate, mutation->scope);
	if (operation->problem.code == PROBLEM_NONE && delta->after != NULL)
		reach_check_after(mutation, delta->after, operation);
	if (operation->problem.code == PROBLEM_NONE && delta->before == NULL && delta->after != NULL)
		reach_check_new(mutation, object_key_id(delta->key), operation);
}

/* What the operation failed with is the answer, unless there is one. */
static void fail_with(struct mutation *mutation, size_t index)
{
	const struct problem *problem = &mutation->operations[index].problem;
	if (mutation->problem.code != PROBLEM_NONE)
		return;
	mutation->failed_operation = index;
	problem_set(&mutation->problem, problem->code, "%s", problem->detail);
}

/* False: it ends here. */
static bool plan(struct mutation *mutation, size_t index)
{
	struct operation *operation = &mutation->operations[index];
	struct candidate *candidate = mutation->candidates == NULL ? NULL : &mutation->candidates[index];
	if (operation->problem.code == PROBLEM_NONE)
		apply(mutation, mutation_take_delta(mutation, operation->key), operation, candidate);
	if (operation->problem.code == PROBLEM_NONE)
		return true;
	fail_with(mutation, index);
	return mutation_rules_of(mutation->course)->wants_all_faults;
}

static void check_chains(struct mutation *mutation)
{
	size_t failed = chain_check(mutation);
	if (failed < mutation->operation_count)
		fail_with(mutation, failed);
}

static size_t peers_of(const struct mutation *mutation, size_t index)
{
	return mutation->candidates == NULL ? 0 : mutation->candidates[index].spec.peer_count;
}

enum mutation_event mutation_enter_planning(struct mutation *mutation)
{
	bool begins = mutation->deltas == NULL;
	if (begins && mutation->course == MUTATION_WHOLE_STATE)
		whole_state_begin(mutation);
	if (begins && !mutation_make_deltas(mutation))
		return MUTATION_EVENT_FAILED;
	for (; mutation->cursor < mutation->operation_count; mutation->cursor++) {
		if (!mutations_take_work(mutation->all, peers_of(mutation, mutation->cursor)))
			return MUTATION_EVENT_MORE;
		if (!plan(mutation, mutation->cursor))
			break;
	}
	if (mutation->cursor == mutation->operation_count)
		check_chains(mutation);
	return mutation->problem.code == PROBLEM_NONE ? MUTATION_EVENT_PLANNED : MUTATION_EVENT_FAILED;
}
