/* Random bytes without a system call each: a pool of keystream whose key is replaced at each refill, so that bytes already given away cannot be
 * computed again. For padding and junk, not for keys. */
#ifndef WARREN_TUNNEL_WIREGUARD_RANDOM_POOL_H
#define WARREN_TUNNEL_WIREGUARD_RANDOM_POOL_H

#include <stddef.h>
#include <stdint.h>

/* Embedded by value. The bytes that are left are the last ones. */
struct wireguard_random_pool {
	uint8_t key[32];
	size_t left;
	uint8_t bytes[1024];
};

/* `key` is random. */
void wireguard_random_pool_init(struct wireguard_random_pool *pool, const uint8_t key[32]);
void wireguard_random_pool_take(struct wireguard_random_pool *pool, void *bytes, size_t length);
/* A number from low to high, both included. */
uint32_t wireguard_random_pool_draw(struct wireguard_random_pool *pool, uint32_t low, uint32_t high);

#endif
