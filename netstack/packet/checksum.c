#include "netstack/packet/checksum.h"

#include <arpa/inet.h>
#include <string.h>

#define BLOCK 32
#define BLOCKS_MAX 32768 /* as many 16-bit words fit twice into a lane of 32 bits */

typedef uint32_t lanes __attribute__((vector_size(BLOCK)));

/* The two halves of each lane have separate accumulators. The order of bytes in a lane does not matter (RFC 1071, 2.B). */
static inline __attribute__((always_inline)) uint64_t add_blocks(const uint8_t *at, size_t blocks)
{
	lanes low = { 0 }, high = { 0 };
	uint64_t sum = 0;

	for (; blocks > 0; blocks--, at += BLOCK) {
		lanes words;
		memcpy(&words, at, sizeof(words));
		low += words & 0xffff;
		high += words >> 16;
	}
	low += high;
	for (size_t i = 0; i < BLOCK / sizeof(uint32_t); i++)
		sum += low[i];
	return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t add_blocks_avx2(const uint8_t *at, size_t blocks)
{
	return add_blocks(at, blocks);
}

static uint64_t add_some(const uint8_t *at, size_t blocks)
{
	return __builtin_cpu_supports("avx2") ? add_blocks_avx2(at, blocks) : add_blocks(at, blocks);
}
#else
static uint64_t add_some(const uint8_t *at, size_t blocks)
{
	return add_blocks(at, blocks);
}
#endif

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	while (length >= BLOCK) {
		size_t blocks = length / BLOCK < BLOCKS_MAX ? length / BLOCK : BLOCKS_MAX;
		sum += add_some(at, blocks);
		at += blocks * BLOCK;
		length -= blocks * BLOCK;
	}
	for (; length >= 4; at += 4, length -= 4) {
		uint32_t word;
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	for (; length >= 2; at += 2, length -= 2) {
		uint16_t word;
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (length > 0) {
		uint8_t last[2] = { *at, 0 };
		uint16_t word;
		memcpy(&word, last, sizeof(word));
		sum += word;
	}
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* A part at an odd offset is summed as if at an even one, and the sum's bytes are swapped afterwards (RFC 1071, 2.B). */
uint64_t checksum_add_parts(uint64_t sum, const struct iovec *parts, size_t count)
{
	size_t place = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t part = checksum_add(0, parts[i].iov_base, parts[i].iov_len);
		if (place & 1) {
			uint16_t folded = checksum_fold(part);
			part = (uint16_t)(folded << 8 | folded >> 8);
		}
		sum += part;
		place += parts[i].iov_len;
	}
	return sum;
}

uint64_t checksum_pseudo(uint8_t family, const uint8_t *source, const uint8_t *target, uint8_t protocol, size_t length)
{
	size_t size = family == AF_INET ? 4 : 16;
	uint32_t tail[2] = { htonl((uint32_t)length), htonl(protocol) };

	uint64_t sum = checksum_add(0, source, size);
	sum = checksum_add(sum, target, size);
	return checksum_add(sum, tail, sizeof(tail));
}

unsigned short checksum_lwip(const void *bytes, int length)
{
	return checksum_fold(checksum_add(0, bytes, (size_t)length));
}
