/* A tunnel moves from one worker to another. Whatever fails, and whoever dies at whichever step, it is on one of them, and is built there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "service/registry/snapshot_make.h"
#include "service/worker/mover.h"
#include "tests/failing_heap.h"
#include "tests/service/bench_worker.h"

/* bench.worker has the tunnel, and this is the other one. */
static struct worker to;
static struct channel *to_far_end;
static struct provisioner *provisioner;
static struct mover *mover;
static unsigned answers;
static enum mover_result result; /* of the last one */

static void note_done(void *owner, enum mover_result how, const char *why)
{
	assert_ptr_equal(owner, &answers);
	answers++;
	result = how;
	assert_true(how != MOVER_FAILED || why != NULL);
}

static int set_up(void **state)
{
	struct counters *counters;
	int ends[2];
	bench_worker_set_up(state);
	int descriptor = counters_create(&counters);
	to = (struct worker){ .supervisor = &bench.supervisor,
		              .index = 1,
		              .state = WORKER_READY,
		              .process = &bench.process,
		              .incarnation = 1,
		              .protocol = MESSAGE_PROTOCOL,
		              .slots = slots_create(counters, descriptor, 1) };
	to.last = &to.first;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	to.channel = channel_create(ends[0], false);
	to.poll = calloc(1, sizeof(uv_poll_t));
	assert_int_equal(uv_poll_init(&bench.loop, to.poll, ends[0]), 0);
	to.poll->data = &to;
	to_far_end = channel_create(ends[1], true);
	bench.worker.protocol = MESSAGE_PROTOCOL;
	const struct provisioner_means means = { .registry = bench.registry, .locks = bench.locks, .slots = bench.slots, .events = bench.events };
	provisioner = provisioner_create(&means, 2);
	const struct mover_means moving = { .registry = bench.registry, .locks = bench.locks, .slots = bench.slots, .provisioner = provisioner };
	mover = mover_create(&moving);
	answers = 0;
	result = MOVER_DONE;
	return provisioner != NULL && mover != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	worker_answer_gone(&bench.worker);
	worker_answer_gone(&to);
	mover_free(mover);
	bench_worker_tear_down(state);
	provisioner_free(provisioner);
	free(to.poll);
	channel_free(to.channel);
	channel_free(to_far_end);
	slots_free(to.slots);
	return 0;
}

/* What the other worker reads next. */
struct read {
	enum message_type type;
	struct message_transfer transfer;
	uint8_t state[16];
};

static bool note(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct read *read = owner;
	(void)descriptors, (void)count;
	read->type = type;
	if (type == MESSAGE_TRANSFER) {
		assert_true(message_decode_transfer(body, &read->transfer));
		memcpy(read->state, read->transfer.state.bytes, read->transfer.state.left);
	}
	channel_pause(to_far_end);
	return true;
}

static struct read next_to(void)
{
	struct read read = { .type = 0 };
	assert_int_equal(channel_resume(to_far_end, note, &read), CHANNEL_OK);
	if (read.type == 0)
		assert_int_equal(channel_read(to_far_end, note, &read), CHANNEL_OK);
	return read;
}

static void answer(struct worker *worker, uint8_t status)
{
	const struct worker_request *request = worker->first;
	assert_non_null(request);
	const struct message_ack ack = { .request = request->number, .slot = request->slot, .generation = request->generation, .status = status };
	struct worker_reply reply = { .type = request->reply, .ack = ack, .prepared = { .ack = ack, .detail = "why" } };
	assert_true(worker_answer(worker, &reply, ack.request, ack.slot, ack.generation));
}

static void die(struct worker *worker)
{
	worker->state = WORKER_ABSENT;
	worker_answer_gone(worker);
}

