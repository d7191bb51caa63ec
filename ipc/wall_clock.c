#include "ipc/wall_clock.h"

#include <ctype.h>
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

/* That many digits, or false. */
static bool take_digits(const char **text, int count, int64_t most, int64_t *number)
{
	*number = 0;
	for (; count > 0; count--, ++*text) {
		if (!isdigit((unsigned char)**text))
			return false;
		*number = *number * 10 + (**text - '0');
	}
	return *number <= most;
}

static bool take(const char **text, const char *any_of)
{
	for (; *any_of != '\0'; any_of++)
		if (**text == *any_of) {
			++*text;
			return true;
		}
	return false;
}

static int64_t days_in(int64_t year, int64_t month)
{
	static const int64_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && is_leap);
}

/* Days since 1970, in years that begin in March, as write_seconds has them. */
static int64_t day_number(int64_t year, int64_t month, int64_t day)
{
	int64_t from_march = (month + 9) % 12;
	year -= month <= 2;
	return year * 365 + year / 4 - year / 100 + year / 400 + (153 * from_march + 2) / 5 + day - 1 - 719468;
}

static bool take_date(const char **text, int64_t *days)
{
	int64_t year, month, day;
	bool is_date = take_digits(text, 4, 9999, &year) && take(text, "-") && take_digits(text, 2, 12, &month) && take(text, "-") &&
	               take_digits(text, 2, 31, &day);
	if (!is_date || year < 1970 || month < 1 || day < 1 || day > days_in(year, month))
		return false;
	*days = day_number(year, month, day);
	return true;
}

/* After the seconds: ".678", cut to milliseconds. */
static bool take_fraction(const char **text, int64_t *milliseconds)
{
	*milliseconds = 0;
	if (!take(text, "."))
		return true;
	if (!isdigit((unsigned char)**text))
		return false;
	for (int64_t unit = 100; isdigit((unsigned char)**text); ++*text, unit /= 10)
		*milliseconds += unit * (**text - '0');
	return true;
}

static bool take_offset(const char **text, int64_t *seconds)
{
	int64_t hours, minutes;
	*seconds = 0;
	if (take(text, "Zz"))
		return true;
	bool is_west = **text == '-';
	if (!take(text, "+-") || !take_digits(text, 2, 23, &hours) || !take(text, ":") || !take_digits(text, 2, 59, &minutes))
		return false;
	*seconds = (is_west ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

bool wall_clock_parse(const char *text, int64_t *milliseconds)
{
	int64_t days, hour, minute, second, fraction, offset;
	/* A leap second is the next minute's first. */
	if (!take_date(&text, &days) || !take(&text, "Tt") || !take_digits(&text, 2, 23, &hour) || !take(&text, ":") ||
	    !take_digits(&text, 2, 59, &minute) || !take(&text, ":") || !take_digits(&text, 2, 60, &second) || !take_fraction(&text, &fraction) ||
	    !take_offset(&text, &offset) || *text != '\0')
		return false;
	*milliseconds = ((days * 24 + hour) * 3600 + minute * 60 + second - offset) * 1000 + fraction;
	return *milliseconds > 0;
}
