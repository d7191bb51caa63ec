/* The text writer. It dominates the cost of lists, statistics and metrics: ten thousand tunnels are about ten megabytes of text. */
#include "api/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "ipc/utf8.h"
#include "ipc/wall_clock.h"

#define TEXT_START 512

void text_init(struct text *text)
{
	*text = (struct text){ 0 };
}

void text_clear(struct text *text)
{
	free(text->bytes);
	text_init(text);
}

char *text_reserve(struct text *text, size_t more)
{
	if (text->failed)
		return NULL;
	if (more <= text->capacity - text->length && text->bytes != NULL)
		return text->bytes + text->length;
	size_t capacity = text->capacity ? text->capacity : TEXT_START;
	while (capacity - text->length < more) {
		if (capacity > SIZE_MAX / 2) {
			text->failed = true;
			return NULL;
		}
		capacity *= 2;
	}
	char *bytes = realloc(text->bytes, capacity);
	if (bytes == NULL) {
		text->failed = true;
		return NULL;
	}
	text->bytes = bytes;
	text->capacity = capacity;
	return bytes + text->length;
}

void text_put_n(struct text *text, const char *bytes, size_t length)
{
	char *room = text_reserve(text, length);
	if (room == NULL || length == 0)
		return;
	memcpy(room, bytes, length);
	text->length += length;
}

void text_put_char(struct text *text, char c)
{
	text_put_n(text, &c, 1);
}

size_t text_format_u64(char out[TEXT_U64_MAX], uint64_t value)
{
	char digits[TEXT_U64_MAX];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	memcpy(out, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

void text_put_u64(struct text *text, uint64_t value)
{
	char *room = text_reserve(text, TEXT_U64_MAX);
	if (room != NULL)
		text->length += text_format_u64(room, value);
}

void text_put_milli(struct text *text, uint64_t thousandths)
{
	text_put_u64(text, thousandths / 1000);
	unsigned rest = (unsigned)(thousandths % 1000);
	if (rest == 0)
		return;
	char digits[4] = { '.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10) };
	size_t length = digits[3] != '0' ? 4 : digits[2] != '0' ? 3 : 2;
	text_put_n(text, digits, length);
}

void text_put_double(struct text *text, double value)
{
	text_printf(text, "%.9g", value);
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	va_list again;
	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, arguments);
	char *room = length < 0 ? NULL : text_reserve(text, (size_t)length + 1);
	if (room != NULL) {
		vsnprintf(room, (size_t)length + 1, format, again);
		text->length += (size_t)length;
	}
	va_end(again);
	va_end(arguments);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_json_escape(struct text *text, unsigned char c)
{
	switch (c) {
	case '"': text_put(text, "\\\""); return;
	case '\\': text_put(text, "\\\\"); return;
	case '\n': text_put(text, "\\n"); return;
	case '\r': text_put(text, "\\r"); return;
	case '\t': text_put(text, "\\t"); return;
	default: text_printf(text, "\\u%04x", c); return;
	}
}

void text_put_json(struct text *text, const char *string)
{
	if (string == NULL) {
		text_put(text, "null");
		return;
	}
	text_put_char(text, '"');
	for (size_t left = strlen(string), run; left > 0; string += run, left -= run) {
		for (run = 0; run < left && is_plain((unsigned char)string[run]);)
			run++;
		if (run > 0) {
			text_put_n(text, string, run);
			continue;
		}
		size_t length = utf8_length(string, left);
		run = length == 0 ? 1 : length;
		if (length == 0)
			text_put(text, UTF8_REPLACEMENT);
		else if (length == 1)
			put_json_escape(text, (unsigned char)*string);
		else
			text_put_n(text, string, length);
	}
	text_put_char(text, '"');
}

void text_put_json_time(struct text *text, int64_t milliseconds)
{
	if (milliseconds <= 0) {
		text_put(text, "null");
		return;
	}
	char written[WALL_CLOCK_TEXT_MAX];
	wall_clock_format(written, milliseconds);
	text_put_char(text, '"');
	text_put(text, written);
	text_put_char(text, '"');
}

void text_put_json_bool(struct text *text, bool value)
{
	text_put(text, value ? "true" : "false");
}

void text_put_label(struct text *text, const char *value)
{
	for (const char *c = value; *c; c++) {
		if (*c == '\n')
			text_put(text, "\\n");
		else if (*c == '"' || *c == '\\')
			text_put_n(text, (char[]){ '\\', *c }, 2);
		else
			text_put_char(text, *c);
	}
}

void text_put_family(struct text *text, const char *name, const char *type, const char *help)
{
	const char *const parts[] = { "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n" };
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		text_put(text, parts[i]);
}

void text_put_base64(struct text *text, const uint8_t *bytes, size_t length)
{
	size_t room = sodium_base64_encoded_len(length, sodium_base64_VARIANT_ORIGINAL);
	char *out = text_reserve(text, room);
	if (out == NULL)
		return;
	sodium_bin2base64(out, room, bytes, length, sodium_base64_VARIANT_ORIGINAL);
	text->length += room - 1;
}
