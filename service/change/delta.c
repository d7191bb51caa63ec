#include "service/change/delta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/obfuscation.h"
#include "ipc/wall_clock.h"
#include "service/change/delta_peer.h"
#include "service/change/policy.h"
#include "service/change/precondition.h"
#include "service/registry/snapshot_json.h"
#include "service/registry/snapshot_make.h"
#include "service/spec/json_writer.h"

void delta_clear(struct delta *delta)
{
	socket_list_clear(&delta->sockets);
	free(delta->addresses);
	snapshot_release(delta->before);
	snapshot_release(delta->after);
	if (delta->is_new)
		entry_free(delta->entry);
	*delta = (struct delta){ .key = "" };
}

bool delta_changes(const struct delta *delta)
{
	return delta->after != delta->before;
}

size_t delta_peers(const struct delta *delta)
{
	size_t before = delta->before == NULL ? 0 : delta->before->spec.peer_count;
	size_t after = delta->after == NULL ? 0 : delta->after->spec.peer_count;
	return before > after ? before : after;
}

static void refuse(struct operation *operation, struct candidate *candidate)
{
	operation->problem = candidate->problem;
	problem_init(&candidate->problem);
}

static bool has_stamp(const struct snapshot *current, const struct operation_stamp *stamp)
{
	return stamp->revision == 0 || stamp->revision == current->revision;
}

/* The generation here is never lower than one that a worker may still know. */
static void stamp(struct delta *delta, struct snapshot *made, const struct operation_stamp *stamp)
{
	delta->is_stamped = stamp->revision != 0;
	if (!delta->is_stamped)
		return;
	made->revision = stamp->revision;
	made->generation = stamp->generation > made->generation ? stamp->generation : made->generation;
	made->created_at = stamp->created_at;
	made->updated_at = stamp->updated_at;
}

/* Takes over the candidate's labels and spec. If they equal the existing ones, nothing changes and the ETag is kept. */
static void replace(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	const struct snapshot *current = delta->after;
	policy_check(policy, &candidate->spec, current == NULL ? NULL : &current->spec, scope, candidate->pointer, &candidate->problem);
	if (candidate->problem.code != PROBLEM_NONE) {
		refuse(operation, candidate);
		return;
	}
	bool is_same_spec = current != NULL && (candidate->is_prepared ? candidate->is_equal : spec_equal(&current->spec, &candidate->spec));
	bool is_equal = is_same_spec && current->failure == NULL &&
	                labels_equal(current->labels, current->label_count, candidate->labels, candidate->label_count) &&
	                has_stamp(current, &operation->stamp);
	if (is_equal && (delta->entry == NULL || socket_list_is_there(&delta->entry->sockets)))
		return;
	delta->binds_again |= is_equal;
	memcpy(delta->pointer, candidate->pointer, sizeof(delta->pointer));
	size_t label_count = candidate->label_count;
	candidate->label_count = 0;
	struct snapshot *made = snapshot_make(object_key_id(delta->key), &candidate->labels, label_count, &candidate->spec, delta->before,
	                                      &candidate->spec_json, &candidate->wire, wall_clock_ms());
	if (made == NULL) {
		problem_out_of_memory(&operation->problem);
		return;
	}
	made->origin = operation->origin;
	delta->ts_floor = operation->ts_floor;
	stamp(delta, made, &operation->stamp);
	operation->applied = current == NULL ? APPLIED_CREATED : APPLIED_IN_PLACE;
	delta->is_created |= current == NULL;
	snapshot_release(delta->after);
	delta->after = made;
}

static void put(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	if (candidate->id[0] != '\0' && strcmp(candidate->id, object_key_id(delta->key)) != 0) {
		char pointer[96];
		snprintf(pointer, sizeof(pointer), "%s/id", candidate->pointer);
		problem_add(&candidate->problem, pointer, "mismatch", "The id differs from the one in the path.");
	}
	if (!candidate->is_prepared)
		candidate_complete(candidate, delta->after == NULL ? NULL : &delta->after->spec);
	replace(delta, policy, operation, candidate, scope);
}

