#include "ipc/pool_message.h"

#include <assert.h>
#include <stdlib.h>

/* A count that the list's size bounds. */
static uint32_t get_count(struct message_reader *reader, uint32_t most)
{
	uint32_t count = message_get_u32(reader);
	if (count > most)
		reader->failed = true;
	return reader->failed ? 0 : count;
}

void peer_link_encode(struct message_writer *writer, const struct peer_link *message)
{
	message_put_u32(writer, message->worker);
	message_put_u32(writer, message->incarnation);
}

bool peer_link_decode(struct message_reader *reader, struct peer_link *message)
{
	*message = (struct peer_link){ .worker = message_get_u32(reader) };
	message->incarnation = message_get_u32(reader);
	return message_is_whole(reader);
}

void pool_elsewhere_encode(struct message_writer *writer, const struct pool_elsewhere *message)
{
	message_put_u64(writer, message->pool);
	message_put_u32(writer, message->home);
	spec_encode(writer, &message->spec);
}

bool pool_elsewhere_decode(struct message_reader *reader, struct pool_elsewhere *message)
{
	*message = (struct pool_elsewhere){ .pool = message_get_u64(reader) };
	message->home = message_get_u32(reader);
	if (!spec_decode(reader, &message->spec))
		return false;
	if (message_is_whole(reader) && message->spec.kind == SPEC_POOL)
		return true;
	spec_clear(&message->spec);
	return false;
}

void pool_end_encode(struct message_writer *writer, uint64_t pool)
{
	message_put_u64(writer, pool);
}

bool pool_end_decode(struct message_reader *reader, uint64_t *pool)
{
	*pool = message_get_u64(reader);
	return message_is_whole(reader);
}

/* Members. */

void pool_member_clear(struct pool_member *member)
{
	spec_labels_free(member->labels, member->label_count);
	member->labels = NULL;
	member->label_count = 0;
}

void pool_members_clear(struct pool_members *message)
{
	for (size_t i = 0; i < message->count; i++)
		pool_member_clear(&message->list[i]);
	free(message->list);
	*message = (struct pool_members){ 0 };
}

static void put_member(struct message_writer *writer, const struct pool_member *member)
{
	message_put_u32(writer, member->number);
	message_put_u32(writer, member->worker);
	message_put_u32(writer, member->slot);
	message_put_u64(writer, member->generation);
	message_put_u32(writer, member->weight);
	message_put_u32(writer, member->order);
	message_put_u8(writer, member->up);
	message_put_u8(writer, member->is_starting);
	message_put_u8(writer, member->health);
	message_put_u32(writer, member->rtt_us);
	message_put_text(writer, member->id, sizeof(member->id));
	spec_labels_encode(writer, member->labels, member->label_count);
}

static void get_member(struct message_reader *reader, struct pool_member *member)
{
	member->number = message_get_u32(reader);
	member->worker = message_get_u32(reader);
	member->slot = message_get_u32(reader);
	member->generation = message_get_u64(reader);
	member->weight = message_get_u32(reader);
	member->order = message_get_u32(reader);
	member->up = message_get_u8(reader) != 0;
	member->is_starting = message_get_u8(reader) != 0;
	member->health = message_get_u8(reader);
	member->rtt_us = message_get_u32(reader);
	message_get_text(reader, member->id, sizeof(member->id));
	if (member->weight < 1 || member->weight > POOL_SPEC_WEIGHT_MAX || member->health >= POOL_HEALTHS)
		reader->failed = true;
	member->labels = spec_labels_decode(reader, &member->label_count);
}

void pool_members_encode(struct message_writer *writer, const struct pool_members *message)
{
	assert(message->count <= POOL_MEMBERS_PIECE);
	message_put_u64(writer, message->pool);
	message_put_u8(writer, message->is_first);
	message_put_u8(writer, message->is_last);
	message_put_u32(writer, (uint32_t)message->count);
	for (size_t i = 0; i < message->count; i++)
		put_member(writer, &message->list[i]);
}

bool pool_members_decode(struct message_reader *reader, struct pool_members *message)
{
	*message = (struct pool_members){ .pool = message_get_u64(reader) };
	message->is_first = message_get_u8(reader) != 0;
	message->is_last = message_get_u8(reader) != 0;
	message->list = message_get_array(reader, POOL_MEMBERS_PIECE, sizeof(*message->list), &message->count);
	for (size_t i = 0; i < message->count && !reader->failed; i++)
		get_member(reader, &message->list[i]);
	if (message_is_whole(reader))
		return true;
	pool_members_clear(message);
	return false;
}

/* Sessions. */

