/* One tunnel in a worker: a WireGuard device, a TCP/IP stack, its sockets and the connections through it. A pool is one without device, stack and UDP
 * socket: it has the listeners, and the clients for which no member was chosen yet. */
#ifndef WARREN_TUNNEL_TUNNEL_H
#define WARREN_TUNNEL_TUNNEL_H

#include "ipc/query.h"
#include "netstack/netstack.h"
#include "tunnel/assessment.h"
#include "tunnel/bucket.h"
#include "tunnel/context.h"
#include "tunnel/health.h"
#include "tunnel/carrier.h"
#include "tunnel/throughput.h"

struct prepared_change;
struct connection;
struct dial;
struct forward;
struct listener;
struct logins;
struct pool;
struct probe;

struct tunnel_peer {
	struct tunnel *tunnel;
	struct wireguard_peer *peer;
	struct counters_peer *counters;
	uint32_t counters_slot;
	bool has_address;                        /* the endpoint is an address, or its name has been resolved */
	struct message_addresses *addresses;     /* of its name, if there are several; else NULL */
	size_t address;                          /* the one in use */
	uint64_t counted_sent, counted_received; /* the device's figures that are already in the counters */
	struct health_peer health;
	struct netstack_query *lookup; /* of its endpoint's name, in the outer tunnel's stack; or NULL */
	bool is_kept;                  /* by the prepared change */
};

struct tunnel {
	struct context *context;
	uint32_t slot;
	uint64_t generation;
	char id[64];
	struct spec spec;
	struct counters_tunnel *counters;
	struct pool *pool; /* tunnel/pool/pool.h; NULL: it is a tunnel */
	struct wireguard_device *device;
	struct netstack *stack;
	struct netstack_resolver *resolver;
	struct udp_socket *udp; /* NULL while disabled, and with a carrier */
	uint32_t udp_id;
	struct carrier *carrier;                           /* NULL while disabled, and with a socket of its own */
	struct carrier *inside;                            /* of those whose datagrams travel in this one */
	struct deferred_list arrived_inside, awake_inside; /* of those with datagrams to take, and to settle */
	struct tunnel_peer **peers;                        /* in the order of spec.peers */
	size_t peer_count;
	struct listener *listeners;
	struct connection *connections; /* everything that ends with the tunnel */
	struct connection *longest_waiting, *shortest_waiting;
	struct dial *dials;
	size_t connection_count; /* not counting those that wait */
	size_t waiting_count;
	struct deferred_list flushing; /* flush.h */
	struct forward *forwards;
	struct probe *probe, *probes_asked;
	struct logins *logins; /* NULL: no wrong password yet */
	bool settling;
	struct deferred settle;
	struct deadline deadline;
	struct health health;
	struct assessment assessment;
	struct bucket tx_limit, rx_limit;
	struct prepared_change *prepared_change; /* not committed, or not cleaned up after it */
	/* The socket's figures that are already in the counters, and when the next update is due. */
	struct udp_counts counted;
	uint64_t publish_at, published_at, rate_at;
	struct throughput rate_sent, rate_received;
	bool told_limit;
	uint64_t key_taken_until; /* until then the peer is assumed to answer another machine with our key */
};

/* Whether its node is cut off from its fleet, and it has to be silent then (docs/fleet.md, «The rule»). */
static inline bool tunnel_is_isolated(const struct tunnel *tunnel)
{
	const struct placement_spec *placement = tunnel->spec.placement;
	return placement != NULL && placement->stops && loop_now(tunnel->context->loop) >= counter_read(&tunnel->context->counters->deadline);
}

/* Whether its datagrams can leave now. */
static inline bool tunnel_has_way(const struct tunnel *tunnel)
{
	if (tunnel_is_isolated(tunnel))
		return false;
	return tunnel->udp != NULL || (tunnel->carrier != NULL && carrier_is_open(tunnel->carrier));
}

static inline struct wireguard_peer_stats tunnel_peer_stats(const struct tunnel_peer *peer)
{
	struct wireguard_peer_stats stats;
	wireguard_peer_stats(peer->peer, &stats, loop_now(peer->tunnel->context->loop));
	return stats;
}

/* Whether its endpoint is a name. */
static inline bool tunnel_peer_is_named(const struct tunnel_peer *peer)
{
	const struct spec_peer *named = spec_peer_find(&peer->tunnel->spec, wireguard_peer_public_key(peer->peer));
	return named != NULL && named->endpoint.kind == SPEC_PLACE_INET && !place_is_literal(&named->endpoint);
}

