/* AVX2: 8 lanes of ChaCha20, 4 lanes of Poly1305 in five limbs of 26 bits.
 *
 * Poly1305 takes two blocks m0, m1 of each packet at a time: h = (h + m0) r^2 + m1 r, with one carry for both products. Packets end together: the
 * lane of a shorter one begins with absent blocks, which are 0 and lack the bit 2^128, so that h stays 0.
 *
 * Limbs of h + m are below 2^27.1, five times those of a power below 2^28.4: the sum of ten products is below 2^59. */
#include "tunnel/wireguard/aead_batch.h"

#include <immintrin.h>
#include <sodium.h>

enum {
	BLOCKS = 8,
	MESSAGES = 4,
	LEAST = 4,
	CHUNK = 32, /* two blocks of Poly1305 */
	LIMBS = 5,
};

/* --- ChaCha20: word i of all lanes is x[i] --- */

static inline __attribute__((always_inline)) __m256i rotate(__m256i x, const int bits)
{
	const __m256i by16 =
	    _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
	const __m256i by8 =
	    _mm256_set_epi8(14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3, 14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3);

	if (bits == 16)
		return _mm256_shuffle_epi8(x, by16);
	if (bits == 8)
		return _mm256_shuffle_epi8(x, by8);
	return _mm256_or_si256(_mm256_slli_epi32(x, bits), _mm256_srli_epi32(x, 32 - bits));
}

/* a += b, d = (d ^ a) <<< bits in two quarter rounds (RFC 8439, 2.1): those of the columns `first` and its neighbour. a, b and d are rows; column i
 * of row k is turned by k * `turn`, so that with 1 they are diagonals. */
static inline __attribute__((always_inline)) void step(__m256i x[16], unsigned turn, unsigned first, unsigned a, unsigned b, unsigned d,
                                                       const int bits)
{
#pragma GCC unroll 2
	for (unsigned i = first; i < first + 2; i++) {
		unsigned to = 4 * a + (i + a * turn) % 4, from = 4 * b + (i + b * turn) % 4, mixed = 4 * d + (i + d * turn) % 4;
		x[to] = _mm256_add_epi32(x[to], x[from]);
		x[mixed] = rotate(_mm256_xor_si256(x[mixed], x[to]), bits);
	}
}

/* Two columns after two, because the words alone fill the 16 registers: four side by side take a tenth longer. */
static inline __attribute__((always_inline)) void round_of(__m256i x[16], unsigned turn)
{
#pragma GCC unroll 2
	for (unsigned first = 0; first < 4; first += 2) {
		step(x, turn, first, 0, 1, 3, 16);
		step(x, turn, first, 2, 3, 1, 12);
		step(x, turn, first, 0, 1, 3, 8);
		step(x, turn, first, 2, 3, 1, 7);
	}
}

struct numbers {
	__m256i number, counter_low, counter_high;
};

/* The lanes behind a span are the next one's, which is set after it. */
static inline __attribute__((always_inline)) struct numbers number_lanes(const struct aead_blocks *blocks)
{
	const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
	struct numbers numbers = { { 0 }, { 0 }, { 0 } };

	for (unsigned i = 0; i < blocks->count; i++) {
		const struct aead_span *span = &blocks->spans[i];
		__m256i mask = _mm256_cmpgt_epi32(lanes, _mm256_set1_epi32((int)span->first - 1));
		__m256i number = _mm256_add_epi32(lanes, _mm256_set1_epi32((int)(span->number - span->first)));
		numbers.number = _mm256_blendv_epi8(numbers.number, number, mask);
		numbers.counter_low = _mm256_blendv_epi8(numbers.counter_low, _mm256_set1_epi32((int)span->counter), mask);
		numbers.counter_high = _mm256_blendv_epi8(numbers.counter_high, _mm256_set1_epi32((int)(span->counter >> 32)), mask);
	}
	return numbers;
}

