#include "tunnel/carrier.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/address.h"
#include "tunnel/tunnel.h"
#include "tunnel/wireguard/sealing.h"

/* After a change a tunnel may be on another worker than its outer one, until the control process moves it. */
#define PATIENCE (2 * LOOP_SECOND)

#define TRAIN_BYTES 65507 /* as large as a datagram of UDP over IPv4 may be */

struct outgoing {
	size_t at, length;
	union wireguard_endpoint to;
};

struct carrier {
	struct tunnel *tunnel;
	char outer_id[SPEC_VIA_SIZE];
	struct carrier *next, **before; /* of the worker's carriers */
	struct tunnel *outer;           /* NULL: it is not there */
	uint64_t patient_until;         /* since its commit nothing was joined: until then the outer tunnel is expected. 0: not committed */
	struct carrier *next_inside, **before_inside;
	struct netstack_flow *flow;     /* in the outer's stack; NULL: none could be opened */
	struct deferred arrival, visit; /* in the outer's lists: something has arrived; the tunnel may have something to settle */
	struct udp_counts counts;
	char reason[160];
	size_t incoming_count;             /* received and not yet handed over */
	size_t outgoing_count, sent, used; /* written and not yet sent, the first ones of which have been; `used`: of `bytes` */
	bool is_waiting;                   /* the outer tunnel had no room */
	/* Not zeroed, so that an idle one takes little memory. */
	struct udp_datagram incoming[UDP_TOGETHER]; /* the bytes are the outer tunnel's */
	union wireguard_endpoint from[UDP_TOGETHER];
	struct outgoing outgoing[UDP_TOGETHER];
	uint8_t bytes[TRAIN_BYTES];
};

static uint64_t now_of(const struct carrier *carrier)
{
	return loop_now(carrier->tunnel->context->loop);
}

/* What was not sent is lost. */
static void drop(struct carrier *carrier)
{
	carrier->counts.refused += carrier->outgoing_count - carrier->sent;
	carrier->outgoing_count = carrier->sent = carrier->used = 0;
	carrier->is_waiting = false;
}

/* Joining. */

static void close_flow(struct carrier *carrier)
{
	for (size_t i = 0; i < carrier->tunnel->peer_count; i++)
		carrier_stop_resolving(carrier->tunnel->peers[i]);
	carrier_flush(carrier);
	drop(carrier);
	netstack_flow_close(carrier->flow);
	carrier->flow = NULL;
	carrier->incoming_count = 0;
	deferred_list_remove(&carrier->outer->arrived_inside, &carrier->arrival);
	health_follow(carrier->tunnel, true);
}

static void hand_over(void *owner)
{
	struct carrier *carrier = owner;
	size_t count = carrier->incoming_count;
	carrier->incoming_count = 0;
	if (count > 0)
		tunnel_receive(carrier->tunnel, carrier->incoming, count);
}

static void settle(void *owner)
{
	const struct carrier *carrier = owner;
	struct tunnel *tunnel = carrier->tunnel;
	if (!tunnel->settle.queued)
		return;
	deferred_cancel(tunnel->context->loop, &tunnel->settle);
	tunnel_settle(tunnel);
}

struct carrier *carrier_create(struct tunnel *tunnel, const char *outer)
{
	struct carrier *carrier = malloc(sizeof(*carrier));
	if (carrier == NULL)
		return NULL;
	memset(carrier, 0, offsetof(struct carrier, incoming));
	carrier->tunnel = tunnel;
	deferred_init(&carrier->arrival, hand_over, carrier);
	deferred_init(&carrier->visit, settle, carrier);
	snprintf(carrier->outer_id, sizeof(carrier->outer_id), "%s", outer);
	carrier->before = &tunnel->context->carriers;
	carrier->next = *carrier->before;
	*carrier->before = carrier;
	if (carrier->next != NULL)
		carrier->next->before = &carrier->next;
	return carrier;
}

