#include "service/worker/provisioner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/channel.h"
#include "service/registry/status.h"
#include "service/registry/tunnel_identity.h"
#include "service/worker/failure.h"
#include "service/worker/runtime.h"

#define WINDOW 256                             /* tunnels on their way to a worker */
#define UNREAD_MOST (CHANNEL_QUEUED_BYTES / 4) /* bytes, before another goes: one takes a few MB at most */

/* A tunnel on its way to a worker holds duplicates of its sockets until it is sent, so that thousands at once would run out of
 * descriptors: they go in a window. */
struct progress {
	unsigned under_way; /* sent, not answered */
	uint32_t next;      /* the slot from which to look for those that wait */
	bool is_starved;    /* a tunnel waits that no reply will resume: searched at the next tick */
};

struct provisioner {
	struct provisioner_means means;
	struct progress *of_worker;
};

/* Who asked: the tunnel may be another one, or none, by the time of the answer. A failure waits for the tunnel's turn: a change that is under
 * way knows nothing of it yet. */
struct asked {
	struct provisioner *provisioner;
	struct worker *worker;
	struct worker_request request;
	struct lock_claim turn;
	struct tunnel_identity tunnel;
	unsigned incarnation;
	char reason[200];
};

struct provisioner *provisioner_create(const struct provisioner_means *means, unsigned workers)
{
	struct provisioner *provisioner = calloc(1, sizeof(*provisioner));
	if (provisioner == NULL)
		return NULL;
	provisioner->means = *means;
	provisioner->of_worker = calloc(workers, sizeof(*provisioner->of_worker));
	if (provisioner->of_worker != NULL)
		return provisioner;
	free(provisioner);
	return NULL;
}

void provisioner_free(struct provisioner *provisioner)
{
	if (provisioner == NULL)
		return;
	free(provisioner->of_worker);
	free(provisioner);
}

static void free_asked(struct asked *asked)
{
	if (asked != NULL)
		tunnel_identity_release(&asked->tunnel);
	free(asked);
}

static struct progress *of_worker(struct provisioner *provisioner, const struct worker *worker)
{
	return &provisioner->of_worker[worker_index(worker)];
}

static void on_provisioned(void *owner, const struct worker_reply *reply);

static void wait_for_memory(struct provisioner *provisioner, struct entry *entry)
{
	status_set_report(entry->status, &(struct status_report){ .state = TUNNEL_STARTING }, "out of memory or descriptors");
	entry->is_waiting = true;
	of_worker(provisioner, entry->worker)->is_starved = true;
}

/* False: memory or descriptors are missing, and it waits. */
static bool send_now(struct provisioner *provisioner, struct entry *entry)
{
	struct worker *worker = entry->worker;
	struct progress *progress = of_worker(provisioner, worker);
	struct asked *asked = calloc(1, sizeof(*asked));
	uint32_t slot = slot_index(entry->slot);
	uint64_t generation = entry->snapshot->generation;
	entry->is_waiting = false;
	if (asked == NULL) {
		wait_for_memory(provisioner, entry);
		return false;
	}
	*asked = (struct asked){
		.provisioner = provisioner,
		.worker = worker,
		.request = { .slot = slot,
		             .generation = generation,
		             .reply = MESSAGE_PREPARED,
		             .peers = entry->snapshot->spec.peer_count,
		             .handler = on_provisioned,
		             .owner = asked },
		.incarnation = worker_incarnation(worker),
	};
	tunnel_identity_take(&asked->tunnel, entry->snapshot);
	worker_expect(worker, &asked->request);
	if (runtime_send_prepare(entry, entry->snapshot, &entry->sockets, entry->addresses, true, asked->request.number)) {
		progress->under_way++;
		entry->provisionings++;
		runtime_send(worker, MESSAGE_COMMIT, 0, slot, generation);
		return true;
	}
	worker_forget(worker, &asked->request);
	free_asked(asked);
	wait_for_memory(provisioner, entry);
	return false;
}

/* One that reads slowly is not to be taken for one that does not read. */
static bool has_room(struct provisioner *provisioner, const struct worker *worker)
{
	return of_worker(provisioner, worker)->under_way < WINDOW && worker_queued_bytes(worker) < UNREAD_MOST;
}

