#include "service/restorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/registry/snapshot_make.h"
#include "service/registry/status.h"
#include "service/spec/candidate.h"
#include "service/store/scope.h"
#include "service/worker/failure.h"
#include "service/worker/placement.h"

#define INSIST_MS 5000  /* the sockets of a killed daemon may exist for a moment longer */
#define RETRY_TICKS 100 /* of a tunnel whose address is taken: every 10 s */

struct restorer {
	struct restorer_means means;
	struct supervisor *supervisor; /* borrowed, when it is started */
	uint64_t started_at;           /* uv_now */
	unsigned ticks;
	_Atomic bool is_done;
};

struct restorer *restorer_create(const struct restorer_means *means)
{
	struct restorer *restorer = calloc(1, sizeof(*restorer));
	if (restorer != NULL)
		restorer->means = *means;
	return restorer;
}

void restorer_free(struct restorer *restorer)
{
	free(restorer);
}

static enum snapshot_origin origin_of(const json_t *document)
{
	return snapshot_origin_of(json_string_value(json_object_get(document, "origin")));
}

/* The stored document, and in `reason` why it cannot run, or "". False when out of memory, which says nothing of the document. */
static bool read_candidate(const struct restorer *restorer, const struct database_tunnel *row, struct candidate *candidate,
                           enum snapshot_origin *origin, char reason[200])
{
	json_error_t error;
	bool lacks_memory;
	json_t *document = json_reader_load(row->document, strlen(row->document), &error, &lacks_memory);
	if (lacks_memory)
		return false;
	candidate_read(candidate, document, "");
	if (candidate->problem.code != PROBLEM_OUT_OF_RESOURCES)
		candidate_complete(candidate, NULL);
	bool is_whole = candidate->problem.code == PROBLEM_NONE || candidate->spec.has_private_key;
	if (candidate->problem.code != PROBLEM_OUT_OF_RESOURCES)
		policy_check(restorer->means.policy, &candidate->spec, NULL, SCOPE_ADMIN, "", &candidate->problem);
	const struct problem *problem = &candidate->problem;
	bool is_broken = document == NULL || !is_whole;
	*origin = origin_of(document);
	json_decref(document);
	if (problem->code == PROBLEM_OUT_OF_RESOURCES)
		return false;
	reason[0] = '\0';
	/* Another node may run it meanwhile. */
	if (*origin == SNAPSHOT_OF_FLEET && !restorer->means.policy->is_in_fleet)
		snprintf(reason, 200, "it is of a fleet, and this daemon is in none: start with --fleet, or delete it");
	else if (problem->code != PROBLEM_NONE)
		snprintf(reason, 200, "what is stored cannot run: %.40s %.120s", problem->fault_count > 0 ? problem->faults[0].pointer : "",
		         problem->fault_count > 0 ? problem->faults[0].detail : problem->detail);
	if (is_broken) {
		/* A partly read spec must not be shown as the tunnel. */
		enum spec_kind kind = candidate->spec.kind;
		spec_clear(&candidate->spec);
		spec_init_kind(&candidate->spec, kind);
	}
	return true;
}

/* NULL when out of memory. */
static struct snapshot *read_snapshot(const struct restorer *restorer, const struct database_tunnel *row, char reason[200])
{
	struct candidate candidate;
	struct snapshot *snapshot = NULL;
	enum snapshot_origin origin = SNAPSHOT_OF_API;
	candidate_init(&candidate, object_key_kind(row->key));
	if (read_candidate(restorer, row, &candidate, &origin, reason)) {
		size_t label_count = candidate.label_count;
		candidate.label_count = 0;
		snapshot = snapshot_make(object_key_id(row->key), &candidate.labels, label_count, &candidate.spec, NULL, NULL, NULL, row->updated_at);
		if (snapshot != NULL)
			snapshot->origin = origin;
	}
	candidate_clear(&candidate);
	return snapshot;
}

bool restorer_take(void *owner, struct database_tunnel *row)
{
	struct restorer *restorer = owner;
	char reason[200] = "";
	struct entry *entry = entry_create(row->key);
	struct snapshot *snapshot = read_snapshot(restorer, row, reason);
	char *failure = reason[0] == '\0' ? NULL : strdup(reason);
	bool is_made = entry != NULL && snapshot != NULL && (failure != NULL || reason[0] == '\0') && registry_reserve(restorer->means.registry, 1);
	if (!is_made) {
		free(failure);
		entry_free(entry);
		snapshot_release(snapshot);
		database_tunnel_clear(row);
		return false;
	}
	snapshot->revision = row->revision;
	snapshot->generation = row->generation;
	snapshot->created_at = row->created_at;
	snapshot->failure = failure;
	snapshot->status = status_reference(entry->status);
	memcpy(entry->timestamp_floor, row->timestamp_floor, sizeof(entry->timestamp_floor));
	entry->total_bytes = row->total_bytes;
	entry->snapshot = snapshot;
	entry->is_unbound = snapshot->failure == NULL;
	entry->ports = row->ports;
	row->ports = NULL;
	registry_add(restorer->means.registry, entry);
	registry_unreserve(restorer->means.registry, 1);
	if (reason[0] != '\0')
		log_line(LOG_ERROR, entry->id, "%s", reason);
	database_tunnel_clear(row);
	return true;
}

