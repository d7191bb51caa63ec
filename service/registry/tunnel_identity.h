/* Which tunnel or pool something belongs to that waits: a request, an answer. Neither its id nor its slot says it, even with the generation: a tunnel
 * that is deleted gives both up, and the next one starts at generation 1, too. Service's thread only. */
#ifndef WARREN_SERVICE_REGISTRY_TUNNEL_IDENTITY_H
#define WARREN_SERVICE_REGISTRY_TUNNEL_IDENTITY_H

#include "service/registry/registry.h"

struct tunnel_identity {
	char key[OBJECT_KEY_SIZE];
	struct runtime_status *status; /* referenced, so that no other tunnel has the same one; NULL: nothing is held */
};

/* To be released. */
void tunnel_identity_take(struct tunnel_identity *identity, const struct snapshot *snapshot);
/* NULL if this tunnel was deleted, whatever has its id now. */
struct entry *tunnel_identity_find(const struct tunnel_identity *identity, struct registry *registry);
void tunnel_identity_release(struct tunnel_identity *identity); /* may be repeated */

#endif
