#include "netstack/lwip_address.h"

#include <string.h>
#include <sys/socket.h>

void lwip_address_from_endpoint(ip_addr_t *to, const struct netstack_endpoint *from)
{
	memset(to, 0, sizeof(*to));
	if (from->family == AF_INET) {
		memcpy(ip_2_ip4(to), from->bytes, 4);
		IP_SET_TYPE(to, IPADDR_TYPE_V4);
	} else {
		memcpy(ip_2_ip6(to)->addr, from->bytes, 16);
		IP_SET_TYPE(to, IPADDR_TYPE_V6);
	}
}

void lwip_address_to_endpoint(struct netstack_endpoint *to, const ip_addr_t *from, uint16_t port)
{
	*to = (struct netstack_endpoint){ .port = port };
	if (IP_IS_V4(from)) {
		to->family = AF_INET;
		memcpy(to->bytes, ip_2_ip4(from), 4);
	} else {
		to->family = AF_INET6;
		memcpy(to->bytes, ip_2_ip6(from)->addr, 16);
	}
}
