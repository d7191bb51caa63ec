#include "service/worker/mover.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/channel.h"
#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "service/registry/snapshot_make.h"
#include "service/registry/tunnel_identity.h"
#include "service/worker/runtime.h"

/* Bytes on their way to and from workers: two tunnels with as many peers as there may be. */
#define ON_WAY_MOST ((size_t)CHANNEL_QUEUED_BYTES / 4 * 3)

/* What a tunnel will have on the other worker. */
struct place {
	struct worker *worker;
	struct slot *slot;
	struct snapshot *snapshot; /* with slots there; NULL: there is no place */
};

struct move {
	struct move *next;
	struct mover *mover;
	mover_done *done;
	void *owner;
	struct tunnel_identity tunnel;
	struct lock_claim turn;
	struct worker *from; /* once it hands the tunnel over */
	struct place place;
	unsigned incarnation; /* of the worker that prepared it */
	struct worker_request request;
	bool only_idle;
	bool waits;       /* for others that are on their way */
	size_t weight;    /* bytes, at most; 0: it is not on its way */
	size_t transfers; /* passed on */
};

struct mover {
	struct mover_means means;
	struct move *first, **last;
	size_t on_way, waiting; /* the weight of moves, and how many wait */
};

struct mover *mover_create(const struct mover_means *means)
{
	struct mover *mover = calloc(1, sizeof(*mover));
	if (mover == NULL)
		return NULL;
	mover->means = *means;
	mover->last = &mover->first;
	return mover;
}

/* Places. */

static void leave_place(struct place *place)
{
	snapshot_release(place->snapshot);
	slot_leave(place->slot);
	*place = (struct place){ .worker = NULL };
}

static bool take_place(struct place *place, const struct entry *entry, struct worker *to)
{
	*place = (struct place){ .worker = to, .slot = slot_take_tunnel(worker_slots(to)), .snapshot = snapshot_copy(entry->snapshot) };
	const struct entry after = { .worker = to, .slot = place->slot };
	if (place->slot != NULL && place->snapshot != NULL && snapshot_move_slots(place->snapshot, &after))
		return true;
	leave_place(place);
	return false;
}

/* Nobody runs the tunnel, and its counters have no writer. */
static void change_place(struct mover *mover, struct entry *entry, const struct lock_claim *turn, struct place *place)
{
	log_line(LOG_INFO, entry->id, "moved from worker %u to worker %u", worker_index(entry->worker), worker_index(place->worker));
	snapshot_copy_counters(place->snapshot, entry->snapshot);
	slot_table_remove(mover->means.slots, entry);
	slot_leave(entry->slot);
	entry->slot = place->slot;
	entry->worker = place->worker;
	slot_table_put(mover->means.slots, entry);
	snapshot_release(registry_swap(mover->means.registry, entry, turn, place->snapshot));
	*place = (struct place){ .worker = NULL };
}

bool mover_place(struct mover *mover, struct entry *entry, const struct lock_claim *turn, struct worker *to)
{
	struct place place;
	if (!take_place(&place, entry, to))
		return false;
	change_place(mover, entry, turn, &place);
	provisioner_start(mover->means.provisioner, entry);
	return true;
}

/* Moves. */

static void end(struct move *move, enum mover_result result, const char *failure)
{
	struct mover *mover = move->mover;
	struct move **at = &mover->first;
	while (*at != move) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = move->next;
	if (mover->last == &move->next)
		mover->last = at;
	mover->on_way -= move->weight;
	leave_place(&move->place);
	lock_queue_release(mover->means.locks, &move->turn);
	tunnel_identity_release(&move->tunnel);
	move->done(move->owner, result, failure);
	free(move);
}

void mover_free(struct mover *mover)
{
	while (mover != NULL && mover->first != NULL) {
		struct move *move = mover->first;
		mover->first = move->next;
		leave_place(&move->place);
		tunnel_identity_release(&move->tunnel);
		free(move);
	}
	free(mover);
}

/* It has our turn, so that it is what it was when the turn came; it may not be deleted either. */
static struct entry *entry_of(const struct move *move)
{
	return tunnel_identity_find(&move->tunnel, move->mover->means.registry);
}

