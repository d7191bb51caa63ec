/* Every call to a primitive and to the allocator fails in turn (F1, F3). Then nothing is sent in plaintext, nothing is accepted, nothing leaks, and
 * the tunnel recovers soon after the fault has ended. The linker replaces the libraries' functions with those below. */
#include <blake2.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/transfer.h"

enum kind { EXCHANGE, BASE, HASH, SEAL, OPEN, COOKIE_SEAL, COOKIE_OPEN, ALLOCATION, KINDS };

/* From the call number `first` on, `count` calls of the kinds that are set fail. */
static struct {
	unsigned kinds, first, count, seen, failed;
} fault;

static void fail_from(unsigned kinds, unsigned first, unsigned count)
{
	fault.kinds = kinds;
	fault.first = first;
	fault.count = count;
	fault.seen = fault.failed = 0;
}

static void fail_nothing(void)
{
	fault.kinds = 0;
}

static bool fails(enum kind kind)
{
	if ((fault.kinds & 1u << kind) == 0)
		return false;
	unsigned number = fault.seen++;
	if (number < fault.first || number - fault.first >= fault.count)
		return false;
	fault.failed++;
	return true;
}

int __real_crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult_curve25519(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
	return fails(EXCHANGE) ? -1 : __real_crypto_scalarmult_curve25519(q, n, p);
}

int __real_crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n);
int __wrap_crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n);
int __wrap_crypto_scalarmult_curve25519_base(unsigned char *q, const unsigned char *n)
{
	return fails(BASE) ? -1 : __real_crypto_scalarmult_curve25519_base(q, n);
}

int __real_blake2s_init(blake2s_state *state, size_t length);
int __wrap_blake2s_init(blake2s_state *state, size_t length);
int __wrap_blake2s_init(blake2s_state *state, size_t length)
{
	return fails(HASH) ? -1 : __real_blake2s_init(state, length);
}

int __real_blake2s_init_key(blake2s_state *state, size_t length, const void *key, size_t key_length);
int __wrap_blake2s_init_key(blake2s_state *state, size_t length, const void *key, size_t key_length);
int __wrap_blake2s_init_key(blake2s_state *state, size_t length, const void *key, size_t key_length)
{
	return fails(HASH) ? -1 : __real_blake2s_init_key(state, length, key, key_length);
}

int __real_blake2s_update(blake2s_state *state, const uint8_t *bytes, size_t length);
int __wrap_blake2s_update(blake2s_state *state, const uint8_t *bytes, size_t length);
int __wrap_blake2s_update(blake2s_state *state, const uint8_t *bytes, size_t length)
{
	return fails(HASH) ? -1 : __real_blake2s_update(state, bytes, length);
}

int __real_blake2s_final(blake2s_state *state, uint8_t *hash, size_t length);
int __wrap_blake2s_final(blake2s_state *state, uint8_t *hash, size_t length);
int __wrap_blake2s_final(blake2s_state *state, uint8_t *hash, size_t length)
{
	return fails(HASH) ? -1 : __real_blake2s_final(state, hash, length);
}

int __real_crypto_aead_chacha20poly1305_ietf_encrypt_detached(unsigned char *c, unsigned char *mac, unsigned long long *maclen,
                                                              const unsigned char *m, unsigned long long mlen, const unsigned char *ad,
                                                              unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,
                                                              const unsigned char *k);
int __wrap_crypto_aead_chacha20poly1305_ietf_encrypt_detached(unsigned char *c, unsigned char *mac, unsigned long long *maclen,
                                                              const unsigned char *m, unsigned long long mlen, const unsigned char *ad,
                                                              unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,
                                                              const unsigned char *k);
