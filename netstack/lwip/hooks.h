/* Hooks that lwIP calls. */
#ifndef WARREN_NETSTACK_LWIP_HOOKS_H
#define WARREN_NETSTACK_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* Initial sequence number of a connection (RFC 6528). */
u32_t random_lwip_isn(const ip_addr_t *local, u16_t local_port, const ip_addr_t *remote, u16_t remote_port);

#endif
