/* The specification of a tunnel or a pool: validated plain data. The control process creates it from JSON or a wg-quick file, stores it, and sends
 * it to the worker that runs it. It owns its strings and arrays; spec_free wipes the secrets. */
#ifndef WARREN_IPC_SPEC_H
#define WARREN_IPC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/key.h"
#include "ipc/network.h"
#include "ipc/obfuscation.h"
#include "ipc/place.h"
#include "ipc/placement_spec.h"
#include "ipc/pool_spec.h"

#define SPEC_ADDRESS_MAX 4 /* one IPv4, three IPv6 */
#define SPEC_DNS_MAX 8
#define SPEC_LISTEN_MAX 16
#define SPEC_USER_MAX 256
#define SPEC_FORWARD_MAX 256
#define SPEC_PEER_MAX 4096
#define SPEC_MTU_DEFAULT 1420
#define SPEC_MTU_LEAST 576
#define SPEC_VIA_SIZE 64
#define SPEC_VIA_MOST 3 /* of one tunnel's datagrams in others: four tunnels in a row */

struct spec_peer {
	struct wireguard_key public_key;
	struct wireguard_key preshared_key;
	bool has_preshared_key;
	struct spec_place endpoint; /* NONE or INET */
	struct wireguard_network *allowed_ips;
	size_t allowed_ip_count;
	uint16_t persistent_keepalive, persistent_keepalive_most; /* seconds; 0: off. A number between both if the second is not 0 */
	uint8_t reserved[3];                                      /* bytes 1 to 3 of every message */
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

enum spec_probe_type {
	SPEC_PROBE_NONE,
	SPEC_PROBE_PING,
	SPEC_PROBE_TCP,
	SPEC_PROBE_DNS,
	SPEC_PROBE_HTTP,
	SPEC_PROBE_EXIT_IP, /* as http; the body of the answer is the address that the far end sees */
	SPEC_PROBE_TYPES
};

struct spec_probe {
	enum spec_probe_type type;
	char *target;                     /* ping: an address; tcp: HOST:PORT; dns: a name; http and exit_ip: a URL */
	uint32_t interval;                /* seconds */
	uint32_t timeout;                 /* seconds; the interval if that is shorter */
	uint32_t unhealthy_after;         /* failures in a row */
	uint16_t status_low, status_high; /* http: the answers that are expected */
};
extern const struct spec_probe spec_probe_default;           /* of no type */
const char *spec_probe_type_name(enum spec_probe_type type); /* NULL for SPEC_PROBE_NONE */

/* A pool is a proxy over many tunnels. It has no interface and no peers, no forwards and no probe of its own. */
enum spec_kind { SPEC_TUNNEL, SPEC_POOL, SPEC_KINDS };
const char *spec_kind_name(enum spec_kind kind); /* "tunnel" */

struct spec {
	enum spec_kind kind;
	bool enabled;
	int64_t expires_at; /* UNIX time in ms from which on it is disabled; 0: never */
	struct wireguard_key private_key;
	bool has_private_key;
	struct wireguard_network addresses[SPEC_ADDRESS_MAX]; /* `bytes` keeps the host bits here */
	size_t address_count;
	struct wireguard_network *dns; /* single addresses */
	size_t dns_count;
	uint16_t mtu;
	uint16_t listen_port;
	char *via;                       /* the id of the tunnel in which this one's datagrams travel; NULL: they leave from this host */
	struct obfuscation *obfuscation; /* NULL: plain WireGuard */
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
	struct spec_pool pool;            /* SPEC_POOL */
	struct placement_spec *placement; /* NULL: any node of the fleet, and it goes on when it is cut off */
};

static inline bool spec_is_expired(const struct spec *spec, int64_t now_ms)
{
	return spec->expires_at != 0 && spec->expires_at <= now_ms;
}

/* The peer whose allowed_ips cover the address of 4 or 16 bytes, with the longest prefix. NULL: none. */
const struct spec_peer *spec_route(const struct spec *spec, uint8_t family, const uint8_t *address);
/* Whether it is one of the tunnel's own addresses. */
bool spec_has_address(const struct spec *spec, uint8_t family, const uint8_t *address);
/* A tunnel: every member at its default (openapi.yaml), no key, no peer. */
void spec_init(struct spec *spec);
void spec_init_pool(struct spec *spec);
void spec_init_kind(struct spec *spec, enum spec_kind kind); /* either */
void spec_clear(struct spec *spec);
/* Clears up to `most` peers of a spec that is used no more, the last first. True: there are more. Spec_clear does the rest. */
bool spec_clear_peers(struct spec *spec, size_t most);
/* A deep copy into an uninitialised `to`; false when out of memory (then `to` is cleared). */
bool spec_copy(struct spec *to, const struct spec *from);
/* To be called after the peers were set, and again after one was added or removed or its key changed. False when out of memory: then the spec must
 * not be used. Decoding and copying call it. */
bool spec_index_peers(struct spec *spec);
/* Whether the peer, or one of all, has reserved bytes. */
bool spec_peer_has_reserved(const struct spec_peer *peer);
bool spec_has_reserved(const struct spec *spec);
/* The peer with this key, or NULL, also for a NULL spec. The first if there are several, which no valid spec has. */
const struct spec_peer *spec_peer_find(const struct spec *spec, const struct wireguard_key *public_key);
/* Compares all members, secrets included (those in constant time). */
bool spec_equal(const struct spec *a, const struct spec *b);
/* Whether traffic of both reaches the same far ends: key, inner addresses, DNS servers and peers, or what a pool has of its own, are equal. In
 * constant time, as above. */
bool spec_route_equal(const struct spec *a, const struct spec *b);
/* Whether both have the same probe, which runs while the tunnel is enabled. */
bool spec_probe_equal(const struct spec *a, const struct spec *b);
bool spec_place_equal(const struct spec_place *a, const struct spec_place *b);
/* Whether changing from one to the other needs a new stack: inner addresses, MTU or the outer tunnel differ. */
bool spec_needs_restart(const struct spec *from, const struct spec *to);
bool spec_has_via(const struct spec *spec, const char *via); /* NULL: none */
/* Whether all peers are reached over IPv4: a name may turn out to be an IPv6 address, and a peer without an endpoint may come from one. */
bool spec_has_only_ipv4(const struct spec *spec);
/* By how much a datagram of data is longer than its packet, from its IP header on. */
unsigned spec_overhead(const struct spec *spec, bool is_over_ipv4);
/* The size of packets with which a tunnel's datagrams fit inside `outer`, whose own packets have up to `outer_mtu` bytes: its MTU, or less. */
uint16_t spec_mtu_inside(const struct spec *spec, const struct spec *outer, uint16_t outer_mtu);

/* The wire form between control process and worker. A worker may be of an earlier program: MESSAGE_PROTOCOL (ipc/message.h). Encoding appends to a
 * message; decoding fails on anything outside the bounds above. */
struct message_writer;
struct message_reader;
void spec_encode(struct message_writer *writer, const struct spec *spec);
/* Whether that takes long, because it has more than SPEC_MANY peers and networks. */
#define SPEC_MANY 1024
bool spec_is_large(const struct spec *spec);
bool spec_decode(struct message_reader *reader, struct spec *spec);
/* The same in steps, because with many peers it takes long. */
struct spec_decoder {
	struct spec *spec;
	size_t peers, networks; /* decoded: of the spec, of the last of them */
	bool has_via, has_placement;
};
void spec_decode_begin(struct spec_decoder *decoder, struct message_reader *reader, struct spec *spec);
/* Decodes up to `most` peers and networks. True: there are more. Else the reader says whether it failed, and then the spec is cleared. */
bool spec_decode_more(struct spec_decoder *decoder, struct message_reader *reader, size_t most);

#endif
