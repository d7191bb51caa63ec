#include "tunnel/tunnel.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ipc/log.h"
#include "tunnel/connection.h"
#include "tunnel/dial.h"
#include "tunnel/flush.h"
#include "tunnel/login.h"
#include "tunnel/publish.h"
#include "tunnel/remedy.h"
#include "tunnel/wireguard/sealing.h"

#define ISOLATED_LOOK LOOP_SECOND /* how soon a tunnel that is silent in isolation looks whether that is over */

static uint64_t now_of(const struct tunnel *tunnel)
{
	return loop_now(tunnel->context->loop);
}

void tunnel_wake(struct tunnel *tunnel)
{
	if (tunnel->pool != NULL)
		return; /* it has nothing to settle */
	deferred_queue(tunnel->context->loop, &tunnel->settle);
	if (tunnel->carrier != NULL)
		carrier_note_awake(tunnel->carrier);
}

/* The device's env. */

static void env_random(void *owner, void *bytes, size_t length)
{
	(void)owner;
	randombytes_buf(bytes, length);
}

static void env_wall_clock(void *owner, struct timespec *now)
{
	(void)owner;
	clock_gettime(CLOCK_REALTIME, now);
}

static uint8_t *env_reserve(void *owner, const union wireguard_endpoint *to, size_t length)
{
	struct tunnel *tunnel = owner;
	if (tunnel->carrier != NULL)
		return carrier_reserve(tunnel->carrier, to, length);
	return tunnel->udp == NULL ? NULL : udp_reserve(tunnel->udp, to, length);
}

static void env_commit(void *owner, size_t length)
{
	struct tunnel *tunnel = owner;
	if (tunnel->carrier != NULL)
		carrier_commit(tunnel->carrier, length);
	else
		udp_commit(tunnel->udp, length);
	tunnel_wake(tunnel);
}

static void env_deliver(void *owner, struct wireguard_peer *peer, uint8_t *packet, size_t length)
{
	struct tunnel *tunnel = owner;
	(void)peer;
	netstack_input(tunnel->stack, packet, length, now_of(tunnel));
}

static void env_notify(void *owner, struct wireguard_peer *peer, enum wireguard_event event)
{
	(void)owner;
	struct tunnel_peer *mine = wireguard_peer_tag(peer);
	if (event != WIREGUARD_INITIATION_TAKEN) {
		health_note(mine, event);
		return;
	}
	/* Before the answer is sent, so that the successor of a dead worker drops a replay of an answered initiation. */
	uint8_t timestamp[12];
	wireguard_peer_latest_timestamp(peer, timestamp);
	counters_set_initiation(mine->counters, timestamp);
}

const struct wireguard_env tunnel_device_env = {
	.random = env_random,
	.wall_clock = env_wall_clock,
	.reserve = env_reserve,
	.commit = env_commit,
	.deliver = env_deliver,
	.notify = env_notify,
};

/* The stack's env: a packet that no peer takes is lost, as on any link; only lack of room blocks the stack. */
static bool env_output(void *owner, const struct iovec *parts, size_t count, size_t length)
{
	struct tunnel *tunnel = owner;
	if (!tunnel_has_way(tunnel))
		return true;
	switch (wireguard_device_send(tunnel->device, parts, count, length, now_of(tunnel))) {
	case WIREGUARD_BUSY: return false;
	case WIREGUARD_NO_PEER: tunnel_count_dropped(tunnel, COUNTERS_DROP_NO_PEER); break;
	case WIREGUARD_NO_ENDPOINT: tunnel_count_dropped(tunnel, COUNTERS_DROP_NO_ENDPOINT); break;
	}
	return true;
}

/* Its name may still be resolved. */
static bool has_endpoint_in_spec(const struct tunnel *tunnel, const struct wireguard_peer *peer)
{
	const struct spec_peer *known = spec_peer_find(&tunnel->spec, wireguard_peer_public_key(peer));
	return known != NULL && known->endpoint.kind != SPEC_PLACE_NONE;
}

const char *tunnel_why_unroutable(const struct tunnel *tunnel, const struct netstack_endpoint *address)
{
	const struct wireguard_peer *peer = wireguard_device_route(tunnel->device, address->family, address->bytes);
	if (peer == NULL)
		return "no peer's allowed_ips cover the target";
	if (!wireguard_peer_has_endpoint(peer) && !has_endpoint_in_spec(tunnel, peer))
		return "the target's peer has no endpoint and has not been heard from";
	return health_why_refused(wireguard_peer_tag(peer));
}

/* A packet to the tunnel's own address would go to a peer, which drops it. */
bool tunnel_reaches(const struct tunnel *tunnel, const struct netstack_endpoint *address)
{
	return !spec_has_address(&tunnel->spec, address->family, address->bytes) && tunnel_why_unroutable(tunnel, address) == NULL;
}

