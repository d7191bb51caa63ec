#include "tunnel/flush.h"

#include "tunnel/tunnel.h"

void flush_queue(struct tunnel *tunnel, struct deferred *write)
{
	if (write->queued)
		return;
	deferred_list_add(&tunnel->flushing, write);
	tunnel_wake(tunnel);
}

void flush_cancel(struct tunnel *tunnel, struct deferred *write)
{
	deferred_list_remove(&tunnel->flushing, write);
}

void flush_all(struct tunnel *tunnel)
{
	deferred_list_run(&tunnel->flushing);
}
