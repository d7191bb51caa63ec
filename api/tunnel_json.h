/* Writes tunnels as JSON from a snapshot: cached parts (labels, spec) are copied, live ones are read from the counters. */
#ifndef WARREN_API_TUNNEL_JSON_H
#define WARREN_API_TUNNEL_JSON_H

#include "api/request.h"
#include "api/text.h"
#include "service/registry/snapshot.h"

/* status.health. */
void api_tunnel_write_health(struct text *text, const struct snapshot *snapshot);
/* Milliseconds; a negative or absurd number is null. */
void api_tunnel_put_ms(struct text *text, double value);
void api_tunnel_put_address(struct text *text, const struct wireguard_network *address); /* family 0: null */
/* The beginning of the object, which is the same for a pool: all but the status, without the closing brace. */
void api_tunnel_write_head(struct text *text, const struct snapshot *snapshot);
void api_tunnel_write_listen(struct text *text, const struct snapshot *snapshot);
/* What is the same in a pool's status: its beginning, and the worker and the conditions, with a comma before each. */
void api_tunnel_write_status_head(struct text *text, const struct snapshot *snapshot);
void api_tunnel_write_worker(struct text *text, const struct api_request *request, const struct snapshot *snapshot);
/* The size of the tunnel's packets: what fits inside the tunnels that it goes through, also one that the caller may not see. */
uint16_t api_tunnel_mtu(const struct api_request *request, const struct spec *spec);
void api_tunnel_write_status(struct text *text, const struct api_request *request, const struct snapshot *snapshot);
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
