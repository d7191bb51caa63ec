/* An address and port on the host's network, IPv4 or IPv6. */
#ifndef WARREN_IPC_ENDPOINT_H
#define WARREN_IPC_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4-mapped IPv6 address is never stored: endpoint_from unmaps it. */
union wireguard_endpoint {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Copies a socket address, unmapping IPv4 in IPv6; false if it is neither IPv4 nor IPv6. */
bool endpoint_from(const struct sockaddr *address, union wireguard_endpoint *endpoint);
bool endpoint_is_loopback(const union wireguard_endpoint *endpoint);
bool endpoint_is_any(const union wireguard_endpoint *endpoint);
/* Compares address, port and scope. */
bool endpoint_equal(const union wireguard_endpoint *a, const union wireguard_endpoint *b);
/* Compares only the address. */
bool endpoint_same_host(const union wireguard_endpoint *a, const union wireguard_endpoint *b);
uint16_t endpoint_port(const union wireguard_endpoint *endpoint);
void endpoint_set_port(union wireguard_endpoint *endpoint, uint16_t port);
socklen_t endpoint_length(const union wireguard_endpoint *endpoint);
/* "127.0.0.1:80", "[::1]:80". */
void endpoint_format(const union wireguard_endpoint *endpoint, char text[64]);

#endif
