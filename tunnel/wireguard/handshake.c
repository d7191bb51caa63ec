/* The handshake's messages around the Noise core: indices, MACs, timestamps and sessions (paper, 5.4.2 to 5.4.4 and 5.4.7). */

#include "tunnel/wireguard/device_private.h"

/* No more than fifty initiations a second are accepted from a peer (paper, 5.1). */
#define INITIATION_GAP (WIREGUARD_SECOND / 50)
/* So a second one that cannot wait for REKEY_TIMEOUT is delayed by this, plus a margin for jitter. */
#define URGENT_GAP (INITIATION_GAP + WIREGUARD_SECOND / 200)

void wireguard_handshake_abandon(struct wireguard_peer *peer)
{
	peer->wants_initiation = false;
	peer->announced = 0;
	if (!peer->handshake_index.is_listed)
		return;
	peer->stats.handshake_failures++;
	wireguard_indices_remove(&peer->device->indices, &peer->handshake_index);
	wireguard_noise_wipe(&peer->handshake);
}

/* Fills in an initiation; on failure the peer has no handshake. */
static int write_initiation(struct wireguard_peer *peer, struct wireguard_message_initiation *message, uint64_t now)
{
	struct wireguard_device *device = peer->device;
	struct wireguard_noise_remote remote = wireguard_peer_remote(peer);
	struct timespec wall;

	if (!peer->has_static_shared)
		return WIREGUARD_CRYPTO;
	device->env.wall_clock(device->env.owner, &wall);
	device->env.random(device->env.owner, peer->handshake.secrets->handshake.ephemeral, WIREGUARD_KEY_LENGTH);
	struct wireguard_tai64n timestamp = wireguard_tai64n_next(&device->last_timestamp, &wall);
	if (wireguard_noise_write_initiation(&peer->handshake, &device->local, &remote, message->ephemeral, timestamp.bytes,
	                                     sizeof(timestamp.bytes)) != 0)
		return WIREGUARD_CRYPTO;
	device->last_timestamp = timestamp;
	wireguard_indices_add(&device->indices, &peer->handshake_index, &device->env);
	wireguard_message_put32(message->header.type, wireguard_device_type(device, WIREGUARD_INITIATION));
	wireguard_message_put32(message->sender, peer->handshake_index.number);
	if (wireguard_cookie_add_macs(&peer->cookies, peer->public_key.bytes, (uint8_t *)message, sizeof(*message), now) == 0)
		return 0;
	wireguard_indices_remove(&device->indices, &peer->handshake_index);
	wireguard_noise_wipe(&peer->handshake);
	return WIREGUARD_CRYPTO;
}

/* An initiation that could not be created counts as lost: the timers retry, and clients that wait for the tunnel are told. */
static void send_initiation(struct wireguard_peer *peer, uint64_t now)
{
	struct wireguard_device *device = peer->device;
	struct wireguard_message_initiation *message = NULL;

	if (device->obfuscator == NULL || wireguard_outgoing_announce(peer))
		message = (void *)wireguard_device_reserve(device, peer, WIREGUARD_INITIATION, &peer->endpoint, sizeof(*message));
	if (message == NULL) {
		peer->wants_initiation = true;
		wireguard_timers_room_missing(&peer->timers, now);
		return;
	}
	wireguard_handshake_abandon(peer);
	peer->last_sent_handshake = peer->initiated_at = now;
	peer->is_urgent = false;
	peer->stats.unanswered++;
	if (write_initiation(peer, message, now) != 0) {
		wireguard_timers_initiation_sent(&peer->timers, now);
		return;
	}
	wireguard_peer_sent(peer, wireguard_device_commit(device, sizeof(*message)), now);
	wireguard_timers_initiation_sent(&peer->timers, now);
	wireguard_peer_notify(peer, WIREGUARD_INITIATION_SENT);
}

static uint64_t pause_of(const struct wireguard_peer *peer)
{
	return peer->is_urgent ? URGENT_GAP : peer->device->timings.rekey_timeout.low * WIREGUARD_SECOND;
}

bool wireguard_handshake_is_due(const struct wireguard_peer *peer, uint64_t now)
{
	return peer->last_sent_handshake == WIREGUARD_NEVER || now - peer->last_sent_handshake >= pause_of(peer);
}

