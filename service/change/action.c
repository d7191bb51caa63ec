#include "service/change/action.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/change/precondition.h"
#include "service/spec/candidate.h"
#include "service/spec/json_writer.h"
#include "service/worker/runtime.h"

#define PROBE_COUNT_MAX 100
#define PROBE_TIMEOUT_MAX 30 /* seconds */

struct action {
	struct mutations *mutations;
	struct operation *operation;
	void (*done)(void *owner);
	void *owner;
};

static void on_answer(void *owner, const struct reply *reply)
{
	struct action *action = owner;
	struct operation *operation = action->operation;
	if (reply->gone)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The worker of this tunnel is being replaced; try again in a moment.");
	else if (reply->type == MESSAGE_PROBED)
		operation->probe = reply->probed;
	else if (reply->ack.status != MESSAGE_STATUS_OK)
		problem_set(&operation->problem, PROBLEM_WORKER_UNAVAILABLE, "The tunnel is not running.");
	action->done(action->owner);
	free(action);
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

static uint64_t expect(struct mutations *mutations, struct worker *worker, struct operation *operation, const struct message_probe *probe,
                       void (*done)(void *owner), void *owner)
{
	struct action *action = calloc(1, sizeof(*action));
	uint64_t request = 0;
	if (action != NULL) {
		*action = (struct action){ .mutations = mutations, .operation = operation, .done = done, .owner = owner };
		request = worker_expect_late(worker, probe->slot, probe->generation, (uint64_t)probe->count * probe->timeout_ms, on_answer, action);
	}
	if (request != 0)
		return request;
	free(action);
	problem_set(&operation->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
	return 0;
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

static bool send_action(struct mutations *mutations, struct operation *operation, struct entry *entry, void (*done)(void *owner), void *owner)
{
	struct message_probe probe = { .slot = slot_index(entry->slot), .generation = operation->snapshot->generation };
	if (lock_queue_is_free(mutations->means.locks, entry->id))
		provisioner_hurry(mutations->means.provisioner, entry);
	if (operation->kind == OPERATION_PROBE)
		read_probe(operation, &entry->snapshot->spec, &probe);
	if (operation->problem.code != PROBLEM_NONE)
		return false;
	probe.request = expect(mutations, entry->worker, operation, &probe, done, owner);
	if (probe.request == 0)
		return false;
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

void action_start(struct mutations *mutations, struct operation *operation, void (*done)(void *owner), void *owner)
{
	struct entry *entry = registry_entry(mutations->means.registry, operation->id);
	bool is_sent = false;
	if (can_act(operation, entry)) {
		operation->snapshot = snapshot_reference(entry->snapshot);
		is_sent = send_action(mutations, operation, entry, done, owner);
	}
	if (!is_sent)
		done(owner);
}
