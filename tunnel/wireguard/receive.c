/* From datagrams to inner packets. Invalid ones are dropped and counted; nothing changes before a message is authenticated. */

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

/* A data message. */
struct incoming {
	uint8_t *message;
	size_t length; /* of the message */
	size_t extra;  /* padding and trailer around it */
	const union wireguard_endpoint *from;
};

/* Data messages that are opened together: neighbours of one session. */
struct opening {
	const struct wireguard_session *session; /* NULL: of none */
	size_t count;
	struct incoming incoming[WIREGUARD_AEAD_BATCH];
	struct wireguard_aead_packet packets[WIREGUARD_AEAD_BATCH];
};

/* An authenticated data message. What is sent here, or by whom the packet is delivered to, may end the session: it is not looked at after that. */
static void take(struct wireguard_peer *peer, struct wireguard_session *session, const struct incoming *incoming, uint64_t now)
{
	uint8_t *payload = incoming->message + sizeof(struct wireguard_message_data);
	size_t length = incoming->length - WIREGUARD_OVERHEAD;
	struct wireguard_obfuscator *obfuscator = peer->device->obfuscator;
	bool is_confirmed = session == peer->sessions.next;
	/* AmneziaWG's keepalives may have zeroes, which begin no IP packet. */
	bool has_packet = length > 0 && (obfuscator == NULL || payload[0] != 0);

	if (obfuscator != NULL)
		obfuscator->extra = incoming->extra;
	wireguard_peer_received(peer, incoming->from, incoming->length, now);
	if (obfuscator != NULL && incoming->length + incoming->extra > peer->window)
		peer->window = (uint16_t)(incoming->length + incoming->extra);
	if (has_packet)
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
	if (has_packet)
		deliver(peer, payload, length);
}

static uint32_t index_number(const uint8_t *message)
{
	return wireguard_message_get32(((const struct wireguard_message_data *)(const void *)message)->receiver);
}

static struct wireguard_index *index_of(const struct wireguard_device *device, const uint8_t *message)
{
	return wireguard_indices_find(&device->indices, index_number(message));
}

static uint64_t counter_of(const uint8_t *message)
{
	return wireguard_message_get64(((const struct wireguard_message_data *)(const void *)message)->counter);
}

/* `is_good`: `opened` has opened the message. It may have ended since then, by what the messages before this one brought about. */
static void receive_data(struct wireguard_device *device, const struct incoming *incoming, const struct wireguard_session *opened, bool is_good,
                         uint64_t now)
{
	struct wireguard_index *index = index_of(device, incoming->message);
	uint64_t counter = counter_of(incoming->message);

	if (index == NULL || index->session == NULL) {
		wireguard_device_drop(device, WIREGUARD_DROP_UNKNOWN_INDEX);
		wireguard_peer_heard_stranger(device, incoming->from, index_number(incoming->message), counter, now);
	} else if (wireguard_session_is_expired(index->session, now) || counter >= WIREGUARD_REJECT_AFTER_MESSAGES) {
		wireguard_device_drop(device, WIREGUARD_DROP_EXPIRED);
	} else if (index->session != opened || !is_good) {
		wireguard_device_drop(device, WIREGUARD_DROP_AUTHENTICATION);
	} else if (!wireguard_replay_accept(&index->session->replay, counter)) {
		wireguard_device_drop(device, WIREGUARD_DROP_REPLAY);
	} else {
		take(index->peer, index->session, incoming, now);
	}
}

static void open_all(struct wireguard_device *device, struct opening *opening, uint64_t now)
{
	const struct wireguard_session *session = opening->session;
	size_t count = opening->count;

	opening->count = 0;
	if (count > 0 && session != NULL && !wireguard_session_is_expired(session, now))
		wireguard_session_open(session, opening->packets, count);
	for (size_t i = 0; i < count; i++)
		receive_data(device, &opening->incoming[i], session, opening->packets[i].is_good, now);
}

static const struct wireguard_session *session_of(const struct wireguard_device *device, const uint8_t *message)
{
	const struct wireguard_index *index = index_of(device, message);

	return index == NULL ? NULL : index->session;
}