static bool env_reaches(void *owner, const struct netstack_endpoint *address)
{
	return tunnel_reaches(owner, address);
}

struct netstack_env tunnel_stack_env(struct tunnel *tunnel)
{
	return (struct netstack_env){ .owner = tunnel, .output = env_output, .reaches = env_reaches };
}

/* The UDP socket. */

void tunnel_receive(struct tunnel *tunnel, const struct udp_datagram *datagrams, size_t count)
{
	struct wireguard_datagram list[UDP_TOGETHER];
	for (size_t i = 0; i < count; i++)
		list[i] = (struct wireguard_datagram){ datagrams[i].bytes, datagrams[i].length, datagrams[i].from };
	wireguard_device_receive(tunnel->device, list, count, now_of(tunnel));
	carrier_hand_over_all(tunnel);
	tunnel_wake(tunnel);
}

static void on_datagrams(void *owner, const struct udp_datagram *datagrams, size_t count)
{
	tunnel_receive(owner, datagrams, count);
}

static bool complete(void *owner)
{
	(void)owner;
	return wireguard_sealing_finish();
}

void tunnel_run_stack(struct tunnel *tunnel, void (*run)(struct netstack *stack, uint64_t now))
{
	carrier_settle_all(tunnel);
	flush_all(tunnel);
	tunnel->settling = true;
	run(tunnel->stack, now_of(tunnel));
	tunnel->settling = false;
	tunnel_wake(tunnel);
}

void tunnel_resume(struct tunnel *tunnel)
{
	tunnel_run_stack(tunnel, netstack_writable);
	carrier_resume_all(tunnel);
}

static void on_udp_writable(void *owner)
{
	tunnel_resume(owner);
}

bool tunnel_may_send(struct tunnel *tunnel, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length)
{
	if (tunnel_is_isolated(tunnel))
		return false;
	if (wireguard_device_has_endpoint(tunnel->device, to))
		return true;
	if (wireguard_device_may_answer(tunnel->device, to, datagram, length))
		return true;
	tunnel_count_dropped(tunnel, COUNTERS_DROP_NOT_PEER);
	return false;
}

/* The last check before the host's network. */
static bool may_send(void *owner, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length)
{
	return tunnel_may_send(owner, to, datagram, length);
}

static void on_tried(void *owner, const union wireguard_endpoint *to, int error)
{
	health_tried(owner, to, error);
}

static const struct udp_events udp_events = {
	.received = on_datagrams, .writable = on_udp_writable, .complete = complete, .may_send = may_send, .tried = on_tried
};

struct udp_socket *tunnel_make_udp(struct tunnel *tunnel, int descriptor)
{
	return udp_socket_create(tunnel->context->batch, descriptor, &udp_events, tunnel);
}

void tunnel_take_udp(struct tunnel *tunnel, struct udp_socket *fresh)
{
	publish_socket(tunnel);
	udp_socket_free(tunnel->udp);
	tunnel->counted = (struct udp_counts){ 0 };
	tunnel->udp = fresh;
	if (fresh != NULL)
		udp_socket_start(fresh);
	tunnel_wake(tunnel);
}

void tunnel_take_carrier(struct tunnel *tunnel, struct carrier *fresh)
{
	publish_socket(tunnel);
	carrier_free(tunnel->carrier);
	tunnel->counted = (struct udp_counts){ 0 };
	tunnel->carrier = fresh;
	tunnel->health.had_way = false;
	tunnel_wake(tunnel);
}

void tunnel_replace_udp(struct tunnel *tunnel, int descriptor)
{
	size_t begun = 0;
	struct udp_socket *fresh = tunnel_make_udp(tunnel, descriptor);
	if (fresh == NULL) {
		log_line(LOG_WARN, tunnel->id, "healing: out of memory for a new UDP socket");
		return;
	}
	tunnel_take_udp(tunnel, fresh);
	for (size_t i = 0; i < tunnel->peer_count; i++)
		wireguard_peer_begin(tunnel->peers[i]->peer, WIREGUARD_BEGIN, &begun, now_of(tunnel));
}

/* The end of a turn. */

/* Without a way the device's timers wait until somebody tells that there is one. The end of an isolation may be told by nobody: it can be over before
 * the worker has seen it. */
static uint64_t device_deadline(const struct tunnel *tunnel)
{
	bool is_isolated = tunnel_is_isolated(tunnel);
	if (!is_isolated && !tunnel_has_way(tunnel))
		return LOOP_NEVER;
	uint64_t at = wireguard_device_deadline(tunnel->device), again = now_of(tunnel) + ISOLATED_LOOK;
	return is_isolated && at < again ? again : at;
}

