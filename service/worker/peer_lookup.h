/* Resolves the names of a tunnel's peers: when it starts, again with growing pauses while there is no address, and when a worker asks. */
#ifndef WARREN_SERVICE_WORKER_PEER_LOOKUP_H
#define WARREN_SERVICE_WORKER_PEER_LOOKUP_H

#include <uv.h>

#include "service/registry/registry.h"

struct endpoint_resolver;

/* The objects that look-ups use, borrowed. */
struct peer_lookup_means {
	uv_loop_t *loop;
	struct endpoint_resolver *resolver;
	struct registry *registry;
	struct lock_queue *locks;
};

/* Addresses of all peers, malloc'ed: literals at once, names as `old` (or NULL) had them when the peer has the same. Without a name it is NULL:
 * then the spec says it all. False when out of memory. */
bool peer_lookup_addresses(struct message_addresses **addresses, const struct spec *spec, const struct spec *old_spec,
                           const struct message_addresses *old);
/* `means` stay there as long as the entry has look-ups. Looks up all names without an address, and drops the look-ups of removed peers. Those that
 * memory is missing for are started by peer_lookup_retry. */
void peer_lookup_start(const struct peer_lookup_means *means, struct entry *entry);
/* The worker requests a new lookup. */
void peer_lookup_again(const struct peer_lookup_means *means, struct entry *entry, const struct wireguard_key *peer);
/* Every few seconds. */
void peer_lookup_retry(const struct peer_lookup_means *means);
void peer_lookup_end_all(struct entry *entry);

#endif
