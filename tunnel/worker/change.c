#include "tunnel/worker/change.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "tunnel/pool/pool.h"
#include "tunnel/probe.h"
#include "tunnel/proxy/forward.h"
#include "tunnel/proxy/listener.h"
#include "tunnel/publish.h"
#include "tunnel/remedy.h"
#include "tunnel/wireguard/transfer.h"

/* What a step of preparing does, in networks, of which each takes some 80 ns: 16 peers, because each new one costs a key exchange. */
#define STEP_WORK 1024
#define PEER_WORK 64
#define PIECES_A_STEP 256 /* what a step of cleaning frees: of peers, their specs and allowed IPs */

/* The future configuration of one peer. */
struct prepared_peer {
	struct tunnel_peer *peer;
	bool is_new, is_moved, is_rekeyed;
	struct message_addresses *several; /* of its endpoint, if it is new or changed; else NULL */
};

/* A peer's sessions from the worker that had the tunnel. */
struct transfer {
	struct transfer *next;
	size_t length;
	uint8_t bytes[];
};

/* What is prepared and waits for its commit: all of it is there, so that the commit only changes pointers. `stack` is there when the change
 * needs a new one. */
struct prepared_change {
	struct message_prepare message;
	enum message_applied applied;
	struct netstack *stack;
	struct netstack_resolver *resolver;
	struct netstack_servers servers;
	struct wireguard_update *update;
	struct prepared_peer *prepared; /* in the order of spec.peers */
	size_t prepared_count;
	const struct wireguard_network *rest; /* of the last one's, not in the update yet */
	size_t rest_count;
	bool is_whole;             /* everything is prepared */
	bool is_over;              /* committed: what is here now was replaced */
	struct tunnel_peer **gone; /* peers that it had and that are no more */
	size_t gone_count;
	struct tunnel_peer **peers; /* the same, for the tunnel */
	struct udp_socket *udp;
	uint32_t udp_id;
	struct carrier *carrier; /* NULL: the tunnel's own is kept, or it has none */
	struct listener *listeners;
	struct forward *forwards;
	struct probe *probe;
	struct transfer *transfers;
	size_t transfer_count;
	int descriptors[MESSAGE_DESCRIPTORS_MAX]; /* of the fresh sockets, in the message's order; -1 once used */
	size_t descriptor_count;
};

static void close_descriptors(struct prepared_change *change)
{
	for (size_t i = 0; i < change->descriptor_count; i++)
		if (change->descriptors[i] >= 0)
			close(change->descriptors[i]);
}

static void forget_peers(struct prepared_change *change)
{
	wireguard_update_free(change->update);
	for (size_t i = 0; i < change->prepared_count; i++) {
		struct prepared_peer *prepared = &change->prepared[i];
		free(prepared->several);
		prepared->peer->is_kept = false;
		if (prepared->is_new)
			free(prepared->peer);
	}
	free(change->prepared);
	free(change->peers);
	while (change->gone_count > 0)
		tunnel_peer_free(change->gone[--change->gone_count]);
	free(change->gone);
}

static void free_transfers(struct prepared_change *change)
{
	while (change->transfers != NULL) {
		struct transfer *transfer = change->transfers;
		change->transfers = transfer->next;
		sodium_memzero(transfer->bytes, transfer->length);
		free(transfer);
	}
}

static void free_change(struct prepared_change *change)
{
	free_transfers(change);
	close_descriptors(change);
	forget_peers(change);
	udp_socket_free(change->udp);
	carrier_free(change->carrier);
	while (change->listeners != NULL) {
		struct listener *listener = change->listeners;
		change->listeners = listener->next;
		listener_free(listener);
	}
	forward_discard(change->forwards);
	probe_discard(change->probe);
	free(change->servers.list);
	netstack_resolver_free(change->resolver);
	netstack_free(change->stack);
	message_prepare_clear(&change->message);
	free(change);
}

static void forget(struct tunnel *tunnel)
{
	struct prepared_change *change = tunnel->prepared_change;
	if (change == NULL)
		return;
	tunnel->prepared_change = NULL;
	if (tunnel->pool != NULL)
		pool_abort(tunnel->pool);
	free_change(change);
}

