#include "fake_service.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "ipc/endpoint.h"
#include "ipc/program_version.h"
#include "service/spec/json_writer.h"
#include "service/spec/labels.h"

#define TUNNELS_MAX 20000

/* Freed with the last reference to the snapshot, as the real service's slots are. */
struct numbers {
	struct counters_tunnel tunnel;
	struct counters_peer peers[];
};

struct fake_tunnel {
	struct snapshot *snapshot;
	struct numbers *numbers;
};

struct waiting {
	struct waiting *next;
	struct mutation *mutation;
};

struct service {
	_Atomic bool is_everyone;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	struct events *events;
	struct fake_tunnel *tunnels;
	size_t count;
	struct waiting *first;
	size_t waiting;
	uint64_t revision;
	bool held, is_stopping, ready;
};

/* Snapshots. */

struct snapshot *snapshot_reference(struct snapshot *snapshot)
{
	atomic_fetch_add(&snapshot->references, 1);
	return snapshot;
}

void snapshot_release(struct snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1)
		return;
	spec_labels_free(snapshot->labels, snapshot->label_count);
	for (size_t i = 0; i < snapshot->listen_count; i++)
		free(snapshot->listen[i]);
	free(snapshot->listen);
	free(snapshot->labels_json);
	free(snapshot->spec_json);
	free(snapshot->peer_counters);
	free((void *)(uintptr_t)snapshot->counters);
	spec_clear(&snapshot->spec);
	free(snapshot);
}

void snapshot_status(const struct snapshot *snapshot, struct snapshot_status *status)
{
	*status = (struct snapshot_status){ .since = 1700000000123, .observed_generation = snapshot->generation };
	if (snapshot->counters != NULL) {
		status->state = (enum tunnel_state)counter_read(&snapshot->counters->state);
		status->started_at = (int64_t)counter_read(&snapshot->counters->started_at);
	}
}

bool snapshot_source_fault(const struct snapshot *snapshot, char detail[STATUS_SOURCE_FAULT_SIZE], int64_t *at_ms)
{
	(void)snapshot;
	(void)detail;
	(void)at_ms;
	return false;
}

bool snapshot_history(const struct snapshot *snapshot, struct history *history)
{
	if (snapshot->counters == NULL || counter_read(&snapshot->counters->bytes_sent) == 0)
		return false;
	*history = (struct history){ .until = 1700000020000, .count = 2, .next = 2 };
	history->points[0] = (struct history_point){ .sent = 125, .received = 1000, .connections = 3 };
	history->points[1] = (struct history_point){ .rtt_us = 12345 };
	return true;
}

/* As the real one, which is not linked. */
const struct history_point *history_at(const struct history *history, size_t index)
{
	return &history->points[index];
}

void snapshot_health(const struct snapshot *snapshot, struct snapshot_health *health)
{
	*health = (struct snapshot_health){ .since = 1700000000123, .has_probe = snapshot->spec.probe.type != SPEC_PROBE_NONE };
	health->health = snapshot->counters == NULL ? TUNNEL_UNHEALTHY : (enum tunnel_health)counter_read(&snapshot->counters->health);
	if (health->has_probe)
		health->probe = (struct status_probe){ .at = 1700000000000, .failures = 2, .rtt_ms = -1, .detail = "no answer in time" };
	else
		health->probe.rtt_ms = -1;
}

/* Documents. */

json_t *spec_peer_to_json(const struct spec_peer *peer, bool secrets)
{
	(void)secrets;
	char key[64];
	sodium_bin2base64(key, sizeof(key), peer->public_key.bytes, 32, sodium_base64_VARIANT_ORIGINAL);
	return json_pack("{s:s, s:[], s:i, s:b}", "public_key", key, "allowed_ips", "persistent_keepalive", peer->persistent_keepalive,
	                 "preshared_key_set", peer->has_preshared_key);
}

json_t *spec_to_json(const struct spec *spec, bool secrets)
{
	json_t *peers = json_array(), *interface = json_pack("{s:[s]}", "addresses", "10.2.0.2/32");
	struct json_writer writer = { .failed = false };
	for (size_t i = 0; i < spec->peer_count; i++)
		json_writer_add(&writer, peers, spec_peer_to_json(&spec->peers[i], secrets));
	if (secrets)
		json_writer_set(&writer, interface, "private_key", json_string(FAKE_PRIVATE_KEY));
	return json_writer_end(&writer, json_pack("{s:b, s:o, s:o}", "enabled", spec->enabled, "interface", interface, "peers", peers));
}

