#include "netstack/segment.h"

#include <arpa/inet.h>

#include "netstack/packet/checksum.h"

#define PARTS_MAX 33   /* a header and the parts that the sender gathers */
#define OPTIONS_MAX 36 /* two NOPs and SACK with four blocks */
#define DONT_FRAGMENT 0x4000

static void prepare4(struct netstack_stream *stream)
{
	uint8_t *header = stream->header;

	header[0] = 0x45;
	packet_write16(header + 6, DONT_FRAGMENT); /* such packets need no identification (RFC 6864, 4.1) */
	header[8] = 64;
	header[9] = PACKET_TCP;
	memcpy(header + 12, stream->local.bytes, 4);
	memcpy(header + 16, stream->remote.bytes, 4);
	stream->header_length = PACKET_IPV4_HEADER;
}

static void prepare6(struct netstack_stream *stream)
{
	uint8_t *header = stream->header;

	header[0] = 0x60;
	packet_write16(header + 2, (uint16_t)stream->hash); /* a flow label, for load balancers (RFC 6437) */
	header[6] = PACKET_TCP;
	header[7] = 64;
	memcpy(header + 8, stream->local.bytes, 16);
	memcpy(header + 24, stream->remote.bytes, 16);
	stream->header_length = PACKET_IPV6_HEADER;
}

void segment_prepare(struct netstack_stream *stream)
{
	if (stream->local.family == AF_INET)
		prepare4(stream);
	else
		prepare6(stream);
	packet_write16(stream->header + stream->header_length, stream->local.port);
	packet_write16(stream->header + stream->header_length + 2, stream->remote.port);
	stream->header_sum = checksum_pseudo(stream->local.family, stream->local.bytes, stream->remote.bytes, PACKET_TCP, 0);
}

uint32_t segment_acknowledgement(const struct netstack_stream *stream)
{
	return stream->receiver.first + (uint32_t)stream->receiver.next + stream->has_shown_end;
}

static void finish_ip(const struct netstack_stream *stream, uint8_t *packet, size_t length)
{
	if (stream->local.family != AF_INET) {
		packet_write16(packet + 4, (uint16_t)(length - PACKET_IPV6_HEADER));
		return;
	}
	packet_write16(packet + 2, (uint16_t)length);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_add(0, packet, PACKET_IPV4_HEADER));
	memcpy(packet + 10, &sum, sizeof(sum));
}

/* parts[0] is the packet's header with its options; the others hold `length` bytes. */
static bool write_out(struct netstack_stream *stream, uint32_t sequence, uint8_t flags, struct iovec *parts, size_t count, size_t length)
{
	uint8_t *packet = parts[0].iov_base;
	uint8_t *header = packet + stream->header_length;
	size_t header_length = parts[0].iov_len - stream->header_length;

	packet_write32(header + 4, sequence);
	packet_write32(header + 8, segment_acknowledgement(stream));
	header[12] = (uint8_t)(header_length / 4 << 4);
	header[13] = flags;
	packet_write16(header + 14, receiver_offer(&stream->receiver));
	packet_write16(header + 16, 0);
	finish_ip(stream, packet, parts[0].iov_len + length);
	uint16_t tcp_length = htons((uint16_t)(header_length + length));
	uint64_t sum = checksum_add(stream->header_sum, &tcp_length, sizeof(tcp_length));
	sum = checksum_add(sum, header, header_length);
	sum = checksum_add_parts(sum, parts + 1, count - 1);
	uint16_t folded = (uint16_t)~checksum_fold(sum);
	memcpy(header + 16, &folded, sizeof(folded));
	return stack_output(stream->stack, parts, count, parts[0].iov_len + length);
}

/* Data is sent without SACK blocks, for which a full segment has no room; a pure acknowledgement is then still due. */
bool segment_emit(void *owner, uint64_t place, const struct iovec *parts, size_t count, size_t length, uint8_t flags)
{
	struct netstack_stream *stream = owner;
	uint8_t header[sizeof(stream->header)];
	struct iovec all[PARTS_MAX];

	memcpy(header, stream->header, sizeof(header));
	memset(header + stream->header_length + 18, 0, 2);
	all[0] = (struct iovec){ header, (size_t)stream->header_length + PACKET_TCP_HEADER };
	if (count > 0)
		memcpy(all + 1, parts, count * sizeof(struct iovec));
	if (!write_out(stream, stream->sender.first + (uint32_t)place, flags, all, count + 1, length))
		return false;
	if (stream->receiver.held.count == 0 && stream->receiver.doubled.right == 0)
		receiver_acknowledged(&stream->receiver);
	return true;
}

static size_t write_sack(struct netstack_stream *stream, uint8_t *options)
{
	struct range blocks[RECEIVER_SACK_MAX];
	size_t count = receiver_sack(&stream->receiver, blocks);

	if (count == 0)
		return 0;
	options[0] = options[1] = 1;
	options[2] = 5;
	options[3] = (uint8_t)(2 + 8 * count);
	for (size_t i = 0; i < count; i++) {
		packet_write32(options + 4 + 8 * i, stream->receiver.first + (uint32_t)blocks[i].left);
		packet_write32(options + 8 + 8 * i, stream->receiver.first + (uint32_t)blocks[i].right);
	}
	return 4 + 8 * count;
}

bool segment_acknowledge(struct netstack_stream *stream)
{
	uint8_t packet[sizeof(stream->header) + OPTIONS_MAX] = { 0 };

	memcpy(packet, stream->header, sizeof(stream->header));
	size_t header_length = (size_t)stream->header_length + PACKET_TCP_HEADER;
	size_t options = write_sack(stream, packet + header_length);
	struct iovec part = { packet, header_length + options };
	uint64_t place = stream->sender.next;
	do {
		if (!write_out(stream, stream->sender.first + (uint32_t)place, SEGMENT_ACK, &part, 1, 0))
			return false;
	} while (stream->receiver.repeats > 1 && stream->receiver.repeats--);
	receiver_acknowledged(&stream->receiver);
	return true;
}
