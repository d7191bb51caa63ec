#include "tunnel/wireguard/random_pool.h"

#include <sodium.h>
#include <string.h>

/* Each refill uses its key once, so the nonce may always be zero. */
static void refill(struct wireguard_random_pool *pool)
{
	static const uint8_t nonce[crypto_stream_chacha20_ietf_NONCEBYTES];
	uint8_t stream[sizeof(pool->key) + sizeof(pool->bytes)];

	crypto_stream_chacha20_ietf(stream, sizeof(stream), nonce, pool->key);
	memcpy(pool->key, stream, sizeof(pool->key));
	memcpy(pool->bytes, stream + sizeof(pool->key), sizeof(pool->bytes));
	sodium_memzero(stream, sizeof(pool->key));
	pool->left = sizeof(pool->bytes);
}

void wireguard_random_pool_init(struct wireguard_random_pool *pool, const uint8_t key[32])
{
	memcpy(pool->key, key, sizeof(pool->key));
	pool->left = 0;
}

void wireguard_random_pool_take(struct wireguard_random_pool *pool, void *bytes, size_t length)
{
	uint8_t *to = bytes;

	while (length > 0) {
		if (pool->left == 0)
			refill(pool);
		size_t piece = length < pool->left ? length : pool->left;
		memcpy(to, pool->bytes + sizeof(pool->bytes) - pool->left, piece);
		pool->left -= piece;
		to += piece;
		length -= piece;
	}
}

/* Of 64 bits the remainder's bias is below 2^-32. */
uint32_t wireguard_random_pool_draw(struct wireguard_random_pool *pool, uint32_t low, uint32_t high)
{
	uint64_t random, values = (uint64_t)high - low + 1;

	if (values == 1)
		return low;
	wireguard_random_pool_take(pool, &random, sizeof(random));
	return low + (uint32_t)(random % values);
}