/* Stacks. */

static struct netstack_endpoint endpoint_of(const struct wireguard_network *network, uint16_t port)
{
	struct netstack_endpoint endpoint = { .family = network->family, .port = port };
	memcpy(endpoint.bytes, network->bytes, sizeof(endpoint.bytes));
	return endpoint;
}

/* The stack asks those to which a packet can be sent, which changes with the peers. */
static size_t servers_of(const struct spec *spec, struct netstack_endpoint servers[SPEC_DNS_MAX])
{
	for (size_t i = 0; i < spec->dns_count; i++)
		servers[i] = endpoint_of(&spec->dns[i], 53);
	return spec->dns_count;
}

static bool make_stack(struct tunnel *tunnel, const struct spec *spec, struct netstack **stack, struct netstack_resolver **resolver)
{
	struct netstack_config config = { .address_count = spec->address_count, .mtu = spec->mtu };
	for (size_t i = 0; i < spec->address_count; i++)
		config.addresses[i] = endpoint_of(&spec->addresses[i], 0);
	struct netstack_env env = tunnel_stack_env(tunnel);
	struct netstack_endpoint servers[SPEC_DNS_MAX];
	if (netstack_create(stack, &config, &env, loop_now(tunnel->context->loop)) != NETSTACK_OK) {
		*stack = NULL;
		return false;
	}
	if (netstack_resolver_create(resolver, *stack, servers, servers_of(spec, servers)) == NETSTACK_OK)
		return true;
	netstack_free(*stack);
	*stack = NULL;
	*resolver = NULL;
	return false;
}

/* Peers. */

/* Without its networks, which may be many. */
static struct wireguard_peer_config config_of(const struct spec_peer *spec)
{
	struct wireguard_peer_config config = {
		.public_key = spec->public_key,
		.persistent_keepalive = spec->persistent_keepalive,
		.persistent_keepalive_most = spec->persistent_keepalive_most,
	};
	memcpy(config.reserved, spec->reserved, sizeof(config.reserved));
	if (spec->has_preshared_key)
		config.preshared_key = spec->preshared_key;
	return config;
}

