#include "tunnel/health.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "ipc/log.h"
#include "ipc/wall_clock.h"
#include "tunnel/assessment.h"
#include "tunnel/carrier.h"
#include "tunnel/condition.h"
#include "tunnel/connection.h"
#include "tunnel/dial.h"
#include "tunnel/publish.h"
#include "tunnel/remedy.h"
#include "tunnel/tunnel.h"
#include "tunnel/verdict.h"

/* Together with the 5 s of waiting for an answer: one initiation a minute. */
#define RETRY_PAUSE (55 * LOOP_SECOND)
#define RETRY_JITTER (6 * LOOP_SECOND)
/* While the host refuses to send, so that a route that returns is used within ten seconds. These attempts do not leave the host. */
#define REFUSED_PAUSE (5 * LOOP_SECOND)
/* A peer stays refused for so long, whatever passes: under traffic a firewall's limit would change the state with every few packets. */
#define REFUSED_LEAST LOOP_SECOND
/* Each client of a tunnel that is down wants it. A peer that was told once has the protocol's pace for longer than this. */
#define WANTED_PAUSE LOOP_SECOND
#define RETRIES_A_TICK 8                /* each costs three key exchanges; the other peers' are left for the next tick, which is at once */
#define RESOLVE_PAUSE (5 * LOOP_SECOND) /* inside another tunnel */

static void set_state(struct tunnel *tunnel, enum tunnel_state state, const char *reason)
{
	struct health *health = &tunnel->health;
	if (health->state == state && strcmp(health->reason, reason) == 0)
		return;
	bool changed = health->state != state;
	health->state = state;
	snprintf(health->reason, sizeof(health->reason), "%s", reason);
	if (changed) {
		counter_set(&tunnel->counters->state, (uint64_t)state);
		counter_set(&tunnel->counters->state_since, (uint64_t)wall_clock_ms());
		log_line(LOG_INFO, tunnel->id, "state %s%s%s", tunnel_state_name(state), *reason ? ": " : "", reason);
	}
	news_state(tunnel);
	carrier_tell_all(tunnel);
}

void health_due_by(struct tunnel *tunnel, uint64_t at)
{
	if (at < tunnel->health.due)
		tunnel->health.due = at;
}

static void set_time(struct tunnel *tunnel, uint64_t *time, uint64_t at)
{
	*time = at;
	health_due_by(tunnel, at);
}

/* Each of its addresses was refused. A session is asked for once more: one packet may be refused by a firewall's limit. */
static bool is_refused(const struct tunnel_peer *peer)
{
	size_t addresses = peer->addresses == NULL ? 1 : peer->addresses->count;
	return peer->health.refusals >= addresses && peer->health.refusals >= addresses + tunnel_peer_stats(peer).can_send;
}

const char *health_why_refused(const struct tunnel_peer *peer)
{
	return peer->health.refused_until != LOOP_NEVER || is_refused(peer) ? peer->health.refusal : NULL;
}

void health_review(struct tunnel *tunnel)
{
	struct verdict verdict = verdict_of(tunnel);
	bool was_down = tunnel->health.is_down;
	tunnel->health.is_down = verdict.is_down;
	set_state(tunnel, verdict.state, verdict.reason);
	assessment_review(tunnel);
	if (verdict.is_down && !was_down) {
		dial_fail_all(tunnel);
		connection_tell_down(tunnel);
	}
}

bool health_is_down(const struct tunnel *tunnel)
{
	return tunnel->health.is_down;
}

bool health_is_heard(const struct tunnel_peer *peer)
{
	struct wireguard_peer_stats stats = tunnel_peer_stats(peer);
	return stats.can_send && stats.unanswered == 0;
}

/* After a pause the name may have other addresses. */
static void leave_pause(struct tunnel_peer *peer)
{
	if (peer->health.retry_at == LOOP_NEVER)
		return;
	peer->health.retry_at = LOOP_NEVER;
	remedy_resolve(peer);
}

/* `how` is one of the device's functions that start a handshake. */
static void initiate(struct tunnel_peer *peer, void (*how)(struct wireguard_peer *peer, uint64_t now))
{
	if (!tunnel_has_way(peer->tunnel) || !wireguard_peer_has_endpoint(peer->peer))
		return;
	leave_pause(peer);
	how(peer->peer, loop_now(peer->tunnel->context->loop));
	tunnel_wake(peer->tunnel);
}

/* One of many, which leaves its pause when the initiation is sent. */
static void begin(struct tunnel_peer *peer, enum wireguard_beginning how, size_t *begun)
{
	wireguard_peer_begin(peer->peer, how, begun, loop_now(peer->tunnel->context->loop));
	tunnel_wake(peer->tunnel);
}

static void forget_refusals(struct tunnel_peer *peer)
{
	peer->health.refusals = 0;
	peer->health.refused_until = LOOP_NEVER;
}

