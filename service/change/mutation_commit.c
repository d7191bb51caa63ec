/* The last half of a mutation: to the disk, into the registry, and the old one retired. */
#include <stdio.h>
#include <string.h>

#include "ipc/log.h"
#include "service/change/delta.h"
#include "service/change/mutation_step.h"
#include "service/store/store.h"
#include "service/worker/peer_lookup.h"
#include "service/worker/runtime.h"

static bool write_delta(struct store_write *write, const struct delta *delta)
{
	struct database_tunnel *row = &write->tunnel;
	memcpy(row->key, delta->key, sizeof(row->key));
	write->kind = delta->after == NULL ? STORE_DELETE : STORE_PUT;
	if (delta->after == NULL)
		return true;
	write->snapshot = snapshot_reference(delta->after);
	row->revision = delta->after->revision;
	row->generation = delta->after->generation;
	row->created_at = delta->after->created_at;
	row->updated_at = delta->after->updated_at;
	row->ports = socket_list_ports(&delta->sockets);
	memcpy(row->timestamp_floor, delta->entry->timestamp_floor, sizeof(row->timestamp_floor));
	row->total_bytes = delta->entry->total_bytes;
	return row->ports != NULL;
}

/* With its labels, because whoever selects events by label can no longer look them up. */
static void publish_deleted(struct events *events, const struct delta *delta)
{
	char *members = NULL;
	if (asprintf(&members, "\"labels\":%s", delta->before->labels_json) < 0)
		members = NULL;
	bool is_pool = object_key_kind(delta->key) == SPEC_POOL;
	events_publish(events, is_pool ? EVENT_POOL_DELETED : EVENT_TUNNEL_DELETED, object_key_id(delta->key), members);
	free(members);
}

static void publish(struct events *events, const struct delta *delta)
{
	static const char *const applied[] = {
		[MESSAGE_APPLIED_CREATED] = "created", [MESSAGE_APPLIED_IN_PLACE] = "in_place", [MESSAGE_APPLIED_RESTARTED] = "restarted"
	};
	char members[160] = "";
	const char *id = object_key_id(delta->key);
	bool is_pool = object_key_kind(delta->key) == SPEC_POOL;
	if (delta->after == NULL) {
		publish_deleted(events, delta);
		return;
	}
	const char *how = delta->is_created ? applied[MESSAGE_APPLIED_CREATED] : applied[delta->applied == MESSAGE_APPLIED_RESTARTED ? 2 : 1];
	snprintf(members, sizeof(members), "\"etag\":\"\\\"%llu\\\"\",\"generation\":%llu,\"applied\":\"%s\"",
	         (unsigned long long)delta->after->revision, (unsigned long long)delta->after->generation, how);
	if (delta->before == NULL)
		events_publish(events, is_pool ? EVENT_POOL_CREATED : EVENT_TUNNEL_CREATED, id, members);
	else
		events_publish(events, is_pool ? EVENT_POOL_CHANGED : EVENT_TUNNEL_CHANGED, id, members);
}

static void on_retired(void *owner, const struct worker_reply *reply)
{
	struct delta *delta = owner;
	struct mutation *mutation = delta->mutation;
	delta->entry->old_generation = 0;
	/* It is on the disk, so it must run: the worker lost its candidate, and gets the whole tunnel. */
	if (!reply->gone && reply->ack.status != MESSAGE_STATUS_OK && !delta->request.is_removal) {
		log_line(LOG_ERROR, object_key_id(delta->key), "the worker answered a stored change with status %u: the tunnel is being rebuilt",
		         reply->ack.status);
		provisioner_renew(mutations_means(mutation->all)->provisioner, delta->entry);
	}
	if (--mutation->pending == 0)
		mutations_step(mutation, MUTATION_EVENT_COMMITTED);
}

static void ask_worker(struct mutation *mutation, struct delta *delta, enum message_type type, uint64_t generation)
{
	struct worker *worker = delta->entry->worker;
	if (worker == NULL || !worker_is_ready(worker))
		return;
	uint32_t slot = slot_index(delta->entry->slot);
	delta->mutation = mutation;
	delta->request = (struct worker_request){ .slot = slot,
		                                  .generation = generation,
		                                  .reply = MESSAGE_DONE,
		                                  .is_removal = type == MESSAGE_REMOVE,
		                                  .removed = type == MESSAGE_REMOVE ? delta->key : NULL,
		                                  .handler = on_retired,
		                                  .owner = delta };
	worker_expect(worker, &delta->request);
	mutation->pending++;
	runtime_send(worker, type, delta->request.number, slot, generation);
}

/* The worker was replaced between its reply and the disk's: the new process runs the old version or nothing. It gets the tunnel as at its
 * start, which cannot fail: where memory is missing the tunnel waits for it. */
static void send_anew(struct mutation *mutation, struct delta *delta)
{
	if (delta->before != NULL)
		ask_worker(mutation, delta, MESSAGE_REMOVE, delta->before->generation);
	provisioner_start(mutations_means(mutation->all)->provisioner, delta->entry);
}