/* A new peer, or one that the tunnel has. If the spec's endpoint is unchanged, the peer's current one is kept. */
static int prepare_peer(struct tunnel *tunnel, struct prepared_peer *prepared, const struct spec_peer *after,
                        const struct message_addresses *addresses, uint32_t slot)
{
	const struct spec_peer *before = spec_peer_find(&tunnel->spec, &after->public_key);
	prepared->peer = tunnel_peer_find(tunnel, &after->public_key);
	prepared->is_new = prepared->peer == NULL;
	prepared->is_moved = before == NULL || !spec_place_equal(&before->endpoint, &after->endpoint);
	prepared->is_rekeyed = before != NULL && sodium_memcmp(&before->preshared_key, &after->preshared_key, sizeof(after->preshared_key)) != 0;
	if (prepared->is_new && (prepared->peer = calloc(1, sizeof(*prepared->peer))) == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	struct tunnel_peer *peer = prepared->peer;
	peer->is_kept = true;
	if (prepared->is_new) {
		peer->tunnel = tunnel;
		peer->counters_slot = slot;
		peer->counters = &tunnel->context->counters->peers[slot];
		peer->health = (struct health_peer){
			.retry_at = LOOP_NEVER, .judge_at = LOOP_NEVER, .move_at = LOOP_NEVER, .refused_until = LOOP_NEVER, .kept_waiting = true
		};
	}
	return !prepared->is_moved || tunnel_addresses_copy(&prepared->several, addresses) ? WIREGUARD_OK : WIREGUARD_OUT_OF_MEMORY;
}

static int prepare_device_peer(struct prepared_change *change, size_t i)
{
	struct prepared_peer *prepared = &change->prepared[i];
	const struct message_addresses *addresses = &change->message.endpoints[i];
	struct wireguard_peer_config config = config_of(&change->message.spec.peers[i]);
	struct wireguard_peer *peer;
	assert(prepared->peer != NULL); /* of prepare_peer */
	if (prepared->is_moved && addresses->count > 0)
		config.endpoint = addresses->list[0];
	int error = wireguard_update_peer(change->update, &config, prepared->peer, &peer);
	sodium_memzero(&config.preshared_key, sizeof(config.preshared_key));
	if (error != WIREGUARD_OK)
		return error;
	prepared->peer->peer = peer;
	change->rest = change->message.spec.peers[i].allowed_ips;
	change->rest_count = change->message.spec.peers[i].allowed_ip_count;
	return WIREGUARD_OK;
}

static int prepare_networks(struct prepared_change *change, size_t most)
{
	size_t count = change->rest_count < most ? change->rest_count : most;
	int error = wireguard_update_allow(change->update, change->rest, count);
	change->rest += count;
	change->rest_count -= count;
	return error;
}

static int begin_peers(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &change->message.spec;
	change->prepared = calloc(spec->peer_count + 1, sizeof(*change->prepared));
	change->peers = calloc(spec->peer_count + 1, sizeof(struct tunnel_peer *));
	if (change->prepared == NULL || change->peers == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	int error = wireguard_update_create(&change->update, tunnel->device, &spec->private_key, spec->peer_count);
	if (error != WIREGUARD_OK)
		return error;
	/* The spec goes to the tunnel after the update's commit, and there lives as long as the device. */
	return wireguard_update_obfuscation(change->update, spec->obfuscation, spec_has_reserved(spec));
}

/* The next peer. */
static int prepare_next(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct message_prepare *message = &change->message;
	size_t i = change->prepared_count;
	const struct spec_peer *peer = &message->spec.peers[i];
	struct prepared_peer *prepared = &change->prepared[i];
	if (spec_peer_find(&message->spec, &peer->public_key) != peer)
		return WIREGUARD_DUPLICATE;
	int error = prepare_peer(tunnel, prepared, peer, &message->endpoints[i], message->peer_slots[i]);
	change->prepared_count += prepared->peer != NULL;
	change->peers[i] = prepared->peer;
	return error == WIREGUARD_OK ? prepare_device_peer(change, i) : error;
}

static bool has_next(const struct prepared_change *change)
{
	return change->rest_count > 0 || change->prepared_count < change->message.spec.peer_count;
}

static int prepare_peers(struct tunnel *tunnel, struct prepared_change *change)
{
	int error = WIREGUARD_OK;
	for (size_t work = 0; work < STEP_WORK && has_next(change) && error == WIREGUARD_OK;) {
		size_t networks = change->rest_count;
		if (networks > 0) {
			error = prepare_networks(change, STEP_WORK - work);
			work += networks - change->rest_count;
		} else {
			error = prepare_next(tunnel, change);
			work += PEER_WORK;
		}
	}
	return error;
}

static enum message_status status_of(int error, char detail[160])
{
	if (error == WIREGUARD_OK)
		return MESSAGE_STATUS_OK;
	if (error == WIREGUARD_OWN_KEY) {
		snprintf(detail, 160, "a peer has the tunnel's own public key");
		return MESSAGE_STATUS_INVALID;
	}
	if (error == WIREGUARD_DUPLICATE) {
		snprintf(detail, 160, "two peers have the same key");
		return MESSAGE_STATUS_INVALID;
	}
	snprintf(detail, 160, "the worker is out of memory for keys or peers");
	return MESSAGE_STATUS_NO_MEMORY;
}

/* Prepare. */

/* A pool has clients' listeners and nothing else. */
static bool is_sane_pool(const struct message_prepare *message)
{
	for (size_t i = 0; i < message->socket_count; i++)
		if (message->sockets[i].kind != MESSAGE_SOCKET_PROXY)
			return false;
	return message->slot < COUNTERS_TUNNELS && message->pool != 0 && message->spec.peer_count == 0 && message->spec.forward_count == 0;
}

static bool is_sane(const struct message_prepare *message)
{
	if (message->spec.kind == SPEC_POOL)
		return is_sane_pool(message);
	for (size_t i = 0; i < message->spec.peer_count; i++)
		if (message->peer_slots[i] >= COUNTERS_PEERS)
			return false;
	for (size_t i = 0; i < message->socket_count; i++)
		if (message->sockets[i].kind == MESSAGE_SOCKET_UDP && message->spec.via != NULL)
			return false;
	return message->slot < COUNTERS_TUNNELS && message->spec.has_private_key && message->spec.address_count > 0;
}

static struct prepared_change *make_candidate(struct message_prepare *message, int *descriptors, size_t count)
{
	size_t fresh = 0;
	for (size_t i = 0; i < message->socket_count; i++)
		fresh += message->sockets[i].fresh;
	struct prepared_change *change = calloc(1, sizeof(*change));
	if (change == NULL || fresh != count || !is_sane(message)) {
		free(change);
		message_prepare_clear(message);
		return NULL;
	}
	change->message = *message;
	*message = (struct message_prepare){ 0 };
	for (size_t i = 0; i < count; i++) {
		change->descriptors[i] = descriptors[i];
		descriptors[i] = -1;
	}
	change->descriptor_count = count;
	return change;
}

static enum message_status create_device(struct tunnel *tunnel, const struct message_prepare *message, char detail[160])
{
	struct wireguard_env env = tunnel_device_env;
	env.owner = tunnel;
	int error = wireguard_device_create(&tunnel->device, &message->spec.private_key, message->timestamp_floor, &env);
	if (error != WIREGUARD_OK) {
		tunnel->device = NULL;
		return status_of(error, detail);
	}
	wireguard_device_share_load(tunnel->device, &tunnel->context->initiations);
	wireguard_device_set_mtu(tunnel->device, message->spec.mtu);
	if (!make_stack(tunnel, &message->spec, &tunnel->stack, &tunnel->resolver))
		return status_of(WIREGUARD_OUT_OF_MEMORY, detail);
	return MESSAGE_STATUS_OK;
}

static enum message_status create(struct context *context, struct tunnel **created, struct prepared_change *change, char detail[160])
{
	struct message_prepare *message = &change->message;
	struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	*created = tunnel;
	if (tunnel == NULL)
		return status_of(WIREGUARD_OUT_OF_MEMORY, detail);
	tunnel->context = context;
	tunnel->slot = message->slot;
	snprintf(tunnel->id, sizeof(tunnel->id), "%s", message->id);
	tunnel->counters = &context->counters->tunnels[message->slot];
	tunnel->publish_at = LOOP_NEVER;
	tunnel->health.state = TUNNEL_STARTING;
	tunnel->health.due = tunnel->health.review_at = LOOP_NEVER;
	tunnel->assessment.health = TUNNEL_UNHEALTHY;
	deferred_init(&tunnel->settle, tunnel_settle, tunnel);
	deadline_init(&tunnel->deadline, tunnel_due, tunnel);
	return message->spec.kind == SPEC_POOL ? MESSAGE_STATUS_OK : create_device(tunnel, message, detail);
}

/* The fresh sockets, which accept nothing before they are started. */
static bool prepare_sockets(struct tunnel *tunnel, struct prepared_change *change)
{
	size_t next = 0;
	for (size_t i = 0; i < change->message.socket_count; i++) {
		const struct message_socket *socket = &change->message.sockets[i];
		if (!socket->fresh)
			continue;
		int descriptor = change->descriptors[next];
		change->descriptors[next++] = -1;
		if (socket->kind == MESSAGE_SOCKET_UDP) {
			change->udp = tunnel_make_udp(tunnel, descriptor);
			change->udp_id = socket->id;
			if (change->udp == NULL)
				return false;
			continue;
		}
		struct listener *listener = listener_create(tunnel, socket, descriptor);
		if (listener == NULL)
			return false;
		listener->next = change->listeners;
		change->listeners = listener;
	}
	return true;
}

/* A new one, unless the tunnel has the one that it needs or needs none. */
static bool prepare_carrier(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &change->message.spec;
	bool is_kept = tunnel->carrier != NULL && spec_has_via(&tunnel->spec, spec->via) && tunnel->spec.listen_port == spec->listen_port;
	if (!spec->enabled || spec->via == NULL || is_kept)
		return true;
	change->carrier = carrier_create(tunnel, spec->via);
	return change->carrier != NULL;
}

/* A new stack if the tunnel is enabled and the change needs one; otherwise only the DNS servers. */
static bool prepare_stack(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &change->message.spec;
	struct netstack_endpoint servers[SPEC_DNS_MAX];
	if (change->applied == MESSAGE_APPLIED_RESTARTED)
		return make_stack(tunnel, spec, &change->stack, &change->resolver);
	return netstack_servers_copy(&change->servers, servers, servers_of(spec, servers)) == NETSTACK_OK;
}

static enum message_status prepare_pool(struct tunnel *tunnel, struct prepared_change *change, char detail[160])
{
	const struct message_prepare *message = &change->message;
	change->is_whole = pool_prepare(tunnel->context->pools, tunnel, message->pool, &message->spec) && prepare_sockets(tunnel, change);
	if (change->is_whole)
		return MESSAGE_STATUS_OK;
	snprintf(detail, 160, "the worker is out of memory for the pool or its sockets");
	return MESSAGE_STATUS_NO_MEMORY;
}

/* Prepares some peers and, after the last, everything else. */
static enum message_status prepare_step(struct tunnel *tunnel, char detail[160])
{
	struct prepared_change *change = tunnel->prepared_change;
	const struct spec *spec = &change->message.spec;
	if (spec->kind == SPEC_POOL)
		return prepare_pool(tunnel, change, detail);
	int error = change->prepared == NULL ? begin_peers(tunnel, change) : WIREGUARD_OK;
	if (error == WIREGUARD_OK)
		error = prepare_peers(tunnel, change);
	if (error != WIREGUARD_OK)
		return status_of(error, detail);
	if (has_next(change))
		return MESSAGE_STATUS_OK;
	change->is_whole = prepare_stack(tunnel, change) && prepare_sockets(tunnel, change) && prepare_carrier(tunnel, change) &&
	                   forward_prepare(tunnel, spec, change->stack == NULL ? tunnel->stack : change->stack, &change->forwards) &&
	                   probe_prepare(tunnel, spec, &change->probe);
	if (change->is_whole)
		return MESSAGE_STATUS_OK;
	snprintf(detail, 160, "the worker is out of memory for the stack, sockets, forwards or the probe");
	return MESSAGE_STATUS_NO_MEMORY;
}

bool change_is_preparing(const struct tunnel *tunnel)
{
	return tunnel->prepared_change != NULL && !tunnel->prepared_change->is_whole;
}

enum message_status change_prepare_more(struct tunnel **tunnel, char detail[160])
{
	enum message_status status = prepare_step(*tunnel, detail);
	if (status == MESSAGE_STATUS_OK)
		return status;
	forget(*tunnel);
	if ((*tunnel)->generation == 0) {
		change_remove(*tunnel);
		*tunnel = NULL;
	}
	return status;
}

static bool is_all_fresh(const struct message_prepare *message)
{
	for (size_t i = 0; i < message->socket_count; i++)
		if (!message->sockets[i].fresh)
			return false;
	return true;
}

static enum message_applied applied_to(const struct tunnel *tunnel, const struct spec *spec)
{
	if (tunnel->generation == 0)
		return MESSAGE_APPLIED_CREATED;
	return spec_needs_restart(&tunnel->spec, spec) ? MESSAGE_APPLIED_RESTARTED : MESSAGE_APPLIED_IN_PLACE;
}

enum message_status change_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors, size_t count,
                                   enum message_applied *applied, char detail[160])
{
	*applied = MESSAGE_APPLIED_CREATED;
	if (*tunnel != NULL)
		forget(*tunnel);
	struct prepared_change *change = make_candidate(message, descriptors, count);
	if (change == NULL) {
		snprintf(detail, 160, "the worker could not take the tunnel");
		return MESSAGE_STATUS_INVALID;
	}
	/* The control process assumes a tunnel here that could not be built. */
	bool is_other_kind = *tunnel != NULL && ((*tunnel)->device == NULL) != (change->message.spec.kind == SPEC_POOL);
	if (is_other_kind || (*tunnel == NULL && !is_all_fresh(&change->message))) {
		snprintf(detail, 160, "the worker does not have the tunnel");
		free_change(change);
		return MESSAGE_STATUS_UNKNOWN;
	}
	if (*tunnel == NULL) {
		enum message_status status = create(context, tunnel, change, detail);
		if (status != MESSAGE_STATUS_OK) {
			free_change(change);
			change_remove(*tunnel);
			*tunnel = NULL;
			return status;
		}
	}
	(*tunnel)->prepared_change = change;
	*applied = change->applied = applied_to(*tunnel, &change->message.spec);
	return change_prepare_more(tunnel, detail);
}

void change_take_transfer(struct tunnel *tunnel, const struct message_transfer *message)
{
	struct prepared_change *change = tunnel->prepared_change;
	size_t length = message->state.left;
	if (tunnel->generation != 0 || change->transfer_count >= change->message.spec.peer_count || length > WIREGUARD_TRANSFER_MOST)
		return;
	struct transfer *transfer = malloc(sizeof(*transfer) + length);
	if (transfer == NULL)
		return;
	*transfer = (struct transfer){ .next = change->transfers, .length = length };
	memcpy(transfer->bytes, message->state.bytes, length);
	change->transfers = transfer;
	change->transfer_count++;
}

/* Commit. */

/* The message's entry for a socket that the tunnel keeps, or NULL. */
static const struct message_socket *listed(const struct message_prepare *message, uint32_t id)
{
	for (size_t i = 0; i < message->socket_count; i++)
		if (message->sockets[i].id == id)
			return &message->sockets[i];
	return NULL;
}

static void drop_unlisted(struct tunnel *tunnel, const struct message_prepare *message)
{
	for (struct listener *listener = tunnel->listeners, *next; listener != NULL; listener = next) {
		next = listener->next;
		const struct message_socket *socket = listed(message, listener->id);
		if (socket == NULL)
			listener_free(listener);
		else
			listener->index = socket->index;
	}
	if (tunnel->udp != NULL && listed(message, tunnel->udp_id) == NULL)
		tunnel_take_udp(tunnel, NULL);
}

static void take_sockets(struct tunnel *tunnel, struct prepared_change *change)
{
	if (change->udp != NULL) {
		tunnel_take_udp(tunnel, change->udp);
		tunnel->udp_id = change->udp_id;
		change->udp = NULL;
	}
	while (change->listeners != NULL) {
		struct listener *listener = change->listeners;
		change->listeners = listener->next;
		listener_start(listener);
	}
}

/* A socket that was asked for to heal the tunnel must not be given to one that has a carrier now. */
static void take_carrier(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &tunnel->spec;
	if (spec->via != NULL)
		remedy_stop(tunnel);
	if (change->carrier != NULL || !spec->enabled || spec->via == NULL)
		tunnel_take_carrier(tunnel, change->carrier);
	change->carrier = NULL;
}

static void swap_stack(struct tunnel *tunnel, struct prepared_change *change)
{
	probe_stop(tunnel);
	tunnel_end_connections(tunnel, QUERY_RESULT_CLOSED);
	forward_close_all(tunnel);
	carrier_leave_all(tunnel);
	netstack_resolver_free(tunnel->resolver);
	netstack_free(tunnel->stack);
	tunnel->stack = change->stack;
	tunnel->resolver = change->resolver;
	change->stack = NULL;
	change->resolver = NULL;
	wireguard_device_set_mtu(tunnel->device, change->message.spec.mtu);
}

static void leave_missing(struct tunnel *tunnel, struct prepared_change *change)
{
	change->gone = tunnel->peers;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		if (peer->is_kept)
			continue;
		tunnel_peer_leave(peer);
		change->gone[change->gone_count++] = peer;
	}
}