static void create(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	if (delta->after != NULL && operation->object == SPEC_POOL)
		problem_set(&operation->problem, PROBLEM_POOL_EXISTS, "A pool with this id already exists; PUT replaces it, PATCH changes it.");
	else if (delta->after != NULL)
		problem_set(&operation->problem, PROBLEM_TUNNEL_EXISTS, "A tunnel with this id already exists; PUT replaces it, PATCH changes it.");
	else
		put(delta, policy, operation, candidate, scope);
}

/* RFC 7396, 2. */
static json_t *merge(struct json_writer *writer, json_t *target, const json_t *patch)
{
	if (!json_is_object(patch))
		return json_incref((json_t *)(uintptr_t)patch); /* nothing is merged into it */
	json_t *result = json_is_object(target) ? json_incref(target) : json_object();
	json_t *walked = (json_t *)(uintptr_t)patch;
	const char *name;
	json_t *value;
	json_object_foreach (walked, name, value) {
		if (json_is_null(value))
			(void)json_object_del(result, name);
		else
			json_writer_set(writer, result, name, merge(writer, json_object_get(result, name), value));
	}
	return result;
}

/* The patched document contains the key, so if it is missing afterwards, the patch removed it. */
static void mark_removed_key(struct candidate *candidate, const json_t *document)
{
	const json_t *interface = json_object_get(json_object_get(document, "spec"), "interface");
	if (json_object_get(interface, "private_key") == NULL)
		candidate->private_key = CANDIDATE_SECRET_REMOVED;
}

static void read_patch(const struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	struct json_writer writer = { .failed = false };
	json_t *document = snapshot_to_json(&writer, now);
	json_t *merged = json_writer_end(&writer, merge(&writer, document, operation->document));
	if (writer.failed || merged == NULL) {
		problem_out_of_memory(&candidate->problem);
	} else {
		candidate_read(candidate, merged, "");
		mark_removed_key(candidate, merged);
	}
	json_decref(merged);
	json_decref(document);
}

static void replace_member(struct json_writer *writer, json_t *object, const char *member, const json_t *from)
{
	json_t *value = json_object_get(from, member);
	if (value != NULL)
		json_writer_set(writer, object, member, json_incref(value));
	else
		(void)json_object_del(object, member);
}

static void update_member(struct json_writer *writer, json_t *object, const char *member, const json_t *from)
{
	json_t *value = json_object_get(from, member);
	writer->failed |= value != NULL && json_object_update(json_object_get(object, member), value) != 0;
}

static void keep_member(struct json_writer *writer, json_t *object, const char *member, const json_t *from)
{
	if (json_object_get(object, member) == NULL)
		replace_member(writer, object, member, from);
}

/* The file's. It keeps the outer tunnel unless it names one, and LWO, for which no file has a key, unless it has AmneziaWG. */
static void replace_interface(struct json_writer *writer, json_t *spec, const json_t *said)
{
	const json_t *now = json_object_get(spec, "interface");
	json_t *interface = json_writer_copy(writer, json_object_get(said, "interface"));
	const char *type = json_string_value(json_object_get(json_object_get(now, "obfuscation"), "type"));
	if (type != NULL && strcmp(type, obfuscation_type_name(OBFUSCATION_LWO)) == 0)
		keep_member(writer, interface, "obfuscation", now);
	keep_member(writer, interface, "via", now);
	json_writer_set(writer, spec, "interface", interface);
}

/* The interface and the peers are the file's; labels and listeners come from the address's query, and only if there are any. */
static void lay_file_over(struct json_writer *writer, json_t *document, const json_t *file)
{
	json_t *spec = json_object_get(document, "spec");
	const json_t *said = json_object_get(file, "spec");
	replace_interface(writer, spec, said);
	replace_member(writer, spec, "peers", said);
	update_member(writer, spec, "proxy", said);
	update_member(writer, document, "labels", file);
}