int __wrap_crypto_aead_chacha20poly1305_ietf_encrypt_detached(unsigned char *c, unsigned char *mac, unsigned long long *maclen,
                                                              const unsigned char *m, unsigned long long mlen, const unsigned char *ad,
                                                              unsigned long long adlen, const unsigned char *nsec, const unsigned char *npub,
                                                              const unsigned char *k)
{
	return fails(SEAL) ? -1 : __real_crypto_aead_chacha20poly1305_ietf_encrypt_detached(c, mac, maclen, m, mlen, ad, adlen, nsec, npub, k);
}

int __real_crypto_aead_chacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
                                                              const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
                                                              const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_chacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
                                                              const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
                                                              const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_chacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen,
                                                              const unsigned char *mac, const unsigned char *ad, unsigned long long adlen,
                                                              const unsigned char *npub, const unsigned char *k)
{
	return fails(OPEN) ? -1 : __real_crypto_aead_chacha20poly1305_ietf_decrypt_detached(m, nsec, c, clen, mac, ad, adlen, npub, k);
}

int __real_crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen, const unsigned char *m, unsigned long long mlen,
                                                      const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,
                                                      const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen, const unsigned char *m, unsigned long long mlen,
                                                      const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,
                                                      const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen, const unsigned char *m, unsigned long long mlen,
                                                      const unsigned char *ad, unsigned long long adlen, const unsigned char *nsec,
                                                      const unsigned char *npub, const unsigned char *k)
{
	return fails(COOKIE_SEAL) ? -1 : __real_crypto_aead_xchacha20poly1305_ietf_encrypt(c, clen, m, mlen, ad, adlen, nsec, npub, k);
}

int __real_crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen, unsigned char *nsec, const unsigned char *c,
                                                      unsigned long long clen, const unsigned char *ad, unsigned long long adlen,
                                                      const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen, unsigned char *nsec, const unsigned char *c,
                                                      unsigned long long clen, const unsigned char *ad, unsigned long long adlen,
                                                      const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen, unsigned char *nsec, const unsigned char *c,
                                                      unsigned long long clen, const unsigned char *ad, unsigned long long adlen,
                                                      const unsigned char *npub, const unsigned char *k)
{
	return fails(COOKIE_OPEN) ? -1 : __real_crypto_aead_xchacha20poly1305_ietf_decrypt(m, mlen, nsec, c, clen, ad, adlen, npub, k);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
	return fails(ALLOCATION) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
	return fails(ALLOCATION) ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
	return fails(ALLOCATION) ? NULL : __real_realloc(old, size);
}

void *__real_sodium_allocarray(size_t count, size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size)
{
	return fails(ALLOCATION) ? NULL : __real_sodium_allocarray(count, size);
}

static bool sodium_fails, lock_fails;

int __real_sodium_init(void);
int __wrap_sodium_init(void);
int __wrap_sodium_init(void)
{
	return sodium_fails ? -1 : __real_sodium_init();
}

int __wrap_sodium_mlock(void *memory, size_t length);
int __wrap_sodium_mlock(void *memory, size_t length)
{
	(void)memory;
	(void)length;
	return lock_fails ? -1 : 0;
}

#ifdef __x86_64__
#include <intel-ipsec-mb.h>

static bool manager_fails, cpu_is_too_old;
static IMB_JOB *(*real_submit)(struct IMB_MGR *);
static IMB_JOB *(*real_flush)(struct IMB_MGR *);
static bool flush_fails;

/* A job fails by its status, or by never coming back. */
static IMB_JOB *submit(struct IMB_MGR *manager)
{
	bool is_open = ((IMB_JOB *)manager->get_next_job(manager))->cipher_direction == IMB_DIR_DECRYPT, does_fail = fails(is_open ? OPEN : SEAL);
	IMB_JOB *job = real_submit(manager);

	if (!does_fail)
		return job;
	if (fault.seen % 2 == 0) {
		flush_fails = true;
		return NULL;
	}
	job->status = IMB_STATUS_ERROR;
	return job;
}

