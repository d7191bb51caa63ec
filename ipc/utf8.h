/* UTF-8 sequences, for writing untrusted bytes as JSON. */
#ifndef WARREN_IPC_UTF8_H
#define WARREN_IPC_UTF8_H

#include <stddef.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, replaces a byte that begins no sequence */

/* The length of the sequence at the start of `text`, which has `left` bytes (at least one). 0: no valid sequence; overlong forms, surrogates and
 * values over U+10FFFF are invalid (RFC 3629, 4). */
size_t utf8_length(const char *text, size_t left);

#endif
