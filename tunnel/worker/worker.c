#include "tunnel/worker/worker.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/log.h"
#include "netstack/netstack.h"
#include "sandbox/worker_sandbox.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/probe.h"
#include "tunnel/tunnel.h"
#include "tunnel/worker/change.h"

#define HEARTBEAT (LOOP_SECOND / 2)
#define BUDGET_DEFAULT (512u << 20)
#define SESSIONS_DEFAULT (4 * (size_t)COUNTERS_PEERS) /* a limit; memory is allocated on demand */

struct worker {
	struct context context; /* first: the context's callbacks cast it to the worker */
	struct channel *channel;
	struct poller *poller;
	struct deadline heartbeat;
	struct tunnel *tunnels[COUNTERS_TUNNELS];
	struct message_prepared prepared; /* the reply to the change being prepared in steps */
	struct deadline next_step;
	int exit_code;
	bool broken; /* the channel is broken: nothing can be sent */
};

static void stop(struct worker *worker, int exit_code)
{
	worker->exit_code = exit_code;
	worker->broken = true;
	loop_stop(worker->context.loop);
}

static void watch_channel(struct worker *worker)
{
	int readable = worker->next_step.at == LOOP_NEVER ? LOOP_READABLE : 0;
	poller_set(worker->poller, readable | (channel_wants_write(worker->channel) ? LOOP_WRITABLE : 0));
}

static void worker_send(struct context *context, enum message_type type, struct message_writer *writer)
{
	struct worker *worker = (struct worker *)context;
	if (worker->broken) {
		message_writer_clear(writer);
		return;
	}
	if (channel_send(worker->channel, type, writer, NULL, 0) != CHANNEL_OK) {
		log_line(LOG_ERROR, NULL, "cannot write to the control process: the worker exits");
		stop(worker, 1);
		return;
	}
	watch_channel(worker);
}

static void reply_ack(struct worker *worker, const struct message_ack *asked, enum message_status status)
{
	struct message_ack ack = *asked;
	ack.status = (uint8_t)status;
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_ack(&writer, &ack);
	worker_send(&worker->context, MESSAGE_DONE, &writer);
}

/* NULL: none, or there is no such slot. */
static struct tunnel *in_slot(struct worker *worker, uint32_t slot)
{
	return slot < COUNTERS_TUNNELS ? worker->tunnels[slot] : NULL;
}

/* The tunnel in a slot, if it has this generation. */
static struct tunnel *find(struct worker *worker, uint32_t slot, uint64_t generation)
{
	struct tunnel *tunnel = in_slot(worker, slot);
	return tunnel != NULL && tunnel->generation == generation ? tunnel : NULL;
}

static void say_prepared(struct worker *worker)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_prepared(&writer, &worker->prepared);
	worker_send(&worker->context, MESSAGE_PREPARED, &writer);
}

/* Between two steps traffic continues, and the control process's messages wait, because they rely on the reply. */
static bool go_on_or_answer(struct worker *worker)
{
	const struct tunnel *tunnel = worker->tunnels[worker->prepared.ack.slot];
	bool goes_on = worker->prepared.ack.status == MESSAGE_STATUS_OK && tunnel != NULL && change_is_preparing(tunnel);
	if (goes_on) {
		channel_pause(worker->channel);
		deadline_set(worker->context.loop, &worker->next_step, loop_now(worker->context.loop) + 1);
	} else {
		say_prepared(worker);
	}
	return goes_on;
}

static void on_prepare(struct worker *worker, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_prepare message;
	struct message_prepared *reply = &worker->prepared;
	*reply = (struct message_prepared){ .applied = MESSAGE_APPLIED_CREATED };
	if (!message_decode_prepare(body, &message) || message.slot >= COUNTERS_TUNNELS) {
		log_line(LOG_ERROR, NULL, "the control process sent a tunnel that cannot be decoded");
		stop(worker, 1);
		return;
	}
	reply->ack = (struct message_ack){ .request = message.request, .slot = message.slot, .generation = message.generation };
	enum message_applied applied;
	reply->ack.status =
	    (uint8_t)change_prepare(&worker->context, &worker->tunnels[message.slot], &message, descriptors, count, &applied, reply->detail);
	reply->applied = (uint8_t)applied;
	(void)go_on_or_answer(worker);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count);

