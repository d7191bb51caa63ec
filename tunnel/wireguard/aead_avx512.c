/* AVX-512 with IFMA: 16 lanes of ChaCha20, 8 lanes of Poly1305 in limbs of 44, 44 and 42 bits.
 *
 * Poly1305 takes four blocks m0 … m3 of each packet at a time: h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, with one carry for all four products.
 * Packets end together: the lane of a shorter one begins with absent blocks, which are 0 and lack the bit 2^128, so that h stays 0.
 *
 * Limbs of h are below 2^45, 2^45 and 2^43, those of the powers below 2^44.1, 2^44.1 and 2^42.1. A product's high part that counts for the third
 * limb is below 2^37.6 with h and below 2^36.6 without; the sum of the four is below 2^39, and 5120 times that below 2^52, as IFMA needs it. */
#include "tunnel/wireguard/aead_batch.h"

#include <immintrin.h>
#include <sodium.h>

enum {
	BLOCKS = 16,
	MESSAGES = 8,
	LEAST = 5,
	CHUNK = 64, /* four blocks of Poly1305 */
};

/* --- ChaCha20: word i of all lanes is x[i] --- */

/* The instruction has the number in it. */
static inline __attribute__((always_inline)) __m512i rotate(__m512i x, unsigned bits)
{
	switch (bits) {
	case 16: return _mm512_rol_epi32(x, 16);
	case 12: return _mm512_rol_epi32(x, 12);
	case 8: return _mm512_rol_epi32(x, 8);
	default: return _mm512_rol_epi32(x, 7);
	}
}

/* a += b, d = (d ^ a) <<< bits in four quarter rounds (RFC 8439, 2.1). a, b and d are rows; column i of row k is turned by k * `turn`, so that
 * with 1 they are diagonals. */
static inline __attribute__((always_inline)) void step(__m512i x[16], unsigned turn, unsigned a, unsigned b, unsigned d, unsigned bits)
{
#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++) {
		unsigned to = 4 * a + (i + a * turn) % 4, from = 4 * b + (i + b * turn) % 4, mixed = 4 * d + (i + d * turn) % 4;
		x[to] = _mm512_add_epi32(x[to], x[from]);
		x[mixed] = rotate(_mm512_xor_si512(x[mixed], x[to]), bits);
	}
}

static inline __attribute__((always_inline)) void round_of(__m512i x[16], unsigned turn)
{
	step(x, turn, 0, 1, 3, 16);
	step(x, turn, 2, 3, 1, 12);
	step(x, turn, 0, 1, 3, 8);
	step(x, turn, 2, 3, 1, 7);
}

struct numbers {
	__m512i number, counter_low, counter_high;
};

/* The lanes behind a span are the next one's, which is set after it. */
static inline __attribute__((always_inline)) struct numbers number_lanes(const struct aead_blocks *blocks)
{
	const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	struct numbers numbers = { { 0 }, { 0 }, { 0 } };

	for (unsigned i = 0; i < blocks->count; i++) {
		const struct aead_span *span = &blocks->spans[i];
		__mmask16 mask = (__mmask16)(0xffffu << span->first);
		__m512i before = _mm512_set1_epi32((int)(span->number - span->first));
		numbers.number = _mm512_mask_add_epi32(numbers.number, mask, lanes, before);
		numbers.counter_low = _mm512_mask_set1_epi32(numbers.counter_low, mask, (int)span->counter);
		numbers.counter_high = _mm512_mask_set1_epi32(numbers.counter_high, mask, (int)(span->counter >> 32));
	}
	return numbers;
}

