#include "tunnel/worker/worker.h"

#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "ipc/log.h"
#include "netstack/netstack.h"
#include "sandbox/worker_sandbox.h"
#include "tunnel/connection_query.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/pool/pool.h"
#include "tunnel/probe.h"
#include "tunnel/proxy/client.h"
#include "tunnel/tunnel.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/worker/change.h"
#include "tunnel/worker/incoming.h"
#include "tunnel/worker/usage.h"

#define HEARTBEAT (LOOP_SECOND / 2)
#define BEATS_OF_TRIM 20              /* ten seconds */
#define REPORT_UNREAD_MOST (1u << 20) /* bytes for the control process before reports of ended connections are dropped */
#define BUDGET_DEFAULT (512u << 20)
#define SESSIONS_DEFAULT (4 * (size_t)COUNTERS_PEERS) /* a limit; memory is allocated on demand */

struct worker {
	struct context context; /* first: the context's callbacks cast it to the worker */
	struct channel *channel;
	struct poller *poller;
	struct deadline heartbeat;
	struct usage usage;
	struct tunnel *tunnels[COUNTERS_TUNNELS];
	struct incoming incoming;            /* the change being decoded in steps */
	struct message_prepared prepared;    /* the reply to the change being prepared in steps */
	struct message_ack settled;          /* the COMMIT, REMOVE or HAND_OVER after which is cleaned up in steps */
	struct tunnel *leaving;              /* the tunnel that was removed or handed over and is freed in steps, or NULL */
	void (*step)(struct worker *worker); /* what is done at next_step, or NULL */
	struct deadline next_step;
	int exit_code;
	bool is_isolated; /* when it was last looked at */
	bool broken;      /* the channel is broken: nothing can be sent */
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

/* One that is no pool. */
static struct tunnel *find_plain(struct worker *worker, uint32_t slot, uint64_t generation)
{
	struct tunnel *tunnel = find(worker, slot, generation);
	return tunnel != NULL && tunnel->pool == NULL ? tunnel : NULL;
}

static struct pool *find_pool(struct worker *worker, uint32_t slot, uint64_t generation)
{
	const struct tunnel *front = find(worker, slot, generation);
	return front == NULL ? NULL : front->pool;
}

static struct tunnel *tunnel_in_slot(struct context *context, uint32_t slot)
{
	return in_slot((struct worker *)context, slot);
}

static struct tunnel *find_by_id(struct context *context, const char *id)
{
	struct worker *worker = (struct worker *)context;
	for (unsigned i = 0; i < COUNTERS_TUNNELS; i++) {
		struct tunnel *tunnel = worker->tunnels[i];
		if (tunnel != NULL && tunnel->pool == NULL && tunnel->generation != 0 && strcmp(tunnel->id, id) == 0)
			return tunnel;
	}
	return NULL;
}

static void say_prepared(struct worker *worker)
{
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_prepared(&writer, &worker->prepared);
	worker_send(&worker->context, MESSAGE_PREPARED, &writer);
}

/* Work of many peers is done in steps. Between two of them traffic continues, and the control process's messages wait, because they rely on the
 * reply. */
static void go_on(struct worker *worker, void (*step)(struct worker *worker))
{
	worker->step = step;
	channel_pause(worker->channel);
	deadline_set(worker->context.loop, &worker->next_step, loop_now(worker->context.loop) + 1);
}

static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count);

static void on_next_step(void *owner)
{
	struct worker *worker = owner;
	void (*step)(struct worker * worker) = worker->step;
	worker->step = NULL;
	step(worker);
	if (worker->step == NULL && !worker->broken && channel_resume(worker->channel, on_message, worker) != CHANNEL_OK)
		stop(worker, 1);
	if (!worker->broken)
		watch_channel(worker);
}

static void prepare_more(struct worker *worker);

static void go_on_or_answer(struct worker *worker)
{
	const struct tunnel *tunnel = worker->tunnels[worker->prepared.ack.slot];
	if (worker->prepared.ack.status == MESSAGE_STATUS_OK && tunnel != NULL && change_is_preparing(tunnel))
		go_on(worker, prepare_more);
	else
		say_prepared(worker);
}

static void prepare_more(struct worker *worker)
{
	struct message_prepared *reply = &worker->prepared;
	reply->ack.status = (uint8_t)change_prepare_more(&worker->tunnels[reply->ack.slot], reply->detail);
	go_on_or_answer(worker);
}