static void take_peer(struct prepared_peer *prepared, const struct message_addresses *addresses)
{
	struct tunnel_peer *peer = prepared->peer;
	peer->is_kept = false;
	if (prepared->is_new) {
		uint8_t timestamp[12];
		counters_initiation(peer->counters, timestamp);
		wireguard_peer_set_latest_timestamp(peer->peer, timestamp);
	}
	if (prepared->is_moved) {
		carrier_stop_resolving(peer);
		tunnel_peer_take_addresses(peer, &prepared->several, addresses->count > 0);
	}
	if (prepared->is_moved && addresses->count > 0)
		counters_set_endpoint(peer->counters, &addresses->list[0]);
	/* Sessions survive a new preshared key, because the two ends may get it at different times (W33). */
	peer->health.is_renewed =
	    !prepared->is_new && ((prepared->is_moved && addresses->count > 0) || (prepared->is_rekeyed && !health_is_heard(peer)));
}

static void take_peers(struct tunnel *tunnel, struct prepared_change *change)
{
	leave_missing(tunnel, change);
	wireguard_update_commit(change->update, loop_now(tunnel->context->loop));
	tunnel->peers = change->peers;
	tunnel->peer_count = change->prepared_count;
	change->peers = NULL;
	for (size_t i = 0; i < change->prepared_count; i++)
		take_peer(&change->prepared[i], &change->message.endpoints[i]);
	change->prepared_count = 0;
}