/* Within the outer tunnel's limits. What is above its rate is lost, as other datagrams are. */
static bool may_pass(struct tunnel *outer, struct bucket *limit, size_t length)
{
	bool may = tunnel_may_pass(outer, limit, length);
	if (!may)
		tunnel_count_dropped(outer, COUNTERS_DROP_OVERFLOW);
	return may;
}

static void on_datagram(void *owner, const struct netstack_endpoint *from, const uint8_t *bytes, size_t length)
{
	struct carrier *carrier = owner;
	size_t i = carrier->incoming_count;
	if (!may_pass(carrier->outer, &carrier->outer->rx_limit, length))
		return;
	carrier->counts.datagrams_received++;
	carrier->counts.bytes_received += length;
	bucket_spend(&carrier->outer->rx_limit, length);
	tunnel_count_received(carrier->outer, length);
	address_to_host(&carrier->from[i], from);
	carrier->incoming[i] = (struct udp_datagram){ (uint8_t *)(uintptr_t)bytes, length, &carrier->from[i] };
	deferred_list_add(&carrier->outer->arrived_inside, &carrier->arrival);
	if (++carrier->incoming_count == UDP_TOGETHER)
		hand_over(carrier);
}

/* Also of those inside the tunnel. */
static void limit_mtu(struct carrier *carrier)
{
	struct tunnel *tunnel = carrier->tunnel;
	uint16_t mtu = spec_mtu_inside(&tunnel->spec, &carrier->outer->spec, netstack_mtu(carrier->outer->stack));
	if (mtu == netstack_mtu(tunnel->stack))
		return;
	netstack_set_mtu(tunnel->stack, mtu);
	wireguard_device_set_mtu(tunnel->device, mtu);
	for (struct carrier *inside = tunnel->inside; inside != NULL; inside = inside->next_inside)
		limit_mtu(inside);
}

static void open_flow(struct carrier *carrier)
{
	struct netstack_endpoint at = { .port = carrier->tunnel->spec.listen_port };
	if (carrier->flow == NULL && netstack_flow_open(carrier->outer->stack, &at, on_datagram, carrier, &carrier->flow) != NETSTACK_OK)
		carrier->flow = NULL;
	limit_mtu(carrier);
	health_follow(carrier->tunnel, false);
}

static void part(struct carrier *carrier)
{
	if (carrier->outer == NULL)
		return;
	close_flow(carrier);
	deferred_list_remove(&carrier->outer->awake_inside, &carrier->visit);
	*carrier->before_inside = carrier->next_inside;
	if (carrier->next_inside != NULL)
		carrier->next_inside->before_inside = carrier->before_inside;
	struct tunnel *outer = carrier->outer;
	carrier->outer = NULL;
	/* Its port is free for others that want it. */
	for (struct carrier *other = outer->inside; other != NULL; other = other->next_inside)
		if (other->flow == NULL)
			open_flow(other);
}

void carrier_free(struct carrier *carrier)
{
	if (carrier == NULL)
		return;
	part(carrier);
	*carrier->before = carrier->next;
	if (carrier->next != NULL)
		carrier->next->before = carrier->before;
	free(carrier);
}

/* While several tunnels are committed one after the other, what one was may lead through what another is now. The last one joins them. */
static bool leads_back(const struct carrier *carrier, const struct tunnel *outer)
{
	while (outer != NULL && outer != carrier->tunnel)
		outer = outer->carrier == NULL ? NULL : outer->carrier->outer;
	return outer != NULL;
}

static void join(struct carrier *carrier, struct tunnel *outer)
{
	if (carrier->outer == NULL && !leads_back(carrier, outer)) {
		carrier->outer = outer;
		carrier->patient_until = now_of(carrier);
		carrier->before_inside = &outer->inside;
		carrier->next_inside = outer->inside;
		outer->inside = carrier;
		if (carrier->next_inside != NULL)
			carrier->next_inside->before_inside = &carrier->next_inside;
	}
	if (carrier->outer != NULL)
		open_flow(carrier);
}

