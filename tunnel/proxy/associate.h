/* SOCKS5 UDP ASSOCIATE (RFC 1928, 7): a UDP socket, obtained from the control process, for the client of one control connection. */
#ifndef WARREN_TUNNEL_PROXY_ASSOCIATE_H
#define WARREN_TUNNEL_PROXY_ASSOCIATE_H

#include "tunnel/connection.h"
#include "tunnel/http/socks.h"
#include "tunnel/pool/visit.h"

struct associate;

/* What the control connection asked for. */
struct associate_want {
	const struct socks_request *request;
	const struct pool_visit *visit; /* its way through a pool, whose rules judge each datagram; NULL: it came to the tunnel's own port */
	uint16_t listen_index;
};

/* Takes the control connection's poller, over which it replies. It lives until that connection ends, or is idle for spec.idle_timeout.
 * `ended` is called once, never from within this call. NULL when out of memory; the poller is then freed. */
struct associate *associate_create(struct connection *connection, struct poller *control, const struct associate_want *want,
                                   void (*ended)(void *owner), void *owner);
void associate_abort(struct associate *associate); /* no event follows */

#endif