/* What another worker told is not trusted. A peer without sessions begins with a handshake. */
static void take_transfers(struct tunnel *tunnel, struct prepared_change *change)
{
	for (const struct transfer *transfer = change->transfers; transfer != NULL; transfer = transfer->next) {
		struct message_reader reader = { .bytes = transfer->bytes, .left = transfer->length };
		struct wireguard_peer *peer;
		int error = wireguard_transfer_take(tunnel->device, &reader, loop_now(tunnel->context->loop), &peer);
		if (error == WIREGUARD_OK)
			health_resume_peer(wireguard_peer_tag(peer));
		else
			log_line(LOG_WARN, tunnel->id, "a peer's sessions could not be taken over (error %d): it begins with a handshake", error);
	}
	if (change->transfers != NULL)
		health_resume(tunnel);
}

/* The parts of the spec that take effect now. */
static void take_spec(struct tunnel *tunnel, struct message_prepare *message)
{
	uint64_t now = loop_now(tunnel->context->loop);
	bool first = tunnel->generation == 0;
	struct spec before = tunnel->spec;
	tunnel->spec = message->spec;
	message->spec = before;
	tunnel->generation = message->generation;
	tunnel->told_limit = false;
	bucket_set_limit(&tunnel->tx_limit, tunnel->spec.limits.tx_bits_per_second, now);
	bucket_set_limit(&tunnel->rx_limit, tunnel->spec.limits.rx_bits_per_second, now);
	struct counters_tunnel *counters = tunnel->counters;
	if (first && counter_read(&counters->total_bytes_used) < message->total_bytes_used)
		counter_set(&counters->total_bytes_used, message->total_bytes_used);
	counter_set(&counters->generation, tunnel->generation);
	if (tunnel->spec.enabled && counter_read(&counters->started_at) == 0)
		counter_set(&counters->started_at, (uint64_t)wall_clock_ms());
	if (!tunnel->spec.enabled)
		counter_set(&counters->started_at, 0);
	tunnel->rate_sent.counted = counter_read(&counters->bytes_sent);
	tunnel->rate_received.counted = counter_read(&counters->bytes_received);
	tunnel->rate_at = now;
}

