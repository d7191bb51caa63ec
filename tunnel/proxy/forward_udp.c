#include "tunnel/proxy/forward_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tunnel/address.h"
#include "tunnel/descriptor_request.h"
#include "tunnel/http/target.h"
#include "tunnel/proxy/backlog.h"
#include "tunnel/proxy/host_datagram.h"
#include "tunnel/proxy/udp_session.h"

#define DATAGRAMS_A_TURN 64

/* One session of a forward. `inner` is the far end behind the tunnel: the target of an outbound one, the source of an inbound one. What comes
 * before both sides are known waits in the backlog. */
struct forward_session {
	struct connection connection;
	struct udp_session udp; /* outbound: a flow of its own, the forward's descriptor; inbound: the forward's flow, the poller's descriptor */
	bool open;
	struct netstack_endpoint inner;
	struct poller *poller;           /* inbound */
	uint32_t lost;                   /* inbound: as below */
	struct descriptor_request *want; /* inbound */
	struct netstack_query *query;    /* outbound */
	struct deferred deferred;        /* outbound: opens, when the stack is done with the call that named the target */
	struct block *backlog;
};

/* Outbound: the host's socket. */
struct forward_udp {
	struct udp_sessions sessions;
	struct listener *listener;
	struct poller *poller;
	uint32_t lost; /* datagrams that the kernel had no room for, as far as they are counted */
	struct target target;
	bool has_target;
};

/* Inbound: the inner port. */
struct forward_inner {
	struct udp_sessions sessions;
	struct netstack_flow *flow;
	uint16_t index;
	bool is_open; /* accepts datagrams: only after its change is committed */
};

/* Sessions begin and end. */

/* Its descriptor is a connected one of its own. */
static bool is_inbound(const struct forward_session *session)
{
	return session->udp.is_connected;
}

static void session_free(struct forward_session *session)
{
	struct tunnel *tunnel = session->udp.tunnel;
	udp_sessions_remove(&session->udp);
	descriptor_request_cancel(tunnel->context, session->want);
	if (session->query != NULL)
		netstack_query_cancel(session->query);
	deferred_cancel(tunnel->context->loop, &session->deferred);
	if (!is_inbound(session) && session->udp.flow != NULL)
		netstack_flow_close(session->udp.flow);
	poller_free(session->poller);
	block_pool_give(tunnel->context->blocks, session->backlog);
	connection_remove(&session->connection);
	free(session);
}

static void on_connection_end(struct connection *connection)
{
	session_free((struct forward_session *)connection);
}

static void on_session_end(struct udp_session *udp)
{
	session_free(udp->owner);
}

/* NULL when there are too many. */
static struct forward_session *session_create(struct udp_sessions *sessions, const union wireguard_endpoint *host)
{
	struct tunnel *tunnel = sessions->tunnel;
	struct forward_session *session = udp_sessions_is_full(sessions) ? NULL : calloc(1, sizeof(*session));
	if (session == NULL)
		return NULL;
	session->udp =
	    (struct udp_session){ .connection = &session->connection, .tunnel = tunnel, .owner = session, .descriptor = -1, .host = *host };
	udp_sessions_add(sessions, &session->udp);
	connection_add(&session->connection, tunnel, COUNTERS_FORWARD, on_connection_end);
	(void)address_from_host(&session->connection.client, host);
	if (!connection_is_over_limit(&session->connection))
		return session;
	connection_count_failed(&session->connection, COUNTERS_FAILED_LIMIT);
	session_free(session);
	return NULL;
}

static void refuse(struct forward_session *session, enum counters_failure failure)
{
	connection_count_failed(&session->connection, failure);
	session->udp.is_refused = true;
	backlog_refuse(&session->backlog, session->udp.tunnel);
}

/* Datagrams. */

/* From the side that the session began on to the other one. */
static void pass_on(void *owner, uint16_t port, const uint8_t *bytes, size_t length)
{
	struct forward_session *session = owner;
	(void)port; /* the target has it */
	if (is_inbound(session))
		udp_session_send_host(&session->udp, NULL, 0, bytes, length);
	else
		udp_session_send_inner(&session->udp, &session->inner, bytes, length);
}

/* Both sides are known. */
static void become_open(struct forward_session *session)
{
	connection_count_ok(&session->connection);
	session->open = true;
	if (!is_inbound(session))
		session->connection.address = session->inner;
	backlog_release(&session->backlog, session->udp.tunnel, pass_on, session);
}

