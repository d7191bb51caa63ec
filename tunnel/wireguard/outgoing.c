/* Datagrams of a device that has an obfuscator: reserved and committed around their messages, and those that only announce an initiation. */
#include <string.h>

#include "ipc/signature.h"
#include "tunnel/wireguard/device_private.h"
#include "tunnel/wireguard/sealing.h"

static size_t window_of(const struct wireguard_peer *peer)
{
	return peer == NULL || peer->window < WIREGUARD_TRAILER_WINDOW ? WIREGUARD_TRAILER_WINDOW : peer->window;
}

size_t wireguard_outgoing_payload(struct wireguard_peer *peer, size_t length)
{
	return wireguard_obfuscator_payload(peer->device->obfuscator, length, peer->device->mtu, window_of(peer));
}

/* A cookie reply goes to an address: whose it is, is not known before the initiation is decrypted. */
static const struct wireguard_peer *peer_at(const struct wireguard_device *device, const union wireguard_endpoint *to)
{
	const struct wireguard_peer *peer = wireguard_device_next_at(device, to, NULL);
	return peer == NULL && device->peer_count == 1 ? device->first : peer;
}

uint8_t *wireguard_outgoing_reserve(const struct wireguard_device *device, const struct wireguard_peer *peer, enum wireguard_message_type type,
                                    const union wireguard_endpoint *to, size_t length)
{
	struct wireguard_obfuscator *obfuscator = device->obfuscator;
	enum obfuscation_message message = (enum obfuscation_message)(type - WIREGUARD_INITIATION);
	struct wireguard_outgoing outgoing = wireguard_obfuscator_plan(obfuscator, message, length, window_of(peer));

	if (peer == NULL)
		peer = peer_at(device, to);
	if (peer == NULL && obfuscator->config->type == OBFUSCATION_LWO)
		return NULL;
	outgoing.receiver = peer == NULL ? NULL : peer->public_key.bytes;
	outgoing.reserved = peer == NULL ? NULL : peer->reserved;
	outgoing.room = device->env.reserve(device->env.owner, to, outgoing.padding + length + outgoing.trailer);
	if (outgoing.room == NULL)
		return NULL;
	obfuscator->outgoing = outgoing;
	if (message == OBFUSCATION_COOKIE_REPLY)
		obfuscator->replied = *to;
	return outgoing.room + outgoing.padding;
}

size_t wireguard_outgoing_commit(const struct wireguard_device *device, size_t length)
{
	struct wireguard_outgoing *outgoing = &device->obfuscator->outgoing;
	size_t total = outgoing->padding + length + outgoing->trailer;

	assert(outgoing->length == length);
	wireguard_message_put32(outgoing->room + outgoing->padding, outgoing->type);
	if (wireguard_obfuscator_reads_ciphertext(device->obfuscator))
		wireguard_sealing_run();
	wireguard_obfuscator_wrap(device->obfuscator, outgoing);
	device->env.commit(device->env.owner, total);
	return total;
}

bool wireguard_device_may_answer(const struct wireguard_device *device, const union wireguard_endpoint *to, const uint8_t *datagram, size_t length)
{
	const struct wireguard_obfuscator *obfuscator = device->obfuscator;
	size_t size = sizeof(struct wireguard_message_cookie_reply);

	if (obfuscator == NULL)
		return length == size && datagram[0] == WIREGUARD_COOKIE_REPLY;
	return length >= obfuscator->config->padding[OBFUSCATION_COOKIE_REPLY] + size && endpoint_equal(&obfuscator->replied, to);
}

/* Announcements. */

static void write_letters(struct wireguard_random_pool *random, uint8_t *bytes, size_t length, const char *alphabet, size_t letters)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)alphabet[wireguard_random_pool_draw(random, 0, (uint32_t)letters - 1)];
}

static void write_time(const struct wireguard_device *device, uint8_t bytes[4])
{
	struct timespec wall;

	device->env.wall_clock(device->env.owner, &wall);
	uint32_t seconds = htobe32((uint32_t)wall.tv_sec);
	memcpy(bytes, &seconds, sizeof(seconds));
}

static void write_piece(const struct wireguard_device *device, const struct signature_piece *piece, uint8_t *bytes)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct wireguard_random_pool *random = &device->obfuscator->random;

	switch (piece->kind) {
	case SIGNATURE_BYTES:
		for (size_t i = 0; i < piece->length; i++)
			bytes[i] = signature_byte(piece->digits + 2 * i);
		break;
	case SIGNATURE_RANDOM: wireguard_random_pool_take(random, bytes, piece->length); break;
	case SIGNATURE_LETTERS: write_letters(random, bytes, piece->length, letters, sizeof(letters) - 1); break;
	case SIGNATURE_DIGITS: write_letters(random, bytes, piece->length, "0123456789", 10); break;
	case SIGNATURE_TIME: write_time(device, bytes); break;
	case SIGNATURE_ZEROES: memset(bytes, 0, piece->length); break;
	}
}

/* Each of them false when room is missing. */

static bool send_signature(struct wireguard_peer *peer, const char *text)
{
	const struct wireguard_device *device = peer->device;
	struct signature_piece piece;
	int length = text == NULL ? 0 : signature_length(text);

	if (length <= 0)
		return true;
	uint8_t *room = device->env.reserve(device->env.owner, &peer->endpoint, (size_t)length);
	if (room == NULL)
		return false;
	for (uint8_t *at = room; signature_next(&text, &piece) > 0; at += piece.length)
		write_piece(device, &piece, at);
	device->env.commit(device->env.owner, (size_t)length);
	peer->stats.bytes_sent += (size_t)length;
	return true;
}

static bool send_junk(struct wireguard_peer *peer)
{
	const struct wireguard_device *device = peer->device;
	const struct obfuscation *config = device->obfuscator->config;
	size_t length = wireguard_random_pool_draw(&device->obfuscator->random, config->junk_least, config->junk_most);

	if (length == 0)
		return true;
	uint8_t *room = device->env.reserve(device->env.owner, &peer->endpoint, length);
	if (room == NULL)
		return false;
	wireguard_random_pool_take(&device->obfuscator->random, room, length);
	device->env.commit(device->env.owner, length);
	peer->stats.bytes_sent += length;
	return true;
}

static bool send_announcement(struct wireguard_peer *peer, unsigned number)
{
	const struct obfuscation *config = peer->device->obfuscator->config;

	return number < OBFUSCATION_SIGNATURES ? send_signature(peer, config->signatures[number]) : send_junk(peer);
}

bool wireguard_outgoing_announce(struct wireguard_peer *peer)
{
	unsigned count = OBFUSCATION_SIGNATURES + peer->device->obfuscator->config->junk_count;

	while (peer->announced < count && send_announcement(peer, peer->announced))
		peer->announced++;
	return peer->announced >= count;
}
