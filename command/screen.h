/* A terminal that is written over, line by line, until a key is pressed. One at a time. */
#ifndef WARREN_COMMAND_SCREEN_H
#define WARREN_COMMAND_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes the terminal of stdin and stdout: no echo, no cursor, and the other buffer, so that what was there comes back. False if they are not one. */
bool screen_begin(void);
/* Gives it back. Also done when the program is ended by a signal that people send. */
void screen_end(void);

/* The size in columns and rows, as it is now; 80 and 24 if the terminal does not say. */
void screen_size(size_t *columns, size_t *rows);
/* Writes a whole picture from the top, and erases what is below. */
void screen_draw(const char *picture, size_t length);
/* Waits for a key or a change of the size, `milliseconds` at most. The key, 0 for a change of the size, -1 when the time is over, 'q' when the
 * terminal is gone. */
int screen_wait(int milliseconds);

/* Milliseconds of a clock that never goes back. */
int64_t screen_now_ms(void);

#endif
