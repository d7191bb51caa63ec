/* Writes tunnels as JSON from a snapshot: cached parts (labels, spec) are copied, live ones are read from the counters. */
#ifndef WARREN_API_TUNNEL_JSON_H
#define WARREN_API_TUNNEL_JSON_H

#include "api/text.h"
#include "service/registry/snapshot.h"

/* Writes the whole object; `is_full` adds the status. `members` are further members, each with a comma before it, or NULL. */
void api_tunnel_write(struct text *text, const struct snapshot *snapshot, bool is_full, const char *members);
void api_tunnel_write_status(struct text *text, const struct snapshot *snapshot);
/* Writes only labels and spec, for /v1/state. `spec`, if not NULL, replaces the cached text (to include secrets). */
void api_tunnel_write_state(struct text *text, const struct snapshot *snapshot, const char *spec);
/* Writes the peers' keys and statistics, with brackets. */
void api_tunnel_write_peers(struct text *text, const struct snapshot *snapshot, int64_t now_ms);
/* Writes one peer's statistics, as members with a comma before each. */
void api_tunnel_write_peer_live(struct text *text, const struct counters_peer *peer, int64_t now_ms);
/* In seconds; null if there was none. */
void api_tunnel_put_age(struct text *text, int64_t at_ms, int64_t now_ms);

/* Writes the peer's outer address as last seen, else as configured, without quotes; false, and writes nothing, if there is neither. */
bool api_tunnel_put_endpoint(struct text *text, const struct snapshot *snapshot, size_t peer);
int64_t api_tunnel_last_handshake(const struct snapshot *snapshot);                                 /* the newest of all peers, 0: never */
const struct counters_peer *api_tunnel_peer_counters(const struct snapshot *snapshot, size_t peer); /* or NULL */

#endif
