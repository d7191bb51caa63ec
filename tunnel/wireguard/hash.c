/* BLAKE2s comes from libb2, since libsodium has only BLAKE2b. Every state is wiped: it holds keys or values derived from them. */
#include "tunnel/wireguard/hash.h"

#include <blake2.h>
#include <sodium.h>

#include "tunnel/wireguard/device.h"

int wireguard_hash(uint8_t hash[WIREGUARD_HASH_LENGTH], const void *first, size_t first_length, const void *second, size_t second_length)
{
	blake2s_state state;
	int failed = blake2s_init(&state, WIREGUARD_HASH_LENGTH) != 0 || blake2s_update(&state, first, first_length) != 0 ||
	             blake2s_update(&state, second, second_length) != 0 || blake2s_final(&state, hash, WIREGUARD_HASH_LENGTH) != 0;

	sodium_memzero(&state, sizeof(state));
	return failed ? WIREGUARD_CRYPTO : 0;
}

int wireguard_hash_mac(uint8_t mac[WIREGUARD_MAC_LENGTH], const uint8_t *key, size_t key_length, const void *bytes, size_t length)
{
	blake2s_state state;
	int failed = blake2s_init_key(&state, WIREGUARD_MAC_LENGTH, key, key_length) != 0 || blake2s_update(&state, bytes, length) != 0 ||
	             blake2s_final(&state, mac, WIREGUARD_MAC_LENGTH) != 0;

	sodium_memzero(&state, sizeof(state));
	return failed ? WIREGUARD_CRYPTO : 0;
}

/* HMAC-BLAKE2s (RFC 2104): the paper's HMAC is not BLAKE2s' own keyed mode. */
static int hmac(uint8_t mac[WIREGUARD_HASH_LENGTH], const uint8_t key[WIREGUARD_HASH_LENGTH], const void *bytes, size_t length)
{
	uint8_t block[BLAKE2S_BLOCKBYTES], inner[WIREGUARD_HASH_LENGTH];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (i < WIREGUARD_HASH_LENGTH ? key[i] : 0) ^ 0x36;
	int failed = wireguard_hash(inner, block, sizeof(block), bytes, length);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	failed = failed || wireguard_hash(mac, block, sizeof(block), inner, sizeof(inner)) != 0;
	sodium_memzero(block, sizeof(block));
	sodium_memzero(inner, sizeof(inner));
	return failed ? WIREGUARD_CRYPTO : 0;
}

int wireguard_hash_derive(uint8_t *const outputs[], size_t count, const uint8_t chaining_key[WIREGUARD_HASH_LENGTH], const void *input, size_t length)
{
	uint8_t secret[WIREGUARD_HASH_LENGTH];
	uint8_t output[WIREGUARD_HASH_LENGTH + 1]; /* the previous output and the number of the next */
	int failed = hmac(secret, chaining_key, input, length);

	for (size_t i = 0; i < count && !failed; i++) {
		size_t before = i == 0 ? 0 : WIREGUARD_HASH_LENGTH;
		output[before] = (uint8_t)(i + 1);
		failed = hmac(output, secret, output, before + 1);
		if (!failed)
			memcpy(outputs[i], output, WIREGUARD_HASH_LENGTH);
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(output, sizeof(output));
	return failed ? WIREGUARD_CRYPTO : 0;
}
