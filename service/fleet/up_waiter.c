#include "service/fleet/up_waiter.h"

#include <stdlib.h>
#include <string.h>

#include "service/change/mutations.h"
#include "service/registry/registry.h"

#define LOOK_MS 250

struct up_wait {
	struct up_wait *next, **before;
	struct up_waiter *waiter;
	struct mutation *mutation;
	struct mutation *asked; /* a look-up of what another node runs; NULL: none is under way */
	uint64_t deadline;      /* uv_now */
};

struct up_waiter {
	struct up_waiter_means means;
	uv_timer_t timer;
	struct up_wait *waits;
};

bool up_waiter_wants(const struct mutation *mutation)
{
	return mutation->wait_up && mutation->kind == MUTATION_OPERATIONS && mutation->operation_count == 1 &&
	       mutation->problem.code == PROBLEM_NONE && mutation->operations[0].problem.code == PROBLEM_NONE &&
	       mutation->operations[0].snapshot != NULL && mutation->operations[0].kind != OPERATION_DELETE;
}

static void answer(struct up_wait *wait)
{
	struct mutation *mutation = wait->mutation;
	*wait->before = wait->next;
	if (wait->next != NULL)
		wait->next->before = wait->before;
	if (wait->asked != NULL)
		wait->asked->owner = NULL; /* its answer is nobody's */
	free(wait);
	mutation->done(mutation, mutation->owner);
}

static bool is_late(const struct up_wait *wait)
{
	return uv_now(wait->waiter->means.loop) >= wait->deadline;
}

static void judge(struct up_wait *wait, struct snapshot *now)
{
	if (operation_is_waiting_over(&wait->mutation->operations[0], now, is_late(wait)))
		answer(wait);
}

/* ---- Elsewhere ---- */

/* What was told of an earlier change counts as nothing; a pool's status has no generation. */
static bool is_of_this_change(const struct up_wait *wait, const struct snapshot *found)
{
	const struct snapshot *made = wait->mutation->operations[0].snapshot;
	return found->elsewhere->is_told && (found->spec.kind == SPEC_POOL || found->elsewhere->status.observed_generation >= made->generation);
}

static void on_found(struct mutation *asked, void *owner)
{
	struct up_wait *wait = owner;
	if (wait != NULL)
		wait->asked = NULL;
	if (wait != NULL && asked->problem.code == PROBLEM_NOT_FOUND)
		judge(wait, NULL);
	else if (wait != NULL && asked->found_count == 1 && (is_of_this_change(wait, asked->found[0]) || is_late(wait)))
		judge(wait, asked->found[0]);
	else if (wait != NULL && is_late(wait))
		judge(wait, wait->mutation->operations[0].snapshot);
	mutation_free(asked);
}

static void ask(struct up_wait *wait)
{
	const struct operation *operation = &wait->mutation->operations[0];
	struct mutation *asked = mutation_create(MUTATION_LOOK_UP, 0);
	if (asked == NULL)
		return; /* at another time */
	access_release(asked->access);
	asked->access = access_reference(wait->mutation->access);
	asked->object = operation->object;
	memcpy(asked->wanted, operation->snapshot->id, sizeof(asked->wanted));
	asked->done = on_found;
	asked->owner = wait;
	wait->asked = asked;
	finder_begin(wait->waiter->means.finder, asked);
}

/* ---- Turns ---- */

static void look(struct up_wait *wait)
{
	const struct operation *operation = &wait->mutation->operations[0];
	const struct entry *entry = registry_entry(wait->waiter->means.registry, operation->key);
	bool is_here = entry != NULL && entry->snapshot->origin == SNAPSHOT_OF_FLEET && entry->snapshot->revision >= operation->snapshot->revision;
	if (is_here)
		judge(wait, entry->snapshot);
	else if (wait->asked == NULL)
		ask(wait);
	else if (is_late(wait))
		judge(wait, operation->snapshot);
}

static void on_timer(uv_timer_t *timer)
{
	struct up_waiter *waiter = timer->data;
	for (struct up_wait *wait = waiter->waits, *next; wait != NULL; wait = next) {
		next = wait->next;
		look(wait);
	}
	if (waiter->waits == NULL)
		uv_timer_stop(timer);
}

/* ---- The waiter ---- */

void up_waiter_add(struct up_waiter *waiter, struct mutation *mutation)
{
	struct up_wait *wait = calloc(1, sizeof(*wait));
	if (wait == NULL) {
		problem_out_of_memory(&mutation->problem);
		mutation->done(mutation, mutation->owner);
		return;
	}
	*wait = (struct up_wait){ .next = waiter->waits,
		                  .before = &waiter->waits,
		                  .waiter = waiter,
		                  .mutation = mutation,
		                  .deadline = uv_now(waiter->means.loop) + UINT64_C(1000) * mutation->timeout };
	if (wait->next != NULL)
		wait->next->before = &wait->next;
	waiter->waits = wait;
	if (!uv_is_active((uv_handle_t *)&waiter->timer))
		uv_timer_start(&waiter->timer, on_timer, 0, LOOK_MS);
}

struct up_waiter *up_waiter_create(const struct up_waiter_means *means)
{
	struct up_waiter *waiter = calloc(1, sizeof(*waiter));
	if (waiter == NULL)
		return NULL;
	waiter->means = *means;
	uv_timer_init(means->loop, &waiter->timer);
	waiter->timer.data = waiter;
	return waiter;
}

void up_waiter_end(struct up_waiter *waiter)
{
	while (waiter->waits != NULL) {
		struct up_wait *wait = waiter->waits;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): an answered one leaves the list, so this is another */
		mutations_refuse_to_wait(wait->mutation);
		answer(wait);
	}
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void up_waiter_free(struct up_waiter *waiter)
{
	if (waiter == NULL)
		return;
	up_waiter_end(waiter);
	uv_close((uv_handle_t *)&waiter->timer, on_closed);
}
