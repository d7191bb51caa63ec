/* Two back ends; one is chosen at start. */
#include "tunnel/wireguard/aead.h"

#include <sodium.h>

#include "tunnel/wireguard/device.h"

#ifdef __x86_64__
#include <intel-ipsec-mb.h>

static IMB_MGR *manager; /* NULL: libsodium is used */
static IMB_MGR *available;

static int manager_start(void)
{
	IMB_ARCH arch;

	available = alloc_mb_mgr(0);
	if (available == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	init_mb_mgr_auto(available, &arch);
	/* On a CPU that libipsec-mb does not support, libsodium is used. */
	manager = imb_get_errno(available) == 0 ? available : NULL;
	return 0;
}

/* Processes one packet, in place and synchronously. The library computes the tag but does not compare it. */
static int manager_run(IMB_CIPHER_DIRECTION direction, uint8_t *bytes, size_t length, struct wireguard_aead_additional additional,
                       const struct wireguard_aead_nonce *nonce, const uint8_t *key, uint8_t tag[WIREGUARD_TAG_LENGTH])
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(manager);

	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->cipher_direction = direction;
	job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->enc_keys = job->dec_keys = key;
	job->key_len_in_bytes = WIREGUARD_KEY_LENGTH;
	job->src = job->dst = bytes;
	job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = length;
	job->iv = nonce->bytes;
	job->iv_len_in_bytes = sizeof(nonce->bytes);
	job->auth_tag_output = tag;
	job->auth_tag_output_len_in_bytes = WIREGUARD_TAG_LENGTH;
	job->u.CHACHA20_POLY1305.aad = additional.bytes;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = additional.length;
	job = IMB_SUBMIT_JOB_NOCHECK(manager);
	if (job == NULL)
		job = IMB_FLUSH_JOB(manager);
	return job != NULL && job->status == IMB_STATUS_COMPLETED ? 0 : WIREGUARD_CRYPTO;
}

static int manager_open(uint8_t *bytes, size_t length, struct wireguard_aead_additional additional, const struct wireguard_aead_nonce *nonce,
                        const uint8_t *key)
{
	uint8_t tag[WIREGUARD_TAG_LENGTH];

	if (manager_run(IMB_DIR_DECRYPT, bytes, length, additional, nonce, key, tag) != 0)
		return WIREGUARD_CRYPTO;
	return crypto_verify_16(tag, bytes + length) == 0 ? 0 : WIREGUARD_CRYPTO;
}

int wireguard_aead_start(void)
{
	return manager_start();
}

void wireguard_aead_stop(void)
{
	if (available != NULL)
		free_mb_mgr(available);
	available = NULL;
	manager = NULL;
}

bool wireguard_aead_select(enum wireguard_aead_backend backend)
{
	manager = backend == WIREGUARD_AEAD_IPSEC_MB ? available : NULL;
	return backend == WIREGUARD_AEAD_SODIUM || manager != NULL;
}
#else
int wireguard_aead_start(void)
{
	return 0;
}

void wireguard_aead_stop(void)
{
}

bool wireguard_aead_select(enum wireguard_aead_backend backend)
{
	return backend == WIREGUARD_AEAD_SODIUM;
}
#endif

int wireguard_aead_seal(uint8_t *bytes, size_t length, struct wireguard_aead_additional additional, const struct wireguard_aead_nonce *nonce,
                        const uint8_t key[WIREGUARD_KEY_LENGTH])
{
#ifdef __x86_64__
	if (manager != NULL)
		return manager_run(IMB_DIR_ENCRYPT, bytes, length, additional, nonce, key, bytes + length);
#endif
	int failed = crypto_aead_chacha20poly1305_ietf_encrypt_detached(bytes, bytes + length, NULL, bytes, length, additional.bytes,
	                                                                additional.length, NULL, nonce->bytes, key);
	return failed == 0 ? 0 : WIREGUARD_CRYPTO;
}

int wireguard_aead_open(uint8_t *bytes, size_t length, struct wireguard_aead_additional additional, const struct wireguard_aead_nonce *nonce,
                        const uint8_t key[WIREGUARD_KEY_LENGTH])
{
#ifdef __x86_64__
	if (manager != NULL)
		return manager_open(bytes, length, additional, nonce, key);
#endif
	int failed = crypto_aead_chacha20poly1305_ietf_decrypt_detached(bytes, NULL, bytes, length, bytes + length, additional.bytes,
	                                                                additional.length, nonce->bytes, key);
	return failed == 0 ? 0 : WIREGUARD_CRYPTO;
}