static IMB_JOB *flush(struct IMB_MGR *manager)
{
	if (!flush_fails)
		return real_flush(manager);
	flush_fails = false;
	return NULL;
}

IMB_MGR *__real_alloc_mb_mgr(uint64_t flags);
IMB_MGR *__wrap_alloc_mb_mgr(uint64_t flags);
IMB_MGR *__wrap_alloc_mb_mgr(uint64_t flags)
{
	return manager_fails ? NULL : __real_alloc_mb_mgr(flags);
}

static void take_over(IMB_MGR *manager)
{
	real_submit = manager->submit_job_nocheck;
	real_flush = manager->flush_job;
	manager->submit_job_nocheck = submit;
	manager->flush_job = flush;
	if (cpu_is_too_old)
		manager->imb_errno = ENODEV;
}

void __real_init_mb_mgr_auto(IMB_MGR *manager, IMB_ARCH *arch);
void __wrap_init_mb_mgr_auto(IMB_MGR *manager, IMB_ARCH *arch);
void __wrap_init_mb_mgr_auto(IMB_MGR *manager, IMB_ARCH *arch)
{
	__real_init_mb_mgr_auto(manager, arch);
	take_over(manager);
}

void __real_init_mb_mgr_avx2(IMB_MGR *manager);
void __wrap_init_mb_mgr_avx2(IMB_MGR *manager);
void __wrap_init_mb_mgr_avx2(IMB_MGR *manager)
{
	__real_init_mb_mgr_avx2(manager);
	take_over(manager);
}
#endif

/* No datagram shows the addresses that every inner packet of the link has. */
static bool is_not_plaintext(struct link *link, struct link_node *from, uint8_t *bytes, size_t length)
{
	static const uint8_t addresses[2][8] = { { 10, 0, 0, 1, 10, 0, 0, 2 }, { 10, 0, 0, 2, 10, 0, 0, 1 } };

	(void)link;
	(void)from;
	assert_null(memmem(bytes, length, addresses[0], 8));
	assert_null(memmem(bytes, length, addresses[1], 8));
	return true;
}

static const struct obfuscation everything = {
	.type = OBFUSCATION_AMNEZIAWG,
	.junk_count = 3,
	.junk_least = 40,
	.junk_most = 70,
	.padding = { 20, 30, 40, 16 },
	.message_types = { { 100, 200 }, { 300, 400 }, { 500, 600 }, { 700, 800 } },
	.header_key = { { 1, 2, 3 } },
	.random_trailers = true,
};
static const struct obfuscation *disguise; /* of the faulty link's devices; NULL: none */

static struct link *faulty_link(void)
{
	struct link *link = link_create(2);

	link->filter = is_not_plaintext;
	link->delay = MILLISECOND;
	link_join(link, 0, 1);
	for (unsigned n = 0; n < 2 && disguise != NULL; n++)
		assert_int_equal(config_obfuscate(link->nodes[n].device, disguise, false, link->now), 0);
	return link;
}

/* Packets both ways for a while, with a handshake that needs a cookie, a rekey and a change of roles in it. */
static void live(struct link *link)
{
	link->nodes[1].device->load.queue.high_until = link->now + 6 * SECOND;
	link_send(link, 0, 1, 50);
	link_run(link, 6 * SECOND);
	link_send(link, 0, 1, 60);
	link_send(link, 1, 0, 70);
	link_run(link, 125 * SECOND);
	link_send(link, 0, 1, 80);
	link_run(link, 11 * SECOND);
	wireguard_peer_reconnect(link_peer(link, 1, 0), link->now);
	link_send(link, 1, 0, 50);
	link_run(link, 5 * SECOND);
}

