/* Actions that do not change a tunnel's spec: reconnect, probe and move, and connections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/mutation_step.h"
#include "service/change/precondition.h"
#include "service/change/reach.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/worker/runtime.h"

/* What is stored goes with it. */
static void take_forgotten(const struct mutation *mutation, struct operation *operation, const struct pool_forgotten *answer)
{
	size_t stored = session_store_forget(mutations_means(mutation->all)->sessions, operation->id, operation->session);
	operation->forgotten = answer->count > stored ? answer->count : stored;
	if (operation->session != NULL && operation->forgotten == 0)
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no session with this key.");
}

static void send_count(struct mutation *mutation, struct entry *entry);

/* True if the next piece is asked for. What is not known when the pool has moved or gone stays so. */
static bool take_counted(struct mutation *mutation, struct session_page *page, const struct pool_counted *answer)
{
	struct entry *entry = registry_entry(mutations_means(mutation->all)->registry, mutation->operations[0].key);
	size_t left = page->count - page->counted, count = answer->count < left ? answer->count : left;
	memcpy(page->open + page->counted, answer->open, count * sizeof(*page->open));
	page->counted += count;
	bool goes_on = count > 0 && page->counted < page->count && entry != NULL && entry->slot != NULL && entry->worker != NULL &&
	               worker_is_ready(entry->worker);
	if (goes_on)
		send_count(mutation, entry);
	return goes_on;
}

static void on_answer(void *owner, const struct worker_reply *reply)
{
	struct mutation *mutation = owner;
	struct operation *operation = &mutation->operations[0];
	if (!reply->gone && reply->type == MESSAGE_POOL_COUNTED) {
		if (!take_counted(mutation, &operation->page, &reply->counted))
			mutations_step(mutation, MUTATION_EVENT_ACTED);
		return;
	}
	if (reply->gone)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The worker of this tunnel is being replaced; try again in a moment.");
	else if (reply->type == MESSAGE_PROBED)
		operation->probe = reply->probed;
	else if (reply->type == MESSAGE_POOL_FORGOTTEN)
		take_forgotten(mutation, operation, &reply->forgotten);
	else if (reply->ack.status != MESSAGE_STATUS_OK)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The tunnel is not running.");
	mutations_step(mutation, MUTATION_EVENT_ACTED);
}

/* A request takes several round trips, and the far end's time. */
static bool takes_long(enum spec_probe_type type)
{
	return type == SPEC_PROBE_HTTP || type == SPEC_PROBE_EXIT_IP;
}

static void read_probe(struct operation *operation, const struct spec *spec, struct message_probe *message)
{
	struct spec_probe probe = spec_probe_default;
	struct json_reader reader;
	uint64_t count = 4, timeout = 0;
	bool is_given = json_object_get(operation->document, "type") != NULL || json_object_get(operation->document, "target") != NULL;
	json_reader_init(&reader, "", &operation->problem);
	json_reader_integer(&reader, operation->document, "count", 1, MESSAGE_PROBE_COUNT_MAX, &count);
	json_reader_integer(&reader, operation->document, "timeout", 1, CANDIDATE_PROBE_TIMEOUT_MAX, &timeout);
	if (is_given) {
		struct json_writer writer = { .failed = false };
		json_t *rest = json_writer_copy(&writer, operation->document);
		if (writer.failed)
			problem_out_of_memory(&operation->problem);
		(void)json_object_del(rest, "count");
		(void)json_object_del(rest, "timeout");
		candidate_read_probe(&reader, rest, &probe);
		json_decref(rest);
	} else if (spec->probe.type == SPEC_PROBE_NONE) {
		json_reader_fault_at(&reader, "target", "required", "The tunnel has no probe of its own: name a target.");
	}
	const struct spec_probe *used = is_given ? &probe : &spec->probe;
	operation->probe_type = used->type;
	if (timeout == 0)
		timeout = used == &probe && !takes_long(used->type) ? 1 : used->timeout;
	message->type = (uint8_t)used->type;
	message->status_low = used->status_low;
	message->status_high = used->status_high;
	message->count = (uint32_t)count;
	message->timeout_ms = (uint32_t)timeout * 1000;
	snprintf(message->target, sizeof(message->target), "%s", used->target == NULL ? "" : used->target);
	free(probe.target);
}