static bool is_prepared(const struct move *move)
{
	return worker_is_ready(move->place.worker) && worker_incarnation(move->place.worker) == move->incarnation;
}

/* The worker that had it died with it: gauges are of what is no more. */
static void note_death(const struct entry *entry)
{
	struct counters_tunnel *counters = slot_tunnel(entry->slot);
	counters_zero_gauges(counters);
	counter_set(&counters->state, TUNNEL_STARTING);
	counter_set(&counters->state_since, (uint64_t)wall_clock_ms());
}

/* The old worker has nothing of it any more. */
static void finish(struct move *move)
{
	struct entry *entry = entry_of(move);
	struct worker *to = move->place.worker;
	bool goes_on = is_prepared(move);
	change_place(move->mover, entry, &move->turn, &move->place);
	if (goes_on) {
		entry->is_waiting = false;
		entry->provisionings++;
		runtime_send(to, MESSAGE_COMMIT, 0, slot_index(entry->slot), entry->snapshot->generation);
	} else {
		provisioner_start(move->mover->means.provisioner, entry);
	}
	end(move, MOVER_DONE, NULL);
}

static void on_handed_over(void *owner, const struct worker_reply *reply)
{
	struct move *move = owner;
	if (reply->gone) {
		note_death(entry_of(move));
	} else if (reply->ack.status == MESSAGE_STATUS_REFUSED && move->only_idle) {
		if (is_prepared(move))
			runtime_send(move->place.worker, MESSAGE_ABORT, 0, slot_index(move->place.slot), move->request.generation);
		end(move, MOVER_BUSY, NULL);
		return;
	}
	finish(move);
}

/* One that was killed may run for a moment more: what waits for its answer is told when it has ended. */
static void hand_over(struct move *move, const struct entry *entry)
{
	struct worker *from = entry->worker;
	if (!worker_is_ready(from) && !worker_is_dying(from)) {
		note_death(entry);
		finish(move);
		return;
	}
	uint32_t slot = slot_index(entry->slot);
	uint64_t generation = entry->snapshot->generation;
	move->from = from;
	move->request = (struct worker_request){
		.slot = slot, .generation = generation, .reply = MESSAGE_DONE, .is_removal = true, .handler = on_handed_over, .owner = move
	};
	worker_expect(from, &move->request);
	/* An older program knows no sessions but its own: the tunnel begins with a handshake. */
	enum message_type how = move->only_idle ? MESSAGE_HAND_OVER_IDLE : MESSAGE_HAND_OVER;
	if (worker_protocol(from) < MESSAGE_PROTOCOL_IDLE)
		how = worker_protocol(from) < MESSAGE_PROTOCOL_HAND_OVER ? MESSAGE_REMOVE : MESSAGE_HAND_OVER;
	runtime_send(from, how, move->request.number, slot, generation);
}

static void on_prepared(void *owner, const struct worker_reply *reply)
{
	struct move *move = owner;
	char failure[200] = "the worker that was to take the tunnel has ended";
	bool is_refused = !reply->gone && reply->prepared.ack.status != MESSAGE_STATUS_OK;
	if (is_refused)
		snprintf(failure, sizeof(failure), "the worker could not take the tunnel: %.*s", (int)strnlen(reply->prepared.detail, 160),
		         reply->prepared.detail);
	if (reply->gone || is_refused)
		end(move, MOVER_FAILED, failure);
	else
		hand_over(move, entry_of(move));
}

static void prepare(struct move *move, const struct entry *entry)
{
	/* As it will be. */
	struct entry after = *entry;
	after.worker = move->place.worker;
	after.slot = move->place.slot;
	move->incarnation = worker_incarnation(after.worker);
	move->request = (struct worker_request){ .slot = slot_index(after.slot),
		                                 .generation = entry->snapshot->generation,
		                                 .reply = MESSAGE_PREPARED,
		                                 .peers = entry->snapshot->spec.peer_count,
		                                 .handler = on_prepared,
		                                 .owner = move };
	worker_expect(after.worker, &move->request);
	if (runtime_send_prepare(&after, move->place.snapshot, &entry->sockets, entry->addresses, true, move->request.number))
		return;
	worker_forget(after.worker, &move->request);
	end(move, MOVER_FAILED, "out of memory or descriptors");
}