static inline __attribute__((always_inline)) void set_words(__m256i x[16], const uint32_t key[8], const struct numbers *numbers)
{
	static const int constants[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

#pragma GCC unroll 4
	for (unsigned i = 0; i < 4; i++)
		x[i] = _mm256_set1_epi32(constants[i]);
#pragma GCC unroll 8
	for (unsigned i = 0; i < 8; i++)
		x[4 + i] = _mm256_set1_epi32((int)key[i]);
	x[12] = numbers->number;
	x[13] = _mm256_setzero_si256();
	x[14] = numbers->counter_low;
	x[15] = numbers->counter_high;
}

/* From words of all lanes to the 64 bytes of each lane. Half of the words at a time, because there are 16 registers. */
static inline __attribute__((always_inline)) void store_words(const __m256i x[16], uint8_t stream[BLOCKS * AEAD_BLOCK])
{
#pragma GCC unroll 2
	for (size_t half = 0; half < 2; half++) {
		__m256i pieces[4][2]; /* [j][k]: four words of lane j and of lane 4 + j */
#pragma GCC unroll 2
		for (size_t k = 0; k < 2; k++) {
			const __m256i *words = x + 8 * half + 4 * k;
			__m256i a = _mm256_unpacklo_epi32(words[0], words[1]), b = _mm256_unpackhi_epi32(words[0], words[1]);
			__m256i c = _mm256_unpacklo_epi32(words[2], words[3]), d = _mm256_unpackhi_epi32(words[2], words[3]);
			pieces[0][k] = _mm256_unpacklo_epi64(a, c);
			pieces[1][k] = _mm256_unpackhi_epi64(a, c);
			pieces[2][k] = _mm256_unpacklo_epi64(b, d);
			pieces[3][k] = _mm256_unpackhi_epi64(b, d);
		}
#pragma GCC unroll 4
		for (size_t j = 0; j < 4; j++) {
			__m256i low = _mm256_permute2x128_si256(pieces[j][0], pieces[j][1], 0x20);
			__m256i high = _mm256_permute2x128_si256(pieces[j][0], pieces[j][1], 0x31);
			_mm256_store_si256((__m256i *)(stream + AEAD_BLOCK * j + 32 * half), low);
			_mm256_store_si256((__m256i *)(stream + AEAD_BLOCK * (4 + j) + 32 * half), high);
		}
	}
}

static inline __attribute__((always_inline)) void xor_bytes(uint8_t *bytes, const uint8_t *stream, size_t length)
{
	_Alignas(32) uint8_t last[32];

	for (; length >= 32; length -= 32, bytes += 32, stream += 32)
		_mm256_storeu_si256((__m256i *)bytes,
		                    _mm256_xor_si256(_mm256_loadu_si256((__m256i *)bytes), _mm256_load_si256((const __m256i *)stream)));
	if (length > 0) {
		memcpy(last, bytes, length);
		for (size_t i = 0; i < 32; i++)
			last[i] ^= stream[i];
		memcpy(bytes, last, length);
	}
}

static void xor_blocks(const uint32_t key[8], const struct aead_blocks *blocks)
{
	_Alignas(32) uint8_t stream[BLOCKS * AEAD_BLOCK];
	struct numbers numbers = number_lanes(blocks);
	__m256i x[16], start[16];

	set_words(x, key, &numbers);
	for (unsigned i = 0; i < 10; i++) {
		round_of(x, 0);
		round_of(x, 1);
	}
	set_words(start, key, &numbers);
#pragma GCC unroll 16
	for (unsigned i = 0; i < 16; i++)
		x[i] = _mm256_add_epi32(x[i], start[i]);
	store_words(x, stream);
	for (unsigned i = 0; i < blocks->count; i++)
		xor_bytes(blocks->spans[i].bytes, stream + (size_t)AEAD_BLOCK * blocks->spans[i].first, blocks->spans[i].length);
}

/* --- Poly1305 --- */

struct limbs {
	__m256i l[LIMBS];
};

/* A power of r, and five times its limbs: 2^130 is 5 modulo 2^130 - 5. */
struct power {
	__m256i r[LIMBS], s[LIMBS];
};

static inline __attribute__((always_inline)) __m256i times5(__m256i x)
{
	return _mm256_add_epi64(x, _mm256_slli_epi64(x, 2));
}

static inline __attribute__((always_inline)) void set_power(struct power *power, const struct limbs *x)
{
#pragma GCC unroll 5
	for (unsigned i = 0; i < LIMBS; i++) {
		power->r[i] = x->l[i];
		power->s[i] = times5(x->l[i]);
	}
}

static inline __attribute__((always_inline)) void add_product(struct limbs *sums, const struct limbs *m, const struct power *power)
{
#pragma GCC unroll 5
	for (unsigned i = 0; i < LIMBS; i++)
#pragma GCC unroll 5
		for (unsigned j = 0; j < LIMBS; j++) {
			__m256i factor = i + j < LIMBS ? power->r[j] : power->s[j];
			unsigned to = (i + j) % LIMBS;
			sums->l[to] = _mm256_add_epi64(sums->l[to], _mm256_mul_epu32(m->l[i], factor));
		}
}

/* From one limb to the next, above the last one to the first. */
static inline __attribute__((always_inline)) void carry_from(struct limbs *h, unsigned i)
{
	__m256i above = _mm256_srli_epi64(h->l[i], 26);

	h->l[i] = _mm256_and_si256(h->l[i], _mm256_set1_epi64x((1 << 26) - 1));
	if (i + 1 < LIMBS)
		h->l[i + 1] = _mm256_add_epi64(h->l[i + 1], above);
	else
		h->l[0] = _mm256_add_epi64(h->l[0], times5(above));
}

/* Back to limbs of 26 bits and a little: two chains side by side. */
static inline __attribute__((always_inline)) void carry(struct limbs *h)
{
	carry_from(h, 0);
	carry_from(h, 3);
	carry_from(h, 1);
	carry_from(h, 4);
	carry_from(h, 2);
	carry_from(h, 0);
	carry_from(h, 3);
}

/* 128 bits, and `top` above them. */
static inline __attribute__((always_inline)) struct limbs split(__m256i low, __m256i high, __m256i top)
{
	const __m256i bits26 = _mm256_set1_epi64x((1 << 26) - 1);

	return (struct limbs){ {
	    _mm256_and_si256(low, bits26),
	    _mm256_and_si256(_mm256_srli_epi64(low, 26), bits26),
	    _mm256_and_si256(_mm256_or_si256(_mm256_srli_epi64(low, 52), _mm256_slli_epi64(high, 12)), bits26),
	    _mm256_and_si256(_mm256_srli_epi64(high, 14), bits26),
	    _mm256_or_si256(_mm256_srli_epi64(high, 40), top),
	} };
}

/* From 32 bytes of each packet to the low and the high halves of their two blocks, a packet a lane. */
static inline __attribute__((always_inline)) void turn_blocks(const uint8_t *const rows[MESSAGES], __m256i low[2], __m256i high[2])
{
	__m256i row[MESSAGES];

#pragma GCC unroll 4
	for (unsigned i = 0; i < MESSAGES; i++)
		row[i] = _mm256_loadu_si256((const __m256i *)rows[i]);
	__m256i a = _mm256_unpacklo_epi64(row[0], row[1]), b = _mm256_unpacklo_epi64(row[2], row[3]);
	__m256i c = _mm256_unpackhi_epi64(row[0], row[1]), d = _mm256_unpackhi_epi64(row[2], row[3]);
	low[0] = _mm256_permute2x128_si256(a, b, 0x20);
	low[1] = _mm256_permute2x128_si256(a, b, 0x31);
	high[0] = _mm256_permute2x128_si256(c, d, 0x20);
	high[1] = _mm256_permute2x128_si256(c, d, 0x31);
}

/* A packet's lane: absent blocks, perhaps a first chunk of one absent and one whole block, whole chunks, and the last chunk with the rest and the
 * lengths. Chunks that are not whole are copied. */
struct lane {
	const uint8_t *whole; /* the first whole chunk */
	size_t first_whole;   /* its number */
	uint8_t first[CHUNK], last[CHUNK];
};

struct places {
	struct lane lanes[MESSAGES];
	_Alignas(32) uint64_t absent[MESSAGES]; /* blocks before the first one */
	size_t chunks;
};

static const uint8_t nothing[CHUNK];

static void find_lane(struct lane *lane, const struct aead_message *message, size_t absent)
{
	size_t rest = message->length % 16, whole = message->length - rest;
	uint64_t length = message->length;

	memset(lane->first, 0, CHUNK);
	memset(lane->last, 0, CHUNK);
	lane->whole = message->bytes;
	lane->first_whole = absent / 2;
	/* An odd number of absent blocks, and the first block is not the last but one. */
	if (absent % 2 == 1 && message->length > 16) {
		memcpy(lane->first + 16, message->bytes, 16);
		lane->whole += 16;
		lane->first_whole++;
	}
	/* The last chunk has a partial block, or one that is left of an even number of whole ones. */
	if (rest > 0)
		memcpy(lane->last, message->bytes + whole, rest);
	else if (whole > 0)
		memcpy(lane->last, message->bytes + whole - 16, 16);
	memcpy(lane->last + 24, &length, sizeof(length));
}

static void find_places(struct places *places, const struct aead_message *messages, unsigned count)
{
	places->chunks = 0;
	for (unsigned i = 0; i < count; i++) {
		size_t chunks = (aead_message_blocks(messages[i].length) + 1) / 2;
		places->chunks = chunks > places->chunks ? chunks : places->chunks;
	}
	for (unsigned i = 0; i < MESSAGES; i++) {
		static const struct aead_message none;
		const struct aead_message *message = i < count ? &messages[i] : &none;
		places->absent[i] = 2 * places->chunks - (i < count ? aead_message_blocks(message->length) : 0);
		find_lane(&places->lanes[i], message, places->absent[i]);
	}
}

static inline __attribute__((always_inline)) const uint8_t *row_of(const struct places *places, unsigned i, size_t chunk)
{
	const struct lane *lane = &places->lanes[i];

	if (chunk + 1 == places->chunks)
		return lane->last;
	if (chunk >= lane->first_whole)
		return lane->whole + CHUNK * (chunk - lane->first_whole);
	return chunk + 1 == lane->first_whole ? lane->first : nothing;
}

static inline __attribute__((always_inline)) void set_powers(struct power powers[2], __m256i low, __m256i high)
{
	const __m256i clamp_low = _mm256_set1_epi64x(AEAD_CLAMP_LOW), clamp_high = _mm256_set1_epi64x(AEAD_CLAMP_HIGH);
	struct limbs r = split(_mm256_and_si256(low, clamp_low), _mm256_and_si256(high, clamp_high), _mm256_setzero_si256());
	struct limbs square = { { { 0 } } };

	set_power(&powers[1], &r);
	add_product(&square, &r, &powers[1]);
	carry(&square);
	set_power(&powers[0], &square);
}

static inline __attribute__((always_inline)) void add_chunk(struct limbs *h, const struct places *places, size_t chunk, const struct power powers[2])
{
	const __m256i bit128 = _mm256_set1_epi64x(1 << 24), absent = _mm256_load_si256((const __m256i *)places->absent);
	const uint8_t *rows[MESSAGES];
	__m256i low[2], high[2];
	struct limbs sums = { { { 0 } } };

#pragma GCC unroll 4
	for (unsigned i = 0; i < MESSAGES; i++)
		rows[i] = row_of(places, i, chunk);
	turn_blocks(rows, low, high);
#pragma GCC unroll 2
	for (unsigned b = 0; b < 2; b++) {
		__m256i is_absent = _mm256_cmpgt_epi64(absent, _mm256_set1_epi64x(2 * (long long)chunk + b));
		struct limbs m = split(low[b], high[b], _mm256_andnot_si256(is_absent, bit128));
#pragma GCC unroll 5
		for (unsigned i = 0; b == 0 && i < LIMBS; i++)
			m.l[i] = _mm256_add_epi64(m.l[i], h->l[i]);
		add_product(&sums, &m, &powers[b]);
	}
	carry(&sums);
	*h = sums;
}

static void write_tags(const struct limbs *h, const struct aead_message *messages, unsigned count)
{
	_Alignas(32) uint64_t l[LIMBS][MESSAGES];

	for (unsigned i = 0; i < LIMBS; i++)
		_mm256_store_si256((__m256i *)l[i], h->l[i]);
	for (unsigned i = 0; i < count; i++) {
		aead_wide sum = l[0][i] + ((aead_wide)l[1][i] << 26) + ((aead_wide)l[2][i] << 52);
		uint64_t low = (uint64_t)sum;
		sum = (sum >> 64) + ((aead_wide)l[3][i] << 14) + ((aead_wide)l[4][i] << 40);
		aead_write_tag(messages[i].tag, low, (uint64_t)sum, (uint64_t)(sum >> 64), messages[i].key);
	}
}

static void authenticate(const struct aead_message *messages, unsigned count)
{
	const uint8_t *keys[MESSAGES];
	__m256i low[2], high[2];
	struct places places;
	struct power powers[2];
	struct limbs h = { { { 0 } } };

	find_places(&places, messages, count);
	for (unsigned i = 0; i < MESSAGES; i++)
		keys[i] = i < count ? messages[i].key : nothing;
	turn_blocks(keys, low, high);
	set_powers(powers, low[0], high[0]);
	for (size_t chunk = 0; chunk < places.chunks; chunk++)
		add_chunk(&h, &places, chunk, powers);
	write_tags(&h, messages, count);
}

static __attribute__((noinline)) void wipe(void)
{
	uint8_t stack[AEAD_STACK];

	sodium_memzero(stack, sizeof(stack));
	_mm256_zeroall();
}

const struct aead_vectors aead_avx2 = { BLOCKS, MESSAGES, LEAST, xor_blocks, authenticate, wipe };
