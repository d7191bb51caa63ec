/* A growing buffer for replies: JSON and Prometheus lines are written directly into it, without a tree in between.
 * Running out of memory is sticky and every later call does nothing, so that a writer is checked once, at the end. */
#ifndef WARREN_API_TEXT_H
#define WARREN_API_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	char *bytes; /* not terminated */
	size_t length, capacity;
	bool failed;
};

void text_init(struct text *text);
/* Frees; safe on a cleared text. */
void text_clear(struct text *text);
/* Room for `more` bytes at the end, or NULL (failed is set). The caller adds the bytes that it writes to `length`. */
char *text_reserve(struct text *text, size_t more);
void text_put_n(struct text *text, const char *bytes, size_t length);
void text_put_char(struct text *text, char c);
#define TEXT_U64_MAX 20
/* Writes digits without NUL; returns their number. */
size_t text_format_u64(char out[TEXT_U64_MAX], uint64_t value);
void text_put_u64(struct text *text, uint64_t value);
/* Writes a non-negative number of thousandths as a decimal fraction: 12300 is "12.3". */
void text_put_milli(struct text *text, uint64_t thousandths);
void text_put_double(struct text *text, double value);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a JSON string with quotes (RFC 8259, 7). Invalid UTF-8 becomes U+FFFD, so that a reply is always valid. NULL becomes null. */
void text_put_json(struct text *text, const char *string);
/* RFC 3339 UTC with milliseconds, with quotes; null when `milliseconds` is 0. */
void text_put_json_time(struct text *text, int64_t milliseconds);
void text_put_json_bool(struct text *text, bool value);
/* The value of a Prometheus label, escaped, without quotes. */
void text_put_label(struct text *text, const char *value);
/* The two lines before the samples of a Prometheus family. */
void text_put_family(struct text *text, const char *name, const char *type, const char *help);
void text_put_base64(struct text *text, const uint8_t *bytes, size_t length);

static inline void text_put(struct text *text, const char *string)
{
	text_put_n(text, string, strlen(string));
}

#endif
