/* A session lives at most REJECT_AFTER_TIME: then it is wiped and freed at once, well before the 540 s that the paper allows (6.3). */
#include "tunnel/wireguard/session.h"

#include <sodium.h>
#include <stdlib.h>

#include "tunnel/wireguard/sealing.h"
#include "tunnel/wireguard/timers.h"

static uint64_t age(const struct wireguard_session *session, uint64_t now)
{
	return now - session->created;
}

bool wireguard_session_is_expired(const struct wireguard_session *session, uint64_t now)
{
	return age(session, now) >= session->reject_after * WIREGUARD_SECOND;
}

bool wireguard_session_can_send(const struct wireguard_session *session, uint64_t now)
{
	return session != NULL && !wireguard_session_is_expired(session, now) && session->counter < WIREGUARD_REJECT_AFTER_MESSAGES;
}

bool wireguard_session_is_stale_for_sending(const struct wireguard_session *session, uint64_t now)
{
	if (session->counter > WIREGUARD_REKEY_AFTER_MESSAGES)
		return true;
	/* Only the initiator rekeys by time; otherwise both would at once. */
	return session->is_initiator && age(session, now) >= session->rekey_after * WIREGUARD_SECOND;
}

bool wireguard_session_is_stale_for_receiving(const struct wireguard_session *session, uint64_t now)
{
	return session->is_initiator && !session->has_asked_to_replace && age(session, now) >= session->last_minute * WIREGUARD_SECOND;
}

void wireguard_session_set_life(struct wireguard_session *session, const struct wireguard_timings *timings, uint32_t rekey_after)
{
	uint32_t reserve = timings->keepalive_timeout.high + timings->rekey_timeout.high, life = timings->reject_after.high;

	session->rekey_after = (uint16_t)rekey_after;
	session->reject_after = (uint16_t)life;
	session->last_minute = (uint16_t)(life > reserve ? life - reserve : life);
}

void wireguard_session_seal(struct wireguard_session *session, uint8_t *message, size_t length)
{
	struct wireguard_message_data *header = (struct wireguard_message_data *)message;
	uint64_t counter = session->counter++;

	wireguard_message_put32(header->header.type, WIREGUARD_DATA);
	wireguard_message_put32(header->receiver, session->remote_index);
	wireguard_message_put64(header->counter, counter);
	wireguard_sealing_add(session->secrets->session.sending, message + sizeof(*header), length, counter);
}

void wireguard_session_open(const struct wireguard_session *session, struct wireguard_aead_packet *packets, size_t count)
{
	wireguard_aead_open_batch(session->secrets->session.receiving, packets, count);
}

static bool is_taken(const struct wireguard_sessions *sessions, const union wireguard_secrets *slot)
{
	return (sessions->current != NULL && sessions->current->secrets == slot) || (sessions->next != NULL && sessions->next->secrets == slot);
}

static void end(struct wireguard_indices *indices, struct wireguard_session **session)
{
	if (*session == NULL)
		return;
	wireguard_sessions_discard(indices, *session);
	*session = NULL;
}

struct wireguard_session *wireguard_sessions_create(struct wireguard_sessions *sessions, struct wireguard_indices *indices, uint64_t now)
{
	struct wireguard_session *session = calloc(1, sizeof(*session));
	size_t slot = 0;

	if (session == NULL)
		return NULL;
	end(indices, &sessions->previous);
	while (is_taken(sessions, sessions->slots[slot]))
		slot++;
	session->secrets = sessions->slots[slot];
	session->created = now;
	return session;
}

void wireguard_sessions_discard(struct wireguard_indices *indices, struct wireguard_session *session)
{
	wireguard_indices_remove(indices, &session->index);
	wireguard_sealing_run(); /* what it has sent, and the env still holds */
	sodium_memzero(session->secrets, sizeof(*session->secrets));
	wireguard_replay_clear(&session->replay);
	free(session);
}

void wireguard_sessions_install_current(struct wireguard_sessions *sessions, struct wireguard_indices *indices, struct wireguard_session *session)
{
	end(indices, &sessions->previous);
	if (sessions->next != NULL) {
		/* The other side may already be sending with it. */
		sessions->previous = sessions->next;
		sessions->next = NULL;
		end(indices, &sessions->current);
	} else {
		sessions->previous = sessions->current;
	}
	sessions->current = session;
}

void wireguard_sessions_install_next(struct wireguard_sessions *sessions, struct wireguard_indices *indices, struct wireguard_session *session)
{
	end(indices, &sessions->next);
	sessions->next = session;
}

void wireguard_sessions_confirm_next(struct wireguard_sessions *sessions, struct wireguard_indices *indices)
{
	end(indices, &sessions->previous);
	sessions->previous = sessions->current;
	sessions->current = sessions->next;
	sessions->next = NULL;
}

void wireguard_sessions_expire(struct wireguard_sessions *sessions, struct wireguard_indices *indices, uint64_t now)
{
	struct wireguard_session **all[] = { &sessions->previous, &sessions->current, &sessions->next };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!wireguard_session_can_send(*all[i], now))
			end(indices, all[i]);
}

void wireguard_sessions_clear(struct wireguard_sessions *sessions, struct wireguard_indices *indices)
{
	end(indices, &sessions->previous);
	end(indices, &sessions->current);
	end(indices, &sessions->next);
}

uint64_t wireguard_sessions_oldest(const struct wireguard_sessions *sessions)
{
	const struct wireguard_session *all[] = { sessions->previous, sessions->current, sessions->next };
	uint64_t oldest = WIREGUARD_NEVER;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != NULL && all[i]->created < oldest)
			oldest = all[i]->created;
	return oldest;
}
