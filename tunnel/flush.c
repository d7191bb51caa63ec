#include "tunnel/flush.h"

#include <assert.h>

#include "tunnel/tunnel.h"

void flush_init(struct flush *flush, void (*write)(void *owner), void *owner)
{
	*flush = (struct flush){ .write = write, .owner = owner };
}

void flush_queue(struct tunnel *tunnel, struct flush *flush)
{
	assert(flush->write != NULL);
	if (flush->queued)
		return;
	flush->queued = true;
	flush->next = tunnel->flushing;
	tunnel->flushing = flush;
	tunnel_wake(tunnel);
}

void flush_cancel(struct tunnel *tunnel, struct flush *flush)
{
	if (!flush->queued)
		return;
	struct flush **at = &tunnel->flushing;
	while (*at != flush)
		at = &(*at)->next;
	*at = flush->next;
	flush->queued = false;
}

void flush_all(struct tunnel *tunnel)
{
	while (tunnel->flushing != NULL) {
		struct flush *flush = tunnel->flushing;
		tunnel->flushing = flush->next;
		flush->queued = false;
		flush->write(flush->owner);
	}
}
