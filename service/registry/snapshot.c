/* Counting, freeing and reading of snapshots. */
#include "service/registry/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/wall_clock.h"
#include "service/registry/slot.h"
#include "service/registry/status.h"
#include "service/spec/labels.h"

#define ROUND_TRIP_MOST_US 1000000000u /* more is no round trip: the number comes from a worker, which is not trusted */

enum snapshot_origin snapshot_origin_of(const char *name)
{
	for (int origin = 0; name != NULL && origin < SNAPSHOT_ORIGINS; origin++)
		if (strcmp(snapshot_origin_name((enum snapshot_origin)origin), name) == 0)
			return (enum snapshot_origin)origin;
	return SNAPSHOT_OF_API;
}

struct snapshot *snapshot_reference(struct snapshot *snapshot)
{
	snapshot->references++;
	return snapshot;
}

void snapshot_drop_sockets(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->listen_count; i++)
		free(snapshot->listen[i]);
	free(snapshot->listen);
	for (size_t i = 0; snapshot->forwards != NULL && i < snapshot->spec.forward_count; i++)
		free(snapshot->forwards[i]);
	free(snapshot->forwards);
	snapshot->forwards = NULL;
	snapshot->listen = NULL;
	snapshot->listen_count = 0;
	snapshot->udp_port = 0;
}

void snapshot_release(struct snapshot *snapshot)
{
	if (snapshot == NULL || --snapshot->references > 0)
		return;
	for (size_t i = 0; snapshot->slots != NULL && i < snapshot->spec.peer_count + 1; i++)
		slot_release(snapshot->slots[i]);
	free(snapshot->slots);
	free(snapshot->peer_counters);
	snapshot_drop_sockets(snapshot);
	spec_labels_free(snapshot->labels, snapshot->label_count);
	spec_clear(&snapshot->spec);
	free(snapshot->labels_json);
	free(snapshot->spec_json);
	message_writer_clear(&snapshot->wire);
	free(snapshot->former);
	free(snapshot->failure);
	free(snapshot->elsewhere);
	status_release(snapshot->status);
	free(snapshot);
}

static void read_counters(const struct snapshot *snapshot, struct snapshot_status *status)
{
	const struct counters_tunnel *counters = snapshot->counters;
	uint64_t state = counter_read(&counters->state);
	/* The number comes from a worker, which is not trusted. */
	status->state = state < TUNNEL_STATE_COUNT ? (enum tunnel_state)state : TUNNEL_FAILED;
	status->since = (int64_t)counter_read(&counters->state_since);
	status->started_at = (int64_t)counter_read(&counters->started_at);
	status->observed_generation = counter_read(&counters->generation);
	if (status->since == 0)
		status->since = snapshot->updated_at;
}

static void read_elsewhere(const struct snapshot_elsewhere *elsewhere, struct snapshot_status *status)
{
	if (elsewhere->is_told)
		*status = elsewhere->status;
	else
		snprintf(status->reason, sizeof(status->reason), "%s",
		         elsewhere->node[0] == '\0' ? "no node runs it now" : "its node has not told of it yet");
}

void snapshot_status(const struct snapshot *snapshot, struct snapshot_status *status)
{
	*status = (struct snapshot_status){ .state = TUNNEL_STARTING, .since = snapshot->updated_at };
	if (snapshot->elsewhere != NULL) {
		read_elsewhere(snapshot->elsewhere, status);
		return;
	}
	if (snapshot->failure != NULL) {
		status->state = TUNNEL_FAILED;
		status->observed_generation = snapshot->generation;
		snprintf(status->reason, sizeof(status->reason), "%s", snapshot->failure);
		return;
	}
	if (snapshot->counters != NULL)
		read_counters(snapshot, status);
	if (snapshot->status == NULL)
		return;
	if (snapshot->spec.kind == SPEC_POOL) {
		int64_t since;
		status->state = status_get_state(snapshot->status, status->reason, &since);
		status->since = since == 0 ? snapshot->updated_at : since;
		return;
	}
	char obstacle[160];
	struct status_report told = { .generation = status->observed_generation, .state = status->state, .since = status->since };
	status_get(snapshot->status, &told, wall_clock_ms(), status->reason, obstacle);
	status->state = told.state;
	status->since = told.since;
	bool is_up = status->state == TUNNEL_UP;
	if (status->state == TUNNEL_DISABLED && spec_is_expired(&snapshot->spec, wall_clock_ms()))
		snprintf(status->reason, sizeof(status->reason), "expired");
	if (obstacle[0] != '\0' && !is_up && status->state != TUNNEL_DISABLED && status->state != TUNNEL_FAILED)
		snprintf(status->reason, sizeof(status->reason), "%s", obstacle);
}

bool snapshot_source_fault(const struct snapshot *snapshot, char detail[STATUS_SOURCE_FAULT_SIZE], int64_t *at_ms)
{
	const struct snapshot_elsewhere *elsewhere = snapshot->elsewhere;
	if (elsewhere == NULL)
		return snapshot->status != NULL && status_get_source_fault(snapshot->status, detail, at_ms);
	snprintf(detail, STATUS_SOURCE_FAULT_SIZE, "%s", elsewhere->fault);
	*at_ms = elsewhere->fault_at;
	return elsewhere->fault[0] != '\0';
}

/* That of the peer with the latest handshake. */
static uint32_t round_trip_of(const struct snapshot *snapshot)
{
	uint64_t latest = 0, round_trip = 0;
	for (size_t i = 0; snapshot->peer_counters != NULL && i < snapshot->spec.peer_count; i++) {
		const struct counters_peer *counters = snapshot->peer_counters[i];
		uint64_t at = counters == NULL ? 0 : counter_read(&counters->last_handshake_at);
		if (at <= latest)
			continue;
		latest = at;
		round_trip = counter_read(&counters->round_trip_us);
	}
	return round_trip <= ROUND_TRIP_MOST_US ? (uint32_t)round_trip : 0;
}

/* What the worker published counts only while the tunnel is up. */
void snapshot_health(const struct snapshot *snapshot, struct snapshot_health *health)
{
	struct snapshot_status status;
	snapshot_status(snapshot, &status);
	*health = (struct snapshot_health){ .health = TUNNEL_UNHEALTHY, .since = status.since, .probe = { .rtt_ms = -1 } };
	if (snapshot->status != NULL)
		health->has_probe = status_get_probe(snapshot->status, &health->probe);
	if (snapshot->elsewhere != NULL && snapshot->elsewhere->is_told) {
		health->health = snapshot->elsewhere->health;
		health->since = snapshot->elsewhere->health_since;
	}
	if (snapshot->failure != NULL || snapshot->counters == NULL)
		return;
	health->round_trip_us = round_trip_of(snapshot);
	uint64_t published = counter_read(&snapshot->counters->health);
	uint64_t since = counter_read(&snapshot->counters->health_since);
	if (status.state == TUNNEL_UP)
		health->health = published < TUNNEL_HEALTH_COUNT ? (enum tunnel_health)published : TUNNEL_HEALTH_UNKNOWN;
	if (since != 0 && (uint64_t)health->health == published)
		health->since = (int64_t)since;
}

bool snapshot_history(const struct snapshot *snapshot, struct history *history)
{
	return snapshot->status != NULL && status_get_history(snapshot->status, history);
}