char *spec_to_wgquick(const struct spec *spec, const struct spec_label *labels, size_t label_count, bool secrets)
{
	(void)labels;
	(void)label_count;
	(void)spec;
	return strdup(secrets ? "[Interface]\nPrivateKey = " FAKE_PRIVATE_KEY "\n" : "[Interface]\n");
}

void wgquick_locate(const json_t *lines, struct problem *problem)
{
	(void)lines;
	(void)problem;
}

json_t *wgquick_to_document(const char *text, size_t length, json_t **warnings, json_t **lines, struct problem *problem)
{
	*lines = NULL;
	*warnings = json_array();
	if (memmem(text, length, "PrivateKey", 10) == NULL) {
		problem_add(problem, "/line/1", "required", "PrivateKey is needed.");
		return NULL;
	}
	if (memmem(text, length, "PostUp", 6) != NULL)
		json_array_append_new(*warnings, json_pack("{s:i, s:s, s:s}", "line", 3, "code", "ignored", "detail", "PostUp means nothing here."));
	return json_pack("{s:{s:{s:s}, s:[{s:s}]}}", "spec", "interface", "private_key", FAKE_PRIVATE_KEY, "peers", "public_key", FAKE_PEER_KEY);
}

static void read_labels(struct snapshot *snapshot, json_t *labels)
{
	const char *key;
	json_t *value;
	snapshot->labels = calloc(json_object_size(labels) + 1, sizeof(*snapshot->labels));
	json_object_foreach (labels, key, value)
		snapshot->labels[snapshot->label_count++] = (struct spec_label){ .key = strdup(key), .value = strdup(json_string_value(value)) };
	snapshot->labels_json = labels != NULL ? json_dumps(labels, JSON_COMPACT) : strdup("{}");
}

static struct snapshot *make_snapshot(const char *id, json_t *labels, size_t peers)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	snapshot->references = 1;
	snprintf(snapshot->id, sizeof(snapshot->id), "%s", id);
	read_labels(snapshot, labels);
	spec_init(&snapshot->spec);
	snapshot->spec.peer_count = peers;
	snapshot->spec.peers = calloc(peers + 1, sizeof(*snapshot->spec.peers));
	snapshot->listen = calloc(1, sizeof(*snapshot->listen));
	snapshot->listen[snapshot->listen_count++] = strdup("127.0.0.1:40123");
	snapshot->created_at = snapshot->updated_at = 1700000000000;
	snapshot->generation = 1;
	memset(&snapshot->public_key, 7, sizeof(snapshot->public_key));
	return snapshot;
}

static void cache_spec(struct snapshot *snapshot)
{
	json_t *spec = spec_to_json(&snapshot->spec, false);
	free(snapshot->spec_json);
	snapshot->spec_json = json_dumps(spec, JSON_COMPACT);
	json_decref(spec);
}

/* The array, under the lock. */

static struct fake_tunnel *find(struct service *service, const char *id)
{
	for (size_t i = 0; i < service->count; i++)
		if (strcmp(service->tunnels[i].snapshot->id, id) == 0)
			return &service->tunnels[i];
	return NULL;
}

static struct fake_tunnel *insert(struct service *service, struct snapshot *snapshot)
{
	size_t at = service->count;
	while (at > 0 && strcmp(service->tunnels[at - 1].snapshot->id, snapshot->id) > 0)
		at--;
	memmove(&service->tunnels[at + 1], &service->tunnels[at], (service->count - at) * sizeof(*service->tunnels));
	service->count++;
	struct fake_tunnel *tunnel = &service->tunnels[at];
	tunnel->snapshot = snapshot;
	tunnel->numbers = calloc(1, sizeof(*tunnel->numbers) + snapshot->spec.peer_count * sizeof(tunnel->numbers->peers[0]));
	snapshot->counters = &tunnel->numbers->tunnel;
	snapshot->peer_counters = calloc(snapshot->spec.peer_count + 1, sizeof(*snapshot->peer_counters));
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		snapshot->peer_counters[i] = &tunnel->numbers->peers[i];
	snapshot->revision = ++service->revision;
	counter_set(&tunnel->numbers->tunnel.state, TUNNEL_UP);
	counter_set(&tunnel->numbers->tunnel.started_at, 1700000000000);
	return tunnel;
}

