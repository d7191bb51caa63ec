/* SOCKS5 UDP ASSOCIATE (RFC 1928, 7): a UDP socket beside the control connection, from the control process, for that client alone. */
#ifndef WARREN_TUNNEL_PROXY_ASSOCIATE_H
#define WARREN_TUNNEL_PROXY_ASSOCIATE_H

#include "tunnel/connection.h"
#include "tunnel/http/socks.h"

struct associate;

/* Takes the control connection's poller, over which it replies; lives until that connection ends, or is idle for spec.idle_timeout.
 * `ended` is called once, never from within it. NULL when out of memory: the poller is gone. */
struct associate *associate_create(struct connection *connection, struct poller *control, const struct socks_request *request, uint16_t listen_index,
                                   void (*ended)(void *owner), void *owner);
void associate_abort(struct associate *associate); /* no event follows */

#endif
