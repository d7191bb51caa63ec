/* SOCKS5 UDP ASSOCIATE (RFC 1928, 7): a UDP socket, obtained from the control process, for the client of one control connection. */
#ifndef WARREN_TUNNEL_PROXY_ASSOCIATE_H
#define WARREN_TUNNEL_PROXY_ASSOCIATE_H

#include "tunnel/connection.h"
#include "tunnel/http/socks.h"

struct associate;

/* Takes the control connection's poller, over which it replies. It lives until that connection ends, or is idle for spec.idle_timeout.
 * `ended` is called once, never from within this call. NULL when out of memory; the poller is then freed. */
struct associate *associate_create(struct connection *connection, struct poller *control, const struct socks_request *request, uint16_t listen_index,
                                   void (*ended)(void *owner), void *owner);
void associate_abort(struct associate *associate); /* no event follows */

#endif
