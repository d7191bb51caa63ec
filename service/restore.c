/* The tunnels that were found in the store: read, bound, and given to workers. One that cannot be run gets the state failed, and never
 * keeps the daemon or another tunnel from starting. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/change/policy.h"
#include "service/registry/snapshot_make.h"
#include "service/registry/status.h"
#include "service/service_private.h"
#include "service/worker/peer_lookup.h"

#define INSIST_MS 5000  /* the sockets of a daemon that was killed may be there for a moment yet */
#define RETRY_TICKS 100 /* of a tunnel whose address is taken: every 10 s */

static struct snapshot *read_snapshot(const struct service *service, const struct database_tunnel *row, char reason[200])
{
	struct candidate candidate;
	json_error_t error;
	json_t *document = json_loads(row->document, JSON_REJECT_DUPLICATES, &error);
	candidate_init(&candidate);
	candidate_read(&candidate, document, "");
	candidate_complete(&candidate, NULL);
	policy_check(service, &candidate.spec, NULL, SCOPE_ADMIN, "", &candidate.problem);
	reason[0] = '\0';
	if (candidate.problem.code != PROBLEM_NONE)
		snprintf(reason, 200, "the stored tunnel cannot run: %.40s %.120s",
		         candidate.problem.fault_count > 0 ? candidate.problem.faults[0].pointer : "",
		         candidate.problem.fault_count > 0 ? candidate.problem.faults[0].detail : candidate.problem.detail);
	bool is_broken = document == NULL || (candidate.problem.code != PROBLEM_NONE && !candidate.spec.has_private_key);
	if (is_broken) {
		/* What is half read is not shown as if it were the tunnel. */
		spec_clear(&candidate.spec);
		spec_init(&candidate.spec);
	}
	size_t label_count = candidate.label_count;
	candidate.label_count = 0;
	struct snapshot *snapshot = snapshot_make(row->id, &candidate.labels, label_count, &candidate.spec, NULL, NULL, row->updated_at);
	candidate_clear(&candidate);
	json_decref(document);
	return snapshot;
}

bool restore_take(void *owner, struct database_tunnel *row)
{
	struct service *service = owner;
	char reason[200] = "";
	struct entry *entry = entry_create(row->id);
	struct snapshot *snapshot = read_snapshot(service, row, reason);
	char *failure = reason[0] == '\0' ? NULL : strdup(reason);
	bool is_made = entry != NULL && snapshot != NULL && (failure != NULL || reason[0] == '\0') && registry_reserve(service->registry, 1);
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
	service->unbound += entry->is_unbound;
	entry->ports = row->ports;
	row->ports = NULL;
	registry_add(service->registry, entry);
	registry_unreserve(service->registry, 1);
	if (reason[0] != '\0')
		log_line(LOG_ERROR, row->id, "%s", reason);
	database_tunnel_clear(row);
	return true;
}

static void publish_state(struct service *service, const struct entry *entry, enum tunnel_state state, const char *reason)
{
	char *quoted = events_quote(reason, strlen(reason)), *members = NULL;
	if (asprintf(&members, "\"state\":\"%s\",\"reason\":%s", tunnel_state_name(state), quoted == NULL ? "\"\"" : quoted) < 0)
		members = NULL;
	if (members != NULL)
		events_publish(service->events, EVENT_TUNNEL_STATE, entry->id, members);
	free(quoted);
	free(members);
}

bool restore_fail(struct service *service, struct entry *entry, const struct lock_claim *turn, const char *reason)
{
	registry_assert_turn(service->registry, entry, turn);
	if (entry->snapshot->failure != NULL && strcmp(entry->snapshot->failure, reason) == 0)
		return true;
	struct snapshot *failed = snapshot_copy(entry->snapshot);
	log_line(LOG_ERROR, entry->id, "the tunnel failed: %s", reason);
	char *failure = failed == NULL ? NULL : strdup(reason);
	if (failure == NULL) {
		snapshot_release(failed);
		return false;
	}
	free(failed->failure);
	failed->failure = failure;
	if (entry->worker != NULL && worker_is_ready(entry->worker))
		runtime_send(entry->worker, MESSAGE_REMOVE, 0, slot_index(entry->slot), entry->snapshot->generation);
	/* Nobody would answer on them. */
	socket_list_clear(&entry->sockets);
	snapshot_drop_sockets(failed);
	snapshot_release(registry_swap(service->registry, entry, turn, failed));
	publish_state(service, entry, TUNNEL_FAILED, reason);
	return true;
}

