#include "ipc/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ipc/utf8.h"
#include "ipc/wall_clock.h"

static enum log_level threshold = LOG_INFO;
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

enum log_level log_level_now(void)
{
	return threshold;
}

/* Untrusted bytes must not split a line or end a JSON string, and JSON must be UTF-8 (X4; RFC 8259, 8.1). */
static size_t escape(char *out, size_t room, const char *in)
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
		else if (as_json && (c == '"' || c == '\\'))
			n += (size_t)snprintf(out + n, room - n, "\\%c", c);
		else
			n += (size_t)snprintf(out + n, room - n, "%.*s", (int)run, in);
	}
	out[n] = '\0';
	return n;
}

void log_line(enum log_level level, const char *tunnel, const char *format, ...)
{
	if (level > threshold)
		return;
	int saved = errno;
	char message[1024], escaped[2048], line[2600], when[WALL_CLOCK_TEXT_MAX];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	escape(escaped, sizeof(escaped), message);
	wall_clock_format(when, wall_clock_ms());
	const char *name = tunnel == NULL ? "" : tunnel;
	int n;
	if (as_json)
		n = snprintf(line, sizeof(line), "{\"at\":\"%s\",\"level\":\"%s\",\"from\":\"%s\",\"tunnel\":\"%s\",\"message\":\"%s\"}\n", when,
		             level_names[level], speaker, name, escaped);
	else
		n = snprintf(line, sizeof(line), "%s %-5s %s%s%s: %s\n", when, level_names[level], speaker, *name ? " " : "", name, escaped);
	if (n > 0) {
		/* If stderr is gone there is nobody to report to. */
		ssize_t written = write(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
		(void)written;
	}
	errno = saved;
}
