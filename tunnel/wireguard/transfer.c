/* The form has a version, because the two devices may be of two versions of this program. Only the same machine reads it. */
#include "tunnel/wireguard/transfer.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tunnel/wireguard/device_private.h"

#define FORMAT 1u
#define RING_WORDS (WIREGUARD_REPLAY_BITS / 64)
#define UNANSWERED_MOST 1000u

enum session_flag { SESSION_IS_THERE = 1, SESSION_IS_INITIATOR = 2, SESSION_HAS_ASKED = 4, SESSION_HAS_RING = 8 };

/* EXPIRY follows from the sessions; ROOM is of what is staged. */
static const enum wireguard_timer moved_timers[] = { WIREGUARD_TIMER_RETRANSMIT, WIREGUARD_TIMER_NEW_HANDSHAKE, WIREGUARD_TIMER_QUIET,
	                                             WIREGUARD_TIMER_KEEPALIVE, WIREGUARD_TIMER_PERSISTENT };
#define MOVED_TIMERS (sizeof(moved_timers) / sizeof(moved_timers[0]))

/* Everything but the sessions. */
struct state {
	struct wireguard_tai64n last_timestamp; /* the device's */
	struct wireguard_key public_key;
	union wireguard_endpoint endpoint;
	uint64_t last_handshake, round_trip, last_received, last_sent_handshake, initiated_at, cookie_since;
	uint8_t cookie[WIREGUARD_COOKIE_LENGTH];
	uint32_t unanswered, attempts;
	uint64_t deadlines[MOVED_TIMERS], patience;
	bool needs_another_keepalive;
};

/* Giving. */

static void put_state(const struct wireguard_peer *peer, struct message_writer *writer)
{
	message_put_bytes(writer, peer->device->last_timestamp.bytes, sizeof(peer->device->last_timestamp.bytes));
	message_put_bytes(writer, peer->public_key.bytes, sizeof(peer->public_key.bytes));
	message_put_endpoint(writer, &peer->endpoint);
	message_put_u64(writer, peer->stats.last_handshake);
	message_put_u64(writer, peer->stats.round_trip);
	message_put_u64(writer, peer->stats.last_received);
	message_put_u64(writer, peer->last_sent_handshake);
	message_put_u64(writer, peer->initiated_at);
	message_put_u64(writer, peer->cookies.cookie_since);
	message_put_bytes(writer, peer->cookies.cookie, sizeof(peer->cookies.cookie));
	message_put_u32(writer, peer->stats.unanswered < UNANSWERED_MOST ? peer->stats.unanswered : UNANSWERED_MOST);
	message_put_u32(writer, peer->timers.attempts);
	for (size_t i = 0; i < MOVED_TIMERS; i++)
		message_put_u64(writer, peer->timers.deadlines[moved_timers[i]]);
	message_put_u64(writer, peer->timers.patience);
	message_put_u8(writer, peer->timers.needs_another_keepalive);
}

static void put_session(const struct wireguard_session *session, struct message_writer *writer)
{
	if (session == NULL) {
		message_put_u8(writer, 0);
		return;
	}
	unsigned flags = SESSION_IS_THERE | (session->is_initiator ? SESSION_IS_INITIATOR : 0);
	flags |= session->has_asked_to_replace ? SESSION_HAS_ASKED : 0;
	flags |= session->replay.ring != NULL ? SESSION_HAS_RING : 0;
	message_put_u8(writer, (uint8_t)flags);
	message_put_u64(writer, session->created);
	message_put_u64(writer, session->counter);
	message_put_u32(writer, session->index.number);
	message_put_u32(writer, session->remote_index);
	message_put_u16(writer, session->rekey_after);
	message_put_bytes(writer, &session->secrets->session, sizeof(session->secrets->session));
	message_put_u64(writer, session->replay.next);
	if (session->replay.ring != NULL)
		message_put_bytes(writer, session->replay.ring, RING_WORDS * sizeof(*session->replay.ring));
	else
		message_put_u64(writer, session->replay.first);
}

void wireguard_transfer_give(struct wireguard_peer *peer, struct message_writer *writer)
{
	message_put_u8(writer, FORMAT);
	put_state(peer, writer);
	put_session(peer->sessions.current, writer);
	put_session(peer->sessions.next, writer);
	put_session(peer->sessions.previous, writer);
	wireguard_peer_stop(peer);
}

/* Taking. */

