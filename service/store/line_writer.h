/* Lines on their way to a file, a FIFO or the standard output. They wait in a buffer of fixed size for a thread of their own, so that whoever writes
 * a line never waits for a disk or a reader. What does not fit is dropped and counted; while the disk is full, lines wait as long as there is
 * room. A file that is removed or renamed, as logrotate does, is opened again under its name with the next line. */
#ifndef WARREN_SERVICE_STORE_LINE_WRITER_H
#define WARREN_SERVICE_STORE_LINE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_WRITER_LINE_MAX 4096u /* with its newline; what a pipe takes in one piece */

struct line_writer;

/* `path` is borrowed; "-" is the standard output. A new file has the mode 0640. A FIFO may have no reader yet. NULL with one line for the user when
 * it cannot be opened. */
struct line_writer *line_writer_create(const char *path, char failure[512]);
/* Whether it could be opened, or made; opens and makes nothing. False with the same line. */
bool line_writer_check(const char *path, char failure[512]);
/* Writes what waits, for a second at most. */
void line_writer_free(struct line_writer *writer);
void line_writer_settle(struct line_writer *writer); /* the same, and goes on */
/* Any thread. The line has no newline. */
void line_writer_put(struct line_writer *writer, const char *line, size_t length);
void line_writer_drop(struct line_writer *writer);              /* any thread: counts a line that is not written */
void line_writer_reopen(struct line_writer *writer);            /* any thread: the file is opened anew before the next line */
uint64_t line_writer_dropped(const struct line_writer *writer); /* any thread: lines, ever */

#endif