static void drop(struct service *service, struct fake_tunnel *tunnel)
{
	snapshot_release(tunnel->snapshot);
	size_t at = (size_t)(tunnel - service->tunnels);
	service->count--;
	memmove(tunnel, tunnel + 1, (service->count - at) * sizeof(*tunnel));
}

static void create(struct service *service, struct operation *operation)
{
	json_t *spec = json_object_get(operation->document, "spec"), *interface = json_object_get(spec, "interface");
	const char *id = json_string_value(json_object_get(operation->document, "id")),
		   *key = json_string_value(json_object_get(interface, "private_key"));
	if (id == NULL && operation->id[0] == '\0')
		snprintf(operation->id, sizeof(operation->id), "made-%llu", (unsigned long long)service->revision);
	else if (operation->id[0] == '\0')
		snprintf(operation->id, sizeof(operation->id), "%s", id);
	if (find(service, operation->id) != NULL) {
		problem_set(&operation->problem, PROBLEM_TUNNEL_EXISTS, "There is a tunnel of this id.");
		return;
	}
	uint8_t bytes[32];
	size_t length = 0;
	if (key == NULL)
		problem_add(&operation->problem, "/spec/interface/private_key", "required", "A key is needed.");
	else if (sodium_base642bin(bytes, 32, key, strlen(key), NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 || length != 32)
		problem_add(&operation->problem, "/spec/interface/private_key", "invalid_key", "A key is 32 bytes as base64.");
	if (json_object_get(spec, "nonsense") != NULL)
		problem_add(&operation->problem, "/spec/nonsense", "unknown_member", "There is no such member.");
	if (operation->problem.code != PROBLEM_NONE)
		return;
	struct snapshot *snapshot =
	    make_snapshot(operation->id, json_object_get(operation->document, "labels"), json_array_size(json_object_get(spec, "peers")));
	insert(service, snapshot);
	cache_spec(snapshot);
	operation->snapshot = snapshot_reference(snapshot);
	operation->applied = APPLIED_CREATED;
	events_publish(service->events, EVENT_TUNNEL_CREATED, operation->id, "");
}

static void change_peer(struct service *service, struct operation *operation, struct fake_tunnel *tunnel)
{
	struct snapshot *old = tunnel->snapshot;
	size_t at = 0;
	while (at < old->spec.peer_count && memcmp(&old->spec.peers[at].public_key, &operation->peer, sizeof(operation->peer)) != 0)
		at++;
	if (at == old->spec.peer_count && operation->kind != OPERATION_PEER_PUT) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no such peer.");
		return;
	}
	bool is_new = at == old->spec.peer_count;
	size_t count = old->spec.peer_count + is_new - (operation->kind == OPERATION_PEER_DELETE);
	struct snapshot *snapshot = make_snapshot(old->id, NULL, count);
	for (size_t i = 0, to = 0; i < old->spec.peer_count; i++)
		if (i != at || operation->kind != OPERATION_PEER_DELETE)
			snapshot->spec.peers[to++].public_key = old->spec.peers[i].public_key;
	if (is_new)
		snapshot->spec.peers[count - 1].public_key = operation->peer;
	drop(service, tunnel);
	insert(service, snapshot);
	cache_spec(snapshot);
	operation->snapshot = snapshot_reference(snapshot);
	operation->applied = is_new ? APPLIED_CREATED : APPLIED_IN_PLACE;
}

static bool is_precondition_met(const struct service *service, const struct operation *operation, const struct fake_tunnel *tunnel)
{
	(void)service;
	char etag[32] = "";
	if (tunnel != NULL)
		snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)tunnel->snapshot->revision);
	return (operation->if_match == NULL || strcmp(operation->if_match, etag) == 0) && (operation->if_none_match == NULL || tunnel == NULL);
}

