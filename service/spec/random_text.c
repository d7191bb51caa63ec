#include "service/spec/random_text.h"

#include <assert.h>
#include <sodium.h>

void random_text(char *text, size_t size, size_t bytes)
{
	uint8_t random[RANDOM_TEXT_BYTES_MAX];
	assert(bytes <= sizeof(random));
	randombytes_buf(random, bytes);
	sodium_bin2base64(text, size, random, bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	sodium_memzero(random, sizeof(random));
}
