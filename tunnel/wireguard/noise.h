/* Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, both roles (paper, 5.4; Noise specification, 7 and 9). Messages are only the Noise messages; the
 * caller adds indices and MACs. All functions return 0 or WIREGUARD_CRYPTO and wipe the handshake on failure. */
#ifndef WARREN_TUNNEL_WIREGUARD_NOISE_H
#define WARREN_TUNNEL_WIREGUARD_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "tunnel/wireguard/arena.h"
#include "tunnel/wireguard/device.h"

/* The paper's IDENTIFIER, Noise's prologue. */
#define WIREGUARD_NOISE_PROLOGUE "WireGuard v1 zx2c4 Jason@zx2c4.com"

enum {
	WIREGUARD_NOISE_INITIATION_LENGTH = 32 + 48 + 16, /* plus the payload */
	WIREGUARD_NOISE_RESPONSE_LENGTH = 32 + 16,
};

/* Our side of every handshake; the pointers are borrowed. */
struct wireguard_noise_local {
	const char *prologue;
	const uint8_t *private_key;
	const uint8_t *public_key;
};

/* The other side of a handshake. */
struct wireguard_noise_remote {
	const uint8_t *public_key;
	const uint8_t *static_shared; /* DH of the two static keys, computed once for all handshakes */
	const uint8_t *preshared;
};

/* A handshake between its two messages. */
struct wireguard_noise {
	union wireguard_secrets *secrets; /* borrowed: the ephemeral private key and the chaining key */
	uint8_t hash[WIREGUARD_HASH_LENGTH];
	uint8_t remote_ephemeral[WIREGUARD_KEY_LENGTH];
	uint8_t remote_static[WIREGUARD_KEY_LENGTH];
};

/* The shared secret of two keys; a result of all zeros, which a low-order key gives, is a failure (RFC 7748, 6.1). */
int wireguard_noise_exchange(uint8_t shared[WIREGUARD_KEY_LENGTH], const uint8_t private_key[WIREGUARD_KEY_LENGTH],
                             const uint8_t public_key[WIREGUARD_KEY_LENGTH]) __attribute__((warn_unused_result));

/* Writes the initiator's message, with the ephemeral key in noise->secrets. */
int wireguard_noise_write_initiation(struct wireguard_noise *noise, const struct wireguard_noise_local *local,
                                     const struct wireguard_noise_remote *remote, uint8_t *message, const uint8_t *payload, size_t length)
    __attribute__((warn_unused_result));
/* The responder reads it in two steps: the first yields noise->remote_static, the claimed peer; the second opens the payload, which proves it.
 * `payload` has room for a tag behind `length`. */
int wireguard_noise_read_static(struct wireguard_noise *noise, const struct wireguard_noise_local *local, const uint8_t *message)
    __attribute__((warn_unused_result));
int wireguard_noise_read_payload(struct wireguard_noise *noise, const struct wireguard_noise_remote *remote, const uint8_t *message, uint8_t *payload,
                                 size_t length) __attribute__((warn_unused_result));

/* Write the responder's message, and read it as the initiator. */
int wireguard_noise_write_response(struct wireguard_noise *noise, const struct wireguard_noise_remote *remote, uint8_t *message,
                                   const uint8_t *payload, size_t length) __attribute__((warn_unused_result));
int wireguard_noise_read_response(struct wireguard_noise *noise, const struct wireguard_noise_local *local,
                                  const struct wireguard_noise_remote *remote, const uint8_t *message, uint8_t *payload, size_t length)
    __attribute__((warn_unused_result));

/* Derives the two session keys; the initiator sends with the first. Wipes the handshake. */
int wireguard_noise_split(struct wireguard_noise *noise, uint8_t first[WIREGUARD_KEY_LENGTH], uint8_t second[WIREGUARD_KEY_LENGTH])
    __attribute__((warn_unused_result));
void wireguard_noise_wipe(struct wireguard_noise *noise);

#endif
