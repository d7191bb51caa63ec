/* A queue of connections that hold bytes lent by the stack and must write them to their clients before the stack is settled. */
#ifndef WARREN_TUNNEL_FLUSH_H
#define WARREN_TUNNEL_FLUSH_H

#include <stdbool.h>

struct tunnel;

/* Embedded by value. */
struct flush {
	struct flush *next;
	bool queued;
	void (*write)(void *owner);
	void *owner;
};

void flush_init(struct flush *flush, void (*write)(void *owner), void *owner);
/* Queues it once, however often it is called; wakes the tunnel. */
void flush_queue(struct tunnel *tunnel, struct flush *flush);
void flush_cancel(struct tunnel *tunnel, struct flush *flush);
/* Runs until the queue is empty. Called by tunnel.c before and after the stack is settled. */
void flush_all(struct tunnel *tunnel);

#endif
