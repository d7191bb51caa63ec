#include "netstack/packet/packet.h"

#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/checksum.h"

/* Addresses that no far end can have: unspecified, loopback, multicast and reserved. */
static bool is_host4(const uint8_t address[4])
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static bool is_host6(const uint8_t address[16])
{
	static const uint8_t zero[15];
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (address[0] == 0xff || memcmp(address, mapped, sizeof(mapped)) == 0)
		return false;
	return memcmp(address, zero, sizeof(zero)) != 0 || address[15] > 1;
}

/* All IP options are refused: they are not needed behind a tunnel, and source routes (RFC 7126) do harm. */
static bool parse4(struct packet *packet, size_t length)
{
	uint8_t *bytes = packet->bytes;

	if (length < PACKET_IPV4_HEADER || bytes[0] != 0x45)
		return false;
	packet->length = packet_read16(bytes + 2);
	if (packet->length < PACKET_IPV4_HEADER || packet->length > length)
		return false;
	if (checksum_fold(checksum_add(0, bytes, PACKET_IPV4_HEADER)) != 0xffff)
		return false;
	uint16_t fragment = packet_read16(bytes + 6);
	packet->family = AF_INET;
	packet->header_length = PACKET_IPV4_HEADER;
	packet->protocol = bytes[9];
	packet->source = bytes + 12;
	packet->target = bytes + 16;
	packet->more = (fragment & 0x2000) != 0;
	packet->offset = (size_t)(fragment & 0x1fff) * 8;
	packet->is_fragment = packet->more || packet->offset > 0;
	packet->identification = packet_read16(bytes + 4);
	return is_host4(packet->source) && is_host4(packet->target);
}

/* Only the fragment extension header passes, and only as the first one (RFC 7112 requires the whole chain there). */
static bool parse6(struct packet *packet, size_t length)
{
	uint8_t *bytes = packet->bytes;

	if (length < PACKET_IPV6_HEADER)
		return false;
	packet->length = PACKET_IPV6_HEADER + (size_t)packet_read16(bytes + 4);
	if (packet->length > length)
		return false;
	packet->family = AF_INET6;
	packet->header_length = PACKET_IPV6_HEADER;
	packet->protocol = bytes[6];
	packet->source = bytes + 8;
	packet->target = bytes + 24;
	if (packet->protocol == PACKET_FRAGMENT) {
		if (packet->length < PACKET_IPV6_HEADER + 8)
			return false;
		const uint8_t *header = bytes + PACKET_IPV6_HEADER;
		packet->is_fragment = true;
		packet->protocol = header[0];
		packet->offset = packet_read16(header + 2) & 0xfff8;
		packet->more = (header[3] & 1) != 0;
		packet->identification = packet_read32(header + 4);
		packet->header_length += 8;
	}
	return is_host6(packet->source) && is_host6(packet->target);
}

bool packet_parse(struct packet *packet, uint8_t *bytes, size_t length)
{
	*packet = (struct packet){ .bytes = bytes };
	if (length == 0)
		return false;
	bool parsed = bytes[0] >> 4 == 4 ? parse4(packet, length) : bytes[0] >> 4 == 6 && parse6(packet, length);
	if (!parsed)
		return false;
	packet->payload = bytes + packet->header_length;
	packet->payload_length = packet->length - packet->header_length;
	if (memcmp(packet->source, packet->target, packet->family == AF_INET ? 4 : 16) == 0)
		return false;
	return true;
}

static bool has_checksum(const struct packet *packet, bool pseudo)
{
	uint64_t sum = 0;

	if (pseudo)
		sum = checksum_pseudo(packet->family, packet->source, packet->target, packet->protocol, packet->payload_length);
	return checksum_fold(checksum_add(sum, packet->payload, packet->payload_length)) == 0xffff;
}