/* With packets to send, both ways work again within 20 s. */
static void recovers(struct link *link)
{
	unsigned delivered[2];

	fail_nothing();
	link->nodes[1].device->load.queue.high_until = 0;
	for (unsigned second = 0; second < 20; second++) {
		link_send(link, 0, 1, 50);
		link_send(link, 1, 0, 50);
		link_run(link, SECOND);
	}
	for (unsigned node = 0; node < 2; node++)
		delivered[node] = link->nodes[node].delivered;
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	assert_int_equal(link_send(link, 1, 0, 50), WIREGUARD_OK);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[0].delivered, delivered[0] + 1);
	assert_int_equal(link->nodes[1].delivered, delivered[1] + 1);
}

/* Runs the story with each call failing in turn until it has no more calls; returns how many there were. */
static unsigned each_call_fails(unsigned kinds, unsigned count, unsigned step)
{
	unsigned first = 0;

	for (;; first += step) {
		struct link *link = faulty_link();
		fail_from(kinds, first, count);
		live(link);
		unsigned failed = fault.failed;
		recovers(link);
		link_free(link);
		if (failed == 0)
			return first;
	}
}

static const enum aead_backend backends[] = { AEAD_LIBSODIUM, AEAD_IPSEC_MB };

static void test_f3_each_seal_and_open_fails(void **state)
{
	(void)state;
	for (unsigned b = 0; b < 2; b++) {
		if (!wireguard_aead_select(backends[b]))
			continue;
		assert_in_range(each_call_fails(1 << SEAL, 1, 1), 10, 100);
		assert_in_range(each_call_fails(1 << OPEN, 1, 1), 10, 100);
		each_call_fails(1 << SEAL | 1 << OPEN, 3, 1);
	}
}

static void test_f3_each_exchange_fails(void **state)
{
	(void)state;
	assert_in_range(each_call_fails(1 << EXCHANGE | 1 << BASE, 1, 1), 20, 100);
}

static void test_f3_each_hash_fails(void **state)
{
	(void)state;
	assert_in_range(each_call_fails(1 << HASH, 1, 1), 500, 3000);
}

static void test_f3_each_cookie_fails(void **state)
{
	(void)state;
	assert_in_range(each_call_fails(1 << COOKIE_SEAL | 1 << COOKIE_OPEN, 1, 1), 2, 10);
}

static void test_f3_everything_fails_from_some_call_on(void **state)
{
	unsigned all = (1 << KINDS) - 1 - (1 << ALLOCATION);
	(void)state;

	assert_in_range(each_call_fails(all, UINT32_MAX, 17), 500, 3000);
}

static void test_f3_disguised_devices_recover(void **state)
{
	(void)state;

	disguise = &everything;
	assert_in_range(each_call_fails(1 << SEAL | 1 << OPEN, 1, 1), 20, 200);
	assert_in_range(each_call_fails(1 << EXCHANGE | 1 << BASE, 1, 1), 20, 100);
	assert_in_range(each_call_fails((1 << KINDS) - 1 - (1 << ALLOCATION), UINT32_MAX, 17), 500, 3000);
	assert_in_range(each_call_fails(1 << ALLOCATION, 1, 1), 20, 200);
	disguise = NULL;
}

static void test_f3_nothing_is_sent_or_accepted_while_a_kind_fails(void **state)
{
	(void)state;
	for (unsigned b = 0; b < 2; b++)
		for (enum kind kind = EXCHANGE; kind <= OPEN; kind++) {
			if (!wireguard_aead_select(backends[b]))
				continue;
			struct link *link = faulty_link();
			fail_from(1u << kind, 0, UINT32_MAX);
			link_send(link, 0, 1, 50);
			link_send(link, 1, 0, 50);
			link_run(link, 30 * SECOND);
			assert_int_equal(link->nodes[0].delivered + link->nodes[1].delivered, 0);
			assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA] + link->nodes[1].sent[WIREGUARD_DATA], 0);
			assert_int_equal(link->nodes[0].events[WIREGUARD_HANDSHAKE_COMPLETED], 0);
			recovers(link);
			/* The same with a session that is there. */
			unsigned sent = link->nodes[0].sent[WIREGUARD_DATA], delivered = link->nodes[1].delivered;
			fail_from(1u << kind, 0, UINT32_MAX);
			int result = link_send(link, 0, 1, 50);
			link_run(link, SECOND);
			if (kind == SEAL) {
				assert_int_equal(result, WIREGUARD_OK);
				assert_int_equal(link->nodes[0].sent[WIREGUARD_DATA], sent);
			} else if (kind == OPEN) {
				assert_int_equal(link->nodes[1].delivered, delivered);
			}
			recovers(link);
			link_free(link);
		}
}

