/* Run by valgrind's memcheck, to which keys and plaintexts are undefined: it reports each branch and each address that depends on them (the method of
 * ctgrind). Ciphertexts, tags and whether a tag was right are public. With the argument `branch` there is such a branch, to see that it is reported.
 * Memcheck does not know AVX-512, so that the AVX2 code is run alone; lanes and secrets of both are formed by the same code. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "tunnel/wireguard/aead_batch.h"

enum { MOST = 20, LONGEST = 1500, TAG = 16 };

static uint8_t key[32], bytes[MOST][LONGEST + TAG];
static struct wireguard_aead_packet packets[MOST];

int __real_crypto_verify_16(const unsigned char *x, const unsigned char *y);
int __wrap_crypto_verify_16(const unsigned char *x, const unsigned char *y);
int __wrap_crypto_verify_16(const unsigned char *x, const unsigned char *y)
{
	int result = __real_crypto_verify_16(x, y);

	(void)VALGRIND_MAKE_MEM_DEFINED(&result, sizeof(result));
	return result;
}

static int seal_and_open(size_t count, size_t length)
{
	int wrong = 0;

	for (size_t i = 0; i < count; i++) {
		packets[i] = (struct wireguard_aead_packet){ bytes[i], i % 3 == 2 ? length / 2 : length, i, false };
		(void)VALGRIND_MAKE_MEM_UNDEFINED(bytes[i], packets[i].length);
	}
	aead_batch_seal(&aead_avx2, key, packets, count);
	for (size_t i = 0; i < count; i++)
		(void)VALGRIND_MAKE_MEM_DEFINED(bytes[i], packets[i].length + TAG);
	bytes[0][length] ^= 1;
	aead_batch_open(&aead_avx2, key, packets, count);
	for (size_t i = 0; i < count; i++)
		wrong += packets[i].is_good != (i > 0);
	return wrong;
}

int main(int count, char **arguments)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 32, 64, 65, 511, 512, 1420 };
	int wrong = 0;

	if (!__builtin_cpu_supports("avx2"))
		return 0;
	memset(key, 0x5a, sizeof(key));
	(void)VALGRIND_MAKE_MEM_UNDEFINED(key, sizeof(key));
	if (count > 1 && strcmp(arguments[1], "branch") == 0 && (key[0] & 1) != 0)
		puts("odd");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (size_t packet_count = 1; packet_count <= MOST; packet_count += 3)
			wrong += seal_and_open(packet_count, lengths[i]);
	return wrong;
}
