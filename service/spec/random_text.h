/* Text that cannot be guessed, for tokens and their ids. */
#ifndef WARREN_SERVICE_SPEC_RANDOM_TEXT_H
#define WARREN_SERVICE_SPEC_RANDOM_TEXT_H

#include <stddef.h>

#define RANDOM_TEXT_BYTES_MAX 32

/* Writes `bytes` random bytes in base64url without padding, four characters for three bytes, and a NUL. `size` is the room in `text`. */
void random_text(char *text, size_t size, size_t bytes);

#endif
