#include "tunnel/proxy/forward.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tunnel/address.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/dial.h"
#include "tunnel/io/linger.h"
#include "tunnel/proxy/forward_udp.h"
#include "tunnel/proxy/relay.h"

#define WAITING_MOST 1024 /* inner connections of one forward that wait for their host side: as many as the default limit of a tunnel */

/* An inbound forward's inner side. */
struct forward {
	struct tunnel *tunnel;
	struct forward *next;
	struct spec_forward spec; /* a copy of its own */
	uint16_t index;           /* in spec.forwards */
	size_t waiting;
	struct netstack_listener *listener; /* TCP */
	struct forward_inner *udp;
	struct forward *heir; /* prepared: takes over the inner port when this one is removed */
	bool is_open;         /* committed */
};

/* A TCP connection of a forward: one side is connected first and the other requested (dial or want); then a relay takes both. */
struct passage {
	struct connection connection;
	struct forward *forward; /* inbound; NULL: outbound */
	struct poller *client;
	struct netstack_stream *stream;
	struct relay_begun *begun; /* inbound: bytes received before the host's side was connected */
	struct descriptor_request *want;
	struct dial *dial;
	struct relay *relay;
	struct deadline left; /* the connected side has finished */
};

static struct loop *loop_of(const struct passage *passage)
{
	return passage->connection.tunnel->context->loop;
}

/* Closing with lingering off sends RST. */
static void reset_client(struct passage *passage)
{
	if (passage->client != NULL)
		linger_reset(poller_descriptor(passage->client));
	poller_free(passage->client);
	passage->client = NULL;
}

static void forget_begun(struct passage *passage)
{
	if (passage->begun == NULL)
		return;
	tx_pipe_clear(&passage->begun->up);
	rx_pipe_clear(&passage->begun->down);
	free(passage->begun);
	passage->begun = NULL;
}

static void stop_waiting(struct passage *passage)
{
	if (passage->want != NULL)
		passage->forward->waiting--;
	descriptor_request_cancel(passage->connection.tunnel->context, passage->want);
	passage->want = NULL;
}

static void passage_free(struct passage *passage)
{
	deadline_set(loop_of(passage), &passage->left, LOOP_NEVER);
	dial_cancel(passage->dial);
	stop_waiting(passage);
	if (passage->stream != NULL)
		netstack_stream_abort(passage->stream, loop_now(loop_of(passage)));
	reset_client(passage);
	forget_begun(passage);
	tunnel_wake(passage->connection.tunnel);
	connection_remove(&passage->connection);
	free(passage);
}

static void passage_end(struct connection *connection)
{
	struct passage *passage = (struct passage *)connection;
	if (passage->relay != NULL)
		relay_abort(passage->relay);
	passage_free(passage);
}

static void on_relay_ended(void *owner)
{
	passage_free(owner);
}

static void fail(struct passage *passage, enum counters_failure failure)
{
	connection_count_failed(&passage->connection, failure);
	passage_free(passage);
}

static void on_left(void *owner)
{
	fail(owner, COUNTERS_FAILED_CLIENT_GONE);
}

static void wait_no_longer(struct passage *passage)
{
	deadline_set(loop_of(passage), &passage->left, loop_now(loop_of(passage)) + CONNECTION_LEFT_TIME);
}

/* NULL when out of memory or over the limit. */
static struct passage *passage_create(struct tunnel *tunnel, struct forward *forward)
{
	struct passage *passage = calloc(1, sizeof(*passage));
	if (passage == NULL)
		return NULL;
	passage->forward = forward;
	connection_add(&passage->connection, tunnel, COUNTERS_FORWARD, passage_end);
	deadline_init(&passage->left, on_left, passage);
	if (!connection_is_over_limit(&passage->connection))
		return passage;
	fail(passage, COUNTERS_FAILED_LIMIT);
	return NULL;
}

/* Outbound. */

static void on_dialed(void *owner, struct netstack_stream *stream, const struct http_fault *fault)
{
	struct passage *passage = owner;
	struct tunnel *tunnel = passage->connection.tunnel;
	passage->dial = NULL;
	deadline_set(loop_of(passage), &passage->left, LOOP_NEVER);
	if (stream == NULL) {
		fail(passage, dial_failure(fault->error));
		return;
	}
	struct poller *client = passage->client;
	passage->client = NULL;
	connection_count_ok(&passage->connection);
	netstack_stream_remote(stream, &passage->connection.address);
	passage->relay = relay_create(&passage->connection, client, stream, NULL, NULL, 0, tunnel->spec.idle_timeout, on_relay_ended, passage);
	if (passage->relay == NULL)
		passage_free(passage);
}