bool change_is_prepared(const struct tunnel *tunnel, uint64_t generation)
{
	const struct prepared_change *change = tunnel->prepared_change;
	return change != NULL && !change->is_over && change->message.generation == generation;
}

static void commit_pool(struct tunnel *tunnel)
{
	struct prepared_change *change = tunnel->prepared_change;
	drop_unlisted(tunnel, &change->message);
	take_spec(tunnel, &change->message);
	pool_commit(tunnel->pool, tunnel);
	take_sockets(tunnel, change);
	forget(tunnel);
}

void change_commit(struct tunnel *tunnel)
{
	struct prepared_change *change = tunnel->prepared_change;
	if (!change->message.spec.enabled)
		tunnel_end_connections(tunnel, QUERY_RESULT_CLOSED); /* while there is a socket, so that far ends get the resets */
	if (tunnel->pool != NULL) {
		commit_pool(tunnel);
		return;
	}
	drop_unlisted(tunnel, &change->message);
	if (change->stack != NULL)
		swap_stack(tunnel, change);
	else
		netstack_resolver_swap_servers(tunnel->resolver, &change->servers);
	take_peers(tunnel, change);
	take_spec(tunnel, &change->message);
	take_transfers(tunnel, change);
	take_carrier(tunnel, change);
	take_sockets(tunnel, change);
	forward_commit(tunnel, change->forwards);
	change->forwards = NULL;
	probe_commit(tunnel, change->probe);
	change->probe = NULL;
	change->is_over = true;
	(void)change_clean(tunnel);
}

