/* The written forms of what a spec is made of: keys, addresses, networks, places; strict readers and canonical writers. */
#ifndef WARREN_SERVICE_SPEC_TEXT_H
#define WARREN_SERVICE_SPEC_TEXT_H

#include <netinet/in.h>

#include "tunnel/spec.h"

#define KEY_TEXT_SIZE 45     /* base64 of 32 bytes and the end */
#define NETWORK_TEXT_SIZE 52 /* an IPv6 address, slash, prefix and the end */

/* Canonical base64 with padding, 44 characters and nothing else. */
bool key_parse(const char *text, struct wireguard_key *key);
void key_format(const struct wireguard_key *key, char text[KEY_TEXT_SIZE]);
bool key_is_zero(const struct wireguard_key *key);

/* "10.0.0.0/8" or a bare address, which is a /32 or /128. Host bits are kept when asked for, else cleared. */
bool network_parse(const char *text, bool keep_host_bits, struct wireguard_network *network);
/* A bare address only. */
bool network_parse_address(const char *text, struct wireguard_network *network);
void network_format(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE]);
void network_format_address(const struct wireguard_network *network, char text[NETWORK_TEXT_SIZE]);
/* Can be a host's own address: neither unspecified, loopback nor multicast. */
bool network_is_host(const struct wireguard_network *network);

/* "HOST:PORT", "[IPv6]:PORT" or "unix:/path". An IP literal comes out in its canonical form, an IPv4-mapped one as IPv4. */
bool place_parse(const char *text, struct spec_place *place);
/* malloc'ed, or NULL when out of memory (or the place is none). */
char *place_format(const struct spec_place *place);
void place_clear(struct spec_place *place);
bool name_is_valid(const char *name); /* a host name, no literal */
/* The literal as a socket address; false when the host is a name. */
bool place_address(const struct spec_place *place, union wireguard_endpoint *address);
bool place_is_literal(const struct spec_place *place);
bool place_is_loopback(const struct spec_place *place);

bool endpoint_is_loopback(const union wireguard_endpoint *endpoint);
bool endpoint_is_any(const union wireguard_endpoint *endpoint);
uint16_t endpoint_port(const union wireguard_endpoint *endpoint);
void endpoint_set_port(union wireguard_endpoint *endpoint, uint16_t port);
socklen_t endpoint_length(const union wireguard_endpoint *endpoint);
/* "127.0.0.1:80", "[::1]:80". */
void endpoint_format(const union wireguard_endpoint *endpoint, char text[64]);
/* Takes a socket address of any family over, unmapping IPv4 in IPv6; false when it is neither IPv4 nor IPv6. */
bool endpoint_from(const struct sockaddr *address, union wireguard_endpoint *endpoint);
bool endpoint_same_host(const union wireguard_endpoint *a, const union wireguard_endpoint *b);

#endif