void pool_sessions_encode(struct message_writer *writer, const struct pool_sessions *message)
{
	assert(message->count <= POOL_SESSIONS_PIECE);
	message_put_u64(writer, message->pool);
	message_put_u8(writer, message->is_last);
	message_put_u32(writer, message->count);
	for (uint32_t i = 0; i < message->count; i++) {
		const struct pool_session *session = &message->list[i];
		message_put_text(writer, session->key, sizeof(session->key));
		message_put_text(writer, session->tunnel, sizeof(session->tunnel));
		message_put_u64(writer, session->expires_at);
	}
}

bool pool_sessions_decode(struct message_reader *reader, struct pool_sessions *message)
{
	message->pool = message_get_u64(reader);
	message->is_last = message_get_u8(reader) != 0;
	message->count = get_count(reader, POOL_SESSIONS_PIECE);
	for (uint32_t i = 0; i < message->count; i++) {
		struct pool_session *session = &message->list[i];
		message_get_text(reader, session->key, sizeof(session->key));
		message_get_text(reader, session->tunnel, sizeof(session->tunnel));
		session->expires_at = message_get_u64(reader);
	}
	return message_is_whole(reader);
}

void pool_forget_encode(struct message_writer *writer, const struct pool_forget *message)
{
	message_put_u64(writer, message->request);
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_u8(writer, message->all);
	message_put_text(writer, message->key, sizeof(message->key));
}

bool pool_forget_decode(struct message_reader *reader, struct pool_forget *message)
{
	*message = (struct pool_forget){ .request = message_get_u64(reader) };
	message->slot = message_get_u32(reader);
	message->generation = message_get_u64(reader);
	message->all = message_get_u8(reader) != 0;
	message_get_text(reader, message->key, sizeof(message->key));
	return message_is_whole(reader);
}

void pool_forgotten_encode(struct message_writer *writer, const struct pool_forgotten *message)
{
	message_encode_ack(writer, &message->ack);
	message_put_u32(writer, message->count);
}

bool pool_forgotten_decode(struct message_reader *reader, struct pool_forgotten *message)
{
	message_get_ack(reader, &message->ack);
	message->count = message_get_u32(reader);
	return message_is_whole(reader);
}

/* Open connections. */

void pool_count_encode(struct message_writer *writer, const struct pool_count *message)
{
	assert(message->count <= POOL_COUNT_PIECE);
	message_put_u64(writer, message->request);
	message_put_u32(writer, message->slot);
	message_put_u64(writer, message->generation);
	message_put_u32(writer, message->count);
	for (uint32_t i = 0; i < message->count; i++)
		message_put_text(writer, message->keys[i], sizeof(message->keys[i]));
}

bool pool_count_decode(struct message_reader *reader, struct pool_count *message)
{
	message->request = message_get_u64(reader);
	message->slot = message_get_u32(reader);
	message->generation = message_get_u64(reader);
	message->count = get_count(reader, POOL_COUNT_PIECE);
	for (uint32_t i = 0; i < message->count; i++)
		message_get_text(reader, message->keys[i], sizeof(message->keys[i]));
	return message_is_whole(reader);
}

void pool_counted_encode(struct message_writer *writer, const struct pool_counted *message)
{
	assert(message->count <= POOL_COUNT_PIECE);
	message_encode_ack(writer, &message->ack);
	message_put_u32(writer, message->count);
	for (uint32_t i = 0; i < message->count; i++)
		message_put_u32(writer, message->open[i]);
}

bool pool_counted_decode(struct message_reader *reader, struct pool_counted *message)
{
	message_get_ack(reader, &message->ack);
	message->count = get_count(reader, POOL_COUNT_PIECE);
	for (uint32_t i = 0; i < message->count; i++)
		message->open[i] = message_get_u32(reader);
	return message_is_whole(reader);
}

void pool_open_encode(struct message_writer *writer, const struct pool_open *message)
{
	assert(message->count <= POOL_OPEN_PIECE);
	message_put_u64(writer, message->pool);
	message_put_u32(writer, message->count);
	for (uint32_t i = 0; i < message->count; i++) {
		message_put_u32(writer, message->list[i].member);
		message_put_u32(writer, message->list[i].open);
	}
}

bool pool_open_decode(struct message_reader *reader, struct pool_open *message)
{
	message->pool = message_get_u64(reader);
	message->count = get_count(reader, POOL_OPEN_PIECE);
	for (uint32_t i = 0; i < message->count; i++) {
		message->list[i].member = message_get_u32(reader);
		message->list[i].open = message_get_u32(reader);
	}
	return message_is_whole(reader);
}