bool change_clean(struct tunnel *tunnel)
{
	struct prepared_change *change = tunnel->prepared_change;
	if (change == NULL || !change->is_over)
		return false;
	for (size_t done = 0; done < PIECES_A_STEP && change->gone_count > 0; done++)
		tunnel_peer_free(change->gone[--change->gone_count]);
	if (change->gone_count > 0 || wireguard_update_sweep(change->update, PIECES_A_STEP) || spec_clear_peers(&change->message.spec, PIECES_A_STEP))
		return true;
	forget(tunnel);
	return false;
}

bool change_abort(struct tunnel *tunnel, uint64_t generation)
{
	if (change_is_prepared(tunnel, generation))
		forget(tunnel);
	return tunnel->generation == 0;
}

static void end_traffic(struct tunnel *tunnel, enum query_result why)
{
	forget(tunnel);
	while (tunnel->listeners != NULL)
		listener_free(tunnel->listeners);
	probe_stop(tunnel);
	pool_end_home(tunnel);
	tunnel_end_connections(tunnel, why);
	forward_close_all(tunnel);
}

void change_end(struct tunnel *tunnel)
{
	end_traffic(tunnel, QUERY_RESULT_CLOSED);
	tunnel_close(tunnel);
}

bool change_free(struct tunnel *tunnel)
{
	return tunnel_free(tunnel, PIECES_A_STEP);
}