void carrier_join(struct carrier *carrier)
{
	struct context *context = carrier->tunnel->context;
	struct tunnel *outer = context->find(context, carrier->outer_id);
	if (outer != NULL)
		join(carrier, outer);
	if (carrier->outer == NULL && carrier->patient_until == 0) {
		carrier->patient_until = now_of(carrier) + PATIENCE;
		health_review_at(carrier->tunnel, carrier->patient_until);
	}
}

void carrier_join_all(struct tunnel *outer)
{
	for (struct carrier *carrier = outer->context->carriers; carrier != NULL; carrier = carrier->next)
		if (carrier->tunnel->carrier == carrier && strcmp(carrier->outer_id, outer->id) == 0)
			join(carrier, outer);
}

/* What the stack lent in this turn is read before it goes. */
void carrier_leave_all(struct tunnel *outer)
{
	carrier_settle_all(outer);
	for (struct carrier *carrier = outer->inside; carrier != NULL; carrier = carrier->next_inside)
		close_flow(carrier);
}

void carrier_part_all(struct tunnel *outer)
{
	carrier_settle_all(outer);
	while (outer->inside != NULL)
		part(outer->inside);
}

/* State. */

bool carrier_is_open(const struct carrier *carrier)
{
	const struct tunnel *outer = carrier->outer;
	return outer != NULL && outer->health.state == TUNNEL_UP && carrier->flow != NULL && !tunnel_is_used_up(outer);
}

const char *carrier_why_closed(struct carrier *carrier, bool *may_open)
{
	const struct tunnel *outer = carrier->outer;
	char *reason = carrier->reason;
	size_t size = sizeof(carrier->reason);
	*may_open = false;
	if (outer == NULL && (carrier->patient_until == 0 || now_of(carrier) < carrier->patient_until)) {
		snprintf(reason, size, "waiting for the outer tunnel %s", carrier->outer_id);
		*may_open = true;
	} else if (outer == NULL) {
		snprintf(reason, size, "the outer tunnel %s is not running", carrier->outer_id);
	} else if (outer->health.state == TUNNEL_UP) {
		snprintf(reason, size, "the outer tunnel %s %s", outer->id,
		         carrier->flow != NULL ? "has used up its limits.total_bytes" : "has no port for it: interface.listen_port is in use there");
	} else if (outer->health.state == TUNNEL_DISABLED) {
		snprintf(reason, size, "the outer tunnel %s is disabled", outer->id);
	} else if (health_is_down(outer)) {
		/* Not why: whoever sees this tunnel may not be allowed to see the other. */
		snprintf(reason, size, "the outer tunnel %s is not up", outer->id);
	} else {
		snprintf(reason, size, "waiting for the outer tunnel %s", outer->id);
		*may_open = true;
	}
	return reason;
}

void carrier_tell_all(const struct tunnel *outer)
{
	for (struct carrier *carrier = outer->inside; carrier != NULL; carrier = carrier->next_inside)
		health_follow(carrier->tunnel, false);
}

/* Datagrams. */

/* 0, EAGAIN without room, or why it cannot be sent. */
static int send_datagram(struct carrier *carrier, const struct outgoing *outgoing)
{
	struct netstack_endpoint to;
	const uint8_t *bytes = carrier->bytes + outgoing->at;
	if (!address_from_host(&to, &outgoing->to) || !tunnel_reaches(carrier->outer, &to))
		return EHOSTUNREACH;
	switch (netstack_flow_send(carrier->flow, &to, bytes, outgoing->length, now_of(carrier))) {
	case NETSTACK_OK: return 0;
	case NETSTACK_BUSY: return EAGAIN;
	default: return EHOSTUNREACH;
	}
}

/* False: the outer tunnel has no room. */
static bool send_next(struct carrier *carrier)
{
	const struct outgoing *outgoing = &carrier->outgoing[carrier->sent];
	struct tunnel *outer = carrier->outer;
	bool may = tunnel_may_send(carrier->tunnel, &outgoing->to, carrier->bytes + outgoing->at, outgoing->length) &&
	           may_pass(outer, &outer->tx_limit, outgoing->length);
	int error = may ? send_datagram(carrier, outgoing) : EPERM;
	if (error == EAGAIN)
		return false;
	carrier->sent++;
	if (error == 0) {
		carrier->counts.datagrams_sent++;
		carrier->counts.bytes_sent += outgoing->length;
		bucket_spend(&outer->tx_limit, outgoing->length);
		tunnel_count_sent(outer, outgoing->length);
	} else {
		carrier->counts.refused++;
	}
	if (may)
		health_tried(carrier->tunnel, &outgoing->to, error);
	return true;
}

