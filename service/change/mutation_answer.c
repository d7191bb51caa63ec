/* The end of a mutation: what is not needed any more is given back, and the answer given. */
#include <stdlib.h>

#include "service/change/delta.h"
#include "service/change/mutation_deltas.h"
#include "service/change/mutation_step.h"
#include "service/change/whole_state.h"

static void release_candidates(struct mutation *mutation)
{
	for (size_t i = 0; mutation->parent == NULL && i < mutation->candidate_count; i++)
		candidate_clear(&mutation->candidates[i]);
	if (mutation->parent == NULL)
		free(mutation->candidates);
	mutation->candidates = NULL;
	mutation->candidate_count = 0;
}

/* Before the reply, so that its recipient can rely on the sockets being closed. False: there is more to release, in the next turn. */
static bool release_work(struct mutation *mutation)
{
	for (; mutation->delta_count > 0; mutation->delta_count--) {
		struct delta *delta = &mutation->deltas[mutation->delta_count - 1];
		if (!mutations_take_work(mutation->all, delta_peers(delta)))
			return false;
		mutation_abort_prepared(delta);
		delta_clear(delta);
	}
	free(mutation->deltas);
	free(mutation->index);
	mutation->deltas = NULL;
	mutation->index = NULL;
	socket_pool_clear(&mutation->pool);
	registry_unreserve(mutations_means(mutation->all)->registry, mutation->reserved);
	mutation->reserved = 0;
	return true;
}

static void keep_ports(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->pool.shared_count; i++)
		host_socket_share(mutation->pool.shared[i], false);
}

/* The worker says it, which a dry run does not ask: then by the rule that workers have. */
static bool restarts(const struct delta *delta, bool dry_run)
{
	if (!dry_run)
		return delta->applied == MESSAGE_APPLIED_RESTARTED;
	return delta->before != NULL && delta->after != NULL && spec_needs_restart(&delta->before->spec, &delta->after->spec);
}

static enum applied applied_of(const struct delta *delta, enum applied planned, bool dry_run)
{
	return planned == APPLIED_IN_PLACE && restarts(delta, dry_run) ? APPLIED_RESTARTED : planned;
}

static void write_answer(const struct mutation *mutation, struct operation *operation)
{
	const struct delta *delta = mutation_find_delta(mutation, operation->key);
	if (delta == NULL)
		return;
	operation->applied = applied_of(delta, operation->applied, mutation->dry_run);
	struct snapshot *shown = operation->kind == OPERATION_DELETE ? delta->before : delta->after;
	operation->snapshot = shown == NULL ? NULL : snapshot_reference(shown);
}

/* Only a mutation of one operation can ask for it. */
static bool waits_for_handshake(const struct mutation *mutation)
{
	return mutation->wait_up && !mutation->dry_run && mutation->operation_count == 1 && mutation->operations[0].snapshot != NULL &&
	       mutation->operations[0].kind != OPERATION_DELETE;
}

enum mutation_event mutation_enter_finishing(struct mutation *mutation)
{
	for (; mutation->cursor < mutation->operation_count; mutation->cursor++)
		write_answer(mutation, &mutation->operations[mutation->cursor]);
	if (!release_work(mutation))
		return MUTATION_EVENT_MORE;
	if (mutation->course == MUTATION_WHOLE_STATE)
		whole_state_finish(mutation);
	return waits_for_handshake(mutation) ? MUTATION_EVENT_SUSPENDED : MUTATION_EVENT_FINISHED;
}

/* What failed has its place: that of one operation alone is the operation's, that of several the mutation's, with all faults. */
static void place_problem(struct mutation *mutation)
{
	struct operation *operation =
	    mutation->failed_operation < mutation->operation_count ? &mutation->operations[mutation->failed_operation] : NULL;
	struct problem *one = operation == NULL ? NULL : &operation->problem, *whole = &mutation->problem;
	bool is_single = mutation->course == MUTATION_SINGLE;
	struct problem *from = is_single ? whole : one, *to = is_single ? one : whole;
	if (one == NULL || from->code == PROBLEM_NONE)
		return;
	if (is_single && to->code != PROBLEM_NONE) {
		problem_clear(from);
		return;
	}
	problem_clear(to);
	*to = *from;
	problem_init(from);
}

enum mutation_event mutation_enter_undoing(struct mutation *mutation)
{
	keep_ports(mutation);
	if (!release_work(mutation))
		return MUTATION_EVENT_MORE;
	if (mutation->course == MUTATION_WHOLE_STATE)
		whole_state_fail(mutation);
	else
		place_problem(mutation);
	return MUTATION_EVENT_UNDONE;
}

static void release_turn(struct mutation *mutation)
{
	bool is_claimed = mutation->is_claimed;
	mutation->is_claimed = false;
	if (is_claimed)
		lock_queue_release(mutations_means(mutation->all)->locks, &mutation->claim);
}

bool operation_is_waiting_over(struct operation *operation, struct snapshot *now, bool is_late)
{
	struct snapshot_status status;
	if (now == NULL) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "The %s was deleted before it was up.", spec_kind_name(operation->object));
		return true;
	}
	snapshot_status(now, &status);
	bool is_hopeless = status.state == TUNNEL_DISABLED && !now->spec.enabled;
	if (status.state != TUNNEL_UP && !is_hopeless && !is_late)
		return false;
	struct snapshot *before = operation->snapshot;
	operation->snapshot = snapshot_reference(now);
	snapshot_release(before);
	if (status.state == TUNNEL_UP)
		return true;
	bool is_told = status.reason[0] != '\0' && (status.state != TUNNEL_STALE || operation->object == SPEC_POOL);
	problem_set(&operation->problem, PROBLEM_HANDSHAKE_TIMEOUT, "The %s exists, but it is not up: %.160s.", spec_kind_name(operation->object),
	            is_told       ? status.reason
	            : is_hopeless ? "it is disabled"
	                          : "the peer has not answered: check both keys, the endpoint and whether UDP passes");
	return true;
}

/* Whether the waiting is over; the operation then says how. */
bool mutation_is_waiting_over(struct mutation *mutation)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	const struct entry *entry = tunnel_identity_find(&mutation->awaited, means->registry);
	return operation_is_waiting_over(&mutation->operations[0], entry == NULL ? NULL : entry->snapshot, uv_now(means->loop) >= mutation->deadline);
}

/* What waits for the tunnel's turn may run from within, and the mutation be gone by the time of the return. */
enum mutation_event mutation_enter_suspended(struct mutation *mutation)
{
	tunnel_identity_take(&mutation->awaited, mutation->operations[0].snapshot);
	mutation->deadline = uv_now(mutations_means(mutation->all)->loop) + 1000ull * mutation->timeout;
	if (mutation_is_waiting_over(mutation))
		return MUTATION_EVENT_WAITING_OVER;
	if (mutations_are_stopping(mutation->all)) {
		mutations_refuse_to_wait(mutation);
		return MUTATION_EVENT_REFUSED;
	}
	mutations_suspend(mutation);
	release_turn(mutation);
	return MUTATION_EVENT_NONE;
}

enum mutation_event mutation_enter_answered(struct mutation *mutation)
{
	release_candidates(mutation);
	mutations_leave(mutation);
	tunnel_identity_release(&mutation->awaited);
	if (mutation->parent != NULL)
		mutation_part_done(mutation->parent, &mutation->operations[0].problem);
	else
		mutation->done(mutation, mutation->owner);
	/* Whoever has the answer comes before those that wait for the turn. The service's reference keeps the claim until then. */
	release_turn(mutation);
	mutation_release(mutation);
	return MUTATION_EVENT_NONE;
}