/* Until the relay has it, nothing is read from the client. */
static void on_early_client(void *owner, int events)
{
	struct passage *passage = owner;
	if ((events & LOOP_BROKEN) != 0) {
		fail(passage, COUNTERS_FAILED_CLIENT_GONE);
		return;
	}
	poller_set(passage->client, LOOP_BROKEN);
	wait_no_longer(passage);
}

static void start_dial(struct passage *passage, const struct spec_place *place)
{
	struct target target;
	connection_set_place(&passage->connection, place);
	if (place->kind != SPEC_PLACE_INET || target_parse(&target, place->host, strlen(place->host), place->port) < 0) {
		fail(passage, COUNTERS_FAILED_NAME);
		return;
	}
	passage->dial = dial_start(passage->connection.tunnel, passage->connection.proxy, &target, true, on_dialed, passage);
	if (passage->dial == NULL)
		fail(passage, COUNTERS_FAILED_MEMORY);
}

void forward_accept(struct listener *listener, int descriptor, const union wireguard_endpoint *from)
{
	struct tunnel *tunnel = listener->tunnel;
	struct passage *passage = listener->index < tunnel->spec.forward_count ? passage_create(tunnel, NULL) : NULL;
	if (passage == NULL) {
		close(descriptor);
		return;
	}
	(void)address_from_host(&passage->connection.client, from); /* none over a unix socket */
	passage->client = poller_create(tunnel->context->loop, descriptor, on_early_client, passage);
	if (passage->client == NULL) {
		close(descriptor);
		fail(passage, COUNTERS_FAILED_MEMORY);
		return;
	}
	poller_set_sole(passage->client, true);
	poller_set(passage->client, LOOP_LEFT);
	start_dial(passage, &tunnel->spec.forwards[listener->index].target);
}

/* Inbound: bytes that arrive before the host's side is connected are copied; the closed window bounds them. */

static void on_early_received(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct passage *passage = owner;
	(void)length;
	size_t taken = rx_pipe_show(&passage->begun->down, parts, count);
	(void)taken; /* none: there is no client */
	if (passage->begun->down.broken)
		fail(passage, COUNTERS_FAILED_MEMORY);
}

static void on_early_finished(void *owner)
{
	struct passage *passage = owner;
	passage->begun->stream_finished = true;
	wait_no_longer(passage);
}

/* Nothing is written before the host's side is connected. */
static void on_early_acknowledged(void *owner, size_t bytes)
{
	(void)owner;
	(void)bytes;
}

static void on_early_closed(void *owner, enum netstack_error why)
{
	struct passage *passage = owner;
	(void)why;
	passage->stream = NULL;
	fail(passage, COUNTERS_FAILED_CLIENT_GONE);
}

static const struct netstack_stream_events early_events = {
	.received = on_early_received,
	.finished = on_early_finished,
	.acknowledged = on_early_acknowledged,
	.closed = on_early_closed,
};

static enum counters_failure failure_of(enum message_status status)
{
	switch (status) {
	case MESSAGE_STATUS_REFUSED: return COUNTERS_FAILED_REFUSED;
	case MESSAGE_STATUS_UNREACHABLE: return COUNTERS_FAILED_UNREACHABLE;
	case MESSAGE_STATUS_TIMED_OUT: return COUNTERS_FAILED_TIMEOUT;
	case MESSAGE_STATUS_UNKNOWN:
	case MESSAGE_STATUS_INVALID: return COUNTERS_FAILED_POLICY;
	case MESSAGE_STATUS_OK:
	case MESSAGE_STATUS_NO_MEMORY:
	case MESSAGE_STATUS_DESCRIPTORS: break;
	}
	return COUNTERS_FAILED_MEMORY;
}

static void on_granted(void *owner, enum message_status status, int descriptor)
{
	struct passage *passage = owner;
	struct tunnel *tunnel = passage->connection.tunnel;
	passage->want = NULL;
	passage->forward->waiting--;
	deadline_set(loop_of(passage), &passage->left, LOOP_NEVER);
	if (status != MESSAGE_STATUS_OK) {
		fail(passage, failure_of(status));
		return;
	}
	struct poller *client = poller_create(tunnel->context->loop, descriptor, on_early_client, passage);
	if (client == NULL) {
		close(descriptor);
		fail(passage, COUNTERS_FAILED_MEMORY);
		return;
	}
	connection_count_ok(&passage->connection);
	struct netstack_stream *stream = passage->stream;
	passage->stream = NULL;
	passage->relay = relay_continue(passage->begun, client, stream, tunnel->spec.idle_timeout, on_relay_ended, passage);
	forget_begun(passage);
	if (passage->relay == NULL)
		passage_free(passage);
}