static inline __attribute__((always_inline)) void set_words(__m512i x[16], const uint32_t key[8], const struct numbers *numbers)
{
	static const int constants[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		x[i] = _mm512_set1_epi32(constants[i]);
#pragma GCC unroll 8
	for (unsigned i = 0; i < 8; i++)
		x[4 + i] = _mm512_set1_epi32((int)key[i]);
	x[12] = numbers->number;
	x[13] = _mm512_setzero_si512();
	x[14] = numbers->counter_low;
	x[15] = numbers->counter_high;
}

/* From words of all lanes to the 64 bytes of each lane. */
static inline __attribute__((always_inline)) void turn_words(const __m512i x[16], __m512i lanes[16])
{
	__m512i pieces[4][4]; /* [j][k]: words 4k to 4k + 3 of the lanes j, 4 + j, 8 + j and 12 + j */

#pragma GCC unroll 4
	for (size_t k = 0; k < 4; k++) {
		const __m512i *words = x + 4 * k;
		__m512i a = _mm512_unpacklo_epi32(words[0], words[1]), b = _mm512_unpackhi_epi32(words[0], words[1]);
		__m512i c = _mm512_unpacklo_epi32(words[2], words[3]), d = _mm512_unpackhi_epi32(words[2], words[3]);
		pieces[0][k] = _mm512_unpacklo_epi64(a, c);
		pieces[1][k] = _mm512_unpackhi_epi64(a, c);
		pieces[2][k] = _mm512_unpacklo_epi64(b, d);
		pieces[3][k] = _mm512_unpackhi_epi64(b, d);
	}
#pragma GCC unroll 4
	for (unsigned j = 0; j < 4; j++) {
		__m512i a = _mm512_shuffle_i32x4(pieces[j][0], pieces[j][1], 0x44), b = _mm512_shuffle_i32x4(pieces[j][2], pieces[j][3], 0x44);
		__m512i c = _mm512_shuffle_i32x4(pieces[j][0], pieces[j][1], 0xee), d = _mm512_shuffle_i32x4(pieces[j][2], pieces[j][3], 0xee);
		lanes[j] = _mm512_shuffle_i32x4(a, b, 0x88);
		lanes[4 + j] = _mm512_shuffle_i32x4(a, b, 0xdd);
		lanes[8 + j] = _mm512_shuffle_i32x4(c, d, 0x88);
		lanes[12 + j] = _mm512_shuffle_i32x4(c, d, 0xdd);
	}
}

static inline __mmask64 first_bytes(size_t count)
{
	return count >= CHUNK ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static inline __attribute__((always_inline)) void xor_bytes(uint8_t *bytes, const uint8_t *stream, size_t length)
{
	for (; length >= AEAD_BLOCK; length -= AEAD_BLOCK, bytes += AEAD_BLOCK, stream += AEAD_BLOCK)
		_mm512_storeu_si512(bytes, _mm512_xor_si512(_mm512_loadu_si512(bytes), _mm512_load_si512(stream)));
	if (length > 0) {
		__mmask64 mask = first_bytes(length);
		_mm512_mask_storeu_epi8(bytes, mask, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, bytes), _mm512_load_si512(stream)));
	}
}

static void xor_blocks(const uint32_t key[8], const struct aead_blocks *blocks)
{
	_Alignas(64) uint8_t stream[BLOCKS * AEAD_BLOCK];
	struct numbers numbers = number_lanes(blocks);
	__m512i x[16], start[16], lanes[16];

	set_words(x, key, &numbers);
	for (unsigned i = 0; i < 10; i++) {
		round_of(x, 0);
		round_of(x, 1);
	}
	set_words(start, key, &numbers);
#pragma GCC unroll 16
	for (unsigned i = 0; i < 16; i++)
		x[i] = _mm512_add_epi32(x[i], start[i]);
	turn_words(x, lanes);
#pragma GCC unroll 16
	for (size_t i = 0; i < BLOCKS; i++)
		_mm512_store_si512(stream + AEAD_BLOCK * i, lanes[i]);
	for (unsigned i = 0; i < blocks->count; i++)
		xor_bytes(blocks->spans[i].bytes, stream + (size_t)AEAD_BLOCK * blocks->spans[i].first, blocks->spans[i].length);
}

