/* BLAKE2s (RFC 7693) and WireGuard's functions based on it: keyed MACs and HKDF (paper, 5.4). All return 0 or WIREGUARD_CRYPTO. */
#ifndef WARREN_TUNNEL_WIREGUARD_HASH_H
#define WARREN_TUNNEL_WIREGUARD_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/wire_message.h"

/* HASH(first || second); `hash` may be one of the two. */
int wireguard_hash(uint8_t hash[WIREGUARD_HASH_LENGTH], const void *first, size_t first_length, const void *second, size_t second_length)
    __attribute__((warn_unused_result));
/* MAC(key, bytes): BLAKE2s with a key of up to 32 bytes and 16 bytes of output. */
int wireguard_hash_mac(uint8_t mac[WIREGUARD_MAC_LENGTH], const uint8_t *key, size_t key_length, const void *bytes, size_t length)
    __attribute__((warn_unused_result));
/* KDFn(chaining_key, input) for `count` of 1 to 3. An output may be the chaining key itself. */
int wireguard_hash_derive(uint8_t *const outputs[], size_t count, const uint8_t chaining_key[WIREGUARD_HASH_LENGTH], const void *input, size_t length)
    __attribute__((warn_unused_result));

#endif
