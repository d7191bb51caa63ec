/* The states of a mutation: every event in every state, the allowed ones with where they lead, and the forbidden ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/change/mutation_state.h"

/* Written by hand and not made from the table that is tested. */
static const struct {
	enum mutation_state from;
	enum mutation_event event;
	enum mutation_state to;
} allowed[] = {
	{ MUTATION_READING, MUTATION_EVENT_READ, MUTATION_QUEUED },
	{ MUTATION_QUEUED, MUTATION_EVENT_REFUSED, MUTATION_ANSWERED },
	{ MUTATION_QUEUED, MUTATION_EVENT_LOCK, MUTATION_LOCKING },
	{ MUTATION_QUEUED, MUTATION_EVENT_SPLIT, MUTATION_RUNNING_PARTS },
	{ MUTATION_QUEUED, MUTATION_EVENT_ACT, MUTATION_ACTING },
	{ MUTATION_QUEUED, MUTATION_EVENT_WRITE_TOKEN, MUTATION_WRITING_TOKEN },
	{ MUTATION_LOCKING, MUTATION_EVENT_TURN_CAME, MUTATION_PLANNING },
	{ MUTATION_LOCKING, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_PLANNING, MUTATION_EVENT_MORE, MUTATION_PLANNING },
	{ MUTATION_PLANNING, MUTATION_EVENT_PLANNED, MUTATION_BINDING },
	{ MUTATION_PLANNING, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_BINDING, MUTATION_EVENT_MORE, MUTATION_BINDING },
	{ MUTATION_BINDING, MUTATION_EVENT_BOUND, MUTATION_PREPARING },
	{ MUTATION_BINDING, MUTATION_EVENT_UNCHANGED, MUTATION_FINISHING },
	{ MUTATION_BINDING, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_PREPARING, MUTATION_EVENT_MORE, MUTATION_PREPARING },
	{ MUTATION_PREPARING, MUTATION_EVENT_PREPARED, MUTATION_STORING },
	{ MUTATION_PREPARING, MUTATION_EVENT_WORKER_GONE, MUTATION_WAITING_FOR_WORKER },
	{ MUTATION_PREPARING, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_WAITING_FOR_WORKER, MUTATION_EVENT_WORKER_READY, MUTATION_PREPARING },
	{ MUTATION_WAITING_FOR_WORKER, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_STORING, MUTATION_EVENT_MORE, MUTATION_STORING },
	{ MUTATION_STORING, MUTATION_EVENT_STORED, MUTATION_COMMITTING },
	{ MUTATION_STORING, MUTATION_EVENT_FAILED, MUTATION_UNDOING },
	{ MUTATION_COMMITTING, MUTATION_EVENT_MORE, MUTATION_COMMITTING },
	{ MUTATION_COMMITTING, MUTATION_EVENT_COMMITTED, MUTATION_FINISHING },
	{ MUTATION_FINISHING, MUTATION_EVENT_MORE, MUTATION_FINISHING },
	{ MUTATION_FINISHING, MUTATION_EVENT_FINISHED, MUTATION_ANSWERED },
	{ MUTATION_FINISHING, MUTATION_EVENT_SUSPENDED, MUTATION_SUSPENDED },
	{ MUTATION_UNDOING, MUTATION_EVENT_MORE, MUTATION_UNDOING },
	{ MUTATION_UNDOING, MUTATION_EVENT_UNDONE, MUTATION_ANSWERED },
	{ MUTATION_SUSPENDED, MUTATION_EVENT_WAITING_OVER, MUTATION_ANSWERED },
	{ MUTATION_SUSPENDED, MUTATION_EVENT_REFUSED, MUTATION_ANSWERED },
	{ MUTATION_RUNNING_PARTS, MUTATION_EVENT_PARTS_DONE, MUTATION_ANSWERED },
	{ MUTATION_ACTING, MUTATION_EVENT_ACTED, MUTATION_ANSWERED },
	{ MUTATION_WRITING_TOKEN, MUTATION_EVENT_TOKEN_WRITTEN, MUTATION_ANSWERED },
};
#define ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

