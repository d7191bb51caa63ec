#include "command/terminal_text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "command/memory.h"
#include "ipc/utf8.h"

void terminal_text_begin(void)
{
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		setlocale(LC_CTYPE, "");
}

/* The code point of a valid sequence of `length` bytes. */
static uint32_t code_point(const char *bytes, size_t length)
{
	static const unsigned char masks[5] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t code = (unsigned char)bytes[0] & masks[length];
	for (size_t i = 1; i < length; i++)
		code = code << 6 | ((unsigned char)bytes[i] & 0x3f);
	return code;
}

/* Marks of the bidirectional algorithm and separators of lines: printable by their class, but they change how others look. */
static bool is_deceiving(uint32_t code)
{
	return code == 0x61c || (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) ||
	       code == 0xfeff;
}

static bool is_printable(uint32_t code)
{
	if (code < 0x80)
		return code >= 0x20 && code < 0x7f;
	return !is_deceiving(code) && wcwidth((wchar_t)code) >= 0;
}

/* Where the next character ends; `*code` is its code point, or UINT32_MAX for a byte that begins none. */
static size_t step(const char *text, size_t left, uint32_t *code)
{
	size_t length = utf8_length(text, left);
	*code = length > 0 ? code_point(text, length) : UINT32_MAX;
	return length > 0 ? length : 1;
}

static void write_clean(FILE *to, const char *text, size_t length)
{
	uint32_t code;
	for (size_t at = 0, bytes; at < length; at += bytes) {
		bytes = step(text + at, length - at, &code);
		if (code == UINT32_MAX || (code < 0x80 && !is_printable(code)))
			fprintf(to, "\\x%02x", (unsigned char)text[at]);
		else if (!is_printable(code))
			fprintf(to, code > 0xffff ? "\\U%08x" : "\\u%04x", code);
		else
			fwrite(text + at, 1, bytes, to);
	}
}

void terminal_text_write(FILE *to, const char *text)
{
	write_clean(to, text, strlen(text));
}

void terminal_text_line(FILE *to, const char *format, ...)
{
	char *line = NULL;
	va_list list;
	va_start(list, format);
	if (vasprintf(&line, format, list) >= 0) {
		terminal_text_write(to, line);
		free(line);
	}
	va_end(list);
	fputc('\n', to);
}

char *terminal_text_clean(const char *text)
{
	char *clean = NULL;
	size_t length;
	FILE *to = open_memstream(&clean, &length);
	if (to != NULL) {
		terminal_text_write(to, text);
		fclose(to);
	}
	return clean != NULL ? clean : memory_copy("");
}

void terminal_text_write_json(FILE *to, const char *json, size_t length)
{
	uint32_t code;
	for (size_t at = 0, bytes; at < length; at += bytes) {
		bytes = step(json + at, length - at, &code);
		if (code == '\n' || code == '\t' || (code != UINT32_MAX && is_printable(code)))
			fwrite(json + at, 1, bytes, to);
		else if (code == UINT32_MAX)
			fputs(UTF8_REPLACEMENT, to);
		else if (code > 0xffff) /* RFC 8259, 7: a pair of surrogates */
			fprintf(to, "\\u%04x\\u%04x", 0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff));
		else
			fprintf(to, "\\u%04x", code);
	}
}

size_t terminal_text_fit(const char *clean, size_t width, size_t *used)
{
	size_t at = 0, length = strlen(clean);
	*used = 0;
	while (at < length) {
		uint32_t code;
		size_t bytes = step(clean + at, length - at, &code);
		int columns = code == UINT32_MAX ? 1 : wcwidth((wchar_t)code);
		size_t more = columns > 0 ? (size_t)columns : 0;
		if (*used + more > width)
			break;
		*used += more;
		at += bytes;
	}
	return at;
}

size_t terminal_text_width(const char *clean)
{
	size_t used;
	terminal_text_fit(clean, SIZE_MAX, &used);
	return used;
}
