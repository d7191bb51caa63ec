/* ChaCha20-Poly1305 (RFC 8439) in place, with the fastest code for this CPU: batches of data messages with our own vector code (aead_batch.h), single
 * messages with libipsec-mb on x86-64, and everything with libsodium elsewhere. Functions that return an int return 0 or WIREGUARD_CRYPTO. */
#ifndef WARREN_TUNNEL_WIREGUARD_AEAD_H
#define WARREN_TUNNEL_WIREGUARD_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ipc/aead_backend.h"
#include "tunnel/wireguard/wire_message.h"

struct wireguard_aead_nonce {
	uint8_t bytes[12];
};

/* Bytes that are authenticated but not encrypted; {NULL, 0} is empty. */
struct wireguard_aead_additional {
	const uint8_t *bytes;
	size_t length;
};

enum { WIREGUARD_AEAD_BATCH = 64 }; /* packets of a batch at most */

/* A data message of a batch, without additional data. The tag follows the bytes. */
struct wireguard_aead_packet {
	uint8_t *bytes;
	size_t length;
	uint64_t counter;
	bool is_good; /* set: it was sealed, or was authentic and is opened */
};

/* Chooses the fastest back end; stop frees it. AVX2 and AVX-512 have batches of their own, and libipsec-mb for the rest. */
int wireguard_aead_start(void) __attribute__((warn_unused_result));
void wireguard_aead_stop(void);
/* Chooses another back end; false if this build or CPU lacks it, and then libsodium is used. */
bool wireguard_aead_select(enum aead_backend backend) __attribute__((warn_unused_result));

/* Four zero bytes and the counter, little endian (paper, 5.4). */
static inline struct wireguard_aead_nonce wireguard_aead_nonce(uint64_t message_counter)
{
	struct wireguard_aead_nonce nonce = { { 0 } };
	wireguard_message_put64(nonce.bytes + 4, message_counter);
	return nonce;
}

/* `bytes` has room for the tag behind `length`. */
int wireguard_aead_seal(uint8_t *bytes, size_t length, struct wireguard_aead_additional additional, const struct wireguard_aead_nonce *nonce,
                        const uint8_t key[WIREGUARD_KEY_LENGTH]) __attribute__((warn_unused_result));
/* `length` is that of the plaintext; the tag follows it. On failure the bytes must not be used. */
int wireguard_aead_open(uint8_t *bytes, size_t length, struct wireguard_aead_additional additional, const struct wireguard_aead_nonce *nonce,
                        const uint8_t key[WIREGUARD_KEY_LENGTH]) __attribute__((warn_unused_result));
/* The same for up to WIREGUARD_AEAD_BATCH data messages under one key, each on its own: one that fails has no effect on the others. WIREGUARD_CRYPTO
 * if one could not be sealed. */
int wireguard_aead_seal_batch(const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count)
    __attribute__((warn_unused_result));
void wireguard_aead_open_batch(const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count);

#endif