/* Those that wait are looked for once for half a window. */
static void send_more(struct provisioner *provisioner, struct worker *worker)
{
	struct progress *progress = of_worker(provisioner, worker);
	if (progress->under_way > WINDOW / 2)
		return;
	for (unsigned i = 0; i < COUNTERS_TUNNELS && has_room(provisioner, worker); i++) {
		struct entry *entry = slot_table_at(provisioner->means.slots, worker_index(worker), progress->next);
		progress->next = (progress->next + 1) % COUNTERS_TUNNELS;
		if (entry == NULL || !entry->is_waiting)
			continue;
		/* A change that is under way hurries it itself, or fails and leaves it to the next tick. */
		if (!lock_queue_is_free(provisioner->means.locks, entry->key))
			progress->is_starved = true;
		else if (!send_now(provisioner, entry))
			return;
	}
	/* No answer may come that goes on with it. */
	progress->is_starved |= worker_queued_bytes(worker) >= UNREAD_MOST;
}

void provisioner_tick(struct provisioner *provisioner, struct supervisor *supervisor)
{
	for (unsigned i = 0; i < supervisor_count(supervisor); i++) {
		struct worker *worker = supervisor_worker(supervisor, i);
		if (!provisioner->of_worker[i].is_starved || !worker_is_ready(worker))
			continue;
		provisioner->of_worker[i].is_starved = false;
		send_more(provisioner, worker);
	}
}

/* It is this one's turn. */
static void fail_built(void *owner)
{
	struct asked *asked = owner;
	struct provisioner *provisioner = asked->provisioner;
	struct entry *entry = tunnel_identity_find(&asked->tunnel, provisioner->means.registry);
	bool is_same = entry != NULL && entry->snapshot->generation == asked->request.generation && entry->worker == asked->worker &&
	               worker_incarnation(asked->worker) == asked->incarnation;
	/* One whose worker died is built again when the next one is ready. */
	if (is_same && !failure_set(provisioner->means.registry, provisioner->means.events, entry, &asked->turn, asked->reason))
		wait_for_memory(provisioner, entry);
	lock_queue_release(provisioner->means.locks, &asked->turn);
	free_asked(asked);
}

static void on_provisioned(void *owner, const struct worker_reply *reply)
{
	struct asked *asked = owner;
	struct provisioner *provisioner = asked->provisioner;
	struct worker *worker = asked->worker;
	if (!reply->gone && reply->prepared.ack.status != MESSAGE_STATUS_OK) {
		snprintf(asked->reason, sizeof(asked->reason), "the worker could not start the tunnel: %.*s",
		         (int)strnlen(reply->prepared.detail, 160), reply->prepared.detail);
		lock_queue_claim_one(provisioner->means.locks, &asked->turn, asked->tunnel.key, fail_built, asked);
	} else {
		free_asked(asked);
	}
	of_worker(provisioner, worker)->under_way--;
	if (!reply->gone)
		send_more(provisioner, worker);
}

void provisioner_start(struct provisioner *provisioner, struct entry *entry)
{
	struct worker *worker = entry->worker;
	entry->is_waiting = false;
	if (worker == NULL || !worker_is_ready(worker) || entry->snapshot->failure != NULL)
		return;
	if (has_room(provisioner, worker)) {
		(void)send_now(provisioner, entry);
		return;
	}
	entry->is_waiting = true;
	of_worker(provisioner, worker)->is_starved = true;
}

void provisioner_hurry(struct provisioner *provisioner, struct entry *entry)
{
	if (entry->is_waiting && worker_is_ready(entry->worker))
		(void)send_now(provisioner, entry);
}

void provisioner_renew(struct provisioner *provisioner, struct entry *entry)
{
	if (entry->worker == NULL || !worker_is_ready(entry->worker) || entry->snapshot->failure != NULL)
		return;
	runtime_send(entry->worker, MESSAGE_REMOVE, 0, slot_index(entry->slot), entry->snapshot->generation);
	provisioner_start(provisioner, entry);
}
