/* What holds bytes that the stack lent and still has to write them to its client, before the stack is settled and takes them back. */
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
/* Once however often it is asked for; the tunnel is woken. */
void flush_queue(struct tunnel *tunnel, struct flush *flush);
void flush_cancel(struct tunnel *tunnel, struct flush *flush);
/* Until nothing is queued: from tunnel.c, before and after the stack is settled. */
void flush_all(struct tunnel *tunnel);

#endif