/* NULL: there are too many sessions. */
static void on_datagram(struct tunnel *tunnel, struct forward_session *session, const uint8_t *bytes, size_t length)
{
	if (session == NULL || session->udp.is_refused)
		tunnel_count_dropped(tunnel, session == NULL ? COUNTERS_DROP_OVERFLOW : COUNTERS_DROP_REFUSED);
	else if (session->open)
		pass_on(session, 0, bytes, length);
	else
		backlog_hold(&session->backlog, tunnel, 0, bytes, length);
}

/* Outbound. */

static void on_answered(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct forward_session *session = owner;
	if (session->open && address_equal(from, &session->inner))
		udp_session_send_host(&session->udp, NULL, 0, bytes, length);
	else
		tunnel_count_dropped(session->udp.tunnel, COUNTERS_DROP_STRANGER);
}

static const struct netstack_endpoint *first_routable(const struct tunnel *tunnel, const struct netstack_endpoint *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (tunnel_why_unroutable(tunnel, &addresses[i]) == NULL)
			return &addresses[i];
	return NULL;
}

static void on_named(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct forward_session *session = owner;
	if (!more)
		session->query = NULL;
	if (session->open || session->deferred.queued)
		return;
	const struct netstack_endpoint *there = error == NETSTACK_NAME_OK ? first_routable(session->udp.tunnel, addresses, count) : NULL;
	if (there != NULL) {
		uint16_t port = session->inner.port;
		session->inner = *there;
		session->inner.port = port;
		deferred_queue(session->udp.tunnel->context->loop, &session->deferred);
	} else if (!more) {
		refuse(session, error == NETSTACK_NAME_OK && count > 0 ? COUNTERS_FAILED_UNREACHABLE : COUNTERS_FAILED_NAME);
	}
}

static void on_deferred(void *owner)
{
	become_open(owner);
}

static void find_target(struct forward_session *session, const struct target *target)
{
	struct tunnel *tunnel = session->udp.tunnel;
	session->inner = target->address;
	session->inner.port = target->port;
	deferred_init(&session->deferred, on_deferred, session);
	if (!target_is_name(target)) {
		if (tunnel_why_unroutable(tunnel, &session->inner) == NULL)
			become_open(session);
		else
			refuse(session, COUNTERS_FAILED_UNREACHABLE);
		return;
	}
	netstack_resolve(tunnel->resolver, target->host, on_named, session, loop_now(tunnel->context->loop), &session->query);
	tunnel_wake(tunnel);
}

static struct forward_session *meet_client(struct forward_udp *udp, const union wireguard_endpoint *client)
{
	struct tunnel *tunnel = udp->sessions.tunnel;
	struct forward_session *session = udp->has_target ? session_create(&udp->sessions, client) : NULL;
	if (session == NULL)
		return NULL;
	session->udp.descriptor = poller_descriptor(udp->poller);
	connection_set_target(&session->connection, &udp->target);
	if (netstack_flow_open(tunnel->stack, NULL, on_answered, session, &session->udp.flow) != NETSTACK_OK) {
		session->udp.flow = NULL;
		refuse(session, COUNTERS_FAILED_MEMORY);
		return session;
	}
	find_target(session, &udp->target);
	return session;
}

static void on_client_datagram(struct forward_udp *udp, const union wireguard_endpoint *client, const uint8_t *bytes, size_t length)
{
	const struct udp_session *known = udp_sessions_find(&udp->sessions, client);
	on_datagram(udp->sessions.tunnel, known != NULL ? known->owner : meet_client(udp, client), bytes, length);
}

static void on_clients(void *owner, int events)
{
	struct forward_udp *udp = owner;
	uint8_t bytes[HOST_DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		union wireguard_endpoint client = { 0 };
		ssize_t got = host_datagram_receive(udp->sessions.tunnel, poller_descriptor(udp->poller), bytes, &client, &udp->lost);
		if (got >= 0)
			on_client_datagram(udp, &client, bytes, (size_t)got);
		else if (errno == EAGAIN)
			return;
	}
}

static void take_target(struct forward_udp *udp)
{
	const struct tunnel *tunnel = udp->sessions.tunnel;
	const struct spec_place *place =
	    udp->listener->index < tunnel->spec.forward_count ? &tunnel->spec.forwards[udp->listener->index].target : NULL;
	udp->has_target =
	    place != NULL && place->kind == SPEC_PLACE_INET && target_parse(&udp->target, place->host, strlen(place->host), place->port) == 0;
	if (!udp->has_target)
		log_line(LOG_ERROR, tunnel->id, "a UDP forward has a malformed target");
}