static bool take_place(struct service *service, struct entry *entry, struct snapshot *snapshot)
{
	if (entry->worker == NULL && !placement_choose(service, entry))
		return false;
	free(entry->addresses);
	bool has_addresses = peer_lookup_addresses(&entry->addresses, &snapshot->spec, NULL, NULL);
	bool has_slots = snapshot->slots != NULL || snapshot_take_slots(snapshot, entry, NULL);
	return has_addresses && has_slots && snapshot_take_sockets(snapshot, &entry->sockets);
}

/* False: memory ran out, and it is as it was. */
static bool give_to_worker(struct service *service, struct entry *entry)
{
	struct snapshot *snapshot = snapshot_copy(entry->snapshot);
	if (snapshot == NULL)
		return false;
	free(snapshot->failure);
	snapshot->failure = NULL;
	/* The copy has the status already; taking slots would count it twice. */
	status_release(snapshot->status);
	snapshot->status = NULL;
	if (!take_place(service, entry, snapshot)) {
		snapshot_release(snapshot);
		return restore_fail(service, entry, NULL, "the limit of tunnels or peers is reached");
	}
	if (snapshot->status == NULL)
		snapshot->status = status_reference(entry->status);
	snapshot_release(registry_swap(service->registry, entry, NULL, snapshot));
	service_seat(service, entry);
	provision(service, entry);
	peer_lookup_start(service, entry);
	return true;
}

static void bind_entry(struct service *service, struct entry *entry, bool insists)
{
	const struct spec *spec = &entry->snapshot->spec;
	struct problem problem;
	struct socket_pool none = { .count = 0 };
	json_t *ports = entry->ports == NULL ? NULL : json_loads(entry->ports, 0, NULL);
	struct socket_request request = {
		.spec = spec, .roots = &service->socket_roots, .ports = ports, .insists = insists, .next_id = &entry->next_socket_id, .pointer = ""
	};
	problem_init(&problem);
	bool is_open = socket_list_want(&entry->sockets, spec) && socket_list_open(&entry->sockets, &request, &none, &problem);
	json_decref(ports);
	if (is_open && give_to_worker(service, entry)) {
		entry->is_unbound = false;
		service->unbound--;
	} else {
		/* One that memory was missing for is tried again with the others. */
		socket_list_clear(&entry->sockets);
		char reason[200];
		if (is_open)
			problem_set(&problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		snprintf(reason, sizeof(reason), "%.60s: %.120s", problem.fault_count > 0 ? problem.faults[0].pointer : "sockets",
		         problem.fault_count > 0 ? problem.faults[0].detail : problem.detail);
		if (!insists)
			(void)restore_fail(service, entry, NULL, reason);
	}
	problem_clear(&problem);
}

static void bind_unbound(struct service *service, bool insists)
{
	for (size_t i = 0; i < registry_count(service->registry); i++) {
		struct entry *entry = registry_at(service->registry, i);
		/* A change that is under way binds it itself, or fails and leaves it to a later tick. */
		if (entry->is_unbound && lock_queue_is_free(service->locks, entry->id))
			bind_entry(service, entry, insists);
	}
}

void restore_bind_all(struct service *service)
{
	bind_unbound(service, true);
	service->is_restored = service->unbound == 0;
}

void restore_tick(struct service *service)
{
	if (service->unbound == 0) {
		service->is_restored = true;
		return;
	}
	bool insists = uv_now(&service->loop) - service->started_at < INSIST_MS;
	if (insists || !service->is_restored || service->ticks % RETRY_TICKS == 0)
		bind_unbound(service, insists);
	service->is_restored = service->is_restored || !insists;
}
