/* Actions that do not change a tunnel's spec: reconnect and probe. */
#include <stdio.h>
#include <stdlib.h>

#include "service/change/mutation_step.h"
#include "service/change/precondition.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/worker/runtime.h"

#define PROBE_COUNT_MAX 100
#define PROBE_TIMEOUT_MAX 30 /* seconds */

static void on_answer(void *owner, const struct worker_reply *reply)
{
	struct mutation *mutation = owner;
	struct operation *operation = &mutation->operations[0];
	if (reply->gone)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The worker of this tunnel is being replaced; try again in a moment.");
	else if (reply->type == MESSAGE_PROBED)
		operation->probe = reply->probed;
	else if (reply->ack.status != MESSAGE_STATUS_OK)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The tunnel is not running.");
	mutation_step(mutation, MUTATION_EVENT_ACTED);
}

static void read_probe(struct operation *operation, const struct spec *spec, struct message_probe *message)
{
	struct spec_probe probe = { .type = SPEC_PROBE_NONE };
	struct json_reader reader;
	uint64_t count = 4, timeout = 1;
	bool is_given = json_object_get(operation->document, "type") != NULL || json_object_get(operation->document, "target") != NULL;
	json_reader_init(&reader, "", &operation->problem);
	json_reader_integer(&reader, operation->document, "count", 1, PROBE_COUNT_MAX, &count);
	json_reader_integer(&reader, operation->document, "timeout", 1, PROBE_TIMEOUT_MAX, &timeout);
	if (is_given || spec->probe.type == SPEC_PROBE_NONE) {
		struct json_writer writer = { .failed = false };
		json_t *rest = json_writer_copy(&writer, operation->document);
		if (writer.failed)
			problem_set(&operation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		(void)json_object_del(rest, "count");
		(void)json_object_del(rest, "timeout");
		candidate_read_probe(&reader, rest, &probe);
		json_decref(rest);
	}
	const struct spec_probe *used = is_given || spec->probe.type == SPEC_PROBE_NONE ? &probe : &spec->probe;
	message->type = (uint8_t)used->type;
	message->count = (uint32_t)count;
	message->timeout_ms = (uint32_t)timeout * 1000;
	snprintf(message->target, sizeof(message->target), "%s", used->target == NULL ? "" : used->target);
	free(probe.target);
}

static bool can_act(struct operation *operation, const struct entry *entry)
{
	if (entry == NULL)
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no tunnel with this id.");
	else if (!precondition_holds(operation, entry->snapshot))
		problem_set(&operation->problem, PROBLEM_PRECONDITION_FAILED, "The tunnel's ETag does not satisfy If-Match or If-None-Match.");
	else if (entry->worker == NULL || !worker_is_ready(entry->worker) || entry->snapshot->failure != NULL)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The tunnel is not running.");
	return operation->problem.code == PROBLEM_NONE;
}

static bool send_action(struct mutation *mutation, struct entry *entry)
{
	struct operation *operation = &mutation->operations[0];
	struct message_probe probe = { .slot = slot_index(entry->slot), .generation = operation->snapshot->generation };
	if (lock_queue_is_free(mutations_means(mutation->all)->locks, entry->id))
		provisioner_hurry(mutations_means(mutation->all)->provisioner, entry);
	if (operation->kind == OPERATION_PROBE)
		read_probe(operation, &entry->snapshot->spec, &probe);
	if (operation->problem.code != PROBLEM_NONE)
		return false;
	mutation->request = (struct worker_request){ .slot = probe.slot,
		                                     .generation = probe.generation,
		                                     .reply = operation->kind == OPERATION_PROBE ? MESSAGE_PROBED : MESSAGE_DONE,
		                                     .patience_ms = (uint64_t)probe.count * probe.timeout_ms,
		                                     .handler = on_answer,
		                                     .owner = mutation };
	worker_expect(entry->worker, &mutation->request);
	probe.request = mutation->request.number;
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

enum mutation_event mutation_enter_acting(struct mutation *mutation)
{
	struct operation *operation = &mutation->operations[0];
	struct entry *entry = registry_entry(mutations_means(mutation->all)->registry, operation->id);
	if (!can_act(operation, entry))
		return MUTATION_EVENT_ACTED;
	operation->snapshot = snapshot_reference(entry->snapshot);
	return send_action(mutation, entry) ? MUTATION_EVENT_NONE : MUTATION_EVENT_ACTED;
}
