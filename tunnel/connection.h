/* What all connections of a tunnel have in common: they are counted, and end with the tunnel. Embedded as the first member.
 *
 * A client of the proxy waits before it counts in limits.connections: until it has shown a right password, or where none is asked for
 * until its request's head is whole. Those who wait have places of their own, 1,024 a tunnel and 512 a source. When a source's are taken, one of
 * its own gives way, and when the tunnel's are, one of the source that has most: the one that has waited longest, but one whose request is
 * whole and held back only when there is no other. So silence locks nobody out (P7). */
#ifndef WARREN_TUNNEL_CONNECTION_H
#define WARREN_TUNNEL_CONNECTION_H

#include "tunnel/tunnel.h"

/* A client that sends no more may still want its answer, or have gone: it is waited for so long while nothing moves. */
#define CONNECTION_LEFT_TIME (10 * LOOP_SECOND)

struct connection {
	struct tunnel *tunnel;
	struct connection *next, **before;
	enum counters_protocol protocol;
	void (*end)(struct connection *connection); /* frees it: the tunnel goes, or its listener */
	uint32_t socket_id;                         /* of the listener that it came by, 0: none */
	bool waits;
	bool is_held;                        /* its owner's word: it waits only until a password may be looked at */
	struct connection *longer, *shorter; /* those that have waited next to it */
	uint64_t source;                     /* of a client, as address_source gives it */
};

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol,
                    void (*end)(struct connection *connection));
/* The same for one that waits; another that waits may end by it. */
void connection_add_waiting(struct connection *connection, struct tunnel *tunnel, uint64_t source, void (*end)(struct connection *connection));
/* It counts from now on; nothing when it does already. */
void connection_admit(struct connection *connection);
void connection_remove(struct connection *connection);
/* The protocol is known only after the first byte. */
void connection_set_protocol(struct connection *connection, enum counters_protocol protocol);
void connection_count_ok(struct connection *connection);
void connection_count_failed(struct connection *connection, enum counters_failure failure);
/* True when limits.connections is reached by those that count (this one included). */
bool connection_is_over_limit(const struct connection *connection);

#endif
