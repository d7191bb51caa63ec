/* ChaCha20-Poly1305 (RFC 8439) of several packets under one key, for data messages: no additional data, and a nonce of four zero bytes and the
 * counter (WireGuard paper, 5.4.6).
 *
 * A CPU's vector unit works on as many independent lanes as fit. One packet keeps few of them busy; several packets fill all: a lane of ChaCha20
 * is any block of any packet, a lane of Poly1305 is a packet. aead_batch.c forms the lanes, and each back end has the two primitives.
 * Each is whole in its file. Functions of the same name there differ in their vector type, in its intrinsics, and in what the number of registers
 * allows: a common text would have to be macros over all three.
 *
 * Constant time: branches and addresses depend on lengths, counts and the public result of a comparison alone, never on keys or data. Nothing
 * beyond the end of a packet is read or written. Before a batch returns, the stack and the vector registers that it used are wiped. */
#ifndef WARREN_TUNNEL_WIREGUARD_AEAD_BATCH_H
#define WARREN_TUNNEL_WIREGUARD_AEAD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tunnel/wireguard/aead.h"

enum {
	AEAD_BLOCK = 64, /* of ChaCha20 */
	AEAD_LANES_MAX = 16,
};

/* Neighbouring blocks of one packet: the lanes from `first` on have the blocks from `number` on. */
struct aead_span {
	uint8_t *bytes;
	size_t length; /* of all its blocks; the last one may be partial */
	uint64_t counter;
	uint32_t number;
	unsigned first;
};

/* Blocks of ChaCha20, one a lane. */
struct aead_blocks {
	struct aead_span spans[AEAD_LANES_MAX]; /* by `first` */
	unsigned count;
	unsigned lanes; /* that spans have */
};

/* A packet to authenticate. */
struct aead_message {
	const uint8_t *key; /* block 0 of its keystream, whose first half is the key (RFC 8439, 2.6) */
	const uint8_t *bytes;
	size_t length;
	uint8_t *tag; /* is written */
};

struct aead_vectors {
	unsigned blocks;   /* lanes of xor_blocks */
	unsigned messages; /* lanes of authenticate */
	unsigned least;    /* packets of a batch that is faster than one packet after the other (measured with tests/bench/bench_aead) */
	/* XORs the spans' bytes with their keystream. */
	void (*xor_blocks)(const uint32_t key[8], const struct aead_blocks *blocks);
	/* Computes the tags of 1 to `messages` packets, in the time that the longest takes. */
	void (*authenticate)(const struct aead_message *messages, unsigned count);
	/* Wipes the stack below the caller, and the vector registers. */
	void (*wipe)(void);
};

extern const struct aead_vectors aead_avx2, aead_avx512;

/* At most WIREGUARD_AEAD_BATCH packets; see wireguard_aead_seal_batch and wireguard_aead_open_batch. */
void aead_batch_seal(const struct aead_vectors *vectors, const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets,
                     size_t count);
void aead_batch_open(const struct aead_vectors *vectors, const uint8_t key[WIREGUARD_KEY_LENGTH], struct wireguard_aead_packet *packets,
                     size_t count);

/* For the back ends. */

#define AEAD_CLAMP_LOW 0x0ffffffc0fffffffull
#define AEAD_CLAMP_HIGH 0x0ffffffc0ffffffcull
#define AEAD_STACK 4096 /* what a back end's functions take, and more */

__extension__ typedef unsigned __int128 aead_wide;

/* Blocks that Poly1305 takes for a packet: the last one may be partial, and the lengths follow. */
static inline size_t aead_message_blocks(size_t length)
{
	return (length + 15) / 16 + 1;
}

/* Writes the tag: low + middle 2^64 + high 2^128, whose high part is small, modulo 2^130 - 5, plus the key's second half modulo 2^128. */
static inline void aead_write_tag(uint8_t *tag, uint64_t low, uint64_t middle, uint64_t high, const uint8_t *key)
{
	uint64_t pad[2], out[2];
	aead_wide sum = low + (aead_wide)(high >> 2) * 5;

	low = (uint64_t)sum;
	sum = (sum >> 64) + middle;
	middle = (uint64_t)sum;
	high = (high & 3) + (uint64_t)(sum >> 64);
	/* The number is at least 2^130 - 5 if five more reach 2^130. Then those are the reduced one. */
	sum = (aead_wide)low + 5;
	uint64_t reduced_low = (uint64_t)sum;
	sum = (sum >> 64) + middle;
	uint64_t reduced_middle = (uint64_t)sum, choice = 0 - ((high + (uint64_t)(sum >> 64)) >> 2);
	low = (low & ~choice) | (reduced_low & choice);
	middle = (middle & ~choice) | (reduced_middle & choice);
	memcpy(pad, key + 16, sizeof(pad));
	sum = (aead_wide)low + pad[0];
	out[0] = (uint64_t)sum;
	out[1] = middle + pad[1] + (uint64_t)(sum >> 64);
	memcpy(tag, out, sizeof(out));
}

#endif
