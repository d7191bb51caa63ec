/* The machine of mutations: its states' entry actions, and what runs them. Service's thread, except READING and QUEUED. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_STEP_H
#define WARREN_SERVICE_CHANGE_MUTATION_STEP_H

#include "service/change/mutations.h"

extern const struct mutation_machine mutation_machine;

/* Entry actions of the states: each returns the event that follows at once, or MUTATION_EVENT_NONE to wait for one; the mutation may then
 * already have been freed. With MUTATION_EVENT_MORE it is called again in the loop's next turn, and goes on at the mutation's cursor. */

/* mutation_read.c */
bool mutation_read(struct mutation *mutation); /* before the first step; false when out of memory. Any thread */
/* mutation_plan.c */
enum mutation_event mutation_enter_locking(struct mutation *mutation);
enum mutation_event mutation_enter_planning(struct mutation *mutation);
/* mutation_bind.c */
enum mutation_event mutation_enter_binding(struct mutation *mutation);
/* mutation_prepare.c */
enum mutation_event mutation_enter_preparing(struct mutation *mutation);
enum mutation_event mutation_enter_waiting_for_worker(struct mutation *mutation);
bool mutation_has_workers(const struct mutation *mutation); /* all workers that it needs are ready */
void mutation_abort_prepared(struct delta *delta);          /* the worker forgets it, if it has prepared it */
/* mutation_commit.c */
enum mutation_event mutation_enter_storing(struct mutation *mutation);
enum mutation_event mutation_enter_committing(struct mutation *mutation);
/* mutation_answer.c */
enum mutation_event mutation_enter_finishing(struct mutation *mutation);
enum mutation_event mutation_enter_undoing(struct mutation *mutation);
enum mutation_event mutation_enter_suspended(struct mutation *mutation);
enum mutation_event mutation_enter_answered(struct mutation *mutation);
bool mutation_is_waiting_over(struct mutation *mutation); /* SUSPENDED: whether the wait is over; the operation then has the result */
/* mutation_parts.c */
enum mutation_event mutation_enter_running_parts(struct mutation *mutation);
void mutation_part_done(struct mutation *parent, const struct problem *problem); /* the problem is its operation's */
/* mutation_action.c */
enum mutation_event mutation_enter_acting(struct mutation *mutation);
/* mutation_token.c */
enum mutation_event mutation_enter_writing_token(struct mutation *mutation);

#endif
