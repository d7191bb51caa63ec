/* A tunnel's state, derived only from the data path, as a client of the proxy sees it. `up`: connections are attempted. `stale`: they are
 * refused, because two initiations were not answered. An enabled tunnel never stops trying, with back-off and jitter. What it tries is in
 * remedy.h, what it tells in news.h, and how the state is found in verdict.h. */
#ifndef WARREN_TUNNEL_HEALTH_H
#define WARREN_TUNNEL_HEALTH_H

#include "ipc/message.h"
#include "tunnel/io/loop.h"
#include "tunnel/news.h"
#include "tunnel/wireguard/device.h"

struct tunnel;
struct tunnel_peer;
struct descriptor_request;

#define HEALTH_DOWN_AFTER 2                          /* unanswered initiations */
#define HEALTH_ANSWER_TIME (1300 * LOOP_MILLISECOND) /* of an initiation; longer than a round trip */

struct health_peer {
	uint64_t retry_at;      /* the next attempt after the protocol gave up, or LOOP_NEVER */
	uint64_t initiated_at;  /* the last initiation was sent */
	uint64_t judge_at;      /* when the initiation that decides has timed out, or LOOP_NEVER */
	uint64_t move_at;       /* when the initiation to an address that never answered has timed out, or LOOP_NEVER */
	uint64_t refused_until; /* the host refuses to send to it at least so long, or LOOP_NEVER */
	bool kept_waiting;      /* an initiation was not answered, or there never was a handshake: connections may wait for one */
	unsigned events;        /* enum wireguard_event as a bit set, not yet handled */
	struct news_pause endpoint, handshake;
	bool has_completed; /* of the handshake event that was sent last, or is held back */
	bool has_answered;  /* there was a handshake at the address in use */
	bool is_renewed;    /* the change being committed replaces its endpoint or preshared key */
	bool was_tried;     /* something was sent to it, with this result: 0 or errno; not yet handled */
	int tried;
	unsigned refusals;   /* by the host, in a row, up to the number that decides */
	const char *refusal; /* the last one, a literal */
};

struct health {
	enum tunnel_state state;
	char reason[160];
	bool is_down;
	bool had_way, must_follow; /* there was a way to the network when it was last looked at; it may be another now */
	struct descriptor_request *want_udp;
	struct news_pause remedies[MESSAGE_HEALINGS]; /* of all peers together */
	bool has_events;
	bool has_refused;          /* a peer to which the host refused to send, or refuses */
	uint64_t due;              /* not later than any time of the peers, of the news and of the review; LOOP_NEVER: there is none */
	uint64_t wanted_until;     /* until then clients need not be heard again (health_wanted) */
	uint64_t review_at;        /* when the state is taken anew, whatever happens; LOOP_NEVER: not */
	bool must_review, goes_on; /* of what was acted on: the state is taken anew; who waited for a session goes on */
};

/* After a commit: starts handshakes with every peer that has no session, or is renewed, and whose endpoint is known. */
void health_start(struct tunnel *tunnel);
/* Another worker had the tunnel: what it published holds, and is not told again. Before health_start, as is the second for each peer whose sessions
 * were taken over. */
void health_resume(struct tunnel *tunnel);
void health_resume_peer(struct tunnel_peer *peer);
/* It goes to another worker: tells the news that are held back. */
void health_hand_over(struct tunnel *tunnel);
/* Called by the device, which must not be called back: only records the event. */
void health_note(struct tunnel_peer *peer, enum wireguard_event event);
/* The host's answer to sending to this address, as udp_events.tried: only records it. */
void health_tried(struct tunnel *tunnel, const union wireguard_endpoint *to, int error);
/* Why the host does not send to the peer's endpoint: no route, or a firewall. A string literal, or NULL if it does. */
const char *health_why_refused(const struct tunnel_peer *peer);
/* Handles the recorded events. */
void health_act(struct tunnel *tunnel);
/* A peer's endpoint or preshared key has changed: tries it now, as if for the first time. */
void health_renew(struct tunnel_peer *peer);
/* The way through another tunnel has opened or closed, or was replaced (`is_lost`). Looked at when the tunnel is settled. */
void health_follow(struct tunnel *tunnel, bool is_lost);
/* Takes the state anew at that time, if not before. */
void health_review_at(struct tunnel *tunnel, uint64_t at);
/* The name of the peer's endpoint was asked for inside another tunnel, without an address. */
void health_unresolved(struct tunnel_peer *peer);
/* Whether there is a session and no initiation is unanswered. */
bool health_is_heard(const struct tunnel_peer *peer);
/* A client wants to use the tunnel while it is down: returns to one attempt every 5 s. Of many peers some are begun with now, and the others one by
 * one. */
void health_wanted(struct tunnel *tunnel);
/* Whether connections are refused at once, with `reason`. Decided together with the state, by health_review. */
bool health_is_down(const struct tunnel *tunnel);
uint64_t health_deadline(const struct tunnel *tunnel);
/* The deadline is not later than `at`. Every time of a peer and of news is told with this, so that a turn need not look at all peers to find
 * the first. */
void health_due_by(struct tunnel *tunnel, uint64_t at);
void health_tick(struct tunnel *tunnel, uint64_t now);
/* Derives the state from the peers again, after they changed. */
void health_review(struct tunnel *tunnel);

#endif
