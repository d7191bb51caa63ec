/* The names of a tunnel's peers to addresses: asked when it starts, again with growing pauses while there is none, and when a worker asks. */
#ifndef WARREN_SERVICE_WORKER_PEER_LOOKUP_H
#define WARREN_SERVICE_WORKER_PEER_LOOKUP_H

#include "service/registry/registry.h"

struct service;

/* Addresses of all peers, malloc'ed: literals at once, names as `old` (or NULL) had them when the peer has the same. Without a name it is NULL:
 * then the spec says it all. False when out of memory. */
bool peer_lookup_addresses(struct message_addresses **addresses, const struct spec *spec, const struct spec *old_spec,
                           const struct message_addresses *old);
/* Asks for all names that have no address, and forgets the questions of peers that are gone. */
void peer_lookup_start(struct service *service, struct entry *entry);
/* The worker wants to know it anew. */
void peer_lookup_again(struct service *service, struct entry *entry, const struct wireguard_key *peer);
void peer_lookup_end_all(struct entry *entry);

#endif