static bool can_act(const struct mutation *mutation, struct operation *operation, const struct entry *entry)
{
	if (entry == NULL || !reach_has(mutation, entry->snapshot))
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no %s with this id.", spec_kind_name(operation->object));
	else if (!precondition_holds(operation, entry->snapshot))
		problem_set(&operation->problem, PROBLEM_PRECONDITION_FAILED, "The %s's ETag does not satisfy If-Match or If-None-Match.",
		            spec_kind_name(operation->object));
	else if (entry->worker == NULL || !worker_is_ready(entry->worker) || entry->snapshot->failure != NULL)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The %s is not running.", spec_kind_name(operation->object));
	return operation->problem.code == PROBLEM_NONE;
}

/* Of what the first operation is about; returns the number that goes into the message. */
static uint64_t expect(struct mutation *mutation, struct entry *entry, enum message_type reply, uint64_t patience_ms)
{
	mutation->request = (struct worker_request){ .slot = slot_index(entry->slot),
		                                     .generation = mutation->operations[0].snapshot->generation,
		                                     .reply = reply,
		                                     .patience_ms = patience_ms,
		                                     .handler = on_answer,
		                                     .owner = mutation };
	worker_expect(entry->worker, &mutation->request);
	return mutation->request.number;
}

static void send_forget(struct mutation *mutation, struct entry *entry)
{
	struct operation *operation = &mutation->operations[0];
	struct pool_forget message = { .request = expect(mutation, entry, MESSAGE_POOL_FORGOTTEN, 0),
		                       .slot = slot_index(entry->slot),
		                       .generation = operation->snapshot->generation,
		                       .all = operation->session == NULL };
	snprintf(message.key, sizeof(message.key), "%s", operation->session == NULL ? "" : operation->session);
	struct message_writer writer;
	message_writer_init(&writer);
	pool_forget_encode(&writer, &message);
	worker_send(entry->worker, MESSAGE_POOL_FORGET, &writer, NULL, 0);
}

static void send_count(struct mutation *mutation, struct entry *entry)
{
	static struct pool_count message; /* 16 KB, consumed at once */
	const struct operation *operation = &mutation->operations[0];
	const struct session_page *page = &operation->page;
	size_t left = page->count - page->counted;
	message.request = expect(mutation, entry, MESSAGE_POOL_COUNTED, 0);
	message.slot = slot_index(entry->slot);
	message.generation = operation->snapshot->generation;
	message.count = (uint32_t)(left < POOL_COUNT_PIECE ? left : POOL_COUNT_PIECE);
	for (size_t i = 0; i < message.count; i++)
		snprintf(message.keys[i], sizeof(message.keys[i]), "%s", page->list[page->counted + i].key);
	struct message_writer writer;
	message_writer_init(&writer);
	pool_count_encode(&writer, &message);
	worker_send(entry->worker, MESSAGE_POOL_COUNT, &writer, NULL, 0);
}

static bool send_action(struct mutation *mutation, struct entry *entry)
{
	struct operation *operation = &mutation->operations[0];
	struct message_probe probe = { .slot = slot_index(entry->slot), .generation = operation->snapshot->generation };
	if (lock_queue_is_free(mutations_means(mutation->all)->locks, entry->key))
		provisioner_hurry(mutations_means(mutation->all)->provisioner, entry);
	if (operation->kind == OPERATION_PROBE)
		read_probe(operation, &entry->snapshot->spec, &probe);
	if (operation->problem.code != PROBLEM_NONE)
		return false;
	probe.request =
	    expect(mutation, entry, operation->kind == OPERATION_PROBE ? MESSAGE_PROBED : MESSAGE_DONE, (uint64_t)probe.count * probe.timeout_ms);
	if (operation->kind == OPERATION_RECONNECT) {
		runtime_send(entry->worker, MESSAGE_RECONNECT, probe.request, probe.slot, probe.generation);
		return true;
	}
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probe(&writer, &probe);
	worker_send(entry->worker, MESSAGE_PROBE, &writer, NULL, 0);
	return true;
}

static void on_moved(void *owner, enum mover_result result, const char *failure)
{
	struct mutation *mutation = owner;
	struct operation *operation = &mutation->operations[0];
	const struct entry *entry = registry_entry(mutations_means(mutation->all)->registry, operation->key);
	if (result != MOVER_DONE) {
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The tunnel stays where it is: %s.", failure);
	} else if (entry != NULL) {
		snapshot_release(operation->snapshot);
		operation->snapshot = snapshot_reference(entry->snapshot);
	}
	mutations_step(mutation, MUTATION_EVENT_ACTED);
}