void carrier_flush(struct carrier *carrier)
{
	if (carrier->outgoing_count == 0)
		return;
	bool can_send = wireguard_sealing_finish() && carrier_is_open(carrier);
	while (can_send && carrier->sent < carrier->outgoing_count)
		if (!send_next(carrier)) {
			carrier->is_waiting = true;
			return;
		}
	drop(carrier);
}

uint8_t *carrier_reserve(struct carrier *carrier, const union wireguard_endpoint *to, size_t length)
{
	if (!carrier_is_open(carrier) || length > sizeof(carrier->bytes))
		return NULL;
	if (!carrier->is_waiting && (carrier->outgoing_count == UDP_TOGETHER || carrier->used + length > sizeof(carrier->bytes)))
		carrier_flush(carrier);
	if (carrier->is_waiting)
		return NULL;
	carrier->outgoing[carrier->outgoing_count] = (struct outgoing){ .at = carrier->used, .to = *to };
	return carrier->bytes + carrier->used;
}

void carrier_commit(struct carrier *carrier, size_t length)
{
	carrier->outgoing[carrier->outgoing_count++].length = length;
	carrier->used += length;
}

const struct udp_counts *carrier_counts(const struct carrier *carrier)
{
	return &carrier->counts;
}

void carrier_hand_over_all(struct tunnel *outer)
{
	deferred_list_run_once(&outer->arrived_inside);
}

void carrier_note_awake(struct carrier *carrier)
{
	if (carrier->outer != NULL)
		deferred_list_add(&carrier->outer->awake_inside, &carrier->visit);
}

void carrier_settle_all(struct tunnel *outer)
{
	deferred_list_run_once(&outer->awake_inside);
}

void carrier_resume_all(struct tunnel *outer)
{
	for (struct carrier *carrier = outer->inside; carrier != NULL; carrier = carrier->next_inside) {
		if (!carrier->is_waiting)
			continue;
		carrier->is_waiting = false;
		carrier_flush(carrier);
		if (!carrier->is_waiting)
			tunnel_resume(carrier->tunnel);
	}
}

/* Names. */

static void on_resolved(void *owner, enum netstack_name_error error, const struct netstack_endpoint *addresses, size_t count, bool more)
{
	struct tunnel_peer *peer = owner;
	struct message_resolved message = { .peer = *wireguard_peer_public_key(peer->peer) };
	const struct spec_peer *spec = spec_peer_find(&peer->tunnel->spec, &message.peer);
	if (!more)
		peer->lookup = NULL;
	if (error != NETSTACK_NAME_OK || spec == NULL) {
		if (!more)
			health_unresolved(peer);
		return;
	}
	for (size_t i = 0; i < count && i < MESSAGE_ADDRESSES_MAX; i++) {
		struct netstack_endpoint address = addresses[i];
		address.port = spec->endpoint.port;
		address_to_host(&message.addresses.list[message.addresses.count++], &address);
	}
	tunnel_resolved(peer->tunnel, &message);
}

void carrier_resolve(struct tunnel_peer *peer)
{
	const struct carrier *carrier = peer->tunnel->carrier;
	const struct spec_peer *spec = spec_peer_find(&peer->tunnel->spec, wireguard_peer_public_key(peer->peer));
	if (peer->lookup == NULL && spec != NULL && carrier_is_open(carrier))
		netstack_resolve(carrier->outer->resolver, spec->endpoint.host, on_resolved, peer, now_of(carrier), &peer->lookup);
}

void carrier_stop_resolving(struct tunnel_peer *peer)
{
	if (peer->lookup != NULL)
		netstack_query_cancel(peer->lookup);
	peer->lookup = NULL;
}
