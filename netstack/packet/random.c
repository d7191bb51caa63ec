#include "netstack/packet/random.h"

#include <assert.h>
#include <sys/socket.h>
#include <string.h>

#include <sodium.h>

#define POOL_SIZE 1024

/* A ChaCha20 stream whose first bytes become the next key, so that earlier output cannot be recomputed. */
static struct {
	uint8_t key[crypto_stream_chacha20_KEYBYTES];
	uint8_t pool[POOL_SIZE];
	size_t left;
	uint8_t sequence_key[crypto_shorthash_KEYBYTES];
	uint8_t table_key[crypto_shorthash_KEYBYTES];
} generator;

static void refill(void)
{
	static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	crypto_stream_chacha20(generator.pool, sizeof(generator.pool), nonce, generator.key);
	memcpy(generator.key, generator.pool, sizeof(generator.key));
	sodium_memzero(generator.pool, sizeof(generator.key));
	generator.left = sizeof(generator.pool) - sizeof(generator.key);
}

void random_start(const uint8_t seed[32])
{
	memcpy(generator.key, seed, sizeof(generator.key));
	generator.left = 0;
	random_bytes(generator.sequence_key, sizeof(generator.sequence_key));
	random_bytes(generator.table_key, sizeof(generator.table_key));
}

void random_stop(void)
{
	sodium_memzero(&generator, sizeof(generator));
}

void random_bytes(void *bytes, size_t length)
{
	uint8_t *to = bytes;

	while (length > 0) {
		if (generator.left == 0)
			refill();
		size_t part = length < generator.left ? length : generator.left;
		uint8_t *from = generator.pool + sizeof(generator.pool) - generator.left;
		memcpy(to, from, part);
		sodium_memzero(from, part);
		generator.left -= part;
		to += part;
		length -= part;
	}
}

uint32_t random_number(void)
{
	uint32_t number;
	random_bytes(&number, sizeof(number));
	return number;
}

uint16_t random_port(void)
{
	return (uint16_t)(1024 + (uint64_t)random_number() * (65536 - 1024) / ((uint64_t)UINT32_MAX + 1));
}

uint32_t random_sequence(const struct netstack_endpoint *local, const struct netstack_endpoint *remote, uint64_t now)
{
	struct {
		uint8_t local[16], remote[16];
		uint16_t local_port, remote_port;
	} connection = { .local_port = local->port, .remote_port = remote->port };
	size_t size = local->family == AF_INET ? 4 : 16;
	uint64_t hash;

	static_assert(sizeof(connection) == 36, "no padding is hashed");
	static_assert(sizeof(hash) == crypto_shorthash_BYTES, "one word");
	memcpy(connection.local, local->bytes, size);
	memcpy(connection.remote, remote->bytes, size);
	crypto_shorthash((uint8_t *)&hash, (const uint8_t *)&connection, sizeof(connection), generator.sequence_key);
	return (uint32_t)hash + (uint32_t)(now / 4000); /* M advances every four microseconds */
}

uint64_t random_hash(const void *bytes, size_t length)
{
	uint64_t hash;
	crypto_shorthash((uint8_t *)&hash, bytes, length, generator.table_key);
	return hash;
}

unsigned int random_lwip(void)
{
	return random_number();
}
