/* Sessions: a pair of keys with their counters, and the three sessions that a peer may have at a time (paper, 6.3). */
#ifndef WARREN_TUNNEL_WIREGUARD_SESSION_H
#define WARREN_TUNNEL_WIREGUARD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/arena.h"
#include "tunnel/wireguard/indices.h"
#include "tunnel/wireguard/replay.h"
#include "tunnel/wireguard/timings.h"

#define WIREGUARD_REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define WIREGUARD_REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))

struct wireguard_session {
	struct wireguard_index index;
	union wireguard_secrets *secrets; /* one of the peer's slots */
	uint64_t created;
	uint64_t counter; /* of the next message to send */
	uint32_t remote_index;
	uint16_t rekey_after, last_minute, reject_after; /* seconds of age: when the initiator replaces it, for sending and for receiving; its end */
	bool is_initiator;
	bool has_asked_to_replace; /* its last-minute initiation was sent (paper, 6.2) */
	struct wireguard_replay replay;
};

/* Embedded in a peer.
 * current:  sends and receives.
 * previous: was current; never sends, but still receives packets that were in flight.
 * next:     derived as responder; must not send until a packet was received with it, since only that proves that the initiator has the
 *           keys (paper, 5.4.6). Then it becomes current. */
struct wireguard_sessions {
	struct wireguard_session *previous;
	struct wireguard_session *current;
	struct wireguard_session *next;
	union wireguard_secrets *slots[3]; /* borrowed */
};

bool wireguard_session_is_expired(const struct wireguard_session *session, uint64_t now);
/* A NULL session cannot send. */
bool wireguard_session_can_send(const struct wireguard_session *session, uint64_t now);
/* Whether it is time to start the next handshake, after a send or a receive (paper, 6.2). */
bool wireguard_session_is_stale_for_sending(const struct wireguard_session *session, uint64_t now);
bool wireguard_session_is_stale_for_receiving(const struct wireguard_session *session, uint64_t now);

/* Fills in the header of a message with `length` bytes after it, which wait to be sealed (sealing.h). */
void wireguard_session_seal(struct wireguard_session *session, uint8_t *message, size_t length);
/* Opens the payloads of data messages in place. */
void wireguard_session_open(const struct wireguard_session *session, struct wireguard_aead_packet *packets, size_t count);

/* Creates a session that is not yet one of the three; frees the previous one if needed. NULL when out of memory. */
struct wireguard_session *wireguard_sessions_create(struct wireguard_sessions *sessions, struct wireguard_indices *indices, uint64_t now);
/* Its life; `rekey_after` is drawn from their range, in seconds. */
void wireguard_session_set_life(struct wireguard_session *session, const struct wireguard_timings *timings, uint32_t rekey_after);
/* Frees a session that is none of the three. */
void wireguard_sessions_discard(struct wireguard_indices *indices, struct wireguard_session *session);
/* A session derived as initiator can send at once; one derived as responder waits for confirmation. */
void wireguard_sessions_install_current(struct wireguard_sessions *sessions, struct wireguard_indices *indices, struct wireguard_session *session);
void wireguard_sessions_install_next(struct wireguard_sessions *sessions, struct wireguard_indices *indices, struct wireguard_session *session);
void wireguard_sessions_confirm_next(struct wireguard_sessions *sessions, struct wireguard_indices *indices);
/* Ends sessions that are too old or have no counters left. */
void wireguard_sessions_expire(struct wireguard_sessions *sessions, struct wireguard_indices *indices, uint64_t now);
void wireguard_sessions_clear(struct wireguard_sessions *sessions, struct wireguard_indices *indices);
/* When the oldest one was derived, WIREGUARD_NEVER: none. */
uint64_t wireguard_sessions_oldest(const struct wireguard_sessions *sessions);

#endif