void change_remove(struct tunnel *tunnel)
{
	if (tunnel == NULL)
		return;
	change_end(tunnel);
	(void)tunnel_free(tunnel, SIZE_MAX);
}

/* After it the peer has no session. One for whose message there is no memory begins with a handshake. */
static void send_state(struct tunnel_peer *peer)
{
	struct tunnel *tunnel = peer->tunnel;
	const struct message_transfer message = { .slot = tunnel->slot, .generation = tunnel->generation };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_transfer(&writer, &message);
	wireguard_transfer_give(peer->peer, &writer);
	if (writer.failed)
		message_writer_clear(&writer);
	else
		tunnel->context->send(tunnel->context, MESSAGE_TRANSFER, &writer);
}

bool change_has_connections(const struct tunnel *tunnel)
{
	return tunnel->connections != NULL || (tunnel->pool != NULL && tunnel->pool->visits != NULL);
}

/* What was sealed is sent before the sessions are told. */
static void publish_last(struct tunnel *tunnel)
{
	tunnel_flush(tunnel);
	tunnel->publish_at = 0;
	publish_tick(tunnel, loop_now(tunnel->context->loop));
}

void change_hand_over(struct tunnel *tunnel)
{
	size_t open = tunnel->connection_count;
	/* Also those of a listener that ends with it. */
	tunnel_end_connections(tunnel, QUERY_RESULT_MOVED);
	pool_hand_over(tunnel);
	end_traffic(tunnel, QUERY_RESULT_MOVED);
	log_line(LOG_INFO, tunnel->id, "goes to another worker; %zu connections are cut", open);
	if (tunnel->device != NULL) {
		health_hand_over(tunnel);
		publish_last(tunnel);
	}
	for (size_t i = 0; i < tunnel->peer_count; i++)
		send_state(tunnel->peers[i]);
	tunnel_close(tunnel);
}
