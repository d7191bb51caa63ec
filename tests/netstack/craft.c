#include "tests/netstack/craft.h"

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/packet/checksum.h"
#include "netstack/packet/packet.h"

static size_t ip(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol, size_t length)
{
	if (from->family == AF_INET) {
		memset(packet, 0, 20);
		packet[0] = 0x45;
		packet_write16(packet + 2, (uint16_t)(20 + length));
		packet[8] = 64;
		packet[9] = protocol;
		memcpy(packet + 12, from->bytes, 4);
		memcpy(packet + 16, to->bytes, 4);
		uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, 20));
		memcpy(packet + 10, &sum, 2);
		return 20;
	}
	memset(packet, 0, 40);
	packet[0] = 0x60;
	packet_write16(packet + 4, (uint16_t)length);
	packet[6] = protocol;
	packet[7] = 64;
	memcpy(packet + 8, from->bytes, 16);
	memcpy(packet + 24, to->bytes, 16);
	return 40;
}

static void seal(uint8_t *body, size_t length, size_t place, const struct netstack_endpoint *from, const struct netstack_endpoint *to,
                 uint8_t protocol)
{
	uint64_t sum = protocol == PACKET_ICMP ? 0 : checksum_pseudo(from->family, from->bytes, to->bytes, protocol, length);

	packet_write16(body + place, 0);
	uint16_t folded = (uint16_t)~checksum_fold(checksum_add(sum, body, length));
	memcpy(body + place, &folded, 2);
}

size_t craft_tcp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const struct craft_tcp *tcp)
{
	size_t header = 20 + tcp->options_length;
	size_t at = ip(packet, from, to, PACKET_TCP, header + tcp->length);
	uint8_t *body = packet + at;

	memset(body, 0, 20);
	packet_write16(body, from->port);
	packet_write16(body + 2, to->port);
	packet_write32(body + 4, tcp->sequence);
	packet_write32(body + 8, tcp->acknowledgement);
	body[12] = (uint8_t)(header / 4 << 4);
	body[13] = tcp->flags;
	packet_write16(body + 14, tcp->window);
	if (tcp->options_length > 0)
		memcpy(body + 20, tcp->options, tcp->options_length);
	if (tcp->length > 0)
		memcpy(body + header, tcp->payload, tcp->length);
	seal(body, header + tcp->length, 16, from, to, PACKET_TCP);
	return at + header + tcp->length;
}

size_t craft_udp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const void *payload, size_t length)
{
	size_t at = ip(packet, from, to, PACKET_UDP, 8 + length);
	uint8_t *body = packet + at;

	packet_write16(body, from->port);
	packet_write16(body + 2, to->port);
	packet_write16(body + 4, (uint16_t)(8 + length));
	memcpy(body + 8, payload, length);
	seal(body, 8 + length, 6, from, to, PACKET_UDP);
	return at + 8 + length;
}

size_t craft_icmp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const void *message, size_t length)
{
	uint8_t protocol = from->family == AF_INET ? PACKET_ICMP : PACKET_ICMP6;
	size_t at = ip(packet, from, to, protocol, length);

	memcpy(packet + at, message, length);
	seal(packet + at, length, 2, from, to, protocol);
	return at + length;
}

size_t craft_fragment(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint16_t id, size_t offset, int more,
                      const void *payload, size_t length)
{
	ip(packet, from, to, PACKET_UDP, length);
	packet_write16(packet + 4, id);
	packet_write16(packet + 6, (uint16_t)((more ? 0x2000 : 0) | offset / 8));
	packet_write16(packet + 10, 0);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, 20));
	memcpy(packet + 10, &sum, 2);
	memcpy(packet + 20, payload, length);
	return 20 + length;
}

size_t craft_cut(uint8_t *packet, const uint8_t *whole, uint16_t id, size_t offset, size_t length)
{
	bool more = 20 + offset + length < packet_read16(whole + 2);

	memcpy(packet, whole, 20);
	packet_write16(packet + 2, (uint16_t)(20 + length));
	packet_write16(packet + 4, id);
	packet_write16(packet + 6, (uint16_t)((more ? 0x2000 : 0) | offset / 8));
	packet_write16(packet + 10, 0);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, 20));
	memcpy(packet + 10, &sum, 2);
	memcpy(packet + 20, whole + 20 + offset, length);
	return 20 + length;
}
