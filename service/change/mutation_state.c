#include "service/change/mutation_state.h"

#include <assert.h>

struct transition {
	bool is_allowed;
	enum mutation_state to;
};

/* clang-format off */
#define TO(state) { true, MUTATION_##state }
#define ON(event) [MUTATION_EVENT_##event]

static const struct transition transitions[MUTATION_STATE_COUNT][MUTATION_EVENT_COUNT] = {
	[MUTATION_READING] = { ON(READ) = TO(QUEUED) },
	[MUTATION_QUEUED] = {
		ON(REFUSED) = TO(ANSWERED),
		ON(LOCK) = TO(LOCKING), ON(SPLIT) = TO(RUNNING_PARTS), ON(ACT) = TO(ACTING), ON(WRITE_TOKEN) = TO(WRITING_TOKEN),
	},
	[MUTATION_LOCKING] = { ON(TURN_CAME) = TO(PLANNING), ON(FAILED) = TO(UNDOING) },
	[MUTATION_PLANNING] = { ON(MORE) = TO(PLANNING), ON(PLANNED) = TO(BINDING), ON(FAILED) = TO(UNDOING) },
	[MUTATION_BINDING] = {
		ON(MORE) = TO(BINDING), ON(BOUND) = TO(PREPARING), ON(UNCHANGED) = TO(FINISHING), ON(FAILED) = TO(UNDOING),
	},
	[MUTATION_PREPARING] = {
		ON(MORE) = TO(PREPARING), ON(PREPARED) = TO(STORING), ON(WORKER_GONE) = TO(WAITING_FOR_WORKER), ON(FAILED) = TO(UNDOING),
	},
	[MUTATION_WAITING_FOR_WORKER] = { ON(WORKER_READY) = TO(PREPARING), ON(FAILED) = TO(UNDOING) },
	[MUTATION_STORING] = { ON(MORE) = TO(STORING), ON(STORED) = TO(COMMITTING), ON(FAILED) = TO(UNDOING) },
	[MUTATION_COMMITTING] = { ON(MORE) = TO(COMMITTING), ON(COMMITTED) = TO(FINISHING) },
	[MUTATION_FINISHING] = { ON(MORE) = TO(FINISHING), ON(FINISHED) = TO(ANSWERED), ON(SUSPENDED) = TO(SUSPENDED) },
	[MUTATION_UNDOING] = { ON(MORE) = TO(UNDOING), ON(UNDONE) = TO(ANSWERED) },
	[MUTATION_SUSPENDED] = { ON(WAITING_OVER) = TO(ANSWERED), ON(REFUSED) = TO(ANSWERED) },
	[MUTATION_RUNNING_PARTS] = { ON(PARTS_DONE) = TO(ANSWERED) },
	[MUTATION_ACTING] = { ON(ACTED) = TO(ANSWERED) },
	[MUTATION_WRITING_TOKEN] = { ON(TOKEN_WRITTEN) = TO(ANSWERED) },
	/* ANSWERED: nothing happens any more. */
};
/* clang-format on */

static const struct mutation_rules rules[MUTATION_COURSE_COUNT] = {
	[MUTATION_SINGLE] = { .start = MUTATION_EVENT_LOCK },
	[MUTATION_ACTION] = { .start = MUTATION_EVENT_ACT },
	[MUTATION_ATOMIC] = { .start = MUTATION_EVENT_LOCK },
	[MUTATION_SEQUENCE] = { .start = MUTATION_EVENT_SPLIT },
	[MUTATION_MANY_DELETES] = { .start = MUTATION_EVENT_SPLIT },
	[MUTATION_WHOLE_STATE] = { .start = MUTATION_EVENT_LOCK, .is_exclusive = true, .wants_all_faults = true },
	[MUTATION_TOKEN] = { .start = MUTATION_EVENT_WRITE_TOKEN },
};

bool mutation_allows(enum mutation_state state, enum mutation_event event)
{
	assert(state < MUTATION_STATE_COUNT && event < MUTATION_EVENT_COUNT);
	return transitions[state][event].is_allowed;
}

enum mutation_state mutation_next(enum mutation_state state, enum mutation_event event)
{
	assert(mutation_allows(state, event));
	return transitions[state][event].to;
}

const struct mutation_rules *mutation_rules_of(enum mutation_course course)
{
	return &rules[course];
}
