#include "tunnel/change.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tunnel/forward.h"
#include "tunnel/listener.h"
#include "tunnel/probe.h"
#include "tunnel/publish.h"

/* What is prepared and waits for its commit. `stack` is there when the change needs a new one. */
struct candidate {
	struct message_prepare message;
	enum message_applied applied;
	struct netstack *stack;
	struct netstack_resolver *resolver;
	int descriptors[MESSAGE_DESCRIPTORS_MAX]; /* of the fresh sockets, in the message's order; -1 once used */
	size_t descriptor_count;
};

static void close_descriptors(struct candidate *candidate)
{
	for (size_t i = 0; i < candidate->descriptor_count; i++)
		if (candidate->descriptors[i] >= 0)
			close(candidate->descriptors[i]);
}

void change_forget(struct tunnel *tunnel)
{
	struct candidate *candidate = tunnel->candidate;
	if (candidate == NULL)
		return;
	tunnel->candidate = NULL;
	close_descriptors(candidate);
	netstack_resolver_free(candidate->resolver);
	netstack_free(candidate->stack);
	message_prepare_clear(&candidate->message);
	free(candidate);
}

/* Stacks. */

static struct netstack_endpoint endpoint_of(const struct wireguard_network *network, uint16_t port)
{
	struct netstack_endpoint endpoint = { .family = network->family, .port = port };
	memcpy(endpoint.bytes, network->bytes, sizeof endpoint.bytes);
	return endpoint;
}

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

static struct tunnel_peer *add_peer(struct tunnel *tunnel, const struct spec_peer *spec, const struct message_addresses *addresses, uint32_t slot,
                                    int *error)
{
	struct tunnel_peer *peer = calloc(1, sizeof *peer);
	*error = WIREGUARD_OUT_OF_MEMORY;
	if (peer == NULL)
		return NULL;
	*peer = (struct tunnel_peer){ .tunnel = tunnel, .counters_slot = slot, .counters = &tunnel->context->counters->peers[slot] };
	peer->health = (struct health_peer){ .retry_at = LOOP_NEVER, .kept_waiting = true };
	struct wireguard_peer_config config = config_of(spec);
	if (addresses->count > 0)
		config.endpoint = addresses->list[0];
	*error = wireguard_peer_add(tunnel->device, &config, peer, &peer->peer, loop_now(tunnel->context->loop));
	sodium_memzero(&config.preshared_key, sizeof config.preshared_key);
	if (*error != WIREGUARD_OK) {
		free(peer);
		return NULL;
	}
	uint8_t timestamp[12];
	counters_initiation(peer->counters, timestamp);
	wireguard_peer_set_latest_timestamp(peer->peer, timestamp);
	tunnel_peer_set_addresses(peer, addresses);
	if (addresses->count > 0)
		counters_set_endpoint(peer->counters, &addresses->list[0]);
	return peer;
}

/* An endpoint that the spec did not change stays where the peer was last heard. */
static int change_peer(struct tunnel_peer *peer, const struct spec_peer *before, const struct spec_peer *after,
                       const struct message_addresses *addresses)
{
	struct wireguard_peer_config config = config_of(after);
	bool moved = before == NULL || !spec_place_equal(&before->endpoint, &after->endpoint);
	bool rekeyed = before != NULL && sodium_memcmp(&before->preshared_key, &after->preshared_key, sizeof after->preshared_key) != 0;
	config.endpoint = moved && addresses->count > 0 ? addresses->list[0] : *wireguard_peer_endpoint(peer->peer);
	int error = wireguard_peer_change(peer->peer, &config, loop_now(peer->tunnel->context->loop));
	sodium_memzero(&config.preshared_key, sizeof config.preshared_key);
	if (error != WIREGUARD_OK)
		return error;
	if (moved)
		tunnel_peer_set_addresses(peer, addresses);
	if (moved && addresses->count > 0)
		counters_set_endpoint(peer->counters, &addresses->list[0]);
	/* A session outlives another preshared key: both ends may be told of it at different times (W33). */
	if ((moved && addresses->count > 0) || (rekeyed && !health_is_heard(peer)))
		health_renew(peer);
	return WIREGUARD_OK;
}

static const struct spec_peer *spec_peer_of(const struct spec *spec, const struct wireguard_key *key)
{
	for (size_t i = 0; i < spec->peer_count; i++)
		if (memcmp(&spec->peers[i].public_key, key, sizeof *key) == 0)
			return &spec->peers[i];
	return NULL;
}

static void remove_missing(struct tunnel *tunnel, const struct spec *after)
{
	size_t kept = 0;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		if (spec_peer_of(after, wireguard_peer_public_key(peer->peer)) != NULL)
			tunnel->peers[kept++] = peer;
		else
			tunnel_free_peer(peer);
	}
	tunnel->peer_count = kept;
}

