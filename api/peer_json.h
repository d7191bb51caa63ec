/* One peer of a tunnel as a resource: its part of the spec, without the preshared key, and its statistics. */
#ifndef WARREN_API_PEER_JSON_H
#define WARREN_API_PEER_JSON_H

#include "api/text.h"
#include "service/registry/snapshot.h"

/* Members set by the server; NULL-terminated. */
extern const char *const api_peer_live_members[];

bool api_peer_find(const struct snapshot *snapshot, const struct wireguard_key *key, size_t *index);
/* `members` as in api_object_write. */
void api_peer_write(struct text *text, const struct snapshot *snapshot, size_t index, const char *members);
/* All of them, with brackets. */
void api_peer_write_all(struct text *text, const struct snapshot *snapshot);

#endif
