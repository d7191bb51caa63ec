/* Each function is the paper's list of steps (5.4.2, 5.4.3), one line per token, and ends in `finish`, which wipes on failure.
 * Ciphertexts are opened in a copy, since the hash needs them unchanged. */
#include "tunnel/wireguard/noise.h"

#include <sodium.h>

#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/hash.h"

#define CONSTRUCTION "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"

int wireguard_noise_exchange(uint8_t shared[WIREGUARD_KEY_LENGTH], const uint8_t private_key[WIREGUARD_KEY_LENGTH],
                             const uint8_t public_key[WIREGUARD_KEY_LENGTH])
{
	return crypto_scalarmult_curve25519(shared, private_key, public_key) == 0 ? 0 : WIREGUARD_CRYPTO;
}

void wireguard_noise_wipe(struct wireguard_noise *noise)
{
	sodium_memzero(noise->secrets, sizeof(*noise->secrets));
	sodium_memzero(noise->hash, sizeof(noise->hash));
	sodium_memzero(noise->remote_ephemeral, sizeof(noise->remote_ephemeral));
	sodium_memzero(noise->remote_static, sizeof(noise->remote_static));
}

static int finish(struct wireguard_noise *noise, bool failed)
{
	if (!failed)
		return 0;
	wireguard_noise_wipe(noise);
	return WIREGUARD_CRYPTO;
}

static int mix_hash(struct wireguard_noise *noise, const void *bytes, size_t length)
{
	return wireguard_hash(noise->hash, noise->hash, sizeof(noise->hash), bytes, length);
}

/* Updates the chaining key; `key`, unless NULL, gets the encryption key. */
static int mix_key(struct wireguard_noise *noise, uint8_t *key, const void *input, size_t length)
{
	uint8_t *outputs[2] = { noise->secrets->handshake.chaining_key, key };

	return wireguard_hash_derive(outputs, key == NULL ? 1 : 2, noise->secrets->handshake.chaining_key, input, length);
}

static int mix_exchange(struct wireguard_noise *noise, uint8_t *key, const uint8_t *private_key, const uint8_t *public_key)
{
	uint8_t shared[WIREGUARD_KEY_LENGTH];
	bool failed = wireguard_noise_exchange(shared, private_key, public_key) != 0 || mix_key(noise, key, shared, sizeof(shared)) != 0;

	sodium_memzero(shared, sizeof(shared));
	return failed ? WIREGUARD_CRYPTO : 0;
}

/* With a preshared key, ephemeral keys are mixed into the chaining key, too (Noise, 9.2). */
static int mix_ephemeral(struct wireguard_noise *noise, const uint8_t *ephemeral)
{
	bool failed = mix_hash(noise, ephemeral, WIREGUARD_KEY_LENGTH) != 0 || mix_key(noise, NULL, ephemeral, WIREGUARD_KEY_LENGTH) != 0;

	return failed ? WIREGUARD_CRYPTO : 0;
}

static int mix_preshared(struct wireguard_noise *noise, uint8_t *key, const uint8_t *preshared)
{
	uint8_t temporary[WIREGUARD_HASH_LENGTH];
	uint8_t *outputs[3] = { noise->secrets->handshake.chaining_key, temporary, key };
	bool failed = wireguard_hash_derive(outputs, 3, noise->secrets->handshake.chaining_key, preshared, WIREGUARD_KEY_LENGTH) != 0 ||
	              mix_hash(noise, temporary, sizeof(temporary)) != 0;

	sodium_memzero(temporary, sizeof(temporary));
	return failed ? WIREGUARD_CRYPTO : 0;
}

static struct wireguard_aead_additional hash_so_far(const struct wireguard_noise *noise)
{
	return (struct wireguard_aead_additional){ noise->hash, sizeof(noise->hash) };
}

static int seal(struct wireguard_noise *noise, const uint8_t *key, uint8_t *sealed, const void *plain, size_t length)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(0);

	if (length > 0)
		memcpy(sealed, plain, length);
	bool failed =
	    wireguard_aead_seal(sealed, length, hash_so_far(noise), &nonce, key) != 0 || mix_hash(noise, sealed, length + WIREGUARD_TAG_LENGTH) != 0;
	return failed ? WIREGUARD_CRYPTO : 0;
}

/* `plain` has room for the tag. */
static int open_sealed(struct wireguard_noise *noise, const uint8_t *key, uint8_t *plain, const uint8_t *sealed, size_t length)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(0);

	memcpy(plain, sealed, length + WIREGUARD_TAG_LENGTH);
	bool failed =
	    wireguard_aead_open(plain, length, hash_so_far(noise), &nonce, key) != 0 || mix_hash(noise, sealed, length + WIREGUARD_TAG_LENGTH) != 0;
	return failed ? WIREGUARD_CRYPTO : 0;
}

/* C := HASH(CONSTRUCTION), H := HASH(HASH(C || IDENTIFIER) || the responder's public key) */
static int begin(struct wireguard_noise *noise, const char *prologue, const uint8_t *responder)
{
	uint8_t *chaining_key = noise->secrets->handshake.chaining_key;
	bool failed = wireguard_hash(chaining_key, CONSTRUCTION, strlen(CONSTRUCTION), NULL, 0) != 0 ||
	              wireguard_hash(noise->hash, chaining_key, WIREGUARD_HASH_LENGTH, prologue, strlen(prologue)) != 0 ||
	              mix_hash(noise, responder, WIREGUARD_KEY_LENGTH) != 0;

	return failed ? WIREGUARD_CRYPTO : 0;
}