void wireguard_handshake_initiate(struct wireguard_peer *peer, bool is_retry, uint64_t now)
{
	if (!is_retry)
		peer->timers.attempts = 0;
	if (!wireguard_peer_has_endpoint(peer))
		return;
	if (wireguard_handshake_is_due(peer, now))
		send_initiation(peer, now);
	else if (peer->is_urgent)
		wireguard_timers_initiation_due(&peer->timers, peer->last_sent_handshake + pause_of(peer));
	else if (!wireguard_session_can_send(peer->sessions.current, now))
		/* We may have answered an initiation whose sender is gone; then only we can retry for the packets waiting here. */
		wireguard_timers_initiation_delayed(&peer->timers, peer->last_sent_handshake);
}

static void send_cookie(struct wireguard_device *device, const struct wireguard_message_macs *macs, const uint8_t sender[4],
                        const union wireguard_endpoint *from, uint64_t now)
{
	struct wireguard_message_cookie_reply *reply = (void *)wireguard_device_reserve(device, NULL, WIREGUARD_COOKIE_REPLY, from, sizeof(*reply));

	if (reply != NULL && wireguard_cookie_reply(&device->checker, &device->env, reply, macs, sender, from, now) == 0)
		wireguard_device_commit(device, sizeof(*reply));
}

/* Whether a handshake message with a valid MAC1 may cost a DH. Under load it needs a cookie, and must pass the limiter. */
static bool admit(struct wireguard_device *device, const uint8_t *datagram, size_t length, const uint8_t sender[4],
                  const union wireguard_endpoint *from, uint64_t now)
{
	bool is_initiation = length == sizeof(struct wireguard_message_initiation);

	if (wireguard_load_is_high(&device->load, is_initiation, now)) {
		if (!wireguard_cookie_has_mac2(&device->checker, &device->env, datagram, length, from, now)) {
			wireguard_device_drop(device, WIREGUARD_DROP_COOKIE);
			if (device->obfuscator == NULL || !device->obfuscator->config->disable_cookies)
				send_cookie(device, (const void *)(datagram + length - sizeof(struct wireguard_message_macs)), sender, from, now);
			return false;
		}
		if (!wireguard_load_allow(&device->load, from, now)) {
			wireguard_device_drop(device, WIREGUARD_DROP_RATE);
			return false;
		}
	}
	if (wireguard_load_enter(&device->load, is_initiation, now))
		return true;
	wireguard_device_drop(device, WIREGUARD_DROP_RATE);
	return false;
}

/* Reads an initiation into `noise`, which stays wiped when the result is NULL; the drop is counted. */
static struct wireguard_peer *read_initiation(struct wireguard_device *device, struct wireguard_noise *noise,
                                              const struct wireguard_message_initiation *message, struct wireguard_tai64n *timestamp)
{
	uint8_t payload[WIREGUARD_TIMESTAMP_LENGTH + WIREGUARD_TAG_LENGTH];
	struct wireguard_key initiator;

	if (wireguard_noise_read_static(noise, &device->local, message->ephemeral) != 0) {
		wireguard_device_drop(device, WIREGUARD_DROP_HANDSHAKE);
		return NULL;
	}
	memcpy(&initiator, noise->remote_static, sizeof(initiator));
	struct wireguard_peer *peer = wireguard_peer_find(device, &initiator);
	if (peer == NULL) {
		wireguard_device_drop(device, WIREGUARD_DROP_UNKNOWN_PEER);
		wireguard_noise_wipe(noise);
		return NULL;
	}
	struct wireguard_noise_remote remote = wireguard_peer_remote(peer);
	if (!peer->has_static_shared || wireguard_noise_read_payload(noise, &remote, message->ephemeral, payload, WIREGUARD_TIMESTAMP_LENGTH) != 0) {
		wireguard_device_drop(device, WIREGUARD_DROP_HANDSHAKE);
		wireguard_noise_wipe(noise);
		return NULL;
	}
	memcpy(timestamp->bytes, payload, sizeof(timestamp->bytes));
	return peer;
}

