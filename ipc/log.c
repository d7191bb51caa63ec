#include "ipc/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/utf8.h"
#include "ipc/wall_clock.h"

static _Atomic enum log_level threshold = LOG_INFO;
static bool as_json;
static const char *speaker = "control";

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_start(enum log_level level, bool json, const char *who)
{
	threshold = level;
	as_json = json;
	speaker = who;
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

enum log_level log_level_now(void)
{
	return threshold;
}

/* Untrusted bytes must not split a line or end a JSON string, and JSON must be UTF-8 (X4; RFC 8259, 8.1). */
static size_t escape(char *out, size_t room, const char *in, bool quoted)
{
	size_t n = 0;
	for (size_t left = strlen(in), run; left > 0 && n + 7 < room; in += run, left -= run) {
		unsigned char c = (unsigned char)*in;
		size_t length = utf8_length(in, left);
		run = length == 0 ? 1 : length;
		if (length == 0)
			n += (size_t)snprintf(out + n, room - n, UTF8_REPLACEMENT);
		else if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, room - n, "\\u%04x", c);
		else if (quoted && (c == '"' || c == '\\'))
			n += (size_t)snprintf(out + n, room - n, "\\%c", c);
		else
			n += (size_t)snprintf(out + n, room - n, "%.*s", (int)run, in);
	}
	out[n] = '\0';
	return n;
}

/* The beginning of a line, up to what it says; returns its length. */
static size_t begin(char *line, size_t room, enum log_level level, const char *tunnel)
{
	char when[WALL_CLOCK_TEXT_MAX];
	wall_clock_format(when, wall_clock_ms());
	const char *name = tunnel == NULL ? "" : tunnel;
	int length = as_json ? snprintf(line, room, "{\"at\":\"%s\",\"level\":\"%s\",\"from\":\"%s\",\"tunnel\":\"%s\",", when, level_names[level],
	                                speaker, name)
	                     : snprintf(line, room, "%s %-5s %s%s%s: ", when, level_names[level], speaker, *name ? " " : "", name);
	return length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1;
}

static void emit(const char *line, size_t length)
{
	/* If stderr is gone there is nobody to report to. */
	ssize_t written = write(STDERR_FILENO, line, length);
	(void)written;
}

void log_line(enum log_level level, const char *tunnel, const char *format, ...)
{
	if (level > threshold)
		return;
	int saved = errno;
	char message[1024], escaped[2048], line[2600];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	escape(escaped, sizeof(escaped), message, as_json);
	size_t length = begin(line, sizeof(line), level, tunnel);
	int more = snprintf(line + length, sizeof(line) - length, as_json ? "\"message\":\"%s\"}\n" : "%s\n", escaped);
	if (more > 0)
		emit(line, length + ((size_t)more < sizeof(line) - length ? (size_t)more : sizeof(line) - length - 1));
	errno = saved;
}

static bool is_plain(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		if (*c <= ' ' || *c == '"' || *c == '=' || *c == 0x7f)
			return false;
	return *text != '\0';
}

static size_t write_field(char *out, size_t room, const struct log_field *field)
{
	char escaped[600];
	int length;
	if (field->text != NULL)
		escape(escaped, sizeof(escaped), field->text, true);
	if (field->text == NULL)
		length = snprintf(out, room, as_json ? ",\"%s\":%llu" : " %s=%llu", field->name, (unsigned long long)field->number);
	else if (as_json)
		length = snprintf(out, room, ",\"%s\":\"%s\"", field->name, escaped);
	else
		length = snprintf(out, room, is_plain(field->text) ? " %s=%s" : " %s=\"%s\"", field->name, escaped);
	/* Whole or not at all, so that the line stays well-formed. */
	return length > 0 && (size_t)length < room ? (size_t)length : 0;
}

void log_event(enum log_level level, const char *tunnel, const char *event, const struct log_field *fields, size_t count)
{
	if (level > threshold)
		return;
	int saved = errno;
	char line[4096];
	const size_t room = sizeof(line) - 3; /* for the end */
	size_t length = begin(line, room, level, tunnel);
	int more = snprintf(line + length, room - length, as_json ? "\"event\":\"%s\"" : "event=%s", event);
	length += more > 0 ? (size_t)more : 0;
	for (size_t i = 0; i < count; i++)
		length += write_field(line + length, room - length, &fields[i]);
	memcpy(line + length, as_json ? "}\n" : "\n", as_json ? 2 : 1);
	emit(line, length + (as_json ? 2 : 1));
	errno = saved;
}