/* A file must not remove what it cannot express: users would be gone, and their port open to everybody. */
static void read_file(const struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	struct json_writer writer = { .failed = false };
	json_t *document = snapshot_to_json(&writer, now);
	lay_file_over(&writer, document, operation->document);
	document = json_writer_end(&writer, document);
	if (document == NULL)
		problem_out_of_memory(&candidate->problem);
	else
		candidate_read(candidate, document, "");
	json_decref(document);
}

/* The tunnel with other peers, and all else as it is. */
static void read_peer_change(const struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	candidate->private_key = CANDIDATE_SECRET_SET;
	if (!spec_copy(&candidate->spec, &now->spec) || !labels_copy(&candidate->labels, now->labels, now->label_count)) {
		problem_out_of_memory(&candidate->problem);
		return;
	}
	candidate->label_count = now->label_count;
	delta_peer_apply(&candidate->spec, operation, &candidate->problem);
	if (candidate->problem.code == PROBLEM_NONE)
		candidate_compare(candidate, &now->spec);
}

static const struct spec *spec_of(const struct snapshot *snapshot)
{
	return snapshot == NULL ? NULL : &snapshot->spec;
}

static bool needs_existing(enum operation_kind kind)
{
	return kind != OPERATION_CREATE && kind != OPERATION_PUT;
}

/* A file, or a record of the fleet, is the whole truth: what it leaves out is missing, here as on a machine that sees it for the first time. A
 * generated key stays. */
static void prepare_file(struct candidate *candidate, const struct spec *base)
{
	candidate_complete(candidate, candidate->generate_private_key ? base : NULL);
	candidate_compare(candidate, base);
}

void delta_read(const struct operation *operation, struct candidate *candidate, const struct snapshot *now)
{
	candidate_init(candidate, operation->object);
	problem_add_all(&candidate->problem, "", &operation->faults);
	if (now == NULL && needs_existing(operation->kind))
		return;
	switch (operation->kind) {
	case OPERATION_CREATE:
	case OPERATION_PUT:
		if (operation->is_file && now != NULL)
			read_file(operation, candidate, now);
		else
			candidate_read(candidate, operation->document, "");
		if (operation->origin != SNAPSHOT_OF_API)
			prepare_file(candidate, spec_of(now));
		else
			candidate_prepare(candidate, spec_of(now));
		break;
	case OPERATION_PATCH:
		read_patch(operation, candidate, now);
		candidate_prepare(candidate, spec_of(now));
		break;
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH:
	case OPERATION_PEER_DELETE: read_peer_change(operation, candidate, now); break;
	case OPERATION_DELETE:
	case OPERATION_RECONNECT:
	case OPERATION_PROBE:
	case OPERATION_MOVE:
	case OPERATION_COUNT:
	case OPERATION_FORGET: break;
	}
}

static void remove_object(struct delta *delta)
{
	snapshot_release(delta->after);
	delta->after = NULL;
	delta->is_created = false;
}

static void change_peer(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	bool is_new_peer = spec_peer_find(&delta->after->spec, &operation->peer) == NULL;
	/* Faults of the peer have pointers into its document, those of the policy into the tunnel's: not both. */
	if (candidate->problem.code != PROBLEM_NONE)
		refuse(operation, candidate);
	else
		replace(delta, policy, operation, candidate, scope);
	if (operation->problem.code == PROBLEM_NONE && is_new_peer)
		operation->applied = APPLIED_CREATED;
}

