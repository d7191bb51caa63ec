/* From an inner packet to a datagram: routed, padded and gathered once into the env's buffer, where it is sealed with its train. */
#include <string.h>

#include "tunnel/wireguard/device_private.h"

enum {
	IPV4_HEADER = 20,
	IPV4_DESTINATION = 16,
	IPV6_HEADER = 40,
	IPV6_DESTINATION = 24,
	DATAGRAM_MAX = 65507, /* of UDP over IPv4 */
};

/* Padding hides lengths, but never makes a datagram exceed the MTU (W32). */
static size_t padded_length(const struct wireguard_device *device, size_t length)
{
	size_t padded = (length + WIREGUARD_PADDING - 1) / WIREGUARD_PADDING * WIREGUARD_PADDING;

	if (padded <= device->mtu)
		return padded;
	return length < device->mtu ? device->mtu : length;
}

/* Sends one packet through a session that can send. An empty one is a keepalive. WIREGUARD_OK or WIREGUARD_BUSY. */
static int transmit(struct wireguard_peer *peer, struct wireguard_session *session, const struct iovec *parts, size_t count, size_t length,
                    uint64_t now)
{
	struct wireguard_device *device = peer->device;
	size_t padded = device->obfuscator == NULL ? padded_length(device, length) : wireguard_outgoing_payload(peer, length);
	size_t total = padded + WIREGUARD_OVERHEAD;
	uint8_t *message = wireguard_device_reserve(device, peer, WIREGUARD_DATA, &peer->endpoint, total);

	if (message == NULL)
		return WIREGUARD_BUSY;
	uint8_t *payload = message + sizeof(struct wireguard_message_data);
	wireguard_staged_gather(payload, length, parts, count);
	memset(payload + length, 0, padded - length);
	wireguard_session_seal(session, message, padded);
	wireguard_peer_sent(peer, wireguard_device_commit(device, total), now);
	if (length > 0)
		wireguard_timers_data_sent(&peer->timers, now);
	if (wireguard_session_is_stale_for_sending(session, now))
		wireguard_handshake_initiate(peer, false, now);
	return WIREGUARD_OK;
}

void wireguard_send_staged(struct wireguard_peer *peer, uint64_t now)
{
	while (peer->staged.count > 0) {
		struct wireguard_session *session = wireguard_peer_session(peer, now);
		if (session == NULL) {
			wireguard_handshake_initiate(peer, false, now);
			return;
		}
		struct wireguard_staged_packet *packet = peer->staged.first;
		struct iovec part = { packet->bytes, packet->length };
		if (transmit(peer, session, &part, 1, packet->length, now) == WIREGUARD_BUSY) {
			wireguard_timers_room_missing(&peer->timers, now);
			return;
		}
		wireguard_staged_pop(&peer->staged);
	}
}

void wireguard_send_keepalive(struct wireguard_peer *peer, uint64_t now)
{
	if (peer->staged.count == 0 && wireguard_staged_push(&peer->staged, NULL, 0, 0) < 0)
		return;
	wireguard_send_staged(peer, now);
}

/* Copies the first `length` bytes of the packet. */
static void peek(uint8_t *bytes, size_t length, const struct iovec *parts)
{
	for (; length > 0; parts++) {
		size_t piece = parts->iov_len < length ? parts->iov_len : length;
		if (piece == 0)
			continue;
		memcpy(bytes, parts->iov_base, piece);
		bytes += piece;
		length -= piece;
	}
}

struct wireguard_peer *wireguard_device_route(const struct wireguard_device *device, uint8_t family, const uint8_t *address)
{
	struct wireguard_allowed_owner *owner = wireguard_allowed_ips_find(&device->allowed_ips, family, address);
	return owner == NULL ? NULL : wireguard_peer_of_owner(owner);
}

/* WIREGUARD_OK, WIREGUARD_BAD_PACKET or WIREGUARD_NO_PEER. */
static int route(const struct wireguard_device *device, const struct iovec *parts, size_t length, struct wireguard_peer **peer)
{
	uint8_t header[IPV6_HEADER];

	if (length < IPV4_HEADER || length > DATAGRAM_MAX - WIREGUARD_OVERHEAD - WIREGUARD_PADDING)
		return WIREGUARD_BAD_PACKET;
	peek(header, length < sizeof(header) ? length : sizeof(header), parts);
	if (header[0] >> 4 == 4)
		*peer = wireguard_device_route(device, AF_INET, header + IPV4_DESTINATION);
	else if (header[0] >> 4 == 6 && length >= IPV6_HEADER)
		*peer = wireguard_device_route(device, AF_INET6, header + IPV6_DESTINATION);
	else
		return WIREGUARD_BAD_PACKET;
	return *peer == NULL ? WIREGUARD_NO_PEER : WIREGUARD_OK;
}

static int stage(struct wireguard_peer *peer, const struct iovec *parts, size_t count, size_t length, uint64_t now)
{
	int gone = wireguard_staged_push(&peer->staged, parts, count, length);

	wireguard_handshake_initiate(peer, false, now);
	if (gone < 0)
		return WIREGUARD_BUSY;
	peer->device->dropped[WIREGUARD_DROP_STAGED] += (unsigned)gone;
	return WIREGUARD_STAGED;
}

int wireguard_device_send(struct wireguard_device *device, const struct iovec *parts, size_t count, size_t length, uint64_t now)
{
	struct wireguard_peer *peer;
	int result = route(device, parts, length, &peer);

	if (result != WIREGUARD_OK)
		return result;
	if (!wireguard_peer_has_endpoint(peer))
		return WIREGUARD_NO_ENDPOINT;
	struct wireguard_session *session = wireguard_peer_session(peer, now);
	if (session == NULL)
		return stage(peer, parts, count, length, now);
	if (peer->staged.count > 0) {
		/* The env had no room for these, so they are sent first. That may have exhausted the session. */
		wireguard_send_staged(peer, now);
		session = wireguard_peer_session(peer, now);
		if (peer->staged.count > 0 || session == NULL)
			return WIREGUARD_BUSY;
	}
	return transmit(peer, session, parts, count, length, now);
}