/* After a commit: starts handshakes and reports the state. */
void tunnel_begin(struct tunnel *tunnel);
/* Of a tunnel whose connections, probes, listeners and forwards have ended (change_remove): closes the rest. Only tunnel_free may follow. */
void tunnel_close(struct tunnel *tunnel);
/* Frees up to `most` peers and wipes their keys, and after the last the tunnel. True: there are more. */
bool tunnel_free(struct tunnel *tunnel, size_t most);
void tunnel_end_connections(struct tunnel *tunnel, enum query_result why);
/* A peer that a change leaves out: it leaves the device (wireguard_peer_leave), and is freed later. */
void tunnel_peer_leave(struct tunnel_peer *peer);
void tunnel_peer_free(struct tunnel_peer *peer);

/* Sends the datagrams that were gathered. */
void tunnel_flush(struct tunnel *tunnel);

/* For change.c, which creates device and stack. */
extern const struct wireguard_env tunnel_device_env; /* the caller sets its owner */
struct netstack_env tunnel_stack_env(struct tunnel *tunnel);
void tunnel_settle(void *owner);
void tunnel_due(void *owner);

void tunnel_resolved(struct tunnel *tunnel, const struct message_resolved *message);
void tunnel_reconnect(struct tunnel *tunnel);
/* Schedules the end of this turn: settle the stack, send the datagrams, and set the deadline. */
void tunnel_wake(struct tunnel *tunnel);
/* Calls a function of the stack that settles it (netstack_tick, _writable, _kick). Bytes lent earlier in this turn are written before it, and
 * bytes lent meanwhile right after. */
void tunnel_run_stack(struct tunnel *tunnel, void (*run)(struct netstack *stack, uint64_t now));
/* The stack has room to send again: it goes on, and the tunnels inside with it. */
void tunnel_resume(struct tunnel *tunnel);
/* Datagrams from the network, at most UDP_TOGETHER. They are decrypted in place, and their bytes are valid until the tunnel is settled. */
void tunnel_receive(struct tunnel *tunnel, const struct udp_datagram *datagrams, size_t count);
/* Whether a datagram may leave: not in isolation, and to the peers' endpoints, and cookie replies, which go back to the sender (paper, 5.4.7). */
bool tunnel_may_send(struct tunnel *tunnel, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length);
/* Whether a packet can be sent to an inner address now, which is not the tunnel's own. */
bool tunnel_reaches(const struct tunnel *tunnel, const struct netstack_endpoint *address);
/* Why no packet can be sent to an inner address now: no peer's allowed_ips cover it, its peer has no endpoint and none is being looked up, or
 * the host does not send to that endpoint.
 * A string literal, or NULL if it can. */
const char *tunnel_why_unroutable(const struct tunnel *tunnel, const struct netstack_endpoint *address);
struct tunnel_peer *tunnel_peer_find(struct tunnel *tunnel, const struct wireguard_key *public_key);
/* Copies a peer's addresses if there are several, with malloc; else NULL. False when out of memory. */
bool tunnel_addresses_copy(struct message_addresses **copy, const struct message_addresses *addresses);
/* Sets the endpoint to the first of its addresses. Takes `several`, which is NULL afterwards. */
void tunnel_peer_take_addresses(struct tunnel_peer *peer, struct message_addresses **several, bool is_known);
/* Moves to the next of a peer's addresses, in the order in which they were resolved. False if there is no other. */
bool tunnel_peer_next_address(struct tunnel_peer *peer);
/* Replaces the UDP socket at once; takes the descriptor. When out of memory the old one stays. */
void tunnel_replace_udp(struct tunnel *tunnel, int descriptor);
/* The same in two steps; NULL as `fresh`: none. */
struct udp_socket *tunnel_make_udp(struct tunnel *tunnel, int descriptor); /* NULL when out of memory; takes the descriptor */
void tunnel_take_udp(struct tunnel *tunnel, struct udp_socket *fresh);
/* Replaces the carrier; NULL: none. */
void tunnel_take_carrier(struct tunnel *tunnel, struct carrier *fresh);

/* Payload through the proxy and forwards, for the counters and limits. */
void tunnel_count_sent(struct tunnel *tunnel, size_t bytes);
void tunnel_count_received(struct tunnel *tunnel, size_t bytes);
void tunnel_count_dropped(struct tunnel *tunnel, enum counters_drop reason);
size_t tunnel_quota_left(const struct tunnel *tunnel); /* of limits.total_bytes; SIZE_MAX without one */
bool tunnel_is_used_up(const struct tunnel *tunnel);   /* limits.total_bytes */
/* Whether a datagram is within the tunnel's quota and `rate`, which is its tx_limit or rx_limit. Whoever passes it spends it. */
bool tunnel_may_pass(const struct tunnel *tunnel, struct bucket *rate, size_t length);

#endif
