/* What the control process is told of a tunnel: its state, and handshakes, endpoints and remedies. Events that a far end can cause at will, or each
 * of thousands of peers, are sent at most once a second; those held back are counted and sent at the end of the second. */
#ifndef WARREN_TUNNEL_NEWS_H
#define WARREN_TUNNEL_NEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/message.h"

struct tunnel;
struct tunnel_peer;

/* Of one kind. */
struct news_pause {
	uint64_t quiet_until; /* in nanoseconds of the loop's clock */
	uint32_t held;
};

/* The state and its reason as they are now. Never held back. */
void news_state(struct tunnel *tunnel);
void news_handshake(struct tunnel_peer *peer, bool completed);
/* Also shows the peer's endpoint in the counters, at once. */
void news_endpoint(struct tunnel_peer *peer);
/* Every remedy is counted, logged and sent as an event. */
void news_remedy(struct tunnel *tunnel, enum message_healing healing);
/* Tells what was held back, of remedies or of a peer, and whose second is over at `now`; LOOP_NEVER: all of it. */
void news_tell_held(struct tunnel *tunnel, uint64_t now);
void news_tell_held_of(struct tunnel_peer *peer, uint64_t now);
/* When the next of them is due, or LOOP_NEVER. */
uint64_t news_due(const struct tunnel *tunnel);
uint64_t news_due_of(const struct tunnel_peer *peer);

#endif
