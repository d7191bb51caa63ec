/* Reads of many tunnels. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_TUNNEL_LIST_H
#define WARREN_SERVICE_REGISTRY_TUNNEL_LIST_H

#include "service/registry/registry.h"

struct tunnel_list_filter {
	const struct label *labels; /* all must match */
	size_t label_count;
	int state;         /* enum tunnel_state, or -1 */
	const char *after; /* ids greater than this, or NULL */
	size_t limit;      /* 0: all */
};

/* Lists snapshots ordered by id, each referenced; the array is malloc'ed. `more` is set if there are further ones.
 * TUNNEL_LIST_FAILED when out of memory: then there is no array. */
#define TUNNEL_LIST_FAILED SIZE_MAX
size_t tunnel_list_read(struct registry *registry, const struct tunnel_list_filter *filter, struct snapshot ***snapshots, bool *more);
/* The id of another enabled tunnel with the same key and the same peer: each of the two ends the other's sessions. */
bool tunnel_list_find_twin(struct registry *registry, const struct snapshot *snapshot, char id[64]);

#endif