static void run_operation(struct service *service, const struct mutation *mutation, struct operation *operation)
{
	struct fake_tunnel *tunnel = find(service, operation->id);
	if (!is_precondition_met(service, operation, tunnel)) {
		problem_set(&operation->problem, PROBLEM_PRECONDITION_FAILED, "The tunnel has another ETag.");
		return;
	}
	if (operation->kind == OPERATION_CREATE || (operation->kind == OPERATION_PUT && tunnel == NULL)) {
		if (!mutation->dry_run)
			create(service, operation);
		if (mutation->wait_up && operation->snapshot != NULL && operation->snapshot->spec.peer_count == 0)
			problem_set(&operation->problem, PROBLEM_HANDSHAKE_TIMEOUT, "No handshake came.");
		return;
	}
	if (tunnel == NULL) {
		problem_set(&operation->problem, PROBLEM_NOT_FOUND, "There is no tunnel with this id.");
		return;
	}
	if (operation->kind == OPERATION_DELETE) {
		drop(service, tunnel);
		events_publish(service->events, EVENT_TUNNEL_DELETED, operation->id, "");
		return;
	}
	if (operation->kind == OPERATION_PEER_PUT || operation->kind == OPERATION_PEER_PATCH || operation->kind == OPERATION_PEER_DELETE) {
		change_peer(service, operation, tunnel);
		return;
	}
	operation->snapshot = snapshot_reference(tunnel->snapshot);
	operation->probe_type = SPEC_PROBE_PING; /* if it is one */
	if (operation->kind == OPERATION_PROBE)
		operation->probe =
		    (struct message_probed){ .ok = true, .sent = 3, .received = 3, .rtt_min_ms = 1.5, .rtt_avg_ms = 2.25, .rtt_max_ms = 3 };
}

/* One connection, which says what was asked for; none with an id other than "1-2-3". The list of one user is incomplete. */
static void list_connections(struct connection_listing *listing)
{
	char client[64] = "";
	/* It has no pools. */
	if (listing->matches_none || listing->pool[0] != '\0' || (listing->id[0] != '\0' && strcmp(listing->id, "1-2-3") != 0))
		return;
	if (listing->filter.client.any.sa_family != AF_UNSPEC)
		endpoint_format(&listing->filter.client, client);
	int length = asprintf(
	    &listing->json, "{\"tunnel\":\"%s\",\"user\":\"%s\",\"target\":\"%s\",\"client\":\"%s\",\"protocol\":%u,\"after\":\"%s\",\"limit\":%zu}",
	    listing->tunnel, listing->filter.user, listing->filter.target, client, listing->filter.protocol, listing->after, listing->limit);
	listing->length = (size_t)length;
	listing->count = listing->only_counts && listing->ends ? 7 : 1;
	snprintf(listing->next, sizeof(listing->next), "%s", listing->limit == 1 ? "0-1-2-3" : "");
	listing->is_incomplete = strcmp(listing->filter.user, "of a slow worker") == 0;
}

static void run_change(struct service *service, struct mutation *mutation)
{
	if (mutation->kind == MUTATION_CONNECTIONS)
		list_connections(mutation->listing);
	if (mutation->kind == MUTATION_TOKEN_CREATE)
		mutation->token =
		    json_pack("{s:s, s:s, s:[s], s:s}", "id", "t1", "name", mutation->token_name, "scopes", "read", "token", "shown-once");
	if (mutation->kind == MUTATION_TOKEN_DELETE && strcmp(mutation->token_id, "t1") != 0)
		problem_set(&mutation->problem, PROBLEM_NOT_FOUND, "There is no such token.");
	if (mutation->kind == MUTATION_DELETE_WHERE) {
		for (size_t i = service->count; i-- > 0;) {
			if (!selectors_accept(mutation->selectors, mutation->selector_count, service->tunnels[i].snapshot->labels,
			                      service->tunnels[i].snapshot->label_count))
				continue;
			drop(service, &service->tunnels[i]);
			mutation->deleted++;
		}
	} else if (mutation->kind == MUTATION_STATE) {
		mutation->created = json_array_size(json_object_get(mutation->document, "tunnels"));
	}
	for (size_t i = 0; i < mutation->operation_count; i++) {
		run_operation(service, mutation, &mutation->operations[i]);
		if (mutation->operations[i].problem.code == PROBLEM_NONE || !mutation->atomic)
			continue;
		problem_set(&mutation->problem, mutation->operations[i].problem.code, "%s", mutation->operations[i].problem.detail);
		mutation->failed_operation = i;
		break;
	}
}

static struct mutation *take(struct service *service)
{
	struct waiting *first = service->first;
	struct mutation *mutation = first->mutation;
	service->first = first->next;
	free(first);
	service->waiting--;
	return mutation;
}