static void set_deadline(struct tunnel *tunnel)
{
	uint64_t at = netstack_deadline(tunnel->stack), other = health_deadline(tunnel);
	if (other < at)
		at = other;
	if (tunnel->publish_at < at)
		at = tunnel->publish_at;
	other = device_deadline(tunnel);
	if (other < at)
		at = other;
	deadline_set(tunnel->context->loop, &tunnel->deadline, at);
}

void tunnel_flush(struct tunnel *tunnel)
{
	if (tunnel->carrier != NULL)
		carrier_flush(tunnel->carrier);
	udp_batch_flush(tunnel->context->batch);
}

void tunnel_settle(void *owner)
{
	struct tunnel *tunnel = owner;
	uint64_t now = now_of(tunnel);
	health_act(tunnel);
	carrier_settle_all(tunnel);
	flush_all(tunnel);
	tunnel->settling = true;
	netstack_settle(tunnel->stack, now);
	tunnel->settling = false;
	flush_all(tunnel);
	tunnel_flush(tunnel);
	publish_soon(tunnel, now);
	set_deadline(tunnel);
}

void tunnel_due(void *owner)
{
	struct tunnel *tunnel = owner;
	uint64_t now = now_of(tunnel);
	bool published = tunnel->publish_at <= now;
	publish_tick(tunnel, now);
	bool more = netstack_deadline(tunnel->stack) <= now || health_deadline(tunnel) <= now || wireguard_device_deadline(tunnel->device) <= now;
	if (published && !more) {
		set_deadline(tunnel);
		return;
	}
	if (tunnel_has_way(tunnel))
		wireguard_device_tick(tunnel->device, now);
	tunnel_run_stack(tunnel, netstack_tick);
	health_tick(tunnel, now);
}

/* Peers. */

struct tunnel_peer *tunnel_peer_find(struct tunnel *tunnel, const struct wireguard_key *public_key)
{
	struct wireguard_peer *peer = wireguard_peer_find(tunnel->device, public_key);
	return peer == NULL ? NULL : wireguard_peer_tag(peer);
}

bool tunnel_addresses_copy(struct message_addresses **copy, const struct message_addresses *addresses)
{
	*copy = addresses->count < 2 ? NULL : malloc(sizeof(*addresses));
	if (*copy != NULL)
		**copy = *addresses;
	return *copy != NULL || addresses->count < 2;
}

void tunnel_peer_take_addresses(struct tunnel_peer *peer, struct message_addresses **several, bool is_known)
{
	free(peer->addresses);
	peer->addresses = *several;
	*several = NULL;
	peer->has_address = is_known;
	peer->address = 0;
}

bool tunnel_peer_next_address(struct tunnel_peer *peer)
{
	const struct message_addresses *addresses = peer->addresses;
	if (addresses == NULL)
		return false;
	peer->address = (peer->address + 1) % addresses->count;
	wireguard_peer_set_endpoint(peer->peer, &addresses->list[peer->address]);
	return true;
}

static bool has_address(const struct message_addresses *addresses, const union wireguard_endpoint *endpoint)
{
	for (size_t i = 0; i < addresses->count; i++)
		if (endpoint_equal(&addresses->list[i], endpoint))
			return true;
	return false;
}

/* Name servers turn or shuffle their answers: a list in the same order is gone through whole. */
static bool is_known(const struct tunnel_peer *peer, const struct message_addresses *addresses)
{
	if (peer->addresses == NULL || peer->addresses->count != addresses->count)
		return false;
	for (size_t i = 0; i < addresses->count; i++)
		if (!has_address(peer->addresses, &addresses->list[i]))
			return false;
	return true;
}

void tunnel_resolved(struct tunnel *tunnel, const struct message_resolved *message)
{
	struct tunnel_peer *peer = tunnel_peer_find(tunnel, &message->peer);
	if (peer == NULL || message->addresses.count == 0)
		return;
	bool was_unknown = !peer->has_address;
	if (is_known(peer, &message->addresses) && has_address(peer->addresses, wireguard_peer_endpoint(peer->peer)))
		return;
	struct message_addresses *several;
	(void)tunnel_addresses_copy(&several, &message->addresses);
	tunnel_peer_take_addresses(peer, &several, true);
	/* The peer may be at one of its name's addresses already. */
	for (size_t i = 0; i < message->addresses.count; i++)
		if (endpoint_equal(&message->addresses.list[i], wireguard_peer_endpoint(peer->peer))) {
			peer->address = i;
			return;
		}
	/* Or it was heard from another address while its name was resolved. */
	if (!was_unknown && health_is_heard(peer))
		return;
	wireguard_peer_set_endpoint(peer->peer, &message->addresses.list[0]);
	health_renew(peer);
}

void tunnel_reconnect(struct tunnel *tunnel)
{
	size_t begun = 0;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		tunnel->peers[i]->health.retry_at = LOOP_NEVER;
		wireguard_peer_begin(tunnel->peers[i]->peer, WIREGUARD_BEGIN_WITHOUT_SESSION, &begun, now_of(tunnel));
	}
	health_review(tunnel);
	tunnel_wake(tunnel);
}