static void take_prepare(struct worker *worker)
{
	struct incoming *incoming = &worker->incoming;
	struct message_prepare *message = &incoming->message;
	struct message_prepared *reply = &worker->prepared;
	*reply = (struct message_prepared){ .applied = MESSAGE_APPLIED_CREATED };
	if (!incoming_is_whole(incoming) || message->slot >= COUNTERS_TUNNELS) {
		log_line(LOG_ERROR, NULL, "the control process sent a tunnel that cannot be decoded");
		incoming_clear(incoming);
		stop(worker, 1);
		return;
	}
	reply->ack = (struct message_ack){ .request = message->request, .slot = message->slot, .generation = message->generation };
	enum message_applied applied;
	reply->ack.status = (uint8_t)change_prepare(&worker->context, &worker->tunnels[message->slot], message, incoming->descriptors,
	                                            incoming->descriptor_count, &applied, reply->detail);
	reply->applied = (uint8_t)applied;
	incoming_clear(incoming);
	go_on_or_answer(worker);
}

static void decode_more(struct worker *worker)
{
	if (incoming_more(&worker->incoming))
		go_on(worker, decode_more);
	else
		take_prepare(worker);
}

static void on_prepare(struct worker *worker, struct message_reader *body, int *descriptors, size_t count)
{
	if (incoming_begin(&worker->incoming, body, descriptors, count))
		go_on(worker, decode_more);
	else
		take_prepare(worker);
}

/* What was replaced is wiped by the time of the reply. */
static void clean_more(struct worker *worker)
{
	if (change_clean(worker->tunnels[worker->settled.slot]))
		go_on(worker, clean_more);
	else
		reply_ack(worker, &worker->settled, MESSAGE_STATUS_OK);
}

static void begin(struct worker *worker)
{
	tunnel_begin(worker->tunnels[worker->settled.slot]);
	clean_more(worker);
}