static void add_data(struct wireguard_device *device, struct opening *opening, const struct incoming *incoming, uint64_t now)
{
	uint8_t *payload = incoming->message + sizeof(struct wireguard_message_data);

	if (opening->count == WIREGUARD_AEAD_BATCH || session_of(device, incoming->message) != opening->session)
		open_all(device, opening, now);
	if (opening->count == 0)
		opening->session = session_of(device, incoming->message);
	opening->incoming[opening->count] = *incoming;
	opening->packets[opening->count++] = (struct wireguard_aead_packet){ .bytes = payload,
		                                                             .length = incoming->length - WIREGUARD_OVERHEAD,
		                                                             .counter = counter_of(incoming->message) };
}

/* The messages before one that is no data come first, because it can change the sessions. */
static void receive_plain(struct wireguard_device *device, struct opening *opening, const struct wireguard_datagram *datagram, uint64_t now)
{
	uint8_t *bytes = datagram->bytes;
	size_t length = datagram->length;
	/* The reserved bytes are part of the type, so a message with other values has an unknown type. */
	uint32_t type = length >= sizeof(struct wireguard_message_header) ? wireguard_message_get32(bytes) : 0;

	if (type == WIREGUARD_DATA && length >= WIREGUARD_OVERHEAD) {
		add_data(device, opening, &(struct incoming){ .message = bytes, .length = length, .from = datagram->from }, now);
		return;
	}
	open_all(device, opening, now);
	if (type == WIREGUARD_INITIATION && length == sizeof(struct wireguard_message_initiation))
		wireguard_handshake_receive_initiation(device, bytes, datagram->from, now);
	else if (type == WIREGUARD_RESPONSE && length == sizeof(struct wireguard_message_response))
		wireguard_handshake_receive_response(device, bytes, datagram->from, now);
	else if (type == WIREGUARD_COOKIE_REPLY && length == sizeof(struct wireguard_message_cookie_reply))
		wireguard_handshake_receive_cookie(device, bytes, now);
	else
		wireguard_device_drop(device, WIREGUARD_DROP_MALFORMED);
}

/* The value of the type stays as it is on the wire, since the MACs cover it. */
static void receive_obfuscated(struct wireguard_device *device, struct opening *opening, const struct wireguard_datagram *datagram, uint64_t now)
{
	const union wireguard_endpoint *from = datagram->from;
	struct wireguard_incoming found;

	if (!wireguard_obfuscator_unwrap(device->obfuscator, &device->indices, device->public_key.bytes, datagram->bytes, datagram->length, &found)) {
		wireguard_device_drop(device, WIREGUARD_DROP_UNRECOGNIZED);
		return;
	}
	uint8_t *message = datagram->bytes + found.offset;
	size_t extra = datagram->length - found.length;
	if (found.message != OBFUSCATION_DATA) {
		open_all(device, opening, now);
		device->obfuscator->extra = extra;
	}
	switch (found.message) {
	case OBFUSCATION_INITIATION: wireguard_handshake_receive_initiation(device, message, from, now); break;
	case OBFUSCATION_RESPONSE: wireguard_handshake_receive_response(device, message, from, now); break;
	case OBFUSCATION_COOKIE_REPLY: wireguard_handshake_receive_cookie(device, message, now); break;
	case OBFUSCATION_DATA: add_data(device, opening, &(struct incoming){ message, found.length, extra, from }, now); break;
	case OBFUSCATION_MESSAGES: break;
	}
}

void wireguard_device_receive(struct wireguard_device *device, const struct wireguard_datagram *datagrams, size_t count, uint64_t now)
{
	struct opening opening;

	opening.session = NULL;
	opening.count = 0;
	for (size_t i = 0; i < count; i++)
		if (device->obfuscator == NULL)
			receive_plain(device, &opening, &datagrams[i], now);
		else
			receive_obfuscated(device, &opening, &datagrams[i], now);
	open_all(device, &opening, now);
}