static int index_of(unsigned state, unsigned event)
{
	for (size_t i = 0; i < ALLOWED; i++)
		if (allowed[i].from == state && allowed[i].event == event)
			return (int)i;
	return -1;
}

static void every_event_in_every_state(void **state)
{
	(void)state;
	for (unsigned from = 0; from < MUTATION_STATE_COUNT; from++) {
		for (unsigned event = 0; event < MUTATION_EVENT_COUNT; event++) {
			int at = index_of(from, event);
			if (mutation_allows((enum mutation_state)from, (enum mutation_event)event) != (at >= 0))
				fail_msg("event %u in state %u", event, from);
			if (at >= 0)
				assert_int_equal(mutation_next((enum mutation_state)from, (enum mutation_event)event), allowed[at].to);
		}
	}
}

/* All states that a state leads to, itself included, as bits. */
static uint32_t reach_of(enum mutation_state from)
{
	uint32_t reach = 1u << from, before = 0;
	while (reach != before) {
		before = reach;
		for (unsigned state = 0; state < MUTATION_STATE_COUNT; state++)
			for (unsigned event = 0; (reach >> state & 1) != 0 && event < MUTATION_EVENT_COUNT; event++)
				if (mutation_allows((enum mutation_state)state, (enum mutation_event)event))
					reach |= 1u << mutation_next((enum mutation_state)state, (enum mutation_event)event);
	}
	return reach;
}

static void every_state_is_reached_and_leads_to_the_answer(void **state)
{
	(void)state;
	assert_int_equal(reach_of(MUTATION_READING), (1u << MUTATION_STATE_COUNT) - 1);
	for (unsigned from = 0; from < MUTATION_STATE_COUNT; from++)
		assert_true((reach_of((enum mutation_state)from) >> MUTATION_ANSWERED & 1) != 0);
	assert_int_equal(reach_of(MUTATION_ANSWERED), 1u << MUTATION_ANSWERED);
}

/* P5: what is on the disk is done, and never undone. */
static void what_is_stored_is_not_undone(void **state)
{
	(void)state;
	assert_false(reach_of(MUTATION_COMMITTING) >> MUTATION_UNDOING & 1);
	assert_true(reach_of(MUTATION_STORING) >> MUTATION_UNDOING & 1);
	assert_false(mutation_allows(MUTATION_COMMITTING, MUTATION_EVENT_FAILED));
}

static void every_course_starts_where_the_inbox_ends(void **state)
{
	static const struct {
		enum mutation_event start;
		bool is_exclusive, wants_all_faults;
	} wanted[] = {
		[MUTATION_SINGLE] = { MUTATION_EVENT_LOCK, false, false },        [MUTATION_ACTION] = { MUTATION_EVENT_ACT, false, false },
		[MUTATION_ATOMIC] = { MUTATION_EVENT_LOCK, false, false },        [MUTATION_SEQUENCE] = { MUTATION_EVENT_SPLIT, false, false },
		[MUTATION_MANY_DELETES] = { MUTATION_EVENT_SPLIT, false, false }, [MUTATION_WHOLE_STATE] = { MUTATION_EVENT_LOCK, true, true },
		[MUTATION_TOKEN] = { MUTATION_EVENT_WRITE_TOKEN, false, false },
	};
	(void)state;
	for (unsigned course = 0; course < MUTATION_COURSE_COUNT; course++) {
		const struct mutation_rules *rules = mutation_rules_of((enum mutation_course)course);
		assert_int_equal(rules->start, wanted[course].start);
		assert_int_equal(rules->is_exclusive, wanted[course].is_exclusive);
		assert_int_equal(rules->wants_all_faults, wanted[course].wants_all_faults);
		assert_true(mutation_allows(MUTATION_QUEUED, rules->start));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_in_every_state),
		cmocka_unit_test(every_state_is_reached_and_leads_to_the_answer),
		cmocka_unit_test(what_is_stored_is_not_undone),
		cmocka_unit_test(every_course_starts_where_the_inbox_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
