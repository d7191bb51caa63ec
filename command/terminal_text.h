/* Texts of others on a terminal: bytes that could act on it (control characters, invalid UTF-8, marks that reverse the order of writing) are
 * never written as they are. */
#ifndef WARREN_COMMAND_TERMINAL_TEXT_H
#define WARREN_COMMAND_TERMINAL_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Before any other function here: characters have the widths of Unicode, whatever the locale. */
void terminal_text_begin(void);
/* A copy that is safe to write, on one line: what is not printable becomes \xNN or \uNNNN. Free it. */
char *terminal_text_clean(const char *text);
void terminal_text_write(FILE *to, const char *text);
/* A formatted line, whose end is written too; whatever of it is not printable is written as by terminal_text_write. */
void terminal_text_line(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* JSON as it is, but what would act on a terminal is written as \uNNNN, which means the same. */
void terminal_text_write_json(FILE *to, const char *json, size_t length);

/* The columns that a clean text takes. */
size_t terminal_text_width(const char *clean);
/* How many of its bytes fit into `width` columns; `*used` is the number of columns that these take. */
size_t terminal_text_fit(const char *clean, size_t width, size_t *used);

#endif