int wireguard_noise_write_initiation(struct wireguard_noise *noise, const struct wireguard_noise_local *local,
                                     const struct wireguard_noise_remote *remote, uint8_t *message, const uint8_t *payload, size_t length)
{
	uint8_t key[WIREGUARD_KEY_LENGTH];
	uint8_t *ephemeral = message, *sealed_static = message + 32, *sealed_payload = message + 80;
	const uint8_t *ephemeral_private = noise->secrets->handshake.ephemeral;
	bool failed = begin(noise, local->prologue, remote->public_key) != 0 ||
	              crypto_scalarmult_curve25519_base(ephemeral, ephemeral_private) != 0 || mix_ephemeral(noise, ephemeral) != 0 /* e */
	              || mix_exchange(noise, key, ephemeral_private, remote->public_key) != 0                                      /* es */
	              || seal(noise, key, sealed_static, local->public_key, WIREGUARD_KEY_LENGTH) != 0                             /* s */
	              || mix_key(noise, key, remote->static_shared, WIREGUARD_KEY_LENGTH) != 0                                     /* ss */
	              || seal(noise, key, sealed_payload, payload, length) != 0;                                                   /* the timestamp */

	sodium_memzero(key, sizeof(key));
	return finish(noise, failed);
}

int wireguard_noise_read_static(struct wireguard_noise *noise, const struct wireguard_noise_local *local, const uint8_t *message)
{
	uint8_t key[WIREGUARD_KEY_LENGTH], remote_static[WIREGUARD_KEY_LENGTH + WIREGUARD_TAG_LENGTH];
	const uint8_t *ephemeral = message, *sealed_static = message + 32;
	bool failed = begin(noise, local->prologue, local->public_key) != 0 || mix_ephemeral(noise, ephemeral) != 0 /* e */
	              || mix_exchange(noise, key, local->private_key, ephemeral) != 0                               /* es */
	              || open_sealed(noise, key, remote_static, sealed_static, WIREGUARD_KEY_LENGTH) != 0;          /* s */

	if (!failed) {
		memcpy(noise->remote_static, remote_static, sizeof(noise->remote_static));
		memcpy(noise->remote_ephemeral, ephemeral, sizeof(noise->remote_ephemeral));
	}
	sodium_memzero(key, sizeof(key));
	return finish(noise, failed);
}

int wireguard_noise_read_payload(struct wireguard_noise *noise, const struct wireguard_noise_remote *remote, const uint8_t *message, uint8_t *payload,
                                 size_t length)
{
	uint8_t key[WIREGUARD_KEY_LENGTH];
	const uint8_t *sealed_payload = message + 80;
	bool failed = mix_key(noise, key, remote->static_shared, WIREGUARD_KEY_LENGTH) != 0 /* ss */
	              || open_sealed(noise, key, payload, sealed_payload, length) != 0;

	sodium_memzero(key, sizeof(key));
	return finish(noise, failed);
}

int wireguard_noise_write_response(struct wireguard_noise *noise, const struct wireguard_noise_remote *remote, uint8_t *message,
                                   const uint8_t *payload, size_t length)
{
	uint8_t key[WIREGUARD_KEY_LENGTH];
	uint8_t *ephemeral = message, *sealed_payload = message + 32;
	const uint8_t *ephemeral_private = noise->secrets->handshake.ephemeral;
	bool failed = crypto_scalarmult_curve25519_base(ephemeral, ephemeral_private) != 0 || mix_ephemeral(noise, ephemeral) != 0 /* e */
	              || mix_exchange(noise, NULL, ephemeral_private, noise->remote_ephemeral) != 0                                /* ee */
	              || mix_exchange(noise, NULL, ephemeral_private, remote->public_key) != 0                                     /* se */
	              || mix_preshared(noise, key, remote->preshared) != 0                                                         /* psk */
	              || seal(noise, key, sealed_payload, payload, length) != 0;

	sodium_memzero(key, sizeof(key));
	return finish(noise, failed);
}

int wireguard_noise_read_response(struct wireguard_noise *noise, const struct wireguard_noise_local *local,
                                  const struct wireguard_noise_remote *remote, const uint8_t *message, uint8_t *payload, size_t length)
{
	uint8_t key[WIREGUARD_KEY_LENGTH];
	const uint8_t *ephemeral = message, *sealed_payload = message + 32;
	bool failed = mix_ephemeral(noise, ephemeral) != 0                                              /* e */
	              || mix_exchange(noise, NULL, noise->secrets->handshake.ephemeral, ephemeral) != 0 /* ee */
	              || mix_exchange(noise, NULL, local->private_key, ephemeral) != 0                  /* se */
	              || mix_preshared(noise, key, remote->preshared) != 0                              /* psk */
	              || open_sealed(noise, key, payload, sealed_payload, length) != 0;

	sodium_memzero(key, sizeof(key));
	return finish(noise, failed);
}

int wireguard_noise_split(struct wireguard_noise *noise, uint8_t first[WIREGUARD_KEY_LENGTH], uint8_t second[WIREGUARD_KEY_LENGTH])
{
	uint8_t *outputs[2] = { first, second };
	int failed = wireguard_hash_derive(outputs, 2, noise->secrets->handshake.chaining_key, NULL, 0);

	wireguard_noise_wipe(noise);
	return failed;
}