/* A packet that could not be sealed leaves no plaintext in the env's buffer either. */
static void test_f3_failed_seal_leaves_no_plaintext(void **state)
{
	(void)state;
	for (unsigned b = 0; b < 2; b++) {
		if (!wireguard_aead_select(backends[b]))
			continue;
		struct link *link = faulty_link();
		link_handshake(link, 0, 1);
		fail_from(1 << SEAL, 0, 1);
		uint64_t counter = link_peer(link, 0, 1)->sessions.current->counter;
		assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
		is_not_plaintext(link, NULL, link->nodes[0].room, 64 + WIREGUARD_OVERHEAD);
		assert_true(link_peer(link, 0, 1)->sessions.current->counter == counter + 1); /* its nonce is used up */
		link_free(link);
	}
}

static void test_f3_staged_packet_that_cannot_be_sealed_is_lost(void **state)
{
	struct link *link = faulty_link();
	(void)state;

	link_send(link, 0, 1, 50);
	link_send(link, 0, 1, 60);
	fail_from(1 << SEAL, 1, 1); /* behind the one of the response */
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].delivered, 1);
	assert_int_equal(link->nodes[1].packet_length, 60);
	link_free(link);
}

static void test_f3_keys_that_cannot_be_set(void **state)
{
	struct link *link = faulty_link();
	struct wireguard_device *device = NULL;
	struct wireguard_key key, public_key, before = link->nodes[0].device->public_key;
	static const uint8_t floor[12];
	(void)state;

	randombytes_buf(key.bytes, sizeof(key.bytes));
	fail_from(1 << BASE, 0, 1);
	assert_int_equal(wireguard_key_public(&public_key, &key), WIREGUARD_CRYPTO);
	size_t used = wireguard_arena_used();
	for (unsigned first = 0; first < 8; first++) {
		fail_from(1 << HASH | 1 << BASE, first, 1);
		assert_int_equal(wireguard_device_create(&device, &key, floor, &link->nodes[0].device->env), WIREGUARD_CRYPTO);
		assert_int_equal(wireguard_arena_used(), used);
		fail_from(1 << HASH | 1 << BASE, first, 1);
		assert_int_equal(config_set_private_key(link->nodes[0].device, &key, link->now), WIREGUARD_CRYPTO);
		assert_memory_equal(&link->nodes[0].device->public_key, &before, sizeof(before));
	}
	assert_null(device);
	fail_nothing();
	link_handshake(link, 0, 1);
	link_free(link);
}

static void test_f1_each_allocation_fails(void **state)
{
	(void)state;
	assert_in_range(each_call_fails(1 << ALLOCATION, 1, 1), 20, 200);
	each_call_fails(1 << ALLOCATION, UINT32_MAX, 1);
}