/* With one peer and some figures. */
static struct entry *add(const char *id)
{
	struct entry *entry = bench_worker_add(id, NULL);
	struct snapshot *snapshot = entry->snapshot;
	slot_release(snapshot->slots[0]);
	free(snapshot->slots);
	free(snapshot->peer_counters);
	snapshot->spec.peers = calloc(1, sizeof(*snapshot->spec.peers));
	snapshot->spec.peer_count = 1;
	assert_true(snapshot_take_slots(snapshot, entry, NULL));
	counter_set(&slot_tunnel(entry->slot)->bytes_sent, 5);
	counter_set(&slot_tunnel(entry->slot)->state, TUNNEL_UP);
	counter_set(&slot_tunnel(entry->slot)->connections_open[COUNTERS_CONNECT], 1);
	counter_set(&slot_peer(snapshot->slots[1])->bytes_sent, 7);
	return entry;
}

static void start(const struct entry *entry)
{
	assert_true(mover_start(mover, entry, &to, false, note_done, &answers));
}

static bool take_transfer(struct worker *worker, uint32_t slot, uint64_t generation)
{
	struct message_writer writer;
	const struct message_transfer message = { .slot = slot, .generation = generation, .state = { .bytes = (const uint8_t *)"keys", .left = 4 } };
	message_writer_init(&writer);
	message_encode_transfer(&writer, &message);
	struct message_reader body = { .bytes = writer.bytes, .left = writer.length };
	bool is_sound = mover_take_transfer(mover, worker, &body);
	message_writer_clear(&writer);
	return is_sound;
}

static void assert_moved(const struct entry *entry)
{
	assert_int_equal(answers, 1);
	assert_int_equal(result, MOVER_DONE);
	assert_ptr_equal(entry->worker, &to);
	assert_int_equal(slot_worker(entry->slot), 1);
	assert_int_equal(entry->snapshot->worker, 1);
	assert_ptr_equal(slot_table_at(bench.slots, 1, slot_index(entry->slot)), entry);
	assert_int_equal(slots_tunnels_placed(bench.worker.slots), 0);
	assert_int_equal(counter_read(&entry->snapshot->counters->bytes_sent), 5);
	assert_int_equal(counter_read(&entry->snapshot->peer_counters[0]->bytes_sent), 7);
	assert_true(lock_queue_is_free(bench.locks, entry->key));
}

static void assert_stays(const struct entry *entry)
{
	assert_int_equal(answers, 1);
	assert_int_not_equal(result, MOVER_DONE);
	assert_ptr_equal(entry->worker, &bench.worker);
	assert_ptr_equal(slot_table_at(bench.slots, 0, slot_index(entry->slot)), entry);
	assert_int_equal(slots_tunnels_placed(to.slots), 0);
	assert_int_equal(bench_worker_next(), 0);
	assert_true(lock_queue_is_free(bench.locks, entry->key));
}

