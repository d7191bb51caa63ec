/* One back end is chosen at start. */
#include "tunnel/wireguard/aead.h"

#include <sodium.h>

#include "tunnel/wireguard/device.h"

#ifdef __x86_64__
#include <intel-ipsec-mb.h>

#include "tunnel/wireguard/aead_batch.h"

static IMB_MGR *manager; /* NULL: libsodium is used */
static IMB_MGR *available;
static const struct aead_vectors *vectors; /* NULL: a batch is one packet after the other */

static const struct aead_vectors *const all_vectors[AEAD_BACKENDS] = { [AEAD_AVX2] = &aead_avx2, [AEAD_AVX512] = &aead_avx512 };

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
	enum aead_backend backend = aead_backend_fastest();

	available = alloc_mb_mgr(0);
	if (available == NULL)
		return WIREGUARD_OUT_OF_MEMORY;
	while (!wireguard_aead_select(backend)) /* libipsec-mb may refuse the CPU */
		backend--;
	return 0;
}

void wireguard_aead_stop(void)
{
	if (available != NULL)
		free_mb_mgr(available);
	available = NULL;
	manager = NULL;
	vectors = NULL;
}

/* For AVX2 libipsec-mb is what it is on a CPU without AVX-512. */
static bool manager_select(enum aead_backend backend)
{
	IMB_ARCH arch;

	if (backend == AEAD_AVX2)
		init_mb_mgr_avx2(available);
	else
		init_mb_mgr_auto(available, &arch);
	return imb_get_errno(available) == 0;
}

bool wireguard_aead_select(enum aead_backend backend)
{
	manager = NULL;
	vectors = NULL;
	if (backend == AEAD_LIBSODIUM)
		return true;
	if (available == NULL || !aead_backend_is_there(backend) || !manager_select(backend))
		return false;
	manager = available;
	vectors = all_vectors[backend];
	return true;
}
#else
int wireguard_aead_start(void)
{
	return 0;
}

void wireguard_aead_stop(void)
{
}

bool wireguard_aead_select(enum aead_backend backend)
{
	return backend == AEAD_LIBSODIUM;
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

static int seal_packet(const uint8_t *key, struct wireguard_aead_packet *packet)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(packet->counter);
	struct wireguard_aead_additional nothing = { NULL, 0 };
	int result = wireguard_aead_seal(packet->bytes, packet->length, nothing, &nonce, key);

	packet->is_good = result == 0;
	return result;
}

static void open_packet(const uint8_t *key, struct wireguard_aead_packet *packet)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(packet->counter);
	struct wireguard_aead_additional nothing = { NULL, 0 };

	packet->is_good = wireguard_aead_open(packet->bytes, packet->length, nothing, &nonce, key) == 0;
}

int wireguard_aead_seal_batch(const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count)
{
	int result = 0;

#ifdef __x86_64__
	if (vectors != NULL && count >= vectors->least) {
		aead_batch_seal(vectors, key, packets, count);
		return 0;
	}
#endif
	for (size_t i = 0; i < count; i++)
		if (seal_packet(key, &packets[i]) != 0)
			result = WIREGUARD_CRYPTO;
	return result;
}

void wireguard_aead_open_batch(const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets, size_t count)
{
#ifdef __x86_64__
	if (vectors != NULL && count >= vectors->least) {
		aead_batch_open(vectors, key, packets, count);
		return;
	}
#endif
	for (size_t i = 0; i < count; i++)
		open_packet(key, &packets[i]);
}