static void on_next_step(void *owner)
{
	struct worker *worker = owner;
	struct message_prepared *reply = &worker->prepared;
	reply->ack.status = (uint8_t)change_prepare_more(&worker->tunnels[reply->ack.slot], reply->detail);
	if (!go_on_or_answer(worker) && !worker->broken && channel_resume(worker->channel, on_message, worker) != CHANNEL_OK)
		stop(worker, 1);
	if (!worker->broken)
		watch_channel(worker);
}

static void on_commit(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = in_slot(worker, ack->slot);
	if (tunnel == NULL || !change_is_prepared(tunnel, ack->generation)) {
		reply_ack(worker, ack, MESSAGE_STATUS_UNKNOWN);
		return;
	}
	change_commit(tunnel);
	tunnel_begin(tunnel);
	reply_ack(worker, ack, MESSAGE_STATUS_OK);
}

static void on_abort(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = in_slot(worker, ack->slot);
	if (tunnel != NULL && change_abort(tunnel, ack->generation)) {
		change_remove(tunnel);
		worker->tunnels[ack->slot] = NULL;
	}
	reply_ack(worker, ack, MESSAGE_STATUS_OK);
}

static void on_remove(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = in_slot(worker, ack->slot);
	change_remove(tunnel);
	if (tunnel != NULL)
		worker->tunnels[ack->slot] = NULL;
	reply_ack(worker, ack, tunnel == NULL ? MESSAGE_STATUS_UNKNOWN : MESSAGE_STATUS_OK);
}

static void on_reconnect(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = find(worker, ack->slot, ack->generation);
	if (tunnel != NULL)
		tunnel_reconnect(tunnel);
	reply_ack(worker, ack, tunnel == NULL ? MESSAGE_STATUS_UNKNOWN : MESSAGE_STATUS_OK);
}

static void on_ack(struct worker *worker, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_ack ack;
	if (!message_decode_ack(body, &ack)) {
		stop(worker, 1);
		return;
	}
	if (type == MESSAGE_COMMIT) {
		on_commit(worker, &ack);
	} else if (type == MESSAGE_ABORT) {
		on_abort(worker, &ack);
	} else if (type == MESSAGE_REMOVE) {
		on_remove(worker, &ack);
	} else if (type == MESSAGE_RECONNECT) {
		on_reconnect(worker, &ack);
	} else {
		int descriptor = count > 0 ? descriptors[0] : -1;
		if (count > 0)
			descriptors[0] = -1;
		descriptor_request_answer(&worker->context, &ack, descriptor);
	}
}

static void on_resolved(struct worker *worker, struct message_reader *body)
{
	struct message_resolved message;
	struct tunnel *tunnel = message_decode_resolved(body, &message) ? find(worker, message.slot, message.generation) : NULL;
	if (tunnel != NULL)
		tunnel_resolved(tunnel, &message);
}

static void on_probe(struct worker *worker, struct message_reader *body)
{
	struct message_probe message;
	if (!message_decode_probe(body, &message))
		return;
	struct tunnel *tunnel = find(worker, message.slot, message.generation);
	if (tunnel != NULL) {
		probe_run(tunnel, &message);
		return;
	}
	struct message_probed reply = { .request = message.request, .slot = message.slot, .generation = message.generation };
	snprintf(reply.detail, sizeof(reply.detail), "the tunnel is not running");
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_probed(&writer, &reply);
	worker_send(&worker->context, MESSAGE_PROBED, &writer);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct worker *worker = owner;
	if (type == MESSAGE_PREPARE)
		on_prepare(worker, body, descriptors, count);
	else if (type == MESSAGE_COMMIT || type == MESSAGE_ABORT || type == MESSAGE_REMOVE || type == MESSAGE_RECONNECT || type == MESSAGE_GRANTED)
		on_ack(worker, type, body, descriptors, count);
	else if (type == MESSAGE_RESOLVED)
		on_resolved(worker, body);
	else if (type == MESSAGE_PROBE)
		on_probe(worker, body);
	else if (type == MESSAGE_SHUTDOWN)
		stop(worker, 0);
	return !worker->broken;
}

static void on_channel(void *owner, int events)
{
	struct worker *worker = owner;
	int error = CHANNEL_OK;
	if ((events & LOOP_WRITABLE) != 0)
		error = channel_flush(worker->channel);
	if (error == CHANNEL_OK && (events & LOOP_READABLE) != 0)
		error = channel_read(worker->channel, on_message, worker);
	if (error != CHANNEL_OK && !worker->broken) {
		log_line(LOG_WARN, NULL, "the control process is gone: the worker exits");
		stop(worker, 1);
	}
	if (!worker->broken)
		watch_channel(worker);
}