static void get_state(struct message_reader *reader, struct state *state)
{
	message_get_bytes(reader, state->last_timestamp.bytes, sizeof(state->last_timestamp.bytes));
	message_get_bytes(reader, state->public_key.bytes, sizeof(state->public_key.bytes));
	message_get_endpoint(reader, &state->endpoint);
	state->last_handshake = message_get_u64(reader);
	state->round_trip = message_get_u64(reader);
	state->last_received = message_get_u64(reader);
	state->last_sent_handshake = message_get_u64(reader);
	state->initiated_at = message_get_u64(reader);
	state->cookie_since = message_get_u64(reader);
	message_get_bytes(reader, state->cookie, sizeof(state->cookie));
	state->unanswered = message_get_u32(reader);
	state->attempts = message_get_u32(reader);
	for (size_t i = 0; i < MOVED_TIMERS; i++)
		state->deadlines[i] = message_get_u64(reader);
	state->patience = message_get_u64(reader);
	state->needs_another_keepalive = message_get_u8(reader) != 0;
}

static bool is_past(uint64_t time, uint64_t now)
{
	return time <= now || time == WIREGUARD_NEVER;
}

/* A time in the future would make an age of centuries. */
static bool is_sane(const struct state *state, uint64_t now)
{
	return state->last_handshake <= now && state->last_received <= now && state->initiated_at <= now &&
	       is_past(state->last_sent_handshake, now) && is_past(state->cookie_since, now) && state->unanswered <= UNANSWERED_MOST &&
	       state->patience >= WIREGUARD_PATIENCE;
}

/* The times of a session's life are those of this device, which may have changed since it was made. */
static void set_life(struct wireguard_session *session, uint32_t rekey_after, const struct wireguard_timings *timings)
{
	if (rekey_after < timings->rekey_after.low)
		rekey_after = timings->rekey_after.low;
	if (rekey_after > timings->rekey_after.high)
		rekey_after = timings->rekey_after.high;
	wireguard_session_set_life(session, timings, rekey_after);
}

