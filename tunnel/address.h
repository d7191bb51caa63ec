/* Conversions between the host's socket addresses and the stack's endpoints. */
#ifndef WARREN_TUNNEL_ADDRESS_H
#define WARREN_TUNNEL_ADDRESS_H

#include <sys/socket.h>

#include "ipc/endpoint.h"
#include "netstack/netstack.h"

/* An IPv4-mapped address becomes IPv4. False for any family other than IPv4 and IPv6. */
bool address_from_host(struct netstack_endpoint *address, const union wireguard_endpoint *host);
void address_to_host(union wireguard_endpoint *host, const struct netstack_endpoint *address);
bool address_is_same_host(const struct netstack_endpoint *a, const struct netstack_endpoint *b);
/* The source to which per-client limits apply: an IPv4 address, or the /64 of an IPv6 address. All of loopback (127.0.0.0/8 and ::1) is one
 * source, and so are all clients without an address. */
uint64_t address_source(const union wireguard_endpoint *host);
/* Compares the port too. */
bool address_equal(const struct netstack_endpoint *a, const struct netstack_endpoint *b);

#endif