/* Limits. */

size_t tunnel_quota_left(const struct tunnel *tunnel)
{
	uint64_t most = tunnel->spec.limits.total_bytes, used = counter_read(&tunnel->counters->total_bytes_used);
	if (most == 0)
		return SIZE_MAX;
	return used < most ? (size_t)(most - used) : 0;
}

bool tunnel_is_used_up(const struct tunnel *tunnel)
{
	return tunnel_quota_left(tunnel) == 0;
}

bool tunnel_may_pass(const struct tunnel *tunnel, struct bucket *rate, size_t length)
{
	uint64_t again;
	return !tunnel_is_used_up(tunnel) && bucket_allowance(rate, length, now_of(tunnel), &again) >= length;
}

static void tell_limit(struct tunnel *tunnel)
{
	struct message_state message = { .slot = tunnel->slot, .generation = tunnel->generation, .state = (uint8_t)tunnel->health.state };
	snprintf(message.reason, sizeof(message.reason), "limits.total_bytes is used up");
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_LIMIT, &writer);
	log_line(LOG_WARN, tunnel->id, "limits.total_bytes is used up: no more traffic");
}

/* Once a generation. */
static void tell_when_used_up(struct tunnel *tunnel)
{
	if (tunnel->told_limit || !tunnel_is_used_up(tunnel))
		return;
	tunnel->told_limit = true;
	tell_limit(tunnel);
	carrier_tell_all(tunnel);
}

void tunnel_begin(struct tunnel *tunnel)
{
	if (tunnel->pool != NULL)
		return; /* its state is that of its members, which the control process knows */
	health_start(tunnel);
	if (tunnel->carrier != NULL)
		carrier_join(tunnel->carrier);
	carrier_join_all(tunnel);
	tell_when_used_up(tunnel);
	tunnel_wake(tunnel);
}

void tunnel_count_sent(struct tunnel *tunnel, size_t bytes)
{
	counter_add(&tunnel->counters->bytes_sent, bytes);
	counter_add(&tunnel->counters->total_bytes_used, bytes);
	tell_when_used_up(tunnel);
}

void tunnel_count_dropped(struct tunnel *tunnel, enum counters_drop reason)
{
	counter_add(&tunnel->counters->dropped[reason], 1);
}

void tunnel_count_received(struct tunnel *tunnel, size_t bytes)
{
	counter_add(&tunnel->counters->bytes_received, bytes);
	counter_add(&tunnel->counters->total_bytes_used, bytes);
	tell_when_used_up(tunnel);
}

/* The end. */

void tunnel_end_connections(struct tunnel *tunnel, enum query_result why)
{
	while (tunnel->connections != NULL)
		connection_end(tunnel->connections, why);
	while (tunnel->dials != NULL)
		dial_cancel(tunnel->dials);
}

static void part(struct tunnel_peer *peer)
{
	publish_peer(peer, now_of(peer->tunnel));
	carrier_stop_resolving(peer);
}

static void free_peer(struct tunnel_peer *peer)
{
	free(peer->addresses);
	free(peer);
}

void tunnel_peer_leave(struct tunnel_peer *peer)
{
	part(peer);
	wireguard_peer_leave(peer->peer);
}

void tunnel_peer_free(struct tunnel_peer *peer)
{
	wireguard_peer_free(peer->peer);
	free_peer(peer);
}

void tunnel_close(struct tunnel *tunnel)
{
	remedy_stop(tunnel);
	carrier_part_all(tunnel);
	/* Sends the resets of the connections just ended before the socket is closed. */
	publish_socket(tunnel);
	udp_socket_free(tunnel->udp);
	tunnel->udp = NULL;
	carrier_free(tunnel->carrier);
	tunnel->carrier = NULL;
	deferred_cancel(tunnel->context->loop, &tunnel->settle);
	deadline_set(tunnel->context->loop, &tunnel->deadline, LOOP_NEVER);
	logins_free(tunnel->logins);
	netstack_resolver_free(tunnel->resolver);
	netstack_free(tunnel->stack);
}

static void remove_peer(struct tunnel_peer *peer)
{
	part(peer);
	wireguard_peer_remove(peer->peer);
	free_peer(peer);
}

bool tunnel_free(struct tunnel *tunnel, size_t most)
{
	for (size_t done = 0; done < most && tunnel->peer_count > 0; done++)
		remove_peer(tunnel->peers[--tunnel->peer_count]);
	if (tunnel->peer_count > 0 || spec_clear_peers(&tunnel->spec, most))
		return true;
	free(tunnel->peers);
	wireguard_device_free(tunnel->device);
	spec_clear(&tunnel->spec);
	free(tunnel);
	return false;
}
