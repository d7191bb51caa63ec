/* Tunnels into workers: the messages of a runtime, and building it anew from what the tunnel is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/place.h"
#include "service/registry/status.h"
#include "service/registry/wall_clock.h"
#include "service/service_private.h"

bool placement_choose(struct service *service, struct entry *entry)
{
	struct worker *best = NULL;
	size_t fewest = SIZE_MAX;
	for (unsigned i = 0; i < supervisor_count(service->supervisor); i++) {
		struct worker *worker = supervisor_worker(service->supervisor, i);
		size_t load = slots_tunnels_placed(worker_slots(worker));
		if (load < fewest) {
			fewest = load;
			best = worker;
		}
	}
	entry->slot = best == NULL ? NULL : slot_take_tunnel(worker_slots(best));
	if (entry->slot == NULL)
		return false;
	entry->worker = best;
	counter_set(&slot_tunnel(entry->slot)->state, TUNNEL_STARTING);
	counter_set(&slot_tunnel(entry->slot)->state_since, (uint64_t)wall_clock_ms());
	return true;
}

static uint64_t bytes_used(const struct entry *entry)
{
	uint64_t counted = counter_read(&slot_tunnel(entry->slot)->total_bytes_used);
	return counted > entry->total_bytes ? counted : entry->total_bytes;
}

struct parts {
	struct message_socket *sockets;
	uint32_t *peer_slots;
	int *descriptors;
	size_t descriptor_count;
};

static bool collect(struct parts *parts, const struct snapshot *snapshot, const struct socket_list *sockets, bool all_fresh)
{
	*parts = (struct parts){
		.sockets = calloc(sockets->count + 1, sizeof(*parts->sockets)),
		.peer_slots = calloc(snapshot->spec.peer_count + 1, sizeof(*parts->peer_slots)),
		.descriptors = calloc(sockets->count + 1, sizeof(*parts->descriptors)),
	};
	if (parts->sockets == NULL || parts->peer_slots == NULL || parts->descriptors == NULL)
		return false;
	for (size_t i = 0; i < snapshot->spec.peer_count; i++)
		parts->peer_slots[i] = slot_index(snapshot->slots[i + 1]);
	for (size_t i = 0; i < sockets->count; i++) {
		const struct socket_entry *entry = &sockets->list[i];
		bool is_fresh = entry->is_fresh || all_fresh;
		parts->sockets[i] =
		    (struct message_socket){ .id = entry->id, .kind = (uint8_t)entry->kind, .fresh = is_fresh, .index = entry->index };
		if (!is_fresh)
			continue;
		int descriptor = host_socket_duplicate(entry->socket);
		if (descriptor < 0)
			return false;
		parts->descriptors[parts->descriptor_count++] = descriptor;
	}
	return true;
}

static void free_parts(struct parts *parts)
{
	for (size_t i = 0; i < parts->descriptor_count; i++)
		close(parts->descriptors[i]);
	free(parts->sockets);
	free(parts->peer_slots);
	free(parts->descriptors);
}

static struct message_addresses *endpoints_of(const struct spec *spec, const struct message_addresses *addresses)
{
	struct message_addresses *endpoints = calloc(spec->peer_count + 1, sizeof(*endpoints));
	if (endpoints != NULL && addresses != NULL)
		memcpy(endpoints, addresses, spec->peer_count * sizeof(*endpoints));
	for (size_t i = 0; endpoints != NULL && addresses == NULL && i < spec->peer_count; i++)
		endpoints[i].count = place_address(&spec->peers[i].endpoint, &endpoints[i].list[0]);
	return endpoints;
}

bool runtime_send_prepare(const struct entry *entry, const struct snapshot *snapshot, const struct socket_list *sockets,
                          const struct message_addresses *addresses, bool all_fresh, uint64_t request)
{
	struct parts parts;
	struct message_writer writer;
	message_writer_init(&writer);
	bool is_collected = collect(&parts, snapshot, sockets, all_fresh);
	if (is_collected) {
		struct message_prepare message = {
			.request = request,
			.slot = slot_index(entry->slot),
			.generation = snapshot->generation,
			.total_bytes_used = bytes_used(entry),
			/* Borrowed for the writing. */
			.spec = snapshot->spec,
			.sockets = parts.sockets,
			.socket_count = sockets->count,
			.peer_slots = parts.peer_slots,
		};
		message.endpoints = endpoints_of(&snapshot->spec, addresses);
		is_collected = message.endpoints != NULL;
		if (is_collected) {
			snprintf(message.id, sizeof(message.id), "%s", entry->id);
			memcpy(message.timestamp_floor, entry->timestamp_floor, sizeof(message.timestamp_floor));
			message_encode_prepare(&writer, &message);
		}
		free(message.endpoints);
	}
	if (!is_collected || writer.failed || writer.length > MESSAGE_SIZE_MAX) {
		message_writer_clear(&writer);
		free_parts(&parts);
		return false;
	}
	worker_send(entry->worker, MESSAGE_PREPARE, &writer, parts.descriptors, parts.descriptor_count);
	parts.descriptor_count = 0;
	free_parts(&parts);
	return true;
}

void runtime_send(struct worker *worker, enum message_type type, uint64_t request, uint32_t slot, uint64_t generation)
{
	struct message_ack message = { .request = request, .slot = slot, .generation = generation };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &message);
	worker_send(worker, type, &writer, NULL, 0);
}

