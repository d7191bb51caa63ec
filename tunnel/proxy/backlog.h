/* Datagrams that wait until their destination is known, in one block of the worker's pool: a large one only when a small one is too small. The
 * backlog is only the pointer to the block; NULL is an empty one. */
#ifndef WARREN_TUNNEL_PROXY_BACKLOG_H
#define WARREN_TUNNEL_PROXY_BACKLOG_H

#include "tunnel/tunnel.h"

/* Copies a datagram of at most 65535 bytes, and its destination port. If there is no room, and there is none for more than 65,500 bytes, it is
 * dropped and counted. */
void backlog_hold(struct block **backlog, struct tunnel *tunnel, uint16_t port, const uint8_t *bytes, size_t length);
/* Passes each to `send` in order of arrival, and empties the backlog. */
void backlog_release(struct block **backlog, struct tunnel *tunnel, void (*send)(void *owner, uint16_t port, const uint8_t *bytes, size_t length),
                     void *owner);
/* Empties the backlog and counts each datagram as refused. */
void backlog_refuse(struct block **backlog, struct tunnel *tunnel);

#endif