/* False: memory ran out, and it is as it was. */
static bool give_to_worker(struct restorer *restorer, struct entry *entry)
{
	struct snapshot *snapshot = snapshot_copy(entry->snapshot);
	if (snapshot == NULL)
		return false;
	free(snapshot->failure);
	snapshot->failure = NULL;
	free(entry->addresses);
	entry->addresses = NULL;
	struct worker *near = placement_near(restorer->means.registry, entry->id, &snapshot->spec);
	bool has_room = entry->worker != NULL || near == NULL || placement_choose(restorer->supervisor, near, entry);
	enum placement placement =
	    !has_room ? PLACEMENT_USED_UP : placement_furnish(restorer->supervisor, entry, NULL, snapshot, &entry->sockets, &entry->addresses);
	if (placement != PLACEMENT_DONE)
		snapshot_release(snapshot);
	if (placement == PLACEMENT_NO_MEMORY)
		return false;
	if (placement == PLACEMENT_USED_UP)
		return failure_set(restorer->means.registry, restorer->means.events, entry, NULL, "the limit of tunnels or peers is reached");
	snapshot_release(registry_swap(restorer->means.registry, entry, NULL, snapshot));
	slot_table_put(restorer->means.slots, entry);
	provisioner_start(restorer->means.provisioner, entry);
	peer_lookup_start(restorer->means.lookups, entry);
	return true;
}

static void bind_entry(struct restorer *restorer, struct entry *entry, bool insists)
{
	const struct spec *spec = &entry->snapshot->spec;
	struct problem problem;
	struct socket_pool none = { .count = 0 };
	json_error_t error;
	bool lacks_memory = false;
	/* Without them it would have other ports than clients know. */
	json_t *ports = entry->ports == NULL ? NULL : json_reader_load(entry->ports, strlen(entry->ports), &error, &lacks_memory);
	struct socket_request request = {
		.spec = spec, .roots = restorer->means.roots, .ports = ports, .insists = insists, .next_id = &entry->next_socket_id, .pointer = ""
	};
	problem_init(&problem);
	bool is_open = !lacks_memory && socket_list_want(&entry->sockets, spec) && socket_list_open(&entry->sockets, &request, &none, &problem);
	json_decref(ports);
	if (is_open && give_to_worker(restorer, entry)) {
		registry_bound(restorer->means.registry, entry);
	} else {
		/* One that memory was missing for is tried again with the others. */
		socket_list_clear(&entry->sockets);
		char reason[200];
		if (problem.code == PROBLEM_NONE)
			problem_out_of_memory(&problem);
		snprintf(reason, sizeof(reason), "%.60s: %.120s", problem.fault_count > 0 ? problem.faults[0].pointer : "sockets",
		         problem.fault_count > 0 ? problem.faults[0].detail : problem.detail);
		if (!insists)
			(void)failure_set(restorer->means.registry, restorer->means.events, entry, NULL, reason);
	}
	problem_clear(&problem);
}

static void bind_unbound(struct restorer *restorer, bool insists)
{
	for (size_t i = 0; i < registry_count(restorer->means.registry); i++) {
		struct entry *entry = registry_at(restorer->means.registry, i);
		/* A change in progress binds it itself, or fails and leaves it to a later tick. */
		if (entry->is_unbound && lock_queue_is_free(restorer->means.locks, entry->key))
			bind_entry(restorer, entry, insists);
	}
}

void restorer_start(struct restorer *restorer, struct supervisor *supervisor)
{
	restorer->supervisor = supervisor;
	restorer->started_at = uv_now(restorer->means.loop);
	bind_unbound(restorer, true);
	restorer->is_done = registry_unbound_count(restorer->means.registry) == 0;
}

void restorer_tick(struct restorer *restorer)
{
	restorer->ticks++;
	if (registry_unbound_count(restorer->means.registry) == 0) {
		restorer->is_done = true;
		return;
	}
	bool insists = uv_now(restorer->means.loop) - restorer->started_at < INSIST_MS;
	if (insists || !restorer->is_done || restorer->ticks % RETRY_TICKS == 0)
		bind_unbound(restorer, insists);
	restorer->is_done = restorer->is_done || !insists;
}

bool restorer_is_done(const struct restorer *restorer)
{
	return restorer->is_done;
}
