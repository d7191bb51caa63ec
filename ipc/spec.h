/* A tunnel's specification: validated plain data. The control process creates it from JSON or a wg-quick file, stores it, and sends it to the
 * worker that runs the tunnel. It owns its strings and arrays; spec_free wipes the secrets. */
#ifndef WARREN_IPC_SPEC_H
#define WARREN_IPC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/place.h"

#define SPEC_ADDRESS_MAX 4 /* one IPv4, three IPv6 */
#define SPEC_DNS_MAX 8
#define SPEC_LISTEN_MAX 16
#define SPEC_USER_MAX 256
#define SPEC_FORWARD_MAX 256
#define SPEC_PEER_MAX 4096
#define SPEC_MTU_DEFAULT 1420

struct spec_peer {
	struct wireguard_key public_key;
	struct wireguard_key preshared_key;
	bool has_preshared_key;
	struct spec_place endpoint; /* NONE or INET */
	struct wireguard_network *allowed_ips;
	size_t allowed_ip_count;
	uint16_t persistent_keepalive;
};

enum spec_protocol { SPEC_HTTP = 1, SPEC_SOCKS5 = 2, SPEC_SOCKS4 = 4 };

struct spec_user {
	char *username;
	char *password;
};

enum spec_direction { SPEC_OUTBOUND, SPEC_INBOUND };
enum spec_transport { SPEC_TCP, SPEC_UDP };

struct spec_forward {
	char *name;
	enum spec_direction direction;
	enum spec_transport transport;
	struct spec_place listen;
	struct spec_place target;
};

struct spec_limits {
	uint32_t connections;
	uint64_t rx_bits_per_second;
	uint64_t tx_bits_per_second;
	uint64_t total_bytes;
};

enum spec_probe_type { SPEC_PROBE_NONE, SPEC_PROBE_PING, SPEC_PROBE_TCP, SPEC_PROBE_DNS };

struct spec_probe {
	enum spec_probe_type type;
	char *target;      /* ping: an address; tcp: HOST:PORT; dns: a name */
	uint32_t interval; /* seconds */
};

struct spec {
	bool enabled;
	struct wireguard_key private_key;
	bool has_private_key;
	struct wireguard_network addresses[SPEC_ADDRESS_MAX]; /* `bytes` keeps the host bits here */
	size_t address_count;
	struct wireguard_network *dns; /* single addresses */
	size_t dns_count;
	uint16_t mtu;
	uint16_t listen_port;
	struct spec_peer *peers;
	size_t peer_count;
	const struct spec_peer **peers_by_key; /* sorted by spec_index_peers; NULL: too few to need it */
	struct spec_place *listen;
	size_t listen_count;
	unsigned protocols; /* enum spec_protocol, or'ed */
	struct spec_user *users;
	size_t user_count;
	uint32_t connect_timeout; /* seconds */
	uint32_t idle_timeout;    /* seconds */
	bool allow_private_targets;
	struct spec_forward *forwards;
	size_t forward_count;
	struct spec_limits limits;
	struct spec_probe probe;
};

/* The peer whose allowed_ips cover the address of 4 or 16 bytes, with the longest prefix. NULL: none. */
const struct spec_peer *spec_route(const struct spec *spec, uint8_t family, const uint8_t *address);
/* Whether it is one of the tunnel's own addresses. */
bool spec_has_address(const struct spec *spec, uint8_t family, const uint8_t *address);
/* Every member at its default (openapi.yaml), no key, no peer. */
void spec_init(struct spec *spec);
void spec_clear(struct spec *spec);
/* A deep copy into an uninitialised `to`; false when out of memory (then `to` is cleared). */
bool spec_copy(struct spec *to, const struct spec *from);
/* To be called after the peers were set, and again after one was added or removed or its key changed. False when out of memory: then the spec must
 * not be used. Decoding and copying call it. */
bool spec_index_peers(struct spec *spec);
/* The peer with this key, or NULL, also for a NULL spec. The first if there are several, which no valid spec has. */
const struct spec_peer *spec_peer_find(const struct spec *spec, const struct wireguard_key *public_key);
/* Compares all members, secrets included (those in constant time). */
bool spec_equal(const struct spec *a, const struct spec *b);
/* Whether traffic of both reaches the same far ends: key, inner addresses, DNS servers and peers are equal. In constant time, as above. */
bool spec_route_equal(const struct spec *a, const struct spec *b);
bool spec_place_equal(const struct spec_place *a, const struct spec_place *b);
/* Whether changing from one to the other needs a new stack: inner addresses or MTU differ. */
bool spec_needs_restart(const struct spec *from, const struct spec *to);

/* The wire form between control process and worker (same build on both ends, so no versions). Encoding appends to a message;
 * decoding fails on anything outside the bounds above. */
struct message_writer;
struct message_reader;
void spec_encode(struct message_writer *writer, const struct spec *spec);
bool spec_decode(struct message_reader *reader, struct spec *spec);

#endif