/* What cannot be made for want of memory is refused, and nothing of it is left. */
static void test_f1_each_allocation_of_a_device_fails(void **state)
{
	static const uint8_t floor[12];
	struct link *link = link_create(2);
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	struct wireguard_env env = link->nodes[0].device->env;
	size_t used = wireguard_arena_used();
	unsigned first = 0, failed;
	(void)state;

	link_config(link, 1, &config, networks);
	do {
		struct wireguard_device *device = NULL;
		struct wireguard_peer *peer = NULL, *other = NULL;
		fail_from(1 << ALLOCATION, first++, 1);
		int results[3] = { wireguard_device_create(&device, &link->nodes[0].private_key, floor, &env), 0, 0 };
		if (device != NULL) {
			results[1] = config_add(device, &config, NULL, &peer, link->now);
			config.public_key.bytes[0] ^= 1;
			results[2] = config_add(device, &config, NULL, &other, link->now);
			config.public_key.bytes[0] ^= 1;
		}
		failed = fault.failed;
		fail_nothing();
		unsigned refused = 0;
		for (unsigned i = 0; i < 3; i++) {
			assert_true(results[i] == 0 || results[i] == WIREGUARD_OUT_OF_MEMORY);
			refused += results[i] != 0;
		}
		assert_int_equal(refused, failed);
		if (device != NULL)
			assert_ptr_equal(wireguard_peer_find(device, &config.public_key), peer);
		wireguard_device_free(device);
		assert_int_equal(wireguard_arena_used(), used);
	} while (failed > 0);
	assert_in_range(first, 8, 40);
	link_free(link);
}

static void test_f1_change_that_fails_changes_nothing(void **state)
{
	struct link *link = faulty_link();
	struct wireguard_network networks[2];
	struct wireguard_peer_config config;
	(void)state;

	link_handshake(link, 0, 1);
	link_config(link, 1, &config, networks);
	networks[0].bytes[0] = 11;
	fail_from(1 << ALLOCATION, 0, 1);
	config.persistent_keepalive = 1;
	assert_int_equal(config_change(link_peer(link, 0, 1), &config, link->now), WIREGUARD_OUT_OF_MEMORY);
	for (unsigned first = 0; fault.failed > 0; first++) {
		assert_int_equal(link->nodes[0].device->timings.rekey_after.low, wireguard_timings_default.rekey_after.low);
		assert_null(link->nodes[0].device->obfuscator);
		fail_from(1 << ALLOCATION, first, 1);
		(void)config_obfuscate(link->nodes[0].device, &everything, false, link->now);
	}
	fail_nothing();
	assert_int_equal(config_obfuscate(link->nodes[0].device, NULL, false, link->now), 0);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_OK);
	assert_true(link_peer(link, 0, 1)->timers.persistent_interval == 0);
	link_free(link);
}

static void test_f1_no_memory_to_stage(void **state)
{
	struct link *link = faulty_link();
	(void)state;

	fail_from(1 << ALLOCATION, 0, 1);
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_BUSY);
	fail_nothing();
	assert_int_equal(link_send(link, 0, 1, 50), WIREGUARD_STAGED);
	link_run(link, SECOND);
	assert_int_equal(link->nodes[1].delivered, 1);
	link_free(link);
}

static void test_f1_no_memory_for_the_limiter(void **state)
{
	struct wireguard_load load = { .sweep_at = WIREGUARD_NEVER };
	union wireguard_endpoint from = link_ipv4(1, 1);
	(void)state;

	fail_from(1 << ALLOCATION, 0, 1);
	assert_false(wireguard_load_allow(&load, &from, SECOND));
	assert_true(load.sweep_at == WIREGUARD_NEVER);
	fail_nothing();
	assert_true(wireguard_load_allow(&load, &from, SECOND));
	wireguard_load_clear(&load);
}

/* A counter that cannot be remembered is not accepted; the packet may come again. */
static void test_f1_no_memory_for_the_replay_window(void **state)
{
	struct wireguard_replay replay = { 0 };
	(void)state;

	assert_true(wireguard_replay_accept(&replay, 7));
	fail_from(1 << ALLOCATION, 0, 1);
	assert_false(wireguard_replay_accept(&replay, 100));
	fail_nothing();
	assert_true(wireguard_replay_accept(&replay, 100));
	assert_false(wireguard_replay_accept(&replay, 7));
	wireguard_replay_clear(&replay);
}

