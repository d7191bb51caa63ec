/* The steps of a mutation: which entry action is called when, with each of them replaced by what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/change/mutation_step.h"

static struct mutation mutation;
static enum mutation_event follows[MUTATION_STATE_COUNT]; /* what the entry action of a state returns */
static enum mutation_state entered[16];
static unsigned count, later;
static size_t cursors[16]; /* when it was entered */

static enum mutation_event enter(struct mutation *one, enum mutation_state state)
{
	assert_ptr_equal(one, &mutation);
	assert_int_equal(one->state, state);
	assert_true(count < 16);
	cursors[count] = one->cursor;
	entered[count++] = state;
	one->cursor += 3;
	return follows[state];
}

#define ENTRY(name, state)                                                                                                                           \
	enum mutation_event __wrap_mutation_enter_##name(struct mutation *one);                                                                      \
	enum mutation_event __wrap_mutation_enter_##name(struct mutation *one)                                                                       \
	{                                                                                                                                            \
		return enter(one, MUTATION_##state);                                                                                                 \
	}
ENTRY(locking, LOCKING)
ENTRY(planning, PLANNING)
ENTRY(binding, BINDING)
ENTRY(preparing, PREPARING)
ENTRY(waiting_for_worker, WAITING_FOR_WORKER)
ENTRY(storing, STORING)
ENTRY(committing, COMMITTING)
ENTRY(finishing, FINISHING)
ENTRY(undoing, UNDOING)
ENTRY(suspended, SUSPENDED)
ENTRY(running_parts, RUNNING_PARTS)
ENTRY(acting, ACTING)
ENTRY(writing_token, WRITING_TOKEN)
ENTRY(answered, ANSWERED)

bool __wrap_mutations_enqueue(struct mutation *one);
bool __wrap_mutations_enqueue(struct mutation *one)
{
	return enter(one, MUTATION_QUEUED) == MUTATION_EVENT_NONE;
}

void __wrap_mutations_go_on_later(struct mutation *one);
void __wrap_mutations_go_on_later(struct mutation *one)
{
	assert_ptr_equal(one, &mutation);
	later++;
}

static int set_up(void **state)
{
	(void)state;
	mutation = (struct mutation){ .state = MUTATION_READING };
	for (unsigned i = 0; i < MUTATION_STATE_COUNT; i++)
		follows[i] = MUTATION_EVENT_NONE;
	count = later = 0;
	return 0;
}

static void what_follows_at_once_is_done_at_once(void **state)
{
	static const enum mutation_state wanted[] = { MUTATION_LOCKING, MUTATION_PLANNING,   MUTATION_BINDING,   MUTATION_PREPARING,
		                                      MUTATION_STORING, MUTATION_COMMITTING, MUTATION_FINISHING, MUTATION_ANSWERED };
	(void)state;
	mutation.state = MUTATION_QUEUED;
	follows[MUTATION_LOCKING] = MUTATION_EVENT_TURN_CAME;
	follows[MUTATION_PLANNING] = MUTATION_EVENT_PLANNED;
	follows[MUTATION_BINDING] = MUTATION_EVENT_BOUND;
	follows[MUTATION_PREPARING] = MUTATION_EVENT_PREPARED;
	follows[MUTATION_STORING] = MUTATION_EVENT_STORED;
	follows[MUTATION_COMMITTING] = MUTATION_EVENT_COMMITTED;
	follows[MUTATION_FINISHING] = MUTATION_EVENT_FINISHED;
	mutation_machine.step(&mutation, MUTATION_EVENT_LOCK);
	assert_int_equal(count, 8);
	assert_memory_equal(entered, wanted, sizeof(wanted));
	/* Each state begins at the start of its work. */
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(cursors[i], 0);
}

static void a_state_that_waits_is_left_by_the_next_event(void **state)
{
	(void)state;
	mutation.state = MUTATION_QUEUED;
	mutation_machine.step(&mutation, MUTATION_EVENT_LOCK);
	assert_int_equal(mutation.state, MUTATION_LOCKING);
	assert_int_equal(count, 1);
	follows[MUTATION_UNDOING] = MUTATION_EVENT_UNDONE;
	mutation_machine.step(&mutation, MUTATION_EVENT_FAILED);
	assert_int_equal(mutation.state, MUTATION_ANSWERED);
	assert_int_equal(count, 3);
}

static void long_work_goes_on_in_the_next_turn_where_it_stopped(void **state)
{
	(void)state;
	mutation.state = MUTATION_LOCKING;
	follows[MUTATION_PLANNING] = MUTATION_EVENT_MORE;
	mutation_machine.step(&mutation, MUTATION_EVENT_TURN_CAME);
	assert_int_equal(count, 1);
	assert_int_equal(later, 1);
	mutation_machine.step(&mutation, MUTATION_EVENT_MORE);
	assert_int_equal(count, 2);
	assert_int_equal(later, 2);
	assert_int_equal(cursors[1], 3);
	follows[MUTATION_PLANNING] = MUTATION_EVENT_PLANNED;
	mutation_machine.step(&mutation, MUTATION_EVENT_MORE);
	assert_int_equal(cursors[2], 6);
	assert_int_equal(mutation.state, MUTATION_BINDING);
	assert_int_equal(cursors[3], 0);
	assert_int_equal(later, 2);
}

static void one_that_is_not_taken_is_answered(void **state)
{
	(void)state;
	follows[MUTATION_QUEUED] = MUTATION_EVENT_REFUSED;
	mutation_machine.step(&mutation, MUTATION_EVENT_READ);
	assert_int_equal(mutation.state, MUTATION_ANSWERED);
	assert_int_equal(count, 2);
}

static void every_state_has_its_entry_action(void **state)
{
	static const struct {
		enum mutation_state from;
		enum mutation_event event;
		enum mutation_state to;
	} ways[] = {
		{ MUTATION_READING, MUTATION_EVENT_READ, MUTATION_QUEUED },
		{ MUTATION_QUEUED, MUTATION_EVENT_SPLIT, MUTATION_RUNNING_PARTS },
		{ MUTATION_QUEUED, MUTATION_EVENT_ACT, MUTATION_ACTING },
		{ MUTATION_QUEUED, MUTATION_EVENT_WRITE_TOKEN, MUTATION_WRITING_TOKEN },
		{ MUTATION_PREPARING, MUTATION_EVENT_WORKER_GONE, MUTATION_WAITING_FOR_WORKER },
		{ MUTATION_FINISHING, MUTATION_EVENT_SUSPENDED, MUTATION_SUSPENDED },
	};
	(void)state;
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		mutation.state = ways[i].from;
		mutation_machine.step(&mutation, ways[i].event);
		assert_int_equal(count, i + 1);
		assert_int_equal(entered[i], ways[i].to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_follows_at_once_is_done_at_once, set_up),
		cmocka_unit_test_setup(a_state_that_waits_is_left_by_the_next_event, set_up),
		cmocka_unit_test_setup(long_work_goes_on_in_the_next_turn_where_it_stopped, set_up),
		cmocka_unit_test_setup(one_that_is_not_taken_is_answered, set_up),
		cmocka_unit_test_setup(every_state_has_its_entry_action, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
