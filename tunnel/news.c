#include "tunnel/news.h"

#include <assert.h>
#include <stdio.h>

#include "ipc/log.h"
#include "tunnel/tunnel.h"

#define PAUSE LOOP_SECOND

static void send_state(struct tunnel *tunnel, enum message_healing healing, uint32_t count)
{
	const struct health *health = &tunnel->health;
	struct message_state message = {
		.slot = tunnel->slot, .generation = tunnel->generation, .state = (uint8_t)health->state, .healing = (uint8_t)healing, .count = count
	};
	snprintf(message.reason, sizeof(message.reason), "%s", health->reason);
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_state(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_STATE, &writer);
}

void news_state(struct tunnel *tunnel)
{
	send_state(tunnel, MESSAGE_HEALING_NONE, 0);
}

static bool must_hold(struct tunnel *tunnel, struct news_pause *news)
{
	if (loop_now(tunnel->context->loop) >= news->quiet_until)
		return false;
	news->held++;
	health_due_by(tunnel, news->quiet_until);
	return true;
}

/* How many occurrences are reported now, including those held back. */
static uint32_t take_held(const struct tunnel *tunnel, struct news_pause *news, uint32_t more)
{
	uint32_t count = news->held + more;
	news->held = 0;
	news->quiet_until = loop_now(tunnel->context->loop) + PAUSE;
	return count;
}

static void send_handshake(struct tunnel_peer *peer, uint32_t count)
{
	struct tunnel *tunnel = peer->tunnel;
	struct message_handshake message = {
		.slot = tunnel->slot, .generation = tunnel->generation, .completed = peer->health.has_completed, .count = count
	};
	message.peer = *wireguard_peer_public_key(peer->peer);
	wireguard_device_last_timestamp(tunnel->device, message.last_timestamp);
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_handshake(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_HANDSHAKE, &writer);
}

void news_handshake(struct tunnel_peer *peer, bool completed)
{
	peer->health.has_completed = completed;
	if (!must_hold(peer->tunnel, &peer->health.handshake))
		send_handshake(peer, take_held(peer->tunnel, &peer->health.handshake, 1));
}

static void send_endpoint(struct tunnel_peer *peer, uint32_t count)
{
	struct tunnel *tunnel = peer->tunnel;
	struct message_endpoint message = { .slot = tunnel->slot,
		                            .generation = tunnel->generation,
		                            .peer = *wireguard_peer_public_key(peer->peer),
		                            .endpoint = *wireguard_peer_endpoint(peer->peer),
		                            .count = count };
	struct message_writer writer;
	message_writer_init(&writer);
	message_encode_endpoint(&writer, &message);
	tunnel->context->send(tunnel->context, MESSAGE_ENDPOINT, &writer);
}

void news_endpoint(struct tunnel_peer *peer)
{
	counters_set_endpoint(peer->counters, wireguard_peer_endpoint(peer->peer));
	if (!must_hold(peer->tunnel, &peer->health.endpoint))
		send_endpoint(peer, take_held(peer->tunnel, &peer->health.endpoint, 1));
}

void news_tell_held_of(struct tunnel_peer *peer, uint64_t now)
{
	struct health_peer *health = &peer->health;
	if (health->handshake.held > 0 && health->handshake.quiet_until <= now)
		send_handshake(peer, take_held(peer->tunnel, &health->handshake, 0));
	if (health->endpoint.held > 0 && health->endpoint.quiet_until <= now)
		send_endpoint(peer, take_held(peer->tunnel, &health->endpoint, 0));
}

static void send_remedy(struct tunnel *tunnel, enum message_healing healing, uint32_t count)
{
	static const char *const texts[] = {
		[MESSAGE_HEALING_NONE] = "",
		[MESSAGE_HEALING_HANDSHAKE] = "starting another handshake",
		[MESSAGE_HEALING_RESOLVE] = "resolving the endpoint's name again",
		[MESSAGE_HEALING_FAMILY] = "trying another address of the endpoint",
		[MESSAGE_HEALING_SOCKET] = "requesting a new UDP socket",
	};
	static_assert(sizeof(texts) / sizeof(texts[0]) == MESSAGE_HEALINGS, "a text for each remedy");
	char more[48] = "";
	if (count > 1)
		snprintf(more, sizeof(more), " (%u times, of one peer or several)", count);
	log_line(LOG_INFO, tunnel->id, "healing: %s%s", texts[healing], more);
	send_state(tunnel, healing, count);
}

void news_remedy(struct tunnel *tunnel, enum message_healing healing)
{
	struct news_pause *news = &tunnel->health.remedies[healing];
	counter_add(&tunnel->counters->healed[healing], 1);
	if (!must_hold(tunnel, news))
		send_remedy(tunnel, healing, take_held(tunnel, news, 1));
}

void news_tell_held(struct tunnel *tunnel, uint64_t now)
{
	for (int healing = 0; healing < MESSAGE_HEALINGS; healing++) {
		struct news_pause *news = &tunnel->health.remedies[healing];
		if (news->held > 0 && news->quiet_until <= now)
			send_remedy(tunnel, (enum message_healing)healing, take_held(tunnel, news, 0));
	}
}

static uint64_t told_at(const struct news_pause *news)
{
	return news->held > 0 ? news->quiet_until : LOOP_NEVER;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t news_due_of(const struct tunnel_peer *peer)
{
	return least(told_at(&peer->health.handshake), told_at(&peer->health.endpoint));
}

uint64_t news_due(const struct tunnel *tunnel)
{
	uint64_t at = LOOP_NEVER;
	for (int healing = 0; healing < MESSAGE_HEALINGS; healing++)
		at = least(at, told_at(&tunnel->health.remedies[healing]));
	return at;
}
