#include "tunnel/address.h"

#include <arpa/inet.h>
#include <string.h>

bool address_from_host(struct netstack_endpoint *address, const union wireguard_endpoint *host)
{
	union wireguard_endpoint plain;
	*address = (struct netstack_endpoint){ 0 };
	if (!endpoint_from(&host->any, &plain))
		return false;
	address->family = (uint8_t)plain.any.sa_family;
	address->port = endpoint_port(&plain);
	if (address->family == AF_INET)
		memcpy(address->bytes, &plain.v4.sin_addr, 4);
	else
		memcpy(address->bytes, &plain.v6.sin6_addr, 16);
	return true;
}

void address_to_host(union wireguard_endpoint *host, const struct netstack_endpoint *address)
{
	memset(host, 0, sizeof(*host));
	if (address->family == AF_INET) {
		host->v4.sin_family = AF_INET;
		host->v4.sin_port = htons(address->port);
		memcpy(&host->v4.sin_addr, address->bytes, 4);
	} else {
		host->v6.sin6_family = AF_INET6;
		host->v6.sin6_port = htons(address->port);
		memcpy(&host->v6.sin6_addr, address->bytes, 16);
	}
}

/* IPv4 addresses are mapped into ::/32, where there is no /64 in use. */
uint64_t address_source(const union wireguard_endpoint *host)
{
	static const uint8_t loopback4[4] = { 127, 0, 0, 1 };
	struct netstack_endpoint address;
	uint8_t source[8] = { 0 };
	uint64_t number;
	if (!address_from_host(&address, host))
		return UINT64_MAX;
	bool is_four = address.family == AF_INET;
	bool is_loopback = is_four ? address.bytes[0] == loopback4[0] : memcmp(address.bytes, &in6addr_loopback, 16) == 0;
	if (is_loopback)
		memcpy(source + 4, loopback4, 4);
	else if (is_four)
		memcpy(source + 4, address.bytes, 4);
	else
		memcpy(source, address.bytes, 8);
	memcpy(&number, source, sizeof(number));
	return number;
}

bool address_is_same_host(const struct netstack_endpoint *a, const struct netstack_endpoint *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16) == 0;
}

bool address_equal(const struct netstack_endpoint *a, const struct netstack_endpoint *b)
{
	return a->port == b->port && address_is_same_host(a, b);
}
