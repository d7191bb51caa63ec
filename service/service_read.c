/* What other threads read of the control plane, and the addresses that they protect. */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/wall_clock.h"
#include "service/files/folder.h"
#include "service/fleet/fleet.h"
#include "service/pool/membership.h"
#include "service/service_parts.h"
#include "service/worker/protection.h"
#include "service/worker/replacer.h"

bool service_protect(struct service *service, const struct sockaddr *address)
{
	return protection_add_address(service->protection, address);
}

bool service_protect_path(struct service *service, const char *path)
{
	return protection_add_path(service->protection, path);
}

bool service_has_process(const struct service *service, pid_t pid)
{
	return pid == getpid() || supervisor_has_process(service->supervisor, pid);
}

struct roster_node *service_nodes(struct service *service, size_t *count)
{
	*count = 0;
	return service->fleet == NULL ? calloc(1, sizeof(struct roster_node)) : roster_nodes(fleet_roster(service->fleet), count);
}

const char *service_node(const struct service *service)
{
	return service->options.fleet == NULL ? NULL : service->options.fleet->node;
}

bool service_fleet(struct service *service, struct roster_summary *summary)
{
	if (service->fleet != NULL)
		roster_summary(fleet_roster(service->fleet), summary);
	return service->fleet != NULL;
}

void service_drain(struct service *service, bool is_draining)
{
	service->wants_drain = is_draining ? 1 : -1;
	uv_async_send(&service->wake);
}

bool service_token_find(struct service *service, const char *token, struct token_bearer *bearer)
{
	return token_table_find(service->tokens, token, wall_clock_ms(), bearer);
}

bool service_token_holds(struct service *service, const char *id)
{
	return token_table_holds(service->tokens, id, wall_clock_ms());
}

uint64_t service_token_revocations(const struct service *service)
{
	return token_table_revocations(service->tokens);
}

json_t *service_token_list(struct service *service)
{
	return token_table_list(service->tokens);
}

static struct snapshot *find(struct service *service, const struct access *access, enum spec_kind kind, const char *id)
{
	char key[OBJECT_KEY_SIZE];
	object_key_make(key, kind, id);
	struct snapshot *snapshot = registry_find(service->registry, key);
	if (snapshot == NULL || access_covers(access, snapshot->labels, snapshot->label_count))
		return snapshot;
	snapshot_release(snapshot);
	return NULL;
}

struct snapshot *service_find(struct service *service, const struct access *access, const char *id)
{
	return find(service, access, SPEC_TUNNEL, id);
}

struct snapshot *service_find_pool(struct service *service, const struct access *access, const char *id)
{
	return find(service, access, SPEC_POOL, id);
}

static_assert(SERVICE_NO_POOL == MEMBERSHIP_NONE, "as membership_read says it");

static bool has_tunnel(struct service *service, const struct access *access, const char *id)
{
	struct snapshot *snapshot = service_find(service, access, id);
	snapshot_release(snapshot);
	return snapshot != NULL;
}

size_t service_pool_members(struct service *service, const struct access *access, const char *id, struct pool_member_view **views)
{
	size_t count = membership_read(service->membership, id, views), kept = 0;
	if (count == MEMBERSHIP_NONE || access_is_whole(access))
		return count;
	for (size_t i = 0; i < count; i++)
		if (has_tunnel(service, access, (*views)[i].tunnel))
			(*views)[kept++] = (*views)[i];
	return kept;
}

size_t service_pool_sessions(struct service *service, const struct access *access, const char *id, const char *after, struct pool_session *list,
                             size_t most)
{
	size_t count = session_store_read(service->sessions, id, after, list, most);
	for (size_t i = 0; i < count && !access_is_whole(access); i++)
		if (!has_tunnel(service, access, list[i].tunnel))
			list[i].tunnel[0] = '\0';
	return count;
}

size_t service_pool_session_count(struct service *service, const char *id)
{
	return session_store_count(service->sessions, id);
}

bool service_find_twin(struct service *service, const struct access *access, const struct snapshot *snapshot, char id[64])
{
	return tunnel_list_find_twin(service->registry, access, snapshot, id);
}

size_t service_find_inside(struct service *service, const struct access *access, const char *id, struct snapshot **snapshots, size_t most)
{
	return tunnel_list_inside(service->registry, access, id, snapshots, most);
}

bool service_has_files(const struct service *service)
{
	return service->options.tunnels_dir[0] != '\0';
}

json_t *service_file_faults(struct service *service, const struct access *access)
{
	if (!access_is_whole(access))
		return json_array();
	return service->folder == NULL ? json_array() : folder_faults(service->folder);
}

size_t service_file_fault_count(struct service *service)
{
	return service->folder == NULL ? 0 : folder_fault_count(service->folder);
}

bool service_can_store(const struct service *service)
{
	return store_is_writable(service->store);
}

size_t service_list(struct service *service, const struct access *access, const struct tunnel_list_filter *filter, struct snapshot ***snapshots,
                    bool *more)
{
	return tunnel_list_read(service->registry, access, filter, snapshots, more);
}

void service_worker_usage(struct service *service, unsigned index, struct service_worker_usage *usage)
{
	struct worker *worker = supervisor_worker(service->supervisor, index);
	const struct counters_worker *counters = &slots_counters(worker_slots(worker))->worker;
	*usage = (struct service_worker_usage){
		.cpu_us = counter_read(&counters->cpu_us),
		.resident_bytes = counter_read(&counters->resident_bytes),
		.pid = worker_pid(worker),
		.is_ready = worker_is_ready(worker),
		.is_retiring = worker_duty(worker) == WORKER_RETIRING,
		.is_spare = worker_duty(worker) == WORKER_SPARE,
		.tunnels = slots_tunnels_placed(worker_slots(worker)),
		.restarts = worker_restarts(worker),
		.version = worker_version(worker),
	};
	replacer_read_failure(service->replacer, index, usage->failure);
}

void service_worker_stats(struct service *service, struct service_worker_stats *stats)
{
	struct supervisor *supervisor = service->supervisor;
	*stats = (struct service_worker_stats){ .restarts = supervisor_restarts(supervisor),
		                                .workers = supervisor_serving(supervisor),
		                                .places = supervisor_count(supervisor),
		                                .workers_ready = supervisor_ready_count(supervisor) };
	for (unsigned i = 0; i < stats->places; i++) {
		const struct counters_worker *counters = &slots_counters(worker_slots(supervisor_worker(supervisor, i)))->worker;
		for (size_t k = 0; k < COUNTERS_BUCKETS; k++)
			stats->connect_buckets[k] += counter_read(&counters->connect_buckets[k]);
		stats->connect_count += counter_read(&counters->connect_count);
		stats->access_log_dropped += counter_read(&counters->access_log_dropped);
		stats->connect_sum += (double)counter_read(&counters->connect_sum_us) / 1e6;
	}
	if (service->access_writer != NULL)
		stats->access_log_dropped += line_writer_dropped(service->access_writer);
}

struct events *service_events(struct service *service)
{
	return service->events;
}