/* --- Poly1305 --- */

struct limbs {
	__m512i l[3];
};

/* A power of r, and 20 times its limbs: 2^132 is 20 modulo 2^130 - 5. */
struct power {
	__m512i r[3], s[3];
};

struct sums {
	__m512i low[3], high[3];
};

static inline __attribute__((always_inline)) struct power power_of(struct limbs x)
{
	struct power power;

#pragma GCC unroll 3
	for (unsigned i = 0; i < 3; i++) {
		power.r[i] = x.l[i];
		power.s[i] = _mm512_add_epi64(_mm512_slli_epi64(x.l[i], 4), _mm512_slli_epi64(x.l[i], 2));
	}
	return power;
}

static inline __attribute__((always_inline)) void add_product(struct sums *sums, const struct limbs *m, const struct power *power)
{
#pragma GCC unroll 3
	for (unsigned i = 0; i < 3; i++)
#pragma GCC unroll 3
		for (unsigned j = 0; j < 3; j++) {
			__m512i factor = i + j < 3 ? power->r[j] : power->s[j];
			unsigned to = (i + j) % 3;
			sums->low[to] = _mm512_madd52lo_epu64(sums->low[to], m->l[i], factor);
			sums->high[to] = _mm512_madd52hi_epu64(sums->high[to], m->l[i], factor);
		}
}

/* Back to limbs of 44, 44 and 42 bits and a little. A high part has the weight of 2^8 of the next limb's; above the third one, of 5 * 2^10 of the
 * first one's. */
static inline __attribute__((always_inline)) struct limbs carry(const struct sums *sums)
{
	const __m512i bits44 = _mm512_set1_epi64((INT64_C(1) << 44) - 1), bits42 = _mm512_set1_epi64((INT64_C(1) << 42) - 1);
	__m512i t0 = _mm512_madd52lo_epu64(sums->low[0], sums->high[2], _mm512_set1_epi64(5 << 10));
	__m512i t1 = _mm512_add_epi64(sums->low[1], _mm512_slli_epi64(sums->high[0], 8));
	__m512i t2 = _mm512_add_epi64(sums->low[2], _mm512_slli_epi64(sums->high[1], 8));
	__m512i above = _mm512_srli_epi64(t2, 42);

	return (struct limbs){ {
	    _mm512_madd52lo_epu64(_mm512_and_si512(t0, bits44), above, _mm512_set1_epi64(5)),
	    _mm512_add_epi64(_mm512_and_si512(t1, bits44), _mm512_srli_epi64(t0, 44)),
	    _mm512_add_epi64(_mm512_and_si512(t2, bits42), _mm512_srli_epi64(t1, 44)),
	} };
}

static inline __attribute__((always_inline)) struct limbs product(struct limbs a, const struct power *b)
{
	struct sums sums = { { { 0 } }, { { 0 } } };

	add_product(&sums, &a, b);
	return carry(&sums);
}

/* 128 bits, and `top` above them. */
static inline __attribute__((always_inline)) struct limbs split(__m512i low, __m512i high, __m512i top)
{
	const __m512i bits44 = _mm512_set1_epi64((INT64_C(1) << 44) - 1);

	return (struct limbs){ {
	    _mm512_and_si512(low, bits44),
	    _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(low, 44), _mm512_slli_epi64(high, 20)), bits44),
	    _mm512_or_si512(_mm512_srli_epi64(high, 24), top),
	} };
}

/* From 64 bytes of each packet to the low and the high halves of their four blocks, a packet a lane. */
static inline __attribute__((always_inline)) void turn_blocks(const __m512i rows[MESSAGES], __m512i low[4], __m512i high[4])
{
	__m512i a[4], b[4];

#pragma GCC unroll 4
	for (size_t i = 0; i < 4; i++) {
		a[i] = _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1]);
		b[i] = _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1]);
	}
