/* Conversions between our endpoints and lwIP's addresses, for the files that call lwIP. */
#ifndef WARREN_NETSTACK_ADDRESS_H
#define WARREN_NETSTACK_ADDRESS_H

#include "lwip/ip_addr.h"

#include "netstack/netstack.h"

void address_to_lwip(ip_addr_t *to, const struct netstack_endpoint *from);
void address_from_lwip(struct netstack_endpoint *to, const ip_addr_t *from, uint16_t port);

#endif