/* Makes the device's peers those of `after`; `before` is NULL for a new tunnel. WIREGUARD_OK, or the first error. */
static int apply_peers(struct tunnel *tunnel, const struct spec *before, const struct message_prepare *message)
{
	const struct spec *after = &message->spec;
	remove_missing(tunnel, after);
	struct tunnel_peer **peers = calloc(after->peer_count + 1, sizeof(struct tunnel_peer *));
	if (peers == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	int first_error = WIREGUARD_OK;
	size_t count = 0;
	for (size_t i = 0; i < after->peer_count; i++) {
		int error;
		struct tunnel_peer *peer = tunnel_peer_find(tunnel, &after->peers[i].public_key);
		if (peer != NULL)
			error = change_peer(peer, before == NULL ? NULL : spec_peer_of(before, &after->peers[i].public_key), &after->peers[i],
			                    &message->endpoints[i]);
		else
			peer = add_peer(tunnel, &after->peers[i], &message->endpoints[i], message->peer_slots[i], &error);
		if (peer != NULL)
			peers[count++] = peer;
		if (error != WIREGUARD_OK && first_error == WIREGUARD_OK)
			first_error = error;
	}
	free(tunnel->peers);
	tunnel->peers = peers;
	tunnel->peer_count = count;
	return first_error;
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
		snprintf(detail, 160, "a peer is there twice");
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

static struct candidate *make_candidate(struct message_prepare *message, int *descriptors, size_t count)
{
	size_t fresh = 0;
	for (size_t i = 0; i < message->socket_count; i++)
		fresh += message->sockets[i].fresh;
	struct candidate *candidate = calloc(1, sizeof *candidate);
	if (candidate == NULL || fresh != count || !is_sane(message)) {
		free(candidate);
		message_prepare_clear(message);
		return NULL;
	}
	candidate->message = *message;
	*message = (struct message_prepare){ 0 };
	for (size_t i = 0; i < count; i++) {
		candidate->descriptors[i] = descriptors[i];
		descriptors[i] = -1;
	}
	candidate->descriptor_count = count;
	return candidate;
}

static enum message_status create(struct context *context, struct tunnel **created, struct candidate *candidate, char detail[160])
{
	struct message_prepare *message = &candidate->message;
	struct tunnel *tunnel = calloc(1, sizeof *tunnel);
	*created = tunnel;
	if (tunnel == NULL) {
		close_descriptors(candidate);
		message_prepare_clear(message);
		free(candidate);
		return MESSAGE_STATUS_NO_MEMORY;
	}
	tunnel->context = context;
	tunnel->candidate = candidate;
	tunnel->slot = message->slot;
	snprintf(tunnel->id, sizeof tunnel->id, "%s", message->id);
	tunnel->counters = &context->counters->tunnels[message->slot];
	tunnel->publish_at = LOOP_NEVER;
	tunnel->health.state = TUNNEL_STARTING;
	tunnel->health.reason = "";
	turn_init(&tunnel->settle, tunnel_settle, tunnel);
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
		return MESSAGE_STATUS_NO_MEMORY;
	return status_of(apply_peers(tunnel, NULL, message), detail);
}

/* A change's peers are checked by their keys; adding them is left to the commit, since it touches what is running. */
static enum message_status prepare_change(struct tunnel *tunnel, char detail[160])
{
	struct candidate *candidate = tunnel->candidate;
	const struct spec *spec = &candidate->message.spec;
	struct wireguard_key own;
	if (wireguard_key_public(&own, &spec->private_key) != WIREGUARD_OK || spec_peer_of(spec, &own) != NULL)
		return status_of(WIREGUARD_OWN_KEY, detail);
	candidate->applied = MESSAGE_APPLIED_IN_PLACE;
	if (!spec_needs_restart(&tunnel->spec, spec))
		return MESSAGE_STATUS_OK;
	candidate->applied = MESSAGE_APPLIED_RESTARTED;
	return make_stack(tunnel, spec, &candidate->stack, &candidate->resolver) ? MESSAGE_STATUS_OK : MESSAGE_STATUS_NO_MEMORY;
}

enum message_status tunnel_prepare(struct context *context, struct tunnel **tunnel, struct message_prepare *message, int *descriptors, size_t count,
                                   enum message_applied *applied, char detail[160])
{
	*applied = MESSAGE_APPLIED_CREATED;
	if (*tunnel != NULL)
		change_forget(*tunnel);
	struct candidate *candidate = make_candidate(message, descriptors, count);
	if (candidate == NULL) {
		snprintf(detail, 160, "the worker could not take the tunnel");
		return MESSAGE_STATUS_INVALID;
	}
	if (*tunnel == NULL) {
		enum message_status status = create(context, tunnel, candidate, detail);
		if (status != MESSAGE_STATUS_OK) {
			tunnel_free(*tunnel);
			*tunnel = NULL;
		}
		return status;
	}
	(*tunnel)->candidate = candidate;
	enum message_status status = prepare_change(*tunnel, detail);
	*applied = candidate->applied;
	if (status != MESSAGE_STATUS_OK)
		change_forget(*tunnel);
	return status;
}

/* Commit. */

/* Where in the message's list the socket is that the tunnel shall hold, or NULL. */
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
		tunnel_replace_udp(tunnel, -1);
}

static bool adopt_fresh(struct tunnel *tunnel, struct candidate *candidate)
{
	bool adopted = true;
	size_t next = 0;
	for (size_t i = 0; i < candidate->message.socket_count; i++) {
		const struct message_socket *socket = &candidate->message.sockets[i];
		if (!socket->fresh)
			continue;
		int descriptor = candidate->descriptors[next];
		candidate->descriptors[next++] = -1;
		if (socket->kind == MESSAGE_SOCKET_UDP) {
			tunnel_replace_udp(tunnel, descriptor);
			tunnel->udp_id = socket->id;
			adopted = adopted && tunnel->udp != NULL;
		} else {
			adopted = listener_create(tunnel, socket, descriptor) != NULL && adopted;
		}
	}
	return adopted;
}

static void swap_stack(struct tunnel *tunnel, struct candidate *candidate)
{
	probe_stop(tunnel);
	tunnel_end_connections(tunnel);
	forward_close_all(tunnel);
	netstack_resolver_free(tunnel->resolver);
	netstack_free(tunnel->stack);
	tunnel->stack = candidate->stack;
	tunnel->resolver = candidate->resolver;
	candidate->stack = NULL;
	candidate->resolver = NULL;
	wireguard_device_set_mtu(tunnel->device, candidate->message.spec.mtu);
}

static int change_device(struct tunnel *tunnel, const struct message_prepare *message)
{
	int error = WIREGUARD_OK;
	const struct spec *after = &message->spec;
	remove_missing(tunnel, after);
	if (sodium_memcmp(&tunnel->spec.private_key, &after->private_key, sizeof after->private_key) != 0)
		error = wireguard_device_set_private_key(tunnel->device, &after->private_key, loop_now(tunnel->context->loop));
	int peers = apply_peers(tunnel, &tunnel->spec, message);
	struct netstack_endpoint servers[SPEC_DNS_MAX];
	if (netstack_resolver_set_servers(tunnel->resolver, servers, servers_of(after, servers)) != NETSTACK_OK)
		return WIREGUARD_OUT_OF_MEMORY;
	return error != WIREGUARD_OK ? error : peers;
}

static uint64_t wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void set_bucket(struct bucket *bucket, uint64_t bits_per_second, uint64_t now)
{
	if (bucket->bits_per_second != bits_per_second)
		*bucket = (struct bucket){ .bits_per_second = bits_per_second, .filled_at = now };
}

/* What of the spec counts from now on. */
static void take_spec(struct tunnel *tunnel, struct message_prepare *message)
{
	uint64_t now = loop_now(tunnel->context->loop);
	bool first = tunnel->generation == 0;
	spec_clear(&tunnel->spec);
	tunnel->spec = message->spec;
	message->spec = (struct spec){ 0 };
	tunnel->generation = message->generation;
	tunnel->told_limit = false;
	set_bucket(&tunnel->upward, tunnel->spec.limits.tx_bits_per_second, now);
	set_bucket(&tunnel->downward, tunnel->spec.limits.rx_bits_per_second, now);
	struct counters_tunnel *counters = tunnel->counters;
	if (first && counter_read(&counters->total_bytes_used) < message->total_bytes_used)
		counter_set(&counters->total_bytes_used, message->total_bytes_used);
	counter_set(&counters->generation, tunnel->generation);
	if (tunnel->spec.enabled && counter_read(&counters->started_at) == 0)
		counter_set(&counters->started_at, wall_ms());
	if (!tunnel->spec.enabled)
		counter_set(&counters->started_at, 0);
	tunnel->rate_sent = counter_read(&counters->bytes_sent);
	tunnel->rate_received = counter_read(&counters->bytes_received);
	tunnel->rate_at = now;
}

enum message_status tunnel_commit(struct tunnel *tunnel, uint64_t generation)
{
	struct candidate *candidate = tunnel->candidate;
	if (candidate == NULL || candidate->message.generation != generation)
		return MESSAGE_STATUS_UNKNOWN;
	bool first = tunnel->generation == 0;
	int error = WIREGUARD_OK;
	if (!candidate->message.spec.enabled)
		tunnel_end_connections(tunnel); /* while there is a socket: the far ends are told */
	drop_unlisted(tunnel, &candidate->message);
	if (candidate->stack != NULL)
		swap_stack(tunnel, candidate);
	if (!first)
		error = change_device(tunnel, &candidate->message);
	take_spec(tunnel, &candidate->message);
	bool adopted = adopt_fresh(tunnel, candidate);
	change_forget(tunnel);
	forward_apply(tunnel);
	probe_apply(tunnel);
	health_start(tunnel);
	tunnel_wake(tunnel);
	return error == WIREGUARD_OK && adopted ? MESSAGE_STATUS_OK : MESSAGE_STATUS_NO_MEMORY;
}

bool tunnel_abort(struct tunnel *tunnel, uint64_t generation)
{
	if (tunnel->candidate != NULL && tunnel->candidate->message.generation == generation)
		change_forget(tunnel);
	return tunnel->generation == 0;
}
