#include "tunnel/worker/change.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipc/wall_clock.h"
#include "tunnel/probe.h"
#include "tunnel/proxy/forward.h"
#include "tunnel/proxy/listener.h"

#define PEERS_A_STEP 16 /* each new one costs a key exchange, about 0.15 ms */

/* The future configuration of one peer. */
struct prepared_peer {
	struct tunnel_peer *peer;
	bool is_new, is_moved, is_rekeyed;
	struct message_addresses *several; /* of its endpoint, if it is new or changed; else NULL */
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
	bool is_whole;              /* everything is prepared */
	struct tunnel_peer **peers; /* the same, for the tunnel */
	struct udp_socket *udp;
	uint32_t udp_id;
	struct listener *listeners;
	struct forward *forwards;
	struct probe *probe;
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
}

static void free_change(struct prepared_change *change)
{
	close_descriptors(change);
	forget_peers(change);
	udp_socket_free(change->udp);
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

static struct wireguard_peer_config config_of(const struct spec_peer *spec)
{
	struct wireguard_peer_config config = {
		.public_key = spec->public_key,
		.allowed_ips = spec->allowed_ips,
		.allowed_ip_count = spec->allowed_ip_count,
		.persistent_keepalive = spec->persistent_keepalive,
	};
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
		peer->health = (struct health_peer){ .retry_at = LOOP_NEVER, .judge_at = LOOP_NEVER, .move_at = LOOP_NEVER, .kept_waiting = true };
	}
	return !prepared->is_moved || tunnel_addresses_copy(&prepared->several, addresses) ? WIREGUARD_OK : WIREGUARD_OUT_OF_MEMORY;
}

static int prepare_device_peer(struct prepared_change *change, size_t i)
{
	struct prepared_peer *prepared = &change->prepared[i];
	const struct message_addresses *addresses = &change->message.endpoints[i];
	struct wireguard_peer_config config = config_of(&change->message.spec.peers[i]);
	struct wireguard_peer *peer;
	if (prepared->is_moved && addresses->count > 0)
		config.endpoint = addresses->list[0];
	int error = wireguard_update_peer(change->update, &config, prepared->peer, &peer);
	sodium_memzero(&config.preshared_key, sizeof(config.preshared_key));
	if (error == WIREGUARD_OK)
		prepared->peer->peer = peer;
	return error;
}