struct forward_udp *forward_udp_create(struct listener *listener, int descriptor)
{
	struct tunnel *tunnel = listener->tunnel;
	struct forward_udp *udp = calloc(1, sizeof(*udp));
	struct poller *poller = udp == NULL ? NULL : poller_create(tunnel->context->loop, descriptor, on_clients, udp);
	if (poller == NULL) {
		close(descriptor);
		free(udp);
		return NULL;
	}
	udp_sessions_init(&udp->sessions, tunnel, on_session_end);
	udp->listener = listener;
	udp->poller = poller;
	return udp;
}

void forward_udp_start(struct forward_udp *udp)
{
	take_target(udp);
	poller_set(udp->poller, LOOP_READABLE);
}

void forward_udp_free(struct forward_udp *udp)
{
	udp_sessions_end_all(&udp->sessions);
	poller_free(udp->poller);
	free(udp);
}

void forward_udp_apply(struct forward_udp *udp)
{
	struct target before = udp->target;
	take_target(udp);
	if (!udp->has_target || before.port != udp->target.port || strcmp(before.host, udp->target.host) != 0)
		udp_sessions_end_all(&udp->sessions);
}

/* Inbound. */

static void on_host(void *owner, int events)
{
	struct forward_session *session = owner;
	uint8_t bytes[HOST_DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		ssize_t got = host_datagram_receive(session->udp.tunnel, session->udp.descriptor, bytes, NULL, &session->lost);
		if (got >= 0)
			udp_session_send_inner(&session->udp, &session->inner, bytes, (size_t)got);
		else if (errno != ECONNREFUSED && errno != EINTR) /* nobody listens there yet, which may change */
			return;
	}
}

static void on_granted(void *owner, enum message_status status, int descriptor)
{
	struct forward_session *session = owner;
	session->want = NULL;
	if (status != MESSAGE_STATUS_OK) {
		refuse(session, status == MESSAGE_STATUS_REFUSED ? COUNTERS_FAILED_REFUSED : COUNTERS_FAILED_UNREACHABLE);
		return;
	}
	session->poller = poller_create(session->udp.tunnel->context->loop, descriptor, on_host, session);
	if (session->poller == NULL) {
		close(descriptor);
		refuse(session, COUNTERS_FAILED_MEMORY);
		return;
	}
	session->udp.descriptor = descriptor;
	poller_set(session->poller, LOOP_READABLE);
	become_open(session);
}

static struct forward_session *meet_source(struct forward_inner *inner, const struct netstack_endpoint *from, const union wireguard_endpoint *source)
{
	struct tunnel *tunnel = inner->sessions.tunnel;
	struct forward_session *session = session_create(&inner->sessions, source);
	if (session == NULL)
		return NULL;
	struct message_want want = { .slot = tunnel->slot, .generation = tunnel->generation, .index = inner->index, .source = *source };
	if (inner->index < tunnel->spec.forward_count)
		connection_set_place(&session->connection, &tunnel->spec.forwards[inner->index].target);
	session->udp.is_connected = true;
	session->inner = *from;
	session->udp.flow = inner->flow;
	session->want = descriptor_request_ask(tunnel->context, MESSAGE_WANT_DIAL, &want, on_granted, session);
	if (session->want == NULL)
		refuse(session, COUNTERS_FAILED_MEMORY);
	return session;
}

static void on_inner_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct forward_inner *inner = owner;
	struct tunnel *tunnel = inner->sessions.tunnel;
	if (!inner->is_open) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	union wireguard_endpoint source;
	address_to_host(&source, from);
	const struct udp_session *known = udp_sessions_find(&inner->sessions, &source);
	on_datagram(tunnel, known != NULL ? known->owner : meet_source(inner, from, &source), bytes, length);
}

int forward_inner_create(struct tunnel *tunnel, struct netstack *stack, const struct netstack_endpoint *at, struct forward_inner **inner)
{
	struct forward_inner *fresh = calloc(1, sizeof(*fresh));
	if (fresh == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	int error = netstack_flow_open(stack, at, on_inner_datagram, fresh, &fresh->flow);
	if (error != NETSTACK_OK) {
		free(fresh);
		return error;
	}
	udp_sessions_init(&fresh->sessions, tunnel, on_session_end);
	*inner = fresh;
	return NETSTACK_OK;
}

void forward_inner_start(struct forward_inner *inner, uint16_t index)
{
	udp_sessions_end_all(&inner->sessions);
	inner->is_open = true;
	inner->index = index;
}

void forward_inner_set_index(struct forward_inner *inner, uint16_t index)
{
	inner->index = index;
}

void forward_inner_close(struct forward_inner *inner)
{
	if (inner == NULL)
		return;
	udp_sessions_end_all(&inner->sessions);
	netstack_flow_close(inner->flow);
	free(inner);
}
