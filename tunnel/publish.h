/* Publishes a tunnel's figures in the counters that the control process reads: soon after something happened, once a second while a condition
 * holds, and not while idle. */
#ifndef WARREN_TUNNEL_PUBLISH_H
#define WARREN_TUNNEL_PUBLISH_H

#include "tunnel/tunnel.h"

/* Something happened: updates the figures now, or a moment after the last update. */
void publish_soon(struct tunnel *tunnel, uint64_t now);
/* Updates everything, and the throughput once a second; sets publish_at while there is throughput. */
void publish_tick(struct tunnel *tunnel, uint64_t now);
/* Collects the figures of the socket or a peer before it is freed. */
void publish_socket(struct tunnel *tunnel);
void publish_peer(struct tunnel_peer *peer, uint64_t now);

#endif