static int begin_peers(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &change->message.spec;
	change->prepared = calloc(spec->peer_count + 1, sizeof(*change->prepared));
	change->peers = calloc(spec->peer_count + 1, sizeof(struct tunnel_peer *));
	if (change->prepared == NULL || change->peers == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	return wireguard_update_create(&change->update, tunnel->device, &spec->private_key, spec->peer_count);
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

static bool is_sane(const struct message_prepare *message)
{
	for (size_t i = 0; i < message->spec.peer_count; i++)
		if (message->peer_slots[i] >= COUNTERS_PEERS)
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
	tunnel->health.reason = "";
	deferred_init(&tunnel->settle, tunnel_settle, tunnel);
	deadline_init(&tunnel->deadline, tunnel_due, tunnel);
	struct wireguard_env env = tunnel_device_env;
	env.owner = tunnel;
	int error = wireguard_device_create(&tunnel->device, &message->spec.private_key, message->timestamp_floor, &env);
	if (error != WIREGUARD_OK) {
		tunnel->device = NULL;
		return status_of(error, detail);
	}
	wireguard_device_share_load(tunnel->device, &context->initiations);
	wireguard_device_set_mtu(tunnel->device, message->spec.mtu);
	if (!make_stack(tunnel, &message->spec, &tunnel->stack, &tunnel->resolver))
		return status_of(WIREGUARD_OUT_OF_MEMORY, detail);
	return MESSAGE_STATUS_OK;
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

/* A new stack if the tunnel is enabled and the change needs one; otherwise only the DNS servers. */
static bool prepare_stack(struct tunnel *tunnel, struct prepared_change *change)
{
	const struct spec *spec = &change->message.spec;
	struct netstack_endpoint servers[SPEC_DNS_MAX];
	if (change->applied == MESSAGE_APPLIED_RESTARTED)
		return make_stack(tunnel, spec, &change->stack, &change->resolver);
	return netstack_servers_copy(&change->servers, servers, servers_of(spec, servers)) == NETSTACK_OK;
}

/* Prepares some peers and, after the last, everything else. */
static enum message_status prepare_step(struct tunnel *tunnel, char detail[160])
{
	struct prepared_change *change = tunnel->prepared_change;
	const struct spec *spec = &change->message.spec;
	int error = change->prepared == NULL ? begin_peers(tunnel, change) : WIREGUARD_OK;
	for (size_t done = 0; done < PEERS_A_STEP && change->prepared_count < spec->peer_count && error == WIREGUARD_OK; done++)
		error = prepare_next(tunnel, change);
	if (error != WIREGUARD_OK)
		return status_of(error, detail);
	if (change->prepared_count < spec->peer_count)
		return MESSAGE_STATUS_OK;
	change->is_whole = prepare_stack(tunnel, change) && prepare_sockets(tunnel, change) &&
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
	if (*tunnel == NULL && !is_all_fresh(&change->message)) {
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

static void swap_stack(struct tunnel *tunnel, struct prepared_change *change)
{
	probe_stop(tunnel);
	tunnel_end_connections(tunnel);
	forward_close_all(tunnel);
	netstack_resolver_free(tunnel->resolver);
	netstack_free(tunnel->stack);
	tunnel->stack = change->stack;
	tunnel->resolver = change->resolver;
	change->stack = NULL;
	change->resolver = NULL;
	wireguard_device_set_mtu(tunnel->device, change->message.spec.mtu);
}

static void remove_missing(struct tunnel *tunnel)
{
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		if (peer->is_kept)
			peer->is_kept = false;
		else
			tunnel_free_peer(peer);
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
	if (prepared->is_moved)
		tunnel_peer_take_addresses(peer, &prepared->several, addresses->count > 0);
	if (prepared->is_moved && addresses->count > 0)
		counters_set_endpoint(peer->counters, &addresses->list[0]);
	/* Sessions survive a new preshared key, because the two ends may get it at different times (W33). */
	peer->health.is_renewed =
	    !prepared->is_new && ((prepared->is_moved && addresses->count > 0) || (prepared->is_rekeyed && !health_is_heard(peer)));
}

static void take_peers(struct tunnel *tunnel, struct prepared_change *change)
{
	remove_missing(tunnel);
	wireguard_update_commit(change->update, loop_now(tunnel->context->loop));
	change->update = NULL;
	free(tunnel->peers);
	tunnel->peers = change->peers;
	tunnel->peer_count = change->prepared_count;
	change->peers = NULL;
	for (size_t i = 0; i < change->prepared_count; i++)
		take_peer(&change->prepared[i], &change->message.endpoints[i]);
	change->prepared_count = 0;
}

/* The parts of the spec that take effect now. */
static void take_spec(struct tunnel *tunnel, struct message_prepare *message)
{
	uint64_t now = loop_now(tunnel->context->loop);
	bool first = tunnel->generation == 0;
	spec_clear(&tunnel->spec);
	tunnel->spec = message->spec;
	message->spec = (struct spec){ 0 };
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
	return tunnel->prepared_change != NULL && tunnel->prepared_change->message.generation == generation;
}

void change_commit(struct tunnel *tunnel)
{
	struct prepared_change *change = tunnel->prepared_change;
	if (!change->message.spec.enabled)
		tunnel_end_connections(tunnel); /* while there is a socket, so that far ends get the resets */
	drop_unlisted(tunnel, &change->message);
	if (change->stack != NULL)
		swap_stack(tunnel, change);
	else
		netstack_resolver_swap_servers(tunnel->resolver, &change->servers);
	take_peers(tunnel, change);
	take_spec(tunnel, &change->message);
	take_sockets(tunnel, change);
	forward_commit(tunnel, change->forwards);
	change->forwards = NULL;
	probe_commit(tunnel, change->probe);
	change->probe = NULL;
	forget(tunnel);
}

bool change_abort(struct tunnel *tunnel, uint64_t generation)
{
	if (change_is_prepared(tunnel, generation))
		forget(tunnel);
	return tunnel->generation == 0;
}

void change_remove(struct tunnel *tunnel)
{
	if (tunnel == NULL)
		return;
	forget(tunnel);
	while (tunnel->listeners != NULL)
		listener_free(tunnel->listeners);
	probe_stop(tunnel);
	tunnel_end_connections(tunnel);
	forward_close_all(tunnel);
	tunnel_free(tunnel);
}