/* Another change, or an earlier operation of this one, came between the reading and the turn. */
static bool must_read_again(const struct operation *operation, const struct candidate *candidate, const struct snapshot *now)
{
	const struct spec *base = spec_of(now);
	bool must_read = false;
	switch (operation->kind) {
	case OPERATION_PUT: must_read = candidate->is_prepared && candidate->base != base; break;
	case OPERATION_PATCH:
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH:
	case OPERATION_PEER_DELETE: must_read = !candidate->is_prepared || candidate->base != base; break;
	case OPERATION_CREATE:
	case OPERATION_DELETE:
	case OPERATION_RECONNECT:
	case OPERATION_PROBE:
	case OPERATION_MOVE:
	case OPERATION_COUNT:
	case OPERATION_FORGET: break;
	}
	return must_read;
}

/* Without --tunnels-dir what came from files can be written, and is the API's from then on. */
static bool is_others(const struct policy *policy, struct operation *operation, const struct snapshot *now)
{
	if (operation->origin == SNAPSHOT_OF_FLEET && now->origin != SNAPSHOT_OF_FLEET)
		problem_set(&operation->problem, operation->object == SPEC_POOL ? PROBLEM_POOL_EXISTS : PROBLEM_TUNNEL_EXISTS,
		            "This node has a %s of its own with this id: delete it, and that of the fleet takes its place.",
		            spec_kind_name(operation->object));
	else if (operation->origin == SNAPSHOT_OF_FILE && now->origin != SNAPSHOT_OF_FILE)
		problem_set(&operation->problem, operation->object == SPEC_POOL ? PROBLEM_POOL_EXISTS : PROBLEM_TUNNEL_EXISTS,
		            "The API already has a %s with this id: rename the file, or delete the %s and the file takes its place.",
		            spec_kind_name(operation->object), spec_kind_name(operation->object));
	else if (operation->origin == SNAPSHOT_OF_API && now->origin == SNAPSHOT_OF_FILE && policy->has_files)
		problem_set(&operation->problem, PROBLEM_MANAGED_BY_FILE,
		            "This %s comes from a file of the tunnels directory: change or remove the file instead.",
		            spec_kind_name(operation->object));
	return operation->problem.code != PROBLEM_NONE;
}

void delta_apply(struct delta *delta, const struct policy *policy, struct operation *operation, struct candidate *candidate, unsigned scope)
{
	if (delta->after == NULL && needs_existing(operation->kind)) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no %s with this id.", spec_kind_name(operation->object));
		return;
	}
	if (delta->after != NULL &&
	    !selectors_accept(operation->selectors, operation->selector_count, delta->after->labels, delta->after->label_count)) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "The %s with this id no longer has the labels.",
		            spec_kind_name(operation->object));
		return;
	}
	if (!precondition_holds(operation, delta->after)) {
		problem_set(&operation->problem, PROBLEM_PRECONDITION_FAILED, "The %s's ETag does not satisfy If-Match or If-None-Match.",
		            spec_kind_name(operation->object));
		return;
	}
	if (delta->after != NULL && is_others(policy, operation, delta->after))
		return;
	operation->applied = APPLIED_UNCHANGED;
	if (must_read_again(operation, candidate, delta->after)) {
		candidate_clear(candidate);
		delta_read(operation, candidate, delta->after);
	}
	switch (operation->kind) {
	case OPERATION_CREATE: create(delta, policy, operation, candidate, scope); break;
	case OPERATION_PUT:
	case OPERATION_PATCH: put(delta, policy, operation, candidate, scope); break;
	case OPERATION_DELETE: remove_object(delta); break;
	case OPERATION_PEER_PUT:
	case OPERATION_PEER_PATCH:
	case OPERATION_PEER_DELETE: change_peer(delta, policy, operation, candidate, scope); break;
	case OPERATION_RECONNECT:
	case OPERATION_PROBE:
	case OPERATION_MOVE:
	case OPERATION_COUNT:
	case OPERATION_FORGET:
		problem_set(&operation->problem, PROBLEM_INVALID_REQUEST, "An action cannot be part of an atomic batch, and has no dry run.");
		break;
	}
}
