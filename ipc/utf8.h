/* Sequences of UTF-8, for whoever writes bytes of strangers as JSON. */
#ifndef WARREN_IPC_UTF8_H
#define WARREN_IPC_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, in the place of a byte that begins no sequence */

/* The length of the sequence that `text` begins with, of which `left` bytes are there (one at least). 0: it begins with none; overlong forms,
 * surrogates and values over U+10FFFF are none (RFC 3629, 4). */
size_t utf8_length(const char *text, size_t left);

#endif
