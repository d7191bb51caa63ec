/* Log lines to stderr, as text or JSON, one write per line. Untrusted bytes are escaped; secrets must not be passed. */
#ifndef WARREN_IPC_LOG_H
#define WARREN_IPC_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* `who` is "control" or "worker N"; kept as a pointer. */
void log_start(enum log_level level, bool json, const char *who);
bool log_level_parse(const char *name, enum log_level *level);
enum log_level log_level_now(void);
void log_set_level(enum log_level level); /* any thread */
/* `tunnel` may be NULL. One sentence, no newline. */
void log_line(enum log_level level, const char *tunnel, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line that is for programs: members instead of a sentence. In JSON they are members of the line, in text name=value, quoted where blanks or
 * control characters are in a value. */
struct log_field {
	const char *name; /* letters and underscores */
	const char *text; /* any bytes; NULL: the number */
	uint64_t number;
};
void log_event(enum log_level level, const char *tunnel, const char *event, const struct log_field *fields, size_t count);

#endif
