/* What of the facade (netstack/netstack.h) the rooms behind it use, too. */
#ifndef WARREN_NETSTACK_PACKET_NETSTACK_TYPES_H
#define WARREN_NETSTACK_PACKET_NETSTACK_TYPES_H

#include <stdint.h>

#define NETSTACK_NEVER UINT64_MAX /* a deadline that never comes */

/* An inner address with a port. `bytes` holds 4 or 16 significant bytes. */
struct netstack_endpoint {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
	uint16_t port; /* host order */
};

#endif
