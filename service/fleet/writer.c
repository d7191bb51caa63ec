#include "service/fleet/writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/fleet/fleet_state.h"
#include "service/fleet/up_waiter.h"
#include "service/fleet/write_job.h"
#include "service/registry/registry.h"

#define LOOK_MS 20      /* how often the owners of what was written are looked at */
#define AWAIT_MOST 5000 /* ms that an answer waits for its owner, and for this node to have done it */

struct writer {
	struct writer_means means;
	uv_timer_t look;
	struct write_job *writing, *awaiting;
	struct up_waiter *up; /* what is done, and is answered when it is up */
};

bool writer_takes(const struct mutation *mutation)
{
	switch (mutation->kind) {
	case MUTATION_OPERATIONS:
		for (size_t i = 0; i < mutation->operation_count; i++)
			if (operation_is_write(&mutation->operations[i]))
				return true;
		return false;
	case MUTATION_DELETE_WHERE:
	case MUTATION_STATE: return true;
	case MUTATION_TOKEN_CREATE:
	case MUTATION_TOKEN_DELETE:
	case MUTATION_LOOK_UP:
	case MUTATION_RELOAD:
	case MUTATION_REPLACE:
	case MUTATION_CONNECTIONS: break;
	}
	return false;
}

/* ---- Lists ---- */

static void link_job(struct write_job **list, struct write_job *job)
{
	job->next = *list;
	job->before = list;
	if (job->next != NULL)
		job->next->before = &job->next;
	*list = job;
}

static void unlink_job(struct write_job *job)
{
	*job->before = job->next;
	if (job->next != NULL)
		job->next->before = job->before;
}

/* Of a DELETE of many: one that others have deleted meanwhile is no problem. */
static void count_deleted(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->operation_count; i++) {
		const struct problem *problem = &mutation->operations[i].problem;
		if (problem->code == PROBLEM_NONE)
			mutation->deleted++;
		else if (problem->code != PROBLEM_NOT_FOUND && mutation->problem.code == PROBLEM_NONE)
			problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	}
}

static void answer(struct writer *writer, struct write_job *job)
{
	struct mutation *mutation = job->mutation;
	if (mutation->kind == MUTATION_DELETE_WHERE)
		count_deleted(mutation);
	if (mutation->kind == MUTATION_STATE)
		fleet_state_finish(mutation);
	unlink_job(job);
	write_job_free(job);
	if (up_waiter_wants(mutation))
		up_waiter_add(writer->up, mutation);
	else
		mutation->done(mutation, mutation->owner);
}

/* ---- What was written is waited for ---- */

static bool is_awaited(const struct writer *writer, const struct written_place *written)
{
	if (written->revision == 0)
		return false;
	const struct fleet_view_shard *shard = fleet_view_find(fleet_node_view(writer->means.node), written->place.class, written->place.shard);
	if (shard == NULL || shard->owner == FLEET_NOBODY)
		return true;
	return shard->owner == FLEET_ME && !keeper_has_applied(writer->means.keeper, written->place.class, written->place.shard, written->revision);
}

/* As it is here now, with the addresses that it listens on; or who runs it. */
static void show(const struct writer *writer, struct operation *operation)
{
	const struct entry *entry = registry_entry(writer->means.registry, operation->key);
	struct snapshot *shown = operation->snapshot;
	if (shown == NULL)
		return;
	if (entry == NULL || entry->snapshot->revision != shown->revision) {
		finder_name_node(writer->means.node, shown);
		return;
	}
	snapshot_release(shown);
	operation->snapshot = snapshot_reference(entry->snapshot);
}

static bool is_over(const struct writer *writer, const struct write_job *job)
{
	bool is_late = uv_now(writer->means.loop) >= job->deadline;
	for (size_t i = 0; i < job->mutation->operation_count && !is_late; i++)
		if (is_awaited(writer, &job->places[i]))
			return false;
	for (size_t i = 0; i < job->mutation->operation_count; i++)
		show(writer, &job->mutation->operations[i]);
	return true;
}

static void on_look(uv_timer_t *timer)
{
	struct writer *writer = timer->data;
	for (struct write_job *job = writer->awaiting, *next; job != NULL; job = next) {
		next = job->next;
		if (is_over(writer, job))
			answer(writer, job);
	}
	if (writer->awaiting == NULL)
		uv_timer_stop(timer);
}

static void on_written(struct write_job *job, void *owner)
{
	struct writer *writer = owner;
	unlink_job(job);
	link_job(&writer->awaiting, job);
	job->deadline = uv_now(writer->means.loop) + AWAIT_MOST;
	if (is_over(writer, job))
		answer(writer, job);
	else if (!uv_is_active((uv_handle_t *)&writer->look))
		uv_timer_start(&writer->look, on_look, LOOK_MS, LOOK_MS);
}

/* ---- What is asked ---- */

static void refuse(struct mutation *mutation, enum problem_code code, const char *detail)
{
	problem_set(&mutation->problem, code, "%s", detail);
	mutation->failed_operation = mutation->operation_count;
	mutation->done(mutation, mutation->owner);
}

