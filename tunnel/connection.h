/* The common part of all connections of a tunnel: they are counted, and end with the tunnel. Embedded as the first member.
 *
 * A proxy client waits before it counts in limits.connections: until it has given a correct password or, without users, a complete request
 * head. At most 1,024 clients of a tunnel may wait, and 512 of a source. When a source is at its limit, one of its own clients is dropped; when
 * the tunnel is, a client of the source with the most. The one that has waited longest goes first; one whose complete request is only held
 * back goes last. So silent clients lock nobody out (P7). */
#ifndef WARREN_TUNNEL_CONNECTION_H
#define WARREN_TUNNEL_CONNECTION_H

#include "tunnel/tunnel.h"

/* A client that has half-closed may still want its answer, or may be gone. It is closed after this time without data. */
#define CONNECTION_LEFT_TIME (10 * LOOP_SECOND)

struct connection {
	struct tunnel *tunnel;
	struct connection *next, **before;
	enum counters_protocol protocol;
	void (*end)(struct connection *connection); /* frees it, because the tunnel or its listener ends */
	uint32_t socket_id;                         /* of the listener that accepted it, 0: none */
	bool waits;
	bool is_held;                        /* set by its owner: it waits only for the login back-off */
	struct connection *longer, *shorter; /* neighbours in order of waiting */
	uint64_t source;                     /* of a client, from address_source */
};

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol,
                    void (*end)(struct connection *connection));
/* The same for one that waits; may end another that waits. */
void connection_add_waiting(struct connection *connection, struct tunnel *tunnel, uint64_t source, void (*end)(struct connection *connection));
/* Counts it from now on; does nothing if it is already counted. */
void connection_admit(struct connection *connection);
void connection_remove(struct connection *connection);
/* The protocol is known only after the first byte. */
void connection_set_protocol(struct connection *connection, enum counters_protocol protocol);
void connection_count_ok(struct connection *connection);
void connection_count_failed(struct connection *connection, enum counters_failure failure);
/* The client took bytes of a stream: counts them, and lets the far end send as many again. The stream may be NULL. */
void connection_count_taken(struct tunnel *tunnel, struct netstack_stream *stream, size_t bytes);
/* Whether the counted connections, this one included, have reached limits.connections. */
bool connection_is_over_limit(const struct connection *connection);

#endif