static void on_heartbeat(void *owner)
{
	struct worker *worker = owner;
	struct counters_worker *counters = &worker->context.counters->worker;
	counter_add(&counters->heartbeat, 1);
	counter_set(&counters->memory_used, netstack_memory_used() + pool_in_use(worker->context.pool));
	deadline_set(worker->context.loop, &worker->heartbeat, loop_now(worker->context.loop) + HEARTBEAT);
}

/* log_line neither allocates nor takes a lock. */
static void tell_assertion(const char *text)
{
	log_line(LOG_ERROR, NULL, "lwIP asserts \"%s\": the worker ends", text);
}

static bool start_libraries(const struct worker_options *options)
{
	size_t slots = options->session_slots == 0 ? SESSIONS_DEFAULT : options->session_slots;
	if (sodium_init() < 0 || wireguard_start(slots, options->require_lock) != WIREGUARD_OK) {
		log_line(LOG_ERROR, NULL, "the memory for keys could not be allocated or locked: raise the limit of locked memory (ulimit -l)");
		return false;
	}
	struct netstack_limits limits = { .memory_budget = options->memory_budget == 0 ? BUDGET_DEFAULT : options->memory_budget,
		                          .failed = tell_assertion };
	randombytes_buf(limits.seed, sizeof(limits.seed));
	netstack_start(&limits);
	sodium_memzero(limits.seed, sizeof(limits.seed));
	return true;
}

static bool start_context(struct worker *worker, int channel_descriptor, int counters_descriptor, bool gso)
{
	struct context *context = &worker->context;
	context->send = worker_send;
	context->counters = counters_map(counters_descriptor);
	close(counters_descriptor);
	context->loop = loop_create();
	context->pool = pool_create();
	if (context->loop == NULL || context->pool == NULL || context->counters == NULL)
		return false;
	context->batch = udp_batch_create(context->loop, gso);
	worker->channel = channel_create(channel_descriptor, true);
	if (context->batch == NULL || worker->channel == NULL)
		return false;
	/* The channel closes its descriptor, and so does the poller: each gets its own. */
	worker->poller = poller_create(context->loop, dup(channel_descriptor), on_channel, worker);
	deadline_init(&worker->heartbeat, on_heartbeat, worker);
	deadline_init(&worker->next_step, on_next_step, worker);
	return worker->poller != NULL;
}

static void free_worker(struct worker *worker)
{
	worker->broken = true;
	for (unsigned i = 0; i < COUNTERS_TUNNELS; i++)
		change_remove(worker->tunnels[i]);
	descriptor_request_clear(&worker->context);
	if (worker->context.loop != NULL)
		loop_end_turn(worker->context.loop);
	poller_free(worker->poller);
	channel_free(worker->channel);
	udp_batch_free(worker->context.batch);
	pool_free(worker->context.pool);
	loop_free(worker->context.loop);
	counters_unmap(worker->context.counters);
	netstack_stop();
	wireguard_stop();
	free(worker);
}

static void say_ready(struct worker *worker)
{
	struct message_writer writer;
	message_writer_init(&writer);
	worker_send(&worker->context, MESSAGE_READY, &writer);
}

int worker_main(int channel_descriptor, int counters_descriptor, const struct worker_options *options)
{
	/* A terminal's Ctrl-C goes to the whole group; the control process decides when a worker ends. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	struct worker *worker = calloc(1, sizeof(*worker));
	if (worker == NULL || !sandbox_tie_to_parent(options->control_pid) || !start_libraries(options)) {
		free(worker);
		return 1;
	}
	if (!start_context(worker, channel_descriptor, counters_descriptor, options->gso)) {
		log_line(LOG_ERROR, NULL, "the worker could not start: out of memory or descriptors");
		free_worker(worker);
		return 1;
	}
	const char *lack = sandbox_enter_worker();
	if (lack != NULL)
		log_line(LOG_WARN, NULL, "this kernel has no %s: the worker's sandbox is weaker", lack);
	watch_channel(worker);
	on_heartbeat(worker);
	say_ready(worker);
	loop_run(worker->context.loop);
	int exit_code = worker->exit_code;
	free_worker(worker);
	return exit_code;
}
