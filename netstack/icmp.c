#include "netstack/icmp.h"

#include "netstack/flow.h"
#include "netstack/ping.h"
#include "netstack/stream.h"
#include "netstack/tcp_handshake.h"

#define MTU_MIN4 576 /* smaller values are more often an attack than a path (RFC 1191, 3 allows 68) */
#define MTU_MIN6 1280

enum icmp4_type {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO_REQUEST = 8,
};
#define ICMP4_CODE_TOO_BIG 4

enum icmp6_type {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* The part of our packet that an error quotes. */
struct quote {
	uint8_t protocol;
	struct netstack_endpoint local;
	struct netstack_endpoint remote;
	uint32_t sequence; /* of TCP */
};

static bool read_quote(const struct packet *packet, struct quote *quote)
{
	const uint8_t *bytes = packet->payload + PACKET_ICMP_HEADER;
	size_t length = packet->payload_length - PACKET_ICMP_HEADER;
	bool is4 = packet->family == AF_INET;
	size_t header = is4 ? PACKET_IPV4_HEADER : PACKET_IPV6_HEADER;
	size_t size = stack_address_size(packet->family);

	if (length < header + 8 || bytes[0] >> 4 != (is4 ? 4 : 6) || (is4 && bytes[0] != 0x45))
		return false;
	const uint8_t *source = bytes + (is4 ? 12 : 8);
	if (memcmp(source, packet->target, size) != 0) /* the error must go to the address that we sent from */
		return false;
	*quote = (struct quote){ .protocol = bytes[is4 ? 9 : 6] };
	quote->local.family = quote->remote.family = packet->family;
	memcpy(quote->local.bytes, source, size);
	memcpy(quote->remote.bytes, source + size, size);
	quote->local.port = packet_read16(bytes + header);
	quote->remote.port = packet_read16(bytes + header + 2);
	quote->sequence = packet_read32(bytes + header + 4);
	return true;
}

/* Only those who see our packets know an outstanding sequence number (RFC 5927, 4.1). */
static bool is_outstanding(const struct netstack_stream *stream, const struct quote *quote)
{
	uint32_t first = stream->sender.first + (uint32_t)stream->sender.acknowledged;
	return quote->sequence - first < stream->sender.next - stream->sender.acknowledged;
}

/* For an open connection an error is transient (RFC 1122, 4.2.3.9; RFC 5461). */
static void tell_unreachable(struct netstack *stack, const struct quote *quote)
{
	if (quote->protocol == PACKET_UDP) {
		flow_unreachable(stack, &quote->local, &quote->remote);
		return;
	}
	if (quote->protocol != PACKET_TCP)
		return;
	struct netstack_stream *stream = stream_find(stack, &quote->local, &quote->remote);
	if (stream == NULL || stream->state != STREAM_CONNECTING || !tcp_handshake_is_its_syn(stream, quote->sequence))
		return;
	tcp_handshake_abandon(stream);
	stream_close(stream, NETSTACK_UNREACHABLE);
}

static void tell_too_big(struct netstack *stack, const struct quote *quote, uint32_t mtu)
{
	uint32_t least = quote->local.family == AF_INET ? MTU_MIN4 : MTU_MIN6;

	if (quote->protocol != PACKET_TCP || mtu < least || mtu >= stack->config.mtu)
		return;
	struct netstack_stream *stream = stream_find(stack, &quote->local, &quote->remote);
	if (stream != NULL && stream->state == STREAM_OPEN && is_outstanding(stream, quote))
		stream_shrink(stream, mtu);
}

static void input4(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	const uint8_t *message = packet->payload;
	struct quote quote;

	switch (message[0]) {
	case ICMP4_ECHO_REPLY: ping_reply(stack, packet, now); break;
	case ICMP4_ECHO_REQUEST: stack_feed(stack, packet->bytes, packet->length); break;
	case ICMP4_UNREACHABLE:
		if (!read_quote(packet, &quote))
			break;
		if (message[1] == ICMP4_CODE_TOO_BIG)
			tell_too_big(stack, &quote, packet_read16(message + 6));
		else
			tell_unreachable(stack, &quote);
		break;
	}
}

static void input6(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	const uint8_t *message = packet->payload;
	struct quote quote;

	switch (message[0]) {
	case ICMP6_ECHO_REPLY: ping_reply(stack, packet, now); break;
	case ICMP6_ECHO_REQUEST: stack_feed(stack, packet->bytes, packet->length); break;
	case ICMP6_UNREACHABLE:
		if (read_quote(packet, &quote))
			tell_unreachable(stack, &quote);
		break;
	case ICMP6_TOO_BIG:
		if (read_quote(packet, &quote))
			tell_too_big(stack, &quote, packet_read32(message + 4));
		break;
	}
}

void icmp_hear(struct netstack *stack, const struct packet *packet, uint64_t now)
{
	if (packet->family == AF_INET)
		input4(stack, packet, now);
	else
		input6(stack, packet, now);
}
