#include "tunnel/proxy/forward_udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "tunnel/address.h"
#include "tunnel/health.h"
#include "tunnel/http/target.h"
#include "tunnel/proxy/host_datagram.h"
#include "tunnel/want.h"

#define TALKS_MOST 256 /* of one forward */
#define SILENCE (60 * LOOP_SECOND)
#define REFUSAL (5 * LOOP_SECOND) /* before the same source is tried again */
#define SWEEP_EVERY (5 * LOOP_SECOND)
#define DATAGRAMS_A_TURN 64

struct talk;

/* The conversations of one forward. */
struct talks {
	struct tunnel *tunnel;
	struct talk *first;
	size_t count;
	struct deadline sweep;
};

/* `inner` is the far end behind the tunnel: the target of an outbound talk, the source of an inbound one. What comes before both sides are
 * known waits in `waiting`, each datagram behind its length. */
struct talk {
	struct connection connection;
	struct talks *talks;
	struct talk *next, **before;
	uint64_t active_at;
	bool inbound, open, refused;
	struct netstack_endpoint inner;
	struct netstack_flow *flow;      /* outbound: its own; inbound: the forward's */
	union wireguard_endpoint client; /* outbound */
	int descriptor;                  /* outbound: the forward's; inbound: the poller's */
	struct poller *poller;           /* inbound */
	uint32_t lost;                   /* inbound: as below */
	struct want *want;               /* inbound */
	struct netstack_query *query;    /* outbound */
	struct deferred deferred;        /* outbound: opens, when the stack is done with the call that named the target */
	struct block *waiting;
};

/* Outbound: the host's socket. */
struct forward_udp {
	struct talks talks;
	struct listener *listener;
	struct poller *poller;
	uint32_t lost; /* datagrams that the kernel had no room for, as far as they are counted */
	struct target target;
	bool has_target;
};

/* Inbound: the inner port. */
struct forward_inner {
	struct talks talks;
	struct netstack_flow *flow;
	uint16_t index;
	bool is_open; /* accepts datagrams: only after its change is committed */
};

static uint64_t now_of(const struct talks *talks)
{
	return loop_now(talks->tunnel->context->loop);
}

/* Talks begin and end. */

static void talk_free(struct talk *talk)
{
	struct talks *talks = talk->talks;
	*talk->before = talk->next;
	if (talk->next != NULL)
		talk->next->before = talk->before;
	talks->count--;
	want_cancel(talks->tunnel->context, talk->want);
	if (talk->query != NULL)
		netstack_query_cancel(talk->query);
	deferred_cancel(talks->tunnel->context->loop, &talk->deferred);
	if (!talk->inbound && talk->flow != NULL)
		netstack_flow_close(talk->flow);
	poller_free(talk->poller);
	pool_give(talks->tunnel->context->pool, talk->waiting);
	connection_remove(&talk->connection);
	free(talk);
}

static void talk_end(struct connection *connection)
{
	talk_free((struct talk *)connection);
}

static void on_sweep(void *owner)
{
	struct talks *talks = owner;
	uint64_t now = now_of(talks);
	for (struct talk *talk = talks->first, *next; talk != NULL; talk = next) {
		next = talk->next;
		if (talk->active_at + (talk->refused ? REFUSAL : SILENCE) <= now)
			talk_free(talk);
	}
	deadline_set(talks->tunnel->context->loop, &talks->sweep, talks->count == 0 ? LOOP_NEVER : now + SWEEP_EVERY);
}

static void talks_init(struct talks *talks, struct tunnel *tunnel)
{
	talks->tunnel = tunnel;
	deadline_init(&talks->sweep, on_sweep, talks);
}

static void talks_end(struct talks *talks)
{
	while (talks->first != NULL)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the call takes the first from the list. */
		talk_free(talks->first);
	deadline_set(talks->tunnel->context->loop, &talks->sweep, LOOP_NEVER);
}