/* WIREGUARD_OK, OUT_OF_MEMORY or BAD_STATE. */
static int get_replay(struct message_reader *reader, bool has_ring, struct wireguard_replay *replay)
{
	replay->next = message_get_u64(reader);
	if (replay->next > WIREGUARD_REJECT_AFTER_MESSAGES || (!has_ring && replay->next > 64))
		return WIREGUARD_BAD_STATE;
	if (!has_ring) {
		replay->first = message_get_u64(reader);
		return WIREGUARD_OK;
	}
	replay->ring = calloc(RING_WORDS, sizeof(*replay->ring));
	if (replay->ring == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	message_get_bytes(reader, replay->ring, RING_WORDS * sizeof(*replay->ring));
	return WIREGUARD_OK;
}

/* The members of a session that is none of the peer's three yet, and not listed. */
static int get_session(struct wireguard_peer *peer, struct message_reader *reader, unsigned flags, struct wireguard_session *session, uint64_t now)
{
	session->created = message_get_u64(reader);
	uint64_t counter = message_get_u64(reader);
	uint32_t number = message_get_u32(reader);
	session->remote_index = message_get_u32(reader);
	uint32_t rekey_after = message_get_u16(reader);
	message_get_bytes(reader, &session->secrets->session, sizeof(session->secrets->session));
	session->is_initiator = (flags & SESSION_IS_INITIATOR) != 0;
	session->has_asked_to_replace = (flags & SESSION_HAS_ASKED) != 0;
	bool has_room = counter < WIREGUARD_REJECT_AFTER_MESSAGES - WIREGUARD_TRANSFER_JUMP;
	session->counter = has_room ? counter + WIREGUARD_TRANSFER_JUMP : WIREGUARD_REJECT_AFTER_MESSAGES;
	int result = get_replay(reader, (flags & SESSION_HAS_RING) != 0, &session->replay);
	if (result != WIREGUARD_OK)
		return result;
	if (reader->failed || session->created > now)
		return WIREGUARD_BAD_STATE;
	set_life(session, rekey_after, &peer->device->timings);
	if (!wireguard_indices_put(&peer->device->indices, &session->index, number))
		return WIREGUARD_BAD_STATE;
	session->index.peer = peer;
	session->index.session = session;
	return WIREGUARD_OK;
}

static int take_session(struct wireguard_peer *peer, struct message_reader *reader, struct wireguard_session **place, uint64_t now)
{
	unsigned flags = message_get_u8(reader);

	if ((flags & SESSION_IS_THERE) == 0)
		return reader->failed ? WIREGUARD_BAD_STATE : WIREGUARD_OK;
	struct wireguard_session *session = wireguard_sessions_create(&peer->sessions, &peer->device->indices, now);
	if (session == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	int result = get_session(peer, reader, flags, session, now);
	if (result != WIREGUARD_OK)
		wireguard_sessions_discard(&peer->device->indices, session);
	else
		*place = session;
	return result;
}

/* The previous one last, because making another would end it. */
static int take_sessions(struct wireguard_peer *peer, struct message_reader *reader, uint64_t now)
{
	int result = take_session(peer, reader, &peer->sessions.current, now);

	if (result == WIREGUARD_OK)
		result = take_session(peer, reader, &peer->sessions.next, now);
	if (result == WIREGUARD_OK)
		result = take_session(peer, reader, &peer->sessions.previous, now);
	if (result == WIREGUARD_OK && !message_is_whole(reader))
		result = WIREGUARD_BAD_STATE;
	if (result != WIREGUARD_OK)
		wireguard_sessions_clear(&peer->sessions, &peer->device->indices);
	return result;
}

static void take_timers(struct wireguard_peer *peer, const struct state *state)
{
	struct wireguard_timers *timers = &peer->timers;

	for (size_t i = 0; i < MOVED_TIMERS; i++)
		if (moved_timers[i] != WIREGUARD_TIMER_PERSISTENT || timers->persistent_interval != 0)
			wireguard_timers_resume(timers, moved_timers[i], state->deadlines[i]);
	timers->patience = state->patience;
	timers->attempts = state->attempts;
	timers->needs_another_keepalive = state->needs_another_keepalive;
}

/* The answer to an initiation cannot be read here. While there is no session the next one is not to wait for it. */
static void begin_anew(struct wireguard_peer *peer, uint64_t now)
{
	bool is_begun = peer->timers.deadlines[WIREGUARD_TIMER_RETRANSMIT] != WIREGUARD_NEVER;

	if (!is_begun || wireguard_session_can_send(peer->sessions.current, now))
		return;
	peer->is_urgent = true;
	wireguard_timers_initiation_due(&peer->timers, now);
}

static void take_state(struct wireguard_peer *peer, const struct state *state, uint64_t now)
{
	struct wireguard_device *device = peer->device;

	if (wireguard_tai64n_is_after(&state->last_timestamp, &device->last_timestamp))
		device->last_timestamp = state->last_timestamp;
	if (state->endpoint.any.sa_family != AF_UNSPEC)
		wireguard_peer_set_endpoint(peer, &state->endpoint);
	peer->stats.last_handshake = state->last_handshake;
	peer->stats.round_trip = state->round_trip;
	peer->stats.last_received = state->last_received;
	peer->stats.unanswered = state->unanswered;
	peer->last_sent_handshake = state->last_sent_handshake;
	peer->initiated_at = state->initiated_at;
	peer->cookies.cookie_since = state->cookie_since;
	memcpy(peer->cookies.cookie, state->cookie, sizeof(state->cookie));
	take_timers(peer, state);
	/* Those that have ended on the way. */
	wireguard_sessions_expire(&peer->sessions, &device->indices, now);
	wireguard_timers_sessions_changed(&peer->timers, wireguard_sessions_oldest(&peer->sessions));
	begin_anew(peer, now);
}

static bool has_session(const struct wireguard_peer *peer)
{
	return peer->sessions.current != NULL || peer->sessions.next != NULL || peer->sessions.previous != NULL;
}

int wireguard_transfer_take(struct wireguard_device *device, struct message_reader *reader, uint64_t now, struct wireguard_peer **peer)
{
	struct state state;

	if (message_get_u8(reader) != FORMAT)
		return WIREGUARD_BAD_STATE;
	get_state(reader, &state);
	int result = reader->failed || !is_sane(&state, now) ? WIREGUARD_BAD_STATE : WIREGUARD_OK;
	struct wireguard_peer *found = result == WIREGUARD_OK ? wireguard_peer_find(device, &state.public_key) : NULL;
	if (result == WIREGUARD_OK && (found == NULL || has_session(found)))
		result = WIREGUARD_NO_PEER;
	if (result == WIREGUARD_OK)
		result = take_sessions(found, reader, now);
	if (result == WIREGUARD_OK)
		take_state(found, &state, now);
	if (result == WIREGUARD_OK && peer != NULL)
		*peer = found;
	sodium_memzero(&state, sizeof(state));
	return result;
}
