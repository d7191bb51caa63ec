/* Datagrams that wait until it is known where they go, in a small block of the pool. The pointer to the block is the whole backlog: NULL is an
 * empty one. */
#ifndef WARREN_TUNNEL_PROXY_BACKLOG_H
#define WARREN_TUNNEL_PROXY_BACKLOG_H

#include "tunnel/tunnel.h"

/* Copies a datagram, at most 65535 bytes, and the port that it is for. It is dropped and counted when there is no room. */
void backlog_hold(struct block **backlog, struct tunnel *tunnel, uint16_t port, const uint8_t *bytes, size_t length);
/* Shows each to `send` in the order of arrival, and empties the backlog. */
void backlog_release(struct block **backlog, struct tunnel *tunnel, void (*send)(void *owner, uint16_t port, const uint8_t *bytes, size_t length),
                     void *owner);
/* Empties the backlog and counts each datagram as refused. */
void backlog_refuse(struct block **backlog, struct tunnel *tunnel);

#endif