static void stop(struct tunnel_peer *peer)
{
	peer->health.retry_at = peer->health.move_at = LOOP_NEVER;
	peer->health.kept_waiting = true;
	forget_refusals(peer);
	wireguard_peer_stop(peer->peer);
}

/* A name that is resolved inside another tunnel; the control process looks up the others by itself. */
static void resolve_inside(struct tunnel_peer *peer)
{
	if (peer->tunnel->carrier != NULL && !peer->has_address && tunnel_peer_is_named(peer))
		carrier_resolve(peer);
}

void health_start(struct tunnel *tunnel)
{
	size_t begun = 0;
	bool has_way = tunnel_has_way(tunnel);
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		if (!has_way && tunnel->carrier == NULL)
			stop(peer);
		else if (has_way && wireguard_peer_has_endpoint(peer->peer) && (peer->health.is_renewed || !tunnel_peer_stats(peer).can_send))
			begin(peer, peer->health.is_renewed ? WIREGUARD_BEGIN_RESTARTED : WIREGUARD_BEGIN, &begun);
		if (has_way)
			resolve_inside(peer);
		peer->health.is_renewed = false;
	}
	health_review(tunnel);
}

void health_follow(struct tunnel *tunnel, bool is_lost)
{
	tunnel->health.had_way &= !is_lost;
	tunnel->health.must_follow = tunnel->health.has_events = true;
	tunnel_wake(tunnel);
}

void health_review_at(struct tunnel *tunnel, uint64_t at)
{
	set_time(tunnel, &tunnel->health.review_at, at);
}

/* The way is open again: what was sent meanwhile is lost, and peers may know us at another address. */
static void take_way(struct tunnel *tunnel)
{
	size_t begun = 0;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		forget_refusals(peer);
		begin(peer, health_is_heard(peer) ? WIREGUARD_BEGIN : WIREGUARD_BEGIN_RESTARTED, &begun);
		resolve_inside(peer);
	}
	tunnel_resume(tunnel);
	tunnel->health.goes_on = true;
}

static void follow(struct tunnel *tunnel)
{
	struct health *health = &tunnel->health;
	bool had_way = health->had_way;
	health->must_follow = false;
	health->must_review = true;
	health->had_way = tunnel_has_way(tunnel);
	if (health->had_way && !had_way)
		take_way(tunnel);
}

void health_unresolved(struct tunnel_peer *peer)
{
	set_time(peer->tunnel, &peer->health.retry_at, loop_now(peer->tunnel->context->loop) + RESOLVE_PAUSE);
	tunnel_wake(peer->tunnel); /* it is the outer tunnel's turn */
}

void health_resume(struct tunnel *tunnel)
{
	uint64_t state = counter_read(&tunnel->counters->state);
	if (state < TUNNEL_STATE_COUNT)
		tunnel->health.state = (enum tunnel_state)state;
	assessment_resume(tunnel);
}

void health_resume_peer(struct tunnel_peer *peer)
{
	struct wireguard_peer_stats stats = tunnel_peer_stats(peer);
	peer->health.has_answered = stats.last_handshake != 0;
	peer->health.kept_waiting = !stats.can_send || stats.unanswered > 1;
	const struct message_addresses *addresses = peer->addresses;
	for (size_t i = 0; addresses != NULL && i < addresses->count; i++)
		if (endpoint_equal(&addresses->list[i], wireguard_peer_endpoint(peer->peer)))
			peer->address = i;
}

void health_renew(struct tunnel_peer *peer)
{
	peer->health.retry_at = LOOP_NEVER;
	peer->health.has_answered = false;
	forget_refusals(peer);
	initiate(peer, wireguard_peer_restart);
	health_review(peer->tunnel);
}

static void on_initiation(struct tunnel_peer *peer)
{
	struct wireguard_peer_stats stats = tunnel_peer_stats(peer);
	peer->health.initiated_at = loop_now(peer->tunnel->context->loop);
	uint64_t timed_out_at = peer->health.initiated_at + HEALTH_ANSWER_TIME;
	set_time(peer->tunnel, &peer->health.judge_at, stats.unanswered == HEALTH_DOWN_AFTER ? timed_out_at : LOOP_NEVER);
	if (!peer->health.has_answered && peer->addresses != NULL)
		set_time(peer->tunnel, &peer->health.move_at, timed_out_at);
	leave_pause(peer); /* the device may have started it, because there is something to send */
	if (stats.unanswered < 2)
		return;
	peer->health.kept_waiting = true;
	/* The one before had no answer. */
	counter_add(&peer->tunnel->counters->handshake_failures, 1);
	remedy_try(peer, stats.unanswered - 1);
	peer->tunnel->health.must_review = true;
}

