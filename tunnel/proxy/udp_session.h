/* A UDP session: datagrams between one address on the host and addresses behind the tunnel, within the tunnel's rate limits and quota.
 * A SOCKS association is one; a forward has one for each address that sends to it, in a table that is bounded and ends the silent ones. */
#ifndef WARREN_TUNNEL_PROXY_UDP_SESSION_H
#define WARREN_TUNNEL_PROXY_UDP_SESSION_H

#include "tunnel/connection.h"

#define UDP_SESSIONS_MAX 256                   /* in one table */
#define UDP_SESSION_SILENCE (60 * LOOP_SECOND) /* before a session of a table ends */
#define UDP_SESSION_REFUSAL (5 * LOOP_SECOND)  /* the same for a refused one: then its address is tried again */
#define UDP_SESSION_SWEEP_EVERY (5 * LOOP_SECOND)

struct udp_sessions;

/* Embedded in what `owner` points to. Flow and descriptor are borrowed. */
struct udp_session {
	struct connection *connection; /* of which its bytes are counted */
	struct tunnel *tunnel;
	void *owner;
	struct netstack_flow *flow;
	int descriptor;
	bool is_connected;             /* the descriptor; otherwise datagrams to the host go to `host` */
	union wireguard_endpoint host; /* the address that began it, by which a table finds it; family AF_UNSPEC: not known yet */
	uint64_t active_at;            /* when a datagram last passed */

	bool is_refused;               /* kept in its table for a while, so that further datagrams of its address cause no new request */
	struct udp_sessions *sessions; /* from here on the table's */
	struct udp_session *next, **before;
};

/* A table of sessions by the address on one side. */
struct udp_sessions {
	struct tunnel *tunnel;
	struct udp_session *first;
	size_t count;
	void (*end)(struct udp_session *session); /* removes it from the table and frees it */
	struct deadline sweep;
};

/* Sends into the tunnel. A datagram over the rate limit or the quota is dropped and counted, as UDP permits, so that queues stay bounded. */
void udp_session_send_inner(struct udp_session *session, const struct netstack_endpoint *to, const uint8_t *bytes, size_t length);
/* Sends to the session's address on the host and to no other, dropping as above. The header is not part of what the limits count. */
void udp_session_send_host(struct udp_session *session, const uint8_t *header, size_t header_length, const uint8_t *bytes, size_t length);

void udp_sessions_init(struct udp_sessions *sessions, struct tunnel *tunnel, void (*end)(struct udp_session *session));
/* A full table takes no more: sessions that exist are worth more than a new one. */
bool udp_sessions_is_full(const struct udp_sessions *sessions);
/* The session counts as active now. The table is not full. */
void udp_sessions_add(struct udp_sessions *sessions, struct udp_session *session);
void udp_sessions_remove(struct udp_session *session);
/* The session of that address, or NULL. */
struct udp_session *udp_sessions_find(const struct udp_sessions *sessions, const union wireguard_endpoint *host);
void udp_sessions_end_all(struct udp_sessions *sessions);

#endif
