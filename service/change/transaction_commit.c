/* The last half of a change: to the disk, into the registry, and the old one retired. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log.h"
#include "service/change/transaction_private.h"
#include "service/worker/peer_lookup.h"

static bool write_plan(struct store_write *write, const struct plan *plan)
{
	struct database_tunnel *row = &write->tunnel;
	memcpy(row->id, plan->id, sizeof(row->id));
	write->kind = plan->after == NULL ? STORE_DELETE : STORE_PUT;
	if (plan->after == NULL)
		return true;
	write->snapshot = snapshot_reference(plan->after);
	row->revision = plan->after->revision;
	row->generation = plan->after->generation;
	row->created_at = plan->after->created_at;
	row->updated_at = plan->after->updated_at;
	row->ports = socket_list_ports(&plan->sockets);
	memcpy(row->timestamp_floor, plan->entry->timestamp_floor, sizeof(row->timestamp_floor));
	row->total_bytes = plan->entry->total_bytes;
	return row->ports != NULL;
}

static void publish(struct service *service, const struct plan *plan)
{
	static const char *const applied[] = {
		[MESSAGE_APPLIED_CREATED] = "created", [MESSAGE_APPLIED_IN_PLACE] = "in_place", [MESSAGE_APPLIED_RESTARTED] = "restarted"
	};
	char members[160] = "";
	if (plan->after == NULL) {
		events_publish(service->events, EVENT_TUNNEL_DELETED, plan->id, "");
		return;
	}
	const char *how = plan->is_created ? applied[MESSAGE_APPLIED_CREATED] : applied[plan->applied == MESSAGE_APPLIED_RESTARTED ? 2 : 1];
	snprintf(members, sizeof(members), "\"etag\":\"\\\"%llu\\\"\",\"generation\":%llu,\"applied\":\"%s\"",
	         (unsigned long long)plan->after->revision, (unsigned long long)plan->after->generation, how);
	events_publish(service->events, plan->before == NULL ? EVENT_TUNNEL_CREATED : EVENT_TUNNEL_CHANGED, plan->id, members);
}

static void on_retired(void *owner, const struct reply *reply)
{
	struct plan *plan = owner;
	struct transaction *transaction = plan->transaction;
	plan->request = 0;
	/* It is on the disk, so it is to run: the worker lost what it had prepared, and gets it whole. */
	if (!reply->gone && reply->ack.status != MESSAGE_STATUS_OK && plan->after != NULL) {
		log_line(LOG_ERROR, plan->id, "the worker answered a stored change with status %u: the tunnel is being rebuilt", reply->ack.status);
		establish_anew(transaction->service, plan->entry);
	}
	if (--transaction->pending == 0)
		transaction_finish(transaction);
}

static void ask_worker(struct transaction *transaction, struct plan *plan, enum message_type type, uint64_t generation)
{
	struct worker *worker = plan->entry->worker;
	if (worker == NULL || !worker_is_ready(worker))
		return;
	uint32_t slot = seat_index(plan->entry->seat);
	plan->transaction = transaction;
	if (type == MESSAGE_REMOVE)
		plan->request = worker_expect_removal(worker, slot, generation, on_retired, plan);
	else
		plan->request = worker_expect(worker, slot, generation, on_retired, plan);
	transaction->pending += plan->request != 0;
	establish_send_ack(worker, type, plan->request, slot, generation);
}

/* The worker was replaced between its answer and the disk's: the new one runs what was before, or nothing. */
static void catch_up(const struct plan *plan)
{
	struct entry *entry = plan->entry;
	if (!worker_is_ready(entry->worker) || plan->incarnation == worker_incarnation(entry->worker))
		return;
	bool all_fresh = plan->before == NULL || plan->before->failure != NULL || entry->is_waiting;
	if (!establish_send_prepare(entry, entry->snapshot, &entry->sockets, entry->addresses, all_fresh, 0))
		log_line(LOG_WARN, entry->id,
		         "the change is stored, but its worker was replaced before it could be sent: the tunnel is being rebuilt");
}