static bool is_replayed(const struct wireguard_peer *peer, const struct wireguard_tai64n *timestamp, uint64_t now)
{
	if (!wireguard_tai64n_is_after(timestamp, &peer->latest_timestamp))
		return true;
	return peer->latest_initiation != WIREGUARD_NEVER && now - peer->latest_initiation < INITIATION_GAP;
}

/* Derives the new session's keys directly into its slot; NULL on failure. The handshake is wiped in any case. */
static struct wireguard_session *derive_session(struct wireguard_peer *peer, struct wireguard_noise *noise, bool is_initiator, uint64_t now)
{
	struct wireguard_session *session = wireguard_sessions_create(&peer->sessions, &peer->device->indices, now);

	if (session == NULL) {
		wireguard_noise_wipe(noise);
		return NULL;
	}
	uint8_t *sending = session->secrets->session.sending, *receiving = session->secrets->session.receiving;
	if (wireguard_noise_split(noise, is_initiator ? sending : receiving, is_initiator ? receiving : sending) != 0) {
		wireguard_sessions_discard(&peer->device->indices, session);
		return NULL;
	}
	const struct wireguard_timings *timings = &peer->device->timings;
	session->is_initiator = is_initiator;
	wireguard_session_set_life(session, timings, wireguard_timers_draw(&peer->timers, &timings->rekey_after));
	session->index.peer = peer;
	session->index.session = session;
	return session;
}

