#include "ipc/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool endpoint_is_loopback(const union wireguard_endpoint *endpoint)
{
	if (endpoint->any.sa_family == AF_INET)
		return ntohl(endpoint->v4.sin_addr.s_addr) >> 24 == 127;
	return endpoint->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&endpoint->v6.sin6_addr);
}

bool endpoint_is_any(const union wireguard_endpoint *endpoint)
{
	if (endpoint->any.sa_family == AF_INET)
		return endpoint->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return endpoint->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&endpoint->v6.sin6_addr);
}

uint16_t endpoint_port(const union wireguard_endpoint *endpoint)
{
	return ntohs(endpoint->any.sa_family == AF_INET ? endpoint->v4.sin_port : endpoint->v6.sin6_port);
}

void endpoint_set_port(union wireguard_endpoint *endpoint, uint16_t port)
{
	if (endpoint->any.sa_family == AF_INET)
		endpoint->v4.sin_port = htons(port);
	else
		endpoint->v6.sin6_port = htons(port);
}

socklen_t endpoint_length(const union wireguard_endpoint *endpoint)
{
	return endpoint->any.sa_family == AF_INET ? sizeof(endpoint->v4) : sizeof(endpoint->v6);
}

void endpoint_format(const union wireguard_endpoint *endpoint, char text[64])
{
	char host[INET6_ADDRSTRLEN] = "";
	if (endpoint->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &endpoint->v4.sin_addr, host, sizeof(host));
		snprintf(text, 64, "%s:%u", host, endpoint_port(endpoint));
	} else {
		inet_ntop(AF_INET6, &endpoint->v6.sin6_addr, host, sizeof(host));
		snprintf(text, 64, "[%s]:%u", host, endpoint_port(endpoint));
	}
}

bool endpoint_from(const struct sockaddr *address, union wireguard_endpoint *endpoint)
{
	memset(endpoint, 0, sizeof(*endpoint));
	if (address->sa_family == AF_INET) {
		memcpy(&endpoint->v4, address, sizeof(endpoint->v4));
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	struct sockaddr_in6 v6;
	memcpy(&v6, address, sizeof(v6));
	if (!IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
		endpoint->v6 = v6;
		return true;
	}
	endpoint->v4.sin_family = AF_INET;
	endpoint->v4.sin_port = v6.sin6_port;
	memcpy(&endpoint->v4.sin_addr, v6.sin6_addr.s6_addr + 12, 4);
	return true;
}

bool endpoint_same_host(const union wireguard_endpoint *a, const union wireguard_endpoint *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) == 0;
}

bool endpoint_equal(const union wireguard_endpoint *a, const union wireguard_endpoint *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
	       memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}
