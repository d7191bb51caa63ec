/* Counting, freeing and reading of snapshots. */
#include "service/registry/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/registry/slot.h"
#include "service/registry/status.h"
#include "service/spec/labels.h"

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
	labels_free(snapshot->labels, snapshot->label_count);
	spec_clear(&snapshot->spec);
	free(snapshot->labels_json);
	free(snapshot->spec_json);
	free(snapshot->failure);
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

void snapshot_status(const struct snapshot *snapshot, struct snapshot_status *status)
{
	*status = (struct snapshot_status){ .state = TUNNEL_STARTING, .since = snapshot->updated_at };
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
	char obstacle[160];
	bool is_up = status->state == TUNNEL_UP;
	status_get(snapshot->status, is_up, status->reason, obstacle);
	if (obstacle[0] != '\0' && !is_up && status->state != TUNNEL_DISABLED && status->state != TUNNEL_FAILED)
		snprintf(status->reason, sizeof(status->reason), "%s", obstacle);
}

static bool has_label(const struct snapshot *snapshot, const char *key, const char *value)
{
	for (size_t i = 0; i < snapshot->label_count; i++)
		if (strcmp(snapshot->labels[i].key, key) == 0)
			return strcmp(snapshot->labels[i].value, value) == 0;
	return false;
}

bool snapshot_has_labels(const struct snapshot *snapshot, const struct label *labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!has_label(snapshot, labels[i].key, labels[i].value))
			return false;
	return true;
}
