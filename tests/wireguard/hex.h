/* Parses hexadecimal bytes, for vectors. */
#ifndef WARREN_TESTS_WIREGUARD_HEX_H
#define WARREN_TESTS_WIREGUARD_HEX_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned hex_digit(char digit)
{
	return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* Returns their number, at most `size`. */
static inline size_t hex_read(uint8_t *bytes, size_t size, const char *hex)
{
	size_t length = strlen(hex) / 2;

	assert(length <= size);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
	return length;
}

#endif
