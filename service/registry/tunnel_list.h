/* Reads of many tunnels or pools. Any thread. */
#ifndef WARREN_SERVICE_REGISTRY_TUNNEL_LIST_H
#define WARREN_SERVICE_REGISTRY_TUNNEL_LIST_H

#include "service/registry/registry.h"
#include "service/spec/access.h"
#include "service/spec/selector.h"

struct tunnel_list_filter {
	enum spec_kind kind;
	const struct selector *selectors; /* all must match */
	size_t selector_count;
	const char *const *ids; /* any of them; NULL: all */
	size_t id_count;
	unsigned healths;  /* 1 << enum tunnel_health, any of them; 0: all */
	unsigned states;   /* 1 << enum tunnel_state, any of them; 0: all */
	const char *after; /* ids greater than this, or NULL */
	size_t limit;      /* 0: all */
};

/* Whether one passes, but for `after` and `limit`. */
bool tunnel_list_accepts(const struct tunnel_list_filter *filter, const struct snapshot *snapshot);
/* Lists snapshots that the access covers, ordered by id, each referenced; the array is malloc'ed. `more` is set if there are further ones.
 * TUNNEL_LIST_FAILED when out of memory: then there is no array. */
#define TUNNEL_LIST_FAILED SIZE_MAX
size_t tunnel_list_read(struct registry *registry, const struct access *access, const struct tunnel_list_filter *filter, struct snapshot ***snapshots,
                        bool *more);
/* The id of another enabled tunnel, which the access covers, with the same key and the same peer: each of the two ends the other's sessions. */
bool tunnel_list_find_twin(struct registry *registry, const struct access *access, const struct snapshot *snapshot, char id[64]);
/* Takes up to `most` references to the tunnels that the access covers and that go through the one with this id, whether that is there or not, in
 * no order; returns the count. */
size_t tunnel_list_inside(struct registry *registry, const struct access *access, const char *id, struct snapshot **snapshots, size_t most);

#endif
