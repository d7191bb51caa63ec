/* A tunnel's figures, brought to the counters that the control process reads: soon after something happened, and not while idle, but once a second
 * while a condition holds. */
#ifndef WARREN_TUNNEL_PUBLISH_H
#define WARREN_TUNNEL_PUBLISH_H

#include "tunnel/tunnel.h"

/* Something happened: the figures are brought up to date now, or a moment after the last time. */
void publish_soon(struct tunnel *tunnel, uint64_t now);
/* Brings everything up to date, and the throughput once a second; sets publish_at while there is throughput. */
void publish_tick(struct tunnel *tunnel, uint64_t now);
/* The socket or a peer is about to go: what it counted is taken first. */
void publish_socket(struct tunnel *tunnel);
void publish_peer(struct tunnel_peer *peer, uint64_t now);

#endif