static void *run(void *context)
{
	struct service *service = context;
	pthread_mutex_lock(&service->lock);
	while (!service->is_stopping) {
		if (service->first == NULL || service->held) {
			pthread_cond_wait(&service->changed, &service->lock);
			continue;
		}
		struct mutation *mutation = take(service);
		run_change(service, mutation);
		pthread_mutex_unlock(&service->lock);
		mutation->done(mutation, mutation->owner);
		pthread_mutex_lock(&service->lock);
	}
	pthread_mutex_unlock(&service->lock);
	return NULL;
}

/* The service's own functions. */

struct service *fake_service_create(void)
{
	struct service *service = calloc(1, sizeof(*service));
	pthread_mutex_init(&service->lock, NULL);
	pthread_cond_init(&service->changed, NULL);
	service->events = events_create(8, 0);
	service->tunnels = calloc(TUNNELS_MAX, sizeof(*service->tunnels));
	service->ready = true;
	pthread_create(&service->thread, NULL, run, service);
	return service;
}

void fake_service_free(struct service *service)
{
	pthread_mutex_lock(&service->lock);
	service->is_stopping = true;
	pthread_cond_broadcast(&service->changed);
	pthread_mutex_unlock(&service->lock);
	pthread_join(service->thread, NULL);
	while (service->first != NULL) {
		struct mutation *mutation = take(service);
		problem_set(&mutation->problem, PROBLEM_WORKER_UNAVAILABLE, "The daemon is stopping.");
		mutation->done(mutation, mutation->owner);
	}
	while (service->count > 0)
		drop(service, &service->tunnels[0]);
	events_free(service->events);
	pthread_cond_destroy(&service->changed);
	pthread_mutex_destroy(&service->lock);
	free(service->tunnels);
	free(service);
}