static bool ask_host(struct passage *passage)
{
	struct forward *forward = passage->forward;
	struct tunnel *tunnel = forward->tunnel;
	struct message_want want = { .slot = tunnel->slot, .generation = tunnel->generation, .index = forward->index };
	struct netstack_endpoint source;
	netstack_stream_remote(passage->stream, &source);
	address_to_host(&want.source, &source);
	passage->want = descriptor_request_ask(tunnel->context, MESSAGE_WANT_DIAL, &want, on_granted, passage);
	forward->waiting += passage->want != NULL;
	return passage->want != NULL;
}

static void on_accepted(void *owner, struct netstack_stream *stream)
{
	struct forward *forward = owner;
	struct tunnel *tunnel = forward->tunnel;
	struct passage *passage = forward->is_open ? passage_create(tunnel, forward) : NULL;
	if (passage == NULL) {
		netstack_stream_abort(stream, loop_now(tunnel->context->loop));
		return;
	}
	passage->stream = stream;
	netstack_stream_remote(stream, &passage->connection.client);
	connection_set_place(&passage->connection, &forward->spec.target);
	netstack_stream_set_owner(stream, &early_events, passage);
	if (forward->waiting >= WAITING_MOST) {
		fail(passage, COUNTERS_FAILED_LIMIT);
		return;
	}
	passage->begun = malloc(sizeof(*passage->begun));
	if (passage->begun != NULL)
		relay_begin(passage->begun, &passage->connection, NULL);
	if (passage->begun == NULL || !ask_host(passage))
		fail(passage, COUNTERS_FAILED_MEMORY);
}

/* Opening and closing. */

static void clear_copy(struct spec_forward *copy)
{
	free(copy->name);
	free(copy->listen.host);
	free(copy->target.host);
}

static bool copy_place(struct spec_place *to, const struct spec_place *from)
{
	*to = *from;
	to->host = from->host == NULL ? NULL : strdup(from->host);
	return from->host == NULL || to->host != NULL;
}

static bool copy_spec(struct spec_forward *to, const struct spec_forward *from)
{
	*to = (struct spec_forward){ .direction = from->direction, .transport = from->transport, .name = strdup(from->name) };
	return to->name != NULL && copy_place(&to->listen, &from->listen) && copy_place(&to->target, &from->target);
}

static bool is_same(const struct spec_forward *a, const struct spec_forward *b)
{
	return strcmp(a->name, b->name) == 0 && a->direction == b->direction && a->transport == b->transport &&
	       spec_place_equal(&a->listen, &b->listen) && spec_place_equal(&a->target, &b->target);
}

static void forward_close(struct forward *forward)
{
	struct connection *next;
	for (struct connection *connection = forward->tunnel->connections; connection != NULL; connection = next) {
		next = connection->next;
		if (connection->end == passage_end && ((struct passage *)connection)->forward == forward)
			connection_end(connection, QUERY_RESULT_CLOSED);
	}
	netstack_listener_free(forward->listener);
	forward_inner_close(forward->udp);
	clear_copy(&forward->spec);
	free(forward);
}

static int open_inner(struct forward *forward, struct netstack *stack)
{
	struct target at;
	const struct spec_place *listen = &forward->spec.listen;
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): such a place has a host. */
	if (listen->kind != SPEC_PLACE_INET || target_parse(&at, listen->host, strlen(listen->host), listen->port) < 0 || target_is_name(&at))
		return NETSTACK_NO_ADDRESS;
	if (forward->spec.transport == SPEC_UDP)
		return forward_inner_create(forward->tunnel, stack, &at.address, &forward->udp);
	return netstack_listen(stack, &at.address, on_accepted, forward, &forward->listener);
}

static bool has_same(const struct spec *spec, const struct spec_forward *forward)
{
	for (size_t i = 0; i < spec->forward_count; i++)
		if (is_same(&spec->forwards[i], forward))
			return true;
	return false;
}

/* The forward that the change removes and whose port the new one needs. */
static struct forward *find_leaving(struct tunnel *tunnel, const struct spec *after, const struct spec_forward *wanted)
{
	for (struct forward *forward = tunnel->forwards; forward != NULL; forward = forward->next)
		if (forward->heir == NULL && forward->spec.transport == wanted->transport &&
		    spec_place_equal(&forward->spec.listen, &wanted->listen) && !has_same(after, &forward->spec))
			return forward;
	return NULL;
}

