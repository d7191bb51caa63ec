/* Checks packets from the tunnel before anything else sees them. A packet that passes is complete and well-formed, from a unicast address
 * to one of ours, with valid checksums and with TCP options inside their bounds. lwIP 2.1.3 reads beyond malformed options (upstream
 * fix 3d896ba0) and has a NULL dereference in its reassembly (56b29f8b), so it must never get such packets. */
#ifndef WARREN_NETSTACK_PACKET_PACKET_H
#define WARREN_NETSTACK_PACKET_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_IPV4_HEADER 20
#define PACKET_IPV6_HEADER 40
#define PACKET_TCP_HEADER 20
#define PACKET_UDP_HEADER 8
#define PACKET_ICMP_HEADER 8

enum packet_protocol {
	PACKET_ICMP = 1,
	PACKET_TCP = 6,
	PACKET_UDP = 17,
	PACKET_FRAGMENT = 44, /* of IPv6; an IPv4 fragment has is_fragment */
	PACKET_ICMP6 = 58,
};

struct packet {
	uint8_t *bytes;        /* the IP header and what follows */
	size_t length;         /* from the IP header; bytes beyond it are WireGuard's padding */
	const uint8_t *source; /* 4 or 16 bytes */
	const uint8_t *target;
	uint8_t *payload; /* behind the IP header */
	size_t payload_length;
	uint8_t family;
	uint8_t protocol;
	uint8_t header_length;
	bool is_fragment;
	/* of a fragment */
	uint32_t identification;
	size_t offset;
	bool more;
};

enum segment_flag {
	SEGMENT_FIN = 0x01,
	SEGMENT_SYN = 0x02,
	SEGMENT_RST = 0x04,
	SEGMENT_PSH = 0x08,
	SEGMENT_ACK = 0x10,
};

#define SEGMENT_SACK_MAX 4 /* as many as fit into 40 bytes of options */

/* A parsed TCP segment. */
struct segment {
	uint16_t source;
	uint16_t target;
	uint32_t sequence;
	uint32_t acknowledgement;
	uint16_t window;
	uint8_t flags;
	uint8_t sack_count;
	const uint8_t *sack; /* pairs of edges, network order (RFC 2018, 3) */
	uint8_t *payload;
	size_t length;
};

static inline uint16_t packet_read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t packet_read32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void packet_write16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void packet_write32(uint8_t *bytes, uint32_t value)
{
	packet_write16(bytes, (uint16_t)(value >> 16));
	packet_write16(bytes + 2, (uint16_t)value);
}

/* false: drop the packet. Checks the IP header and that the addresses are unicast, not the transport header. */
bool packet_parse(struct packet *packet, uint8_t *bytes, size_t length);
/* Checks the transport header and checksum of a complete packet. */
bool packet_is_sound(const struct packet *packet);
/* For a sound TCP packet. */
void packet_segment(const struct packet *packet, struct segment *segment);
/* Overwrites a sound TCP packet's options with no-operations. The checksum is not updated. */
void packet_blank_options(const struct packet *packet);
/* Turns a sound TCP packet into a segment without payload and FIN, with this sequence number and these flags; options are kept. The bytes
 * behind the header and the checksum are not updated. Returns the packet's new length. */
size_t packet_empty_segment(const struct packet *packet, uint32_t sequence, uint8_t flags);

#endif