#define WINDOW 256 /* tunnels on their way to a worker */

/* Who asked: the tunnel may be another one, or none, by the time of the answer. A failure waits for the tunnel's turn: a change that is under
 * way knows nothing of it yet. */
struct asked {
	struct service *service;
	struct worker *worker;
	struct lock_claim turn;
	char id[64];
	uint64_t generation;
	unsigned incarnation;
	char reason[200];
};

static struct provisioning *of_worker(struct service *service, const struct worker *worker)
{
	return &service->provisioning[worker_index(worker)];
}

static void on_provisioned(void *owner, const struct reply *reply);

static void wait_for_memory(struct service *service, struct entry *entry)
{
	status_set_reason(entry->status, false, "out of memory or descriptors");
	entry->is_waiting = true;
	of_worker(service, entry->worker)->is_starved = true;
}

/* False: memory or descriptors are missing, and it waits. */
static bool provision_now(struct service *service, struct entry *entry)
{
	struct worker *worker = entry->worker;
	struct provisioning *provisioning = of_worker(service, worker);
	struct asked *asked = calloc(1, sizeof(*asked));
	uint32_t slot = slot_index(entry->slot);
	uint64_t generation = entry->snapshot->generation, request = 0;
	entry->is_waiting = false;
	if (asked != NULL) {
		*asked = (struct asked){ .service = service, .worker = worker, .generation = generation, .incarnation = worker_incarnation(worker) };
		memcpy(asked->id, entry->id, sizeof(asked->id));
		request = worker_expect(worker, slot, generation, on_provisioned, asked);
	}
	if (request != 0 && runtime_send_prepare(entry, entry->snapshot, &entry->sockets, entry->addresses, true, request)) {
		provisioning->under_way++;
		runtime_send(worker, MESSAGE_COMMIT, 0, slot, generation);
		return true;
	}
	if (request != 0)
		worker_forget(worker, request);
	free(asked);
	wait_for_memory(service, entry);
	return false;
}

/* Those that wait are looked for once for half a window. */
static void provision_more(struct service *service, struct worker *worker)
{
	struct provisioning *provisioning = of_worker(service, worker);
	if (provisioning->under_way > WINDOW / 2)
		return;
	for (unsigned i = 0; i < COUNTERS_TUNNELS && provisioning->under_way < WINDOW; i++) {
		struct entry *entry = service->seated[worker_index(worker)][provisioning->next];
		provisioning->next = (provisioning->next + 1) % COUNTERS_TUNNELS;
		if (entry == NULL || !entry->is_waiting)
			continue;
		/* A change that is under way hurries it itself, or fails and leaves it to the next tick. */
		if (!lock_queue_is_free(service->locks, entry->id))
			provisioning->is_starved = true;
		else if (!provision_now(service, entry))
			return;
	}
}

void provision_tick(struct service *service)
{
	for (unsigned i = 0; i < supervisor_count(service->supervisor); i++) {
		struct worker *worker = supervisor_worker(service->supervisor, i);
		if (!service->provisioning[i].is_starved || !worker_is_ready(worker))
			continue;
		service->provisioning[i].is_starved = false;
		provision_more(service, worker);
	}
}

/* It is this one's turn. */
static void fail_built(void *owner)
{
	struct asked *asked = owner;
	struct service *service = asked->service;
	struct entry *entry = registry_entry(service->registry, asked->id);
	bool is_same = entry != NULL && entry->snapshot->generation == asked->generation && entry->worker == asked->worker &&
	               worker_incarnation(asked->worker) == asked->incarnation;
	/* One whose worker died is built again when the next one is ready. */
	if (is_same && !restore_fail(service, entry, &asked->turn, asked->reason))
		wait_for_memory(service, entry);
	lock_queue_release(service->locks, &asked->turn);
	free(asked);
}

static void on_provisioned(void *owner, const struct reply *reply)
{
	struct asked *asked = owner;
	struct service *service = asked->service;
	struct worker *worker = asked->worker;
	if (!reply->gone && reply->prepared.ack.status != MESSAGE_STATUS_OK) {
		snprintf(asked->reason, sizeof(asked->reason), "the worker could not start the tunnel: %.*s",
		         (int)strnlen(reply->prepared.detail, 160), reply->prepared.detail);
		lock_queue_claim_one(service->locks, &asked->turn, asked->id, fail_built, asked);
	} else {
		free(asked);
	}
	of_worker(service, worker)->under_way--;
	if (!reply->gone)
		provision_more(service, worker);
}

void provision(struct service *service, struct entry *entry)
{
	struct worker *worker = entry->worker;
	entry->is_waiting = false;
	if (worker == NULL || !worker_is_ready(worker) || entry->snapshot->failure != NULL)
		return;
	if (of_worker(service, worker)->under_way < WINDOW)
		(void)provision_now(service, entry);
	else
		entry->is_waiting = true;
}

void provision_hurry(struct service *service, struct entry *entry)
{
	if (entry->is_waiting && worker_is_ready(entry->worker))
		(void)provision_now(service, entry);
}

void provision_anew(struct service *service, struct entry *entry)
{
	if (entry->worker == NULL || !worker_is_ready(entry->worker) || entry->snapshot->failure != NULL)
		return;
	runtime_send(entry->worker, MESSAGE_REMOVE, 0, slot_index(entry->slot), entry->snapshot->generation);
	provision(service, entry);
}
