/* Handshakes by one who has the keys: the input decides each part of each message, right or wrong, and a model says what the device must
 * make of it. What it accepts must lead to the same session keys on both sides. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_wireguard_world.h"
#include "tests/wireguard/config.h"
#include "tunnel/wireguard/cookie.h"
#include "tunnel/wireguard/hash.h"
#include "tunnel/wireguard/sealing.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { STRANGERS = 3 }; /* others: two peers with preshared keys, and one that the device does not know */

struct other {
	struct wireguard_key private_key, public_key, preshared;
	struct wireguard_peer *peer;
	uint8_t static_shared[32];
	/* The model: what the device must have accepted from this one. */
	bool was_accepted;
	uint8_t timestamp[12];
	uint64_t accepted_at;
	struct wireguard_cookie_maker cookies;
	/* The session of the last initiation that was answered. */
	struct wireguard_key sending;
	uint32_t receiver;
	uint64_t counter;
};

static struct world_node node;
static struct other others[STRANGERS];
static union wireguard_secrets *slots[2];
static uint64_t now;

static void make_other(unsigned number)
{
	struct other *other = &others[number];

	memset(other, 0, sizeof(*other));
	memset(&other->private_key, 0x50 + (int)number, 32);
	memset(&other->preshared, 0x70 + (int)number, 32);
	world_must(wireguard_key_public(&other->public_key, &other->private_key) == 0);
	world_must(wireguard_noise_exchange(other->static_shared, other->private_key.bytes, node.device->public_key.bytes) == 0);
	wireguard_cookie_maker_init(&other->cookies);
	if (number < 2)
		other->peer = world_add(&node, &other->public_key, &node.address, (uint8_t)(number + 10), &other->preshared);
}

static struct wireguard_noise_remote remote_of(const struct other *other, const struct wireguard_key *preshared)
{
	return (struct wireguard_noise_remote){ node.device->public_key.bytes, other->static_shared, preshared->bytes };
}

static struct wireguard_noise_local local_of(const struct other *other)
{
	return (struct wireguard_noise_local){ WIREGUARD_NOISE_PROLOGUE, other->private_key.bytes, other->public_key.bytes };
}

static union wireguard_endpoint source(uint8_t control)
{
	union wireguard_endpoint from = node.address;

	from.v4.sin_port = control;
	return from;
}

/* The device's answer to an initiation is a response that opens, and data sealed with its session is taken. */
static void read_response(struct other *other, struct wireguard_noise *noise, const struct world_datagram *datagram,
                          const union wireguard_endpoint *from)
{
	const struct wireguard_message_response *response = (const void *)datagram->bytes;
	struct wireguard_noise_local local = local_of(other);
	struct wireguard_noise_remote remote = remote_of(other, &other->preshared);
	uint8_t nothing[16], message[WIREGUARD_OVERHEAD + 32], receiving[32];

	world_must(datagram->length == sizeof(*response) && response->header.type[0] == WIREGUARD_RESPONSE);
	world_must(wireguard_noise_read_response(noise, &local, &remote, response->ephemeral, nothing, 0) == 0);
	world_must(wireguard_noise_split(noise, other->sending.bytes, receiving) == 0);
	other->receiver = wireguard_message_get32(response->sender);
	other->counter = 0;

	union wireguard_secrets keys;
	struct wireguard_session session = { .secrets = &keys, .remote_index = other->receiver };
	memcpy(keys.session.sending, other->sending.bytes, 32);
	memset(message, 0, sizeof(message));
	message[16] = 0x45;
	message[16 + 3] = 20;
	message[16 + 12] = 10;
	message[16 + 15] = (uint8_t)(other - others + 10);
	unsigned delivered = node.delivered;
	wireguard_session_seal(&session, message, 32);
	world_must(wireguard_sealing_finish());
	world_receive(&node, from, message, sizeof(message), now);
	world_must(node.delivered == delivered + 1);
	world_must(other->peer->sessions.current != NULL && !other->peer->sessions.current->is_initiator);
}

