/* The steps of a mutation from state to state. Service's thread, but for READING and QUEUED. */
#ifndef WARREN_SERVICE_CHANGE_MUTATION_STEP_H
#define WARREN_SERVICE_CHANGE_MUTATION_STEP_H

#include "service/change/mutations.h"

/* Something has happened to it. The event is one that its state allows; it may be answered and gone afterwards. */
void mutation_step(struct mutation *mutation, enum mutation_event event);

/* What is done when it enters a state: each gives the event that follows at once, or MUTATION_EVENT_NONE when one is waited for. Then the
 * mutation may be gone already. */

/* mutation_read.c */
bool mutation_read(struct mutation *mutation); /* before the first step; false when out of memory. Any thread */
/* mutations.c */
enum mutation_event mutation_enter_queued(struct mutation *mutation);
/* mutation_plan.c */
enum mutation_event mutation_enter_locking(struct mutation *mutation);
enum mutation_event mutation_enter_planning(struct mutation *mutation);
void mutation_blame(struct mutation *mutation, const struct delta *delta); /* the problem is of that tunnel's operation */
/* mutation_bind.c */
enum mutation_event mutation_enter_binding(struct mutation *mutation);
/* mutation_prepare.c */
enum mutation_event mutation_enter_preparing(struct mutation *mutation);
enum mutation_event mutation_enter_waiting_for_worker(struct mutation *mutation);
bool mutation_has_workers(const struct mutation *mutation); /* all that it needs are ready */
void mutation_abort_prepared(struct mutation *mutation);
/* mutation_commit.c */
enum mutation_event mutation_enter_storing(struct mutation *mutation);
enum mutation_event mutation_enter_committing(struct mutation *mutation);
/* mutation_answer.c */
enum mutation_event mutation_enter_finishing(struct mutation *mutation);
enum mutation_event mutation_enter_undoing(struct mutation *mutation);
enum mutation_event mutation_enter_suspended(struct mutation *mutation);
enum mutation_event mutation_enter_answered(struct mutation *mutation);
bool mutation_is_waiting_over(struct mutation *mutation); /* SUSPENDED: the waiting is over; the operation then says how */
/* mutation_parts.c */
enum mutation_event mutation_enter_running_parts(struct mutation *mutation);
void mutation_part_done(struct mutation *parent, const struct problem *problem); /* the problem is its operation's */
/* mutation_action.c */
enum mutation_event mutation_enter_acting(struct mutation *mutation);
/* mutation_token.c */
enum mutation_event mutation_enter_writing_token(struct mutation *mutation);

#endif
