/* Tunnels as JSON text, composed from a snapshot: what was cached (labels, spec) is copied, what is live is read from the counters. */
#ifndef WARREN_API_TUNNEL_JSON_H
#define WARREN_API_TUNNEL_JSON_H

#include "api/text.h"
#include "service/registry/snapshot.h"

/* The whole object; `is_full` adds the status. `members` are further ones, each with a comma before it, or NULL. */
void api_tunnel_write(struct text *text, const struct snapshot *snapshot, bool is_full, const char *members);
void api_tunnel_write_status(struct text *text, const struct snapshot *snapshot);
/* Labels and spec alone, as /v1/state has them. `spec` replaces the cached text (secrets asked for), or NULL. */
void api_tunnel_write_state(struct text *text, const struct snapshot *snapshot, const char *spec);
/* The peers' keys and live numbers, with brackets. */
void api_tunnel_write_peers(struct text *text, const struct snapshot *snapshot, int64_t now_ms);
/* One peer's live numbers, as members with a comma before each. */
void api_tunnel_write_peer_live(struct text *text, const struct counters_peer *peer, int64_t now_ms);
/* null when it never was. In seconds. */
void api_tunnel_put_age(struct text *text, int64_t at_ms, int64_t now_ms);

/* Where the peer is on the outside: seen, else configured; false (and nothing written) when neither. No quotes. */
bool api_tunnel_put_endpoint(struct text *text, const struct snapshot *snapshot, size_t peer);
int64_t api_tunnel_last_handshake(const struct snapshot *snapshot);                                 /* the newest of all peers, 0: never */
const struct counters_peer *api_tunnel_peer_counters(const struct snapshot *snapshot, size_t peer); /* or NULL */

#endif
