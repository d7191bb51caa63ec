/* A queue of connections that hold bytes lent by the stack and must write them to their clients before the stack is settled. */
#ifndef WARREN_TUNNEL_FLUSH_H
#define WARREN_TUNNEL_FLUSH_H

#include "tunnel/io/deferred.h"

struct tunnel;

/* Wakes the tunnel. */
void flush_queue(struct tunnel *tunnel, struct deferred *write);
void flush_cancel(struct tunnel *tunnel, struct deferred *write);
/* Runs until the queue is empty. Called by tunnel.c before and after the stack is settled. */
void flush_all(struct tunnel *tunnel);

#endif
