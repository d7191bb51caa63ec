/* Quantities as people read them, with their units. */
#ifndef WARREN_COMMAND_QUANTITY_H
#define WARREN_COMMAND_QUANTITY_H

#include <stdint.h>

#define QUANTITY_MAX 32
#define QUANTITY_NONE "-" /* nothing is known */

/* "0 B", "1.5 KiB", "12 GiB". */
void quantity_bytes(char text[QUANTITY_MAX], double bytes);
/* Bits per second as bytes: "0 B/s", "812 KiB/s". */
void quantity_rate(char text[QUANTITY_MAX], double bits_per_second);
/* "12.3 ms", "120 ms". */
void quantity_milliseconds(char text[QUANTITY_MAX], double milliseconds);
/* "12 s", "3 min", "5 h", "2 days". */
void quantity_duration(char text[QUANTITY_MAX], double seconds);
/* "3 min ago", "just now"; negative: "in 2 days". */
void quantity_age(char text[QUANTITY_MAX], double seconds);
/* How long a time that the API wrote (RFC 3339 in UTC) is past at `now_ms` (UNIX time); QUANTITY_NONE for what is not such a time, NULL included. */
void quantity_since(char text[QUANTITY_MAX], const char *time, int64_t now_ms);

#endif
