#include "ipc/key.h"

#include <sodium.h>
#include <string.h>

bool key_parse(const char *text, struct wireguard_key *key)
{
	size_t length = 0;
	/* libsodium refuses stray bits after the last byte, so each key has exactly one text form. */
	return strlen(text) == KEY_TEXT_SIZE - 1 &&
	       sodium_base642bin(key->bytes, sizeof(key->bytes), text, KEY_TEXT_SIZE - 1, NULL, &length, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       length == sizeof(key->bytes);
}

void key_format(const struct wireguard_key *key, char text[KEY_TEXT_SIZE])
{
	sodium_bin2base64(text, KEY_TEXT_SIZE, key->bytes, sizeof(key->bytes), sodium_base64_VARIANT_ORIGINAL);
}

bool key_is_zero(const struct wireguard_key *key)
{
	return sodium_is_zero(key->bytes, sizeof(key->bytes));
}
