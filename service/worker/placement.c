#include "service/worker/placement.h"

#include "ipc/wall_clock.h"
#include "service/registry/snapshot_make.h"
#include "service/worker/peer_lookup.h"

static size_t load_of(struct worker *worker)
{
	return slots_tunnels_placed(worker_slots(worker));
}

/* Of the workers that serve, and are ready or not. NULL: none is. */
static struct worker *with_fewest(struct supervisor *supervisor, bool must_be_ready)
{
	struct worker *best = NULL;
	size_t fewest = SIZE_MAX;
	for (unsigned i = 0; i < supervisor_count(supervisor); i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		if (worker_duty(worker) != WORKER_SERVING)
			continue;
		size_t load = must_be_ready && !worker_is_ready(worker) ? SIZE_MAX : load_of(worker);
		if (load < fewest) {
			fewest = load;
			best = worker;
		}
	}
	return best;
}

static struct worker *worker_inside(struct registry *registry, const char *id)
{
	struct entry *entry = NULL;
	do
		entry = registry_next_inside(registry, id, entry);
	while (entry != NULL && entry->worker == NULL);
	return entry == NULL ? NULL : entry->worker;
}

struct worker *placement_near(struct registry *registry, const char *id, const struct spec *spec)
{
	struct worker *near = NULL;
	if (spec->via != NULL) {
		const struct entry *outer = registry_outer(registry, spec);
		near = outer != NULL && outer->worker != NULL ? outer->worker : worker_inside(registry, spec->via);
	}
	return near != NULL ? near : worker_inside(registry, id);
}

bool placement_choose(struct supervisor *supervisor, struct worker *near, struct entry *entry)
{
	struct worker *best = near != NULL ? near : with_fewest(supervisor, false);
	entry->slot = slot_take_tunnel(worker_slots(best));
	if (entry->slot == NULL)
		return false;
	entry->worker = best;
	counter_set(&slot_tunnel(entry->slot)->state, TUNNEL_STARTING);
	counter_set(&slot_tunnel(entry->slot)->state_since, (uint64_t)wall_clock_ms());
	return true;
}

void placement_leave(struct entry *entry)
{
	slot_leave(entry->slot);
	entry->slot = NULL;
	entry->worker = NULL;
}

enum placement placement_furnish(struct supervisor *supervisor, struct entry *entry, const struct snapshot *previous, struct snapshot *snapshot,
                                 const struct socket_list *sockets, struct message_addresses **addresses)
{
	const struct spec *old_spec = previous == NULL ? NULL : &previous->spec;
	const struct message_addresses *old = previous == NULL ? NULL : entry->addresses;
	if (!snapshot_take_sockets(snapshot, sockets) || !peer_lookup_addresses(addresses, &snapshot->spec, old_spec, old))
		return PLACEMENT_NO_MEMORY;
	if (entry->worker == NULL && !placement_choose(supervisor, NULL, entry))
		return slots_are_used_up(worker_slots(with_fewest(supervisor, false))) ? PLACEMENT_USED_UP : PLACEMENT_NO_MEMORY;
	if (snapshot->slots != NULL || snapshot_take_slots(snapshot, entry, previous))
		return PLACEMENT_DONE;
	return slots_are_used_up(worker_slots(entry->worker)) ? PLACEMENT_USED_UP : PLACEMENT_NO_MEMORY;
}

void placement_move_surplus(const struct placement_means *means, struct worker *dead)
{
	for (uint32_t slot = 0; slot < COUNTERS_TUNNELS; slot++) {
		struct entry *entry = slot_table_at(means->slots, worker_index(dead), slot);
		/* A change that is under way counts on the tunnel's place: that one waits for the new process with its change. */
		if (entry == NULL || entry->snapshot->failure != NULL || !lock_queue_is_free(means->locks, entry->key) ||
		    registry_is_chained(means->registry, entry->id, &entry->snapshot->spec))
			continue;
		struct worker *to = with_fewest(means->supervisor, true);
		if (to == NULL || load_of(to) + 1 >= load_of(dead) || !mover_place(means->mover, entry, NULL, to))
			return;
	}
}