#pragma GCC unroll 2
	for (unsigned half = 0; half < 2; half++) {
		const __m512i *from = half == 0 ? a : b;
		__m512i *to = half == 0 ? low : high;
		__m512i c = _mm512_shuffle_i64x2(from[0], from[1], 0x44), d = _mm512_shuffle_i64x2(from[2], from[3], 0x44);
		__m512i e = _mm512_shuffle_i64x2(from[0], from[1], 0xee), f = _mm512_shuffle_i64x2(from[2], from[3], 0xee);
		to[0] = _mm512_shuffle_i64x2(c, d, 0x88);
		to[1] = _mm512_shuffle_i64x2(c, d, 0xdd);
		to[2] = _mm512_shuffle_i64x2(e, f, 0x88);
		to[3] = _mm512_shuffle_i64x2(e, f, 0xdd);
	}
}

/* Where the packets are in their lanes. */
struct places {
	uintptr_t chunk[MESSAGES]; /* where chunk 0 would begin: before the packet, if it is shorter */
	uintptr_t begin[MESSAGES], end[MESSAGES];
	_Alignas(64) uint64_t absent[MESSAGES]; /* blocks before the first one */
	uint64_t length[MESSAGES];
	size_t chunks, first_whole; /* from this chunk to the last but one, all bytes are packets' */
};

static void find_places(struct places *places, const struct aead_message *messages, unsigned count)
{
	size_t least = SIZE_MAX;

	memset(places, 0, sizeof(*places));
	for (unsigned i = 0; i < count; i++) {
		size_t chunks = (aead_message_blocks(messages[i].length) + 3) / 4;
		places->chunks = chunks > places->chunks ? chunks : places->chunks;
		least = chunks < least ? chunks : least;
	}
	places->first_whole = count == MESSAGES ? places->chunks - least + 1 : SIZE_MAX;
	for (unsigned i = 0; i < MESSAGES; i++) {
		/* An empty lane is the first packet's, with no bytes: addresses of loads that load nothing should be mapped, or they are slow. */
		const struct aead_message *message = &messages[i < count ? i : 0];
		size_t blocks = aead_message_blocks(message->length), absent = 4 * places->chunks - blocks;
		places->absent[i] = i < count ? absent : 4 * places->chunks;
		places->begin[i] = (uintptr_t)message->bytes;
		places->end[i] = places->begin[i] + (i < count ? message->length : 0);
		places->chunk[i] = places->begin[i] - 16 * absent;
		places->length[i] = i < count ? message->length : 0;
	}
}

/* The bytes of the 64 at `at` that are between `begin` and `end`; the others are 0 and are not read. */
static inline __attribute__((always_inline)) __m512i load_between(uintptr_t at, uintptr_t begin, uintptr_t end)
{
	__mmask64 mask = first_bytes(end > at ? end - at : 0) & ~first_bytes(begin > at ? begin - at : 0);
	return _mm512_maskz_loadu_epi8(mask, (const void *)at);
}

static inline __attribute__((always_inline)) void load_rows(__m512i rows[MESSAGES], const struct places *places, size_t chunk)
{
	bool is_last = chunk + 1 == places->chunks;

	if (chunk >= places->first_whole && !is_last) {
#pragma GCC unroll 8
		for (unsigned i = 0; i < MESSAGES; i++)
			rows[i] = _mm512_loadu_si512((const void *)(places->chunk[i] + CHUNK * chunk));
		return;
	}
#pragma GCC unroll 8
	for (unsigned i = 0; i < MESSAGES; i++) {
		rows[i] = load_between(places->chunk[i] + CHUNK * chunk, places->begin[i], places->end[i]);
		if (is_last)
			rows[i] = _mm512_mask_set1_epi64(rows[i], 0x80, (long long)places->length[i]);
	}
}

