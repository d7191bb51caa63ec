#include "ipc/network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned family_bits(const struct wireguard_network *network)
{
	return network->family == AF_INET ? 32 : 128;
}

bool network_parse_address(const char *text, struct wireguard_network *network)
{
	*network = (struct wireguard_network){ .family = AF_INET, .prefix = 32 };
	if (inet_pton(AF_INET, text, network->bytes) == 1)
		return true;
	*network = (struct wireguard_network){ .family = AF_INET6, .prefix = 128 };
	return inet_pton(AF_INET6, text, network->bytes) == 1;
}

bool decimal_parse(const char *text, unsigned long most, unsigned long *number)
{
	size_t length = strspn(text, "0123456789");
	if (length == 0 || length > 5 || text[length] != '\0' || (length > 1 && text[0] == '0'))
		return false;
	*number = strtoul(text, NULL, 10);
	return *number <= most;
}

static void clear_host_bits(struct wireguard_network *network)
{
	for (unsigned bit = network->prefix; bit < family_bits(network); bit++)
		network->bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
}

bool network_parse(const char *text, bool keep_host_bits, struct wireguard_network *network)
{
	const char *slash = strchr(text, '/');
	if (slash == NULL)
		return network_parse_address(text, network);
	char address[NETWORK_TEXT_SIZE];
	size_t length = (size_t)(slash - text);
	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	unsigned long prefix;
	if (!network_parse_address(address, network) || !decimal_parse(slash + 1, family_bits(network), &prefix))
		return false;
	network->prefix = (uint8_t)prefix;
	if (!keep_host_bits)
		clear_host_bits(network);
	return true;
}

const char *network_fault(const char *text)
{
	struct wireguard_network network;
	char address[NETWORK_TEXT_SIZE];
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(text, "/"), text);
	if (strchr(text, '/') == NULL || !network_parse_address(address, &network))
		return "This must be an IP address with or without a prefix length, such as 10.2.0.2/32 or ::/0.";
	return network.family == AF_INET ? "The prefix length of an IPv4 address must be a number from 0 to 32."
	                                 : "The prefix length of an IPv6 address must be a number from 0 to 128.";
}

void network_format_address(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE])
{
	inet_ntop(network->family, network->bytes, text, NETWORK_TEXT_SIZE);
}

void network_format(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE])
{
	char address[INET6_ADDRSTRLEN];
	inet_ntop(network->family, network->bytes, address, sizeof(address));
	snprintf(text, NETWORK_TEXT_SIZE, "%s/%u", address, network->prefix);
}

void network_unmap(struct wireguard_network *network)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	if (network->family != AF_INET6 || network->prefix != 128 || memcmp(network->bytes, mapped, sizeof(mapped)) != 0)
		return;
	uint8_t bytes[16] = { 0 };
	memcpy(bytes, network->bytes + 12, 4);
	*network = (struct wireguard_network){ .family = AF_INET, .prefix = 32 };
	memcpy(network->bytes, bytes, sizeof(bytes));
}

bool network_is_host(const struct wireguard_network *network)
{
	static const uint8_t zero[16], one[16] = { [15] = 1 };
	if (network->family == AF_INET)
		return network->bytes[0] != 0 && network->bytes[0] != 127 && network->bytes[0] < 224;
	return memcmp(network->bytes, zero, 16) != 0 && memcmp(network->bytes, one, 16) != 0 && network->bytes[0] != 0xff;
}

bool network_covers(const struct wireguard_network *network, uint8_t family, const uint8_t *address)
{
	unsigned whole = network->prefix / 8, rest = network->prefix % 8;
	if (network->family != family || memcmp(network->bytes, address, whole) != 0)
		return false;
	return rest == 0 || ((network->bytes[whole] ^ address[whole]) >> (8 - rest)) == 0;
}
