#include "service/change/mutation_step.h"

#include <assert.h>

typedef enum mutation_event entry_action(struct mutation *mutation);

/* The service's thread may have taken it and freed it by the time of the return. */
static enum mutation_event enter_queued(struct mutation *mutation)
{
	return mutations_enqueue(mutation) ? MUTATION_EVENT_NONE : MUTATION_EVENT_REFUSED;
}

static entry_action *const entries[MUTATION_STATE_COUNT] = {
	[MUTATION_QUEUED] = enter_queued,
	[MUTATION_LOCKING] = mutation_enter_locking,
	[MUTATION_PLANNING] = mutation_enter_planning,
	[MUTATION_BINDING] = mutation_enter_binding,
	[MUTATION_PREPARING] = mutation_enter_preparing,
	[MUTATION_WAITING_FOR_WORKER] = mutation_enter_waiting_for_worker,
	[MUTATION_STORING] = mutation_enter_storing,
	[MUTATION_COMMITTING] = mutation_enter_committing,
	[MUTATION_FINISHING] = mutation_enter_finishing,
	[MUTATION_UNDOING] = mutation_enter_undoing,
	[MUTATION_SUSPENDED] = mutation_enter_suspended,
	[MUTATION_RUNNING_PARTS] = mutation_enter_running_parts,
	[MUTATION_ACTING] = mutation_enter_acting,
	[MUTATION_WRITING_TOKEN] = mutation_enter_writing_token,
	[MUTATION_ANSWERED] = mutation_enter_answered,
};

/* A loop, so that the steps of one mutation do not pile up on the stack. */
static void step(struct mutation *mutation, enum mutation_event event)
{
	while (event != MUTATION_EVENT_NONE) {
		assert(mutation_allows(mutation->state, event));
		mutation->state = mutation_next(mutation->state, event);
		if (event != MUTATION_EVENT_MORE)
			mutation->cursor = 0;
		event = entries[mutation->state](mutation);
		if (event == MUTATION_EVENT_MORE) {
			mutations_go_on_later(mutation);
			return;
		}
	}
}

const struct mutation_machine mutation_machine = {
	.read = mutation_read,
	.step = step,
	.has_workers = mutation_has_workers,
	.is_waiting_over = mutation_is_waiting_over,
};