static void initiate(struct cursor *cursor)
{
	uint8_t control = cursor_byte(cursor), spoil = cursor_byte(cursor);
	struct other *other = &others[control % STRANGERS];
	union wireguard_endpoint from = source(control >> 4);
	struct wireguard_noise noise = { .secrets = slots[0] };
	struct wireguard_noise_local local = local_of(other);
	struct wireguard_noise_remote remote = remote_of(other, &other->preshared);
	struct wireguard_message_initiation message = { 0 };
	uint8_t timestamp[12] = { 0x40 };

	for (unsigned i = 10; i < 12; i++)
		timestamp[i] = cursor_byte(cursor);
	memset(slots[0]->handshake.ephemeral, cursor_byte(cursor), 32);
	world_must(wireguard_noise_write_initiation(&noise, &local, &remote, message.ephemeral, timestamp, sizeof(timestamp)) == 0);
	wireguard_message_put32(message.header.type, WIREGUARD_INITIATION);
	wireguard_message_put32(message.sender, control * 77u);
	uint8_t *bytes = (uint8_t *)&message;
	bool is_spoiled = spoil >= 8 && spoil < 116;
	if (is_spoiled)
		bytes[spoil] ^= 0x11;
	world_must(wireguard_cookie_add_macs(&other->cookies, node.device->public_key.bytes, bytes, sizeof(message), now) == 0);
	if (spoil >= 116 && spoil < 148)
		bytes[spoil] ^= 0x11;
	bool has_mac1 = !(spoil >= 116 && spoil < 132), is_high = now < node.device->load.queue.high_until;
	bool is_new = !other->was_accepted || (memcmp(timestamp, other->timestamp, 12) > 0 && now - other->accepted_at >= SECOND / 50);
	bool is_right = other->peer != NULL && has_mac1 && is_new && !node.is_full && !is_spoiled;
	unsigned count = node.count;

	world_receive(&node, &from, &message, sizeof(message), now);
	const struct world_datagram *answer = node.count > count ? world_sent(&node, node.count - count - 1) : NULL;
	bool is_answered = answer != NULL && answer->bytes[0] == WIREGUARD_RESPONSE;
	world_must(!is_answered || is_right);
	world_must(is_answered || !is_right || is_high || wireguard_load_is_high(&node.device->load, true, now));
	world_must(answer == NULL || is_answered || (answer->bytes[0] == WIREGUARD_COOKIE_REPLY && has_mac1));
	if (is_answered) {
		other->was_accepted = true;
		other->accepted_at = now;
		memcpy(other->timestamp, timestamp, sizeof(timestamp));
		read_response(other, &noise, answer, &from);
	} else if (answer != NULL) {
		const struct wireguard_message_cookie_reply *reply = (const void *)answer->bytes;
		world_must(wireguard_cookie_take(&other->cookies, node.device->public_key.bytes, reply, now) == 0);
	}
	wireguard_noise_wipe(&noise);
}

