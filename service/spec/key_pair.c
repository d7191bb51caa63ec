#include "service/spec/key_pair.h"

#include <sodium.h>

void key_pair_generate(struct wireguard_key *private_key)
{
	randombytes_buf(private_key->bytes, sizeof(private_key->bytes));
	/* RFC 7748, 5: clamped as other tools write it. */
	private_key->bytes[0] &= 248;
	private_key->bytes[31] = (uint8_t)((private_key->bytes[31] & 127) | 64);
}

bool key_pair_public(struct wireguard_key *public_key, const struct wireguard_key *private_key)
{
	return crypto_scalarmult_curve25519_base(public_key->bytes, private_key->bytes) == 0;
}