/* NULL when there are too many: those that talk already are worth more than a newcomer. */
static struct talk *talk_create(struct talks *talks)
{
	struct talk *talk = talks->count < TALKS_MOST ? calloc(1, sizeof *talk) : NULL;
	if (talk == NULL)
		return NULL;
	talk->talks = talks;
	talk->descriptor = -1;
	talk->active_at = now_of(talks);
	talk->next = talks->first;
	talk->before = &talks->first;
	if (talk->next != NULL)
		talk->next->before = &talk->next;
	talks->first = talk;
	talks->count++;
	connection_add(&talk->connection, talks->tunnel, COUNTERS_FORWARD, talk_end);
	if (talks->sweep.at == LOOP_NEVER)
		deadline_set(talks->tunnel->context->loop, &talks->sweep, talk->active_at + SWEEP_EVERY);
	if (!connection_is_over_limit(&talk->connection))
		return talk;
	connection_count_failed(&talk->connection, COUNTERS_FAILED_LIMIT);
	talk_free(talk);
	return NULL;
}

/* It is kept for a while, so that further datagrams of its source cause no new request. */
static void refuse(struct talk *talk, enum counters_failure failure)
{
	connection_count_failed(&talk->connection, failure);
	talk->refused = true;
	pool_give(talk->talks->tunnel->context->pool, talk->waiting);
	talk->waiting = NULL;
}

/* Datagrams. */

/* A datagram over the rate limit is dropped, as UDP permits, so that queues stay bounded. */
static bool may_pass(struct tunnel *tunnel, struct bucket *bucket, size_t length)
{
	uint64_t again;
	if (tunnel_is_used_up(tunnel) || bucket_allowance(bucket, length, loop_now(tunnel->context->loop), &again) < length)
		return false;
	bucket_spend(bucket, length);
	return true;
}

static void send_inner(struct talk *talk, const uint8_t *bytes, size_t length)
{
	struct tunnel *tunnel = talk->talks->tunnel;
	if (health_is_down(tunnel))
		health_wanted(tunnel);
	if (!may_pass(tunnel, &tunnel->tx_limit, length)) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	talk->active_at = now_of(talk->talks);
	if (netstack_flow_send(talk->flow, &talk->inner, bytes, length, talk->active_at) == NETSTACK_OK)
		tunnel_count_sent(tunnel, length);
	tunnel_wake(tunnel);
}