/* The device's own initiation is answered, well or badly. */
static void respond(struct cursor *cursor)
{
	uint8_t control = cursor_byte(cursor), spoil = cursor_byte(cursor);
	struct other *other = &others[control & 1];
	union wireguard_endpoint from = source(control >> 4);
	struct wireguard_noise noise = { .secrets = slots[1] };
	struct wireguard_noise_local local = local_of(other);
	struct wireguard_noise_remote remote = remote_of(other, &others[(control >> 1) & 1].preshared);
	struct wireguard_message_response message = { 0 };
	uint8_t timestamp[12 + 16];
	unsigned count = node.count;

	wireguard_peer_reconnect(other->peer, now);
	if (node.count == count)
		return;
	struct wireguard_message_initiation initiation;
	memcpy(&initiation, world_sent(&node, 0)->bytes, sizeof(initiation));
	world_must(wireguard_noise_read_static(&noise, &local, initiation.ephemeral) == 0);
	world_must(memcmp(noise.remote_static, node.device->public_key.bytes, 32) == 0);
	world_must(wireguard_noise_read_payload(&noise, &remote, initiation.ephemeral, timestamp, 12) == 0);
	memset(slots[1]->handshake.ephemeral, cursor_byte(cursor), 32);
	world_must(wireguard_noise_write_response(&noise, &remote, message.ephemeral, NULL, 0) == 0);
	wireguard_message_put32(message.header.type, WIREGUARD_RESPONSE);
	memcpy(message.receiver, initiation.sender, 4);
	uint8_t *bytes = (uint8_t *)&message;
	bool is_right = (control & 1) == ((control >> 1) & 1);
	if (spoil >= 8 && spoil < 60) {
		bytes[spoil] ^= 0x11;
		is_right = false;
	}
	world_must(wireguard_cookie_add_macs(&other->cookies, node.device->public_key.bytes, bytes, sizeof(message), now) == 0);
	if (spoil >= 60 && spoil < 76) {
		bytes[spoil] ^= 0x11;
		is_right = false;
	}
	bool is_high = now < node.device->load.queue.high_until;
	world_receive(&node, &from, &message, sizeof(message), now);
	bool is_taken = other->peer->sessions.current != NULL;
	world_must(!is_taken || is_right);
	world_must(is_taken || !is_right || is_high || wireguard_load_is_high(&node.device->load, false, now));
	if (is_taken)
		world_must(other->peer->sessions.current->is_initiator);
	wireguard_noise_wipe(&noise);
}

/* A cookie reply to the device's own initiation, made with its MAC1 or another. */
static void reply_with_cookie(struct cursor *cursor)
{
	uint8_t control = cursor_byte(cursor), place = cursor_byte(cursor);
	struct other *other = &others[control & 1];
	struct wireguard_message_cookie_reply reply;
	struct wireguard_cookie_checker checker;
	uint8_t secret[32];
	unsigned count = node.count;

	wireguard_peer_reconnect(other->peer, now);
	if (node.count == count)
		return;
	struct wireguard_message_initiation initiation;
	memcpy(&initiation, world_sent(&node, 0)->bytes, sizeof(initiation));
	world_must(wireguard_cookie_checker_init(&checker, other->public_key.bytes, secret) == 0);
	world_must(wireguard_cookie_has_mac1(&checker, (const uint8_t *)&initiation, sizeof(initiation)));
	bool is_right = place >= sizeof(reply);
	if ((control & 2) != 0) {
		initiation.macs.mac1[0] ^= 1;
		is_right = false;
	}
	world_must(wireguard_cookie_reply(&checker, &node.device->env, &reply, &initiation.macs, initiation.sender, &node.address, now) == 0);
	if (place < sizeof(reply))
		((uint8_t *)&reply)[place] ^= 0x11;
	uint64_t before = other->peer->cookies.cookie_since;
	other->peer->cookies.cookie_since = WIREGUARD_NEVER;
	world_receive(&node, &node.address, &reply, sizeof(reply), now);
	world_must((other->peer->cookies.cookie_since == now) == is_right);
	if (!is_right)
		other->peer->cookies.cookie_since = before;
}

static void step(struct cursor *cursor)
{
	switch (cursor_byte(cursor) % 8) {
	case 0:
	case 1: initiate(cursor); break;
	case 2: respond(cursor); break;
	case 3: reply_with_cookie(cursor); break;
	case 4: now += cursor_byte(cursor) * (SECOND / 1000); break;
	case 5: now += cursor_byte(cursor) * SECOND; break;
	case 6: node.device->load.queue.high_until = now + SECOND; break;
	case 7: node.is_full = !node.is_full; break;
	}
	world_tick(&node, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct cursor cursor = { bytes, length };

	world_start();
	now = 1000 * SECOND;
	world_create(&node, 1);
	node.now = now;
	world_must(wireguard_arena_acquire(slots, 2) == 0);
	for (unsigned i = 0; i < STRANGERS; i++)
		make_other(i);
	for (unsigned steps = 0; cursor.length > 0 && steps < 100; steps++)
		step(&cursor);
	wireguard_arena_release(slots, 2);
	config_forget(node.device);
	wireguard_device_free(node.device);
	world_must(wireguard_arena_used() == 0);
	return 0;
}