static void a_tunnel_goes_with_its_sessions_and_figures(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	assert_int_equal(bench_worker_next(), MESSAGE_HAND_OVER);
	/* What it publishes last. */
	counter_set(&slot_tunnel(entry->slot)->connections_open[COUNTERS_CONNECT], 0);
	assert_true(take_transfer(&bench.worker, slot_index(entry->slot), 1));
	struct read read = next_to();
	assert_int_equal(read.type, MESSAGE_TRANSFER);
	assert_int_equal(read.transfer.slot, 0);
	assert_memory_equal(read.state, "keys", 4);
	answer(&bench.worker, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_moved(entry);
	assert_int_equal(counter_read(&entry->snapshot->counters->state), TUNNEL_UP);
	assert_int_equal(counter_read(&entry->snapshot->counters->connections_open[COUNTERS_CONNECT]), 0);
	assert_int_equal(bench_worker_next(), 0);
}

static void one_that_the_other_worker_refuses_stays(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	answer(&to, MESSAGE_STATUS_NO_MEMORY);
	assert_stays(entry);
}

static void one_that_is_to_go_to_a_worker_that_dies_stays(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	die(&to);
	assert_stays(entry);
}

/* A worker of a program before knows no HAND_OVER. */
static void a_tunnel_of_an_older_worker_begins_anew(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	bench.worker.protocol = MESSAGE_PROTOCOL_HAND_OVER - 1;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	assert_int_equal(bench_worker_next(), MESSAGE_REMOVE);
	answer(&bench.worker, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_moved(entry);
}

/* A client came meanwhile: nothing is cut, and the other worker forgets the tunnel. */
static void one_that_must_be_idle_and_is_not_stays(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	assert_true(mover_start(mover, entry, &to, true, note_done, &answers));
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	assert_int_equal(bench_worker_next(), MESSAGE_HAND_OVER_IDLE);
	answer(&bench.worker, MESSAGE_STATUS_REFUSED);
	assert_int_equal(next_to().type, MESSAGE_ABORT);
	assert_stays(entry);
	assert_int_equal(result, MOVER_BUSY);
}

/* Gauges were of what died with its worker. */
static void assert_begins_anew(const struct entry *entry)
{
	assert_moved(entry);
	assert_int_equal(counter_read(&entry->snapshot->counters->state), TUNNEL_STARTING);
	assert_int_equal(counter_read(&entry->snapshot->counters->connections_open[COUNTERS_CONNECT]), 0);
}

/* The worker that has it dies before it is asked. */
static void without_its_worker_it_begins_anew_on_the_other(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	die(&bench.worker);
	answer(&to, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_begins_anew(entry);
}

/* It was killed, but its process has not ended: the tunnel must not run twice. */
static void a_worker_that_is_dying_is_waited_for(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	bench.worker.state = WORKER_DYING;
	answer(&to, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, 0);
	assert_int_equal(answers, 0);
	die(&bench.worker);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_moved(entry);
}

/* It dies while it hands over. */
static void a_worker_that_dies_with_it_leaves_it_to_the_other(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	die(&bench.worker);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_begins_anew(entry);
}

/* The worker that has prepared it dies while it is handed over: the next process gets the whole of it. */
static void a_successor_is_given_what_was_on_its_way(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	to.incarnation++;
	assert_true(take_transfer(&bench.worker, slot_index(entry->slot), 1));
	answer(&bench.worker, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_moved(entry);
}

static void one_whose_successor_is_not_ready_waits_for_it(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	answer(&to, MESSAGE_STATUS_OK);
	to.state = WORKER_ABSENT;
	answer(&bench.worker, MESSAGE_STATUS_OK);
	assert_int_equal(next_to().type, 0);
	assert_moved(entry);
}

/* A worker may send what it likes. */
static void sessions_of_no_move_are_dropped(void **state)
{
	struct entry *entry = add("a");
	uint32_t slot = slot_index(entry->slot);
	(void)state;
	assert_true(take_transfer(&bench.worker, slot, 1));
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	assert_true(take_transfer(&bench.worker, slot, 1)); /* not asked for yet */
	answer(&to, MESSAGE_STATUS_OK);
	assert_true(take_transfer(&bench.worker, slot + 1, 1));
	assert_true(take_transfer(&bench.worker, slot, 2));
	assert_true(take_transfer(&to, slot, 1));
	assert_int_equal(next_to().type, 0);
	assert_true(take_transfer(&bench.worker, slot, 1));
	assert_true(take_transfer(&bench.worker, slot, 1)); /* more than peers */
	assert_int_equal(next_to().type, MESSAGE_TRANSFER);
	assert_int_equal(next_to().type, 0);
	struct message_reader nothing = { .bytes = (const uint8_t *)"", .left = 0 };
	assert_false(mover_take_transfer(mover, &bench.worker, &nothing));
}

enum { MANY = 4096, LARGE = COUNTERS_PEERS / MANY };

/* With as many peers as there may be. */
static struct entry *add_large(unsigned number)
{
	char id[16];
	snprintf(id, sizeof(id), "t%u", number);
	struct entry *entry = bench_worker_add(id, NULL);
	struct snapshot *snapshot = entry->snapshot;
	slot_release(snapshot->slots[0]);
	free(snapshot->slots);
	free(snapshot->peer_counters);
	snapshot->spec.peers = calloc(MANY, sizeof(*snapshot->spec.peers));
	snapshot->spec.peer_count = MANY;
	assert_true(snapshot_take_slots(snapshot, entry, NULL));
	return entry;
}

static unsigned messages[MESSAGE_TRANSFER + 1]; /* that the other worker has read */

static bool count_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	(void)owner, (void)body, (void)descriptors, (void)count;
	messages[type]++;
	return true;
}

static void read_all(void)
{
	do {
		assert_int_equal(channel_flush(to.channel), CHANNEL_OK);
		assert_int_equal(channel_read(to_far_end, count_message, NULL), CHANNEL_OK);
	} while (channel_wants_write(to.channel));
	assert_int_equal(channel_read(to_far_end, count_message, NULL), CHANNEL_OK);
}

/* The longest that a worker may send, for each peer. */
static void tell_sessions(uint32_t slot)
{
	static const uint8_t state[CHANNEL_UNTRUSTED_MAX - 64];
	for (unsigned i = 0; i < MANY; i++) {
		const struct message_transfer message = { .slot = slot, .generation = 1 };
		struct message_writer writer;
		message_writer_init(&writer);
		message_encode_transfer(&writer, &message);
		message_put_bytes(&writer, state, sizeof(state));
		struct message_reader body = { .bytes = writer.bytes, .left = writer.length };
		assert_true(mover_take_transfer(mover, &bench.worker, &body));
		message_writer_clear(&writer);
	}
}

/* P6: sixteen tunnels of 4,096 live peers are 250 MB of sessions: more than is queued for a worker that reads slowly. It reads nothing until the
 * tunnels on their way are there, and is not taken for one that does not read. */
static void what_is_on_its_way_is_bounded(void **state)
{
	struct entry *entries[LARGE];
	unsigned moved = 0;
	(void)state;
	for (unsigned i = 0; i < LARGE; i++)
		entries[i] = add_large(i);
	for (unsigned i = 0; i < LARGE; i++)
		start(entries[i]);
	while (moved < LARGE) {
		unsigned on_way = 0;
		for (; to.first != NULL; on_way++)
			answer(&to, MESSAGE_STATUS_OK);
		assert_in_range(on_way, 1, 4);
		for (; bench.worker.first != NULL; moved++) {
			tell_sessions(bench.worker.first->slot);
			answer(&bench.worker, MESSAGE_STATUS_OK);
		}
		assert_int_equal(answers, moved);
		assert_in_range(worker_queued_bytes(&to), 0, CHANNEL_QUEUED_BYTES);
		assert_null(to.fault);
		/* Nothing follows as long as this waits. */
		mover_tick(mover);
		assert_null(to.first);
		read_all();
		mover_tick(mover);
	}
	for (unsigned i = 0; i < LARGE; i++)
		assert_ptr_equal(entries[i]->worker, &to);
	assert_int_equal(messages[MESSAGE_TRANSFER], COUNTERS_PEERS);
	assert_int_equal(messages[MESSAGE_COMMIT], LARGE);
}

/* A tunnel that waits for its way to be free is still one that can fail. */
static void one_whose_worker_dies_while_it_waits_stays(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		start(add_large(i));
	const struct entry *last = add("a");
	assert_true(mover_start(mover, last, &to, false, note_done, &answers));
	die(&to);
	mover_tick(mover);
	assert_int_equal(answers, 5);
	assert_int_equal(result, MOVER_FAILED);
	assert_ptr_equal(last->worker, &bench.worker);
	assert_true(lock_queue_is_free(bench.locks, "a"));
}

/* They were asked for. */
static void sessions_do_not_count_against_a_worker(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	start(entry);
	answer(&to, MESSAGE_STATUS_OK);
	assert_true(allowance_take(&bench.worker.messages, WORKER_MESSAGES_PER_SECOND, WORKER_MESSAGES_BURST, 1000));
	assert_true(allowance_take(&bench.worker.messages, WORKER_MESSAGES_PER_SECOND, WORKER_MESSAGES_BURST, 1000));
	uint64_t before = bench.worker.messages.whole_at;
	assert_true(take_transfer(&bench.worker, slot_index(entry->slot), 1));
	assert_in_range(bench.worker.messages.whole_at, 1, before - 1);
	before = bench.worker.messages.whole_at;
	assert_true(take_transfer(&bench.worker, slot_index(entry->slot), 1)); /* more than peers */
	assert_int_equal(bench.worker.messages.whole_at, before);
}

static void nothing(void *owner)
{
	(void)owner;
}

static void a_move_waits_for_its_turn(void **state)
{
	struct lock_claim turn;
	struct entry *entry = add("a");
	(void)state;
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	start(entry);
	assert_int_equal(next_to().type, 0);
	lock_queue_release(bench.locks, &turn);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
}

/* It is deleted before the turn comes; another one has its id. */
static void one_that_is_gone_moves_no_other(void **state)
{
	struct lock_claim turn;
	struct entry *entry = add("a");
	(void)state;
	lock_queue_claim_one(bench.locks, &turn, "a", nothing, NULL);
	start(entry);
	bench_worker_remove(entry);
	const struct entry *next = add("a");
	lock_queue_release(bench.locks, &turn);
	assert_int_equal(answers, 1);
	assert_int_equal(result, MOVER_DONE);
	assert_ptr_equal(next->worker, &bench.worker);
	assert_int_equal(next_to().type, 0);
}

static void one_that_is_there_already_is_left(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	assert_true(mover_start(mover, entry, &bench.worker, false, note_done, &answers));
	assert_int_equal(answers, 1);
	assert_int_equal(result, MOVER_DONE);
}

static void none_goes_to_a_worker_that_is_not_ready(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	to.state = WORKER_STARTING;
	start(entry);
	assert_stays(entry);
}

/* One that was never given to its worker has nothing to hand over. */
static void one_that_waits_to_be_built_is_built_on_the_other(void **state)
{
	struct entry *entry = add("a");
	(void)state;
	entry->is_waiting = true;
	start(entry);
	assert_int_equal(next_to().type, MESSAGE_PREPARE);
	assert_int_equal(next_to().type, MESSAGE_COMMIT);
	assert_int_equal(bench_worker_next(), 0);
	assert_moved(entry);
}

static void without_memory_it_stays(void **state)
{
	struct entry *entry = add("a");
	bool is_over = false;
	(void)state;
	for (unsigned number = 0; !is_over; number++) {
		answers = 0;
		heap_fails_once_after(number);
		bool is_started = mover_start(mover, entry, &to, false, note_done, &answers);
		is_over = heap_refused() == 0;
		heap_works();
		assert_true(is_started || !is_over);
		if (is_over || !is_started)
			continue;
		/* A message that cannot be sent ends the worker, in the loop's next turn. */
		if (answers == 0)
			worker_answer_gone(&to);
		assert_stays(entry);
	}
}

#define move_test(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		move_test(a_tunnel_goes_with_its_sessions_and_figures),
		move_test(one_that_the_other_worker_refuses_stays),
		move_test(one_that_is_to_go_to_a_worker_that_dies_stays),
		move_test(a_tunnel_of_an_older_worker_begins_anew),
		move_test(one_that_must_be_idle_and_is_not_stays),
		move_test(without_its_worker_it_begins_anew_on_the_other),
		move_test(a_worker_that_is_dying_is_waited_for),
		move_test(a_worker_that_dies_with_it_leaves_it_to_the_other),
		move_test(a_successor_is_given_what_was_on_its_way),
		move_test(one_whose_successor_is_not_ready_waits_for_it),
		move_test(sessions_of_no_move_are_dropped),
		move_test(what_is_on_its_way_is_bounded),
		move_test(one_whose_worker_dies_while_it_waits_stays),
		move_test(sessions_do_not_count_against_a_worker),
		move_test(a_move_waits_for_its_turn),
		move_test(one_that_is_gone_moves_no_other),
		move_test(one_that_is_there_already_is_left),
		move_test(none_goes_to_a_worker_that_is_not_ready),
		move_test(one_that_waits_to_be_built_is_built_on_the_other),
		move_test(without_memory_it_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