/* Sent only to the program that is served, or to the client that wrote first. */
static void send_host(struct talk *talk, const uint8_t *bytes, size_t length)
{
	struct tunnel *tunnel = talk->talks->tunnel;
	if (!may_pass(tunnel, &tunnel->rx_limit, length)) {
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (!talk->inbound) {
		message.msg_name = &talk->client;
		message.msg_namelen = talk->client.any.sa_family == AF_INET ? sizeof talk->client.v4 : sizeof talk->client.v6;
	}
	talk->active_at = now_of(talk->talks);
	if (sendmsg(talk->descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		tunnel_count_received(tunnel, length);
	else
		tunnel_count_dropped(tunnel, COUNTERS_DROP_OVERFLOW);
}

/* No talk: there are too many. */
static void count_unserved(struct tunnel *tunnel, const struct talk *talk)
{
	tunnel_count_dropped(tunnel, talk == NULL ? COUNTERS_DROP_OVERFLOW : COUNTERS_DROP_REFUSED);
}

static void hold(struct talk *talk, const uint8_t *bytes, size_t length)
{
	if (talk->waiting == NULL)
		talk->waiting = pool_take(talk->talks->tunnel->context->pool, false);
	struct block *block = talk->waiting;
	uint16_t size = (uint16_t)length;
	if (block == NULL || block->capacity - block->end < length + sizeof size) {
		tunnel_count_dropped(talk->talks->tunnel, COUNTERS_DROP_OVERFLOW);
		return;
	}
	memcpy(block->bytes + block->end, &size, sizeof size);
	memcpy(block->bytes + block->end + sizeof size, bytes, length);
	block->end += (uint32_t)(sizeof size + length);
}

/* Both sides are known. */
static void talk_open(struct talk *talk, void (*send)(struct talk *talk, const uint8_t *bytes, size_t length))
{
	struct block *block = talk->waiting;
	connection_count_ok(&talk->connection);
	talk->open = true;
	talk->waiting = NULL;
	uint16_t size;
	for (uint32_t at = 0; block != NULL && at < block->end; at += (uint32_t)(sizeof size + size)) {
		memcpy(&size, block->bytes + at, sizeof size);
		send(talk, block->bytes + at + sizeof size, size);
	}
	pool_give(talk->talks->tunnel->context->pool, block);
}

/* Outbound. */

static void on_answered(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct talk *talk = owner;
	if (talk->open && address_equal(from, &talk->inner))
		send_host(talk, bytes, length);
	else
		tunnel_count_dropped(talk->talks->tunnel, COUNTERS_DROP_STRANGER);
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
	struct talk *talk = owner;
	if (!more)
		talk->query = NULL;
	if (talk->open || talk->deferred.queued)
		return;
	const struct netstack_endpoint *there = error == NETSTACK_NAME_OK ? first_routable(talk->talks->tunnel, addresses, count) : NULL;
	if (there != NULL) {
		uint16_t port = talk->inner.port;
		talk->inner = *there;
		talk->inner.port = port;
		deferred_queue(talk->talks->tunnel->context->loop, &talk->deferred);
	} else if (!more) {
		refuse(talk, error == NETSTACK_NAME_OK && count > 0 ? COUNTERS_FAILED_UNREACHABLE : COUNTERS_FAILED_NAME);
	}
}

static void on_deferred(void *owner)
{
	talk_open(owner, send_inner);
}

static void find_target(struct talk *talk, const struct target *target)
{
	struct tunnel *tunnel = talk->talks->tunnel;
	talk->inner = target->address;
	talk->inner.port = target->port;
	deferred_init(&talk->deferred, on_deferred, talk);
	if (!target_is_name(target)) {
		if (tunnel_why_unroutable(tunnel, &talk->inner) == NULL)
			talk_open(talk, send_inner);
		else
			refuse(talk, COUNTERS_FAILED_UNREACHABLE);
		return;
	}
	netstack_resolve(tunnel->resolver, target->host, on_named, talk, now_of(talk->talks), &talk->query);
	tunnel_wake(tunnel);
}

static struct talk *find_client(const struct forward_udp *udp, const union wireguard_endpoint *client)
{
	for (struct talk *talk = udp->talks.first; talk != NULL; talk = talk->next)
		if (endpoint_equal(&talk->client, client))
			return talk;
	return NULL;
}

static struct talk *meet_client(struct forward_udp *udp, const union wireguard_endpoint *client)
{
	struct tunnel *tunnel = udp->talks.tunnel;
	struct talk *talk = udp->has_target ? talk_create(&udp->talks) : NULL;
	if (talk == NULL)
		return NULL;
	talk->client = *client;
	talk->descriptor = poller_descriptor(udp->poller);
	talk->connection.socket_id = udp->listener->id;
	if (netstack_flow_open(tunnel->stack, NULL, on_answered, talk, &talk->flow) != NETSTACK_OK) {
		talk->flow = NULL;
		refuse(talk, COUNTERS_FAILED_MEMORY);
		return talk;
	}
	find_target(talk, &udp->target);
	return talk;
}

static void on_client_datagram(struct forward_udp *udp, const union wireguard_endpoint *client, const uint8_t *bytes, size_t length)
{
	struct talk *talk = find_client(udp, client);
	if (talk == NULL)
		talk = meet_client(udp, client);
	if (talk == NULL || talk->refused)
		count_unserved(udp->talks.tunnel, talk);
	else if (talk->open)
		send_inner(talk, bytes, length);
	else
		hold(talk, bytes, length);
}

static void on_clients(void *owner, int events)
{
	struct forward_udp *udp = owner;
	uint8_t bytes[HOST_DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		union wireguard_endpoint client = { 0 };
		ssize_t got = host_datagram_receive(udp->talks.tunnel, poller_descriptor(udp->poller), bytes, &client, &udp->lost);
		if (got >= 0)
			on_client_datagram(udp, &client, bytes, (size_t)got);
		else if (errno == EAGAIN)
			return;
	}
}

static void take_target(struct forward_udp *udp)
{
	const struct tunnel *tunnel = udp->talks.tunnel;
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
	struct forward_udp *udp = calloc(1, sizeof *udp);
	struct poller *poller = udp == NULL ? NULL : poller_create(tunnel->context->loop, descriptor, on_clients, udp);
	if (poller == NULL) {
		close(descriptor);
		free(udp);
		return NULL;
	}
	talks_init(&udp->talks, tunnel);
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
	talks_end(&udp->talks);
	poller_free(udp->poller);
	free(udp);
}

void forward_udp_apply(struct forward_udp *udp)
{
	struct target before = udp->target;
	take_target(udp);
	if (!udp->has_target || before.port != udp->target.port || strcmp(before.host, udp->target.host) != 0)
		talks_end(&udp->talks);
}

/* Inbound. */

static void on_host(void *owner, int events)
{
	struct talk *talk = owner;
	uint8_t bytes[HOST_DATAGRAM_MAX];
	(void)events;
	for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
		ssize_t got = host_datagram_receive(talk->talks->tunnel, talk->descriptor, bytes, NULL, &talk->lost);
		if (got >= 0)
			send_inner(talk, bytes, (size_t)got);
		else if (errno != ECONNREFUSED && errno != EINTR) /* nobody listens there yet, which may change */
			return;
	}
}

static void on_granted(void *owner, enum message_status status, int descriptor)
{
	struct talk *talk = owner;
	talk->want = NULL;
	if (status != MESSAGE_STATUS_OK) {
		refuse(talk, status == MESSAGE_STATUS_REFUSED ? COUNTERS_FAILED_REFUSED : COUNTERS_FAILED_UNREACHABLE);
		return;
	}
	talk->poller = poller_create(talk->talks->tunnel->context->loop, descriptor, on_host, talk);
	if (talk->poller == NULL) {
		close(descriptor);
		refuse(talk, COUNTERS_FAILED_MEMORY);
		return;
	}
	talk->descriptor = descriptor;
	poller_set(talk->poller, LOOP_READABLE);
	talk_open(talk, send_host);
}

static struct talk *find_source(const struct forward_inner *inner, const struct netstack_endpoint *from)
{
	for (struct talk *talk = inner->talks.first; talk != NULL; talk = talk->next)
		if (address_equal(&talk->inner, from))
			return talk;
	return NULL;
}

static struct talk *meet_source(struct forward_inner *inner, const struct netstack_endpoint *from)
{
	struct tunnel *tunnel = inner->talks.tunnel;
	struct talk *talk = talk_create(&inner->talks);
	if (talk == NULL)
		return NULL;
	struct message_want want = { .slot = tunnel->slot, .generation = tunnel->generation, .index = inner->index };
	address_to_host(&want.source, from);
	talk->inbound = true;
	talk->inner = *from;
	talk->flow = inner->flow;
	talk->want = want_ask(tunnel->context, MESSAGE_WANT_DIAL, &want, on_granted, talk);
	if (talk->want == NULL)
		refuse(talk, COUNTERS_FAILED_MEMORY);
	return talk;
}

static void on_inner_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct forward_inner *inner = owner;
	struct talk *talk = inner->is_open ? find_source(inner, from) : NULL;
	if (talk == NULL && inner->is_open)
		talk = meet_source(inner, from);
	if (talk == NULL || talk->refused)
		count_unserved(inner->talks.tunnel, talk);
	else if (talk->open)
		send_host(talk, bytes, length);
	else
		hold(talk, bytes, length);
}

int forward_inner_create(struct tunnel *tunnel, struct netstack *stack, const struct netstack_endpoint *at, struct forward_inner **inner)
{
	struct forward_inner *fresh = calloc(1, sizeof *fresh);
	if (fresh == NULL)
		return NETSTACK_OUT_OF_MEMORY;
	int error = netstack_flow_open(stack, at, on_inner_datagram, fresh, &fresh->flow);
	if (error != NETSTACK_OK) {
		free(fresh);
		return error;
	}
	talks_init(&fresh->talks, tunnel);
	*inner = fresh;
	return NETSTACK_OK;
}

void forward_inner_start(struct forward_inner *inner, uint16_t index)
{
	talks_end(&inner->talks);
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
	talks_end(&inner->talks);
	netstack_flow_close(inner->flow);
	free(inner);
}