/* Sends the response and leaves its session as the next one. */
static int respond(struct wireguard_peer *peer, struct wireguard_noise *noise, const uint8_t sender[4], const union wireguard_endpoint *from,
                   uint64_t now)
{
	struct wireguard_device *device = peer->device;
	struct wireguard_noise_remote remote = wireguard_peer_remote(peer);
	struct wireguard_message_response *message = (void *)wireguard_device_reserve(device, peer, WIREGUARD_RESPONSE, from, sizeof(*message));

	if (message == NULL) {
		wireguard_noise_wipe(noise);
		return WIREGUARD_BUSY;
	}
	device->env.random(device->env.owner, noise->secrets->handshake.ephemeral, WIREGUARD_KEY_LENGTH);
	if (wireguard_noise_write_response(noise, &remote, message->ephemeral, NULL, 0) != 0)
		return WIREGUARD_CRYPTO;
	struct wireguard_session *session = derive_session(peer, noise, false, now);
	if (session == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	session->remote_index = wireguard_message_get32(sender);
	wireguard_indices_add(&device->indices, &session->index, &device->env);
	wireguard_message_put32(message->header.type, wireguard_device_type(device, WIREGUARD_RESPONSE));
	wireguard_message_put32(message->sender, session->index.number);
	memcpy(message->receiver, sender, sizeof(message->receiver));
	if (wireguard_cookie_add_macs(&peer->cookies, peer->public_key.bytes, (uint8_t *)message, sizeof(*message), now) != 0) {
		wireguard_sessions_discard(&device->indices, session);
		return WIREGUARD_CRYPTO;
	}
	wireguard_sessions_install_next(&peer->sessions, &device->indices, session);
	peer->stats.bytes_sent += wireguard_device_commit(device, sizeof(*message));
	return 0;
}

void wireguard_handshake_receive_initiation(struct wireguard_device *device, const uint8_t *datagram, const union wireguard_endpoint *from,
                                            uint64_t now)
{
	const struct wireguard_message_initiation *message = (const void *)datagram;
	struct wireguard_noise noise = { .secrets = device->slots[WIREGUARD_DEVICE_SCRATCH] };
	struct wireguard_tai64n timestamp;

	if (!wireguard_cookie_has_mac1(&device->checker, datagram, sizeof(*message))) {
		wireguard_device_drop(device, WIREGUARD_DROP_MAC1);
		return;
	}
	if (!admit(device, datagram, sizeof(*message), message->sender, from, now))
		return;
	struct wireguard_peer *peer = read_initiation(device, &noise, message, &timestamp);
	if (peer == NULL)
		return;
	bool replayed = is_replayed(peer, &timestamp, now);
	if (replayed)
		wireguard_noise_wipe(&noise);
	/* Without room for the response nothing is changed, and the initiator will retry. */
	if (replayed || respond(peer, &noise, message->sender, from, now) != 0) {
		wireguard_device_drop(device, WIREGUARD_DROP_HANDSHAKE);
		return;
	}
	peer->latest_timestamp = timestamp;
	peer->latest_initiation = now;
	wireguard_peer_notify(peer, WIREGUARD_INITIATION_TAKEN);
	peer->last_sent_handshake = now;
	wireguard_timers_sessions_changed(&peer->timers, wireguard_sessions_oldest(&peer->sessions));
	wireguard_peer_received(peer, from, sizeof(*message), now);
	wireguard_peer_sent(peer, 0, now); /* counted by respond */
}

/* Reads a response in a copy, so that a forged one leaves the handshake unchanged. NULL if it cannot be decrypted. */
static struct wireguard_session *read_response(struct wireguard_peer *peer, const struct wireguard_message_response *message, uint64_t now)
{
	struct wireguard_device *device = peer->device;
	struct wireguard_noise_remote remote = wireguard_peer_remote(peer);
	struct wireguard_noise noise = peer->handshake;
	uint8_t nothing[WIREGUARD_TAG_LENGTH];

	noise.secrets = device->slots[WIREGUARD_DEVICE_SCRATCH];
	*noise.secrets = *peer->handshake.secrets;
	if (wireguard_noise_read_response(&noise, &device->local, &remote, message->ephemeral, nothing, 0) != 0)
		return NULL;
	return derive_session(peer, &noise, true, now);
}

void wireguard_handshake_receive_response(struct wireguard_device *device, const uint8_t *datagram, const union wireguard_endpoint *from,
                                          uint64_t now)
{
	const struct wireguard_message_response *message = (const void *)datagram;

	if (!wireguard_cookie_has_mac1(&device->checker, datagram, sizeof(*message))) {
		wireguard_device_drop(device, WIREGUARD_DROP_MAC1);
		return;
	}
	struct wireguard_index *index = wireguard_indices_find(&device->indices, wireguard_message_get32(message->receiver));
	if (index == NULL || index->session != NULL) {
		wireguard_device_drop(device, index == NULL ? WIREGUARD_DROP_UNKNOWN_INDEX : WIREGUARD_DROP_HANDSHAKE);
		return;
	}
	if (!admit(device, datagram, sizeof(*message), message->sender, from, now))
		return;
	struct wireguard_peer *peer = index->peer;
	struct wireguard_session *session = read_response(peer, message, now);
	if (session == NULL) {
		wireguard_device_drop(device, WIREGUARD_DROP_HANDSHAKE);
		return;
	}
	session->remote_index = wireguard_message_get32(message->sender);
	wireguard_indices_replace(&device->indices, &peer->handshake_index, &session->index);
	wireguard_noise_wipe(&peer->handshake);
	wireguard_sessions_install_current(&peer->sessions, &device->indices, session);
	wireguard_timers_sessions_changed(&peer->timers, wireguard_sessions_oldest(&peer->sessions));
	bool is_robbed = wireguard_peer_is_robbed(peer);
	wireguard_peer_received(peer, from, sizeof(*message), now);
	/* An initiation that is sent again has another index, so this is the answer to the last one. */
	peer->stats.round_trip = now - peer->initiated_at;
	wireguard_peer_completed(peer, now);
	if (is_robbed)
		wireguard_peer_notify(peer, WIREGUARD_SESSION_TAKEN);
	/* The responder cannot send before it has received something, so staged packets or a keepalive are sent. */
	wireguard_send_keepalive(peer, now);
}

void wireguard_handshake_receive_cookie(struct wireguard_device *device, const uint8_t *datagram, uint64_t now)
{
	const struct wireguard_message_cookie_reply *reply = (const void *)datagram;
	struct wireguard_index *index = wireguard_indices_find(&device->indices, wireguard_message_get32(reply->receiver));

	if (index == NULL)
		wireguard_device_drop(device, WIREGUARD_DROP_UNKNOWN_INDEX);
	else if (wireguard_cookie_take(&index->peer->cookies, index->peer->public_key.bytes, reply, now) != 0)
		wireguard_device_drop(device, WIREGUARD_DROP_COOKIE);
	else
		index->peer->stats.bytes_received += sizeof(*reply);
}
