/* Tunnels to other workers. When a worker has died its tunnels have lost their connections anyway: those that are more than its share go
 * to workers that have fewer, where they are built at once. */
#include "ipc/log.h"
#include "service/registry/snapshot_make.h"
#include "service/service_private.h"

static size_t load_of(struct worker *worker)
{
	return slots_tunnels_placed(worker_slots(worker));
}

static struct worker *emptiest(struct service *service)
{
	struct worker *best = NULL;
	for (unsigned i = 0; i < supervisor_count(service->supervisor); i++) {
		struct worker *worker = supervisor_worker(service->supervisor, i);
		if (worker_is_ready(worker) && (best == NULL || load_of(worker) < load_of(best)))
			best = worker;
	}
	return best;
}

/* False: it stays where it is. */
static bool move(struct service *service, struct entry *entry, struct worker *to)
{
	struct snapshot *moved = snapshot_copy(entry->snapshot);
	struct entry after = { .worker = to, .slot = slot_take_tunnel(worker_slots(to)) };
	if (moved == NULL || after.slot == NULL || !snapshot_move_slots(moved, &after)) {
		snapshot_release(moved);
		slot_leave(after.slot);
		return false;
	}
	log_line(LOG_INFO, entry->id, "moved from worker %u to worker %u", worker_index(entry->worker), worker_index(to));
	service_unseat(service, entry);
	slot_leave(entry->slot);
	entry->slot = after.slot;
	entry->worker = to;
	service_seat(service, entry);
	snapshot_release(registry_swap(service->registry, entry, NULL, moved));
	provision(service, entry);
	return true;
}

void placement_move_surplus(struct service *service, struct worker *dead)
{
	if (service->is_stopping)
		return;
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		struct entry *entry = service_seated(service, dead, slot);
		/* A change that is under way counts on the tunnel's place: that one waits for the new process with its change. */
		if (entry == NULL || entry->snapshot->failure != NULL || !lock_queue_is_free(service->locks, entry->id))
			continue;
		struct worker *to = emptiest(service);
		if (to == NULL || load_of(to) + 1 >= load_of(dead) || !move(service, entry, to))
			return;
	}
}