/* Each option must be completely inside the header (RFC 9293, 3.2), and takes at least one of its 40 bytes. */
static bool has_sound_options(const uint8_t *options, size_t length)
{
	for (size_t at = 0; at < length && options[at] != 0;) {
		if (options[at] == 1) {
			at++;
			continue;
		}
		if (at + 1 >= length || options[at + 1] < 2 || options[at + 1] > length - at)
			return false;
		at += options[at + 1];
	}
	return true;
}

static bool is_sound_tcp(const struct packet *packet)
{
	const uint8_t *header = packet->payload;

	if (packet->payload_length < PACKET_TCP_HEADER)
		return false;
	size_t length = (size_t)(header[12] >> 4) * 4;
	if (length < PACKET_TCP_HEADER || length > packet->payload_length)
		return false;
	if (packet_read16(header) == 0 || packet_read16(header + 2) == 0)
		return false;
	return has_sound_options(header + PACKET_TCP_HEADER, length - PACKET_TCP_HEADER) && has_checksum(packet, true);
}

/* A zero checksum means none, except in IPv6 (RFC 8200, 8.1). */
static bool is_sound_udp(const struct packet *packet)
{
	const uint8_t *header = packet->payload;

	if (packet->payload_length < PACKET_UDP_HEADER)
		return false;
	if (packet_read16(header + 4) < PACKET_UDP_HEADER || packet_read16(header + 4) != packet->payload_length)
		return false;
	if (packet_read16(header) == 0 || packet_read16(header + 2) == 0)
		return false;
	if (packet_read16(header + 6) == 0)
		return packet->family == AF_INET;
	return has_checksum(packet, true);
}

bool packet_is_sound(const struct packet *packet)
{
	switch (packet->protocol) {
	case PACKET_TCP: return is_sound_tcp(packet);
	case PACKET_UDP: return is_sound_udp(packet);
	case PACKET_ICMP: return packet->family == AF_INET && packet->payload_length >= PACKET_ICMP_HEADER && has_checksum(packet, false);
	case PACKET_ICMP6: return packet->family == AF_INET6 && packet->payload_length >= PACKET_ICMP_HEADER && has_checksum(packet, true);
	}
	return false;
}

static void find_sack(struct segment *segment, const uint8_t *options, size_t length)
{
	for (size_t at = 0; at < length && options[at] != 0;) {
		if (options[at] == 1) {
			at++;
			continue;
		}
		if (options[at] == 5 && (options[at + 1] - 2) % 8 == 0) {
			segment->sack = options + at + 2;
			segment->sack_count = (uint8_t)((options[at + 1] - 2) / 8);
			return;
		}
		at += options[at + 1];
	}
}

void packet_segment(const struct packet *packet, struct segment *segment)
{
	uint8_t *header = packet->payload;
	size_t length = (size_t)(header[12] >> 4) * 4;

	*segment = (struct segment){
		.source = packet_read16(header),
		.target = packet_read16(header + 2),
		.sequence = packet_read32(header + 4),
		.acknowledgement = packet_read32(header + 8),
		.flags = header[13],
		.window = packet_read16(header + 14),
		.payload = header + length,
		.length = packet->payload_length - length,
	};
	if (length > PACKET_TCP_HEADER)
		find_sack(segment, header + PACKET_TCP_HEADER, length - PACKET_TCP_HEADER);
}

void packet_blank_options(const struct packet *packet)
{
	size_t length = (size_t)(packet->payload[12] >> 4) * 4;
	memset(packet->payload + PACKET_TCP_HEADER, 1, length - PACKET_TCP_HEADER);
}

size_t packet_empty_segment(const struct packet *packet, uint32_t sequence, uint8_t flags)
{
	uint8_t *header = packet->payload;
	size_t length = (size_t)(header[12] >> 4) * 4;

	packet_write32(header + 4, sequence);
	header[13] = flags;
	if (packet->family == AF_INET)
		packet_write16(packet->bytes + 2, (uint16_t)(packet->header_length + length));
	else
		packet_write16(packet->bytes + 4, (uint16_t)length);
	return packet->header_length + length;
}