static void on_completed(struct tunnel_peer *peer)
{
	struct tunnel *tunnel = peer->tunnel;
	bool kept_waiting = peer->health.kept_waiting;
	peer->health.retry_at = peer->health.judge_at = peer->health.move_at = LOOP_NEVER;
	peer->health.kept_waiting = false;
	peer->health.has_answered = true;
	counter_add(&tunnel->counters->handshakes, 1);
	counter_set(&peer->counters->last_handshake_at, (uint64_t)wall_clock_ms());
	/* Before the state, so that whoever waits for it reads them. */
	publish_peer(peer, loop_now(tunnel->context->loop));
	news_handshake(peer, true);
	news_endpoint(peer);
	tunnel->health.must_review = true;
	tunnel->health.goes_on |= kept_waiting;
}

/* It was heard with a packet of its session: waiting packets are sent, and waiting dials continue. */
static void on_returned(struct tunnel_peer *peer)
{
	peer->health.judge_at = peer->health.move_at = LOOP_NEVER;
	peer->tunnel->health.must_review = peer->tunnel->health.goes_on = true;
}

static void on_gave_up(struct tunnel_peer *peer)
{
	struct tunnel *tunnel = peer->tunnel;
	uint64_t pause = RETRY_PAUSE + randombytes_uniform((uint32_t)(RETRY_JITTER / 1000)) * 1000ull;
	if (health_why_refused(peer) != NULL)
		pause = REFUSED_PAUSE;
	set_time(tunnel, &peer->health.retry_at, loop_now(tunnel->context->loop) + pause);
	news_handshake(peer, false);
	tunnel->health.must_review = true;
}

void health_tried(struct tunnel *tunnel, const union wireguard_endpoint *to, int error)
{
	if (error == 0 && !tunnel->health.has_refused)
		return;
	tunnel->health.has_refused = true;
	for (struct wireguard_peer *peer = NULL; (peer = wireguard_device_next_at(tunnel->device, to, peer)) != NULL;) {
		struct health_peer *health = &((struct tunnel_peer *)wireguard_peer_tag(peer))->health;
		if (error == 0 && health->refusals == 0)
			continue;
		health->was_tried = tunnel->health.has_events = true;
		health->tried = error;
		tunnel_wake(tunnel);
	}
}

static const char *refusal_text(const struct tunnel *tunnel, int error)
{
	if (tunnel->carrier != NULL)
		return "the outer tunnel cannot send to the peer's endpoint; do its allowed_ips cover it?";
	switch (error) {
	case EPERM:
	case EACCES: return "the host does not permit packets to the peer's endpoint; is there a firewall rule?";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT: return "the host has no route to the peer's endpoint";
	default: return "the host cannot send to the peer's endpoint";
	}
}

/* Others of its addresses are tried at once, as a host without IPv6 refuses half of them. */
static void on_tried(struct tunnel_peer *peer)
{
	struct health_peer *health = &peer->health;
	bool was_refused = is_refused(peer), has_answered = health->has_answered;
	health->was_tried = false;
	if (health->tried == 0)
		health->refusals = 0;
	else if (!was_refused)
		health->refusals++;
	if (health->tried != 0)
		health->refusal = refusal_text(peer->tunnel, health->tried);
	if (!was_refused && is_refused(peer) && health->refused_until == LOOP_NEVER)
		set_time(peer->tunnel, &health->refused_until, loop_now(peer->tunnel->context->loop) + REFUSED_LEAST);
	peer->tunnel->health.must_review |= was_refused || is_refused(peer);
	if (health->tried == 0 || is_refused(peer))
		return;
	remedy_next_address(peer);
	initiate(peer, has_answered ? wireguard_peer_initiate : wireguard_peer_restart);
}

void health_note(struct tunnel_peer *peer, enum wireguard_event event)
{
	peer->health.events |= 1u << event;
	peer->tunnel->health.has_events = true;
	tunnel_wake(peer->tunnel);
}

static void act(struct tunnel_peer *peer)
{
	unsigned events = peer->health.events;
	peer->health.events = 0;
	if ((events & 1u << WIREGUARD_HANDSHAKE_COMPLETED) != 0)
		on_completed(peer);
	else if ((events & 1u << WIREGUARD_ENDPOINT_MOVED) != 0)
		news_endpoint(peer);
	if ((events & 1u << WIREGUARD_PEER_RETURNED) != 0 && (events & 1u << WIREGUARD_HANDSHAKE_COMPLETED) == 0)
		on_returned(peer);
	/* Under traffic, a vanished peer is detected after two initiations: at most 5.3 + 5.3 + 1.3 s. */
	if ((events & 1u << WIREGUARD_PEER_QUIET) != 0)
		initiate(peer, wireguard_peer_ask);
	/* It may have moved; with a session, two more initiations would take too long. */
	if ((events & 1u << WIREGUARD_PEER_SILENT) != 0)
		remedy_resolve(peer);
	if ((events & 1u << WIREGUARD_INITIATION_SENT) != 0)
		on_initiation(peer);
	if ((events & 1u << WIREGUARD_HANDSHAKE_GAVE_UP) != 0)
		on_gave_up(peer);
	if ((events & 1u << WIREGUARD_SESSION_TAKEN) != 0)
		condition_note_key_taken(peer->tunnel, loop_now(peer->tunnel->context->loop));
	if ((events & 1u << WIREGUARD_SESSION_EXPIRED) != 0)
		peer->tunnel->health.must_review = true;
	if (peer->health.was_tried)
		on_tried(peer);
}