static void send_commit(struct mutation *mutation, struct delta *delta)
{
	delta->entry->is_waiting = false;
	ask_worker(mutation, delta, MESSAGE_COMMIT, delta->after->generation);
}

static void swap_in(struct mutation *mutation, struct delta *delta)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	struct entry *entry = delta->entry;
	struct snapshot *old = registry_swap(means->registry, entry, &mutation->claim, snapshot_reference(delta->after));
	struct socket_list sockets = entry->sockets;
	struct message_addresses *addresses = entry->addresses;
	entry->sockets = delta->sockets;
	entry->addresses = delta->addresses;
	/* Released when the worker has let go of its copies too: see delta_clear. */
	delta->sockets = sockets;
	delta->addresses = addresses;
	if (delta->is_new)
		registry_add(means->registry, entry);
	delta->is_new = false;
	delta->is_prepared = false;
	registry_bound(means->registry, entry);
	slot_table_put(means->slots, entry);
	for (size_t i = 0; i < entry->sockets.count; i++)
		entry->sockets.list[i].is_fresh = false;
	entry->old_generation = old == NULL ? 0 : old->generation;
	if (delta->incarnation == worker_incarnation(entry->worker))
		send_commit(mutation, delta);
	else
		send_anew(mutation, delta);
	if (delta->request.number == 0)
		entry->old_generation = 0;
	peer_lookup_start(means->lookups, entry);
	snapshot_release(old);
}

static void swap_out(struct mutation *mutation, struct delta *delta)
{
	const struct mutation_means *means = mutations_means(mutation->all);
	registry_remove(means->registry, delta->entry);
	slot_table_remove(means->slots, delta->entry);
	peer_lookup_end_all(delta->entry);
	/* No worker holds one that failed. */
	if (delta->before->failure == NULL)
		ask_worker(mutation, delta, MESSAGE_REMOVE, delta->before->generation);
	/* The entry goes, with its sockets, when the worker has let go of its copies: see delta_clear. */
	delta->is_new = true;
}

enum mutation_event mutation_enter_committing(struct mutation *mutation)
{
	/* One more than is asked, so that answers do not end it before all are asked. */
	if (mutation->pending == 0)
		mutation->pending = 1;
	for (; mutation->cursor < mutation->delta_count; mutation->cursor++) {
		struct delta *delta = &mutation->deltas[mutation->cursor];
		if (!delta_changes(delta))
			continue;
		if (!mutations_take_work(mutation->all, delta_peers(delta)))
			return MUTATION_EVENT_MORE;
		if (delta->after != NULL)
			swap_in(mutation, delta);
		else
			swap_out(mutation, delta);
		publish(mutations_means(mutation->all)->events, delta);
	}
	return --mutation->pending == 0 ? MUTATION_EVENT_COMMITTED : MUTATION_EVENT_NONE;
}

static void on_stored(struct store_batch *batch, void *owner)
{
	struct mutation *mutation = owner;
	int result = batch->result;
	char why[768] = "";
	store_batch_free(batch);
	store_explain(mutations_means(mutation->all)->store, result, why, sizeof(why));
	if (result != 0)
		problem_set(&mutation->problem, PROBLEM_OUT_OF_RESOURCES, "The change could not be written to the disk: %s.", why);
	mutations_step(mutation, result == 0 ? MUTATION_EVENT_STORED : MUTATION_EVENT_FAILED);
}

static bool begin_batch(struct mutation *mutation)
{
	size_t count = 0, fresh = 0;
	for (size_t i = 0; i < mutation->delta_count; i++) {
		count += delta_changes(&mutation->deltas[i]);
		fresh += mutation->deltas[i].is_new;
	}
	if (!registry_reserve(mutations_means(mutation->all)->registry, fresh))
		return false;
	mutation->reserved = fresh;
	mutation->batch = store_batch_create(count);
	if (mutation->batch != NULL)
		mutation->batch->count = 0;
	return mutation->batch != NULL;
}

static enum mutation_event fail_for_memory(struct mutation *mutation)
{
	store_batch_free(mutation->batch);
	mutation->batch = NULL;
	problem_out_of_memory(&mutation->problem);
	return MUTATION_EVENT_FAILED;
}

enum mutation_event mutation_enter_storing(struct mutation *mutation)
{
	if (mutation->batch == NULL && !begin_batch(mutation))
		return fail_for_memory(mutation);
	struct store_batch *batch = mutation->batch;
	for (; mutation->cursor < mutation->delta_count; mutation->cursor++) {
		struct delta *delta = &mutation->deltas[mutation->cursor];
		if (!delta_changes(delta))
			continue;
		if (!mutations_take_work(mutation->all, delta_peers(delta)))
			return MUTATION_EVENT_MORE;
		if (delta->after != NULL && !delta->is_stamped)
			delta->after->revision = mutations_take_revision(mutation->all);
		if (!write_delta(&batch->writes[batch->count++], delta))
			return fail_for_memory(mutation);
	}
	mutation->batch = NULL;
	batch->next_revision = mutations_next_revision(mutation->all);
	batch->done = on_stored;
	batch->owner = mutation;
	store_submit(mutations_means(mutation->all)->store, batch);
	return MUTATION_EVENT_NONE;
}