void fake_service_add(struct service *service, const char *id, const char *pool, size_t peers, size_t allowed_ips)
{
	json_t *labels = json_pack("{s:s}", "pool", pool);
	struct snapshot *snapshot = make_snapshot(id, labels, peers);
	json_decref(labels);
	for (size_t i = 0; i < peers; i++) {
		struct spec_peer *peer = &snapshot->spec.peers[i];
		memset(peer->public_key.bytes, 0, 32);
		memcpy(peer->public_key.bytes, &i, sizeof(i));
		peer->public_key.bytes[31] = 0x3f;
		peer->allowed_ip_count = allowed_ips;
		peer->allowed_ips = calloc(allowed_ips + 1, sizeof(*peer->allowed_ips));
		for (size_t a = 0; a < allowed_ips; a++)
			peer->allowed_ips[a] = (struct wireguard_network){ .family = AF_INET,
				                                           .prefix = 32,
				                                           .bytes = { 10, (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a } };
	}
	pthread_mutex_lock(&service->lock);
	insert(service, snapshot);
	cache_spec(snapshot);
	pthread_mutex_unlock(&service->lock);
}

struct counters_tunnel *fake_service_counters(struct service *service, const char *id)
{
	return &find(service, id)->numbers->tunnel;
}

struct counters_peer *fake_service_peer_counters(struct service *service, const char *id, size_t peer)
{
	return &find(service, id)->numbers->peers[peer];
}

void fake_service_hold(struct service *service, bool held)
{
	pthread_mutex_lock(&service->lock);
	service->held = held;
	pthread_cond_broadcast(&service->changed);
	pthread_mutex_unlock(&service->lock);
}

size_t fake_service_waiting(struct service *service)
{
	pthread_mutex_lock(&service->lock);
	size_t waiting = service->waiting;
	pthread_mutex_unlock(&service->lock);
	return waiting;
}

void fake_service_set_ready(struct service *service, bool ready)
{
	service->ready = ready;
}

bool service_protect(struct service *service, const struct sockaddr *address)
{
	(void)service;
	(void)address;
	return true;
}

bool service_protect_path(struct service *service, const char *path)
{
	(void)service;
	(void)path;
	return true;
}

size_t service_file_fault_count(struct service *service)
{
	(void)service;
	return 0;
}

bool service_has_files(const struct service *service)
{
	(void)service;
	return false;
}

bool service_has_process(const struct service *service, pid_t pid)
{
	return service->is_everyone && pid == getpid();
}

void fake_service_own_everyone(struct service *service)
{
	service->is_everyone = true;
}

bool service_is_ready(const struct service *service)
{
	return service->ready;
}

struct snapshot *service_find(struct service *service, const struct access *access, const char *id)
{
	pthread_mutex_lock(&service->lock);
	const struct fake_tunnel *tunnel = find(service, id);
	bool is_covered = tunnel != NULL && access_covers(access, tunnel->snapshot->labels, tunnel->snapshot->label_count);
	struct snapshot *snapshot = is_covered ? snapshot_reference(tunnel->snapshot) : NULL;
	pthread_mutex_unlock(&service->lock);
	return snapshot;
}

struct snapshot *service_find_pool(struct service *service, const struct access *access, const char *id)
{
	(void)service;
	(void)access;
	(void)id;
	return NULL;
}

size_t service_pool_members(struct service *service, const struct access *access, const char *id, struct pool_member_view **views)
{
	(void)service;
	(void)access;
	(void)id;
	*views = NULL;
	return SERVICE_NO_POOL;
}

size_t service_pool_sessions(struct service *service, const struct access *access, const char *id, const char *after, struct pool_session *list,
                             size_t most)
{
	(void)service;
	(void)access;
	(void)id;
	(void)after;
	(void)list;
	(void)most;
	return 0;
}

size_t service_pool_session_count(struct service *service, const char *id)
{
	(void)service;
	(void)id;
	return 0;
}

bool service_find_twin(struct service *service, const struct access *access, const struct snapshot *snapshot, char id[64])
{
	(void)service;
	(void)access;
	(void)snapshot;
	(void)id;
	return false;
}

size_t service_find_inside(struct service *service, const struct access *access, const char *id, struct snapshot **snapshots, size_t most)
{
	(void)service;
	(void)access;
	(void)id;
	(void)snapshots;
	(void)most;
	return 0;
}

static bool is_wanted(const struct snapshot *snapshot, const struct tunnel_list_filter *filter)
{
	if (filter->after != NULL && strcmp(snapshot->id, filter->after) <= 0)
		return false;
	if (filter->states != 0 && (filter->states & 1u << counter_read(&snapshot->counters->state)) == 0)
		return false;
	if (filter->healths != 0 && (filter->healths & 1u << counter_read(&snapshot->counters->health)) == 0)
		return false;
	return selectors_accept(filter->selectors, filter->selector_count, snapshot->labels, snapshot->label_count);
}

size_t service_list(struct service *service, const struct access *access, const struct tunnel_list_filter *filter, struct snapshot ***snapshots,
                    bool *more)
{
	size_t count = 0;
	*more = false;
	pthread_mutex_lock(&service->lock);
	*snapshots = calloc(service->count + 1, sizeof(**snapshots));
	if (*snapshots == NULL) {
		pthread_mutex_unlock(&service->lock);
		return TUNNEL_LIST_FAILED;
	}
	for (size_t i = 0; i < service->count && !*more; i++) {
		const struct snapshot *one = service->tunnels[i].snapshot;
		if (!access_covers(access, one->labels, one->label_count) || !is_wanted(one, filter))
			continue;
		if (filter->limit > 0 && count == filter->limit)
			*more = true;
		else
			(*snapshots)[count++] = snapshot_reference(service->tunnels[i].snapshot);
	}
	pthread_mutex_unlock(&service->lock);
	return count;
}

bool service_can_store(const struct service *service)
{
	(void)service;
	return true;
}

void service_worker_usage(struct service *service, unsigned index, struct service_worker_usage *usage)
{
	(void)service;
	*usage = (struct service_worker_usage){ .cpu_us = 1500000 + index, .resident_bytes = 4096, .version = program_version.text };
}

void service_worker_stats(struct service *service, struct service_worker_stats *stats)
{
	(void)service;
	*stats = (struct service_worker_stats){
		.restarts = 2, .workers = 1, .workers_ready = 1, .places = 1, .connect_buckets = { 1, 2 }, .connect_count = 3, .connect_sum = 0.5
	};
}

struct events *service_events(struct service *service)
{
	return service->events;
}

struct mutation *mutation_create(enum mutation_kind kind, size_t operation_count)
{
	struct mutation *mutation = calloc(1, sizeof(*mutation));
	mutation->kind = kind;
	mutation->operation_count = operation_count;
	mutation->operations = calloc(operation_count + 1, sizeof(*mutation->operations));
	return mutation;
}

void mutation_free(struct mutation *mutation)
{
	for (size_t i = 0; i < mutation->operation_count; i++) {
		struct operation *operation = &mutation->operations[i];
		json_decref(operation->document);
		free(operation->if_match);
		free(operation->if_none_match);
		problem_clear(&operation->problem);
		if (operation->snapshot != NULL)
			snapshot_release(operation->snapshot);
	}
	selectors_free(mutation->selectors, mutation->selector_count);
	free(mutation->operations);
	json_decref(mutation->document);
	if (mutation->listing != NULL)
		free(mutation->listing->json);
	free(mutation->listing);
	json_decref(mutation->token);
	free(mutation->token_name);
	access_release(mutation->access);
	access_release(mutation->token_access);
	problem_clear(&mutation->problem);
	free(mutation);
}

void service_submit(struct service *service, struct access *access, struct mutation *mutation)
{
	mutation->access = access_reference(access);
	struct waiting *waiting = calloc(1, sizeof(*waiting));
	waiting->mutation = mutation;
	pthread_mutex_lock(&service->lock);
	struct waiting **end = &service->first;
	while (*end != NULL)
		end = &(*end)->next;
	*end = waiting;
	service->waiting++;
	pthread_cond_broadcast(&service->changed);
	pthread_mutex_unlock(&service->lock);
}

bool service_token_find(struct service *service, const char *token, struct token_bearer *bearer)
{
	(void)service;
	*bearer = (struct token_bearer){ .id = "t1", .name = "one", .access = access_whole() };
	if (strcmp(token, FAKE_READ_TOKEN) == 0)
		bearer->scopes = scope_with_included(SCOPE_READ);
	else if (strcmp(token, FAKE_WRITE_TOKEN) == 0)
		bearer->scopes = scope_with_included(SCOPE_WRITE);
	else if (strcmp(token, FAKE_METRICS_TOKEN) == 0)
		bearer->scopes = SCOPE_METRICS;
	return bearer->scopes != SCOPE_NONE;
}

bool service_token_holds(struct service *service, const char *id)
{
	(void)service;
	(void)id;
	return true;
}

uint64_t service_token_revocations(const struct service *service)
{
	(void)service;
	return 0;
}

json_t *service_token_list(struct service *service)
{
	(void)service;
	return json_pack("[{s:s, s:s}]", "id", "t1", "name", "one");
}

void service_upgrade(struct service *service)
{
	(void)service;
}

/* This one, one that is lost, and another. */
struct roster_node *service_nodes(struct service *service, size_t *count)
{
	static const struct roster_node all[] = {
		{ .id = "ams-1",
		  .api = "https://ams-1:8470",
		  .version = "0.1.0",
		  .capacity = 100,
		  .tunnels = 7,
		  .expires_in = 13500,
		  .is_self = true },
		{ .id = "ams-2", .state = ROSTER_LOST },
		{ .id = "ams-3", .api = "https://ams-3:8470" },
	};
	struct roster_node *nodes = malloc(sizeof(all));
	bool is_made = nodes != NULL;
	(void)service;
	*count = is_made ? sizeof(all) / sizeof(all[0]) : 0;
	if (nodes != NULL)
		memcpy(nodes, all, sizeof(all));
	for (size_t i = 0; i < *count; i++)
		is_made &= (nodes[i].labels = strdup(i == 0 ? "{\"region\":\"eu\"}" : "{}")) != NULL;
	if (is_made || nodes == NULL)
		return nodes;
	roster_nodes_free(nodes, *count);
	*count = 0;
	return NULL;
}

void roster_nodes_free(struct roster_node *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(nodes[i].labels);
	free(nodes);
}

bool tunnel_list_accepts(const struct tunnel_list_filter *filter, const struct snapshot *snapshot)
{
	return filter->kind == snapshot->spec.kind;
}

const char *service_node(const struct service *service)
{
	(void)service;
	return NULL;
}

bool service_fleet(struct service *service, struct roster_summary *summary)
{
	(void)service;
	*summary = (struct roster_summary){ .is_connected = true,
		                            .lease_ms = 9500,
		                            .etcd_bytes = 1700000000,
		                            .etcd_quota = 2147483648,
		                            .tunnels = { 7, 0, 2 },
		                            .unplaced = 1,
		                            .state = "valid" };
	return true;
}

void service_drain(struct service *service, bool is_draining)
{
	(void)service;
	(void)is_draining;
}