/* NULL: the operation has the problem. */
static struct worker *read_worker(struct operation *operation, struct supervisor *supervisor)
{
	struct json_reader reader;
	uint64_t index = UINT64_MAX;
	json_reader_init(&reader, "", &operation->problem);
	json_reader_integer(&reader, operation->document, "worker", 0, supervisor_count(supervisor) - 1, &index);
	if (index == UINT64_MAX && operation->problem.code == PROBLEM_NONE)
		json_reader_fault_at(&reader, "worker", "required", "Name a worker.");
	if (operation->problem.code != PROBLEM_NONE)
		return NULL;
	struct worker *worker = supervisor_worker(supervisor, (unsigned)index);
	if (worker_duty(worker) == WORKER_SERVING)
		return worker;
	json_reader_fault_at(&reader, "worker", "not_found", "There is no such worker, or it gets no tunnels any more.");
	return NULL;
}

/* One that goes through another is where that is. */
static bool is_held(struct registry *registry, const struct entry *entry, const struct worker *to, struct problem *problem)
{
	const struct entry *outer = registry_outer(registry, &entry->snapshot->spec);
	if (outer == NULL || outer->worker == NULL || outer->worker == to)
		return false;
	problem_add(problem, "/worker", "held", "This tunnel goes through %s: move that one, and this one follows.", outer->id);
	return true;
}

static enum mutation_event begin_move(struct mutation *mutation, const struct entry *entry)
{
	struct operation *operation = &mutation->operations[0];
	const struct mutation_means *means = mutations_means(mutation->all);
	struct worker *to = read_worker(operation, means->supervisor);
	if (to == NULL || is_held(means->registry, entry, to, &operation->problem))
		return MUTATION_EVENT_ACTED;
	if (mover_start(means->mover, entry, to, false, on_moved, mutation))
		return MUTATION_EVENT_NONE;
	problem_out_of_memory(&operation->problem);
	return MUTATION_EVENT_ACTED;
}

static void on_listed(void *owner)
{
	struct mutation *mutation = owner;
	const struct problem *problem = &mutation->listing->problem;
	if (problem->code != PROBLEM_NONE)
		problem_set(&mutation->problem, problem->code, "%s", problem->detail);
	mutations_step(mutation, MUTATION_EVENT_ACTED);
}

static void on_reloaded(void *owner)
{
	mutations_step(owner, MUTATION_EVENT_ACTED);
}

static void replace_worker(struct mutation *mutation)
{
	struct replacer *replacer = mutations_means(mutation->all)->replacer;
	if (mutation->drain_seconds == MUTATION_DRAIN_DEFAULT)
		mutation->drain_seconds = replacer_drain_seconds(replacer);
	switch ((enum replacer_error)replacer_start(replacer, mutation->worker, mutation->drain_seconds, &mutation->successor)) {
	case REPLACER_OK: break;
	case REPLACER_NO_WORKER: problem_set(&mutation->problem, PROBLEM_NOT_FOUND, "There is no worker %u.", mutation->worker); break;
	case REPLACER_BUSY:
		problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE,
		            "A worker is being replaced already, and one goes after the other: try again after the event worker.replaced.");
		break;
	case REPLACER_NOT_READY:
		problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE,
		            "The worker is starting, or its successor cannot be started: see the log, and try again in a moment.");
		break;
	}
}

enum mutation_event mutation_enter_acting(struct mutation *mutation)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	if (mutation->kind == MUTATION_RELOAD) {
		means->reload(means->reload_owner, mutation, on_reloaded);
		return MUTATION_EVENT_NONE;
	}
	if (mutation->kind == MUTATION_REPLACE) {
		replace_worker(mutation);
		return MUTATION_EVENT_ACTED;
	}
	if (mutation->kind == MUTATION_CONNECTIONS) {
		mutation->listing->access = mutation->access;
		connection_lister_run(means->lister, mutation->listing, on_listed, mutation);
		return MUTATION_EVENT_NONE;
	}
	struct operation *operation = &mutation->operations[0];
	struct entry *entry = registry_entry(mutations_means(mutation->all)->registry, operation->key);
	if (!can_act(mutation, operation, entry))
		return MUTATION_EVENT_ACTED;
	operation->snapshot = snapshot_reference(entry->snapshot);
	if (operation->kind == OPERATION_MOVE)
		return begin_move(mutation, entry);
	if (operation->kind == OPERATION_FORGET) {
		send_forget(mutation, entry);
		return MUTATION_EVENT_NONE;
	}
	if (operation->kind == OPERATION_COUNT) {
		send_count(mutation, entry);
		return MUTATION_EVENT_NONE;
	}
	return send_action(mutation, entry) ? MUTATION_EVENT_NONE : MUTATION_EVENT_ACTED;
}
