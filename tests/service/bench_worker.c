#include "tests/service/bench_worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/log.h"
#include "service/registry/snapshot_make.h"

#define TURNS_MOST 10000 /* of the loop, against a hang only */

struct bench_worker bench;

struct granted {
	unsigned count;
	struct message_ack ack;
	bool has_descriptor;
};

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events;
}

/* There is no process. */
int __wrap_uv_process_kill(uv_process_t *process, int signal);
int __wrap_uv_process_kill(uv_process_t *process, int signal)
{
	(void)process, (void)signal;
	bench.kills++;
	return 0;
}

static void open_ends(void)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	bench.worker.channel = channel_create(ends[0], false);
	bench.worker.poll = calloc(1, sizeof(uv_poll_t));
	assert_int_equal(uv_poll_init(&bench.loop, bench.worker.poll, ends[0]), 0);
	bench.worker.poll->data = &bench.worker;
	bench.far_end = channel_create(ends[1], true);
	bench.far_poll = calloc(1, sizeof(uv_poll_t));
	assert_int_equal(uv_poll_init(&bench.loop, bench.far_poll, ends[1]), 0);
	uv_poll_start(bench.far_poll, UV_READABLE, on_readable);
}

int bench_worker_set_up(void **state)
{
	struct counters *counters;
	(void)state;
	assert_true(sodium_init() >= 0);
	log_start(LOG_ERROR, false, "control");
	assert_int_equal(uv_loop_init(&bench.loop), 0);
	bench.kills = 0;
	bench.locks = lock_queue_create();
	bench.registry = registry_create(bench.locks);
	bench.slots = slot_table_create(2); /* of two workers, for those that move */
	bench.events = events_create(64, 0);
	bench.supervisor = (struct supervisor){ .loop = &bench.loop, .workers = &bench.worker, .count = 1, .options = { .workers = 1 } };
	int descriptor = counters_create(&counters);
	assert_true(descriptor >= 0);
	bench.worker = (struct worker){ .supervisor = &bench.supervisor,
		                        .state = WORKER_READY,
		                        .process = &bench.process,
		                        .incarnation = 1,
		                        .slots = slots_create(counters, descriptor, 0) };
	bench.worker.last = &bench.worker.first;
	open_ends();
	return 0;
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

void bench_worker_replace(void)
{
	assert_int_equal(bench.worker.state, WORKER_DYING);
	uv_close((uv_handle_t *)bench.far_poll, free_handle);
	channel_free(bench.far_end);
	open_ends();
	bench.worker.fault = NULL;
	bench.worker.state = WORKER_READY;
	bench.worker.incarnation++;
	worker_answer_gone(&bench.worker);
}

static void close_handle(uv_handle_t *handle, void *owner)
{
	(void)owner;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

int bench_worker_tear_down(void **state)
{
	(void)state;
	uv_walk(&bench.loop, close_handle, NULL);
	uv_run(&bench.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&bench.loop), 0);
	free(bench.worker.poll);
	free(bench.far_poll);
	channel_free(bench.worker.channel);
	channel_free(bench.far_end);
	registry_free(bench.registry);
	slot_table_free(bench.slots);
	slots_free(bench.worker.slots);
	events_free(bench.events);
	lock_queue_free(bench.locks);
	return 0;
}

static struct snapshot *make_snapshot(const char *id, struct spec_forward *forward)
{
	struct spec_label *labels = NULL;
	struct spec spec;
	spec_init(&spec);
	spec.forwards = forward;
	spec.forward_count = forward != NULL;
	return snapshot_make(id, &labels, 0, &spec, NULL, NULL, NULL, 0);
}

struct entry *bench_worker_add(const char *id, struct spec_forward *forward)
{
	struct entry *entry = entry_create(id);
	struct snapshot *snapshot = make_snapshot(id, forward);
	struct socket_pool none = { .count = 0 };
	struct socket_request request = { .spec = &snapshot->spec, .next_id = &entry->next_socket_id, .pointer = "" };
	struct problem problem;
	problem_init(&problem);
	entry->worker = &bench.worker;
	entry->slot = slot_take_tunnel(bench.worker.slots);
	entry->snapshot = snapshot;
	assert_true(snapshot_take_slots(snapshot, entry, NULL));
	assert_true(socket_list_want(&entry->sockets, &snapshot->spec));
	assert_true(socket_list_open(&entry->sockets, &request, &none, &problem));
	snapshot->udp_port = socket_list_udp_port(&entry->sockets);
	assert_int_equal(snapshot->generation, 1);
	assert_true(registry_reserve(bench.registry, 1));
	registry_add(bench.registry, entry);
	registry_unreserve(bench.registry, 1);
	slot_table_put(bench.slots, entry);
	return entry;
}

void bench_worker_remove(struct entry *entry)
{
	registry_remove(bench.registry, entry);
	slot_table_remove(bench.slots, entry);
	entry_free(entry);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct granted *granted = owner;
	if (type != MESSAGE_GRANTED)
		return true;
	granted->count++;
	granted->has_descriptor = count > 0;
	for (size_t i = 0; i < count; i++) {
		close(descriptors[i]);
		descriptors[i] = -1;
	}
	channel_pause(bench.far_end);
	return message_decode_ack(body, &granted->ack);
}

struct message_ack bench_worker_granted(bool *has_descriptor)
{
	struct granted granted = { .count = 0 };
	assert_int_equal(channel_resume(bench.far_end, on_message, &granted), CHANNEL_OK);
	for (int i = 0; granted.count == 0 && i < TURNS_MOST; i++) {
		assert_int_equal(channel_read(bench.far_end, on_message, &granted), CHANNEL_OK);
		if (granted.count == 0)
			uv_run(&bench.loop, UV_RUN_ONCE);
	}
	assert_int_equal(granted.count, 1);
	*has_descriptor = granted.has_descriptor;
	return granted.ack;
}

bool bench_worker_answer(uint8_t status, const char *detail)
{
	const struct worker_request *request = bench.worker.first;
	if (request == NULL)
		return false;
	const struct message_ack ack = { .request = request->number, .slot = request->slot, .generation = request->generation, .status = status };
	struct worker_reply reply = { .type = request->reply };
	if (reply.type == MESSAGE_PREPARED) {
		reply.prepared.ack = ack;
		snprintf(reply.prepared.detail, sizeof(reply.prepared.detail), "%s", detail);
	} else if (reply.type == MESSAGE_DONE) {
		reply.ack = ack;
	} else {
		reply.probed = (struct message_probed){ .request = ack.request, .slot = ack.slot, .generation = ack.generation };
	}
	assert_true(worker_answer(&bench.worker, &reply, ack.request, ack.slot, ack.generation));
	return true;
}

static bool note_type(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	enum message_type *noted = owner;
	(void)body, (void)descriptors, (void)count;
	*noted = type;
	channel_pause(bench.far_end);
	return true;
}

enum message_type bench_worker_next(void)
{
	enum message_type type = 0;
	assert_int_equal(channel_resume(bench.far_end, note_type, &type), CHANNEL_OK);
	if (type == 0)
		assert_int_equal(channel_read(bench.far_end, note_type, &type), CHANNEL_OK);
	return type;
}
