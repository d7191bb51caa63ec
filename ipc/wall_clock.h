/* The time of day, for people and other programs to read. Any thread. */
#ifndef WARREN_IPC_WALL_CLOCK_H
#define WARREN_IPC_WALL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define WALL_CLOCK_TEXT_MAX 40

/* UNIX time in milliseconds. */
int64_t wall_clock_ms(void);
/* RFC 3339 in UTC: "2006-01-02T15:04:05.678Z". Takes no lock and opens no file. A time before 1970 is written as 1970's beginning. */
void wall_clock_format(char text[WALL_CLOCK_TEXT_MAX], int64_t milliseconds);
/* The same in whole seconds: "2006-01-02T15:04:05Z". */
void wall_clock_format_seconds(char text[WALL_CLOCK_TEXT_MAX], int64_t milliseconds);

/* Reads RFC 3339, with Z or an offset, of the years 1970 to 9999. Fractions are cut to milliseconds. False if it is none. */
bool wall_clock_parse(const char *text, int64_t *milliseconds);

#endif