/* Once for all peers: with thousands, reviewing all of them for each would stall the worker. */
static void review_once(struct tunnel *tunnel)
{
	bool goes_on = tunnel->health.goes_on;
	if (tunnel->health.must_review)
		health_review(tunnel);
	tunnel->health.must_review = tunnel->health.goes_on = false;
	if (!goes_on)
		return;
	tunnel_run_stack(tunnel, netstack_kick);
	dial_go_all(tunnel);
}

void health_act(struct tunnel *tunnel)
{
	if (!tunnel->health.has_events)
		return;
	tunnel->health.has_events = false;
	if (tunnel->health.must_follow)
		follow(tunnel);
	bool has_refused = false;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		struct tunnel_peer *peer = tunnel->peers[i];
		if (peer->health.events != 0 || peer->health.was_tried)
			act(peer);
		has_refused |= peer->health.refusals > 0;
	}
	tunnel->health.has_refused = has_refused;
	review_once(tunnel);
}

void health_wanted(struct tunnel *tunnel)
{
	struct health *health = &tunnel->health;
	uint64_t now = loop_now(tunnel->context->loop);
	size_t begun = 0;
	if (now < health->wanted_until || !tunnel_has_way(tunnel))
		return;
	health->wanted_until = now + WANTED_PAUSE;
	for (size_t i = 0; i < tunnel->peer_count; i++)
		begin(tunnel->peers[i], WIREGUARD_BEGIN, &begun);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t first_due(const struct tunnel *tunnel)
{
	uint64_t at = LOOP_NEVER;
	for (size_t i = 0; i < tunnel->peer_count; i++) {
		const struct health_peer *health = &tunnel->peers[i]->health;
		at = least(at, health->retry_at);
		at = least(at, health->judge_at);
		at = least(at, health->move_at);
		at = least(at, health->refused_until);
		at = least(at, news_due_of(tunnel->peers[i]));
	}
	return least(least(at, news_due(tunnel)), tunnel->health.review_at);
}

uint64_t health_deadline(const struct tunnel *tunnel)
{
	return tunnel->health.due;
}

/* Without a way it waits for that: take_way begins with every peer. */
static void retry(struct tunnel_peer *peer)
{
	bool has_way = tunnel_has_way(peer->tunnel);
	if (has_way && wireguard_peer_has_endpoint(peer->peer)) {
		initiate(peer, wireguard_peer_retry);
		return;
	}
	peer->health.retry_at = LOOP_NEVER;
	if (has_way)
		resolve_inside(peer);
}

static void tick_peer(struct tunnel_peer *peer, unsigned *retries, uint64_t now)
{
	struct health_peer *health = &peer->health;
	news_tell_held_of(peer, now);
	if (health->judge_at <= now) {
		health->judge_at = LOOP_NEVER;
		peer->tunnel->health.must_review = true;
	}
	if (health->refused_until <= now) {
		health->refused_until = LOOP_NEVER;
		peer->tunnel->health.must_review = true;
	}
	if (health->move_at <= now) {
		health->move_at = LOOP_NEVER;
		remedy_next_address(peer);
	}
	if (health->retry_at <= now && (*retries)++ < RETRIES_A_TICK)
		retry(peer);
}

void health_tick(struct tunnel *tunnel, uint64_t now)
{
	unsigned retries = 0;
	if (tunnel->health.due > now)
		return;
	news_tell_held(tunnel, now);
	if (tunnel->health.review_at <= now) {
		tunnel->health.review_at = LOOP_NEVER;
		tunnel->health.must_review = true;
	}
	for (size_t i = 0; i < tunnel->peer_count; i++)
		tick_peer(tunnel->peers[i], &retries, now);
	review_once(tunnel);
	tunnel->health.due = first_due(tunnel);
}

void health_hand_over(struct tunnel *tunnel)
{
	health_act(tunnel);
	news_tell_held(tunnel, LOOP_NEVER);
	for (size_t i = 0; i < tunnel->peer_count; i++)
		news_tell_held_of(tunnel->peers[i], LOOP_NEVER);
}
