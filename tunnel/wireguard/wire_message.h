/* The messages on the wire (WireGuard paper, 5.4), as unaligned bytes, so that a datagram can be read in place. */
#ifndef WARREN_TUNNEL_WIREGUARD_WIRE_MESSAGE_H
#define WARREN_TUNNEL_WIREGUARD_WIRE_MESSAGE_H

#include <assert.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>

enum wireguard_message_type {
	WIREGUARD_INITIATION = 1,
	WIREGUARD_RESPONSE = 2,
	WIREGUARD_COOKIE_REPLY = 3,
	WIREGUARD_DATA = 4,
};

enum {
	WIREGUARD_KEY_LENGTH = 32,
	WIREGUARD_HASH_LENGTH = 32,
	WIREGUARD_TAG_LENGTH = 16,
	WIREGUARD_MAC_LENGTH = 16,
	WIREGUARD_COOKIE_LENGTH = 16,
	WIREGUARD_COOKIE_NONCE_LENGTH = 24,
	WIREGUARD_TIMESTAMP_LENGTH = 12,
	WIREGUARD_PADDING = 16,
};

/* The first four bytes: a type and three zero bytes, read as one little endian number. */
struct wireguard_message_header {
	uint8_t type[4];
};

/* The end of both handshake messages. mac1 covers all bytes before it, mac2 all bytes before itself. */
struct wireguard_message_macs {
	uint8_t mac1[WIREGUARD_MAC_LENGTH];
	uint8_t mac2[WIREGUARD_MAC_LENGTH];
};

struct wireguard_message_initiation {
	struct wireguard_message_header header;
	uint8_t sender[4];
	uint8_t ephemeral[WIREGUARD_KEY_LENGTH];
	uint8_t encrypted_static[WIREGUARD_KEY_LENGTH + WIREGUARD_TAG_LENGTH];
	uint8_t encrypted_timestamp[WIREGUARD_TIMESTAMP_LENGTH + WIREGUARD_TAG_LENGTH];
	struct wireguard_message_macs macs;
};

struct wireguard_message_response {
	struct wireguard_message_header header;
	uint8_t sender[4];
	uint8_t receiver[4];
	uint8_t ephemeral[WIREGUARD_KEY_LENGTH];
	uint8_t encrypted_nothing[WIREGUARD_TAG_LENGTH];
	struct wireguard_message_macs macs;
};

struct wireguard_message_cookie_reply {
	struct wireguard_message_header header;
	uint8_t receiver[4];
	uint8_t nonce[WIREGUARD_COOKIE_NONCE_LENGTH];
	uint8_t encrypted_cookie[WIREGUARD_COOKIE_LENGTH + WIREGUARD_TAG_LENGTH];
};

/* The padded inner packet and its tag follow. */
struct wireguard_message_data {
	struct wireguard_message_header header;
	uint8_t receiver[4];
	uint8_t counter[8];
};

static_assert(sizeof(struct wireguard_message_initiation) == 148, "paper, 5.4.2");
static_assert(sizeof(struct wireguard_message_response) == 92, "paper, 5.4.3");
static_assert(sizeof(struct wireguard_message_cookie_reply) == 64, "paper, 5.4.7");
static_assert(sizeof(struct wireguard_message_data) == 16, "paper, 5.4.6");

static inline uint32_t wireguard_message_get32(const uint8_t bytes[4])
{
	uint32_t value;
	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static inline void wireguard_message_put32(uint8_t bytes[4], uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

static inline uint64_t wireguard_message_get64(const uint8_t bytes[8])
{
	uint64_t value;
	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static inline void wireguard_message_put64(uint8_t bytes[8], uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

#endif