static void swap_in(struct transaction *transaction, struct plan *plan)
{
	struct service *service = transaction->service;
	struct entry *entry = plan->entry;
	struct snapshot *old = registry_swap(service->registry, entry, &transaction->claim, snapshot_reference(plan->after));
	struct socket_list sockets = entry->sockets;
	struct message_addresses *addresses = entry->addresses;
	entry->sockets = plan->sockets;
	entry->addresses = plan->addresses;
	/* Released when the worker has let go of its copies too: see plan_clear. */
	plan->sockets = sockets;
	plan->addresses = addresses;
	if (plan->is_new)
		registry_add(service->registry, entry);
	plan->is_new = false;
	plan->is_prepared = false;
	if (entry->is_unbound)
		service->unbound--;
	entry->is_unbound = false;
	service_seat(service, entry);
	catch_up(plan);
	entry->is_waiting = false;
	for (size_t i = 0; i < entry->sockets.count; i++)
		entry->sockets.list[i].is_fresh = false;
	ask_worker(transaction, plan, MESSAGE_COMMIT, plan->after->generation);
	peer_lookup_start(service, entry);
	snapshot_release(old);
}

static void swap_out(struct transaction *transaction, struct plan *plan)
{
	struct service *service = transaction->service;
	registry_remove(service->registry, plan->entry);
	service_unseat(service, plan->entry);
	peer_lookup_end_all(plan->entry);
	if (plan->entry->is_unbound)
		service->unbound--;
	/* No worker holds one that failed. */
	if (plan->before->failure == NULL)
		ask_worker(transaction, plan, MESSAGE_REMOVE, plan->before->generation);
	/* The entry goes, with its sockets, when the worker has let go of its copies: see plan_clear. */
	plan->is_new = true;
}

static void commit(struct transaction *transaction)
{
	transaction->pending = 1;
	for (size_t i = 0; i < transaction->plan_count; i++) {
		struct plan *plan = &transaction->plans[i];
		if (!plan_changes(plan))
			continue;
		if (plan->after != NULL)
			swap_in(transaction, plan);
		else
			swap_out(transaction, plan);
		publish(transaction->service, plan);
	}
	if (--transaction->pending == 0)
		transaction_finish(transaction);
}

static void on_stored(struct store_batch *batch, void *owner)
{
	struct transaction *transaction = owner;
	int result = batch->result;
	store_batch_free(batch);
	if (result == 0) {
		commit(transaction);
		return;
	}
	problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "The change could not be written to the disk: %s.", store_error(result));
	transaction_fail(transaction);
}

static struct store_batch *make_batch(struct transaction *transaction)
{
	struct service *service = transaction->service;
	size_t count = 0, fresh = 0;
	for (size_t i = 0; i < transaction->plan_count; i++) {
		count += plan_changes(&transaction->plans[i]);
		fresh += transaction->plans[i].is_new;
	}
	struct store_batch *batch = store_batch_create(count);
	if (batch == NULL)
		return NULL;
	bool is_written = registry_reserve(service->registry, fresh);
	transaction->reserved = is_written ? fresh : 0;
	count = 0;
	for (size_t i = 0; i < transaction->plan_count && is_written; i++) {
		struct plan *plan = &transaction->plans[i];
		if (!plan_changes(plan))
			continue;
		if (plan->after != NULL)
			plan->after->revision = service->next_revision++;
		is_written = write_plan(&batch->writes[count++], plan);
	}
	batch->next_revision = service->next_revision;
	if (is_written)
		return batch;
	store_batch_free(batch);
	return NULL;
}

void transaction_store(struct transaction *transaction)
{
	struct store_batch *batch = make_batch(transaction);
	if (batch == NULL) {
		problem_set(&transaction->problem, PROBLEM_OUT_OF_RESOURCES, "Out of memory.");
		transaction_fail(transaction);
		return;
	}
	batch->done = on_stored;
	batch->owner = transaction;
	store_submit(transaction->service->store, batch);
}
