#include "service/fleet/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/class.h"

#define LISTEN_MOST 128 /* bytes of an address */

uint64_t published_fingerprint(const struct snapshot *snapshot)
{
	struct snapshot_status status;
	struct snapshot_health health;
	char fault[STATUS_SOURCE_FAULT_SIZE];
	int64_t fault_at;
	snapshot_status(snapshot, &status);
	snapshot_health(snapshot, &health);
	uint64_t mixed = fleet_hash(snapshot->id) ^ snapshot->revision;
	mixed = fleet_hash_mix(mixed) ^ status.observed_generation ^ (uint64_t)status.state << 56 ^ (uint64_t)health.health << 48;
	mixed = fleet_hash_mix(mixed) ^ fleet_hash(status.reason) ^ (uint64_t)status.since;
	for (size_t i = 0; i < snapshot->listen_count; i++)
		mixed = fleet_hash_mix(mixed) ^ fleet_hash(snapshot->listen[i]);
	if (snapshot_source_fault(snapshot, fault, &fault_at))
		mixed = fleet_hash_mix(mixed) ^ fleet_hash(fault);
	return fleet_hash_mix(mixed);
}

json_t *published_begin(struct json_writer *writer, const char *node)
{
	json_t *value = json_object();
	json_writer_set(writer, value, "node", json_string(node));
	json_writer_set(writer, value, "objects", json_object());
	return value;
}

static json_t *listen_of(struct json_writer *writer, const struct snapshot *snapshot)
{
	json_t *list = json_array();
	for (size_t i = 0; i < snapshot->listen_count; i++)
		json_writer_add(writer, list, json_string(snapshot->listen[i]));
	return list;
}

static json_t *health_of(enum tunnel_health health)
{
	return health == TUNNEL_HEALTHY ? json_true() : health == TUNNEL_UNHEALTHY ? json_false() : json_null();
}

void published_add(struct json_writer *writer, json_t *value, const char *key, const struct snapshot *snapshot)
{
	struct snapshot_status status;
	struct snapshot_health health;
	char fault[STATUS_SOURCE_FAULT_SIZE];
	int64_t fault_at;
	json_t *told = json_object();
	snapshot_status(snapshot, &status);
	snapshot_health(snapshot, &health);
	json_writer_set(writer, told, "state", json_string(tunnel_state_name(status.state)));
	json_writer_set(writer, told, "reason", json_string(status.reason));
	json_writer_set(writer, told, "since", json_integer(status.since));
	json_writer_set(writer, told, "generation", json_integer((json_int_t)status.observed_generation));
	json_writer_set(writer, told, "healthy", health_of(health.health));
	json_writer_set(writer, told, "health_since", json_integer(health.since));
	json_writer_set(writer, told, "listen", listen_of(writer, snapshot));
	if (snapshot_source_fault(snapshot, fault, &fault_at)) {
		json_writer_set(writer, told, "fault", json_string(fault));
		json_writer_set(writer, told, "fault_at", json_integer(fault_at));
	}
	json_writer_set(writer, json_object_get(value, "objects"), key, told);
}

void published_add_fault(struct json_writer *writer, json_t *value, const char *key, const char *reason)
{
	json_t *told = json_object();
	json_writer_set(writer, told, "state", json_string(tunnel_state_name(TUNNEL_FAILED)));
	json_writer_set(writer, told, "reason", json_string(reason));
	json_writer_set(writer, told, "healthy", json_false());
	json_writer_set(writer, json_object_get(value, "objects"), key, told);
}

json_t *published_objects(const json_t *value, const char *node)
{
	const char *name = json_string_value(json_object_get(value, "node"));
	json_t *objects = json_object_get(value, "objects");
	return name != NULL && strcmp(name, node) == 0 && json_is_object(objects) ? objects : NULL;
}

static bool read_state(const json_t *told, enum tunnel_state *state)
{
	const char *name = json_string_value(json_object_get(told, "state"));
	for (unsigned i = 0; name != NULL && i < TUNNEL_STATE_COUNT; i++)
		if (strcmp(tunnel_state_name((enum tunnel_state)i), name) == 0) {
			*state = (enum tunnel_state)i;
			return true;
		}
	return false;
}

static void take_listen(struct snapshot *snapshot, const json_t *list)
{
	size_t count = json_array_size(list);
	if (count == 0 || count > SPEC_LISTEN_MAX || snapshot->listen != NULL)
		return;
	snapshot->listen = calloc(count, sizeof(char *));
	for (size_t i = 0; snapshot->listen != NULL && i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		char *copy = text == NULL || strlen(text) > LISTEN_MOST ? NULL : strdup(text);
		if (copy == NULL)
			return;
		snapshot->listen[snapshot->listen_count++] = copy;
	}
}

void published_take(struct snapshot *snapshot, const json_t *told)
{
	struct snapshot_elsewhere *elsewhere = snapshot->elsewhere;
	const char *reason = json_string_value(json_object_get(told, "reason"));
	const char *fault = json_string_value(json_object_get(told, "fault"));
	const json_t *healthy = json_object_get(told, "healthy");
	if (reason == NULL || !read_state(told, &elsewhere->status.state))
		return;
	snprintf(elsewhere->status.reason, sizeof(elsewhere->status.reason), "%s", reason);
	elsewhere->status.since = json_integer_value(json_object_get(told, "since"));
	if (elsewhere->status.since == 0)
		elsewhere->status.since = snapshot->updated_at;
	elsewhere->status.observed_generation = (uint64_t)json_integer_value(json_object_get(told, "generation"));
	elsewhere->health = json_is_true(healthy) ? TUNNEL_HEALTHY : json_is_false(healthy) ? TUNNEL_UNHEALTHY : TUNNEL_HEALTH_UNKNOWN;
	elsewhere->health_since = json_integer_value(json_object_get(told, "health_since"));
	if (elsewhere->health_since == 0)
		elsewhere->health_since = elsewhere->status.since;
	elsewhere->fault_at = json_integer_value(json_object_get(told, "fault_at"));
	snprintf(elsewhere->fault, sizeof(elsewhere->fault), "%s", fault == NULL ? "" : fault);
	elsewhere->is_told = true;
	take_listen(snapshot, json_object_get(told, "listen"));
}
