/* What all connections of a tunnel have in common: they are counted, and end with the tunnel. Embedded as the first member. */
#ifndef WARREN_TUNNEL_CONNECTION_H
#define WARREN_TUNNEL_CONNECTION_H

#include "tunnel/tunnel.h"

struct connection {
	struct tunnel *tunnel;
	struct connection *next, **before;
	enum counters_protocol protocol;
	void (*end)(struct connection *connection); /* frees it: the tunnel goes, or its listener */
	uint32_t socket_id;                         /* of the listener that it came by, 0: none */
};

void connection_add(struct connection *connection, struct tunnel *tunnel, enum counters_protocol protocol,
                    void (*end)(struct connection *connection));
void connection_remove(struct connection *connection);
/* The protocol is known only after the first byte. */
void connection_set_protocol(struct connection *connection, enum counters_protocol protocol);
void connection_count_ok(struct connection *connection);
void connection_count_failed(struct connection *connection, enum counters_failure failure);
/* True when limits.connections is reached by those that are open (this one included). */
bool connection_is_over_limit(const struct connection *connection);

#endif
