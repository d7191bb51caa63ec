#include "ipc/wall_clock.h"

#include <stdio.h>
#include <time.h>

int64_t wall_clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The Gregorian calendar, in years that begin in March and eras of 400 years. gmtime_r cannot be used: it opens a file, which a worker may not,
 * and takes a lock, on which a log line about a refused call would wait for ever. Returns the length. */
static size_t write_seconds(char text[WALL_CLOCK_TEXT_MAX], uint64_t second)
{
	uint64_t days = second / 86400 + 719468, era = days / 146097, day = days % 146097;
	uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	uint64_t month = (5 * day + 2) / 153;
	int length = snprintf(text, WALL_CLOCK_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u", (unsigned)(year + era * 400 + (month >= 10)),
	                      (unsigned)(month < 10 ? month + 3 : month - 9), (unsigned)(day - (153 * month + 2) / 5 + 1),
	                      (unsigned)(second / 3600 % 24), (unsigned)(second / 60 % 60), (unsigned)(second % 60));
	return (size_t)length;
}

void wall_clock_format(char text[WALL_CLOCK_TEXT_MAX], int64_t milliseconds)
{
	uint64_t time = milliseconds < 0 ? 0 : (uint64_t)milliseconds;
	size_t length = write_seconds(text, time / 1000);
	snprintf(text + length, WALL_CLOCK_TEXT_MAX - length, ".%03uZ", (unsigned)(time % 1000));
}

void wall_clock_format_seconds(char text[WALL_CLOCK_TEXT_MAX], int64_t milliseconds)
{
	size_t length = write_seconds(text, milliseconds < 0 ? 0 : (uint64_t)milliseconds / 1000);
	text[length] = 'Z';
	text[length + 1] = '\0';
}
