/* An inner network or address and its text form: strict parsers and canonical writers. */
#ifndef WARREN_IPC_NETWORK_H
#define WARREN_IPC_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define NETWORK_TEXT_SIZE 52 /* an IPv6 address, slash, prefix and NUL */

/* `bytes` holds 4 or 16 significant bytes, bits behind `prefix` are zero. */
struct wireguard_network {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix;
	uint8_t bytes[16];
};

/* Parses "10.0.0.0/8" or a bare address, which is a /32 or /128. Host bits are kept on request, else cleared. */
bool network_parse(const char *text, bool keep_host_bits, struct wireguard_network *network);
/* A sentence that says why network_parse refused the text. */
const char *network_fault(const char *text);
/* Parses only a bare address. */
bool network_parse_address(const char *text, struct wireguard_network *network);
void network_format(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE]);
void network_format_address(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE]);
/* An IPv4-mapped IPv6 address becomes the IPv4 address; any other is left as it is. */
void network_unmap(struct wireguard_network *network);
/* Whether the address, of 4 or 16 bytes, is in the network. */
bool network_covers(const struct wireguard_network *network, uint8_t family, const uint8_t *address);
/* Whether it can be a host's own address: not unspecified, loopback or multicast. */
bool network_is_host(const struct wireguard_network *network);
/* Parses a prefix length or a port: up to five digits, no leading zero, at most `most`. */
bool decimal_parse(const char *text, unsigned long most, unsigned long *number);

#endif
