#include "service/recorder.h"

#include <stdlib.h>

#include "service/registry/history.h"

struct recorder {
	struct registry *registry;
	int64_t last_ms; /* when the counters were last read, 0: not yet */
	size_t kept;     /* tunnels with a history */
};

struct recorder *recorder_create(struct registry *registry, int64_t since)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	if (recorder != NULL)
		*recorder = (struct recorder){ .registry = registry, .last_ms = since };
	return recorder;
}

void recorder_free(struct recorder *recorder)
{
	free(recorder);
}

/* Bytes a second since the last tick. The total comes from a worker, which is not trusted, and may have begun anew. */
static uint32_t take_rate(uint64_t *counted, uint64_t total, int64_t elapsed_ms)
{
	uint64_t fresh = total >= *counted ? total - *counted : total;
	*counted = total;
	double rate = (double)fresh * 1000 / (double)elapsed_ms;
	if (rate >= UINT32_MAX)
		return UINT32_MAX;
	/* A few bytes are not nothing. */
	return rate > 0 && rate < 1 ? 1 : (uint32_t)rate;
}

static uint32_t open_connections(const struct counters_tunnel *counters)
{
	uint64_t open = counters_open_connections(counters);
	return open < UINT32_MAX ? (uint32_t)open : UINT32_MAX;
}

/* The probe's, else that of the last handshake. */
static uint32_t rtt_of(const struct snapshot *snapshot)
{
	struct snapshot_health health;
	snapshot_health(snapshot, &health);
	double probed_us = health.probe.rtt_ms * 1000;
	return probed_us > 0 && probed_us < UINT32_MAX ? (uint32_t)probed_us : health.round_trip_us;
}

/* A tunnel that carried nothing for an hour has no history: it is begun with what it carries next. */
static void record(struct recorder *recorder, struct entry *entry, int64_t now_ms, int64_t elapsed_ms)
{
	const struct counters_tunnel *counters = entry->snapshot->counters;
	if (entry->snapshot->spec.kind != SPEC_TUNNEL || counters == NULL)
		return;
	struct history_point point = { .sent = take_rate(&entry->recorded_sent, counter_read(&counters->bytes_sent), elapsed_ms),
		                       .received = take_rate(&entry->recorded_received, counter_read(&counters->bytes_received), elapsed_ms),
		                       .connections = open_connections(counters) };
	bool has_history = status_has_history(entry->status);
	if (recorder->last_ms == 0 || (!has_history && (!history_carries(&point) || recorder->kept >= RECORDER_MOST)))
		return;
	point.rtt_us = rtt_of(entry->snapshot);
	size_t steps = (size_t)((elapsed_ms + HISTORY_STEP_MS / 2) / HISTORY_STEP_MS);
	if (status_record(entry->status, &point, now_ms, steps == 0 ? 1 : steps))
		recorder->kept++;
}

void recorder_tick(struct recorder *recorder, int64_t now_ms)
{
	/* A clock that was set back says nothing of how long it was. */
	int64_t elapsed_ms = now_ms > recorder->last_ms ? now_ms - recorder->last_ms : HISTORY_STEP_MS;
	/* Counted anew, since deleted tunnels take theirs along. */
	recorder->kept = 0;
	for (size_t i = 0; i < registry_count(recorder->registry); i++)
		recorder->kept += status_has_history(registry_at(recorder->registry, i)->status);
	for (size_t i = 0; i < registry_count(recorder->registry); i++)
		record(recorder, registry_at(recorder->registry, i), now_ms, elapsed_ms);
	recorder->last_ms = now_ms;
}
