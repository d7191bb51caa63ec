/* Batches of ChaCha20-Poly1305: each back end of our own against libsodium, packet by packet. Every packet has pages of its own, and lies at the end
 * of one or at its beginning, with nothing mapped behind or before it. */
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/vectors.h"
#include "tests/wireguard/hex.h"
#include "tests/wireguard/link.h"
#include "tunnel/wireguard/aead.h"
#include "tunnel/wireguard/aead_batch.h"

enum {
	MOST = WIREGUARD_AEAD_BATCH,
	LONGEST = 2000,
	TAG = 16,
	PAGE = 4096,
	STACK = 256 << 10,
};

static const struct {
	const char *name;
	enum aead_backend backend;
	const struct aead_vectors *vectors;
} ours[] = {
	{ "avx2", AEAD_AVX2, &aead_avx2 },
	{ "avx512", AEAD_AVX512, &aead_avx512 },
};
#define OURS (sizeof(ours) / sizeof(ours[0]))

static const uint8_t key[32] = { 0x80, 0x81, 0x82, 0xff, 0x84, 0x85, 0x86, 0x87, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
static uint8_t *pages; /* unmapped, mapped, unmapped … */
static uint8_t plain[MOST][LONGEST], sealed[MOST][LONGEST + TAG];
static struct wireguard_aead_packet packets[MOST];

static bool is_there(size_t which)
{
	if (wireguard_aead_select(ours[which].backend))
		return true;
	print_message("skipped: this CPU has no %s\n", ours[which].name);
	return false;
}

static int make_pages(void **state)
{
	pages = mmap(NULL, (2 * MOST + 1) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	for (size_t i = 0; i < MOST; i++)
		assert_int_equal(mprotect(pages + (2 * i + 1) * PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	return link_setup(state);
}

static int free_pages(void **state)
{
	munmap(pages, (2 * MOST + 1) * PAGE);
	return link_teardown(state);
}

#define batch_test(test) cmocka_unit_test_setup_teardown(test, make_pages, free_pages)

static void place(size_t i, size_t length, uint64_t counter, bool at_end)
{
	uint8_t *page = pages + (2 * i + 1) * PAGE;

	packets[i] = (struct wireguard_aead_packet){ at_end ? page + PAGE - TAG - length : page, length, counter, false };
}

static void expect(size_t i)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(packets[i].counter);

	crypto_aead_chacha20poly1305_ietf_encrypt(sealed[i], NULL, plain[i], packets[i].length, NULL, 0, NULL, nonce.bytes, key);
}

/* A plaintext at random, or one whose ciphertext is all ones or all zeroes, for the carries of Poly1305. */
static void fill(size_t i, unsigned kind)
{
	struct wireguard_aead_nonce nonce = wireguard_aead_nonce(packets[i].counter);

	if (kind >= 2) {
		randombytes_buf(plain[i], packets[i].length);
		return;
	}
	memset(plain[i], kind == 0 ? 0 : 0xff, packets[i].length);
	crypto_stream_chacha20_ietf_xor_ic(plain[i], plain[i], packets[i].length, nonce.bytes, 1, key);
}

static void seal_and_open(const struct aead_vectors *vectors, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		expect(i);
		memcpy(packets[i].bytes, plain[i], packets[i].length);
	}
	aead_batch_seal(vectors, key, packets, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(packets[i].is_good);
		assert_memory_equal(packets[i].bytes, sealed[i], packets[i].length + TAG);
		packets[i].is_good = false;
	}
	aead_batch_open(vectors, key, packets, count);
	for (size_t i = 0; i < count; i++) {
		assert_true(packets[i].is_good);
		if (packets[i].length > 0)
			assert_memory_equal(packets[i].bytes, plain[i], packets[i].length);
		assert_memory_equal(packets[i].bytes + packets[i].length, sealed[i] + packets[i].length, TAG);
	}
}

/* Neighbouring lengths in a batch, so that each length is in a batch of each size. */
static void test_w1_every_length_in_every_batch(void **state)
{
	(void)state;
	for (size_t b = 0; b < OURS; b++)
		for (size_t count = 1; count <= MOST && is_there(b); count++)
			for (size_t first = 0; first <= LONGEST; first += count) {
				for (size_t i = 0; i < count; i++) {
					place(i, (first + i) % (LONGEST + 1), (first + i) * UINT64_C(0x100000001), (first + i) % 2 == 0);
					fill(i, (unsigned)(first + count + i) % 16);
				}
				seal_and_open(ours[b].vectors, count);
			}
}

/* Trains of one length with a shorter end, small and large packets in turn, and any. */
static void test_w1_mixed_lengths(void **state)
{
	(void)state;
	for (size_t b = 0; b < OURS; b++)
		for (uint32_t round = 0; round < 300 && is_there(b); round++) {
			size_t count = 1 + randombytes_uniform(MOST);
			uint32_t length = randombytes_uniform(LONGEST + 1);
			for (size_t i = 0; i < count; i++) {
				size_t mixes[] = { i + 1 < count ? length : length / 3, i % 2 == 0 ? 1420 : 64, randombytes_uniform(LONGEST + 1) };
				place(i, mixes[round % 3], (uint64_t)randombytes_random() << 32 | randombytes_random(), round % 2 == 0);
				fill(i, randombytes_uniform(8));
			}
			seal_and_open(ours[b].vectors, count);
		}
}

/* The keystream's block counter is apart from the message counter, of which both halves count. */
static void test_w1_counters_to_the_last(void **state)
{
	static const uint64_t counters[] = { 0, 1, UINT32_MAX - 1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX - 8193, UINT64_MAX };
	(void)state;

	for (size_t b = 0; b < OURS; b++) {
		for (size_t i = 0; i < MOST; i++) {
			place(i, 200 + i, counters[i % (sizeof(counters) / sizeof(counters[0]))], false);
			fill(i, 2);
		}
		if (is_there(b))
			seal_and_open(ours[b].vectors, MOST);
	}
}

/* One bit of one packet, at each position of the batch: that packet alone fails, and nothing of it is decrypted. */
static void test_w1_forged_packet_fails_alone(void **state)
{
	(void)state;
	for (size_t b = 0; b < OURS; b++)
		for (size_t forged = 0; forged < 2 * MOST && is_there(b); forged++) {
			size_t count = forged < MOST ? MOST : 1 + forged % MOST, bad = forged % MOST;
			for (size_t i = 0; i < count; i++) {
				place(i, i % 5 == 0 ? 1420 : 40 + i, i, true);
				fill(i, 2);
				expect(i);
				memcpy(packets[i].bytes, sealed[i], packets[i].length + TAG);
			}
			size_t bit = randombytes_uniform((uint32_t)(packets[bad].length + TAG) * 8);
			sealed[bad][bit / 8] ^= (uint8_t)(1 << bit % 8);
			memcpy(packets[bad].bytes, sealed[bad], packets[bad].length + TAG);
			aead_batch_open(ours[b].vectors, key, packets, count);
			for (size_t i = 0; i < count; i++) {
				assert_int_equal(packets[i].is_good, i != bad);
				assert_memory_equal(packets[i].bytes, i == bad ? sealed[i] : plain[i], packets[i].length);
			}
		}
}

static void test_w1_forged_packets_all_fail(void **state)
{
	(void)state;
	for (size_t b = 0; b < OURS; b++) {
		for (size_t i = 0; i < MOST; i++) {
			place(i, 100, i, true);
			memset(packets[i].bytes, 0x5a, 100 + TAG);
		}
		if (is_there(b))
			aead_batch_open(ours[b].vectors, key, packets, MOST);
		for (size_t i = 0; i < MOST; i++)
			assert_false(packets[i].is_good);
	}
}

/* Poly1305 where its result is just below, at and above 2^130 - 5: with r = 1 it is the sum of the blocks. Then the largest r and s. */
static void tags_are(const struct aead_vectors *vectors, const uint8_t poly_key[32], const uint8_t *bytes, size_t length)
{
	uint8_t tags[AEAD_LANES_MAX][TAG], input[256] = { 0 }, expected[TAG];
	struct aead_message messages[AEAD_LANES_MAX];
	uint64_t number = length;

	memcpy(input, bytes, length);
	memcpy(input + (length + 15) / 16 * 16 + 8, &number, sizeof(number));
	crypto_onetimeauth_poly1305(expected, input, (length + 15) / 16 * 16 + 16, poly_key);
	for (unsigned i = 0; i < vectors->messages; i++)
		messages[i] = (struct aead_message){ poly_key, bytes, length, tags[i] };
	vectors->authenticate(messages, vectors->messages);
	for (unsigned i = 0; i < vectors->messages; i++)
		assert_memory_equal(tags[i], expected, TAG);
}

static void test_w1_tags_at_the_modulus(void **state)
{
	uint8_t one[AEAD_BLOCK] = { 1 }, most[AEAD_BLOCK], bytes[128];
	(void)state;

	memset(most, 0xff, sizeof(most));
	for (size_t b = 0; b < OURS; b++) {
		if (!is_there(b))
			continue;
		/* Two blocks and the lengths have 3 * 2^128, and all else is 2^128 - 73 + `above`: the lengths are 32 * 2^64. */
		for (unsigned above = 0; above < 80; above++) {
			memset(bytes, 0xff, 16);
			memset(bytes + 16, 0, 16);
			bytes[0] = (uint8_t)(0xff - 80 + above);
			bytes[8] = 0xff - 32;
			bytes[16] = 8;
			tags_are(ours[b].vectors, one, bytes, 32);
		}
		memset(bytes, 0xff, sizeof(bytes));
		for (size_t length = 0; length <= sizeof(bytes); length++) {
			tags_are(ours[b].vectors, most, bytes, length);
			tags_are(ours[b].vectors, one, bytes, length);
		}
	}
}

/* Wycheproof's keys, messages and nonces at each position of a batch. A data message has no additional data, and four bytes of its nonce are 0, so
 * that the tags are libsodium's, which passes the vectors as they are (test_vectors.c). */
static void test_w1_wycheproof_at_every_position(void **state)
{
	json_t *root = vectors_load("wycheproof-chacha20-poly1305.json"), *group, *test;
	size_t g, t, seen = 0;
	(void)state;

	json_array_foreach (json_object_get(root, "testGroups"), g, group)
		json_array_foreach (json_object_get(group, "tests"), t, test) {
			uint8_t iv[64], vector_key[32], message[LONGEST], expected[LONGEST + TAG];
			if (hex_read(iv, sizeof(iv), json_string_value(json_object_get(test, "iv"))) != 12)
				continue;
			size_t length = hex_read(message, sizeof(message), json_string_value(json_object_get(test, "msg")));
			hex_read(vector_key, sizeof(vector_key), json_string_value(json_object_get(test, "key")));
			uint64_t counter = wireguard_message_get64(iv + 4);
			struct wireguard_aead_nonce nonce = wireguard_aead_nonce(counter);
			crypto_aead_chacha20poly1305_ietf_encrypt(expected, NULL, message, length, NULL, 0, NULL, nonce.bytes, vector_key);
			for (size_t b = 0; b < OURS; b++)
				for (size_t position = 0; position < MOST && is_there(b); position++) {
					for (size_t i = 0; i < MOST; i++)
						place(i, i == position ? length : i, i == position ? counter : i, true);
					memcpy(packets[position].bytes, message, length);
					aead_batch_seal(ours[b].vectors, vector_key, packets, MOST);
					assert_memory_equal(packets[position].bytes, expected, length + TAG);
					aead_batch_open(ours[b].vectors, vector_key, packets, MOST);
					assert_true(packets[position].is_good);
				}
			seen++;
		}
	assert_int_equal(seen, 316);
	json_decref(root);
}

/* The same through aead.h, with every back end of this build, for batches that are worth the vectors and for those that are not. */
static void test_w1_batches_of_every_back_end(void **state)
{
	(void)state;
	for (unsigned backend = 0; backend < AEAD_BACKENDS; backend++)
		for (size_t count = 1; count <= MOST && wireguard_aead_select((enum aead_backend)backend); count++) {
			for (size_t i = 0; i < count; i++) {
				place(i, 3 * i, i << 30, true);
				fill(i, 2);
				expect(i);
				memcpy(packets[i].bytes, plain[i], packets[i].length);
			}
			assert_int_equal(wireguard_aead_seal_batch(key, packets, count), 0);
			for (size_t i = 0; i < count; i++)
				assert_memory_equal(packets[i].bytes, sealed[i], packets[i].length + TAG);
			packets[count / 2].bytes[packets[count / 2].length] ^= 1;
			wireguard_aead_open_batch(key, packets, count);
			for (size_t i = 0; i < count; i++) {
				assert_int_equal(packets[i].is_good, i != count / 2);
				if (i != count / 2 && packets[i].length > 0)
					assert_memory_equal(packets[i].bytes, plain[i], packets[i].length);
			}
		}
}

/* P8: nothing of the key, of a packet's key or of the keystream is left on the stack. */
static void *seal_and_open_aside(void *vectors)
{
	aead_batch_seal(vectors, key, packets, MOST);
	aead_batch_open(vectors, key, packets, MOST);
	return NULL;
}

/* Any eight bytes of `secret` in a row, or one of its words twice as in a vector of equal words. */
static bool holds(const uint8_t *stack, const uint8_t *secret, size_t length)
{
	uint8_t twice[8];

	for (size_t i = 0; i + 8 <= length; i += 4) {
		memcpy(twice, secret + i, 4);
		memcpy(twice + 4, secret + i, 4);
		if (memmem(stack, STACK, secret + i, 8) != NULL || memmem(stack, STACK, twice, sizeof(twice)) != NULL)
			return true;
	}
	return false;
}

static void test_p8_stack_is_wiped(void **state)
{
	static _Alignas(PAGE) uint8_t stack[STACK];
	uint8_t stream[AEAD_BLOCK * 3];
	pthread_attr_t attributes;
	pthread_t thread;
	(void)state;

#ifdef WARREN_SANITIZED
	print_message("skipped: a sanitizer's frames are larger, and keep copies\n");
	skip();
#endif
	if (getenv("LD_PRELOAD") != NULL) {
		print_message("skipped: valgrind takes what is below the stack pointer for unreadable\n");
		skip();
	}
	for (size_t b = 0; b < OURS; b++) {
		if (!is_there(b))
			continue;
		for (size_t i = 0; i < MOST; i++) {
			place(i, 1420 - i, i, true);
			memset(packets[i].bytes, 0, packets[i].length);
		}
		memset(stack, 0, STACK);
		pthread_attr_init(&attributes);
		assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
		assert_int_equal(pthread_create(&thread, &attributes, seal_and_open_aside, (void *)(uintptr_t)ours[b].vectors), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_false(holds(stack, key, 20)); /* the rest of it is 0 */
		for (size_t i = 0; i < MOST; i++) {
			struct wireguard_aead_nonce nonce = wireguard_aead_nonce(i);
			crypto_stream_chacha20_ietf(stream, sizeof(stream), nonce.bytes, key);
			assert_false(holds(stack, stream, sizeof(stream)));
		}
		pthread_attr_destroy(&attributes);
	}
}

#define STORE(n) __asm__ volatile("vmovdqu64 %%zmm" #n ", %0" : "=m"(registers[n]));
#define STORE8(a, b, c, d, e, f, g, h) STORE(a) STORE(b) STORE(c) STORE(d) STORE(e) STORE(f) STORE(g) STORE(h)

/* P8: nor is anything left in the vector registers. They are read before another function can overwrite them. */
static void test_p8_registers_are_wiped(void **state)
{
	static uint8_t registers[32][64];
	(void)state;

	if (!wireguard_aead_select(AEAD_AVX512))
		skip();
	for (size_t b = 0; b < OURS; b++) {
		for (size_t i = 0; i < MOST; i++) {
			place(i, 1420 - i, i, true);
			memset(packets[i].bytes, 0, packets[i].length);
		}
		aead_batch_seal(ours[b].vectors, key, packets, MOST);
		STORE8(0, 1, 2, 3, 4, 5, 6, 7)
		STORE8(8, 9, 10, 11, 12, 13, 14, 15)
		STORE8(16, 17, 18, 19, 20, 21, 22, 23)
		STORE8(24, 25, 26, 27, 28, 29, 30, 31)
		/* AVX2 has the first 16. */
		for (size_t i = 0; i < (ours[b].backend == AEAD_AVX2 ? 16 : 32) * sizeof(registers[0]); i++)
			assert_int_equal(registers[i / 64][i % 64], 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		batch_test(test_w1_every_length_in_every_batch),
		batch_test(test_w1_mixed_lengths),
		batch_test(test_w1_counters_to_the_last),
		batch_test(test_w1_forged_packet_fails_alone),
		batch_test(test_w1_forged_packets_all_fail),
		batch_test(test_w1_tags_at_the_modulus),
		batch_test(test_w1_wycheproof_at_every_position),
		batch_test(test_w1_batches_of_every_back_end),
		batch_test(test_p8_stack_is_wiped),
		batch_test(test_p8_registers_are_wiped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
