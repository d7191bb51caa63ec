/* The host's form of an address and the stack's, from one to the other. */
#ifndef WARREN_TUNNEL_ADDRESS_H
#define WARREN_TUNNEL_ADDRESS_H

#include <sys/socket.h>

#include "ipc/endpoint.h"
#include "netstack/netstack.h"

/* An IPv4-mapped address becomes the IPv4 address that it is. False for another family than IPv4 and IPv6. */
bool address_from_host(struct netstack_endpoint *address, const union wireguard_endpoint *host);
void address_to_host(union wireguard_endpoint *host, const struct netstack_endpoint *address);
bool address_is_same_host(const struct netstack_endpoint *a, const struct netstack_endpoint *b);
/* Whom a limit for each client is for: an IPv4 address, or the /64 that an IPv6 address is of. All of the loopback (127.0.0.0/8 and ::1) is one
 * of them, and so is what has no address. */
uint64_t address_source(const union wireguard_endpoint *host);
/* The port too. */
bool address_equal(const struct netstack_endpoint *a, const struct netstack_endpoint *b);

#endif
