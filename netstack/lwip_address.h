/* Conversions between our endpoints and lwIP's addresses, for the files that call lwIP. */
#ifndef WARREN_NETSTACK_LWIP_ADDRESS_H
#define WARREN_NETSTACK_LWIP_ADDRESS_H

#include "lwip/ip_addr.h"

#include "netstack/netstack.h"

void lwip_address_from_endpoint(ip_addr_t *to, const struct netstack_endpoint *from);
void lwip_address_to_endpoint(struct netstack_endpoint *to, const ip_addr_t *from, uint16_t port);

#endif
