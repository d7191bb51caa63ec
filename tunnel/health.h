/* A tunnel's state, from the data path alone: what a client of the proxy would meet. `up`: a connection is tried. `stale`: it is refused,
 * because two initiations were not answered. With it, and how it heals itself: new handshake, the endpoint's name again, another address
 * family, a new UDP socket, round and round, with back-off and jitter. An enabled tunnel tries for ever. */
#ifndef WARREN_TUNNEL_HEALTH_H
#define WARREN_TUNNEL_HEALTH_H

#include "ipc/message.h"
#include "tunnel/wireguard/device.h"

struct tunnel;
struct tunnel_peer;
struct want;

/* What a far end can make happen at will is told once a second at most; what is held back is counted, and told at the second's end. */
struct health_news {
	uint64_t quiet_until;
	uint32_t held;
};

struct health_peer {
	uint64_t retry_at;     /* the next attempt after the protocol gave up, or LOOP_NEVER */
	uint64_t initiated_at; /* the last initiation was sent */
	uint64_t judge_at;     /* the time of the one that decides is up, or LOOP_NEVER */
	bool kept_waiting;     /* an initiation went unanswered, or there never was a handshake: others may wait for one */
	unsigned events;       /* enum wireguard_event, or'ed as bits, not yet looked at */
	struct health_news endpoint, handshake;
	bool has_completed; /* the handshake that was last told, or is held back */
	bool is_renewed;    /* by the change that is being committed: its endpoint or preshared key is another one */
};

struct health {
	enum tunnel_state state;
	const char *reason; /* a literal */
	bool is_down;
	struct want *want_udp;
	bool has_events;
	bool must_review, goes_on; /* of what was acted on: the state is taken anew; who waited for a session goes on */
};

/* After a commit: handshakes with every peer that has no session, or is renewed, and whose endpoint is known. */
void health_start(struct tunnel *tunnel);
void health_stop(struct tunnel *tunnel);
/* From the device, which must not be called back: only noted. */
void health_note(struct tunnel_peer *peer, enum wireguard_event event);
/* Acts on what was noted. */
void health_act(struct tunnel *tunnel);
/* A peer's endpoint or preshared key is another one: tried now, as if for the first time. */
void health_renew(struct tunnel_peer *peer);
/* There is a session, and no initiation waits for an answer. */
bool health_is_heard(const struct tunnel_peer *peer);
/* Somebody wants to use the tunnel while it is down: the pace of 5 s returns. */
void health_wanted(struct tunnel *tunnel);
/* Down: connections are refused at once with `reason`. Decided with the state, by health_review. */
bool health_is_down(const struct tunnel *tunnel);
uint64_t health_deadline(const struct tunnel *tunnel);
void health_tick(struct tunnel *tunnel, uint64_t now);
/* Takes the state anew from the peers, after a change of them. */
void health_review(struct tunnel *tunnel);

#endif
