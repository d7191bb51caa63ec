/* Handmade packets. */
#ifndef WARREN_TESTS_NETSTACK_CRAFT_H
#define WARREN_TESTS_NETSTACK_CRAFT_H

#include <stddef.h>
#include <stdint.h>

#include "netstack/netstack.h"

struct craft_tcp {
	uint32_t sequence, acknowledgement;
	uint8_t flags;
	uint16_t window;
	const uint8_t *options;
	size_t options_length; /* rounded up to four by the caller */
	const void *payload;
	size_t length;
};

/* Each writes a packet with valid checksums and returns its length. */
size_t craft_tcp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const struct craft_tcp *tcp);
size_t craft_udp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const void *payload, size_t length);
size_t craft_icmp(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, const void *message, size_t length);
/* An IPv4 fragment of a UDP datagram. */
size_t craft_fragment(uint8_t *packet, const struct netstack_endpoint *from, const struct netstack_endpoint *to, uint16_t id, size_t offset, int more,
                      const void *payload, size_t length);
/* The fragment of a whole IPv4 packet that holds `length` bytes of its payload from `offset` on. */
size_t craft_cut(uint8_t *packet, const uint8_t *whole, uint16_t id, size_t offset, size_t length);

#endif