static bool is_there(const struct tunnel *tunnel, const struct spec_forward *wanted)
{
	for (const struct forward *forward = tunnel->forwards; forward != NULL; forward = forward->next)
		if (is_same(&forward->spec, wanted))
			return true;
	return false;
}

/* 0 or a netstack_error. */
static int prepare_one(struct tunnel *tunnel, const struct spec *spec, size_t index, struct netstack *stack, struct forward **fresh)
{
	struct forward *forward = calloc(1, sizeof(*forward));
	if (forward == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	*forward = (struct forward){ .tunnel = tunnel, .index = (uint16_t)index };
	int error = copy_spec(&forward->spec, &spec->forwards[index]) ? NETSTACK_OK : NETSTACK_OUT_OF_MEMORY;
	struct forward *leaving = stack == tunnel->stack ? find_leaving(tunnel, spec, &spec->forwards[index]) : NULL;
	if (error == NETSTACK_OK && leaving == NULL)
		error = open_inner(forward, stack);
	if (error != NETSTACK_OK) {
		clear_copy(&forward->spec);
		free(forward);
		return error;
	}
	if (leaving != NULL)
		leaving->heir = forward;
	forward->next = *fresh;
	*fresh = forward;
	return NETSTACK_OK;
}

bool forward_prepare(struct tunnel *tunnel, const struct spec *spec, struct netstack *stack, struct forward **fresh)
{
	*fresh = NULL;
	for (size_t i = 0; i < spec->forward_count; i++) {
		if (spec->forwards[i].direction != SPEC_INBOUND || (stack == tunnel->stack && is_there(tunnel, &spec->forwards[i])))
			continue;
		int error = prepare_one(tunnel, spec, i, stack, fresh);
		if (error == NETSTACK_OUT_OF_MEMORY) {
			forward_discard(*fresh);
			*fresh = NULL;
			return false;
		}
		if (error != NETSTACK_OK)
			log_line(LOG_ERROR, tunnel->id, "forward %s: its inner port could not be opened (error %d)", spec->forwards[i].name, error);
	}
	return true;
}

void forward_discard(struct forward *fresh)
{
	while (fresh != NULL) {
		struct forward *forward = fresh;
		fresh = forward->next;
		for (struct forward *open = forward->tunnel->forwards; open != NULL; open = open->next)
			if (open->heir == forward)
				open->heir = NULL;
		forward_close(forward);
	}
}

static void hand_over(struct forward *from)
{
	struct forward *to = from->heir;
	if (to == NULL)
		return;
	from->heir = NULL;
	to->listener = from->listener;
	to->udp = from->udp;
	from->listener = NULL;
	from->udp = NULL;
	if (to->listener != NULL)
		netstack_listener_set_owner(to->listener, to);
}

/* The forward's index in the current spec, or -1. */
static int find_in_spec(const struct forward *forward)
{
	const struct spec *spec = &forward->tunnel->spec;
	for (size_t i = 0; i < spec->forward_count; i++)
		if (is_same(&spec->forwards[i], &forward->spec))
			return (int)i;
	return -1;
}

static void close_missing(struct tunnel *tunnel)
{
	for (struct forward **at = &tunnel->forwards; *at != NULL;) {
		struct forward *forward = *at;
		int index = find_in_spec(forward);
		if (index < 0) {
			*at = forward->next;
			hand_over(forward);
			forward_close(forward);
			continue;
		}
		forward->index = (uint16_t)index;
		if (forward->udp != NULL)
			forward_inner_set_index(forward->udp, forward->index);
		at = &forward->next;
	}
}

void forward_commit(struct tunnel *tunnel, struct forward *fresh)
{
	close_missing(tunnel);
	while (fresh != NULL) {
		struct forward *forward = fresh;
		fresh = forward->next;
		forward->is_open = true;
		if (forward->udp != NULL)
			forward_inner_start(forward->udp, forward->index);
		forward->next = tunnel->forwards;
		tunnel->forwards = forward;
	}
	for (struct listener *listener = tunnel->listeners; listener != NULL; listener = listener->next)
		if (listener->udp != NULL)
			forward_udp_apply(listener->udp);
	tunnel_wake(tunnel);
}

void forward_close_all(struct tunnel *tunnel)
{
	while (tunnel->forwards != NULL) {
		struct forward *forward = tunnel->forwards;
		tunnel->forwards = forward->next;
		forward_close(forward);
	}
}