static inline __attribute__((always_inline)) void set_powers(struct power powers[4], const __m512i low, const __m512i high)
{
	const __m512i clamp_low = _mm512_set1_epi64(AEAD_CLAMP_LOW), clamp_high = _mm512_set1_epi64(AEAD_CLAMP_HIGH);
	struct limbs r = split(_mm512_and_si512(low, clamp_low), _mm512_and_si512(high, clamp_high), _mm512_setzero_si512());

	powers[3] = power_of(r);
	struct limbs r2 = product(r, &powers[3]);
	powers[2] = power_of(r2);
	powers[1] = power_of(product(r, &powers[2]));
	powers[0] = power_of(product(r2, &powers[2]));
}

static inline __attribute__((always_inline)) void add_chunk(struct limbs *h, const struct places *places, size_t chunk, const struct power powers[4])
{
	const __m512i bit128 = _mm512_set1_epi64(INT64_C(1) << 40), absent = _mm512_load_si512(places->absent);
	__m512i rows[MESSAGES], low[4], high[4];
	struct sums sums = { { { 0 } }, { { 0 } } };

	load_rows(rows, places, chunk);
	turn_blocks(rows, low, high);
#pragma GCC unroll 4
	for (unsigned b = 0; b < 4; b++) {
		__mmask8 is_there = _mm512_cmple_epu64_mask(absent, _mm512_set1_epi64((long long)(4 * chunk + b)));
		struct limbs m = split(low[b], high[b], _mm512_maskz_mov_epi64(is_there, bit128));
#pragma GCC unroll 3
		for (unsigned i = 0; b == 0 && i < 3; i++)
			m.l[i] = _mm512_add_epi64(m.l[i], h->l[i]);
		add_product(&sums, &m, &powers[b]);
	}
	*h = carry(&sums);
}

static void write_tags(const struct limbs *h, const struct aead_message *messages, unsigned count)
{
	_Alignas(64) uint64_t l[3][MESSAGES];

	for (unsigned i = 0; i < 3; i++)
		_mm512_store_si512(l[i], h->l[i]);
	for (unsigned i = 0; i < count; i++) {
		aead_wide sum = l[0][i] + ((aead_wide)l[1][i] << 44);
		uint64_t low = (uint64_t)sum;
		sum = (sum >> 64) + ((aead_wide)l[2][i] << 24);
		aead_write_tag(messages[i].tag, low, (uint64_t)sum, (uint64_t)(sum >> 64), messages[i].key);
	}
}

static void authenticate(const struct aead_message *messages, unsigned count)
{
	__m512i keys[MESSAGES], low[4], high[4];
	struct places places;
	struct power powers[4];
	struct limbs h = { { { 0 } } };

	find_places(&places, messages, count);
	for (unsigned i = 0; i < MESSAGES; i++)
		keys[i] = i < count ? _mm512_maskz_loadu_epi8(first_bytes(16), messages[i].key) : _mm512_setzero_si512();
	turn_blocks(keys, low, high);
	set_powers(powers, low[0], high[0]);
	for (size_t chunk = 0; chunk < places.chunks; chunk++)
		add_chunk(&h, &places, chunk, powers);
	write_tags(&h, messages, count);
}

/* No intrinsic names a register, and gcc's zero_call_used_regs clears the first 16 only. */
#define CLEAR(n) __asm__ volatile("vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n : : : "xmm" #n);
#define CLEAR4(a, b, c, d) CLEAR(a) CLEAR(b) CLEAR(c) CLEAR(d)

static __attribute__((noinline)) void wipe(void)
{
	uint8_t stack[AEAD_STACK];

	sodium_memzero(stack, sizeof(stack));
	CLEAR4(16, 17, 18, 19)
	CLEAR4(20, 21, 22, 23)
	CLEAR4(24, 25, 26, 27)
	CLEAR4(28, 29, 30, 31)
	_mm256_zeroall();
}

const struct aead_vectors aead_avx512 = { BLOCKS, MESSAGES, LEAST, xor_blocks, authenticate, wipe };