/* How many operations are about what this node has of its own. */
static size_t count_own(const struct writer *writer, struct mutation *mutation)
{
	size_t count = 0;
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct operation *operation = &mutation->operations[i];
		operation_choose_id(operation);
		operation_name(operation);
		const struct entry *entry = registry_entry(writer->means.registry, operation->key);
		count += entry != NULL && entry->snapshot->origin != SNAPSHOT_OF_FLEET;
	}
	return count;
}

static const char *why_not(const struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->operation_count; i++)
		if (!operation_is_write(&mutation->operations[i]))
			return "In a fleet a batch that changes tunnels or pools can have no actions: each is for the node that runs the tunnel. "
			       "Send it apart.";
	return NULL;
}

static bool has_let_go(void *owner, const char *class, const char *key, int64_t revision)
{
	struct writer *writer = owner;
	return keeper_has_let_go(writer->means.keeper, class, key, revision, NULL);
}

static void begin_job(struct writer *writer, struct mutation *mutation)
{
	const struct object_plan_means planning = {
		.policy = mutations_means(writer->means.mutations)->policy, .ring = writer->means.ring, .has_let_go = has_let_go, .owner = writer
	};
	mutation->all = writer->means.mutations;
	struct write_job *job = write_job_create(writer->means.store, &planning, mutation, on_written, writer);
	if (job == NULL) {
		refuse(mutation, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		return;
	}
	link_job(&writer->writing, job);
	write_job_begin(job);
}

/* Of those that match now; each is compared again when it is read (delta_apply). */
static void on_gathered(struct mutation *mutation, void *owner)
{
	struct operation *operations = calloc(mutation->found_count + 1, sizeof(*operations));
	if (operations == NULL)
		problem_out_of_memory(&mutation->problem);
	if (operations == NULL || mutation->problem.code != PROBLEM_NONE) {
		free(operations);
		mutation->done(mutation, mutation->owner);
		return;
	}
	free(mutation->operations);
	mutation->operations = operations;
	for (size_t i = 0; i < mutation->found_count; i++) {
		const struct snapshot *found = mutation->found[i];
		if (found->spec.kind != mutation->object ||
		    !selectors_accept(mutation->selectors, mutation->selector_count, found->labels, found->label_count))
			continue;
		struct operation *operation = &operations[mutation->operation_count++];
		operation_delete(operation, mutation->object, found->id);
		operation->selectors = mutation->selectors;
		operation->selector_count = mutation->selector_count;
	}
	begin_job(owner, mutation);
}

/* What the fleet has is known: what is not in the document is deleted. */
static void on_state_gathered(struct mutation *mutation, void *owner)
{
	struct writer *writer = owner;
	mutation->all = writer->means.mutations;
	if (fleet_state_plan(mutation, writer->means.registry)) {
		begin_job(writer, mutation);
		return;
	}
	mutation->failed_operation = mutation->operation_count;
	mutation->done(mutation, mutation->owner);
}

void writer_begin(struct writer *writer, struct mutation *mutation)
{
	size_t own = mutation->kind == MUTATION_OPERATIONS ? count_own(writer, mutation) : 0;
	if (own > 0 && own == mutation->operation_count) {
		mutations_submit(writer->means.mutations, mutation);
		mutations_run(writer->means.mutations);
		return;
	}
	const char *why = own > 0 ? "Some of these are this node's own, and others are the fleet's: change them apart." : why_not(mutation);
	if (why != NULL)
		refuse(mutation, PROBLEM_INVALID_REQUEST, why);
	else if (mutation->kind == MUTATION_DELETE_WHERE)
		finder_gather(writer->means.finder, mutation, on_gathered, writer);
	else if (mutation->kind == MUTATION_STATE)
		finder_gather(writer->means.finder, mutation, on_state_gathered, writer);
	else
		begin_job(writer, mutation);
}

/* ---- The writer ---- */

struct writer *writer_create(const struct writer_means *means)
{
	struct writer *writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return NULL;
	writer->means = *means;
	writer->up = up_waiter_create(&(struct up_waiter_means){ means->loop, means->registry, means->finder });
	if (writer->up == NULL) {
		free(writer);
		return NULL;
	}
	uv_timer_init(means->loop, &writer->look);
	writer->look.data = writer;
	return writer;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void writer_end(struct writer *writer)
{
	while (writer->writing != NULL) {
		struct write_job *job = writer->writing;
		if (write_job_is_writing(job))
			write_job_fail(job, PROBLEM_FLEET_UNAVAILABLE,
			               "The daemon is stopping: the change may have been made. Read it before you try again.");
		else
			write_job_fail(job, PROBLEM_WORKER_UNAVAILABLE, PROBLEM_LEAVING);
		answer(writer, job);
	}
	while (writer->awaiting != NULL)
		answer(writer, writer->awaiting);
	up_waiter_end(writer->up);
}

void writer_free(struct writer *writer)
{
	if (writer == NULL)
		return;
	writer_end(writer);
	up_waiter_free(writer->up);
	uv_close((uv_handle_t *)&writer->look, on_closed);
}