static void on_commit(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = in_slot(worker, ack->slot);
	if (tunnel == NULL || !change_is_prepared(tunnel, ack->generation)) {
		reply_ack(worker, ack, MESSAGE_STATUS_UNKNOWN);
		return;
	}
	change_commit(tunnel);
	worker->settled = *ack;
	/* With many peers the first handshakes are a turn's work of their own. */
	if (tunnel->prepared_change != NULL)
		go_on(worker, begin);
	else
		begin(worker);
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

/* Keys are wiped by the time of the reply (P9). */
static void free_more(struct worker *worker)
{
	if (change_free(worker->leaving)) {
		go_on(worker, free_more);
		return;
	}
	worker->leaving = NULL;
	reply_ack(worker, &worker->settled, MESSAGE_STATUS_OK);
}

/* Everything of the tunnel has ended. */
static void leave(struct worker *worker, struct tunnel *tunnel, const struct message_ack *ack)
{
	access_report_flush(&worker->context.access_report); /* after the reply nobody knows the tunnel's name */
	worker->tunnels[ack->slot] = NULL;
	worker->leaving = tunnel;
	worker->settled = *ack;
	free_more(worker);
}

static void on_remove(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = in_slot(worker, ack->slot);
	if (tunnel == NULL) {
		reply_ack(worker, ack, MESSAGE_STATUS_UNKNOWN);
		return;
	}
	change_end(tunnel);
	leave(worker, tunnel, ack);
}

static void on_hand_over(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = find(worker, ack->slot, ack->generation);
	if (tunnel == NULL) {
		reply_ack(worker, ack, MESSAGE_STATUS_UNKNOWN);
		return;
	}
	change_hand_over(tunnel);
	leave(worker, tunnel, ack);
}

static void on_hand_over_idle(struct worker *worker, const struct message_ack *ack)
{
	const struct tunnel *tunnel = find(worker, ack->slot, ack->generation);
	if (tunnel != NULL && change_has_connections(tunnel))
		reply_ack(worker, ack, MESSAGE_STATUS_REFUSED);
	else
		on_hand_over(worker, ack);
}

static void on_transfer(struct worker *worker, struct message_reader *body)
{
	struct message_transfer message;
	if (!message_decode_transfer(body, &message)) {
		stop(worker, 1);
		return;
	}
	struct tunnel *tunnel = in_slot(worker, message.slot);
	if (tunnel != NULL && change_is_prepared(tunnel, message.generation))
		change_take_transfer(tunnel, &message);
}

static void on_reconnect(struct worker *worker, const struct message_ack *ack)
{
	struct tunnel *tunnel = find_plain(worker, ack->slot, ack->generation);
	if (tunnel != NULL)
		tunnel_reconnect(tunnel);
	reply_ack(worker, ack, tunnel == NULL ? MESSAGE_STATUS_UNKNOWN : MESSAGE_STATUS_OK);
}

static void on_granted(struct worker *worker, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_ack ack;
	if (!message_decode_ack(body, &ack)) {
		stop(worker, 1);
		return;
	}
	int descriptor = count > 0 ? descriptors[0] : -1;
	if (count > 0)
		descriptors[0] = -1;
	descriptor_request_answer(&worker->context, &ack, descriptor);
}

static void on_resolved(struct worker *worker, struct message_reader *body)
{
	struct message_resolved message;
	struct tunnel *tunnel = message_decode_resolved(body, &message) ? find_plain(worker, message.slot, message.generation) : NULL;
	if (tunnel != NULL)
		tunnel_resolved(tunnel, &message);
}

static void on_probe(struct worker *worker, struct message_reader *body)
{
	struct message_probe message;
	if (!message_decode_probe(body, &message))
		return;
	struct tunnel *tunnel = find_plain(worker, message.slot, message.generation);
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

static void on_query(struct worker *worker, struct message_reader *body)
{
	struct query query;
	if (query_decode(body, &query))
		connection_query_answer(&worker->context, &query);
}

/* The connections end here and not in free_worker, so that they can be told. */
static void on_shutdown(struct worker *worker, struct message_reader *body)
{
	(void)body;
	for (unsigned i = 0; i < COUNTERS_TUNNELS; i++) {
		change_remove(worker->tunnels[i]);
		worker->tunnels[i] = NULL;
	}
	access_report_flush(&worker->context.access_report);
	stop(worker, 0);
}

/* Pools. */

static void on_link(struct worker *worker, struct message_reader *body, int *descriptors, size_t count)
{
	struct peer_link message;
	if (!peer_link_decode(body, &message) || count != 1) {
		stop(worker, 1);
		return;
	}
	pools_take_link(worker->context.pools, &message, descriptors[0]);
	descriptors[0] = -1;
}

static void on_pool_forget(struct worker *worker, struct message_reader *body)
{
	static struct pool_forget message;
	if (!pool_forget_decode(body, &message)) {
		stop(worker, 1);
		return;
	}
	struct pool *pool = find_pool(worker, message.slot, message.generation);
	struct pool_forgotten reply = { .ack = { .request = message.request, .slot = message.slot, .generation = message.generation } };
	reply.ack.status = pool != NULL ? MESSAGE_STATUS_OK : MESSAGE_STATUS_UNKNOWN;
	reply.count = pool != NULL ? pool_forget_sessions(pool, &message) : 0;
	struct message_writer writer;
	message_writer_init(&writer);
	pool_forgotten_encode(&writer, &reply);
	worker_send(&worker->context, MESSAGE_POOL_FORGOTTEN, &writer);
}

static void on_pool_count(struct worker *worker, struct message_reader *body)
{
	static struct pool_count message; /* 16 KB, consumed at once */
	if (!pool_count_decode(body, &message)) {
		stop(worker, 1);
		return;
	}
	const struct pool *pool = find_pool(worker, message.slot, message.generation);
	struct pool_counted reply = { .ack = { .request = message.request, .slot = message.slot, .generation = message.generation } };
	reply.ack.status = pool != NULL ? MESSAGE_STATUS_OK : MESSAGE_STATUS_UNKNOWN;
	if (pool != NULL)
		pool_count_sessions(pool, &message, &reply);
	struct message_writer writer;
	message_writer_init(&writer);
	pool_counted_encode(&writer, &reply);
	worker_send(&worker->context, MESSAGE_POOL_COUNTED, &writer);
}

/* These are false when it cannot be decoded. */

static bool take_elsewhere(struct pools *pools, struct message_reader *body)
{
	struct pool_elsewhere elsewhere;
	bool is_whole = pool_elsewhere_decode(body, &elsewhere);
	if (is_whole)
		pools_take_elsewhere(pools, &elsewhere);
	return is_whole;
}

static bool take_end(struct pools *pools, struct message_reader *body)
{
	uint64_t number;
	bool is_whole = pool_end_decode(body, &number);
	if (is_whole)
		pools_take_end(pools, number);
	return is_whole;
}

static bool take_sessions(struct pools *pools, struct message_reader *body)
{
	static struct pool_sessions sessions; /* 4 KB, consumed at once */
	bool is_whole = pool_sessions_decode(body, &sessions);
	if (is_whole)
		pools_take_sessions(pools, &sessions);
	return is_whole;
}

static bool take_members(struct pools *pools, struct message_reader *body)
{
	struct pool_members members;
	bool is_whole = pool_members_decode(body, &members);
	if (is_whole)
		pools_take_members(pools, &members, true);
	return is_whole;
}

static bool take_member(struct pools *pools, struct message_reader *body)
{
	struct pool_members members;
	bool is_whole = pool_members_decode(body, &members);
	if (is_whole)
		pools_take_members(pools, &members, false);
	return is_whole;
}

static void on_log_level(struct worker *worker, struct message_reader *body)
{
	enum log_level level;
	if (message_decode_log_level(body, &level))
		log_set_level(level);
	else
		stop(worker, 1);
}

/* By the form of the message: an ack, something that comes with descriptors, of pools, or another. */
static const struct {
	void (*ack)(struct worker *worker, const struct message_ack *ack);
	void (*with_descriptors)(struct worker *worker, struct message_reader *body, int *descriptors, size_t count);
	bool (*of_pools)(struct pools *pools, struct message_reader *body);
	void (*other)(struct worker *worker, struct message_reader *body);
} orders[] = {
	[MESSAGE_PREPARE] = { .with_descriptors = on_prepare },
	[MESSAGE_COMMIT] = { .ack = on_commit },
	[MESSAGE_ABORT] = { .ack = on_abort },
	[MESSAGE_REMOVE] = { .ack = on_remove },
	[MESSAGE_RESOLVED] = { .other = on_resolved },
	[MESSAGE_RECONNECT] = { .ack = on_reconnect },
	[MESSAGE_PROBE] = { .other = on_probe },
	[MESSAGE_GRANTED] = { .with_descriptors = on_granted },
	[MESSAGE_SHUTDOWN] = { .other = on_shutdown },
	[MESSAGE_QUERY] = { .other = on_query },
	[MESSAGE_PEER_LINK] = { .with_descriptors = on_link },
	[MESSAGE_POOL] = { .of_pools = take_elsewhere },
	[MESSAGE_POOL_END] = { .of_pools = take_end },
	[MESSAGE_POOL_MEMBERS] = { .of_pools = take_members },
	[MESSAGE_POOL_MEMBER] = { .of_pools = take_member },
	[MESSAGE_POOL_SESSIONS] = { .of_pools = take_sessions },
	[MESSAGE_POOL_FORGET] = { .other = on_pool_forget },
	[MESSAGE_POOL_COUNT] = { .other = on_pool_count },
	[MESSAGE_HAND_OVER] = { .ack = on_hand_over },
	[MESSAGE_LOG_LEVEL] = { .other = on_log_level },
	[MESSAGE_HAND_OVER_IDLE] = { .ack = on_hand_over_idle },
	[MESSAGE_TRANSFER] = { .other = on_transfer },
};

/* False when it cannot be decoded. */
static bool take_order(struct worker *worker, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct message_ack ack;
	if (type >= sizeof(orders) / sizeof(orders[0]))
		return true;
	if (orders[type].ack != NULL) {
		if (!message_decode_ack(body, &ack))
			return false;
		orders[type].ack(worker, &ack);
	} else if (orders[type].with_descriptors != NULL) {
		orders[type].with_descriptors(worker, body, descriptors, count);
	} else if (orders[type].of_pools != NULL) {
		return orders[type].of_pools(worker->context.pools, body);
	} else if (orders[type].other != NULL) {
		orders[type].other(worker, body);
	}
	return true;
}

/* What this version does not know is left, as later control processes rely on it. */
static bool on_message(void *owner, enum message_type type, struct message_reader *body, int *descriptors, size_t count)
{
	struct worker *worker = owner;
	if (!take_order(worker, type, body, descriptors, count)) {
		log_line(LOG_ERROR, NULL, "the control process sent a message of type %u that cannot be decoded", type);
		stop(worker, 1);
	}
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

/* Tunnels that are silent in isolation compare the deadline themselves before they send. This wakes them: they tell their state, or go on. */
static void follow_isolation(struct worker *worker)
{
	bool is_isolated = loop_now(worker->context.loop) >= counter_read(&worker->context.counters->deadline);
	if (is_isolated == worker->is_isolated)
		return;
	worker->is_isolated = is_isolated;
	for (unsigned i = 0; i < COUNTERS_TUNNELS; i++) {
		struct tunnel *tunnel = worker->tunnels[i];
		if (tunnel != NULL && tunnel->pool == NULL && tunnel->generation != 0 && tunnel->spec.placement != NULL &&
		    tunnel->spec.placement->stops)
			health_follow(tunnel, is_isolated);
	}
}

static void on_heartbeat(void *owner)
{
	struct worker *worker = owner;
	struct counters_worker *counters = &worker->context.counters->worker;
	counter_add(&counters->heartbeat, 1);
	if (counter_read(&counters->heartbeat) % BEATS_OF_TRIM == 0 && block_pool_trim(worker->context.blocks) > 0)
		malloc_trim(0);
	usage_publish(&worker->usage, counters);
	follow_isolation(worker);
	counter_set(&counters->memory_used, netstack_memory_used() + block_pool_in_use(worker->context.blocks));
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
	if (!wireguard_aead_select(options->aead))
		log_line(LOG_WARN, NULL, "%s does not run on this CPU: libsodium encrypts", aead_backend_name(options->aead));
	struct netstack_limits limits = { .memory_budget = options->memory_budget == 0 ? BUDGET_DEFAULT : options->memory_budget,
		                          .failed = tell_assertion };
	randombytes_buf(limits.seed, sizeof(limits.seed));
	int error = netstack_start(&limits);
	sodium_memzero(limits.seed, sizeof(limits.seed));
	if (error != NETSTACK_OK)
		log_line(LOG_ERROR, NULL, "the worker could not start: out of memory for lwIP's state");
	return error == NETSTACK_OK;
}

static bool start_context(struct worker *worker, int channel_descriptor, int counters_descriptor, unsigned index, bool gso)
{
	struct context *context = &worker->context;
	usage_init(&worker->usage);
	context->send = worker_send;
	context->find = find_by_id;
	context->counters = counters_map(counters_descriptor);
	close(counters_descriptor);
	context->loop = loop_create();
	context->blocks = block_pool_create();
	if (context->loop == NULL || context->blocks == NULL || context->counters == NULL)
		return false;
	const struct pools_means means = {
		.context = context, .worker = index, .find = tunnel_in_slot, .arrived = client_arrive, .opened = listener_open_all
	};
	context->pools = pools_create(&means);
	if (context->pools == NULL)
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

static bool has_room_for_report(struct context *context)
{
	return channel_queued_bytes(((struct worker *)context)->channel) < REPORT_UNREAD_MOST;
}

static void free_worker(struct worker *worker)
{
	worker->broken = true;
	access_report_clear(&worker->context.access_report);
	incoming_clear(&worker->incoming);
	while (worker->leaving != NULL && change_free(worker->leaving))
		;
	for (unsigned i = 0; i < COUNTERS_TUNNELS; i++)
		change_remove(worker->tunnels[i]);
	pools_free(worker->context.pools);
	descriptor_request_clear(&worker->context);
	if (worker->context.loop != NULL)
		loop_end_turn(worker->context.loop);
	poller_free(worker->poller);
	channel_free(worker->channel);
	udp_batch_free(worker->context.batch);
	block_pool_free(worker->context.blocks);
	loop_free(worker->context.loop);
	usage_clear(&worker->usage);
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
	if (!start_context(worker, channel_descriptor, counters_descriptor, options->index, options->gso)) {
		log_line(LOG_ERROR, NULL, "the worker could not start: out of memory or descriptors");
		free_worker(worker);
		return 1;
	}
	const char *lack = sandbox_enter_worker();
	if (lack != NULL)
		log_line(LOG_WARN, NULL, "this kernel has no %s: the worker's sandbox is weaker", lack);
	if (options->access_log)
		access_report_start(&worker->context, has_room_for_report);
	watch_channel(worker);
	on_heartbeat(worker);
	say_ready(worker);
	loop_run(worker->context.loop);
	int exit_code = worker->exit_code;
	free_worker(worker);
	return exit_code;
}