/* The worker that has it tells no more than the longest message for each peer. */
static size_t weight_of(const struct snapshot *snapshot)
{
	return runtime_prepare_length(snapshot) + snapshot->spec.peer_count * CHANNEL_UNTRUSTED_MAX;
}

/* A lone one always has. */
static bool has_room(const struct move *move, const struct entry *entry)
{
	size_t on_way = move->mover->on_way + worker_queued_bytes(move->place.worker);
	return on_way == 0 || on_way + weight_of(entry->snapshot) <= ON_WAY_MOST;
}

static void begin(struct move *move, const struct entry *entry)
{
	if (!take_place(&move->place, entry, move->place.worker)) {
		end(move, MOVER_FAILED, "out of memory, or the worker has no room for the tunnel and its peers");
		return;
	}
	move->weight = weight_of(entry->snapshot);
	move->mover->on_way += move->weight;
	prepare(move, entry);
}

/* It has the tunnel's turn. */
static void go_on(struct move *move)
{
	struct worker *to = move->place.worker;
	struct entry *entry = entry_of(move);
	if (entry == NULL || entry->worker == to || entry->slot == NULL) {
		end(move, MOVER_DONE, NULL);
		return;
	}
	bool runs = (worker_is_ready(entry->worker) || worker_is_dying(entry->worker)) && entry->snapshot->failure == NULL && !entry->is_waiting;
	if (!worker_is_ready(to) || (!runs && !worker_is_ready(entry->worker))) {
		end(move, MOVER_FAILED, "a worker is being replaced");
	} else if (!runs) {
		bool is_placed = mover_place(move->mover, entry, &move->turn, to);
		end(move, is_placed ? MOVER_DONE : MOVER_FAILED, "out of memory");
	} else {
		begin(move, entry);
	}
}

/* The first to wait is the first to go on. */
static void on_turn(void *owner)
{
	struct move *move = owner;
	const struct entry *entry = entry_of(move);
	move->waits = entry != NULL && (move->mover->waiting > 0 || !has_room(move, entry));
	move->mover->waiting += move->waits;
	if (!move->waits)
		go_on(move);
}

static struct move *first_waiting(const struct mover *mover)
{
	struct move *move = mover->first;
	while (move != NULL && !move->waits) /* NOLINT(clang-analyzer-unix.Malloc): one that has ended has left the list */
		move = move->next;
	return move;
}

void mover_tick(struct mover *mover)
{
	struct move *move;
	/* It has its turn, so that the tunnel is there. */
	while (mover->waiting > 0 && (move = first_waiting(mover)) != NULL && has_room(move, entry_of(move))) {
		move->waits = false;
		mover->waiting--;
		go_on(move);
	}
}

bool mover_start(struct mover *mover, const struct entry *entry, struct worker *to, bool only_idle, mover_done *done, void *owner)
{
	struct move *move = calloc(1, sizeof(*move));
	if (move == NULL)
		return false;
	*move = (struct move){ .mover = mover, .done = done, .owner = owner, .only_idle = only_idle, .place = { .worker = to } };
	*mover->last = move;
	mover->last = &move->next;
	tunnel_identity_take(&move->tunnel, entry->snapshot);
	lock_queue_claim_one(mover->means.locks, &move->turn, entry->key, on_turn, move);
	return true;
}

bool mover_take_transfer(struct mover *mover, struct worker *worker, struct message_reader *body)
{
	struct message_transfer message;
	if (!message_decode_transfer(body, &message))
		return false;
	struct move *move = mover->first;
	while (move != NULL && (move->from != worker || move->request.slot != message.slot || move->request.generation != message.generation))
		move = move->next;
	/* No more than the tunnel has peers: what a worker sends is queued for another. */
	if (move == NULL || !is_prepared(move) || move->transfers >= move->place.snapshot->spec.peer_count)
		return true;
	move->transfers++;
	worker_was_asked(worker);
	message.slot = slot_index(move->place.slot);
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_transfer(&writer, &message);
	worker_send(move->place.worker, MESSAGE_TRANSFER, &writer, NULL, 0);
	return true;
}