/* A peer without its sessions begins with a handshake. */
static void test_f1_no_memory_for_sessions_from_another_device(void **state)
{
	struct link *link = link_create(2);
	struct message_writer writer;
	bool is_over = false;
	(void)state;

	link_join(link, 0, 1);
	link_handshake(link, 0, 1);
	for (unsigned i = 0; i < 100; i++) { /* with a ring */
		assert_int_equal(link_send(link, 1, 0, 100), WIREGUARD_OK);
		link_run(link, link->delay);
	}
	message_writer_init(&writer);
	wireguard_transfer_give(link_peer(link, 0, 1), &writer);
	for (unsigned number = 0; !is_over; number++) {
		struct message_reader reader = { .bytes = writer.bytes, .left = writer.length };
		fail_from(1u << ALLOCATION, number, 1);
		int result = wireguard_transfer_take(link->nodes[0].device, &reader, link->now, NULL);
		fail_nothing();
		is_over = fault.failed == 0;
		assert_int_equal(result, is_over ? WIREGUARD_OK : WIREGUARD_OUT_OF_MEMORY);
		assert_int_equal(link->nodes[0].device->indices.used, is_over ? 1 : 0);
	}
	assert_int_equal(link_send(link, 0, 1, 100), WIREGUARD_OK);
	message_writer_clear(&writer);
	link_free(link);
}

static void test_start_that_fails(void **state)
{
	(void)state;

	wireguard_stop();
	sodium_fails = true;
	assert_int_equal(wireguard_start(16, false), WIREGUARD_CRYPTO);
	sodium_fails = false;
	for (unsigned first = 0; first < 2; first++) {
		fail_from(1 << ALLOCATION, first, 1);
		assert_int_equal(wireguard_start(16, false), WIREGUARD_OUT_OF_MEMORY);
	}
	fail_nothing();
	/* Memory that cannot be locked is a failure, unless the operator says otherwise. */
	lock_fails = true;
	assert_int_equal(wireguard_start(16, true), WIREGUARD_CRYPTO);
	assert_int_equal(wireguard_start(16, false), 0);
	wireguard_stop();
	lock_fails = false;
	assert_int_equal(wireguard_start(16, true), 0);
#ifdef __x86_64__
	wireguard_stop();
	manager_fails = true;
	assert_int_equal(wireguard_start(16, false), WIREGUARD_OUT_OF_MEMORY);
	manager_fails = false;
	/* A CPU that the library does not know is no reason to fail. */
	cpu_is_too_old = true;
	assert_int_equal(wireguard_start(2048, false), 0);
	cpu_is_too_old = false;
	struct link *link = faulty_link();
	fail_from(1 << SEAL, 0, 0);
	link_handshake(link, 0, 1);
	assert_true(fault.seen > 0);
	fail_nothing();
	link_free(link);
#endif
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		link_test(test_f3_each_seal_and_open_fails),
		link_test(test_f3_each_exchange_fails),
		link_test(test_f3_each_hash_fails),
		link_test(test_f3_each_cookie_fails),
		link_test(test_f3_everything_fails_from_some_call_on),
		link_test(test_f3_disguised_devices_recover),
		link_test(test_f3_nothing_is_sent_or_accepted_while_a_kind_fails),
		link_test(test_f3_failed_seal_leaves_no_plaintext),
		link_test(test_f3_staged_packet_that_cannot_be_sealed_is_lost),
		link_test(test_f3_keys_that_cannot_be_set),
		link_test(test_f1_each_allocation_fails),
		link_test(test_f1_each_allocation_of_a_device_fails),
		link_test(test_f1_change_that_fails_changes_nothing),
		link_test(test_f1_no_memory_to_stage),
		link_test(test_f1_no_memory_for_the_limiter),
		link_test(test_f1_no_memory_for_the_replay_window),
		link_test(test_f1_no_memory_for_sessions_from_another_device),
		link_test(test_start_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
