/* The way of a tunnel's datagrams through another tunnel of this worker (interface.via), in place of a socket of the host: a UDP port of the outer
 * tunnel's stack. The outer tunnel may come, change and go; while it cannot be used, nothing is sent and nothing waits. */
#ifndef WARREN_TUNNEL_CARRIER_H
#define WARREN_TUNNEL_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/endpoint.h"
#include "tunnel/io/udp.h"

struct carrier;
struct tunnel;
struct tunnel_peer;

/* Of a tunnel whose spec has a `via`; nothing happens before carrier_join. NULL when out of memory. */
struct carrier *carrier_create(struct tunnel *tunnel, const char *outer);
void carrier_free(struct carrier *carrier); /* NULL is allowed */
/* Looks for the outer tunnel, after the tunnel's commit. */
void carrier_join(struct carrier *carrier);
/* Whether datagrams can be sent now: the outer tunnel is up. */
bool carrier_is_open(const struct carrier *carrier);
/* Otherwise why not, valid until the next call; `may_open`: the outer tunnel is only starting. */
const char *carrier_why_closed(struct carrier *carrier, bool *may_open);
/* The same as those of udp.h: datagrams are gathered, so that they are sealed together. Those that the outer tunnel has no room for wait here, and
 * nothing else is taken meanwhile. */
uint8_t *carrier_reserve(struct carrier *carrier, const union wireguard_endpoint *to, size_t length);
void carrier_commit(struct carrier *carrier, size_t length);
void carrier_flush(struct carrier *carrier);
/* The tunnel has something to settle. */
void carrier_note_awake(struct carrier *carrier);
const struct udp_counts *carrier_counts(const struct carrier *carrier);
/* Asks the outer tunnel's name servers for the endpoint's name: tunnel_resolved or health_unresolved follows, possibly at once. */
void carrier_resolve(struct tunnel_peer *peer);
void carrier_stop_resolving(struct tunnel_peer *peer);

/* Of an outer tunnel. */
/* It was committed: those that name it are joined to it, with ports of the stack that it has now. */
void carrier_join_all(struct tunnel *outer);
/* Its stack is going to be freed. */
void carrier_leave_all(struct tunnel *outer);
/* It ends. */
void carrier_part_all(struct tunnel *outer);
/* Its state has changed. */
void carrier_tell_all(const struct tunnel *outer);
/* It has received: what is for the tunnels inside goes to them. */
void carrier_hand_over_all(struct tunnel *outer);
/* Settles the tunnels inside that have something to settle. To be called before the outer stack is settled, which frees what it lent to them. */
void carrier_settle_all(struct tunnel *outer);
/* Its stack has room again. */
void carrier_resume_all(struct tunnel *outer);

#endif
