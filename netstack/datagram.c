#include "netstack/datagram.h"

#include <assert.h>

#include "netstack/packet/checksum.h"
#include "netstack/packet/random.h"

#define PARTS_MAX 8
#define MORE4 0x2000
#define FRAGMENT_HEADER 8

/* The range of a datagram that a packet carries. */
struct piece {
	size_t offset;
	size_t length;
	bool more;
	bool is_whole;
	uint32_t identification;
};

static size_t write4(uint8_t *header, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol,
                     const struct piece *piece)
{
	header[0] = 0x45;
	packet_write16(header + 2, (uint16_t)(PACKET_IPV4_HEADER + piece->length));
	packet_write16(header + 4, (uint16_t)piece->identification);
	packet_write16(header + 6, (uint16_t)((piece->more ? MORE4 : 0) | piece->offset / 8));
	header[8] = 64;
	header[9] = protocol;
	memcpy(header + 12, from->bytes, 4);
	memcpy(header + 16, to->bytes, 4);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, header, PACKET_IPV4_HEADER));
	memcpy(header + 10, &sum, sizeof(sum));
	return PACKET_IPV4_HEADER;
}

static size_t write6(uint8_t *header, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol,
                     const struct piece *piece)
{
	size_t extension = piece->is_whole ? 0 : FRAGMENT_HEADER;
	uint8_t *fragment = header + PACKET_IPV6_HEADER;

	header[0] = 0x60;
	packet_write16(header + 4, (uint16_t)(extension + piece->length));
	header[6] = piece->is_whole ? protocol : PACKET_FRAGMENT;
	header[7] = 64;
	memcpy(header + 8, from->bytes, 16);
	memcpy(header + 24, to->bytes, 16);
	if (piece->is_whole)
		return PACKET_IPV6_HEADER;
	fragment[0] = protocol;
	packet_write16(fragment + 2, (uint16_t)(piece->offset | (piece->more ? 1 : 0)));
	packet_write32(fragment + 4, piece->identification);
	return PACKET_IPV6_HEADER + FRAGMENT_HEADER;
}

static size_t cut_out(const struct iovec *parts, size_t count, size_t offset, size_t length, struct iovec *out)
{
	size_t used = 0;

	for (size_t i = 0; i < count && length > 0; i++) {
		if (offset >= parts[i].iov_len) {
			offset -= parts[i].iov_len;
			continue;
		}
		size_t part = parts[i].iov_len - offset < length ? parts[i].iov_len - offset : length;
		out[used++] = (struct iovec){ (uint8_t *)parts[i].iov_base + offset, part };
		offset = 0;
		length -= part;
	}
	return used;
}

bool datagram_send(struct netstack *stack, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint8_t protocol,
                   const struct iovec *parts, size_t count, size_t length)
{
	bool is4 = from->family == AF_INET;
	size_t room = stack->config.mtu - (size_t)(is4 ? PACKET_IPV4_HEADER : PACKET_IPV6_HEADER);
	struct piece piece = { .is_whole = length <= room };

	assert(count < PARTS_MAX);
	if (!piece.is_whole) {
		room = (room - (is4 ? 0 : FRAGMENT_HEADER)) & ~(size_t)7;
		piece.identification = random_number();
	}
	do {
		uint8_t header[PACKET_IPV6_HEADER + FRAGMENT_HEADER] = { 0 };
		struct iovec all[PARTS_MAX + 1];
		piece.length = length - piece.offset < room ? length - piece.offset : room;
		piece.more = piece.offset + piece.length < length;
		size_t header_length = is4 ? write4(header, from, to, protocol, &piece) : write6(header, from, to, protocol, &piece);
		all[0] = (struct iovec){ header, header_length };
		size_t used = cut_out(parts, count, piece.offset, piece.length, all + 1);
		if (!stack_output(stack, all, used + 1, header_length + piece.length))
			return false;
		piece.offset += piece.length;
	} while (piece.more);
	return true;
}
