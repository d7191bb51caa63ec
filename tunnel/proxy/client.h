/* A client of the proxy port, from its first byte to the relay, exchange or association that it becomes. */
#ifndef WARREN_TUNNEL_PROXY_CLIENT_H
#define WARREN_TUNNEL_PROXY_CLIENT_H

#include "tunnel/connection.h"
#include "tunnel/pool/link.h"
#include "tunnel/proxy/listener.h"

/* Takes the accepted descriptor, also on failure. `from` is the client's address, of any family. */
void client_accept(struct listener *listener, int descriptor, const union wireguard_endpoint *from);
/* Takes a pool's client from another worker: one that this worker's member is to serve, or one that comes back to its home. */
void client_arrive(struct context *context, struct link_arrival *arrival);

#endif
