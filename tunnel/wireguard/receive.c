/* From a datagram to an inner packet. Invalid ones are dropped and counted; nothing changes before a message is authenticated. */

#include "tunnel/wireguard/device_private.h"

enum {
	IPV4_HEADER = 20,
	IPV4_LENGTH = 2,
	IPV4_SOURCE = 12,
	IPV6_HEADER = 40,
	IPV6_LENGTH = 4,
	IPV6_SOURCE = 8,
};

static size_t get16(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* The length of the packet at the start of the payload, without padding; 0 if there is none. */
static size_t inner_length(const uint8_t *payload, size_t length)
{
	size_t total = 0;

	if (payload[0] >> 4 == 4 && length >= IPV4_HEADER && get16(payload + IPV4_LENGTH) >= IPV4_HEADER)
		total = get16(payload + IPV4_LENGTH);
	else if (payload[0] >> 4 == 6 && length >= IPV6_HEADER)
		total = IPV6_HEADER + get16(payload + IPV6_LENGTH);
	return total <= length ? total : 0;
}

static void deliver(struct wireguard_peer *peer, uint8_t *payload, size_t length)
{
	struct wireguard_device *device = peer->device;
	size_t total = inner_length(payload, length);

	if (total == 0) {
		wireguard_device_drop(device, WIREGUARD_DROP_INNER);
		return;
	}
	bool is_v4 = payload[0] >> 4 == 4;
	if (wireguard_allowed_ips_find(&device->allowed_ips, is_v4 ? AF_INET : AF_INET6, payload + (is_v4 ? IPV4_SOURCE : IPV6_SOURCE)) !=
	    &peer->allowed) {
		wireguard_device_drop(device, WIREGUARD_DROP_SOURCE);
		return;
	}
	device->env.deliver(device->env.owner, peer, payload, total);
}

/* An authenticated data message with `length` bytes of payload. What is sent here, or by whom the packet is delivered to, may end the
 * session: it is not looked at after that. */
static void take(struct wireguard_peer *peer, struct wireguard_session *session, uint8_t *payload, size_t length,
                 const union wireguard_endpoint *from, uint64_t now)
{
	bool is_confirmed = session == peer->sessions.next;

	wireguard_peer_received(peer, from, length + WIREGUARD_OVERHEAD, now);
	if (length > 0)
		wireguard_timers_data_received(&peer->timers, now);
	if (is_confirmed) {
		wireguard_sessions_confirm_next(&peer->sessions, &peer->device->indices);
		wireguard_timers_sessions_changed(&peer->timers, wireguard_sessions_oldest(&peer->sessions));
		wireguard_peer_completed(peer, now);
	}
	if (session == peer->sessions.current && wireguard_session_is_stale_for_receiving(session, now)) {
		session->has_asked_to_replace = true;
		wireguard_handshake_initiate(peer, false, now);
	}
	if (is_confirmed && peer->staged.count > 0)
		wireguard_send_staged(peer, now);
	if (length > 0)
		deliver(peer, payload, length);
}

static void receive_data(struct wireguard_device *device, uint8_t *datagram, size_t length, const union wireguard_endpoint *from, uint64_t now)
{
	const struct wireguard_message_data *message = (const void *)datagram;
	struct wireguard_index *index = wireguard_indices_find(&device->indices, wireguard_message_get32(message->receiver));
	uint64_t counter = wireguard_message_get64(message->counter);

	if (index == NULL || index->session == NULL) {
		wireguard_device_drop(device, WIREGUARD_DROP_UNKNOWN_INDEX);
		wireguard_peer_heard_stranger(device, from, now);
	} else if (wireguard_session_is_expired(index->session, now) || counter >= WIREGUARD_REJECT_AFTER_MESSAGES) {
		wireguard_device_drop(device, WIREGUARD_DROP_EXPIRED);
	} else if (wireguard_session_open(index->session, datagram, length) != WIREGUARD_OK) {
		wireguard_device_drop(device, WIREGUARD_DROP_AUTHENTICATION);
	} else if (!wireguard_replay_accept(&index->session->replay, counter)) {
		wireguard_device_drop(device, WIREGUARD_DROP_REPLAY);
	} else {
		take(index->peer, index->session, datagram + sizeof(*message), length - WIREGUARD_OVERHEAD, from, now);
	}
}

void wireguard_device_receive(struct wireguard_device *device, uint8_t *datagram, size_t length, const union wireguard_endpoint *from, uint64_t now)
{
	/* The reserved bytes are part of the type, so a message with other values has an unknown type. */
	uint32_t type = length >= sizeof(struct wireguard_message_header) ? wireguard_message_get32(datagram) : 0;

	if (type == WIREGUARD_DATA && length >= WIREGUARD_OVERHEAD)
		receive_data(device, datagram, length, from, now);
	else if (type == WIREGUARD_INITIATION && length == sizeof(struct wireguard_message_initiation))
		wireguard_handshake_receive_initiation(device, datagram, from, now);
	else if (type == WIREGUARD_RESPONSE && length == sizeof(struct wireguard_message_response))
		wireguard_handshake_receive_response(device, datagram, from, now);
	else if (type == WIREGUARD_COOKIE_REPLY && length == sizeof(struct wireguard_message_cookie_reply))
		wireguard_handshake_receive_cookie(device, datagram, now);
	else
		wireguard_device_drop(device, WIREGUARD_DROP_MALFORMED);
}
